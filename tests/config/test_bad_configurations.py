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
        "dataset=folder dataset.alignment_tier=phones",
        "dataset=timit target=speaker dataset.test_set=complete",
        "dataset=synthetic target=speaker dataset.clip_s=2",
        "dataset=kws dataset.version=1",
        "dataset=kws dataset.timeshift_ms=50 augmentation.timeshift_ms=20",
        "dataset=kws dataset.train_snr_low=5 augmentation.snr_low_db=20",
        "dataset=kws dataset.train_snr_high=50 augmentation.snr_high_db=60",
        "dataset=kws dataset.selection_seed=1 dataset.silence_prob=0 dataset.unknown_prob=0",
        "dataset=kws target=speaker dataset.selection_seed=1",
        "dataset=fsdd protocol.shared_speakers=true",
        "dataset=folder protocol.shared_speakers=true protocol.test_speakers=[a]",
        "protocol=by_speaker protocol.test_speakers=[a] protocol.balance=false",
        "protocol=trials protocol.seed=1 target=speaker",
        "model=mockingjay_small dataset.words=[a,b]",
        "model=mockingjay_small dataset=timit dataset.test_set=complete",
        "model=mockingjay_small dataset=librispeech dataset.drop_phones=[A]",
        "model=gru model.causal=true",
        "model=mockingjay_small objective=apc model.causal=true",
        "model=gru model.scope=recording",
        "model=dnnhmm model.scope=recording",
        "model=gmmhmm model.acoustic_scale=0.5 model.calibration=true",
        "model=flow model.permutation=random model.n_couplings=1",
        "recipe=none features.delta_kind=librosa",
        "features.window=rectangular features.periodic=false",
        "features=melspec features.log=null features.top_db=40",
        "features=melspec features.log=null features.log_offset=1",
        "model=mockingjay_small target_features=linear target_features.delta_kind=librosa",
        "normalizer=cmvn normalizer.variance=false normalizer.ddof=1",
        "model=mockingjay_small objective=tera objective.noise_prob=0 objective.noise_variance=1",
        "model=mockingjay_small objective=tera objective.noise_prob=1 objective.noise_variance=0",
        "scheduler=cyclic scheduler.gamma=0.5",
        "scheduler=cyclic scheduler.scale_mode=iterations",
        "optimizer=adadelta scheduler.cycle_momentum=false",
        "optimizer=adadelta scheduler.max_momentum=0.99",
        "optimizer.lr=0.1 scheduler.max_lr=0.02",
        "optimizer=sgd optimizer.momentum=0.9",
        "optimizer=sgd optimizer.dampening=0.1 scheduler=step",
        "optimizer=adam optimizer.decoupled_weight_decay=true",
        "trainer.overfit_batches=2 trainer.limit_train_batches=3",
        "trainer.overfit_batches=2 trainer.limit_val_batches=3",
        "trainer.min_epochs=3",
        "checkpoint=last checkpoint.mode=max",
        "protocol=by_speaker protocol.test_speakers=[a] protocol.validation_speakers=[b] protocol.dev_pct=20",
        "augmentation.timeshift_ms=0 augmentation.timeshift_prob=0.5",
        "teacher.temperature=2",
        "teacher.run=a model=gmmhmm",
        "teacher.run=a model=ecapa target=speaker",
        "module.gamma=3",
        "streaming=true module.loss=max_pooling module.label_smoothing=0.2",
        "window_ms=500",
        "window_ms=500 streaming=true target=phone model=gru",
        "augmentation=default augmentation.vtl_prob=0.5",
        "augmentation=default augmentation.room_rt60_high_s=0.3",
        "augmentation=default augmentation.room_folder=rooms",
        "augmentation=default augmentation.equalizer_prob=0.5",
        "augmentation=default augmentation.rolloff_prob=0.5",
        "augmentation.codecs=[mp3]",
        "augmentation=default augmentation.time_masks=2",
        "recipe=none features=melspec augmentation.frequency_mask_prob=0.3",
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


@pytest.mark.parametrize(
    "words",
    [
        "model=mockingjay_small dataset=fsdd dataset.download=true dataset.clear_download=false",
        "dataset=kws dataset.download=true dataset.version=1",
        "dataset=kws dataset.timeshift_ms=50",
        "dataset=librispeech target=phone dataset.alignment=a.TextGrid dataset.alignment_tier=phones",
        "target=phone model=gru model.scope=recording",
        "model=probe model.scope=segment",
        "model=gru streaming=true model.causal=true",
        "model=tc-res8 model.causal=true",
        "model=mockingjay_small model.causal=true",
        "model=gmmhmm model.acoustic_scale=0.5 model.calibration=true model.duration_model=true",
        "optimizer.lr=0.1",
        "module.loss=focal module.gamma=3",
        "streaming=true window_ms=500 module.loss=max_pooling module.negative_weight=5",
        "teacher.run=[a,b] teacher.temperature=2 module.loss=focal",
        "optimizer=sgd optimizer.momentum=0.9 optimizer.nesterov=true",
        "optimizer=sgd optimizer.momentum=0.9 scheduler=step",
        "optimizer=sgd optimizer.dampening=0.1",
        "features.deltas=1 features.delta_kind=librosa",
        "trainer.min_epochs=3 early_stopping.patience=2",
        "model=gmm trainer.min_epochs=3",
        "recipe=none checkpoint.mode=min",
        "protocol=trials protocol.seed=1 protocol.balanced=true target=speaker",
    ],
)
def test_a_key_that_has_an_effect_is_taken(words: str) -> None:
    assert not [problem for problem in draft(words.split(" "))[1] if "no effect" in problem]


@pytest.mark.parametrize("words", ["model=gmm augmentation=none", "model=gmmhmm scheduler=null", "streaming=true"])
def test_words_that_say_what_is_so_are_taken(words: str) -> None:
    assert draft(words.split(" "))[1] == []
