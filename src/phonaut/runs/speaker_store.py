"""Enrolled speakers on disk: a folder with `store.json`, and what a model keeps of each speaker's takes beside it.

Voices are kept as the model represents them, and as fingerprints; no recording is. References are computed from all
takes when they are needed, so that a take which is added or deleted leaves no trace of what was there before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.files import composed, expanded, locked, read_arrays, read_json, sweep, write_arrays, write_json
from phonaut.models.speakers.utterances import Utterances
from phonaut.names import did_you_mean, excerpt, shown

FORMAT = 1
STORE, LOCK = "store.json", ".lock"
LONGEST_NAME = 200
REPRESENTED, PRINTS, PRINT_LENGTHS = "represented/", "fingerprints", "fingerprint_lengths"


@dataclass(frozen=True)
class Take:
    """A recording that enrols a speaker.

    Attributes:
        name: of its file.
        speech_s: speech in it, seconds.
        added: when, as `2026-11-30 14:05`.
    """

    name: str
    speech_s: float
    added: str


@dataclass(frozen=True)
class Speaker:
    """A speaker as `store.json` lists it.

    Attributes:
        file: of what the model keeps of the takes.
        phrase: that the takes say; empty: any.
        takes: in their order.
    """

    file: str
    phrase: str
    takes: tuple[Take, ...]


class Voice(NamedTuple):
    """What is kept of the takes of a speaker.

    Attributes:
        represented: by the model, a row a take.
        fingerprints: of the takes, `(T, D)` each.
    """

    represented: Utterances
    fingerprints: list[NDArray[np.float16]]


@dataclass(frozen=True)
class Content:
    """The content of a `store.json`.

    Attributes:
        run: folder of the run that made the store.
        model: digest of what decides the numbers that it keeps.
        speakers: by name.
    """

    run: str
    model: str
    speakers: Mapping[str, Speaker]


class SpeakerStore:
    """A folder of enrolled speakers.

    Each change is written beside what was there and then takes its place, one process at a time.

    Args:
        folder: is made with the first speaker.

    Raises:
        ValueError: it is no store, or is damaged.
    """

    def __init__(self, folder: Path | str) -> None:
        if not isinstance(folder, (str, Path)):
            raise ValueError(f"a store of speakers is a folder, got {folder!r:.40}")
        try:
            self.folder = expanded(folder)
            if (self.folder.exists() and not self.folder.is_dir()) or (
                self.folder.is_dir()
                and not (self.folder / STORE).exists()
                and any(not path.name.startswith(".") for path in self.folder.iterdir())
            ):
                raise ValueError(
                    f"{self.folder} is no store of speakers: there is something else; name a folder of its own"
                )
            self.content()
        except OSError as error:
            raise ValueError(
                f"{excerpt(str(folder))} cannot be read as a store of speakers: {error.strerror}"
            ) from error

    def content(self) -> Content | None:
        """What the store lists; None before the first speaker.

        Raises:
            ValueError: it is damaged, or of another version of Phonaut.
        """
        path = self.folder / STORE
        if not path.exists():
            return None
        kept: dict[str, Any] = read_json(path, {})
        if kept.get("format") != FORMAT:
            raise ValueError(f"{path} has format {shown(str(kept.get('format')))}, not {FORMAT}: another version of "
                             "Phonaut wrote it, or it is no store of speakers")  # fmt: skip
        try:
            speakers = {
                name: Speaker(
                    text_of(one["file"]), text_of(one["phrase"]), tuple(take_of(take) for take in one["takes"])
                )
                for name, one in kept["speakers"].items()
            }
            found = Content(text_of(kept["run"]), text_of(kept["model"]), speakers)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {type(error).__name__}, {error}") from error
        if wrong := [one.file for one in speakers.values() if Path(one.file).name != one.file]:
            raise ValueError(f"{path} is damaged: {shown(wrong[0])} is no file of the store")
        return found

    @property
    def speakers(self) -> Mapping[str, Speaker]:
        """The speakers by name, in the order in which they were enrolled."""
        found = self.content()
        return {} if found is None else found.speakers

    def speaker(self, name: str) -> Speaker:
        """A speaker of the store.

        Raises:
            ValueError: there is none of this name.
        """
        known, name = self.speakers, text_of_name(name)
        if name not in known:
            there = did_you_mean(name, known) if known else "; it has no speaker yet"
            raise ValueError(f"{self.folder} has no speaker {excerpt(shown(name))}{there}")
        return known[name]

    def voice(self, name: str) -> Voice:
        """What is kept of a speaker's takes.

        Raises:
            ValueError: there is no such speaker, or the file is damaged.
        """
        speaker = self.speaker(name)
        try:
            return self._read(speaker)
        except FileNotFoundError:  # changed by another process since its name was read
            speaker = self.speaker(name)
        try:
            return self._read(speaker)
        except FileNotFoundError as error:
            raise ValueError(f"{self.folder} is damaged: {speaker.file} of {shown(name)} is missing") from error

    def _read(self, speaker: Speaker) -> Voice:
        path = self.folder / speaker.file
        arrays = read_arrays(path)
        try:
            kept = {key.removeprefix(REPRESENTED): one for key, one in arrays.items() if key.startswith(REPRESENTED)}
            represented = Utterances.from_arrays(kept)
            prints = np.split(arrays[PRINTS], np.cumsum(arrays[PRINT_LENGTHS])[:-1])
            if not len(represented) == len(prints) == len(speaker.takes):
                raise ValueError(f"it has {len(represented)} takes, and {STORE} lists {len(speaker.takes)}")
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        return Voice(represented, prints)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other processes from changing the store."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self.folder / LOCK):
                sweep(self.folder)
                yield
        except OSError as error:
            raise OSError(f"{self.folder} cannot be written, and nothing in it was changed: "
                          f"{error.strerror or error}") from error  # fmt: skip

    def put(self, name: str, phrase: str, takes: Sequence[Take], voice: Voice, *, run: Path, model: str) -> None:
        """Add a speaker, or replace the takes of one; within `changing`.

        Args:
            name: any text that can be printed.
            phrase: that the takes say; empty: any.
            takes: a row of `voice` each.
            voice: what is kept.
            run: that made it.
            model: its digest.

        Raises:
            ValueError: another model made the store, or the name is none.
        """
        name = name_of(name)
        found = self.content() or Content(str(run.resolve()), model, {})
        self.check_model(model)
        lengths = np.array([len(one) for one in voice.fingerprints], np.int64)
        arrays = {f"{REPRESENTED}{key}": one for key, one in voice.represented.arrays().items()}
        arrays |= {PRINTS: np.concatenate(voice.fingerprints), PRINT_LENGTHS: lengths}
        digest = hashlib.sha256(name.encode())
        for array in arrays.values():
            digest.update(np.ascontiguousarray(array).tobytes())
        file = f"{digest.hexdigest()[:24]}.npz"
        write_arrays(self.folder / file, arrays)
        self._write(replace(found, speakers={**found.speakers, name: Speaker(file, phrase, tuple(takes))}))

    def rename(self, old: str, new: str) -> None:
        """Give a speaker another name.

        Raises:
            ValueError: there is no such speaker, or the new name is taken or none.
        """
        old, new = text_of_name(old), name_of(new)
        self.speaker(old)
        with self.changing():
            self.speaker(old)
            found = self.content()
            assert found is not None
            if new in found.speakers:
                raise ValueError(f"{self.folder} has a speaker {shown(new)} already: delete that one first")
            self._write(
                replace(found, speakers={new if name == old else name: one for name, one in found.speakers.items()})
            )

    def delete(self, name: str, take: int | None = None) -> None:
        """Remove a speaker, or one take of several.

        Args:
            name: of the speaker.
            take: number of the take, from 1; None: the speaker.

        Raises:
            ValueError: there is no such speaker or take, or it is the only one.
        """
        self.speaker(name)
        name = text_of_name(name)
        with self.changing():
            speaker, found = self.speaker(name), self.content()
            assert found is not None
            if take is None:
                self._write(replace(found, speakers={n: one for n, one in found.speakers.items() if n != name}))
                return
            n = len(speaker.takes)
            if not 1 <= take <= n:
                raise ValueError(f"take={take}: {shown(name)} has takes 1 to {n}")
            if n == 1:
                raise ValueError(f"take={take} is the only one of {shown(name)}: delete the speaker")
            kept = [row for row in range(n) if row != take - 1]
            voice = self._read(speaker)
            fewer = Voice(voice.represented.select(kept), [voice.fingerprints[row] for row in kept])
            takes = [speaker.takes[row] for row in kept]
            self.put(name, speaker.phrase, takes, fewer, run=Path(found.run), model=found.model)

    def check_model(self, model: str) -> None:
        """Refuse to read or add to what another model made.

        Raises:
            ValueError: another one made the store.
        """
        found = self.content()
        if found is not None and found.model != model:
            raise ValueError(f"{self.folder} was made by another model, {found.run}, or by what that was before it was "
                             "trained anew: enroll its speakers anew, into another folder")  # fmt: skip

    def _write(self, content: Content) -> None:
        """Replace `store.json`, then remove files that it does not list any more."""
        speakers = {name: asdict(one) for name, one in content.speakers.items()}
        write_json(
            self.folder / STORE,
            {"format": FORMAT, "run": content.run, "model": content.model, "speakers": speakers},
        )
        listed = {one.file for one in content.speakers.values()}
        for path in self.folder.glob("*.npz"):
            if path.name not in listed and len(path.stem) == 24:
                path.unlink(missing_ok=True)


def text_of(value: object) -> str:
    """A text.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def take_of(kept: Mapping[str, Any]) -> Take:
    """A take from `store.json`; KeyError, TypeError or ValueError where it is none."""
    return Take(text_of(kept["name"]), float(kept["speech_s"]), text_of(kept["added"]))


def text_of_name(name: object) -> str:
    """A name that may be in a store, composed.

    Raises:
        ValueError: it is no text.
    """
    if not isinstance(name, str):
        raise ValueError(f"a speaker's name must be text, got {name!r:.40}")
    return composed(name)


def name_of(name: str) -> str:
    """A name of a speaker, composed.

    Raises:
        ValueError: it is empty, too long, or cannot be printed.

    >>> name_of("Zoë of the north")
    'Zoë of the north'
    """
    made = text_of_name(name)
    if not made.strip() or made != made.strip() or not made.isprintable() or len(made) > LONGEST_NAME:
        raise ValueError(f"a speaker's name must be printable text of 1 to {LONGEST_NAME} characters, without spaces "
                         f"at its ends; got {shown(name)[:60] or 'nothing'}")  # fmt: skip
    return made
