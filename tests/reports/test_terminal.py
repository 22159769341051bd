"""The lines after a run: complete, honest, and whole when they are piped."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from phonaut.reports.record import read
from phonaut.reports.sections.evaluations import render
from phonaut.reports.terminal import show_judged, summarize
from phonaut.runs import Run

MakeRun = Callable[..., Path]


def printed(run: Path, name: str | None = None, *, width: int = 20, encoding: str = "utf-8") -> str:
    buffer = io.BytesIO()
    file = io.TextIOWrapper(buffer, encoding=encoding)
    summarize(Run(run), name, console=Console(file=file, width=width))
    file.flush()
    return buffer.getvalue().decode(encoding)


def test_it_has_figure_interval_n_protocol_size_and_where_the_report_is(make_run: MakeRun) -> None:
    run = make_run(20)
    lines = printed(run).splitlines()
    assert lines[1].startswith("accuracy     84.8 %   95 % interval 77.8 to 90.0 % on 132 clips, 3 speakers (test)")
    assert any(line.startswith("protocol     by speaker: the three test speakers") for line in lines)
    assert "65,204 parameters, 1.56 M multiply-accumulates, trained in 2 min 3 s" in "\n".join(lines)
    assert f"report       {run / 'report.html'}" in lines
    assert any("120 recordings" in line for line in lines)


def test_no_line_is_cut_broken_or_coloured_in_a_pipe(make_run: MakeRun) -> None:
    run = make_run(20)
    assert printed(run, width=20) == printed(run, width=500)
    assert "\x1b" not in printed(run)
    assert "…" not in printed(run)


def test_what_to_try_next_is_the_same_job_with_another_model(make_run: MakeRun) -> None:
    text = printed(make_run(20))
    assert "phonaut train dataset=folder 'dataset.data_folder=recordings (new), 2' seed=3 model=lstm" in text
    assert "experiment_id" not in text


def test_another_evaluation_can_be_asked_for_and_an_unknown_one_is_refused(make_run: MakeRun) -> None:
    run = make_run(20)
    assert "on 12 clips, 1 speaker (validation)" in printed(run, "validation")
    with pytest.raises(ValueError, match=r"no evaluation 'tset'; it has: test, validation"):
        printed(run, "tset")


def test_names_are_not_markup_and_any_terminal_can_show_them(make_run: MakeRun) -> None:
    run = make_run(20)
    corpus = (run / "corpus.json").read_text().replace("by speaker:", "[red]نعم[/red] by speaker:")
    (run / "corpus.json").write_text(corpus)
    assert "[red]نعم[/red] by speaker:" in printed(run)
    assert r"[red]\u0646\u0639\u0645[/red] by speaker:" in printed(run, encoding="ascii")


def test_silent_recordings_are_told_and_a_refused_one_counts_once_however_many_cuts_it_had(make_run: MakeRun) -> None:
    run = make_run(20)
    corpus = json.loads((run / "corpus.json").read_text())
    corpus["summary"]["remarks"] = {"silent": 4, "clipped": 2}
    (run / "corpus.json").write_text(json.dumps(corpus))
    broken = [{"path": "/a/tap.wav", "reason": "no samples", "cut": part} for part in ("first", "second")]
    (run / "refused.json").write_text(json.dumps([*broken, {"path": "/a/b.wav", "reason": "no samples", "cut": "b"}]))
    text = printed(run)
    assert "silent       4 recordings of the corpus" in text
    assert "refused      2 recordings, named" in text


def test_of_a_folder_its_own_refusals_and_its_trained_speakers_are_told(make_run: MakeRun) -> None:
    run = make_run(20)
    refused = [{"path": f"/new/{i}.wav", "reason": "an empty file"} for i in range(3)]
    about = {"refused": refused, "n_speakers": 2, "trained_speakers": ["anna"]}
    (run / "folders.json").write_text(json.dumps({"validation": about}))
    text = printed(run, "validation")
    assert "refused      3 recordings of validation, named in the report" in text
    assert "speakers     1 of 2 have the names of speakers whom the model was trained on (anna)" in text
    assert "refused      120 recordings, named" in printed(run, "test")
    page = render(read(run)).html
    assert "/new/2.wav" in page
    assert "1 of 2 have the names of speakers whom the model was trained on (anna)" in page


def test_what_a_judge_said_is_printed_and_what_another_said_is_not(tmp_path: Path) -> None:
    rate = {"value": 0.915, "low": 0.83, "high": 0.988, "n": 1243}
    figures = {
        "accuracy/gender/to_f/converted": {**rate, "method": "judge runs/gender; over speakers"},
        "mmd/gender": {**rate, "value": 0.0123, "low": -0.001, "high": 0.02, "method": "judge runs/gender; jackknife"},
        "accuracy/phone/true": {**rate, "method": "judge runs/phones; over speakers"},
        "snr_db": rate,
    }
    (tmp_path / "metrics.json").write_text(json.dumps({"test": figures}))
    (tmp_path / "config.yaml").write_text("{}")
    console = Console(record=True, width=200)
    show_judged(Run(tmp_path), "test", "runs/gender", console=console)
    assert console.export_text().splitlines() == [
        "accuracy/gender/to_f/converted   91.5 %   95 % interval 83.0 to 98.8 %, n = 1,243",
        "mmd/gender   0.0123   95 % interval -0.001 to 0.02, n = 1,243",
    ]
