"""The ledger of a preparation: utterances that are listed, recordings that are refused, and remarks."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from phonaut.data.preparation.clip_window import Placement
from phonaut.data.prepared import REFUSED, REMARKS
from phonaut.data.utterance import SILENCE, SPLITS, Utterance
from phonaut.files import naming, write_line
from phonaut.names import printable, some


class Ledger:
    """The list of utterances, and files of refused recordings and of remarks.

    Attributes:
        about: further keys of the summary.
        speakers: of what was refused.
    """

    def __init__(self, stack: ExitStack, folder: Path, spool: BinaryIO) -> None:
        self.spool = spool
        self.refused: TextIO = stack.enter_context((folder / REFUSED).open("w", encoding="utf-8"))
        self.remarked: TextIO = stack.enter_context((folder / REMARKS).open("w", encoding="utf-8"))
        self.n_refused = self.n_remarks = 0
        self.remarks: Counter[str] = Counter()
        self.examples: dict[str, str] = {}  # of what was refused, by split
        self.about: dict[str, Any] = {}
        self.speakers: set[str] = set()

    def append(self, utterance: Utterance, placement: Placement) -> None:
        """List an utterance."""
        with naming(self.spool.name):
            pickle.dump((utterance, placement), self.spool)

    def refuse(self, utterance: Utterance, reason: str) -> None:
        """Write down an utterance that is left out."""
        path = printable(utterance.path)
        self.examples.setdefault(str(utterance.split), f"{path}: {reason}")
        if utterance.word != SILENCE:
            self.speakers.add(utterance.speaker)
        self.refuse_file({"path": path, "reason": reason, "cut": printable(utterance.id)})

    def refuse_file(self, line: dict[str, str]) -> None:
        """Write down a file that the adapter left out."""
        self.examples.setdefault("", f"{line['path']}: {line['reason']}")
        self.n_refused += 1
        write_line(self.refused, **line)

    def remark(self, utterance: Utterance, remarks: list[str]) -> None:
        """Write down what is worth knowing of the recording of an utterance that is used."""
        self.n_remarks += 1
        self.remarks.update(remarks)
        write_line(self.remarked, path=printable(utterance.path), remark="; ".join(remarks))

    def notes(self, kept: Iterable[str]) -> list[str]:
        """A note on the speakers of whom nothing is among the `kept` ones: how a corpus is divided counts them."""
        lost = sorted(self.speakers - {"", *kept})
        who = f"{len(lost)} speakers are" if len(lost) > 1 else "1 speaker is"
        return [f"{who} in no split, for all their recordings were refused: {some(lost)}"] if lost else []

    def check_splits(self, name: str, splits: dict[str, Any]) -> None:
        """Refuse a corpus of which a split came to nothing.

        Raises:
            ValueError: with the first reason, and what to do.
        """
        if not splits:
            example = f", the first being {self.examples['']}" if self.examples else " and no audio files were found"
            raise ValueError(f"{name} has no usable recording: {self.n_refused} were refused{example}")
        for split in SPLITS:
            if split in self.examples and split not in splits:
                raise ValueError(
                    f"nothing is left in the {split} split of {name}: all its recordings were refused "
                    f"({self.examples[split]}); repair or replace them, or divide the corpus in another way"
                )
