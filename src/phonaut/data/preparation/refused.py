"""Refused recordings and remarks, written down while a corpus is prepared."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from phonaut.data.prepared import REFUSED, REMARKS
from phonaut.data.utterance import SPLITS


class Ledger:
    """Files of refused recordings and of remarks, and counts of the utterances of each split."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.refused: TextIO = stack.enter_context((folder / REFUSED).open("w", encoding="utf-8"))
        self.remarked: TextIO = stack.enter_context((folder / REMARKS).open("w", encoding="utf-8"))
        self.n_refused = self.n_remarks = 0
        self.remarks: Counter[str] = Counter()
        self.n_listed: Counter[str] = Counter()
        self.examples: dict[str, str] = {}  # of what was refused, by split

    def refuse(self, cut: dict[str, Any], split: str, reason: str) -> None:
        """Write down a cut that is left out."""
        self.examples.setdefault(split, f"{cut['path']}: {reason}")
        self.refuse_file({"path": cut["path"], "reason": reason, "cut": cut["id"]})

    def refuse_file(self, line: dict[str, str]) -> None:
        """Write down a file that the adapter left out."""
        self.examples.setdefault("", f"{line['path']}: {line['reason']}")
        self.n_refused += 1
        put(self.refused, **line)

    def remark(self, cut: dict[str, Any], remarks: list[str]) -> None:
        """Write down what is worth knowing of a recording that is kept."""
        self.n_remarks += 1
        self.remarks.update(remarks)
        put(self.remarked, path=cut["path"], remark="; ".join(remarks))

    def check_splits(self, name: str, splits: dict[str, Any]) -> None:
        """Refuse a corpus of which a split came to nothing.

        Raises:
            ValueError: with the first reason, and what to do.
        """
        if not splits:
            example = f", the first being {self.examples['']}" if self.examples else " and no audio files were found"
            raise ValueError(f"{name} has no usable recording: {self.n_refused} were refused{example}")
        for split in SPLITS:
            if self.n_listed[split] and split not in splits:
                raise ValueError(
                    f"nothing is left in the {split} split of {name}: all its recordings were refused "
                    f"({self.examples[split]}); repair or replace them, or divide the corpus in another way"
                )


def put(file: TextIO, **line: Any) -> None:
    """Append a line of JSON."""
    file.write(json.dumps(line, ensure_ascii=False) + "\n")
