"""Several corpora as one, without labels: what pre-training hears, divided by speaker, less whom a probe will test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from phonaut.corpora.noise import SILENCE
from phonaut.corpora.options import as_list, refuse
from phonaut.corpora.protocols.hashing import hash_percent, nearest, same_id, speakers_to_validate
from phonaut.data.utterance import NOISE_SPLITS, Corpus, Item


class Part:
    """One corpus of a mix.

    No dataclass, for Hydra would take it for a configuration.

    Args:
        name: of the corpus; stands before the ids of its recordings and speakers.
        corpus: the adapter.
        weight: how often each of its recordings comes in an epoch, on average. It is for whoever makes batches.
    """

    def __init__(self, name: str, corpus: Corpus, weight: float = 1.0) -> None:
        self.name, self.corpus, self.weight = name, corpus, weight


class Mix:
    """All recordings of several corpora, whole, with speakers and transcripts but no classes.

    How a corpus divides itself is not looked at: each speaker is in training or in validation. Ids of recordings and
    speakers are `<corpus>/<id>`. Recordings of speakers who are to be left out are not even listed.

    Args:
        corpora: the parts.
        leave_out_speakers: `<corpus>/<speaker>`, or `<speaker>` in whichever corpora there is one.
        validation_pct: per cent of each corpus's speakers who are validated on.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "mix"  # of one corpus alone, that corpus's
    clip_s: float | None = None

    def __init__(
        self,
        *,
        corpora: Sequence[Part],
        leave_out_speakers: Sequence[object] | str | None = None,
        validation_pct: float = 10.0,
    ) -> None:
        self.parts = list(corpora)
        self.left_out = as_list(leave_out_speakers)
        self.validation_pct = validation_pct
        names = [part.name for part in self.parts]
        problems = [] if names else ["dataset.corpora is empty: dataset.corpora=[{name: speechocean762, weight: 1}]"]
        if len(set(names)) < len(names):
            problems.append(
                f"dataset.corpora has two parts of one name ({', '.join(names)}): give one an as: of its own"
            )
        problems += [
            f"dataset.corpora: {part.name} has weight {part.weight}; it is above 0"
            for part in self.parts
            if not part.weight > 0
        ]
        if not 0 < validation_pct < 100:
            problems.append(f"dataset.validation_pct={validation_pct}: above 0 and below 100")
        refuse(problems)
        if len(names) == 1:
            self.name = names[0]
        self._known: dict[str, list[str]] | None = None

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """What is wrong with options, as far as can be seen at a glance, for the check of a configuration."""
        from hydra.utils import get_class

        if any("corpus" not in part for part in options["corpora"]):
            return []  # of another training loop, which says so
        problems = []
        for part in options["corpora"]:
            inner = dict(part["corpus"])
            corpus = get_class(inner.pop("_target_"))
            if hasattr(corpus, "problems"):
                problems += corpus.problems(**inner)
        try:
            cls(**{**options, "corpora": [Part(p["name"], p["corpus"], p["weight"]) for p in options["corpora"]]})
        except ValueError as error:
            problems.append(str(error))
        return problems

    def settings(self) -> dict[str, Any]:
        """Everything beside the recordings that decides which cuts there are."""
        return {
            "corpus": type(self).name,
            "parts": {part.name: part.corpus.settings() for part in self.parts},
            "left_out": sorted(f"{part}/{name}" for part, name in self.absent()),
            "validation_pct": self.validation_pct,
        }

    def words(self) -> list[str] | None:
        """There are no keywords."""
        return []

    def items(self) -> Iterator[Item]:
        """Every recording of whom is not left out, part by part."""
        absent, validated = self.absent(), self.validated()
        for part in self.parts:
            for item in usable(part.corpus):
                speaker = (part.name, item.speaker)
                if speaker in absent:
                    continue
                yield replace(
                    item,
                    id=f"{part.name}/{item.id}",
                    split="validation" if speaker in validated else "train",
                    speaker=f"{part.name}/{item.speaker}",
                    word=None,
                    phones=(),
                )

    def notes(self) -> list[str]:
        """The protocol."""
        absent, validated = (sorted("/".join(pair) for pair in chosen) for chosen in (self.absent(), self.validated()))
        names = ", ".join(part.name for part in self.parts)
        n = sum(map(len, self.known().values()))
        out = f"; {len(absent)} speakers are left out of all of it: {shown(absent)}" if absent else ""
        return [
            f"unlabelled recordings of {names}, divided by speaker: {len(validated)} of {n - len(absent)} validate, "
            f"{shown(validated)}{out}"
        ]

    def refused(self) -> list[dict[str, str]]:
        """What the corpora refused."""
        return [line for part in self.parts for line in part.corpus.refused()]

    def known(self) -> dict[str, list[str]]:
        """The speakers of each part, sorted."""
        if self._known is None:
            self._known = {part.name: sorted({item.speaker for item in usable(part.corpus)}) for part in self.parts}
        return self._known

    def absent(self) -> set[tuple[str, str]]:
        """The speakers who are left out.

        Raises:
            ValueError: a name means nobody.
        """
        everybody = [(part, speaker) for part, speakers in self.known().items() for speaker in speakers]
        found: set[tuple[str, str]] = set()
        missing = []
        for asked in self.left_out:
            means = {pair for pair in everybody if asked == "/".join(pair) or same_id(asked, pair[1])}
            if not means:
                part, _, name = asked.rpartition("/")
                means = {pair for pair in everybody if pair[0] == part and same_id(name, pair[1])}
            found |= means
            if not means:
                near = nearest(asked, ["/".join(pair) for pair in everybody])
                missing.append(f"{asked} (nearest: {', '.join(near)})")
        if missing:
            raise ValueError(f"leave_out_speakers names speakers that no corpus has: {'; '.join(missing)}")
        return found

    def validated(self) -> set[tuple[str, str]]:
        """The speakers who are validated on: of each corpus that can spare some, or one of all.

        Raises:
            ValueError: there are not two speakers.
        """
        absent = self.absent()
        left = {
            part: [speaker for speaker in speakers if (part, speaker) not in absent]
            for part, speakers in self.known().items()
        }
        found = {
            (part, speaker)
            for part, speakers in left.items()
            for speaker in speakers_to_validate(speakers, (), self.validation_pct)
        }
        if found:
            return found
        ranked = sorted((hash_percent(speaker), part, speaker) for part, names in left.items() for speaker in names)
        if len(ranked) < 2:
            raise ValueError(
                f"{len(ranked)} speakers are left in dataset={', '.join(left)}; two are needed: one to train on and "
                "one to validate on"
            )
        return {ranked[0][1:]}


def usable(corpus: Corpus) -> Iterator[Item]:
    """The recordings of somebody who speaks."""
    return (item for item in corpus.items() if item.split not in NOISE_SPLITS and item.word != SILENCE)


def shown(names: Sequence[str], most: int = 12) -> str:
    """Names in a line; of many, the first."""
    return ", ".join(names[:most]) + (f" ... ({len(names)})" if len(names) > most else "")
