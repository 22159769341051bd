"""A metric is one function or class and one file: it brings its interval and paired difference, or gets them."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from phonaut.config.metrics import registered_metrics
from phonaut.config.plugins import add_config_dir
from phonaut.metrics import Estimate, Scored, difference, evaluate_metrics, from_configs


def mean_margin(scored: Scored, scale: float = 1.0) -> float:
    """The mean of a column, times `scale`: a metric of one line."""
    return scale * float(scored.columns["margin"].mean())


def absolute_error(scored: Scored) -> float | None:
    """The mean error of a column that few runs have."""
    return float(scored.columns["error"].mean()) if "error" in scored.columns else None


def scored(margin: list[float], speaker: str) -> Scored:
    return Scored(np.array(list(speaker)), columns={"margin": np.array(margin)})


def toy(**more: object) -> dict[str, dict[str, object]]:
    return {"margin": {"_target_": f"{__name__}.mean_margin", **more}}


def test_a_number_gets_the_interval_of_the_bootstrap_over_speakers() -> None:
    margin = from_configs(toy(scale=2.0, label="mean margin"))["margin"]
    found = margin(scored([0.0, 1.0, 2.0, 6.0], "aabb"))
    assert found is not None
    assert (found.value, found.n) == (4.5, 4)
    assert (found.low, found.high) == (1.0, 8.0), "both speakers twice are the extremes of four resamples"
    assert margin.label == "mean margin"


@pytest.mark.oracle
def test_a_difference_has_the_quantiles_of_all_resamples_that_there_are() -> None:
    rng = np.random.default_rng(0)
    first, other = rng.normal(size=12), rng.normal(0.5, size=12)
    metric = from_configs(toy())["margin"]
    a, b = (scored(list(x), "aaabbbcccddd") for x in (first, other))
    found = metric.difference(a, b)
    gains = (other - first).reshape(4, 3).mean(axis=1)
    drawn = np.sort([np.mean(some) for some in product(gains, repeat=4)])
    assert found.value == pytest.approx(gains.mean(), rel=1e-12)
    assert drawn[0] <= found.low <= drawn[8]
    assert drawn[-9] <= found.high <= drawn[-1]
    back = metric.difference(b, a)
    assert (back.value, back.p) == (pytest.approx(-found.value), pytest.approx(found.p, rel=0.2))
    same = metric.difference(a, a)
    assert same.value == same.low == same.high == 0.0
    assert same.p > 0.5


def test_one_item_has_no_paired_interval() -> None:
    found = from_configs(toy())["margin"].difference(scored([1.0], "a"), scored([2.0], "a"))
    assert (found.value, found.low, found.high) == (1.0, -math.inf, math.inf)


def test_metrics_whose_arrays_are_not_there_are_left_out_and_ranks_give_the_order() -> None:
    found = from_configs({**toy(), "error": {"_target_": f"{__name__}.absolute_error", "rank": 1}})
    assert list(found) == ["error", "margin"]
    assert list(evaluate_metrics(scored([1.0, 2.0], "ab"), found)) == ["margin"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"label": "x"}, "metric toy: KeyError.*_target_"),
        ({"_target_": "phonaut.metrics.Nothing"}, "metric toy: AttributeError.*Nothing"),
        ({"_target_": "phonaut.metrics.ClassMetric", "statistics": "f1"}, "metric toy: TypeError.*statistics"),
        ({"_target_": "phonaut.metrics.ClassMetric", "statistic": "f2"}, "one of accuracy, recall, f1, got f2"),
    ],
)
def test_a_configuration_that_makes_no_metric_is_refused(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_configs({"toy": config})


def test_ours_are_those_of_the_configuration_and_a_file_adds_one(tmp_path: Path) -> None:
    ours = registered_metrics()
    of_trials = ["eer", "min_dcf", "dcf", "cllr", "min_cllr"]
    of_windows = ["snr_db", "mmd", "frechet", "elbo", "lsd_db", "mcd_db", "sample_precision", "sample_recall",
                  "coverage", "copying", "inception"]  # fmt: skip
    of_streams = ["misses", "false_alarms_per_hour"]
    assert list(ours) == ["accuracy", "recall", "f1", "frame_accuracy", *of_trials, *of_windows, *of_streams]
    label, first, other, speaker = (np.arange(40) * k % 3 for k in (1, 2, 4, 5))
    a, b = (Scored(speaker, label, predicted, 3) for predicted in (first, other))
    for name in ("accuracy", "recall", "f1"):
        paired = difference(label, first, other, speaker, n_classes=3, metric=name)
        assert ours[name].difference(a, b) == paired
    assert isinstance(ours["f1"](a), Estimate)
    assert ours["frame_accuracy"](a) is None
    (tmp_path / "conf" / "metric").mkdir(parents=True)
    (tmp_path / "conf" / "metric" / "margin.yaml").write_text(f"_target_: {__name__}.mean_margin\nscale: 3\n")
    add_config_dir(tmp_path / "conf")
    assert registered_metrics()["margin"].value(scored([1.0, 2.0], "ab")) == 4.5
