"""Lists of trials and scores as text: what is written is read, malformed lines are named by file, line and reason."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from phonaut.data.trial_files import (
    FORMS,
    read_enrolment,
    read_scores,
    read_trials,
    write_enrolment,
    write_scores,
    write_trials,
)
from phonaut.data.trials import TrialList

TRN = "m1_31 m1/a_m1_31,m1/b_m1_31\nf2_31 f2/a_f2_31\n"
NDX = "m1_31,m1/c_m1_31,Y,N,N,N\nm1_31,m1/c_m1_32,N,Y,N,N\nm1_31,f2/c_f2_31,N,N,Y,N\nf2_31,m1/c_m1_32,N,N,N,Y\n"
KALDI = "m1_31 m1/c_m1_31 target\nf2_31 m1/c_m1_31 nontarget\n"
PAIRS = "1 id1/x/1.wav id1/y/2.wav\n0 id1/x/1.wav id2/x/1.wav\n0 id2/x/1.wav id1/x/1.wav\n"
SCORES = "m1_31 m1/c_m1_31 TC 1.5\nm1_31 m1/c_m1_32 TW -2e-3\nm1_31 f2/c_f2_31 IC 0\nf2_31 m1/c_m1_32 IW -7\n"
Rows = list[tuple[str, str, str]]


def rows(trials: TrialList) -> Rows:
    columns = zip(trials.model, trials.recording, trials.condition, strict=True)
    return [(trials.models[m], trials.recordings[r], trials.conditions[c]) for m, r, c in columns]


def saved(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.fixture
def reddots(tmp_path: Path) -> TrialList:
    return read_trials(saved(tmp_path, "a.ndx", NDX), read_enrolment(saved(tmp_path, "a.trn", TRN)))


def test_a_list_of_reddots_is_read_as_it_says(reddots: TrialList) -> None:
    assert reddots.enrolment == {"m1_31": ("m1/a_m1_31", "m1/b_m1_31"), "f2_31": ("f2/a_f2_31",)}
    assert rows(reddots) == [
        ("m1_31", "m1/c_m1_31", "TC"),
        ("m1_31", "m1/c_m1_32", "TW"),
        ("m1_31", "f2/c_f2_31", "IC"),
        ("f2_31", "m1/c_m1_32", "IW"),
    ]


def test_kaldis_trials_have_the_enrolment_of_spk2utt(tmp_path: Path) -> None:
    enrolment = read_enrolment(saved(tmp_path, "spk2utt", TRN.replace(",", " ")))
    assert enrolment == read_enrolment(saved(tmp_path, "a.trn", TRN))
    trials = read_trials(saved(tmp_path, "trials", KALDI), enrolment)
    assert rows(trials) == [("m1_31", "m1/c_m1_31", "target"), ("f2_31", "m1/c_m1_31", "nontarget")]


def test_a_list_of_voxceleb_enrols_its_first_recordings(tmp_path: Path) -> None:
    trials = read_trials(saved(tmp_path, "veri.txt", PAIRS))
    first, second, third = "id1/x/1.wav", "id1/y/2.wav", "id2/x/1.wav"
    assert trials.enrolment == {first: (first,), third: (third,)}
    assert rows(trials) == [(first, second, "target"), (first, third, "nontarget"), (third, first, "nontarget")]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_read(form: str, reddots: TrialList, tmp_path: Path) -> None:
    write_enrolment(tmp_path / "b.trn", reddots)
    assert (tmp_path / "b.trn").read_text() == TRN
    trials = read_trials(saved(tmp_path, "pairs", PAIRS)) if form == "voxceleb" else reddots
    write_trials(tmp_path / "b", trials, form)
    again = read_trials(tmp_path / "b", None if form == "voxceleb" else read_enrolment(tmp_path / "b.trn"))
    is_known = {"TC": "target", "target": "target"}
    wanted = rows(trials) if form != "kaldi" else [(m, r, is_known.get(c, "nontarget")) for m, r, c in rows(trials)]
    assert rows(again) == wanted
    assert again.enrolment == trials.enrolment
    if form != "kaldi":
        assert (tmp_path / "b").read_text() == {"ndx": NDX, "voxceleb": PAIRS}[form]


@pytest.mark.parametrize("with_conditions", [True, False])
def test_scores_are_the_same_to_the_last_bit_and_in_the_order_of_the_list(
    with_conditions: bool, reddots: TrialList, tmp_path: Path
) -> None:
    scores = np.array([1 / 3, -1e-300, 1.7976931348623157e308, -0.0])
    path = tmp_path / "scores"
    write_scores(path, reddots, scores, with_conditions=with_conditions)
    assert path.read_text().splitlines()[0] == f"m1_31 m1/c_m1_31 {'TC ' * with_conditions}0.3333333333333333"
    np.testing.assert_array_equal(read_scores(path, reddots).view(np.int64), scores.view(np.int64))
    path.write_text("\n".join(reversed(path.read_text().splitlines())))
    np.testing.assert_array_equal(read_scores(path, reddots), scores)


WRITTEN: dict[str, Callable[[str], bytes]] = {
    "a byte order mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "line ends of an old Mac": lambda text: text.replace("\n", "\r").encode(),
    "empty lines and no last end": lambda text: text.replace("\n", "\n \n").rstrip().encode(),
    "backslashes": lambda text: text.replace("/", "\\").encode(),
    "./ before": lambda text: re.sub(r"(?<=[ ,])(?=\w+/)", "./", text).encode(),
    "spaces around": lambda text: text.replace("\n", "\t\n  ").encode(),
    "spaces after commas": lambda text: text.replace(",", ", ").encode(),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_a_list_of_another_system_is_the_same(written: str, reddots: TrialList, tmp_path: Path) -> None:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_bytes(WRITTEN[written](text))
        return tmp_path / name

    enrolment = read_enrolment(write("w.trn", TRN))
    assert enrolment == reddots.enrolment
    assert rows(read_trials(write("w.ndx", NDX), enrolment)) == rows(reddots)
    assert rows(read_trials(write("kaldi", KALDI), enrolment)) == [
        ("m1_31", "m1/c_m1_31", "target"),
        ("f2_31", "m1/c_m1_31", "nontarget"),
    ]
    assert len(read_trials(write("pairs", PAIRS)).enrolment) == 2
    assert read_scores(write("scores", SCORES), reddots).tolist() == [1.5, -2e-3, 0, -7]


def test_recordings_are_found_with_and_without_suffix(tmp_path: Path) -> None:
    known = ["m1/a_m1_31", "m1/b_m1_31", "f2/a_f2_31", "m1/c_m1_31"]
    enrolment = read_enrolment(saved(tmp_path, "a.trn", TRN.replace(",", ".pcm,")), known)
    assert enrolment["m1_31"] == ("m1/a_m1_31", "m1/b_m1_31")
    trials = read_trials(saved(tmp_path, "x", KALDI.replace(" target", ".wav target")), enrolment, known)
    assert trials.recordings == ("m1/c_m1_31",)


BAD_ENROLMENT = {
    "": " has no models",
    "m1_31\n": ", line 1: model m1_31 has no enrolment$",
    TRN + "m1_31 m1/x\n": ", line 3: model m1_31 is enrolled by a line before",
    TRN + "m3 m3/a,m3/b,m3/a\n": ", line 3: model m3 is enrolled with m3/a twice",
    TRN + "m3 m3/a,,m3/b\n": ", line 3: '' is no name of a recording",
    TRN + "m3 m3/a, m3/b c\n": ", line 3: ' m3/b c' is no name of a recording",
    TRN + "m3,m3/a\n": r", line 3: 'model recording,recording,...' is wanted, got 'm3,m3/a'",
    TRN + "m3 new/a\n": ", line 3: there is no recording 'new/a'",
}


@pytest.mark.parametrize("text", BAD_ENROLMENT)
def test_a_malformed_line_of_enrolment_is_named(text: str, tmp_path: Path) -> None:
    known = {"m1/a_m1_31", "m1/b_m1_31", "f2/a_f2_31", "m1/x", "m3/a", "m3/b"}
    with pytest.raises(ValueError, match=f"bad.trn{BAD_ENROLMENT[text]}"):
        read_enrolment(saved(tmp_path, "bad.trn", text), known)


FLAGS = "exactly one of the flags TC,TW,IC,IW is Y, the others N, got"
BAD_TRIALS = {
    "": " has no trials",
    "hello\n": ", line 1: a trial is 'model,recording,N,N,N,Y', 'model recording target' or '1 recording recording'",
    NDX + "m1_31,m1/d,N,N,N,N\n": f", line 5: {FLAGS} 'N,N,N,N'",
    NDX + "m1_31,m1/d,Y,N,N,Y\n": f", line 5: {FLAGS} 'Y,N,N,Y'",
    NDX + "m1_31,m1/d,y,N,N,N\n": f", line 5: {FLAGS} 'y,N,N,N'",
    NDX + "m1_31,m1/d,Y,N,N\n": ", line 5: 'model,recording,TC,TW,IC,IW' is wanted, got 'm1_31,m1/d,Y,N,N'",
    NDX + "m1_31,m1/d,N,Y,N,N,N\n": ", line 5: 'model,recording,TC,TW,IC,IW' is wanted",
    NDX + "m9_31,m1/d,N,N,N,Y\n": ", line 5: model 'm9_31' is not enrolled",
    NDX + ",m1/d,N,N,N,Y\n": ", line 5: model '' is not enrolled",
    NDX + "m1_31,,N,N,N,Y\n": ", line 5: '' is no name of a recording",
    NDX + "m1_31,zz/d,N,N,N,Y\n": ", line 5: there is no recording 'zz/d'",
    "\n" + NDX + "m1_31,m1/c_m1_31,Y,N,N,N\n": ", line 6: model m1_31 and recording m1/c_m1_31 have a trial before",
    NDX + "m1_31,m1/b_m1_31,Y,N,N,N\n": ", line 5: model m1_31 and recording m1/b_m1_31 .* with that recording",
    KALDI + "m1_31 m1/d Target\n": ", line 3: 'model recording target' or '... nontarget' is wanted",
    KALDI + "m1_31 m1/d\n": ", line 3: 'model recording target' or",
    KALDI + "m1_31 m1/d target 0.5\n": ", line 3: 'model recording target' or",
    KALDI + "m9 m1/d target\n": ", line 3: model 'm9' is not enrolled",
    KALDI + "m1_31 m1/a_m1_31 target\n": ", line 3: model m1_31 and recording m1/a_m1_31 .* with that recording",
    "1 m1/d m1/c_m1_31\n2 m1/d m1/c_m1_32\n": ", line 2: '1 recording recording' or '0 recording recording' is wanted",
    "1 m1/d m1/c_m1_31\n1 m1/d\n": ", line 2: '1 recording recording' or",
    "1 m1/d m1/d\n": ", line 1: model m1/d and recording m1/d .* with that recording",
    "1 m1/d zz/d\n": ", line 1: there is no recording 'zz/d'",
    "1 m1/d m1/c_m1_31\n0 m1/d m1/c_m1_31\n": ", line 2: model m1/d and recording m1/c_m1_31 have a trial before",
}


@pytest.mark.parametrize("text", BAD_TRIALS)
def test_a_malformed_line_of_trials_is_named(text: str, reddots: TrialList, tmp_path: Path) -> None:
    known = reddots.named() | {"m1/d"}
    with pytest.raises(ValueError, match=f"bad.txt{BAD_TRIALS[text]}") as caught:
        read_trials(saved(tmp_path, "bad.txt", text), reddots.enrolment, known)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [NDX, KALDI])
def test_models_by_name_need_their_enrolment(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bad.txt, line 1: it names models, so their enrolment is wanted too: a .trn"):
        read_trials(saved(tmp_path, "bad.txt", text))


BAD_SCORES = {
    "": " has no score of 4 of 4 trials, the first: model m1_31 and recording m1/c_m1_31",
    SCORES.replace("m1_31 f2/c_f2_31 IC 0\n", ""): " has no score of 1 of 4 trials, .* recording f2/c_f2_31",
    SCORES + "m1_31 m1/c_m1_31 TC 2\n": ", line 5: model m1_31 and recording m1/c_m1_31 have a score by a line before",
    SCORES.replace("f2_31 m1/c_m1_32", "f2_31 m1/c_m1_31"): ", line 4: model f2_31 .* have no trial in the list",
    SCORES.replace("IC", "IW"): ", line 3: .* have another condition in the list",
    SCORES.replace("IC", "XX"): ", line 3: a condition of the list is TC, TW, IC, IW; got 'XX'",
    SCORES.replace("IC ", ""): r", line 3: 'model recording \[condition\] score' is wanted, all alike",
    SCORES.replace("1.5", "nan"): ", line 1: a score is a finite number, got 'nan'",
    SCORES.replace("1.5", "1e999"): ", line 1: a score is a finite number, got '1e999'",
    SCORES.replace("1.5", "1_0"): ", line 1: a score is a finite number, got '1_0'",
    SCORES.replace("1.5", "1,5"): ", line 1: a score is a finite number, got '1,5'",
    "x" + SCORES: ", line 1: model 'xm1_31' is not enrolled",
    SCORES.replace("f2/c", "f3/c"): ", line 3: there is no recording 'f3/c_f2_31'",
}


@pytest.mark.parametrize("text", BAD_SCORES)
def test_scores_that_are_not_those_of_the_list_are_named(text: str, reddots: TrialList, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"bad.txt{BAD_SCORES[text]}"):
        read_scores(saved(tmp_path, "bad.txt", text), reddots)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (np.zeros(3), r"4 trials have as many scores, got an array of shape \(3,\)"),
        (np.zeros((4, 1)), r"shape \(4, 1\)"),
        (np.array([0, np.nan, 0, 0]), "that of trial 2 is nan"),
        (np.array([0, 0, 0, -np.inf]), "that of trial 4 is -inf"),
    ],
)
def test_scores_that_are_none_are_not_written(
    scores: np.ndarray, reason: str, reddots: TrialList, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=reason):
        write_scores(tmp_path / "scores", reddots, scores)
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize("name", ["a b", "a,b", "", "a\nb", "a\\b", "./a", "a\u00a0b"])
def test_a_name_that_would_read_otherwise_is_not_written(name: str, tmp_path: Path) -> None:
    column = np.zeros(1, np.int32)
    trials = TrialList({"m": (name,)}, ("x",), column, column, column.astype(np.int8))
    for write in (write_enrolment, write_trials, lambda path, one: write_scores(path, one, [0.0])):
        with pytest.raises(ValueError, match="cannot be written in a list: no name has spaces"):
            write(tmp_path / "x", trials)
    assert list(tmp_path.iterdir()) == []


def test_a_list_is_not_written_in_a_form_that_would_lose_what_it_says(reddots: TrialList, tmp_path: Path) -> None:
    pairs = read_trials(saved(tmp_path, "pairs", PAIRS))
    with pytest.raises(ValueError, match=r"an .ndx has TC, TW, IC, IW; these trials have target, nontarget"):
        write_trials(tmp_path / "x", pairs, "ndx")
    with pytest.raises(ValueError, match="a VoxCeleb list names a model by its recording"):
        write_trials(tmp_path / "x", reddots, "voxceleb")
    with pytest.raises(ValueError, match="one of ndx, kaldi, voxceleb, got trn"):
        write_trials(tmp_path / "x", reddots, "trn")


def test_a_hundred_thousand_lines_are_read_in_a_fraction_of_a_second(reddots: TrialList, tmp_path: Path) -> None:
    lines = (f"{model},m1/{i},N,N,N,Y\n" for i in range(50_000) for model in ("m1_31", "f2_31"))
    path = saved(tmp_path, "long.ndx", "".join(lines))
    began = time.process_time()
    trials = read_trials(path, reddots.enrolment)
    assert time.process_time() - began < 1.5, "1.28 million in seconds"
    assert trials.counts() == {"TC": 0, "TW": 0, "IC": 0, "IW": 100_000}
    assert sum(column.nbytes for column in (trials.model, trials.recording, trials.condition)) == 9 * 100_000
