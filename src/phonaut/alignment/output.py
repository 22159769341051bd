"""The folder of a corpus's alignments: CTM, TextGrid, lhotse's supervisions, what could not be aligned, figures."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from phonaut.alignment.textgrid import textgrid
from phonaut.alignment.utterances import Aligned, Utterance
from phonaut.corpora.phone_alignments import Alignment, write_ctm
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import SPLITS, Phone
from phonaut.files import atomic_folder, read_json, sweep, write_bytes, write_json, write_text

FIGURES, NOT_ALIGNED, TEXTGRIDS = "align.json", "not_aligned.json", "textgrid"
Times = dict[str, tuple[Phone, ...]]  # by utterance


class Folder:
    """Journal of what was written so far, and by which settings.

    Args:
        path: of the folder.
        prepared: the corpus that is aligned.

    Raises:
        ValueError: the folder has alignments of another corpus.
    """

    def __init__(self, path: Path, prepared: PreparedCorpus) -> None:
        self.path, self.prepared = path, prepared
        sweep(path)
        self.figures: dict[str, Any] = read_json(path / FIGURES, {}) or {"dataset": prepared.name, "aligners": {}}
        if self.figures["dataset"] != prepared.name:
            raise ValueError(
                f"output={path} has alignments of {self.figures['dataset']}; type output=FOLDER for those of "
                f"{prepared.name}"
            )

    def key(self, aligner: str) -> str | None:
        """A hash of the settings that an alignment was made with; None: it is not there."""
        about = self.figures["aligners"].get(aligner)
        there = all((self.path / f"{aligner}{end}").is_file() for end in (".ctm", "_words.ctm", ".jsonl.gz"))
        return str(about["key"]) if about and there else None

    def write(
        self, aligner: str, key: str, found: Sequence[Aligned], wanted: Sequence[Utterance], about: dict[str, Any]
    ) -> None:
        """Keep an alignment, and what could not be aligned."""
        aligned = [one for one in found if one.phones]
        if self.figures["aligners"].pop(aligner, None):  # killed before all is written, it is none that is there
            write_json(self.path / FIGURES, self.figures)
        write_ctm(self.path / f"{aligner}.ctm", ((one.id, one.phones) for one in aligned))
        write_ctm(self.path / f"{aligner}_words.ctm", ((one.id, one.words) for one in aligned))
        by_id = {one.id: one for one in wanted}
        lines = (json.dumps(self.supervision(by_id[one.id], one), ensure_ascii=False) + "\n" for one in aligned)
        write_bytes(self.path / f"{aligner}.jsonl.gz", gzip.compress("".join(lines).encode(), 6, mtime=0))
        others = [one for one in self.not_aligned() if one["aligner"] != aligner]
        failed = [{"id": one.id, "aligner": aligner, "reason": one.reason} for one in found if not one.phones]
        write_json(self.path / NOT_ALIGNED, others + failed)
        counts = {"n_aligned": len(aligned), "n_not_aligned": len(failed)}
        self.figures["aligners"][aligner] = {"key": key} | counts | about
        self.figures.pop("key", None)
        write_json(self.path / FIGURES, self.figures)

    def finish(self, key: str, differences: list[dict[str, Any]]) -> None:
        """Say that all is written."""
        self.figures |= {"key": key, "prepared": self.prepared.folder.name, "differences": differences}
        write_json(self.path / FIGURES, self.figures)

    def not_aligned(self) -> list[dict[str, str]]:
        """Utterances without an alignment: `{"id", "aligner", "reason"}`."""
        return read_json(self.path / NOT_ALIGNED, [])

    def phones(self, aligner: str) -> Times:
        """The phones of an alignment, by utterance."""
        return times_of(self.path / f"{aligner}.ctm")

    def words(self, aligner: str) -> Times:
        """The words of an alignment, by utterance."""
        return times_of(self.path / f"{aligner}_words.ctm", has_words=True)

    def supervision(self, utterance: Utterance, found: Aligned) -> dict[str, Any]:
        """An utterance as lhotse's SupervisionSegment, in the times of the user's own recording."""
        table, row = self.prepared.utterances(utterance.split), utterance.row
        rate = self.prepared.sample_rate
        start_s, before_s = int(table.start[row]) / rate, int(table.before[row]) / rate

        def items(phones: Iterable[Phone]) -> list[list[Any]]:
            moved_s = start_s - before_s
            return [[p.label, round(p.start_s + moved_s, 6), round(p.end_s - p.start_s, 6), None] for p in phones]

        return {
            "id": utterance.id,
            "recording_id": table.recording(row),
            "start": start_s,
            "duration": int(table.valid[row]) / rate,
            "channel": self.channels.get(utterance.id, 0),
            "text": table.text(row),
            "speaker": utterance.speaker,
            "alignment": {"phone": items(found.phones), "word": items(found.words)},
        }

    @cached_property
    def channels(self) -> dict[str, int]:
        """The channel of utterances that are of another one than the first, by id."""
        found: dict[str, int] = {}
        for manifest in filter(Path.exists, map(self.prepared.manifest_file, SPLITS)):
            with gzip.open(manifest, "rt", encoding="utf-8") as lines:
                found |= {cut["id"]: cut["channel"] for cut in map(json.loads, lines) if cut["channel"]}
        return found

    def write_textgrids(self, wanted: Sequence[Utterance], tiers: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """A TextGrid for each utterance that one of the tiers has."""
        with atomic_folder(self.path / TEXTGRIDS) as folder:
            for one in wanted:
                own = [(name, times[one.id]) for name, times in tiers if one.id in times]
                if own:
                    table = self.prepared.utterances(one.split)
                    path = folder / f"{inside(one.id)}.TextGrid"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    duration_s = int(table.n_samples[one.row]) / self.prepared.sample_rate
                    path.write_text(textgrid(own, duration_s), encoding="utf-8")


class Journal:
    """Utterances as they are aligned, a line each, so that a run that was killed can go on.

    Args:
        path: of the file.
        key: of the settings; lines of others are forgotten.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.done = path, dict[str, Aligned]()
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []  # whole lines only
        if lines and lines[0] == key:
            self.done = {one.id: one for one in map(self.parsed, lines[1:])}
        write_text(path, "".join(f"{line}\n" for line in (key, *map(self.line, self.done.values()))))

    def add(self, found: Iterable[Aligned]) -> None:
        """Write down some more."""
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{self.line(one)}\n" for one in found)

    @staticmethod
    def line(one: Aligned) -> str:
        """An utterance as JSON."""
        parts = [[(p.label, p.start_s, p.end_s) for p in part] for part in (one.phones, one.words)]
        return json.dumps([one.id, *parts, one.reason], ensure_ascii=False)

    @staticmethod
    def parsed(line: str) -> Aligned:
        """The times that `line` wrote."""
        name, phones, words, reason = json.loads(line)
        return Aligned(name, tuple(Phone(*p) for p in phones), tuple(Phone(*p) for p in words), reason)


def times_of(path: Path, *, has_words: bool = False) -> Times:
    """The phones of a CTM file, or its words."""
    alignment = Alignment(path, has_words=has_words)
    return {name: alignment.phones(name) for name in alignment}


def inside(name: str) -> PurePosixPath:
    """The id of an utterance as a path that does not lead out of its folder."""
    return PurePosixPath(*[part for part in PurePosixPath(name).parts if part not in ("/", "..")])


def hash_of(*settings: object) -> str:
    """A hash of settings that are written as JSON."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]
