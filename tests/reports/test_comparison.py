"""A comparison as people meet it: a table that is whole in any pipe, numbers in full as CSV, a page without scripts."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from helpers.scored_runs import answers_of, scored, write_scored
from phonaut.reports.comparison import write_comparison
from phonaut.reports.comparison_table import show
from phonaut.runs.comparison import Comparison, compare

SCRIPT = "<script>alert(1)</script>"
WORDS = ("yes", "نعم", SCRIPT)
TRUTH = [WORDS[i % 3] for i in range(90)]
LONG = "a model whose name is longer than any terminal is wide, with [red]markup"


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    """Three runs, two of them tested in noise."""
    runs = []
    for name, n_wrong in (("gmm", 30), (LONG, 12), ("gru", 30)):
        noisy = {
            f"{kind}_{snr}_db": scored(answers_of(TRUTH, 60 - snr, WORDS), TRUTH, classes=WORDS)
            for kind in ("white", "recorded")
            for snr in (5, 10, 20)
        }
        likelihood = {"n_frames": np.full(90, 7), "log_likelihood": np.full(90, -70.0)} if name == "gmm" else {}
        predictions = scored(answers_of(TRUTH, n_wrong, WORDS), TRUTH, classes=WORDS, **likelihood)
        about = {"macs": 1558000, "train_seconds": 75.2} if name != "gru" else {}
        folder = tmp_path / "trained_models" / "x" / name
        runs.append(write_scored(folder, predictions, noisy={} if name == "gru" else noisy, model=about))
    return compare(runs)


def printed(comparison: Comparison, *, width: int, terminal: bool = False, encoding: str = "utf-8") -> str:
    buffer = io.BytesIO()
    file = io.TextIOWrapper(buffer, encoding=encoding)
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    show(comparison, [Path("somewhere") / "compare.html"], console=console)
    file.flush()
    return buffer.getvalue().decode(encoding)


def test_the_table_is_whole_in_a_pipe_of_any_width(comparison: Comparison) -> None:
    text = printed(comparison, width=40)
    assert text == printed(comparison, width=400)
    assert "…" not in text
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert LONG in lines, "names are not markup, and not broken"
    assert all(part in lines["gmm"] for part in ("66.7 %", "65.2 k", "1.56 M", "1 min 15 s", "-10.00"))
    assert "+20.0 (" in lines[LONG]
    assert lines["gru"].rstrip().endswith("–")
    assert "accuracy on 90 clips of 4 speakers (test)" in text
    assert "against the first run, gmm" in text
    assert "somewhere/compare.html" in text


def test_in_a_narrow_terminal_the_table_goes_on_below_and_is_still_whole(comparison: Comparison) -> None:
    wide, narrow = (printed(comparison, width=width, terminal=True) for width in (400, 140))
    assert set(wide.split()) == set(narrow.split())
    assert narrow.count(LONG) > wide.count(LONG)
    assert "…" not in narrow


def test_a_terminal_without_the_letters_shows_their_numbers(comparison: Comparison) -> None:
    assert r"\u2013" in printed(comparison, width=80, encoding="ascii")


def test_the_csv_has_every_figure_in_full(comparison: Comparison, tmp_path: Path) -> None:
    write_comparison(comparison, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out" / "compare.csv").read_text().splitlines()))
    assert [row["run"] for row in rows] == ["gmm", LONG, "gru"]
    gmm, long, gru = rows
    assert float(long["value"]) == 78 / 90
    assert float(long["difference"]) == pytest.approx(18 / 90)
    assert float(long["difference_low"]) < 18 / 90 < float(long["difference_high"])
    assert (gmm["difference"], gmm["mcnemar_p"], gmm["p"]) == ("", "", "")
    assert int(long["only_this_right"]) - int(long["only_first_right"]) == 18
    assert float(gmm["accuracy/white_5_db"]) == pytest.approx(35 / 90)
    assert float(gmm["accuracy/white_5_db_low"]) < 35 / 90
    assert gru["accuracy/white_5_db"] == ""
    assert (gmm["log_likelihood_per_frame"], gru["macs"]) == ("-10.0", "")


def test_the_page_needs_nothing_and_runs_nothing_of_the_users(comparison: Comparison, tmp_path: Path) -> None:
    written = write_comparison(comparison, tmp_path / "out")
    assert [path.name for path in written] == ["compare.html", "compare.csv", "noise.png"]
    html = written[0].read_text()
    assert SCRIPT not in html
    assert "&lt;script&gt;alert(1)" in html
    assert html.count("<script>") == 1
    assert "default-src 'none'" in html
    assert "http" not in html.replace("http-equiv", "")
    assert 'src="data:image/png;base64,' in html
    for wanted in (
        "3 runs on clips",
        "Protocol",
        "86.7 %",
        "+20.0",
        "90 clips of 4 speakers",
        "What they disagree about",
    ):
        assert wanted in html
    assert html.count("recorded 20 dB") == 1


def test_the_page_says_which_settings_differ_and_what_accuracy_costs(tmp_path: Path) -> None:
    def run(name: str, seed: int, macs: int) -> Path:
        predictions = scored(answers_of(TRUTH, 9 + seed, WORDS), TRUTH, classes=WORDS)
        return write_scored(tmp_path / name / "m", predictions, model={"macs": macs}, config={"seed": seed})

    folders = [run("a", 0, 1000), run("b", 1, 2000)]
    page = write_comparison(compare(folders), tmp_path / "out")[0].read_text()
    assert "<td><bdi>1</bdi></td>" in page[page.index('id="settings"') :]
    assert page.count('aria-label="Against') == 1, "they have as many parameters"
    assert "multiply-accumulates" in page
    assert "Log-lik./frame" not in page, "no run has one"
    same = write_comparison(compare([folders[0], run("c", 0, 1000)]), tmp_path / "out")[0].read_text()
    assert "the same configuration" in same
    assert 'id="costs"' not in same


def test_without_curves_there_is_no_picture_and_an_old_one_goes(comparison: Comparison, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_comparison(comparison, out)
    (out / "thesis.tex").write_text("years of work")
    plain = compare(
        [comparison.runs[2].run.folder, write_scored(tmp_path / "y" / "b", scored(TRUTH, TRUTH, classes=WORDS))]
    )
    written = write_comparison(plain, out)
    assert {path.name for path in out.iterdir()} == {"compare.html", "compare.csv", "thesis.tex"}
    assert 'id="noise"' not in written[0].read_text()


def test_the_same_runs_have_the_same_folder_under_trained_models(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = write_comparison(comparison)
    content = first[0].read_bytes()
    assert write_comparison(comparison) == first
    assert first[0].read_bytes() == content
    assert first[0].parent.parent == Path("trained_models/comparisons")
    turned = compare([run.run.folder for run in reversed(comparison.runs)])
    assert write_comparison(turned)[0].parent != first[0].parent


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1+cmd|'x'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "<img src=x>"])
def test_no_name_becomes_a_formula_or_a_part_of_the_page(name: str, tmp_path: Path) -> None:
    predictions = scored(answers_of(TRUTH, 9, WORDS), TRUTH, classes=WORDS)
    runs = [write_scored(tmp_path / one, predictions, model={"model": one}) for one in (name, "gru")]
    write_comparison(compare(runs), tmp_path / "out")
    (first, _) = csv.DictReader(io.StringIO((tmp_path / "out" / "compare.csv").read_bytes().decode(), newline=""))
    assert first["run"] == first["model"] == (name if name.startswith("<") else "'" + name.replace("\r", "\n"))
    assert "<img" not in (tmp_path / "out" / "compare.html").read_text()
