"""Readers of recordings and of tables that list them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from helpers.fuzz import Reader
from helpers.sphere_files import speechlike, write_sphere
from phonaut.corpora import FolderCorpus
from phonaut.data.preparation.audio import open_recording

RATE = 16000
SOUND = speechlike(1600)


def recording(path: Path) -> int:
    """All samples of a recording."""
    _, blocks = open_recording(path, RATE)
    return sum(map(len, blocks))


def sounds(*files: tuple[str, int, int, str | None]) -> Callable[[Path], list[Path]]:
    """Recordings as soundfile writes them: name, sample rate, number of channels, subtype."""

    def write(folder: Path) -> list[Path]:
        for name, rate, channels, subtype in files:
            audio = np.stack([SOUND / 32768] * channels, axis=1)
            kind = name.rpartition(".")[2].upper()
            subtype = "ALAW" if kind == "WVE" else subtype
            soundfile.write(folder / name, audio, rate, subtype, format=kind)
        return [folder / name for name, *_ in files]

    return write


def mp3s(folder: Path) -> list[Path]:
    """With and without a header of the whole, and two joined."""
    soundfile.write(folder / "a.mp3", SOUND / 32768, RATE)
    data = (folder / "a.mp3").read_bytes()
    second = data.find(data[:2], 4)
    (folder / "b.mp3").write_bytes(data[second:])
    (folder / "c.mp3").write_bytes(data + b"ID3\x03\0\0\0\0\0\x20" + b"\0" * 32 + data + b"TAG" + b" " * 125)
    return [folder / f"{name}.mp3" for name in "abc"]


def spheres(folder: Path) -> list[Path]:
    write_sphere(folder / "a.WAV", SOUND)
    write_sphere(folder / "b.sph", SOUND, order="10")
    return [folder / "a.WAV", folder / "b.sph"]


def rows(path: Path) -> int:
    """All utterances of a table."""
    return sum(1 for _ in FolderCorpus(data_folder=path).utterances())


def tables(folder: Path) -> list[Path]:
    header, lines = "path,label,speaker,start,end,split", []
    for i, speaker in enumerate(("anna", "bert", "carl", "dora")):
        for word in ("yes", "no"):
            (folder / f"{speaker}_{word}.wav").touch()
            lines.append(f"{speaker}_{word}.wav,{word},{speaker},0.0,1.5,{('train', 'train', 'dev', 'test')[i]}")
    text = "\n".join([header, *lines, ""])
    (folder / "a.csv").write_text(text)
    (folder / "b.tsv").write_text(text.replace(",", "\t"))
    (folder / "c.csv").write_text("\n".join(['"path";"label"', *(f'"{s.split(",")[0]}";"x, y"' for s in lines)]))
    return [folder / "a.csv", folder / "b.tsv", folder / "c.csv"]


READERS = {
    "wav": Reader(sounds(("a.wav", RATE, 1, None), ("b.wav", 44100, 2, "FLOAT")), recording, names_file=False),
    "flac": Reader(sounds(("a.flac", RATE, 1, None)), recording, names_file=False),
    "sphere": Reader(spheres, recording, names_file=False),
    "mp3": Reader(mp3s, recording, names_file=False),
    "ogg": Reader(sounds(("a.ogg", RATE, 1, "VORBIS"), ("b.ogg", RATE, 1, "OPUS")), recording, names_file=False),
    "aiff": Reader(sounds(("a.aiff", RATE, 1, None), ("b.aiff", RATE, 2, "ULAW")), recording, names_file=False),
    "other audio": Reader(
        sounds(*((f"a.{kind}", RATE, 1, None) for kind in ("rf64", "w64", "au", "caf", "svx", "voc", "avr", "wve"))),
        recording,
        names_file=False,
    ),
    "table": Reader(tables, rows),
}
