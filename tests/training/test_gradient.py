"""Training by gradient descent: what is counted, what is logged, and that a seed is a model."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.runs_of_tones import run_settings, write_tones
from phonaut.config.compose import compose
from phonaut.config.plugins import choices
from phonaut.metrics import rates_from_confusion
from phonaut.runs.training import fit
from phonaut.tasks import build as parts
from phonaut.tasks.classification import speech_data
from phonaut.training.gradient import EpochStatistics, SpeechClassifier


def test_the_sums_of_batches_are_the_figures_of_the_epoch() -> None:
    rng = torch.Generator().manual_seed(0)
    scores, labels = torch.randn(50, 3, generator=rng), torch.randint(-1, 3, (50,), generator=rng)
    statistics = EpochStatistics(3)
    for part in torch.arange(50).split(7):
        loss = SpeechClassifier.loss(
            SimpleNamespace(training=False), scores[part], labels[part], 0.0
        )  # the last batch has no label at all
        statistics.update(loss, scores[part], labels[part])
    known = labels >= 0
    right = float((scores.argmax(1) == labels)[known].float().mean())
    expected = torch.nn.functional.cross_entropy(scores[known], labels[known])
    summary = statistics.summary()
    assert summary["accuracy"] == pytest.approx(right)
    assert summary["loss"] == pytest.approx(float(expected), abs=1e-6)
    assert int(statistics.confusion.sum()) == int(known.sum())
    assert rates_from_confusion(statistics.confusion.numpy())["accuracy"] == pytest.approx(right)


def weights(tones: Path, folder: Path, *overrides: str, mel: bool = False) -> dict[str, torch.Tensor]:
    settings = [word for word in run_settings(tones) if not (mel and "n_mfcc" in word)]
    config = compose([*settings, "trainer.max_epochs=2", "trainer.enable_progress_bar=false", *overrides])
    _, module, _ = fit(config, folder)
    return module.model.state_dict()


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("corpus") / "tones", n_takes=1)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tc-res8", "lstm"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(model: str, tones: Path, tmp_path: Path) -> None:
    first, again, other = (
        weights(tones, tmp_path / name, f"model={model}", f"seed={seed}")
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.slow
def test_all_switches_of_augmentation_train_together_the_same_way_again(tones: Path, tmp_path: Path) -> None:
    words = [
        *("dataset.clip_s=0.3", "features=melspec", "features.n_mels=24", "normalizer=relaxed", "trainer.max_epochs=1"),
        *("augmentation.vtl_low=0.85", "augmentation.vtl_high=1.18", "augmentation.room_prob=0.5"),
        *("augmentation.equalizer_db=6", "augmentation.rolloff_low_hz=3000", "augmentation.rolloff_high_hz=8000"),
        *("augmentation.time_mask_ms=100", "augmentation.frequency_mask=0.2", "augmentation.codec_prob=0.1"),
        *("augmentation.noise_kinds=[brown,blue]", "module.mixup=0.2", "module.statistics_noise=0.5"),
    ]
    first, again = (weights(tones, tmp_path / name, *words, mel=True) for name in "ab")
    plain = weights(tones, tmp_path / "plain", *words[:5], mel=True)
    assert all(torch.isfinite(value).all() for value in first.values())
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], plain[key]) for key in first)


@pytest.mark.slow
def test_workers_that_read_ahead_change_nothing(tones: Path, tmp_path: Path) -> None:
    here = weights(tones, tmp_path / "here", "n_workers=0")
    there = weights(tones, tmp_path / "there", "n_workers=2")
    assert all(torch.equal(here[key], there[key]) for key in here)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adadelta", "adam", "adamax", "adamw", "asgd", "lbfgs", "rmsprop", "rprop", "sgd"])
def test_every_optimizer_trains_with_a_scheduler(name: str, tones: Path, tmp_path: Path) -> None:
    scheduler = "plateau" if name == "lbfgs" else "cosine"
    more = ["optimizer.max_iter=2", "trainer.max_epochs=1"] if name == "lbfgs" else []
    after = weights(tones, tmp_path, f"optimizer={name}", "optimizer.lr=0.01", f"scheduler={scheduler}", *more)
    assert all(torch.isfinite(value).all() for value in after.values())


@pytest.mark.slow
@pytest.mark.usefixtures("drawn")
def test_tensorboard_shows_numbers_pictures_and_sounds(tones: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    weights(tones, tmp_path, "trainer.log_every_n_steps=1")
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = events.Tags()
    wanted = {f"{stage}/{name}" for stage in ("train", "validation") for name in ("loss", "accuracy", "recall", "f1")}
    assert wanted | {"train/loss_step", "lr-AdamW"} <= set(tags["scalars"])
    assert any(name.startswith("validation/confusion") for name in tags["images"])
    assert any(name.startswith("train/0_") for name in tags["images"])
    assert any(name.startswith("train/0_") for name in tags["audio"])


def test_a_batch_without_a_label_costs_nothing_and_breaks_nothing(tones: Path) -> None:
    config = compose(run_settings(tones))
    data = speech_data(config, parts.prepared_corpus(config))
    module = parts.training_loop(config, parts.speech_model(config, len(data.classes)), data.classes)
    scores = torch.randn(4, 3, requires_grad=True)
    loss = module.loss(scores, torch.full((4,), -1), 0.1)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert scores.grad is not None
    np.testing.assert_array_equal(scores.grad.numpy(), 0.0)


@pytest.mark.oracle
def test_a_network_with_exits_lowers_the_weighted_sum_of_their_losses_and_says_what_they_save(tones: Path) -> None:
    config = compose([*run_settings(tones), "model=branchy-tc-res8", "model.confidence=0.4"])
    data = speech_data(config, parts.prepared_corpus(config))
    module = parts.training_loop(config, parts.speech_model(config, len(data.classes)), data.classes)
    model = module.model.eval()
    batch = next(iter(data.batches("test")))
    scores, loss = module.scores_and_loss(batch, 0.0)
    of_exits = model.network.exit_scores(*model.segments(batch)).log_softmax(dim=2)
    losses = [-one[torch.arange(len(batch.labels)), batch.labels].mean() for one in of_exits]
    torch.testing.assert_close(loss, 0.3 * losses[0] + 0.3 * losses[1] + 0.4 * losses[2])
    torch.testing.assert_close(scores, model.classify(*model.segments(batch)), rtol=1e-5, atol=1e-5)
    about = module.conclude(data)
    costs = model.network.exit_macs(51, 10)
    assert sum(about["exits"]) == pytest.approx(1)
    assert about["exit_macs"] == pytest.approx(np.dot(about["exits"], costs))


@pytest.mark.parametrize("normalizer", choices()["normalizer"])
def test_every_normaliser_trains_a_batch_in_front_of_a_network(normalizer: str, tones: Path) -> None:
    config = compose([*run_settings(tones), "model=ds-tcn", f"normalizer={normalizer}"])
    data = speech_data(config, parts.prepared_corpus(config))
    model = parts.speech_model(config, len(data.classes))
    module = parts.training_loop(config, model, data.classes)
    _, loss = module.scores_and_loss(next(iter(data.batches("validation"))), 0.1)
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
