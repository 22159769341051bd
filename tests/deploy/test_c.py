"""The written C gives what the interpreter and the fixed-point front end give, bit for bit, and nothing undefined."""

import ctypes
import os
import re
import subprocess
import wave
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

from helpers.programs import CLIP_S, N_CLASSES, NETWORKS, made, mean_of_frames
from phonaut.deploy.c import Compiled, Reference, Written, write_c
from phonaut.deploy.c.memory import Buffer, place
from phonaut.deploy.fixed_front_end import FixedFrontEnd, fixed_front_end
from phonaut.deploy.integer_program import Program
from phonaut.deploy.interpreter import Interpreter
from phonaut.features import MFCC, FixedPoint, MelSpectrogram, Spectrogram
from phonaut.features.normalizers import AdaptiveFixedPoint, GainNormalizer
from phonaut.features.options import KALDI

needs_gcc = pytest.mark.skipif(which("gcc") is None, reason="gcc is not installed")
N_CLIP = round(CLIP_S * 16000)
FAST = ("-O1",)  # to compile
SCHEMES = ["linear_4_4_4", "fp_8_8_8", "linear_16_16_16", "linear_1_1_1"]
CASES = [(name, "linear_8_8_8", causal) for name in NETWORKS for causal in (False, True)]
CASES += [("tc-res8", scheme, causal) for scheme in SCHEMES for causal in (False, True)]
CASES += [("mdtc", "linear_1_1_1", True)]


def speech_like(n: int, seed: int = 0) -> np.ndarray:
    rng, t = np.random.default_rng(seed), np.arange(n)
    x = rng.normal(0, 1, n) * 6000 * np.square(np.sin(t / 900 + seed)) + 3000 * np.sin(t / (5 + seed))
    return np.rint(x).clip(-32768, 32767).astype(np.int16)


def reference(written: Written, made_of: tuple[Program, FixedFrontEnd]) -> Reference:
    return Reference(written, Interpreter(made_of[0]), made_of[1])


@needs_gcc
@pytest.mark.parametrize(("name", "scheme", "causal"), CASES)
def test_c_gives_the_integers_of_the_reference(name: str, scheme: str, causal: bool, tmp_path: Path) -> None:
    program, front_end = made(name, scheme, causal=causal)
    written = write_c(tmp_path, program, front_end, clip_s=CLIP_S, every_s=0.1)
    compiled = Compiled(tmp_path, options=FAST)
    assert written.streams == causal
    samples = speech_like(8000)
    want = reference(written, (program, front_end)).stream(samples)
    assert len(np.unique(want, axis=0)) > 1 or scheme == "linear_1_1_1"  # not stuck
    assert (compiled.stream(samples) == want).all()
    for n in (N_CLIP, 200):
        clip = speech_like(n, seed=n)
        assert (compiled.classify(clip) == reference(written, (program, front_end)).classify(clip)).all()
    assert sum(written.ram.values()) - 48 <= compiled.n_bytes <= sum(written.ram.values())


FRONT_ENDS: dict[str, tuple[Any, Any]] = {
    "kaldi's": (MelSpectrogram(**KALDI, deltas=1), None),
    "pre-emphasis": (MFCC(n_mels=20, n_mfcc=8, preemphasis=0.9, pad_mode="replicate"), GainNormalizer()),
    "librosa's": (MelSpectrogram(n_mels=20, n_fft=1024, mel_scale="slaney", norm="slaney", log="natural", amin=1e-30,
                                 top_db=None, log_offset=1e-6), None),
    "spectrogram": (Spectrogram(n_fft=64, win_length=50, pad_mode="constant"), FixedPoint()),
    "eight bits": (MFCC(n_mels=20, n_mfcc=8, framing="causal", top_db=None, deltas=1),
                   AdaptiveFixedPoint(n_features=16)),
}  # fmt: skip


@needs_gcc
@pytest.mark.parametrize(
    ("name", "high", "binary"),
    [(name, high, False) for name in FRONT_ENDS for high in (127, 2**15 - 1)] + [("eight bits", 1, True)],
)
def test_every_front_end_gives_the_levels_of_the_reference(name: str, high: int, binary: bool, tmp_path: Path) -> None:
    front_end, normalizer = FRONT_ENDS[name]
    widest = 1 if isinstance(normalizer, (FixedPoint, AdaptiveFixedPoint)) else 100
    program = mean_of_frames(front_end.n_features, high, widest / high, binary=binary)
    fixed = fixed_front_end(front_end, normalizer, program)
    written = write_c(tmp_path, program, fixed, clip_s=CLIP_S)
    compiled, expected = Compiled(tmp_path, options=FAST), Reference(written, Interpreter(program), fixed)
    for n in (N_CLIP, 170):
        clip = speech_like(n, seed=n)
        assert (compiled.classify(clip) == expected.classify(clip)).all()
    samples = speech_like(N_CLIP + 4000)
    want = expected.stream(samples)
    assert len(np.unique(want, axis=0)) > 1 or binary  # not stuck
    assert (compiled.stream(samples) == want).all()


@needs_gcc
def test_a_long_stream_goes_on_where_its_counters_come_round(tmp_path: Path) -> None:
    for name, causal in (("tc-res8", True), ("tc-res8", False)):
        program, front_end = made(name, causal=causal)
        written = write_c(tmp_path / str(causal), program, front_end, clip_s=0.05, every_s=0.03)
        samples = speech_like(16000 * 3)
        want = reference(written, (program, front_end)).stream(samples)
        assert (Compiled(tmp_path / str(causal), options=FAST).stream(samples) == want).all()


@needs_gcc
@pytest.mark.parametrize("causal", [False, True])
def test_the_program_reads_files_and_pipes_without_undefined_behaviour(causal: bool, tmp_path: Path) -> None:
    program, front_end = made("branchy-tc-res8" if not causal else "tc-res8", causal=causal)
    written = write_c(tmp_path, program, front_end, clip_s=CLIP_S)
    flags = "-std=c99 -g -O1 -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all"
    subprocess.run(["make", "-s", "-C", tmp_path, f"CFLAGS={flags}"], check=True)
    samples = speech_like(N_CLIP)
    samples[:40] = -32768
    for name, n_channels in (("a.wav", 1), ("stereo.wav", 2)):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setparams((n_channels, 2, 16000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
    with (tmp_path / "a.wav").open("ab") as file:
        file.write(b"LIST\x04\0\0\0made")

    def words(*arguments: str, heard: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
        return subprocess.run(
            [tmp_path / "words", *arguments], capture_output=True, cwd=tmp_path, input=heard, env=environment
        )

    ran = words("a.wav")
    clip = reference(written, (program, front_end)).classify(samples)
    assert ran.stdout.decode().split() == ["word", str(clip.argmax()), *map(str, clip)], ran.stderr
    stream = speech_like(8000)
    ran = words("-s", "-", heard=stream.tobytes())
    got = [[int(one) for one in line.split()[-N_CLASSES:]] for line in ran.stdout.decode().splitlines()]
    assert got == reference(written, (program, front_end)).stream(stream).tolist(), ran.stderr
    for name, says in (
        ("stereo.wav", b"must be mono"),
        ("model.h", b"is no WAV file"),
        ("none.wav", b"cannot be opened"),
    ):
        ran = words(name)
        assert ran.returncode == 1
        assert says in ran.stderr


@needs_gcc
def test_an_exit_that_is_sure_answers(tmp_path: Path) -> None:
    program, front_end = made("branchy-tc-res8")
    found = Interpreter(program).results(front_end(speech_like(N_CLIP)))
    first = program.exits[0]
    logits = found[first.output] * first.numbers["scale"]
    sure = 1 / np.exp(logits - logits.max()).sum()
    for confidence, exit_that_answers in ((sure - 1e-6, 0), (sure + 1e-6, 1)):
        given = Program(**{**vars(program), "confidence": confidence})
        write_c(tmp_path, given, front_end, clip_s=CLIP_S)
        got = Compiled(tmp_path).classify(speech_like(N_CLIP))
        is_first = (got == found[first.output]).all()
        assert is_first == (exit_that_answers == 0)
        assert (got == Interpreter(given).scores(front_end(speech_like(N_CLIP)))).all()


ARM_ACLE = """
#include <stdint.h>
static inline uint32_t __sxtb16(uint32_t v)
{
    return (uint16_t)(int8_t)v | (uint32_t)(uint16_t)(int8_t)(v >> 16) << 16;
}
static inline uint32_t __uxtb16(uint32_t v) { return v & 0x00ff00ffu; }
static inline int32_t __smlad(uint32_t a, uint32_t b, int32_t sum)
{
    return sum + (int16_t)a * (int16_t)b + (int16_t)(a >> 16) * (int16_t)(b >> 16);
}
"""  # as the Arm C Language Extensions define them


@needs_gcc
def test_the_instructions_of_a_cortex_m4_for_two_products_give_the_same(tmp_path: Path) -> None:
    program, front_end = made("tc-res8")
    write_c(tmp_path, program, front_end, clip_s=CLIP_S)
    (tmp_path / "arm_acle.h").write_text(ARM_ACLE)
    by_two = Compiled(tmp_path, options=("-D__ARM_FEATURE_SIMD32", f"-I{tmp_path}"))
    clip = speech_like(N_CLIP)
    assert (by_two.classify(clip) == Interpreter(program).scores(front_end(clip))).all()


@needs_gcc
def test_labels_of_any_letters_are_strings_of_c(tmp_path: Path) -> None:
    program, front_end = made("tc-res8")
    labels = ["\u0635\u0641\u0631", 'a "b"', "c\\d", "what??/", "e\n1"]
    write_c(tmp_path, program, front_end, labels=labels, title="A */ title /* ??/ \\")
    library = Compiled(tmp_path).library
    found = (ctypes.c_char_p * N_CLASSES).in_dll(library, "phonaut_labels")
    assert [one.decode() for one in found] == labels


def test_no_library_is_needed(tmp_path: Path) -> None:
    program, front_end = made("tc-res8")
    write_c(tmp_path, program, front_end)
    text = "".join((tmp_path / name).read_text() for name in ("model.h", "model.c", "weights.h"))
    assert set(re.findall(r"#include <(.*)>", text)) == {
        "arm_acle.h",
        "stddef.h",
        "stdint.h",
        "string.h",
    }  # the compiler's own
    assert not re.search(r"\b(malloc|double|float \w+\()\b", text)


def test_buffers_that_are_needed_at_one_time_never_overlap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        buffers = [Buffer(str(i), int(rng.integers(1, 50)), int(b), int(b + rng.integers(0, 4)))
                   for i, b in enumerate(rng.integers(0, 12, 9))]  # fmt: skip
        most = place(buffers, 2)
        by_step = [[one for one in buffers if one.begin <= step <= one.end] for step in range(16)]
        for alive in by_step:
            taken = [byte for one in alive for byte in range(one.offset, one.offset + one.size)]
            assert len(taken) == len(set(taken))
            assert max(taken, default=0) < most
        assert most <= sum(one.size + 1 for one in buffers)


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    program, front_end = made("tc-res8")
    with pytest.raises(ValueError, match="2 labels for 5 classes"):
        write_c(tmp_path, program, front_end, labels=["a", "b"])
    with pytest.raises(ValueError, match="features"):
        write_c(tmp_path, program, made("bc-res1")[1])
    with pytest.raises(ValueError, match=r"clip_s=0\.001"):
        write_c(tmp_path, program, front_end, clip_s=0.001)
    assert not list(tmp_path.iterdir())
