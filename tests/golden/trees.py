"""Corpora of every layout, small and always the same, written without a line of Phonaut."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from helpers.runs_of_tones import write_tones
from helpers.sphere_files import write_sphere

RATE = 16_000
SPEAKERS = tuple(f"{i:08d}" for i in range(1, 21))
HEXADECIMAL = tuple(f"{i * 2654435761 % 2**32:08x}" for i in range(60))
PHONES_HZ = {"h#": 0, "sh": 4000, "iy": 2500, "hv": 1600, "eh": 1100, "jh": 3200, "ao": 600, "n": 250}
TIMIT_TRAIN = ("fcjf0", "mdac0", "fvmh0", "mcpm0", "fdaw0", "mdpk0")
TIMIT_TEST = ("mdab0", "felc0", "faks0", "mjsw0", "mreh1")  # two of the core test set, two of development, and another
KWS_WORDS = {"bed": 300.0, "cat": 800.0, "happy": 1600.0, "tree": 3000.0}
FRAME_PHONES = {"aa": 0, "iy": 1, "sh": 2, "h#": 3}


def tone(hz: float, n: int, rng: np.random.Generator, *, rate: int = RATE) -> np.ndarray:
    """A tone with a little noise; noise alone for 0 Hz."""
    return 0.2 * np.sin(2 * np.pi * hz * np.arange(n) / rate) * (hz > 0) + 0.01 * rng.standard_normal(n)


def touch(root: Path, names: Iterable[str]) -> Path:
    """Recordings of which only the names count."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def tones(place: Path) -> None:
    """`tones`: three words by eight speakers; `new`: one of them, and one that a model does not know."""
    write_tones(place / "tones", n_takes=2)
    write_tones(place / "new", n_speakers=3, words={"low": 300.0, "high": 2500.0, "shrill": 6000.0})


def words(place: Path) -> None:
    """`words`: a folder per word; `divided`: likewise, in folders of splits."""
    names = [f"{word}/{s}_{take}.wav" for word in ("no", "yes") for s in SPEAKERS for take in range(2)]
    touch(place / "words", names)
    parts = ["train"] * 12 + ["dev"] * 3 + ["test"] * 5
    touch(place / "divided", [f"{part}/{w}/{s}_0.wav" for part, s in zip(parts, SPEAKERS, strict=True) for w in "ab"])
    touch(place / "undivided", [f"{'test' if s[-1] == '7' else 'train'}/{w}/{s}_0.wav" for s in SPEAKERS for w in "ab"])


def tables(place: Path) -> None:
    """`table`: a CSV file with parts of recordings, and one with a column of splits."""
    root = place / "table"
    rows = [(f"wav/{s}.wav", word, s, i, i + 0.5) for s in SPEAKERS for i, word in enumerate(("up", "down"))]
    touch(root, {row[0] for row in rows})
    lines = [f"{path},{word},{s},{a},{b}" for path, word, s, a, b in rows]
    (root / "parts.csv").write_text("\n".join(["path,label,speaker,start,end", *lines]) + "\n")
    part = {s: ("train", "train", "validation", "test")[i % 4] for i, s in enumerate(SPEAKERS)}
    lines = [f"{path}\t{word}\t{s}\t{part[s]}\t{a}\t{b}" for path, word, s, a, b in rows]
    (root / "given.tsv").write_text("\n".join(["file\tword\tspk\tsplit\tstart\tend", *lines]) + "\n")


def write_kaldi(root: Path, folder: str, speakers: Sequence[str], said: Sequence[str], base: str) -> list[str]:
    """A Kaldi data directory; the ids of its utterances."""
    lines: dict[str, list[str]] = {"wav.scp": [], "text": [], "utt2spk": []}
    for s in speakers:
        for word in said:
            name = f"{s}-{word}"
            touch(root, [f"{base}/{name}.wav"])
            lines["wav.scp"].append(f"{name}\t{base}/{name}.wav")
            lines["text"].append(f"{name} {word}")
            lines["utt2spk"].append(f"{name} {s}")
    (root / folder).mkdir(parents=True)
    for file, content in lines.items():
        (root / folder / file).write_text("\n".join(content) + "\n")
    return [line.split("\t")[0] for line in lines["wav.scp"]]


def kaldi(place: Path) -> None:
    """`kaldi/data`, with `a.ctm`; `speechocean`, in its layout, with `b.ctm`."""
    for root, folder, said, ctm in (
        ("kaldi", "data", ("NO", "YES"), "a"),
        ("speechocean", "train", ("ONE", "SIX", "TWO"), "b"),
    ):
        ids = write_kaldi(place / root, folder, SPEAKERS, said, "WAVE")
        phones = [(0.0, "SIL"), (0.1, "N"), (0.2, "OW")]
        lines = [f"{name} 1 {start:.4f} 0.1000 {phone}" for name in ids for start, phone in phones]
        (place / f"{ctm}.ctm").write_text("\n".join(lines) + "\n")


def speech_commands(place: Path) -> None:
    """`kws`: names alone, and the lists of the official split; `kws_tones`: with sound."""
    names = [f"{w}/{s}_nohash_{t}.wav" for w in KWS_WORDS for i, s in enumerate(HEXADECIMAL) for t in range(1 + i % 2)]
    root = touch(place / "kws", names)
    for file, nth in (("validation_list.txt", 0), ("testing_list.txt", 1)):
        (root / file).write_text("\n".join(name for i, name in enumerate(names) if i % 90 // 2 % 10 == nth) + "\n")
    rng = np.random.default_rng(1)
    for folder in (root, place / "kws_tones"):
        (folder / "_background_noise_").mkdir(parents=True)
        for name in ("pink_noise", "running_tap"):
            soundfile.write(folder / "_background_noise_" / f"{name}.wav", 0.1 * rng.standard_normal(4 * RATE), RATE)
    for word, hz in KWS_WORDS.items():
        (place / "kws_tones" / word).mkdir()
        for i, s in enumerate(HEXADECIMAL[:24]):
            path = place / "kws_tones" / word / f"{s}_nohash_0.wav"
            soundfile.write(path, tone(hz * (1 + 0.01 * i), RATE // 2, rng), RATE)


def timit(place: Path) -> None:
    """`TIMIT`: in its layout, each phone a tone."""
    rng = np.random.default_rng(2)
    n = 1600
    for part, speakers in (("TRAIN", TIMIT_TRAIN), ("TEST", TIMIT_TEST)):
        for i, speaker in enumerate(speakers):
            for sentence in ("SA1", f"SI{600 + i}", f"SX{1 + i}", f"SX{91 + i}"):
                stem = place / "TIMIT" / part / f"DR{1 + i % 8}" / speaker.upper() / sentence
                labels = ["h#", *rng.permutation(list(PHONES_HZ)[1:]), "h#"]
                audio = np.concatenate([tone(PHONES_HZ[label] * (1 + 0.01 * i), n, rng) for label in labels])
                write_sphere(stem.with_suffix(".WAV"), np.rint(32767 * audio).astype(np.int16))
                lines = [f"{n * k} {n * (k + 1)} {label}\n" for k, label in enumerate(labels)]
                stem.with_suffix(".PHN").write_text("".join(lines))
                stem.with_suffix(".WRD").write_text(f"{n} {2 * n} she\n{2 * n} {4 * n} had\n")
                stem.with_suffix(".TXT").write_text(f"0 {len(audio)} She had, {sentence}.\n")


def librispeech(place: Path) -> None:
    """`LibriSpeech`: names and transcripts, with all subsets; `Libri100`: training alone."""
    subsets = {"train-clean-100": range(19, 31), "dev-clean": (84, 85), "test-clean": (61, 62), "test-other": (7,)}
    for root, some in (("LibriSpeech", subsets), ("Libri100", {"train-clean-100": range(19, 41)})):
        for subset, speakers in some.items():
            for speaker in speakers:
                for chapter in (speaker + 1, speaker + 2):
                    folder = place / root / subset / str(speaker) / str(chapter)
                    names = [f"{speaker}-{chapter}-{i:04d}" for i in range(2)]
                    touch(folder, [f"{name}.flac" for name in names])
                    text = "".join(f"{name} NUMBER {name[-1]}\n" for name in names)
                    (folder / f"{speaker}-{chapter}.trans.txt").write_text(text)


def research_files(place: Path) -> None:
    """`train.pkl`, `test.pkl`: frames with their label in column 0, as the GenHMM research code dumps them."""
    rng = np.random.default_rng(3)
    centres = 3 * rng.standard_normal((len(FRAME_PHONES), 4))
    for name, first, n in (("train", 0, 8), ("test", 8, 2)):
        speakers = [f"{'fm'[i % 2]}a{chr(97 + i)}x{i % 10}" for i in range(first, first + n)]
        keys = [f"dr1_{s}_{sentence}" for s in speakers for sentence in ("sa1", "si648", "sx27")]
        data = []
        for _ in keys:
            labels = np.repeat(rng.permutation(len(FRAME_PHONES)), rng.integers(4, 9, len(FRAME_PHONES)))
            data.append(np.column_stack([labels, centres[labels] + rng.standard_normal((len(labels), 4))]))
        (place / f"{name}.pkl").write_bytes(pickle.dumps([data, keys, [len(one) for one in data], FRAME_PHONES], 4))


def digits(place: Path, recordings: Path) -> None:
    """`digits`: of the Free Spoken Digits for each digit and speaker a take to test, one to validate, one to train."""
    (place / "digits" / "recordings").mkdir(parents=True)
    for path in sorted(recordings.glob("*.wav")):
        if path.stem.rpartition("_")[2] in ("0", "5", "10"):
            shutil.copy(path, place / "digits" / "recordings" / path.name)
