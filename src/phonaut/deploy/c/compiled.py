"""Written C on this host: compiled, and called for what it gives."""

from __future__ import annotations

import ctypes
import re
import subprocess
import tempfile
from pathlib import Path
from shutil import which

import numpy as np
from numpy.typing import NDArray

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror")


class Compiled:
    """The C of a folder as a library in this process.

    Args:
        folder: that `write_c` wrote.
        compiler: `gcc`, or another one that takes its options.
        options: more of them.

    Attributes:
        n_bytes: of its state.

    Raises:
        ValueError: there is no compiler, or it refuses the code.
    """

    def __init__(self, folder: Path, compiler: str = "gcc", options: tuple[str, ...] = ()) -> None:
        if which(compiler) is None:
            raise ValueError(f"{compiler} is not installed: it compiles the written C (apt-get install gcc)")
        header = (folder / "model.h").read_text(encoding="utf-8")
        self.n_classes = int(re.findall(r"PHONAUT_CLASSES (\d+)", header)[0])
        self.every = int(re.findall(r"PHONAUT_EVERY (\d+)", header)[0])
        wide = "typedef int64_t phonaut_score" in header
        with tempfile.TemporaryDirectory() as temporary:
            built = Path(temporary) / "model.so"
            source = Path(temporary) / "size.c"
            source.write_text('#include "model.h"\nsize_t phonaut_bytes(void) { return sizeof(phonaut_state); }\n')
            command = [
                compiler,
                *FLAGS,
                *options,
                "-shared",
                "-fPIC",
                f"-I{folder}",
                "-o",
                built,
                folder / "model.c",
                source,
            ]
            ran = subprocess.run([str(one) for one in command], capture_output=True, text=True)
            if ran.returncode:
                raise ValueError(f"{compiler} refuses {folder / 'model.c'}: {ran.stderr.strip()[:500]}")
            self.library = ctypes.CDLL(str(built))
        self.library.phonaut_bytes.restype = ctypes.c_size_t
        self.library.phonaut_scores.restype = ctypes.POINTER(ctypes.c_int64 if wide else ctypes.c_int32)
        self.n_bytes = int(self.library.phonaut_bytes())
        self.state = ctypes.create_string_buffer(self.n_bytes + 16)
        address = ctypes.addressof(self.state)
        self.place = ctypes.c_void_p(address + -address % 16)

    def scores(self) -> NDArray[np.int64]:
        """The last scores `(C,)`."""
        return np.array(self.library.phonaut_scores(self.place)[: self.n_classes], dtype=np.int64)

    def classify(self, clip: NDArray[np.int16]) -> NDArray[np.int64]:
        """Scores `(C,)` of one recording `(S,)`.

        Raises:
            ValueError: it is shorter or longer than the code takes.
        """
        clip = np.ascontiguousarray(clip, np.int16)
        if self.library.phonaut_classify(self.place, ctypes.c_void_p(clip.ctypes.data), ctypes.c_size_t(len(clip))) < 0:
            raise ValueError(f"{len(clip)} samples are no clip of this model")
        return self.scores()

    def stream(self, samples: NDArray[np.int16]) -> NDArray[np.int64]:
        """All rows of scores `(N, C)` of a stream that begins."""
        samples = np.ascontiguousarray(samples, np.int16)
        self.library.phonaut_init(self.place)
        rows = []
        for at in range(0, len(samples), self.every):
            part = samples[at : at + self.every]
            if self.library.phonaut_process(self.place, ctypes.c_void_p(part.ctypes.data), ctypes.c_size_t(len(part))):
                rows.append(self.scores())
        return np.array(rows, dtype=np.int64).reshape(-1, self.n_classes)
