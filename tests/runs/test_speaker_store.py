"""A store of speakers scores as trials do, refuses what would spoil it, and is whole or as it was before."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

import phonaut
from helpers.speakers_of_tones import RATE, Toy, spoken, trained
from phonaut.features.playback import SAME, fingerprint, likeness
from phonaut.models.speakers import Utterances
from phonaut.runs.enrolment_gate import Gate
from phonaut.runs.load import LoadedRun
from phonaut.runs.speaker_store import STORE, SpeakerStore, Take, Voice
from phonaut.runs.speakers import EnrolmentRefusedError, Speakers
from phonaut.tasks.trial_scores import TrialScores

TAKES = tuple(spoken(11, "rise", take) for take in (0, 1, 2))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def run(home: Path) -> LoadedRun:
    return phonaut.load(home / "runs" / "toy")


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONAUT_TRUST", "helpers")


@pytest.fixture
def store(run: LoadedRun, tmp_path: Path) -> Speakers:
    return run.speakers(tmp_path / "store")


def put(store: SpeakerStore, name: str, rows: int = 2, model: str = "m") -> None:
    """A speaker whose takes are numbers."""
    represented = Utterances(np.empty((0, 3), np.float32), np.zeros(rows, np.int64), {"v": np.arange(rows) + 0.5})
    takes = [Take(f"{n}.wav", 0.5, "2026-11-30 12:00") for n in range(rows)]
    with store.changing():
        store.put(name, "", takes, Voice(represented, [np.full((n + 2, 4), n, np.float16) for n in range(rows)]),
                  run=Path("run"), model=model)  # fmt: skip


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


# --- scores


def test_a_file_scores_as_the_same_recording_does_in_the_trials_of_the_run(
    home: Path, run: LoadedRun, store: Speakers
) -> None:
    scored, n = TrialScores.load(run.folder, "test"), 0
    for model, names in [*scored.trials.enrolment.items()][:3]:
        files = [home / "voices" / f"{name}.wav" for name in names]
        store.enroll(model, files, phrase=model.split("/")[1], gate=Gate(agreement=False))
        number = scored.trials.models.index(model)
        for row in np.flatnonzero(scored.trials.model == number)[::5]:
            file = home / "voices" / f"{scored.trials.recordings[scored.trials.recording[row]]}.wav"
            decision = store.verify(model, file)
            assert decision.score == pytest.approx(scored.scores[row], rel=1e-6, abs=1e-6)
            assert decision.accepted == (scored.scores[row] >= 0.0)
            n += 1
    assert n >= 6


def test_arrays_of_another_rate_and_of_two_channels_are_what_files_of_them_are(store: Speakers) -> None:
    store.enroll("anna", list(TAKES), phrase="rise")
    tested = spoken(11, "rise", 3)
    resampled = soxr.resample(tested, RATE, 44_100)
    expected = store.verify("anna", tested).score
    assert store.verify("anna", np.stack([resampled, resampled], axis=1), sample_rate=44_100).score == pytest.approx(
        expected, abs=0.3
    )


def test_a_threshold_follows_from_costs(store: Speakers) -> None:
    store.enroll("anna", list(TAKES), phrase="rise")
    tested = spoken(11, "rise", 3)
    usual, strict = store.verify("anna", tested), store.verify("anna", tested, c_false_alarm=1e6)
    assert (usual.threshold, usual.accepted) == (0.0, True)
    assert strict.threshold == pytest.approx(np.log(1e6))
    assert (strict.accepted, strict.score) == (False, usual.score)
    with pytest.raises(ValueError, match="p_target must be between 0 and 1, got 2"):
        store.verify("anna", tested, p_target=2.0)


def test_without_calibration_the_raw_score_decides_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = phonaut.load(home / "runs" / "toy")
    monkeypatch.delitem(run.about, "calibration")
    speakers = run.speakers(tmp_path / "store")
    done = speakers.enroll("anna", list(TAKES), phrase="rise")
    assert done.remarks == ("the run has no threshold: whether the takes agree with one another was not judged",)
    decision = speakers.verify("anna", spoken(11, "rise", 3))
    assert decision.threshold is decision.accepted is None
    assert "not decided as anna" in str(decision)
    with pytest.raises(ValueError, match=r"c_miss= has no effect: .* has no calibration"):
        speakers.verify("anna", spoken(11, "rise", 3), c_miss=2.0)


def test_takes_and_a_recording_are_compared_without_a_store(run: LoadedRun, store: Speakers) -> None:
    store.enroll("anna", list(TAKES), phrase="rise")
    tested, other = spoken(11, "rise", 3), spoken(2, "rise", 3)
    decision = run.verify(list(TAKES), torch.from_numpy(tested), phrase="rise")
    assert decision.score == pytest.approx(store.verify("anna", tested).score, rel=1e-6)
    assert decision.accepted
    assert run.verify(list(TAKES), other, phrase="rise").accepted is False
    with pytest.raises(ValueError, match="phrase= is missing"):
        run.verify(list(TAKES), other)
    with pytest.raises(ValueError, match=r"has no one vector for a recording: run\.verify"):
        run.embeddings(tested)
    with pytest.raises(ValueError, match="names no classes of recordings, and has no posteriors"):
        run.posteriors(tested)


def test_the_embedding_of_a_recording_is_its_ivector(run: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def represent(self: Toy, utterances: Utterances) -> Utterances:
        return utterances.without_frames(ivector=utterances.lengths[:, None, None] * np.ones((1, 1, 3)))

    monkeypatch.setattr(Toy, "represent", represent)
    short, long = run.embeddings([TAKES[0][:6400], TAKES[0][:9600]])
    assert short.shape == (3,)
    assert 0 < short[0] < long[0] == run.embeddings(TAKES[0][:9600])[0]


# --- the gate


@pytest.mark.parametrize(
    ("takes", "said"),
    [
        (
            [TAKES[0], spoken(11, "rise", 1)[3000:5200], TAKES[2]],
            r"take 2 \(array 2\) has 0\.\d\d s of speech, and 0\.15 are needed",
        ),
        (
            [TAKES[0], np.random.default_rng(0).normal(0, 0.1, RATE)],
            r"take 2 \(array 2\) has no speech that stands out",
        ),
        ([TAKES[0], np.clip(20 * TAKES[1], -1, 1)], r"take 2 \(array 2\) is clipped: \d+\.\d% of its samples"),
        ([TAKES[0], np.zeros(RATE)], r"take 2 \(array 2\) is silent"),
        ([TAKES[0], 0.5 * TAKES[0]], r"take 2 \(array 2\) is the same recording as take 1 \(array 1\)"),
        ([*TAKES, spoken(3, "fall", 0)], r"take 4 \(array 4\) does not agree with the other takes: its score .* is -"),
        ([TAKES[0], spoken(3, "fall", 0)], r"take 1 .* does not agree(.|\n)*take 2 .* does not agree"),
    ],
    ids=["short", "noise", "clipped", "silent", "twice", "another speaker", "two that differ"],
)
def test_the_gate_names_the_take_and_stores_nothing(store: Speakers, takes: list[np.ndarray], said: str) -> None:
    with pytest.raises(EnrolmentRefusedError, match=said) as refused:
        store.enroll("anna", takes, phrase="rise")
    assert len(refused.value.problems) == (2 if said.count("agree") == 2 else 1)
    assert set(everything(store.store.folder)) <= {".lock"}


def test_the_gate_wants_speech_in_all_and_may_be_overruled(store: Speakers) -> None:
    with pytest.raises(EnrolmentRefusedError, match=r"3 takes with 1\.\d\d s of speech in all, and 5 are needed"):
        store.enroll("anna", list(TAKES), phrase="rise", gate=Gate(min_total_s=5))
    done = store.enroll("anna", list(TAKES), phrase="rise", gate=Gate(min_total_s=5), force=True)
    assert len(done.takes) == 3
    assert done.remarks[0].startswith("in spite of the gate: 3 takes with")
    with pytest.raises(ValueError, match="max_clipped must be from 0 to 1, got 2"):
        Gate(max_clipped=2)


def test_a_take_that_does_not_agree_with_those_that_are_there_is_not_added(store: Speakers) -> None:
    store.enroll("anna", list(TAKES[:2]), phrase="rise")
    before = everything(store.store.folder)
    with pytest.raises(EnrolmentRefusedError, match=r"take 3 \(array 1\) does not agree"):
        store.add("anna", spoken(3, "rise", 0))
    assert everything(store.store.folder) == before


def test_a_run_of_phrases_wants_one_and_says_when_nobody_in_the_background_says_it(store: Speakers) -> None:
    with pytest.raises(ValueError, match=r"phrase= is missing: .*; the background says fall, rise"):
        store.enroll("anna", list(TAKES))
    done = store.enroll("anna", list(TAKES), phrase="sesame", gate=Gate(agreement=False))
    assert "nobody in the background says sesame" in done.remarks[0]
    assert "nobody in the background says sesame" in store.verify("anna", spoken(11, "rise", 3)).warnings[0]


def test_takes_that_are_added_and_deleted_leave_the_scores_of_those_that_stay(store: Speakers) -> None:
    tested = spoken(11, "rise", 3)
    store.enroll("all", list(TAKES), phrase="rise")
    store.enroll("grown", list(TAKES[:2]), phrase="rise")
    store.add("grown", TAKES[2])
    assert store.verify("grown", tested).score == store.verify("all", tested).score
    store.store.delete("all", take=2)
    store.enroll("two", [TAKES[0], TAKES[2]], phrase="rise")
    assert store.verify("all", tested).score == store.verify("two", tested).score


# --- played back


def encoded(audio: np.ndarray, kind: str, subtype: str, level: float = 0.6) -> np.ndarray:
    """Through a lossy format; tones, which are harder than speech to Vorbis, get the most bits."""
    file = io.BytesIO()
    soundfile.write(file, audio, RATE, format=kind, subtype=subtype, compression_level=level)
    file.seek(0)
    return soundfile.read(file)[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: 0.2 * x,
        lambda x: x[2777:-3001],
        lambda x: np.concatenate([np.zeros(3333), x, np.zeros(500)]),
        lambda x: encoded(x, "MP3", "MPEG_LAYER_III"),
        lambda x: encoded(x, "OGG", "VORBIS", 0.0),
        lambda x: soxr.resample(soxr.resample(x, RATE, 8000), 8000, RATE),
    ],
    ids=["gain", "trimmed", "padded", "mp3", "ogg", "8 kHz"],
)
def test_a_take_is_known_again_however_it_was_encoded(store: Speakers, change: object) -> None:
    store.enroll("anna", list(TAKES), phrase="rise")
    decision = store.verify("anna", change(TAKES[1]))  # type: ignore[operator]
    assert decision.played_back == "array 2"
    assert decision.accepted is False
    assert "played back: the recording is the enrolled take array 2 itself" in str(decision)


def test_another_take_is_not_taken_for_one_that_was_heard() -> None:
    heard = fingerprint(TAKES[0], RATE)
    assert likeness(heard, TAKES[0], RATE) == pytest.approx(1.0, abs=1e-3)
    assert max(likeness(heard, spoken(11, "rise", take), RATE) for take in range(1, 5)) < 0.8
    assert likeness(fingerprint(np.zeros(RATE), RATE), np.zeros(RATE), RATE) == 0.0


def test_other_takes_of_real_words_are_not_taken_for_one_that_was_heard(real_speech: object) -> None:
    folder = real_speech("arabic_speech_commands")  # type: ignore[operator]
    for speaker in ("00000008", "00000014"):
        takes = [soundfile.read(path) for path in sorted((folder / "no").glob(f"{speaker}_*"))[:5]]
        kept = [fingerprint(audio, rate) for audio, rate in takes]
        like = [likeness(kept[i], *takes[j]) for i in range(5) for j in range(i)]
        assert max(like) < SAME
        for kind, subtype in (("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS")):
            assert likeness(kept[0], encoded(takes[0][0], kind, subtype), RATE) >= SAME


# --- the store on disk


def test_names_are_any_text_and_one_is_not_given_twice(tmp_path: Path) -> None:
    store = SpeakerStore(tmp_path / "store")
    names = ["José Ñandú", "نور", "../../etc/passwd", "a/b", "con.txt", 'O\'Neil "x"']
    for name in names:
        put(store, name)
    assert list(SpeakerStore(tmp_path / "store").speakers) == names
    assert {path.parent for path in tmp_path.rglob("*.npz")} == {tmp_path / "store"}
    with pytest.raises(ValueError, match="has a speaker نور already"):
        store.rename("a/b", "نور")
    store.rename("a/b", "b")
    assert [*store.speakers] == ["b" if name == "a/b" else name for name in names]
    np.testing.assert_array_equal(store.voice("b").represented["v"], [0.5, 1.5])
    for wrong in ("", " ", "a\nb", " a", "x" * 201, "\udcff"):
        with pytest.raises(ValueError, match="a speaker's name must be printable text"):
            store.rename("b", wrong)
    with pytest.raises(ValueError, match="has no speaker Jose Ñandú; did you mean José Ñandú"):
        store.speaker("Jose Ñandú")


def test_deleting_removes_the_files_and_refuses_the_only_take(tmp_path: Path) -> None:
    store = SpeakerStore(tmp_path)
    put(store, "anna", 3)
    put(store, "ben")
    store.delete("anna", take=2)
    np.testing.assert_array_equal(store.voice("anna").represented["v"], [0.5, 2.5])
    assert [len(one) for one in store.voice("anna").fingerprints] == [2, 4]
    assert [take.name for take in store.speaker("anna").takes] == ["0.wav", "2.wav"]
    store.delete("anna", take=1)
    with pytest.raises(ValueError, match="take=1 is the only one of anna: delete the speaker"):
        store.delete("anna", take=1)
    with pytest.raises(ValueError, match="take=5: ben has takes 1 to 2"):
        store.delete("ben", take=5)
    store.delete("ben")
    assert [*store.speakers] == ["anna"]
    assert len(list(tmp_path.glob("*.npz"))) == 1


def test_another_model_is_refused(home: Path, run: LoadedRun, store: Speakers, tmp_path: Path) -> None:
    store.enroll("anna", list(TAKES), phrase="rise")
    other = shutil.copytree(run.folder, tmp_path / "other")
    assert phonaut.load(other).speakers(store.store.folder).verify("anna", spoken(11, "rise", 3)).accepted  # moved
    config = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(config.replace("trim: true", "trim: false"))
    with pytest.raises(ValueError, match=r"was made by another model, .*toy/toy, or by what that was before"):
        phonaut.load(other).speakers(store.store.folder)


def test_damage_is_one_sentence_that_names_the_file(tmp_path: Path) -> None:
    store = SpeakerStore(tmp_path)
    put(store, "anna")
    file = next(tmp_path.glob("*.npz"))
    whole, kept = file.read_bytes(), (tmp_path / STORE).read_text()
    for data in (whole[:-40], whole[:90] + b"\xff\xff" + whole[92:], b"", b"PK"):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=f"{file.name} is damaged: "):
            store.voice("anna")
    np.savez(file, **{"represented/frames": np.array([object()])})
    with pytest.raises(ValueError, match=f"{file.name} is damaged: "):
        store.voice("anna")
    file.unlink()
    with pytest.raises(ValueError, match=f"{file.name} of anna is missing"):
        store.voice("anna")
    content = json.loads(kept)
    for change in (
        {"format": 9},
        {"run": 1},
        {"speakers": []},
        {"speakers": {"anna": {}}},
        {"speakers": {"anna": {"file": "../x.npz", "phrase": "", "takes": []}}},
        {"speakers": {"anna": {"file": "x.npz", "phrase": "", "takes": [{"name": "a", "speech_s": "b", "added": ""}]}}},
    ):
        (tmp_path / STORE).write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=r"store\.json (is damaged: |has format 9, not 1)"):
            SpeakerStore(tmp_path)
    (tmp_path / STORE).write_text("{")
    with pytest.raises(ValueError, match=r"store\.json is damaged"):
        SpeakerStore(tmp_path)


def test_a_folder_of_something_else_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    for place in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(ValueError, match="is no store of speakers: there is something else"):
            SpeakerStore(place)


def test_a_process_that_dies_between_the_files_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SpeakerStore(tmp_path)
    put(store, "anna")
    before = (tmp_path / STORE).read_bytes()

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("phonaut.runs.speaker_store.write_json", die)
        with pytest.raises(KeyboardInterrupt):
            put(store, "anna", 3)
    assert (tmp_path / STORE).read_bytes() == before
    assert len(store.voice("anna").represented) == 2
    put(store, "ben")
    assert len(list(tmp_path.glob("*.npz"))) == 2, "what was left over is removed"


# --- start-up


def test_what_answers_for_one_file_loads_no_lightning_and_no_plots(home: Path, run: LoadedRun, store: Speakers) -> None:
    store.enroll("anna", list(TAKES), phrase="rise")
    soundfile.write(home / "x.wav", spoken(11, "rise", 3), RATE)
    code = (
        "import sys; from phonaut.cli import main\n"
        f"words = ['--config-dir', {str(home / 'conf')!r}, 'verify', {str(run.folder)!r}, "
        f"{str(store.store.folder)!r}, 'anna', {str(home / 'x.wav')!r}]\n"
        "assert main(words) == 0\n"
        "heavy = 'lightning matplotlib tensorboard pandas scipy numba hydra torchmetrics rich'.split()\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    environment = {"PYTHONPATH": f"{Path(phonaut.__file__).parents[1]}:{Path(__file__).parents[1]}", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


# --- what may not be stored


def test_takes_of_another_phrase_than_the_one_named_are_refused(store: Speakers) -> None:
    with pytest.raises(EnrolmentRefusedError) as refused:
        store.enroll("anna", list(TAKES), phrase="fall")
    said = [f"take {n} (array {n}) resembles the phrase rise more than fall: it scores " for n in (1, 2, 3)]
    assert [problem.startswith(begin) for problem, begin in zip(refused.value.problems, said, strict=True)] == 3 * [
        True
    ]
    assert set(everything(store.store.folder)) <= {".lock"}
    done = store.enroll("anna", list(TAKES), phrase="fall", force=True)
    assert done.remarks[0].startswith("in spite of the gate: take 1 (array 1) resembles the phrase rise")
    store.enroll("ben", list(TAKES), phrase="rise")
    with pytest.raises(EnrolmentRefusedError, match=r"take 4 \(array 1\) resembles the phrase fall more than rise"):
        store.add("ben", spoken(11, "fall", 0))


def test_a_run_without_a_score_of_phrases_says_that_it_did_not_judge_them(
    store: Speakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(store.run.model.network), "scores", ("speaker",))
    done = store.enroll("anna", list(TAKES), phrase="fall", gate=Gate(agreement=False))
    assert done.remarks == ("the run's model has no score of phrases: whether the takes say fall was not judged",)


@pytest.mark.parametrize(
    "silence",
    [np.zeros(RATE), np.random.default_rng(0).normal(0, 1e-4, RATE), np.sin(np.arange(RATE) / 7)],
    ids=["zeros", "noise", "tone"],
)
def test_without_speech_nothing_is_enrolled_by_force_or_verified(store: Speakers, silence: np.ndarray) -> None:
    with pytest.raises(EnrolmentRefusedError, match=r"force=true stores no take without speech: take 2 \(array 2\)"):
        store.enroll("anna", [TAKES[0], silence], phrase="rise", force=True)
    assert set(everything(store.store.folder)) <= {".lock"}
    store.enroll("anna", list(TAKES), phrase="rise")
    with pytest.raises(
        ValueError, match=r"array 1 (is silent|has no speech that stands out).*: there is nothing to ver"
    ):
        store.verify("anna", silence)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((5, [TAKES[0]]), "a speaker's name must be text, got 5"),
        ((None, [TAKES[0]]), "a speaker's name must be text, got None"),
        (("anna", 5), "recordings must be files or arrays of samples, one or several; got 5"),
        (("anna", [5]), "5: neither a file nor an array of samples, but int"),
        (("anna", [np.zeros((2, 2, 2))]), r"array 1: samples must be real numbers, .* got float64, \(2, 2, 2\)"),
        (("anna", [np.array(["a"])]), "array 1: samples must be real numbers"),
        (("anna", ["x" * 5000 + ".wav"]), "no such recording"),
        (("anna", []), "there must be recordings; got none"),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else str(value)[:30],
)
def test_arguments_that_cannot_be_are_named_in_a_sentence(store: Speakers, arguments: tuple, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        store.enroll(*arguments, phrase="rise")


def test_other_arguments_that_cannot_be_are_named_in_a_sentence(store: Speakers) -> None:
    with pytest.raises(ValueError, match="phrase must be text, got 5"):
        store.enroll("anna", [TAKES[0]], phrase=5)  # type: ignore[arg-type]
    for name in (5, "x" * 5000):
        with pytest.raises(ValueError, match=r"(name must be text, got 5|has no speaker x{60} \.\.\.;)"):
            store.verify(name, TAKES[0])  # type: ignore[arg-type]
    for folder, what in ((5, "is a folder, got 5"), ("x" * 5000, "cannot be read as a store of speakers: File name")):
        with pytest.raises(ValueError, match=what):
            SpeakerStore(folder)  # type: ignore[arg-type]


def test_a_store_that_may_not_be_written_stays_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SpeakerStore(tmp_path / "store")
    put(store, "anna")
    before = everything(store.folder)

    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied", str(arguments[0]))

    monkeypatch.setattr("phonaut.runs.speaker_store.locked", refuse)
    for change in (lambda: store.delete("anna"), lambda: store.rename("anna", "b"), lambda: put(store, "ben")):
        with pytest.raises(
            OSError, match=r"/store cannot be written, and nothing in it was changed: Permission denied$"
        ):
            change()
    assert everything(store.folder) == before
