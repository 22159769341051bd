"""Problems of the options of Lightning's Trainer: no effect, out of range, or not on this machine.

Every option is carried out, or refused here in a sentence, before there is a run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ACCELERATORS = ("auto", "cpu", "gpu", "cuda")
STRATEGIES = ("auto", "ddp", "ddp_spawn", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "64-true", "32", "64")
GPUS = ("gpu", "cuda")
# Options that are a run's own -> what to type in their place.
OURS = {
    "logger": "a run keeps TensorBoard's events",
    "callbacks": "early_stopping and checkpoint= are groups of their own",
    "plugins": "a run has its own",
    "default_root_dir": "type output_dir=",
    "enable_checkpointing": "a run keeps what it can be resumed from; checkpoint= says which epochs",
    "enable_model_summary": "the report has it",
    "use_distributed_sampler": "batches are divided among processes already",
    "profiler": "type profiler=simple, advanced or pytorch",
    "barebones": "a run without logs and checkpoints is none",
    "limit_predict_batches": "training predicts nothing",
    "enable_autolog_hparams": "config.yaml has them",
    "model_registry": "a run lies in output_dir",
    "reload_dataloaders_every_n_epochs": "the batches of an epoch follow from its number and the seed",
}
LEAST = {
    "num_nodes": 1,
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "log_every_n_steps": 0,
    "num_sanity_val_steps": -1,
    "min_epochs": 0,
    "min_steps": 0,
    "max_steps": -1,
    "max_epochs": -1,
}
SHARES = ("limit_train_batches", "limit_val_batches", "overfit_batches", "val_check_interval")  # or numbers of batches
POSITIVE = ("limit_train_batches", "val_check_interval")
TIME = re.compile(r"\d+:\d\d:\d\d:\d\d")


def trainer_problems(trainer: Mapping[str, Any]) -> list[str]:
    """Everything about the options that could not be carried out."""
    wrong = [f"trainer.{key} has no effect: {why}" for key, why in OURS.items() if key in trainer]
    if not is_whole_split(trainer.get("limit_test_batches")):
        wrong.append(f"trainer.limit_test_batches={trainer['limit_test_batches']} has no effect: figures are those of "
                     "the whole test split; leave it out")  # fmt: skip
    given = {key: value for key, value in trainer.items() if value is not None}
    for key, least in LEAST.items():
        if key in given and not (is_whole(given[key]) and given[key] >= least):
            range_ = "1, or -1 with trainer.max_steps" if key == "max_epochs" else least
            wrong.append(f"trainer.{key}={given[key]}: must be a whole number >= {range_}")
    for key in SHARES:
        if key in given and not is_share(given[key], least=key in POSITIVE):
            low = "above 0" if key in POSITIVE else "0"
            wrong.append(f"trainer.{key}={given[key]}: must be a share, {low} to 1.0, or a number of batches")
    for key, names in (("accelerator", ACCELERATORS), ("strategy", STRATEGIES), ("precision", PRECISIONS),
                       ("gradient_clip_algorithm", ("norm", "value"))):  # fmt: skip
        if key in given and str(given[key]) not in names:
            wrong.append(f"trainer.{key}={given[key]}: must be {', '.join(names[:-1])} or {names[-1]}")
    clip = given.get("gradient_clip_val", 0)
    if isinstance(clip, bool) or not isinstance(clip, (int, float)) or not 0 <= clip < float("inf"):
        wrong.append(f"trainer.gradient_clip_val={clip}: must be a number >= 0, or null")
    if "max_time" in given and not (isinstance(given["max_time"], dict) or TIME.fullmatch(str(given["max_time"]))):
        wrong.append(f"trainer.max_time={given['max_time']}: must be days, hours, minutes and seconds, 00:01:30:00")
    if not isinstance(given.get("fast_dev_run", False), bool) and not is_whole(given["fast_dev_run"]):
        wrong.append(f"trainer.fast_dev_run={given['fast_dev_run']}: must be true, false or a number of batches")
    for key, also in (("deterministic", ("warn",)), ("benchmark", ()), ("detect_anomaly", ()), ("sync_batchnorm", ()),
                      ("enable_progress_bar", ()), ("inference_mode", ())):  # fmt: skip
        if key in given and not isinstance(given[key], bool) and given[key] not in also:
            wrong.append(f"trainer.{key}={given[key]}: must be true or false{' or warn' * bool(also)}")
    return wrong or device_problems(trainer)


def device_problems(trainer: Mapping[str, Any]) -> list[str]:
    """Devices that this machine does not have."""
    accelerator, devices = trainer.get("accelerator", "auto"), trainer.get("devices", 1)
    is_list = isinstance(devices, (list, tuple))
    numbers = list(devices) if is_list else [devices]
    every = devices in ("auto", -1, "-1")
    if not every and not (numbers and all(is_whole(n) and n >= (0 if is_list else 1) for n in numbers)):
        return [f"trainer.devices={devices}: must be how many, auto for all, or a list of numbers of GPUs"]
    import torch

    n_gpus = torch.cuda.device_count() if accelerator in ("auto", *GPUS) and torch.cuda.is_available() else 0
    if accelerator in GPUS and not n_gpus:
        return [f"trainer.accelerator={accelerator}: there is no GPU that PyTorch can use; leave it out, or type cpu"]
    if is_list and not n_gpus:
        return [f"trainer.devices={devices} numbers GPUs, and there are none here: type trainer.devices=1"]
    if n_gpus and not every and (max(numbers) >= n_gpus if is_list else devices > n_gpus):
        return [f"trainer.devices={devices}: there are {n_gpus} GPUs"]
    if trainer.get("precision") == "16-mixed" and not n_gpus:
        return ["trainer.precision=16-mixed is for GPUs, and there is none here: type bf16-mixed or 32-true"]
    if trainer.get("sync_batchnorm") and n_processes(trainer) == 1:
        return ["trainer.sync_batchnorm=true has no effect: one process trains; leave it out"]
    return []


def is_whole_split(limit: object) -> bool:
    """True for a limit that leaves out nothing: 1.0 is a share, and 1 one batch.

    >>> is_whole_split(1.0), is_whole_split(None), is_whole_split(1), is_whole_split(0.5)
    (True, True, False, False)
    """
    return limit is None or (isinstance(limit, float) and limit == 1.0)


def is_whole(value: object) -> bool:
    """True for a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_share(value: object, *, least: bool) -> bool:
    """True for a share of batches, 0.0 to 1.0, or a number of them; `least`: at least one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return (value > 0 or (value == 0 and not least)) and (isinstance(value, int) or value <= 1.0)


def n_processes(trainer: Mapping[str, Any]) -> int:
    """The number of processes that train."""
    import torch

    devices, may = trainer["devices"], trainer["accelerator"] in ("auto", *GPUS) and torch.cuda.is_available()
    if isinstance(devices, (list, tuple)):
        n_devices = len(devices)
    elif is_whole(devices) and devices > 0:
        n_devices = devices
    else:
        n_devices = torch.cuda.device_count() if may else 1
    return max(1, n_devices) * int(trainer["num_nodes"])
