"""Every option of Lightning's Trainer trains, or is refused in one sentence; every optimizer with every scheduler."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml

from helpers.runs_of_tones import run_settings, write_tones
from phonaut.config.check import SPARSE_ADAM
from phonaut.config.compose import ConfigurationError, compose
from phonaut.config.plugins import choices, node_of_group
from phonaut.runs.training import conclude, fit
from phonaut.tasks.build import partial, scheduler_of
from phonaut.tasks.classification import Classification
from phonaut.training.trainer_options import OURS, n_processes, trainer_problems

N_EPOCHS = 2
# Options that train -> the epochs that there are then.
TRAINS: dict[str, int] = {
    "max_epochs=1": 1,
    "max_steps=1": 1,
    "max_time=00:00:10:00": 2,
    "accelerator=auto": 2,
    "devices=auto": 2,
    "precision=64-true": 2,
    "precision=bf16-mixed": 2,
    "limit_train_batches=0.1": 2,
    "limit_val_batches=0": 2,
    "limit_val_batches=0.1": 2,
    "limit_test_batches=1.0": 2,
    "fast_dev_run=true": 1,
    "overfit_batches=0.1": 2,
    "check_val_every_n_epoch=2": 2,
    "check_val_every_n_epoch=5": 2,
    "val_check_interval=1": 2,
    "val_check_interval=0.5": 2,
    "accumulate_grad_batches=2": 2,
    "gradient_clip_val=0.5": 2,
    "gradient_clip_val=0.5 trainer.gradient_clip_algorithm=value": 2,
    "deterministic=true": 2,
    "benchmark=true": 2,
    "detect_anomaly=true": 2,
    "log_every_n_steps=1": 2,
    "log_every_n_steps=0": 2,
    "enable_progress_bar=true": 2,
    "min_epochs=1 early_stopping.patience=3": 2,
    "min_steps=3 early_stopping.patience=3": 2,
    "num_sanity_val_steps=-1": 2,
    "inference_mode=false": 2,
}
REFUSED = {
    "accelerator=gpu": "there is no GPU",
    "accelerator=cuda": "there is no GPU",
    "accelerator=tpu": "must be auto, cpu, gpu or cuda",
    "devices=[0]": "numbers GPUs, and there are none",
    "devices=[]": "must be how many",
    "devices=0": "must be how many",
    "devices=-2": "must be how many",
    "devices=two": "must be how many",
    "num_nodes=0": "must be a whole number >= 1",
    "strategy=fsdp": "must be auto, ddp",
    "precision=16-mixed": "is for GPUs",
    "precision=8": "must be 32-true, ",
    "precision=64-mixed": "must be 32-true, ",
    "limit_train_batches=0": "above 0 to 1.0, or a number of batches",
    "limit_train_batches=1.5": "above 0 to 1.0, or a number of batches",
    "limit_val_batches=-1": "0 to 1.0, or a number of batches",
    "limit_test_batches=0.5": "has no effect",
    "limit_test_batches=3": "has no effect",
    "limit_test_batches=1": "has no effect",
    "sync_batchnorm=true": "has no effect: one process trains",
    "overfit_batches=-0.1": "must be a share",
    "fast_dev_run=0.5": "must be true, false or a number",
    "max_epochs=0": "must be >= 1",
    "max_epochs=-3": "must be a whole number >= 1, or -1",
    "max_steps=-2": "must be a whole number >= -1",
    "max_time=abc": "must be days, hours, minutes and seconds",
    "max_time=3": "must be days, hours, minutes and seconds",
    "min_epochs=-1": "must be a whole number >= 0",
    "check_val_every_n_epoch=0": "must be a whole number >= 1",
    "val_check_interval=0": "must be a share",
    "accumulate_grad_batches=0": "must be a whole number >= 1",
    "gradient_clip_val=-1": "must be a number >= 0",
    "gradient_clip_val=inf": "must be a number >= 0",
    "gradient_clip_algorithm=abs": "must be norm or value",
    "deterministic=maybe": "must be true or false or warn",
    "log_every_n_steps=-1": "must be a whole number >= 0",
    "num_sanity_val_steps=-2": "must be a whole number >= -1",
    "limit_val_batches=0 scheduler=plateau": "scheduler=plateau watches the validation",
    "limit_val_batches=0 early_stopping.patience=1": "early_stopping.patience watches the validation",
    "max_epochs=2 model=gmm trainer.gradient_clip_val=1.0": "EM has no gradients",
    "max_epochs=2 model=gmm trainer.accumulate_grad_batches=2": "EM has no gradients",
    "max_epochs=2 model=gmm trainer.fast_dev_run=true": "an EM step is one over the whole split",
    "max_epochs=2 model=gmm trainer.limit_train_batches=1": "an EM step is one over the whole split",
    "max_epochs=2 model=gmm trainer.limit_val_batches=1": "an EM step is one over the whole split",
    "max_epochs=2 model=gmm trainer.val_check_interval=1": "an EM step is one over the whole split",
    "max_epochs=2 model=gmm trainer.precision=64-true": "EM computes in the precision that it needs",
    **{f"{key}=true": f"{key} has no effect" for key in OURS},
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    tones = write_tones(tmp_path_factory.mktemp("corpus") / "tones", n_speakers=4, n_takes=1)
    return [*run_settings(tones, small=True), "batch_size=3", f"trainer.max_epochs={N_EPOCHS}", "model.channels=[4,4]",
            "augmentation=none", "trainer.enable_progress_bar=false", "features.hop_length=640"]  # fmt: skip


def words(option: str) -> list[str]:
    """The words of an option."""
    first, *more = option.split()
    return [f"trainer.{first}", *more]


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No pictures, and all that Lightning sets for the whole process as it was."""
    monkeypatch.setattr(Classification, "callbacks", lambda *_: [])
    yield
    torch.use_deterministic_algorithms(False)
    torch.autograd.set_detect_anomaly(False)
    torch.backends.cudnn.benchmark = False


@pytest.mark.parametrize("option", TRAINS)
def test_an_option_of_the_trainer_trains(option: str, settings: list[str], tmp_path: Path, quiet: None) -> None:
    config = compose([*settings, *words(option)])
    parts = fit(config, tmp_path)
    conclude(config, tmp_path, *parts)
    _, loop, _ = parts
    assert [line["epoch"] for line in loop.history] == list(range(TRAINS[option]))
    assert all(value.dtype != torch.float64 for value in loop.model.state_dict().values())
    assert (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize("option", [option for option in REFUSED if "max_epochs" not in option and " " not in option])
def test_an_option_that_cannot_be_carried_out_is_refused(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    key, _, value = option.partition("=")
    said = trainer_problems({**node_of_group("trainer", "default", {}, {}), key: yaml.safe_load(value)})
    assert len(said) == 1
    assert REFUSED[option] in said[0]
    assert "\n" not in said[0]


@pytest.mark.parametrize(
    "option",
    [option for option in REFUSED if "max_epochs" in option or " " in option] + ["barebones=true", "accelerator=gpu"],
)
def test_composing_refuses_it(option: str, settings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = [word for word in settings if not (word.startswith("model.") and "model=gmm" in option)]
    with pytest.raises(ConfigurationError) as raised:
        compose([*settings, *words(option)])
    said = [problem for problem in raised.value.problems if REFUSED[option] in problem]
    assert len(said) == 1
    assert sum(problem.startswith(f"trainer.{option}:") for problem in raised.value.problems) <= 1, "it is said once"
    assert all("\n" not in problem for problem in raised.value.problems)


def test_every_option_that_lightning_has_is_tried() -> None:
    tried = {option.partition("=")[0] for option in (*TRAINS, *REFUSED)}
    assert tried == inspect.signature(L.Trainer).parameters.keys()


def test_plateau_counts_only_epochs_that_were_validated(settings: list[str], tmp_path: Path, quiet: None) -> None:
    slow = ["scheduler=plateau", "scheduler.patience=1", "optimizer.lr=1e-12", "trainer.check_val_every_n_epoch=2"]
    _, loop, _ = fit(compose([*settings, *slow, "trainer.max_epochs=4"]), tmp_path)
    assert {line["lr"] for line in loop.history} == {1e-12}, "two validations: one is no progress yet"


@pytest.mark.parametrize("monitor", ["early_stopping.patience=1", "scheduler=plateau"])
def test_what_watches_a_validation_that_there_is_not_is_refused_before_training(
    monitor: str, settings: list[str], tmp_path: Path, quiet: None
) -> None:
    config = compose([*settings, monitor])
    config.trainer["limit_val_batches"] = 0  # as a corpus without that split
    with pytest.raises(ValueError, match="watches the validation, and there is none in folder"):
        fit(config, tmp_path)


@pytest.mark.parametrize("scheduler", choices()["scheduler"])
@pytest.mark.parametrize(
    "optimizer", [name for name in choices()["optimizer"] if name not in ("sparse_adam", "pretraining")]
)
def test_every_optimizer_makes_steps_under_every_scheduler(optimizer: str, scheduler: str) -> None:
    layer = torch.nn.Linear(3, 2)
    node = node_of_group("optimizer", optimizer, {}, {})
    made = partial(node)(layer.parameters())
    schedule, _ = scheduler_of(node_of_group("scheduler", scheduler, {}, {"optimizer": node}))
    assert schedule is not None
    moves = schedule(made, planned_length=4)

    def closure() -> torch.Tensor:
        made.zero_grad()
        loss = layer(torch.ones(5, 3)).square().mean()
        loss.backward()
        return loss

    before = layer.weight.clone()
    for _ in range(3):
        made.step(closure)
        moves.step(closure().detach()) if scheduler == "plateau" else moves.step()
    assert torch.isfinite(layer.weight).all()
    assert not torch.equal(layer.weight, before)


def test_the_one_optimizer_for_sparse_gradients_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=SPARSE_ADAM[:30]):
        compose(["optimizer=sparse_adam"])


@pytest.mark.parametrize(
    ("devices", "n"), [(1, 1), (2, 2), ([0, 1, 2], 3), ("auto", 1), (-1, 1)], ids=lambda value: str(value)
)
def test_processes_are_counted(devices: Any, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert n_processes({"devices": devices, "accelerator": "auto", "num_nodes": 1}) == n
    assert n_processes({"devices": devices, "accelerator": "auto", "num_nodes": 2}) == 2 * n
