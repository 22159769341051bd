"""The report of a pre-training run: its loss on other speakers, its curves, and what it makes of hidden frames."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.metrics import Estimate
from phonaut.reports import charts
from phonaut.reports.media import data_uri, kept_samples, png
from phonaut.reports.record import Record
from phonaut.reports.setup import corpus, machine, moment, settings, size, strip
from phonaut.reports.tables import MOST_ROWS
from phonaut.reports.text import figure, percent, things
from phonaut.runs.run import PROBE_FILE, Run

LOSS = "loss"


@dataclass(frozen=True)
class Example:
    """A recording as pictures, PNGs in data URIs, the lowest feature at the bottom.

    Attributes:
        name: of the cut.
        seen: what the encoder sees; a light line below marks the frames that count.
        predicted: what the head makes of it.
        truth: what was there.
        n_frames: how many.
    """

    name: str
    seen: str
    predicted: str
    truth: str
    n_frames: int


def is_representation(record: Record) -> bool:
    """Whether a run is one of pre-training: it has a loss in place of an accuracy."""
    return LOSS in record.main.rates


def contents(record: Record) -> dict[str, Any]:
    """What the template shows."""
    run = record.run
    best_epoch = run.model.get("best_epoch")
    probe = probed(run)
    return {
        "record": record,
        "environment": run.environment,
        "started": moment(run.environment.get("started", "")),
        "loss": record.main.rates[LOSS],
        "how": how(record),
        "objective": run.model.get("objective"),
        "best_epoch": best_epoch,
        "charts": [*charts.charts(run.history, best_epoch), *(probe.charts if probe else [])],
        "probe": probe,
        "history": charts.thinned(run.history, MOST_ROWS),
        "examples": examples(run),
        "size": size(record),
        "strip": strip(record),
        "corpus": corpus(record),
        "settings": settings(record),
        "machine": machine(record),
    }


@dataclass(frozen=True)
class Probed:
    """What a linear probe told after each epoch.

    Attributes:
        words: corpus and target.
        lines: epoch, step, accuracy.
        charts: the curve of the accuracy over steps.
    """

    words: str
    lines: list[tuple[int, int, Estimate]]
    charts: list[charts.Chart]


def probed(run: Run) -> Probed | None:
    """The probes of a run; None where there were none."""
    kept = run.read(PROBE_FILE)
    if not kept or not kept["epochs"]:
        return None
    chart = charts.chart("Probe accuracy over steps", kept["epochs"], {"accuracy": "value"}, percent,
                         run.model.get("best_epoch"), over="step")  # fmt: skip
    rates = [Estimate(line["value"], line["low"], line["high"], int(line["n"])) for line in kept["epochs"]]
    places = ((int(line["epoch"]), int(line["step"])) for line in kept["epochs"])
    lines = [(epoch, step, found) for (epoch, step), found in zip(places, rates, strict=True)]
    return Probed(shlex.join(kept["words"]), lines, [chart] if chart else [])


def how(record: Record) -> str:
    """How the interval was found, in words."""
    splits = record.run.corpus.get("summary", {}).get("splits", {})
    n = splits.get(record.main.name, {}).get("speakers", 0)
    if n < 2:
        return "bootstrap over recordings, because one speaker validates: it says nothing about other speakers"
    return f"bootstrap over the {things(n, 'speaker')} of the {record.main.name} split"


def interval(loss: Estimate) -> str:
    """The interval of a loss.

    >>> interval(Estimate(0.5, 0.45, 0.561, 9))
    '0.45 to 0.561'
    """
    return f"{figure(loss.low)} to {figure(loss.high)}"


def examples(run: Run) -> list[Example]:
    """Pictures of what the run kept in `samples.npz`; none where the file has gone.

    Raises:
        ValueError: the file is damaged.
    """
    return kept_samples(run, pictured) or []


def pictured(kept: dict[str, NDArray[Any]]) -> list[Example]:
    """Pictures of arrays that are kept."""
    ends = np.cumsum(kept["lengths"])[:-1]
    parts = {name: np.split(kept[name], ends) for name in ("seen", "predicted", "truth", "chosen")}
    names = [str(name) for name in kept["cuts"].tolist()]
    return [
        Example(name, picture(seen, chosen), picture(predicted, chosen), picture(truth, chosen), len(seen))
        for name, seen, predicted, truth, chosen in zip(names, *parts.values(), strict=True)
    ]


def picture(frames: NDArray[Any], chosen: NDArray[np.bool_]) -> str:
    """Normalised frames `(T, D)` as a picture, with a line below that is dark at the frames that count."""
    levels = np.clip((frames.astype(np.float64) + 2.0) / 5.0, 0, 1)  # from -2 to 3 standard deviations
    line = np.repeat(chosen[None].astype(np.float64), max(1, frames.shape[1] // 40), axis=0)
    return data_uri("image/png", png(np.concatenate([levels.T[::-1], line])))


def lines(record: Record) -> list[tuple[str, str, str]]:
    """What is printed when the run has ended, as label, figure and rest."""
    loss, run = record.main.rates[LOSS], record.run
    about = f"   95 % interval {interval(loss)} on {things(loss.n, 'recording')} ({record.main.name})"
    costs = [f"{value} {name.lower()}" for name, value, _ in size(record)[:2]]
    return [
        ("loss", figure(loss.value), about),
        ("interval", "", how(record)),
        ("protocol", "", record.protocol[0] if record.protocol else ""),
        ("model", "", ", ".join([str(run.model.get("model")), str(run.model.get("objective")), *costs])),
        ("heard", "", f"{run.folder / 'cuts.txt.gz'} names every cut"),
        ("report", str(run.folder / "report.html"), ""),
    ]
