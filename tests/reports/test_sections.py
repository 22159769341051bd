"""Tables, confusions and mistakes against counts by hand."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from phonaut.metrics import Estimate
from phonaut.plots import row_fractions
from phonaut.reports import write_report
from phonaut.reports.record import Evaluation, Record, read
from phonaut.reports.sections import Section
from phonaut.reports.sections.classes import class_rows, scale_start, speaker_rows
from phonaut.reports.sections.confusions import MAX_CLASSES, confused, matrix
from phonaut.reports.sections.filters import drawn
from phonaut.reports.sections.headline import expected_cost, method_over_speakers, unknown_labels
from phonaut.reports.sections.mistakes import excerpt, find, worst
from phonaut.reports.terminal import summarize
from phonaut.runs import Predictions, Run


def evaluation(
    label: list[int], predicted: list[int], sure: list[float] | None = None, n_classes: int = 3
) -> Evaluation:
    n = len(label)
    scores = np.zeros((n, n_classes), np.float32)
    scores[np.arange(n), predicted] = sure if sure is not None else 5.0
    predictions = Predictions(
        cut=np.array([f"cut{i:03d}" for i in range(n)]),
        recording=np.array([f"/r/{i}.wav" for i in range(n)]),
        speaker=np.array([f"s{i % 2}" for i in range(n)]),
        label=np.array(label),
        label_name=np.array([f"w{c}" if c >= 0 else "strange" for c in label]),
        scores=scores,
        start_s=np.zeros(n),
        end_s=np.ones(n),
        classes=np.array([f"w{c}" for c in range(n_classes)]),
    )
    known = np.array(label) >= 0
    right = float(np.mean(np.array(label)[known] == np.array(predicted)[known])) if known.any() else float("nan")
    return Evaluation("test", {"accuracy": Estimate(right, 0.1, 0.9, int(known.sum()))}, predictions)


@pytest.mark.oracle
def test_the_most_frequent_confusion_comes_first_and_names_its_share() -> None:
    pairs = confused(evaluation([0, 0, 0, 1, 1, 2, -1], [1, 1, 0, 0, 1, 2, 0]))
    assert [(p.truth, p.answer, p.n, p.of) for p in pairs] == [("w0", "w1", 2, 3), ("w1", "w0", 1, 2)]


@pytest.mark.oracle
def test_the_bands_of_a_learned_front_end_are_drawn_where_they_lie() -> None:
    bands = drawn({"began": [[0.0, 1000.0], [2000.0, 4000.0]], "learned": [[0.0, 1000.0], [2000.0, 4400.0]]})
    heights = {text.text: text.at for text in bands.ticks}
    assert bands.moved_hz == pytest.approx(100)
    assert bands.n == 2
    assert bands.began.startswith(f"M50.0 {heights['0']:.1f}V{heights['1']:.1f}M")
    assert bands.began.endswith(f"{heights['2']:.1f}V{heights['4']:.1f}")
    assert bands.began != bands.learned


@pytest.mark.oracle
def test_a_cell_counts_and_a_single_error_can_be_seen() -> None:
    m = matrix(evaluation([0] * 100 + [1], [0] * 99 + [1, 1]))
    assert [[cell.n for cell in row] for row in m.rows] == [[99, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert m.rows[0][1].shade == pytest.approx(0.1)
    assert not m.rows[0][1].right
    assert m.rows[0][0].right
    assert m.n_left_out == 0


@pytest.mark.oracle
def test_phones_stand_by_manner_of_articulation_with_rates_of_classes_and_of_manners() -> None:
    one = evaluation([0, 0, 1, 1, 2, 2, 3, -1], [0, 1, 0, 1, 2, 3, 3, 0], n_classes=4)
    assert one.predictions is not None
    names = np.array(["S", "Z", "AA1", "M"])
    m = matrix(replace(one, predictions=replace(one.predictions, classes=names)))
    assert m.names == ["AA1", "M", "S", "Z"]
    assert m.groups == [("vowels", 1), ("nasals", 1), ("fricatives", 2)]
    assert m.borders == {1, 2}
    assert [[cell.n for cell in row] for row in m.rows] == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert [(r.recall.value, r.precision.value) for r in m.rates] == [(0.5, 1.0), (1.0, 0.5), (0.5, 0.5), (0.5, 0.5)]
    found = {r.name: (r.recall.value, r.precision.value, r.recall.n) for r in m.manners}
    assert found == {"vowels": (0.5, 1.0, 2), "nasals": (1.0, 0.5, 1), "fricatives": (1.0, 1.0, 4)}
    assert not matrix(one).groups, "these are words"


def test_of_very_many_classes_those_with_errors_are_shown() -> None:
    label = [*range(100), 98, 99]
    m = matrix(evaluation(label, [*range(100), 99, 98], n_classes=100))
    assert len(m.names) == MAX_CLASSES
    assert m.n_left_out == 100 - MAX_CLASSES
    assert m.names[-2:] == ["w98", "w99"]


def test_the_hardest_come_first_and_the_untested_last() -> None:
    tested = evaluation([0, 0, 1, 1, 1], [0, 1, 1, 1, 1], n_classes=3)
    assert [row.name for row in class_rows(tested)] == ["w0", "w1", "w2"]
    assert [row.name for row in speaker_rows(tested)] == ["s1", "s0"]
    assert class_rows(tested)[-1].n == 0


def test_the_surest_mistake_comes_first_and_unknown_words_are_none() -> None:
    rows, n = worst(evaluation([0, 1, 2, 0, -1], [1, 1, 0, 2, 0], [1.0, 9.0, 7.0, 3.0, 20.0]))
    assert n == 3
    assert rows == [2, 3, 0]


def test_mistakes_that_are_alike_are_ordered_by_cut_whatever_the_order_of_rows() -> None:
    alike = evaluation([0] * 30, [1] * 30)
    assert alike.predictions is not None
    backwards = replace(alike.predictions, cut=alike.predictions.cut[::-1])
    rows, n = worst(replace(alike, predictions=backwards))
    assert n == 30
    assert rows == list(range(29, 17, -1))


def test_mistakes_are_of_many_speakers_and_recordings_before_one_has_two() -> None:
    one = evaluation([0] * 40, [1] * 40, [20.0] * 30 + [5.0] * 10)
    assert one.predictions is not None
    speaker = np.array(["loud"] * 30 + [f"quiet{i}" for i in range(10)])
    recording = np.array([f"{i // 25}.wav" for i in range(30)] + [f"q{i}.wav" for i in range(10)])
    rows, n = worst(replace(one, predictions=replace(one.predictions, speaker=speaker, recording=recording)))
    assert n == 40
    assert rows == [0, 25, *range(30, 40)], "both recordings of the loud one, who was surest, and all others"


@pytest.mark.oracle
def test_expected_cost_is_the_mean_of_the_costs_of_what_was_taken_for_what(make_run: Callable[..., Path]) -> None:
    run = make_run(20)
    p = Run(run).predictions("test")
    costs = np.random.default_rng(0).integers(1, 9, (12, 12)) * (1 - np.eye(12, dtype=int))
    path = run / "config.yaml"
    path.write_text(path.read_text() + OmegaConf.to_yaml({"model": {"costs": costs.tolist()}}))
    found = expected_cost(read(run))
    assert found is not None
    each = [costs[i][j] for i, j in zip(p.label, p.predicted, strict=True)]
    assert found[0].value == pytest.approx(sum(each) / len(each))
    assert found[1] == pytest.approx(min(sum(costs[i][j] for i in p.label) / len(each) for j in range(12)))
    assert f"Mean cost, by model.costs: <b>{found[0].value:.4g}</b> a clip" in write_report(run).read_text()


def test_em_speaks_of_log_likelihoods_steps_and_convergence(make_run: Callable[..., Path]) -> None:
    run = make_run(20)
    history = [
        {"epoch": e, "train/loss": -x, "train/log_likelihood": x, "validation/loss": 9.5, "validation/accuracy": 0.5}
        for e, x in enumerate((-9.0, -8.0, -7.9995))
    ]
    (run / "history.json").write_text(json.dumps(history))
    config = OmegaConf.load(run / "config.yaml")
    config["module"], config["model"] = {"_target_": "phonaut.training.EM"}, {"tol": 0.001}
    config["checkpoint"] = {"monitor": "validation/loss", "mode": "min"}
    config["choices"].update({"optimizer": "adamw", "module": "em"})
    OmegaConf.save(config, run / "config.yaml")
    page = write_report(run).read_text()
    for wanted in ("3 EM steps in", "of the highest validation log-likelihood", "Log-likelihood of a frame",
                   "-9.00 nats after the first step and -8.00 after the last", "it has converged", "Figures by EM step",
                   "validation -9.5"):  # fmt: skip
        assert wanted in page
    for absent in ("Training loss", "Loss over", "dropout", "adamw", "epoch"):
        assert absent not in page.replace("max_epochs", "").replace("n_epochs", "").partition("Whole configuration")[0]
    (run / "history.json").write_text(json.dumps(history[:2]))
    assert "it has not converged" in write_report(run).read_text()


def test_unknown_words_are_counted_apart() -> None:
    assert unknown_labels(evaluation([0, -1, -1], [0, 0, 1])) == {"strange": 2}


def test_a_scale_begins_below_every_interval_and_leaves_room() -> None:
    assert scale_start([Estimate(0.5, 0.43, 0.6, 9), Estimate(0.9, 0.8, 1.0, 9)]) == 0.4
    assert scale_start([Estimate(1.0, 0.987, 1.0, 300)]) == 0.9
    assert scale_start([Estimate(float("nan"), 0.0, 1.0, 0)]) == 0.0


def test_how_an_interval_was_found_is_read_off_the_interval() -> None:
    spoken = evaluation([0, 1] * 20, [0, 1] * 19 + [0, 0])
    assert "bootstrap over the 2 speakers" in method_over_speakers(spoken, "clip")
    perfect = evaluation([0, 1] * 20, [0, 1] * 20)
    wilson_40_of_40 = Estimate(1.0, 1 / (1 + 1.959963984540054**2 / 40), 1.0, 40)
    assert "Wilson's interval over clips" in method_over_speakers(
        Evaluation("test", {"accuracy": wilson_40_of_40}, perfect.predictions), "clip"
    )


class Cut:
    """One row of a table: a ramp, so that each sample tells where it is from."""

    sample_rate = 1000

    def __init__(self, seconds: float) -> None:
        self.n_samples = np.array([round(1000 * seconds)])

    def audio(self, row: int, start: int, stop: int) -> np.ndarray:
        return np.arange(start, stop, dtype=np.float32) / 1e5

    def id(self, row: int) -> str:
        return "only"

    def __len__(self) -> int:
        return 1


def test_a_short_span_is_heard_in_its_context_and_marked() -> None:
    sound = excerpt(Cut(10.0), 0, 6.0, 6.1, 12)  # type: ignore[arg-type]
    assert (sound.start_s, sound.end_s) == pytest.approx((5.55, 6.55))
    assert sound.span == pytest.approx((0.45, 0.1))


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 0.1), (9.9, 10.0)])
def test_context_stays_within_the_recording(start_s: float, end_s: float) -> None:
    sound = excerpt(Cut(10.0), 0, start_s, end_s, 12)  # type: ignore[arg-type]
    assert sound.end_s - sound.start_s == pytest.approx(1.0)
    assert sound.start_s >= 0
    assert sound.end_s <= 10.0 + 1e-9


def test_of_a_long_recording_the_beginning_is_heard() -> None:
    sound = excerpt(Cut(60.0), 0, 0.0, 60.0, 12)  # type: ignore[arg-type]
    assert (sound.start_s, sound.end_s) == pytest.approx((0.0, 4.0))
    assert sound.span is None
    assert sound.peak_db == pytest.approx(20 * np.log10(3999 / 1e5))


def test_cuts_are_found_by_id(tmp_path: Path) -> None:
    assert find(Cut(1.0), ["only", "other"]) == {"only": 0}  # type: ignore[arg-type]
    assert find(Cut(1.0), []) == {}  # type: ignore[arg-type]


def test_a_page_is_its_sections_in_order_and_a_function_is_one_too(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def mine(record: Record) -> Section:
        return Section(f"<section id='mine'><h2>Mine</h2>{record.main.metric.label}</section>", {"mine": "My part"})

    run = make_run(20)
    monkeypatch.setattr("phonaut.reports.page.sections_of", lambda record: ("headline", "densities", mine, "setup"))
    html = write_report(run).read_text()
    assert "<h2>Mine</h2>accuracy</section>" in html
    assert html.index("84.8 %") < html.index("My part") < html.index("<h2>Mine") < html.index('<section id="corpus">')
    assert "Confusions" not in html
    monkeypatch.setattr("phonaut.reports.page.sections_of", lambda record: ("headlines",))
    with pytest.raises(ValueError, match=r"no section headlines; it has: classes, confusions, .*headline"):
        write_report(run)


def test_a_run_of_another_metric_has_a_headline_in_its_format(make_run: Callable[..., Path]) -> None:
    run = make_run(20)
    error = {"value": 0.03217, "low": 0.02, "high": 0.05, "n": 132}
    (run / "metrics.json").write_text(json.dumps({"test": {"mean_error": error, "mean_error/noise_10_db": error}}))
    html = write_report(run).read_text()
    assert "<title>tc-res8 on clips · 0.03217</title>" in html
    assert "0.02 to 0.05" in html
    assert '<span class="what">mean error, ' in html
    console = Console(record=True, width=300)
    summarize(Run(run), console=console)
    lines = console.export_text().splitlines()
    assert lines[1].startswith("mean error   0.03217   95 % interval 0.02 to 0.05 on 132 clips")
    assert any(line.startswith("in noise     0.03217 at 10 dB") for line in lines)


def test_tensorboard_and_the_report_shade_by_the_same_fractions() -> None:
    counts = np.array([[3, 1], [0, 0]])
    np.testing.assert_array_equal(row_fractions(counts), [[0.75, 0.25], [0.0, 0.0]])
    m = matrix(evaluation([0, 0, 0, 0], [0, 0, 0, 1], n_classes=2))
    assert [[cell.shade**2 for cell in row] for row in m.rows] == [pytest.approx([0.75, 0.25]), [0.0, 0.0]]
