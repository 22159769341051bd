"""Several corpora as one: without labels for pre-training, or to tell the speakers of all of them apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pkgutil import resolve_name
from typing import Any

from phonaut.checks import refuse
from phonaut.corpora.base import Corpus
from phonaut.corpora.options import as_list
from phonaut.corpora.protocols.validation import some
from phonaut.data.utterance import Utterance
from phonaut.names import nearest, same_id


@dataclass
class Part:
    """One corpus of a mix.

    Args:
        name: of the corpus; stands before the ids of its recordings and speakers.
        corpus: the adapter.
        weight: how often each of its recordings comes in an epoch, on average. It is for whoever makes batches.
    """

    name: str
    corpus: Corpus
    weight: float = 1.0


class Mix(Corpus):
    """All recordings of several corpora, whole, with speakers and transcripts but no other classes.

    Ids of recordings and speakers are `<corpus>/<id>`. Recordings of speakers who are to be left out are not even
    listed. `protocol=unlabelled` divides it for pre-training.

    Args:
        corpora: the parts.
        leave_out_speakers: `<corpus>/<speaker>`, or `<speaker>` in whichever corpora there is one.
        labelled: utterances keep their words, as the phrases of verification, and parts of one recording its name, so
            that other protocols can divide them; official splits are not kept, which would be those of some parts.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "mix"  # of one corpus alone, that corpus's

    def __init__(
        self,
        *,
        corpora: Sequence[Part],
        leave_out_speakers: Sequence[object] | str | None = None,
        labelled: bool = False,
    ) -> None:
        self.parts, self.labelled = list(corpora), labelled
        self.left_out = as_list(leave_out_speakers)
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
        refuse(problems)
        if len(names) == 1:
            self.name = names[0]

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """All problems of the options, and of those of the parts."""
        if any("corpus" not in part for part in options["corpora"]):
            return []  # of another training loop, which says so
        problems = []
        for part in options["corpora"]:
            inner = dict(part["corpus"])
            corpus: Any = resolve_name(inner.pop("_target_"))
            problems += corpus.problems(**inner)
        parts = [Part(part["name"], part["corpus"], part["weight"]) for part in options["corpora"]]
        return [*problems, *super().problems(**{**options, "corpora": parts})]

    def words(self) -> list[str] | None:
        """There are no keywords, but the words of the parts where these are kept."""
        return None if self.labelled else []

    def utterances(self) -> Iterator[Utterance]:
        """Every recording, part by part, but for those of speakers who are left out."""
        for part in self.parts:
            for utterance in part.corpus.utterances():
                if (part.name, utterance.speaker) not in self.absent:
                    yield replace(
                        utterance,
                        id=f"{part.name}/{utterance.id}",
                        split=None,
                        speaker=utterance.speaker and f"{part.name}/{utterance.speaker}",
                        word=utterance.word if self.labelled else None,
                        phones=(),
                        recording=f"{part.name}/{whole}" if self.labelled and (whole := utterance.recording) else None,
                    )

    def complete(self, utterance: Utterance) -> Utterance | None:
        """An utterance with its transcript, as its corpus reads it."""
        name, _, inner = utterance.id.partition("/")
        part = next(part for part in self.parts if part.name == name)
        complete = part.corpus.complete(replace(utterance, id=inner))
        return None if complete is None else replace(complete, id=utterance.id, phones=())

    def title(self) -> str:
        """The names of the parts, and who is left out."""
        absent = ["/".join(pair) for pair in self.absent]
        out = f", without {len(absent)} speakers, who are left out of all of it: {some(absent, 12)}" if absent else ""
        recordings = "recordings" if self.labelled else "unlabelled recordings"
        return f"{recordings} of {', '.join(part.name for part in self.parts)}{out}"

    def refused(self) -> list[dict[str, str]]:
        """Files that the corpora refused."""
        return [line for part in self.parts for line in part.corpus.refused()]

    @cached_property
    def absent(self) -> set[tuple[str, str]]:
        """The speakers who are left out, as corpus and speaker.

        Raises:
            ValueError: a name means nobody.
        """
        if not self.left_out:
            return set()
        everybody = sorted({(part.name, u.speaker) for part in self.parts for u in part.corpus.utterances()})
        absent: set[tuple[str, str]] = set()
        missing = []
        for asked in self.left_out:
            part, _, name = asked.rpartition("/")
            matches = {pair for pair in everybody if asked == "/".join(pair) or same_id(asked, pair[1])}
            matches = matches or {pair for pair in everybody if pair[0] == part and same_id(name, pair[1])}
            absent |= matches
            if not matches:
                near = nearest(asked, ["/".join(pair) for pair in everybody])
                missing.append(f"{asked} (nearest: {', '.join(near)})")
        if missing:
            raise ValueError(f"leave_out_speakers names speakers that no corpus has: {'; '.join(missing)}")
        return absent
