"""Whole recordings with their speakers, phrases and trials: what verification is trained and scored on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phonaut.data.datamodule import SpeechData
from phonaut.data.spans import Spans
from phonaut.data.trials import TrialList
from phonaut.features.vad import activity

if TYPE_CHECKING:
    from phonaut.data.prepared import PreparedCorpus

TURN = "turn_{}"  # lists of the turns in which background speakers are left out, from 1


class TrialData(SpeechData):
    """A prepared corpus of verification: each recording is a span, from where speech begins to where it ends.

    Args:
        prepared: the corpus; its speakers in training are the classes of what is trained by gradients.
        trim: leave out what lies before and after speech.
        **options: of `SpeechData`.

    Raises:
        ValueError: as `SpeechData`.
    """

    def __init__(self, prepared: PreparedCorpus, *, trim: bool, **options: Any) -> None:
        self.trim = trim
        self.trials_left_out: dict[str, int] = {}
        super().__init__(prepared, target="speaker", **options)

    def read_spans(self, split: str) -> None:
        """The recordings of a split, their ends trimmed."""
        super().read_spans(split)
        if not self.trim or self.prepared.frames is not None or not len(self.spans[split].label):
            return
        table, spans = self.prepared.utterances(split), self.spans[split]
        found = [activity(table.audio(row), table.sample_rate) for row in spans.row.tolist()]
        start_s, end_s = (np.array(column) for column in zip(*((one.start_s, one.end_s) for one in found), strict=True))
        self.spans[split] = Spans(spans.offset, start_s, end_s, spans.label)

    def trials(self, split: str) -> TrialList | None:
        """The trials of a split whose recordings there are; None: there are none.

        Recordings of lists that were refused are missing; their trials are left out, and counted.
        """
        trials = self.prepared.trials(split)
        if trials is None:
            return None
        of = "train" if split.startswith(TURN.format("")) else split
        kept = trials.keeping(set(self.ids(of)))
        self.trials_left_out[split] = len(trials) - len(kept)
        return kept if len(kept) else None

    def n_trials_left_out(self, split: str) -> int:
        """Trials of a split whose recordings were refused; of development in turns, of all turns."""
        if self.prepared.trials(split) is None and split == "validation":
            return sum(n for name, n in self.trials_left_out.items() if name.startswith(TURN.format("")))
        return self.trials_left_out.get(split, 0)

    def turns(self) -> list[TrialList]:
        """The trials of the turns in which background speakers are left out; none where development has its own."""
        found, n = list[TrialList](), 1
        while (trials := self.trials(TURN.format(n))) is not None:
            found.append(trials)
            n += 1
        return found

    def ids(self, split: str) -> list[str]:
        """The id of each recording, in the order of the corpus."""
        table = self.prepared.utterances(split)
        return [table.id(row) for row in self.spans[split].row.tolist()]

    def phrases(self, split: str) -> list[str]:
        """The phrase of each recording: its word, else its sentence; empty where it is not known, or any."""
        table = self.prepared.utterances(split)
        names = (table.word_name(row) or table.sentence(row) for row in self.spans[split].row.tolist())
        return ["" if name.startswith("_") and name.endswith("_") else name for name in names]
