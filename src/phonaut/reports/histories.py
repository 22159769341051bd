"""Training and validation curves of several runs in one picture."""

from __future__ import annotations

from collections.abc import Mapping

from phonaut.config.metrics import registered_metrics
from phonaut.plots import Curve, histories, png
from phonaut.reports.charts import finite_points, in_words
from phonaut.reports.media import data_uri
from phonaut.runs.folds import Folds
from phonaut.runs.run import Run

DPI = 110
STAGES = ("train", "validation")
MAX_TRAINING = 6  # runs; the training curves of more would hide those of validation
RATE = "Learning rate"


def curves_picture(runs: Mapping[str, Run | Folds]) -> str:
    """The picture as a data URI; empty where no run has a history.

    Args:
        runs: by the names that tell them apart. Folds have a curve each, in one colour.
    """
    panels = panels_of(runs)
    if not panels:
        return ""
    fractions = [in_words(name) for name, metric in registered_metrics().items() if metric.format == "percent"]
    return data_uri("image/png", png(histories(panels, percent=fractions, linear=[RATE]), dpi=DPI))


def panels_of(runs: Mapping[str, Run | Folds]) -> dict[str, dict[str, list[Curve]]]:
    """Title -> run -> curves: the loss, its terms and other figures as the histories have them, then the rate."""
    found: dict[str, dict[str, list[Curve]]] = {"loss": {}}
    crowded = len(runs) > MAX_TRAINING
    for name, run in runs.items():
        for one in run.runs if isinstance(run, Folds) else [run]:
            keys = dict.fromkeys(key for line in one.history for key in line)
            for key in keys:
                stage, _, figure = key.partition("/")
                if key != "lr" and (stage not in STAGES or not figure):
                    continue
                if stage == "train" and crowded and f"validation/{figure}" in keys:
                    continue
                if pairs := finite_points(one.history, key):
                    curve = Curve("" if key == "lr" else stage, *zip(*pairs, strict=True))
                    found.setdefault(key if key == "lr" else figure, {}).setdefault(name, []).append(curve)
    rate = found.pop("lr", {})
    panels = {in_words(figure): panel for figure, panel in found.items() if panel}
    return panels | ({RATE: rate} if rate else {})
