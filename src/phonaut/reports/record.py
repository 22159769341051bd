"""Files of a run, read once: the input of every report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.config.compose import to_yaml
from phonaut.config.metrics import registered_metrics
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import SILENCE, SPLITS
from phonaut.metrics import ClassRates, Estimate, Metric, by_class, by_speaker, confusion_matrix, unregistered
from phonaut.reports.text import trained_speakers
from phonaut.runs.run import Run
from phonaut.tasks.predictions import Predictions
from phonaut.tasks.recordings import FOLDERS_FILE

ACCURACY = "accuracy"
# Names of one item and of the task.
ITEM = {"keyword": "clip", "phone": "phone", "speaker": "recording", "none": "recording", "verification": "trial"}
ITEM |= {"gender": "recording", "generation": "window"}
TASK = {"keyword": "keyword spotting", "phone": "phone classification", "speaker": "speaker identification"}
TASK |= {"gender": "gender classification"}
TASK |= {"none": "pre-training", "verification": "speaker verification", "generation": "speech generation"}


@dataclass(frozen=True)
class Evaluation:
    """One line of `metrics.json` with the predictions behind it.

    Attributes:
        name: the split, or the folder that was scored.
        rates: metric -> figure; a metric under a condition is `accuracy/noise_10_db`.
        predictions: None where the file has gone.
    """

    name: str
    rates: dict[str, Estimate]
    predictions: Predictions | None

    @cached_property
    def metric(self) -> Metric:
        """The metric of the headline: the first of the registry that there is."""
        known = [metric for name, metric in registered_metrics().items() if name in self.rates]
        return known[0] if known else unregistered(next(iter(self.rates)))

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Mask of the items that count, `(N,)`: of known class, or all of a task without classes."""
        assert self.predictions is not None
        known: NDArray[np.bool_] = (self.predictions.label >= 0) | (len(self.predictions.classes) == 0)
        return known

    @cached_property
    def classified(self) -> bool:
        """True where predictions of classes are there, some of them count, and right answers are what is counted."""
        counted = self.predictions is not None and len(self.predictions.classes) > 0 and bool(self.known.any())
        return counted and ACCURACY in self.rates

    @cached_property
    def by_class(self) -> list[ClassRates]:
        """Precision, recall and F1 of every class."""
        p = self.predictions
        assert p is not None
        return by_class(p.label, p.predicted, p.speaker, [str(name) for name in p.classes])

    @cached_property
    def by_speaker(self) -> dict[str, Estimate]:
        """Accuracy of every speaker."""
        p = self.predictions
        assert p is not None
        of_people = p.label_name != SILENCE
        return by_speaker(p.label[of_people], p.predicted[of_people], p.speaker[of_people])

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Truth by rows, answers by columns, `(C, C)`."""
        assert self.predictions is not None
        p = self.predictions
        return confusion_matrix(p.label, p.predicted, len(p.classes))

    @property
    def n_speakers(self) -> int:
        """Speakers of the items that count; the room of `_silence_` is none."""
        assert self.predictions is not None
        return self.predictions.n_speakers(self.known)


@dataclass(frozen=True)
class Record:
    """A finished run.

    Attributes:
        run: the run.
        target: `keyword`, `phone` or `speaker`; `verification` where trials are scored, `generation`
            where windows are made.
        evaluations: the one of the headline first.
        config: the configuration as YAML.
        choices: configuration group -> name.
        refused: `{"path", "reason"}` of what was left out.
        folders: by the name of an evaluation, what was refused of that folder, and which speakers were trained on.
        split: of the prepared corpus in which the recordings of the headline lie.
        part: the one evaluation that the page is of; None: it is of the run.
        prepared: the prepared corpus; None where it has gone.
        why_not: why it has gone.
    """

    run: Run
    target: str
    evaluations: tuple[Evaluation, ...]
    config: str
    choices: dict[str, str | None]
    refused: list[dict[str, str]]
    folders: dict[str, dict[str, Any]]
    prepared: PreparedCorpus | None
    why_not: str = field(default="")
    split: str = field(default="test")
    part: str | None = None

    @property
    def main(self) -> Evaluation:
        """The evaluation of the headline: the test split where there is one."""
        return self.evaluations[0]

    @property
    def item(self) -> str:
        """Name of one item."""
        return ITEM.get(self.target, "item")

    @property
    def task(self) -> str:
        """Name of the task."""
        return TASK.get(self.target, self.target)

    @property
    def verb(self) -> str:
        """Verb before a true class: a word is said, a speaker is."""
        return "was" if self.target in ("speaker", "gender") else "said"

    @property
    def protocol(self) -> list[str]:
        """The notes of the corpus: the protocol first."""
        if self.part is not None and self.part not in SPLITS:
            known = trained_speakers(self.folders.get(self.part, {}))
            return [f"recordings beside the run's corpus, all of them tested{f'; {known}' if known else ''}"]
        notes: list[str] = self.run.corpus.get("notes", [])
        return notes

    @property
    def title(self) -> str:
        """`tc-res8 on fsdd`."""
        corpus = self.run.corpus.get("name", "its corpus")
        on = corpus if self.part is None else self.part if self.part not in SPLITS else f"{corpus}, {self.part}"
        return f"{self.run.model.get('model', self.run.folder.name)} on {on}"


def page_of(name: str) -> str:
    """The file name of the page of an evaluation other than the headline's."""
    return f"report.{name}.html"


def read(folder: Path | str, name: str | None = None) -> Record:
    """The record of a finished run.

    Args:
        folder: of the run.
        name: of the evaluation that the page is of, which is then the only one; None: all, the headline's first.

    Raises:
        ValueError: it is not a run, it is not finished, has no such evaluation, or one of its files is damaged.
    """
    run = Run(folder)
    if not run.metrics:
        resume = run.environment.get("resume_command")
        how = f"; finish it with: {resume}" if resume else ""
        raise ValueError(f"{run.folder} has no figures to report yet{how}")
    config = run.config
    names = sorted(run.metrics, key=order) if name is None else [name]
    if name is not None and name not in run.metrics:
        raise ValueError(f"{run.folder} has no evaluation {name!r}; it has: {', '.join(run.metrics)}")
    folders: dict[str, dict[str, Any]] = run.read(FOLDERS_FILE, {})
    prepared, why_not = prepared_or_reason(run, folders.get(names[0]))
    return Record(
        run=run,
        target=task if (task := str(config.choices.get("task"))) in ("verification", "generation") else config.target,
        evaluations=tuple(evaluation(run, one) for one in names),
        config=to_yaml(replace(config, choices={})),
        choices=config.choices,
        refused=once_each(run.read("refused.json", [])) if name is None else [],
        folders=folders,
        prepared=prepared,
        why_not=why_not,
        split=split_of(names[0], prepared),
        part=name,
    )


def order(name: str) -> tuple[int, str]:
    """Test first, then validation and train, then folders by name."""
    known = ("test", "validation", "train")
    return (known.index(name) if name in known else len(known), name)


def evaluation(run: Run, name: str) -> Evaluation:
    """One line of the metrics."""
    rates = {metric: Estimate(**figures) for metric, figures in run.metrics[name].items()}  # type: ignore[arg-type]
    path = run.folder / "predictions" / f"{name}.npz"
    return Evaluation(name, rates, run.predictions(name) if path.exists() else None)


def prepared_or_reason(run: Run, folder: Mapping[str, Any] | None = None) -> tuple[PreparedCorpus | None, str]:
    """The prepared corpus, or that of a folder, or None and the reason: a report can be made without it."""
    where = run.corpus.get("folder") if folder is None else folder.get("prepared")
    try:
        prepared = PreparedCorpus(Path(where)) if where and Path(where).exists() else None
    except (ValueError, OSError) as error:
        return None, str(error)
    return prepared, "" if prepared else f"{where or 'the prepared corpus'} is not there any more"


def split_of(name: str, prepared: PreparedCorpus | None) -> str:
    """The split in which the recordings of an evaluation lie: where nothing is kept for the test, in training."""
    split = name if name in SPLITS else "test"
    there = prepared.summary.get("splits", {}) if prepared else {}
    return "train" if split == "test" and prepared and "test" not in there else split


def once_each(refused: list[dict[str, str]]) -> list[dict[str, str]]:
    """Refused recordings, each of them once though several cuts of it were left out."""
    return list({(line["path"], line["reason"]): line for line in refused}.values())
