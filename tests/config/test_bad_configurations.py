"""What cannot be run is refused in one sentence before there is a run, and nothing raises anything else."""

from pathlib import Path

import pytest

from helpers.bad_configurations import BAD
from phonaut.cli import main
from phonaut.config.compose import draft

LINES = [(kind, line.strip()) for kind, lines in BAD.items() for line in lines.strip("\n").splitlines()]


@pytest.fixture(autouse=True)
def no_corpora(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on this machine's disk does not count."""
    monkeypatch.delenv("PHONAUT_DATA", raising=False)


@pytest.mark.parametrize("words", [line for _, line in LINES], ids=[f"{kind}: {line}" for kind, line in LINES])
def test_a_bad_configuration_is_refused_in_sentences_that_name_the_group(words: str) -> None:
    problems = draft(words.split(" "))[1]
    assert problems
    assert not any("\n" in problem or "Error" in problem for problem in problems)
    keys = [word.partition("=")[0].lstrip("+") for word in words.split(" ")]
    assert any(key.partition(".")[0] in problem or key.rpartition(".")[2] in problem
               for key in keys for problem in problems)  # fmt: skip


@pytest.mark.parametrize("word", ["experiment_id=../x", "optimizer.lr=inf", "model.width=1e9", "batch_frames=3"])
def test_a_refusal_leaves_nothing_behind(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", word]) == 2
    assert word.partition("=")[0] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        "model=gmmhmm optimizer.lr=0.1",
        "model=gmmhmm optimizer=sgd",
        "model=gmm scheduler=step",
        "model=dtw augmentation.level_prob=0.5",
        "model=majority augmentation=default",
        "batch_frames=3",
        "encoder.mode=weighted",
        "encoder.layer=all",
        "encoder.n_components=3",
        "early_stopping.monitor=validation/loss",
        "trainer.gradient_clip_algorithm=norm",
        "trainer.limit_test_batches=0.5",
        "scheduler.epochs=3",
        "scheduler.cycle_momentum=false scheduler.base_momentum=0.8",
        "model=gmm model.topology=ergodic",
        "model=gmmhmm model.topology=ergodic model.skips=1",
        "model=genhmm model.early_size=3",
        "dataset.n_sentences=3",
        "dataset.n_takes=3 target=phone",
        "dataset=fsdd dataset.clear_download=false",
        "dataset=folder dataset.drop_phones=[SIL]",
        "protocol=by_speaker protocol.test_speakers=[a] protocol.validation_speakers=[b] protocol.dev_pct=20",
        "augmentation.timeshift_ms=0 augmentation.timeshift_prob=0.5",
        "augmentation.snr_low_db=null augmentation.snr_high_db=null augmentation.noise_prob=0.5",
        "streaming=true features.framing=center",
        "features.framing=snip_edges features.pad_mode=constant",
        "model=mockingjay_small batch_size=3",
        "model=mockingjay_small labels_pct=50",
        "model=mockingjay_small dataset=fsdd protocol=by_speaker",
        "model=mockingjay_small target=keyword",
        "model=mockingjay_small target_features=mel target_features.sample_rate=8000",
    ],
)
def test_a_key_that_was_typed_and_has_no_effect_is_refused(words: str) -> None:
    said = [problem for problem in draft(words.split(" "))[1] if "no effect" in problem]
    assert len(said) == 1
    assert said[0].split(" ")[0] in words.split(" ")


@pytest.mark.parametrize("words", ["model=gmm augmentation=none", "model=gmmhmm scheduler=null", "streaming=true"])
def test_words_that_say_what_is_so_are_taken(words: str) -> None:
    assert draft(words.split(" "))[1] == []
