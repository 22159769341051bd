"""Lightning gets each batch of each epoch once, in one order, through interruptions and on several processes."""

import json
import sys
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from helpers.processes import CONTEXT, run_file, two_places
from phonaut.data.batches import Batch
from phonaut.data.datamodule import SpeechData
from phonaut.training.corpus_module import CorpusModule

Step = tuple[int, int, int, tuple[int, ...]]  # epoch, number of the batch, epoch of the batch, its rows
N_EPOCHS = 3


class Recorder(L.LightningModule):
    """Learns nothing to speak of, and writes down what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[Step] = []
        self.validated: list[tuple[int, ...]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.seen.append((self.current_epoch, batch_idx, batch.epoch, tuple(batch.rows.tolist())))
        return self.weight.sum() * batch.audio.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.validated.append(tuple(batch.rows.tolist()))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Checkpoints(Callback):
    """Saves a checkpoint at every moment at which Lightning can be resumed.

    That is not so in `on_train_epoch_start`: Lightning 2.6 skips the whole epoch when it goes on from there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, trainer: L.Trainer, module: L.LightningModule, moment: str) -> None:
        assert isinstance(module, Recorder)
        trainer.save_checkpoint(self.folder / f"{len(module.seen):02d} {moment}.ckpt")

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self.save(trainer, pl_module, "batch start")

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        self.save(trainer, pl_module, "batch end")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.save(trainer, pl_module, "validation end")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.save(trainer, pl_module, "epoch end")


@pytest.fixture
def corpus(make_corpus: Any) -> Any:
    return make_corpus.example()


def speech_data(corpus: Any, **settings: Any) -> SpeechData:
    return SpeechData(corpus, **{"target": "keyword", "classes": ["a", "b"], "batch_size": 5, "seed": 1, **settings})


def fit(data: SpeechData, folder: Path, *, checkpoint: Path | None = None, **settings: Any) -> Recorder:
    trainer = L.Trainer(
        **{
            "max_epochs": N_EPOCHS,
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "default_root_dir": folder,
            "use_distributed_sampler": False,
            **settings,
        }
    )
    module = Recorder()
    trainer.fit(module, datamodule=CorpusModule(data), ckpt_path=checkpoint, weights_only=True)
    return module


def test_every_epoch_has_every_recording_in_an_order_of_its_own(corpus: Any, tmp_path: Path) -> None:
    module = fit(speech_data(corpus), tmp_path, num_sanity_val_steps=0)
    assert [(epoch, n) for epoch, n, _, _ in module.seen] == [(epoch, n) for epoch in range(N_EPOCHS) for n in range(5)]
    assert all(epoch == of_batch for epoch, _, of_batch, _ in module.seen)
    rows = [[row for e, _, _, rows in module.seen if e == epoch for row in rows] for epoch in range(N_EPOCHS)]
    assert all(sorted(row) == list(range(23)) for row in rows)
    assert rows[0] != rows[1] != rows[2]
    assert module.validated == [(0, 1, 2, 3, 4), (5, 6)] * N_EPOCHS


@pytest.mark.parametrize("n_workers", [0, 2])
def test_training_goes_on_from_any_checkpoint_with_the_batches_not_yet_seen(
    n_workers: int, corpus: Any, tmp_path: Path
) -> None:
    whole = fit(speech_data(corpus), tmp_path, callbacks=[Checkpoints(tmp_path)], num_sanity_val_steps=0).seen
    checkpoints = sorted(tmp_path.glob("*.ckpt"))
    assert len(checkpoints) == N_EPOCHS * (5 + 5 + 1 + 1)
    for checkpoint in checkpoints[:: 5 if n_workers else 1]:
        n_seen = int(checkpoint.name.split()[0])
        rest = fit(speech_data(corpus, n_workers=n_workers), tmp_path, checkpoint=checkpoint).seen
        assert rest == whole[n_seen:], checkpoint.name


def test_lightnings_own_checkpoints_will_do(corpus: Any, tmp_path: Path) -> None:
    own = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=3, save_top_k=-1)
    settings = {"enable_checkpointing": True, "callbacks": [own], "limit_val_batches": 0}
    whole = fit(speech_data(corpus), tmp_path, **settings).seen
    for step in (3, 6, 9, 12):
        rest = fit(speech_data(corpus), tmp_path, checkpoint=tmp_path / f"step={step}.ckpt").seen
        assert rest == whole[step:]


@pytest.mark.parametrize(
    "settings",
    [
        {"limit_train_batches": 3},
        {"val_check_interval": 2},
        {"max_epochs": -1, "max_steps": 12},
        {"accumulate_grad_batches": 2},
    ],
    ids=str,
)
def test_the_trainers_limits_hold_through_interruptions(settings: dict[str, Any], corpus: Any, tmp_path: Path) -> None:
    whole = fit(
        speech_data(corpus), tmp_path, callbacks=[Checkpoints(tmp_path)], num_sanity_val_steps=0, **settings
    ).seen
    for checkpoint in sorted(tmp_path.glob("*.ckpt")):
        n_seen = int(checkpoint.name.split()[0])
        rest = fit(speech_data(corpus), tmp_path, checkpoint=checkpoint, **settings).seen
        assert rest == whole[n_seen:], checkpoint.name


def test_overfitting_sees_the_same_batches_in_every_epoch(corpus: Any, tmp_path: Path) -> None:
    seen = fit(speech_data(corpus), tmp_path, overfit_batches=2).seen
    assert [rows for _, _, _, rows in seen] == [rows for _, _, _, rows in seen[:2]] * N_EPOCHS


def test_workers_read_the_same_batches_and_leave_the_random_state_alone(corpus: Any, tmp_path: Path) -> None:
    here = fit(speech_data(corpus), tmp_path)
    state = torch.get_rng_state()
    workers = fit(speech_data(corpus, n_workers=2), tmp_path)
    assert workers.seen == here.seen
    assert workers.validated == here.validated
    assert torch.equal(torch.get_rng_state(), state)


def test_a_corpus_without_validation_split_trains(make_table: Any, make_corpus: Any, tmp_path: Path) -> None:
    corpus = make_corpus(train=make_table([np.ones(50)] * 7))
    assert len(fit(speech_data(corpus), tmp_path, max_epochs=1).seen) == 2


def test_all_batches_of_a_split_come_without_a_trainer(corpus: Any) -> None:
    data = speech_data(corpus)
    assert sorted(row for batch in data.batches("train") for row in batch.rows.tolist()) == list(range(23))
    assert [batch.rows.tolist() for batch in data.batches("validation")] == [[0, 1, 2, 3, 4], [5, 6]]
    assert data.label_names("validation") == ["a", "b", "a", "b", "a", "b", "a"]


def test_clips_of_one_length_are_known_to_be(make_table: Any, make_corpus: Any) -> None:
    corpus = make_corpus(train=make_table([np.ones(16000)] * 4), clip_s=1.0)
    assert next(iter(speech_data(corpus).batches("train"))).clip_samples == 16000
    corpus.clip_s = None
    assert next(iter(speech_data(corpus).batches("train"))).clip_samples is None


def test_a_span_that_is_too_long_is_refused_with_its_reason(make_table: Any, make_corpus: Any) -> None:
    table = make_table([np.ones(n) for n in (16000, 40000, 16000)], words=["a", "b", "c"])
    data = speech_data(make_corpus(train=table), classes=["a", "b", "c"], max_recording_s=2.0)
    assert data.refused == [
        {"path": "/corpus/cut1.wav", "reason": "2.5 s to classify at once; max_recording_s=2 is the limit"}
    ]
    assert sorted(row for batch in data.batches("train") for row in batch.rows.tolist()) == [0, 2]
    assert data.label_names("train") == ["a", "c"]
    with pytest.raises(
        ValueError, match=r"nothing is left to train on: 1\.0 s to classify at once; max_recording_s=0\.5"
    ):
        speech_data(make_corpus(train=table), max_recording_s=0.5)


@pytest.mark.parametrize(
    "settings", [{"batch_size": 0}, {"n_workers": -1}, {"max_recording_s": 0}, {"target": "word"}], ids=str
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], corpus: Any) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(ValueError, match=rf"^{name} .*got {value}"):
        speech_data(corpus, **settings)


# --- several processes


@pytest.mark.slow
def test_two_processes_share_the_batches_of_one_and_one_goes_on_alone(corpus: Any, tmp_path: Path) -> None:
    ranks = [CONTEXT.Process(target=run_file, args=(__file__, [str(tmp_path)], place)) for place in two_places()]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(120)
        assert rank.exitcode == 0
    shares = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    alone = fit(speech_data(corpus), tmp_path, num_sanity_val_steps=0)
    assert len(shares[0]["seen"]) == len(shares[1]["seen"]) == len(alone.seen)
    for step, a, b in zip(alone.seen, shares[0]["seen"], shares[1]["seen"], strict=True):
        assert a[:3] == b[:3] == list(step[:3])
        assert sorted([*a[3], *b[3]]) == sorted(step[3]), "together they have what one process has"
    for one, a, b in zip(alone.validated, shares[0]["validated"], shares[1]["validated"], strict=True):
        assert sorted([*a, *b]) == sorted(one), "no recording is validated twice"
    rest = fit(speech_data(corpus), tmp_path, checkpoint=tmp_path / "07 batch end.ckpt")
    assert rest.seen == alone.seen[7:]


def share_of_one_process(folder: Path) -> None:
    """What each of two processes does."""
    from conftest import Corpus

    settings = {"strategy": "ddp", "devices": 2, "callbacks": [Checkpoints(folder)], "num_sanity_val_steps": 0}
    module = fit(speech_data(Corpus.example()), folder, **settings)
    share = {"seen": module.seen, "validated": module.validated}
    (folder / f"rank{module.global_rank}.json").write_text(json.dumps(share))


if __name__ == "__main__":
    share_of_one_process(Path(sys.argv[1]))


def test_all_problems_of_the_options_are_named_at_once() -> None:
    options = {"target": "kewyord", "batch_size": 0, "n_workers": -1, "labels_pct": 0.0, "labels_each": 0}
    assert SpeechData.problems(**options, context_s=-1.0, max_recording_s=0.0) == [
        "target is one of keyword, phone, speaker, gender, got kewyord; did you mean keyword?",
        "batch_size must be >= 1, got 0",
        "n_workers must be >= 0, got -1",
        "max_recording_s must be > 0, got 0.0",
        "labels_pct must be > 0 and <= 100, got 0.0",
        "labels_each must be >= 1, got 0",
        "context_s must be >= 0, got -1.0",
    ]
    assert SpeechData.problems(target="phone", batch_size=1) == []
