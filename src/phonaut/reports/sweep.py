"""A sweep for people: a table on the terminal, a page, a table as CSV and a picture of figure against cost."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from rich.console import Console

from phonaut.config.metrics import registered_metrics
from phonaut.files import write_bytes, write_text
from phonaut.metrics import Estimate
from phonaut.plots import Point, png, trade_off
from phonaut.reports.comparison import plain_cell
from phonaut.reports.comparison_table import show_columns
from phonaut.reports.html import encodable, render
from phonaut.reports.media import data_uri
from phonaut.reports.text import NONE, bytes_, capital, figure, interval, seconds, short, things, value
from phonaut.runs.folds import FOLD
from phonaut.runs.sweeps import Sweep, Trial
from phonaut.runs.sweeps.goals import SIZES, estimate_of
from phonaut.runs.sweeps.sweep import PAGES

HTML, CSV, PICTURE = PAGES
DPI, CSS_DPI = 180, 90
UNITS = {
    "macs": ("MACs", short),
    "parameters": ("parameters", short),
    "activation_bytes": ("activation memory", bytes_),
    "train_seconds": ("trained in", seconds),
    "latency_ms": ("latency, ms", figure),
    "loss": ("validation loss", figure),
}
ORDER = ("best", "finished", "outside", "infeasible", "failed", "open")
IN_WORDS = {
    "best": "best", "finished": "", "outside": "outside", "infeasible": "not trained", "failed": "failed",
    "open": "not finished",
}  # fmt: skip


@cache
def looks(name: str) -> tuple[str, str]:
    """The name of a figure in words, and its format: `percent`, `number` or that of a cost."""
    if name in UNITS:
        return UNITS[name][0], name
    metric = registered_metrics().get(name.partition("/")[0])
    condition = f" ({name.partition('/')[2]})" if "/" in name else ""
    return (f"{metric.label}{condition}", metric.format) if metric else (name, "number")


def shown(name: str, number: float) -> str:
    """A figure as text."""
    kind = looks(name)[1]
    return UNITS[kind][1](number) if kind in UNITS else value(number, kind)


class Table:
    """The trials of a sweep in the order in which they are shown, with all that is said of them.

    Args:
        sweep: begun.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.are_folds = FOLD in sweep.keys  # of which none is better than another
        self.best = [] if self.are_folds else [trial.number for trial in sweep.best()]
        goals = sweep.goals
        self.goals = [goal.name for goal in goals]
        trials = sweep.trials()

        def place(trial: Trial) -> tuple[int, float, int]:
            has = goals[0].name in trial.figures
            return ORDER.index(self.state(trial)), goals[0].loss(trial.figures) if has else 0.0, trial.number

        self.trials = sorted(trials, key=place)
        limited = [limit.name for limit in sweep.limits]
        sizes = [name for name in SIZES if len({trial.figures.get(name) for trial in trials} - {None}) > 1]
        self.figures = list(dict.fromkeys([*self.goals, *limited, *sizes]))

    def state(self, trial: Trial) -> str:
        """What became of a trial, one of `ORDER`."""
        if trial.state != "finished":
            return trial.state
        if trial.number in self.best:
            return "best"
        return "finished" if self.sweep.keeps_limits(trial) else "outside"

    def remark(self, trial: Trial) -> str:
        """Its state in words, with the reason where there is one."""
        state = IN_WORDS[self.state(trial)]
        return f"{state}: {trial.reason}" if trial.reason else state

    def estimate(self, trial: Trial, name: str) -> Estimate | None:
        """A figure with its interval, where it has one."""
        return estimate_of(self.sweep.run(trial), name) if trial.state == "finished" else None

    def cell(self, trial: Trial, name: str) -> str:
        """A figure with its interval as text."""
        if name not in trial.figures:
            return NONE
        rate = self.estimate(trial, name)
        return shown(name, trial.figures[name]) + (f" ({interval(rate, looks(name)[1])})" if rate else "")

    def values(self, trial: Trial) -> list[str]:
        """The swept values of a trial, in the order of the keys."""
        return [word.partition("=")[2] for word in trial.words]

    @property
    def about(self) -> list[str]:
        """What was looked for, and how, in a line or two."""
        words = " and ".join(f"{looks(goal.name)[0]}, {'higher' if goal.higher else 'lower'} is better"
                             for goal in self.sweep.goals)  # fmt: skip
        limits = [str(limit) for limit in self.sweep.limits]
        kept = f"; limits: {', '.join(limits)}" if limits else ""
        n = len([trial for trial in self.trials if trial.state == "finished"])
        how = {"grid": "all combinations"}.get(self.sweep.about["search"], f"chosen by {self.sweep.about['search']}")
        return [f"{things(n, 'trial')} of {len(self.trials)} trained, {how}; by {words}, of validation{kept}"]

    @property
    def tested(self) -> list[str]:
        """What the best trials do on the test split, a line each."""
        lines = []
        for trial in self.trials:
            if self.state(trial) != "best":
                continue
            found = self.sweep.run(trial).metrics.get("test", {}).get(self.goals[0])
            if found is not None:
                rate = Estimate(**found)  # type: ignore[arg-type]
                label, kind = looks(self.goals[0])
                lines.append(f"trial {trial.number} on test: {label} {value(rate.value, kind)}, 95 % interval "
                             f"{interval(rate, kind)}, n = {rate.n:,}")  # fmt: skip
        return lines

    @property
    def remarks(self) -> list[str]:
        """What to beware of."""
        n = len([trial for trial in self.trials if trial.state == "finished"])
        flattered = f"the best of {n} trials on validation is flattered by the choice; the test split chose nothing"
        if self.are_folds:
            return [f"folds are parts of one result: phonaut compare {shlex.quote(str(self.sweep.folder))} pools them"]
        return [flattered] if n > 1 else []


def write_sweep(sweep: Sweep) -> list[Path]:
    """Write `sweep.html`, `sweep.csv` and, where a trial has finished, `sweep.png` into the sweep's folder."""
    table = Table(sweep)
    if not table.trials:
        return []
    drawn = picture(table)
    folder = sweep.folder
    if drawn is not None:
        write_bytes(folder / PICTURE, drawn)
    write_text(folder / CSV, encodable(as_csv(table)))
    write_text(folder / HTML, encodable(page(table, drawn)))
    return [folder / HTML, folder / CSV, *([folder / PICTURE] if drawn is not None else [])]


def picture(table: Table) -> bytes | None:
    """The first goal against the second, else against the multiply-accumulates, else trial by trial; as PNG."""
    costs = [name for name in [*table.goals[1:], *SIZES] if name in table.figures]
    cost = costs[0] if costs else None
    points = []
    kinds = {"best": "best", "finished": "other", "outside": "outside"}
    for trial in table.trials:
        if trial.state != "finished" or (cost is not None and cost not in trial.figures):
            continue
        y = trial.figures[table.goals[0]]
        rate = table.estimate(trial, table.goals[0]) or Estimate(y, y, y, 1)
        x = trial.number if cost is None else trial.figures[cost]
        kind = kinds[table.state(trial)]
        points.append(Point(x, y, rate.low, rate.high, kind, f"{trial.number}" if kind == "best" else ""))
    if not points:
        return None
    label, form = looks(table.goals[0])
    about = f"{label} of validation" if form in ("percent", "number") else label
    xlabel = "trial" if cost is None else looks(cost)[0]
    joined = len(table.goals) > 1
    return png(trade_off(points, xlabel=xlabel, ylabel=about, percent=form == "percent", joined=joined), dpi=DPI)


def as_csv(table: Table) -> str:
    """A line for each trial, numbers in full."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    limits = [part for name in table.goals for part in (f"{name}_low", f"{name}_high", f"{name}_n")]
    names = list(dict.fromkeys([*table.figures, *(name for trial in table.trials for name in trial.figures)]))
    writer.writerow(["trial", "state", *table.sweep.keys, *names, *limits, "folder", "reason"])
    for trial in sorted(table.trials, key=lambda trial: trial.number):
        cells: list[object] = [trial.number, table.state(trial), *table.values(trial)]
        cells += [trial.figures.get(name) for name in names]
        for name in table.goals:
            rate = table.estimate(trial, name)
            cells += [rate.low, rate.high, rate.n] if rate else [None] * 3
        writer.writerow([plain_cell(cell) for cell in [*cells, table.sweep.folder / trial.job, trial.reason]])
    return buffer.getvalue()


def page(table: Table, drawn: bytes | None) -> str:
    """The sweep as HTML."""
    sweep = table.sweep
    finished = [trial for trial in table.trials if trial.state == "finished"]
    reports = {trial.number: sweep.run(trial).folder / "report.html" for trial in finished}
    return render(
        "sweep.html",
        {
            "sweep": sweep,
            "table": table,
            "picture": data_uri("image/png", drawn) if drawn else None,
            "picture_width": int.from_bytes(drawn[16:20]) * CSS_DPI // DPI if drawn else 0,  # where PNG has it
            "heads": sweep.heads,
            "figure_heads": [capital(looks(name)[0]) for name in table.figures],
            "corpus": sweep.run(finished[0]).corpus.get("name", "a corpus") if finished else "a corpus",
            "reports": {
                number: path.relative_to(sweep.folder) for number, path in reports.items() if path.exists()
            },
        },
    )  # fmt: skip


def columns(table: Table) -> Iterator[tuple[str, list[str]]]:
    """The table of the terminal: heads and cells."""
    trials = table.trials
    yield "trial", [str(trial.number) for trial in trials]
    yield from zip(table.sweep.heads, transposed([table.values(trial) for trial in trials]), strict=True)
    for name in table.figures:
        yield looks(name)[0], [table.cell(trial, name) for trial in trials]
    yield "", [table.remark(trial) for trial in trials]


def transposed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows as columns."""
    return [list(column) for column in zip(*rows, strict=True)]


def show_sweep(sweep: Sweep, written: list[Path], *, console: Console | None = None) -> None:
    """Print the table, the best trials' test figures, what to beware of, and where the files are."""
    table = Table(sweep)
    if table.trials:
        show_columns(
            [*table.about, *table.tested], columns(table), table.remarks, written, console or Console()
        )  # fmt: skip
