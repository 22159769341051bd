"""Google Speech Commands as it lies on disk: `{word}/{speaker}_nohash_{take}.wav`, lists, noise, two versions."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from phonaut.corpora.disk import Refused, entries, is_audio, stems
from phonaut.data.utterance import Utterance
from phonaut.files import composed, listed_path, text_lines
from phonaut.names import likest

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
ONLY_IN_V2 = frozenset({"backward", "follow", "forward", "learn", "visual"})
N_WORDS_V1 = 30
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
ARCHIVES = {  # version: address, checksum
    1: (
        "http://download.tensorflow.org/data/speech_commands_v0.01.tar.gz",
        "sha256:743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    ),
    2: (
        "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    ),
}
SPEAKER = re.compile("(.*?)_nohash_", re.IGNORECASE)


def word_folders(root: Path, refused: Refused) -> dict[str, list[str]]:
    """The folder names of each word, words sorted; folders `Bed` and `bed` hold one word, `bed`."""
    words: dict[str, list[str]] = {}
    for name in entries(str(root), refused)[1]:
        if not name.startswith("_"):
            words.setdefault(composed(name).lower(), []).append(name)
    return dict(sorted(words.items()))


def clips(root: Path, word: str, folders: Sequence[str], refused: Refused) -> Iterator[Utterance]:
    """The clips of a word, in the order of their names."""
    for folder in folders:
        place = os.path.join(root, folder)
        prefix = word if len(folders) == 1 else folder
        for file, stem in stems([file for file in entries(place, refused)[0] if is_audio(file)]):
            marked = SPEAKER.match(stem)
            # Google's code hashes the whole file name where it has no _nohash_: it is a speaker of its own.
            speaker = marked[1] if marked else file
            if marked and stem.isupper():  # ids are hexadecimal in lower case; some file systems shout
                speaker = speaker.lower()
            name = f"{prefix}/{stem}"
            yield Utterance(name, Path(place, file), speaker=speaker, word=word, text=word, recording=name.lower())


def official_lists(root: Path) -> dict[str, str] | None:
    """Split by clip id in lower case, from the corpus's own lists; what is on neither is for training.

    A line is `yes/0a7c2a8d_nohash_0.wav`, whatever folders stand before it. None: the lists are not there, as in a part
    of the corpus.
    """
    split_of = {}
    names = {name.lower(): name for name in entries(str(root), Refused())[0]}
    for split, name in LISTS.items():
        if name not in names:
            return None
        for line in text_lines(root / names[name]):
            clip = "/".join(listed_path(line).lower().split("/")[-2:])
            split_of[clip.rpartition(".")[0] if is_audio(clip) else clip] = split
    return split_of


def version(words: Collection[str]) -> str:
    """The version that has these words."""
    if ONLY_IN_V2 & set(words):
        return "v2"
    return "v1" if len(words) == N_WORDS_V1 else f"a part with {len(words)} words (v1 or v2)"


def keyword_list(words: Sequence[str] | str) -> list[str] | None:
    """The wanted words as a user may give them: a list, `yes,no`, or `all` (None).

    Raises:
        ValueError: there are none, or one is not a word.
    """
    if isinstance(words, str):
        if words.strip().lower() == "all":
            return None
        words = [word for word in words.strip("[]").split(",") if word.strip()]
    if any(isinstance(word, bool) for word in words):
        raise ValueError(
            'dataset.wanted_words: YAML reads yes, no, on and off without quotes as true and false; write "yes", "no"'
        )
    names = list(dict.fromkeys(composed(str(word)).strip().lower() for word in words))
    reserved = [name for name in names if name.startswith("_")]
    if reserved:
        raise ValueError(
            f"dataset.wanted_words: {', '.join(reserved)} is no word; _silence_ and _unknown_ are added by "
            "dataset.silence_prob and dataset.unknown_prob"
        )
    if not names:
        raise ValueError("dataset.wanted_words is empty; for all words of the corpus: dataset.wanted_words=all")
    return names


def check_words(keywords: Sequence[str] | None, root: Path) -> None:
    """Refuse a folder that is not the corpus, and wanted words that it lacks, all of them at once."""
    there = word_folders(root, Refused())
    elsewhere = better_place(root)
    if elsewhere or not there:
        raise ValueError(f"dataset.data_folder={root} does not hold one folder of clips per word{elsewhere}")
    missing = [word for word in keywords or () if word not in there]
    if missing:
        near = {word: likest(word, list(there)) for word in missing}
        hints = ", ".join(f"{word} ({' or '.join(near[word])}?)" if near[word] else word for word in missing)
        raise ValueError(
            f"dataset.wanted_words: {root} lacks {hints}; it has {', '.join(there)}. Type for example "
            f"'dataset.wanted_words=[{','.join(list(there)[:3])}]', or dataset.wanted_words=all"
        )


def better_place(root: Path) -> str:
    """A hint at the right folder, when `root` is one folder too high or too low; else nothing."""
    files, folders = entries(str(root), Refused())
    if any(SPEAKER.match(name) for name in files):
        return f": it is the folder of one word; type dataset.data_folder={root.absolute().parent}"
    for name in folders:
        inside_files, inside = entries(str(root / name), Refused())
        if any(map(is_audio, inside_files)):
            return ""
        words = [word for word in inside if not word.startswith("_")]
        if any(SPEAKER.match(file) for word in words[:1] for file in entries(str(root / name / word), Refused())[0]):
            return f"; type dataset.data_folder={root / name}"
    return ""
