"""Training of generators: means over windows, exact resuming, and draws that nothing but their window decides."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from helpers.windows_of_numbers import Batches, loop_of, trainer_in
from phonaut.models.generators import CVAE, FHVAE, WAEGAN, WAEMMD, WGANGP, FlowMatching, Generator, Windows
from phonaut.training import Generation, SpeechClassifier
from phonaut.training.checkpointing import ResumePoint
from phonaut.training.generation import TermSums

SMALL: dict[str, Any] = {"n_features": 3, "window_frames": 4, "channels": (4, 6), "hidden_size": 6, "latent_size": 2}
NAMES: dict[str, Any] = {
    "cvae": CVAE,
    "fhvae": FHVAE,
    "wae_gan": WAEGAN,
    "wae_mmd": WAEMMD,
    "wgan_gp": WGANGP,
    "flow_matching": FlowMatching,
}
N_TRAIN, BATCH = 26, 8  # the last batch has 2


def table() -> torch.Tensor:
    return torch.randn(N_TRAIN + 8, 4, 3, generator=torch.Generator().manual_seed(0))


def made(name: str) -> Generator:
    torch.manual_seed(0)
    if name == "flow_matching":
        return FlowMatching(**{key: value for key, value in SMALL.items() if key != "latent_size"})
    options = {"fhvae": {"sequence_latents": 1, "n_sequences": N_TRAIN}, "wae_gan": {"discriminator_size": 4}}
    return NAMES[name](**SMALL, **options.get(name, {}))


class Stop(L.Callback):
    """The process dies, so far as training knows, when a batch begins."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.place = (epoch, batch)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == self.place:
            raise KeyboardInterrupt


def trained(name: str, folder: Path, *callbacks: L.Callback, resume: Path | None = None, **options: Any) -> Generation:
    loop = loop_of(made(name), table(), **options)
    trainer_in(folder, *callbacks).fit(loop, datamodule=Batches(N_TRAIN, BATCH), ckpt_path=resume)
    return loop


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_killed_and_resumed_has_the_weights_and_history_of_one_that_was_not(
    name: str, tmp_path: Path
) -> None:
    whole = trained(name, tmp_path / "whole")
    for place in ((1, 0), (1, 2)):
        folder = tmp_path / f"{place}"
        with pytest.raises(SystemExit):  # Lightning ends the process
            trained(name, folder, ResumePoint(folder, minutes=0.0), Stop(*place))
        resumed = trained(name, folder, resume=folder / "last.ckpt")
        for key, value in whole.state_dict().items():
            assert torch.equal(resumed.state_dict()[key], value), key
        for ours, theirs in zip(resumed.history, whole.history, strict=True):
            assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_figures_are_means_over_windows_and_a_smaller_last_batch_weighs_less() -> None:
    sums = TermSums(["loss", "kl"])
    sums.update({"loss": torch.tensor([1.0, 2.0, 3.0]), "kl": torch.ones(3)})
    sums.update({"loss": torch.tensor([10.0])})
    assert sums.summary() == {"loss": 4.0, "kl": 1.0}
    assert "kl" not in TermSums(["kl"]).summary(), "what was never seen has no mean"


def test_validation_is_on_validation_data_with_the_same_draws_in_every_epoch(tmp_path: Path) -> None:
    loop = loop_of(made("cvae"), table(), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    trainer_in(tmp_path, max_epochs=2).fit(loop, datamodule=Batches(N_TRAIN, BATCH))
    first, second = loop.history
    assert first.keys() == second.keys() >= {f"{stage}/{term}" for stage in ("train", "validation")
                                             for term in CVAE.terms}  # fmt: skip
    assert first["train/reconstruction"] != second["train/reconstruction"], "other draws in another epoch"
    loop.eval()
    with torch.no_grad():
        held = loop.windows(torch.arange(N_TRAIN, N_TRAIN + 8), "validation")
        again = loop.network.losses(held)
    assert second["validation/loss"] == pytest.approx(float(again["loss"].mean()), rel=1e-6)


def test_the_loss_of_a_step_is_the_mean_over_its_windows(tmp_path: Path) -> None:
    steps: list[torch.Tensor] = []

    class Note(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, i: int) -> None:
            steps.append(outputs["loss"].detach())

    loop = loop_of(made("cvae"), table(), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    trainer_in(tmp_path, Note(), max_epochs=1).fit(loop, datamodule=Batches(N_TRAIN, BATCH))
    weights = torch.tensor([8.0, 8.0, 8.0, 2.0])
    assert loop.history[0]["train/loss"] == pytest.approx(float((torch.stack(steps) * weights).sum() / 26), rel=1e-5)


def changed(before: dict[str, torch.Tensor], module: torch.nn.Module) -> bool:
    return any(not torch.equal(before[key], value) for key, value in module.named_parameters())


class Turns(L.Callback):
    """Notes of each batch which parts of a model have changed."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts
        self.seen: list[tuple[bool, ...]] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.before = {part: {key: value.clone() for key, value in getattr(pl_module.network, part).named_parameters()}
                       for part in self.parts}  # fmt: skip

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.seen.append(tuple(changed(self.before[part], getattr(pl_module.network, part)) for part in self.parts))


def test_the_critic_takes_five_steps_to_one_of_the_generator_over_the_ends_of_epochs(tmp_path: Path) -> None:
    turns = Turns("critic", "decoder")
    loop = trained("wgan_gp", tmp_path, turns)
    assert turns.seen == [(True, (i + 1) % 5 == 0) for i in range(3 * 4)]
    lines = loop.history
    assert [f"train/{WGANGP.terms[3]}" in line for line in lines] == [False, True, True], "in four batches, no fifth"
    assert all({"train/loss", "train/critic_loss", "validation/loss"} <= line.keys() for line in lines)


def test_discriminator_and_autoencoder_take_turns_with_every_batch(tmp_path: Path) -> None:
    turns = Turns("discriminator", "encoder", "decoder")
    loop = trained("wae_gan", tmp_path, turns)
    assert turns.seen == [(True, True, True)] * 12
    assert all({f"train/{term}" for term in WAEGAN.terms} <= line.keys() for line in loop.history)


def test_turns_of_one_batch_are_those_of_the_paper_by_hand(tmp_path: Path) -> None:
    loop = loop_of(made("wae_gan"), table(), optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.01))
    trainer_in(tmp_path, max_epochs=1, limit_train_batches=2).fit(loop, datamodule=Batches(N_TRAIN, BATCH))
    model: Any = made("wae_gan")
    order = torch.randperm(N_TRAIN, generator=torch.Generator().manual_seed(0)).split(BATCH)
    for batch in order[:2]:
        windows = loop.model.windows(batch, seed=0, epoch=0, stage="train")
        for player in model.players():
            gradients = torch.autograd.grad(player.terms(windows, 1.0)[player.loss].mean(), player.parameters)
            with torch.no_grad():
                for parameter, gradient in zip(player.parameters, gradients, strict=True):
                    parameter -= 0.01 * gradient
    for key, value in model.named_parameters():
        torch.testing.assert_close(loop.network.get_parameter(key), value, rtol=1e-5, atol=1e-6)


def test_the_share_of_training_that_is_done_rises_from_zero_and_validation_has_all_of_it(tmp_path: Path) -> None:
    told: list[tuple[bool, float]] = []

    class Noting(CVAE):
        def losses(self, windows: Windows, progress: float = 1.0) -> dict[str, torch.Tensor]:
            told.append((self.training, progress))
            return super().losses(windows, progress)

    loop = loop_of(Noting(**SMALL), table())
    trainer_in(tmp_path).fit(loop, datamodule=Batches(N_TRAIN, BATCH))
    assert [progress for training, progress in told if training] == pytest.approx([i / 12 for i in range(12)])
    assert {progress for training, progress in told if not training} == {1.0}


def test_weights_are_averaged_after_every_step(tmp_path: Path) -> None:
    loop: Any = trained("flow_matching", tmp_path)
    assert int(loop.network.average.n_averaged) == 12


@pytest.mark.parametrize(("interval", "critic", "generator"), [("step", 12, 2), ("epoch", 3, 3)])
def test_each_player_has_a_schedule_of_its_own_that_moves_with_its_steps(
    interval: str, critic: int, generator: int, tmp_path: Path
) -> None:
    planned: list[int] = []

    def scheduler(optimizer: torch.optim.Optimizer, planned_length: int) -> Any:
        planned.append(planned_length)
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    loop = trained("wgan_gp", tmp_path, scheduler=scheduler, interval=interval)
    assert planned == [critic, generator]
    rates = [optimizer.param_groups[0]["lr"] for optimizer in loop.trainer.optimizers]
    assert rates == pytest.approx([0.01 * 0.5**critic, 0.01 * 0.5**generator])


def test_loops_know_what_they_train() -> None:
    assert Generation.trains(CVAE)
    assert not Generation.trains(torch.nn.Linear)
    assert not SpeechClassifier.trains(CVAE)
