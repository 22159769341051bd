"""The C of a run beside its references: bits on 1,000 clips, front ends, time here, instructions on a Cortex-M4.

    python benchmarks/c_code.py trained_models/ID/tc-res8 [--n 1000] [--scheme linear_8_8_8] [--output FILE.json]

A run without compress= is quantised as it is, its ranges taken from 500 clips of training. The clips are those of
test, then of validation, then of training, until there are enough. Instructions are counted by QEMU (mps2-an386,
-icount), where
`arm-none-eabi-gcc` and `qemu-system-arm` are installed (apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi
qemu-system-arm): not cycles, of which a Cortex-M4 takes 1.2 to 1.5 for each, an estimate.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import torch

from machine import machine, write_result
from phonaut.deploy.c import Compiled, Reference, Written, write_c
from phonaut.deploy.fixed_front_end import fixed_front_end
from phonaut.deploy.integer_program import program_of
from phonaut.deploy.interpreter import Interpreter
from phonaut.metrics.intervals import wilson
from phonaut.networks.quantized import QuantizedNetwork, Scheme
from phonaut.runs.load import load
from phonaut.tasks.build import prepared_corpus
from phonaut.tasks.classification import speech_data

BOARD = Path(__file__).parent / "cortex_m4"
TICKS_PER_INSTRUCTION = 1.6  # 64 ns of a timer of 25 MHz, as -icount shift=6 has it


def quantized(model: Any, batches: Any, scheme: str) -> QuantizedNetwork:
    """The run's network, or its float network with ranges from a few clips of training."""
    if isinstance(model.network, QuantizedNetwork):
        return model.network.eval()
    network, heard = QuantizedNetwork(model.network, Scheme.of(scheme)), 0
    network.train()
    for module in network.network.modules():
        module.train(False)  # statistics and dropout stay as they are
    for batch in batches:
        network(*model.segments(batch))
        heard += len(batch.labels)
        if heard >= 500:
            break
    network.fold()
    network.quantize()
    return network.eval()


def clips_of(data: Any, n: int) -> list[tuple[np.ndarray, int]]:
    """Samples of 16 bits and the label of each."""
    found: list[tuple[np.ndarray, int]] = []
    for split in ("test", "validation", "train"):
        for batch in data.batches(split):
            audio, lengths = batch.given
            for x, length, label in zip(audio.numpy(), lengths.tolist(), batch.labels.tolist(), strict=True):
                found.append((np.rint(x[:length] * 32768).clip(-32768, 32767).astype(np.int16), label))
        if len(found) >= n:
            break
    return found[:n]


def on_board(written: Written, clip: np.ndarray) -> dict[str, Any] | None:
    """Instructions of a clip and of a second of stream, and its scores; None without the tools."""
    if which("arm-none-eabi-gcc") is None or which("qemu-system-arm") is None:
        return None
    with tempfile.TemporaryDirectory() as temporary:
        folder, source = Path(temporary), written.folder
        samples = ", ".join(map(str, clip.tolist()))
        (folder / "clip.c").write_text(f'#include "model.h"\nconst int16_t clip[PHONAUT_CLIP] = {{{samples}}};\n')
        flags = ["-O2", "-mcpu=cortex-m4", "-mthumb", f"-I{source}"]
        compiler, strict = "arm-none-eabi-gcc", ["-std=c99", "-Wall", "-Wextra", "-Werror"]
        subprocess.run([compiler, *strict, *flags, "-c", "-o", folder / "model.o",
                        source / "model.c"], check=True)  # fmt: skip
        subprocess.run([compiler, "-std=gnu99", *flags, "-nostartfiles", "-T", BOARD / "board.ld", "-o", folder / "elf",
                        BOARD / "board.c", folder / "clip.c", folder / "model.o", "-lc", "-lgcc"],
                       check=True, capture_output=True)  # fmt: skip
        ran = subprocess.run(["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting", "-icount", "shift=6",
                              "-kernel", folder / "elf"], capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, timeout=300)  # fmt: skip
        size = subprocess.run(["arm-none-eabi-size", folder / "model.o"], capture_output=True, text=True, check=True)
    lines = [line.split() for line in (ran.stdout + ran.stderr).splitlines() if line]
    told = {name: int(value) for name, value in lines if name != "score"}
    assert abs(told["ticks_of_2000000_instructions"] / 2e6 - TICKS_PER_INSTRUCTION) < 0.01
    return {
        "instructions_of_a_clip": round(told["ticks_of_a_clip"] / TICKS_PER_INSTRUCTION),
        "instructions_of_a_stream": round(told["ticks_of_a_stream"] / TICKS_PER_INSTRUCTION),
        "state_bytes": told["state_bytes"],
        "flash_bytes_with_code": int(size.stdout.splitlines()[1].split()[0]),
        "scores": [int(value) for name, value in lines if name == "score"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--scheme", default="linear_8_8_8")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    loaded = load(given.run)
    model = loaded.model.eval()
    classes = list(loaded.about["classes"])
    data = speech_data(loaded.config, prepared_corpus(loaded.config), classes)
    plain = model.network
    model.network = network = quantized(model, data.batches("train"), given.scheme)
    program = program_of(network, model.front_end.n_features, {"labels": classes})
    front_end = fixed_front_end(model.front_end, model.normalizer, program)
    clips = clips_of(data, given.n)
    clip_s = max(len(clip) for clip, _ in clips) / front_end.sample_rate
    interpreter, result = Interpreter(program), {"machine": machine(), "run": str(given.run), "n": len(clips)}
    with tempfile.TemporaryDirectory() as folder:
        written = write_c(Path(folder), program, front_end, clip_s=clip_s)
        print("\n".join(written.plan))
        compiled, reference = Compiled(Path(folder)), Reference(written, interpreter, front_end)
        n_same = n_stream = 0
        far, right = [], np.zeros(3, int)
        changed = {"front end": 0, "network": 0, "both": 0}
        for clip, label in clips:
            audio, length = torch.from_numpy(clip / np.float32(32768))[None], torch.tensor([len(clip)])
            frames, lengths = model.frames(audio, length)
            levels = front_end(clip)
            far.append(levels - interpreter.given(frames[0].numpy())[:, 0].T)
            scores = reference.classify(clip)
            n_same += bool((compiled.classify(clip) == scores).all())
            answers = [int(one(frames, lengths)[0].argmax()) for one in (plain, network)] + [int(scores.argmax())]
            right += [one == label for one in answers]
            changed["front end"] += answers[1] != answers[2]
            changed["network"] += answers[0] != answers[1]
            changed["both"] += answers[0] != answers[2]
        stream = np.concatenate([clip for clip, _ in clips[:60]])
        wanted_rows = reference.stream(stream)
        got_rows = compiled.stream(stream)
        n_stream = int((got_rows == wanted_rows).all(axis=1).sum())
        start = time.process_time()
        for clip, _ in clips[:200]:
            compiled.classify(clip)
        offline = (time.process_time() - start) / sum(len(clip) for clip, _ in clips[:200]) * front_end.sample_rate
        start = time.process_time()
        compiled.stream(stream)
        online = (time.process_time() - start) / len(stream) * front_end.sample_rate
        one = np.resize(clips[0][0], round(clip_s * front_end.sample_rate))
        board = on_board(written, one)
        if board is not None:
            assert board["scores"] == compiled.classify(one).tolist()
    distances = np.abs(np.concatenate(far))
    result |= {
        "clips_bit_for_bit": n_same, "rows_bit_for_bit": [n_stream, len(wanted_rows)], "decisions_changed_by": changed,
        "levels": {"same": float((distances == 0).mean()), "beyond_one": float((distances > 1).mean()),
                   "most": int(distances.max())},
        "accuracy": {name: [n / len(clips), *wilson(int(n), len(clips))]
                     for name, n in zip(("float", "integers", "fixed front end too"), right.tolist(), strict=True)},
        "real_time_factor": {"clips": offline, "stream": online}, "flash": written.flash, "ram": written.ram,
        "macs": sum(written.macs.values()), "cortex_m4": board, "clip_s": clip_s,
    }  # fmt: skip
    for name in list(result)[3:]:
        print(f"{name:22} {result[name]}")
    write_result(given.output, result)


if __name__ == "__main__":
    main()
