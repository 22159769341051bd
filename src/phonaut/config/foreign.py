"""Rules for options of classes that are not ours: Lightning's Trainer and checkpoints, PyTorch's optimizers.

Their constructors say something of types and little of ranges, and refuse when a run is under way.
"""

from __future__ import annotations

import re
from typing import Any

from phonaut.checks import Rule, at_least, broken, types_of, within
from phonaut.config.nodes import class_of, instantiate, load_target
from phonaut.config.schema import Config
from phonaut.names import did_you_mean

PLANNED = ("total_steps", "T_max")  # of a scheduler: null stands for as long as training takes


def is_duration(value: Any) -> bool:
    """True for DD:HH:MM:SS, or `{hours: 1}`."""
    if isinstance(value, dict):
        names = {"weeks", "days", "hours", "minutes", "seconds"}
        return value.keys() <= names and all(isinstance(x, int) and x >= 0 for x in value.values()) and any(
            value.values())  # fmt: skip
    return bool(re.fullmatch(r"\d{1,4}:\d\d:\d\d:\d\d", str(value)) and re.search("[1-9]", str(value)))


TRAINER = {  # what is not in `phonaut.training.trainer_options`
    "max_steps": Rule("must be a whole number >= -1, and not 0", lambda n: type(n) is not int or n >= 1 or n == -1),
    "max_time": Rule("must be days, hours, minutes and seconds, 00:01:30:00, and more than none", is_duration),
    "devices": Rule("must be at most 1024", lambda n: type(n) is not int or n <= 1024),
    "num_nodes": Rule("must be at most 4096", lambda n: type(n) is not int or n <= 4096),
}
OPTIMIZER = {
    "lr": within(0, 1000),
    **dict.fromkeys(("weight_decay", "lambd"), within(0, 100)),
    **dict.fromkeys(("eps", "tolerance_grad", "tolerance_change"), within(0, 1, beyond=True)),
    **dict.fromkeys(("momentum", "dampening", "rho", "alpha"), within(0, 1)),
    **dict.fromkeys(("max_iter", "max_eval", "history_size"), within(1, 100_000)),
    "t0": within(0, 1e12),
    "line_search_fn": Rule("must be strong_wolfe, or null", lambda name: name == "strong_wolfe"),
    "step_sizes": Rule("must be two numbers, 0 < least <= most <= 1000", lambda x: 0 < x[0] <= x[1] <= 1000),
}
SCHEDULER = {
    "interval": Rule("must be step or epoch", lambda name: name in ("step", "epoch"), null=False),
    "max_lr": within(0, 1000),
    **dict.fromkeys(("base_lr", "eta_min", "min_lr"), within(0, 1000)),
    **dict.fromkeys(("total_steps", "epochs", "steps_per_epoch", "T_max", "T_0", "T_mult", "step_size", "step_size_up",
                     "step_size_down"), at_least(1)),
    **dict.fromkeys(("patience", "cooldown"), at_least(0)),
    **dict.fromkeys(("pct_start", "base_momentum", "max_momentum", "threshold", "eps"), within(0, 1)),
    **dict.fromkeys(("div_factor", "final_div_factor"), within(0, 1e9, beyond=True)),
    "gamma": within(0, 10, beyond=True),
    "factor": Rule("must be above 0 and below 1", lambda x: 0 < x < 1),
    "milestones": Rule("must be a list of whole numbers >= 1, each above the one before", lambda x: isinstance(
        x, list) and all(type(n) is int for n in x) and x == sorted({n for n in x if n >= 1}), null=False),
}  # fmt: skip
CHECKPOINT = {
    "mode": Rule("must be min or max", lambda name: name in ("min", "max")),
    "save_top_k": Rule("must be >= 1, or -1: all", lambda n: n == -1 or 1 <= n <= 10**6),
    "filename": Rule("must be a name without slashes", lambda name: bool(name) and not re.search(r"[/\\\0]", name)),
}
RULES = {"trainer": TRAINER, "optimizer": OPTIMIZER, "scheduler": SCHEDULER, "checkpoint": CHECKPOINT}


def problems(config: Config) -> list[str]:
    """The rules that the options of such classes break, and keys that the Trainer does not take."""
    wrong = []
    for group, rules in RULES.items():
        wrong += broken(rules, getattr(config, group) or {}, f"{group}.")
    known = types_of(load_target("lightning.Trainer"))
    wrong += [f"unknown key trainer.{key}{did_you_mean(key, known)}" for key in config.trainer if key not in known]
    return wrong


def built_problems(config: Config) -> list[str]:
    """What PyTorch says of an optimizer and a scheduler when they are made, and when the scheduler has moved."""
    import torch

    found = []
    try:
        instantiate(config.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    except Exception as error:  # whatever the class thinks of its options
        found.append(f"optimizer: {error}")
    if config.scheduler:
        options = {key: 100 if key in PLANNED and value is None else value for key, value in config.scheduler.items()}
        options.pop("interval", None)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3, momentum=0.9)
        try:
            scheduler = instantiate(options, optimizer)
            is_plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
            for _ in range(min(3, (options.get("total_steps") or 4) - 1)):  # training may be as short as that
                optimizer.step()
                scheduler.step(*([1.0] if is_plateau else []))
        except Exception as error:
            found.append(f"scheduler: {error}")
    return found


def monitor_problems(config: Config) -> list[str]:
    """Figures that checkpoints and early stopping watch, and that the training loop does not have."""
    figures = class_of(config.module).figures
    watched = {"checkpoint.monitor": config.checkpoint.get("monitor")}
    if config.early_stopping.patience is not None:
        watched["early_stopping.monitor"] = config.early_stopping.monitor
    names = [f"{stage}/{figure}" for figure in figures for stage in ("validation", "train")]
    wrong = [
        f"{key}={name}: must be one of {', '.join(names)}{did_you_mean(str(name), names)}"
        for key, name in watched.items()
        if figures and name is not None and name not in names
    ]
    mode, name = config.checkpoint.get("mode"), watched["checkpoint.monitor"]
    right = None if name is None or wrong or not figures else "min" if name.endswith("loss") else "max"
    if right not in (None, mode):
        wrong.append(f"checkpoint.mode={mode} would keep the worst of {name}: use checkpoint.mode={right}")
    return wrong
