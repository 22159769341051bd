"""Keys that were typed and have no effect in their run: each is refused, with what makes it so.

Only what the user has typed counts; what configuration files and recipes choose may well be of no use to a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from phonaut.config.nodes import class_of, flat, instantiate
from phonaut.config.schema import Config


class Idle(NamedTuple):
    """Keys without effect.

    Attributes:
        keys: a group or a key, with spaces between.
        idle: True for a configuration in which they have none.
        why: the reason, in words.
    """

    keys: str
    idle: Callable[[Config], Any]
    why: str


def choice(config: Config, group: str) -> str:
    """The name chosen in a group."""
    return str(config.choices.get(group))


def is_one_state(config: Config) -> bool:
    """True for densities without a chain of states."""
    return config.model.get("n_states") == 1


OFF = ("augmentation=none", "augmentation=null", "scheduler=null")  # which say what is so
REPLACED = ("features", "target_features", "model", "protocol", "trainer", "target")  # by keys that set several others
RULES = (
    Idle("encoder.mode encoder.layer encoder.n_components", lambda c: not c.encoder.run, "encoder.run= is not given"),
    Idle("early_stopping.monitor", lambda c: c.early_stopping.patience is None, "early_stopping.patience=null"),
    Idle("trainer.gradient_clip_algorithm", lambda c: not c.trainer.get("gradient_clip_val"),
         "trainer.gradient_clip_val= is not given"),
    Idle("scheduler.epochs scheduler.steps_per_epoch", lambda c: c.scheduler,
         "the schedule is as long as training takes, or as scheduler.total_steps says"),
    Idle("scheduler.base_momentum scheduler.max_momentum", lambda c: c.scheduler and not c.scheduler.get(
        "cycle_momentum", True), "scheduler.cycle_momentum=false"),
    Idle("dataset.clear_download", lambda c: not c.dataset.get("download"), "dataset.download=false"),
    Idle("dataset.alignment dataset.drop_phones dataset.min_phone_count", lambda c: c.target not in ("phone", "none"),
         "it is for target=phone"),
    Idle("dataset.timeshift_ms dataset.train_snr_low dataset.train_snr_high", lambda c: choice(
        c, "augmentation") == "none", "augmentation=none"),
    Idle("dataset.silence_prob dataset.unknown_prob", lambda c: c.target == "speaker", "target=speaker has no words"),
    Idle("dataset.words dataset.n_takes", lambda c: choice(c, "dataset") == "synthetic" and c.target != "keyword",
         "it is for target=keyword"),
    Idle("dataset.n_sessions dataset.n_sentences dataset.n_phrases", lambda c: choice(
        c, "dataset") == "synthetic" and c.target == "keyword", "it is for target=phone and target=speaker"),
    Idle("dataset.n_phrases", lambda c: c.target == "phone" and c.dataset.get("n_phrases"),
         "target=phone leaves phrases out"),
    Idle("dataset.phone_set", lambda c: c.target != "phone", "it is for target=phone"),
    Idle("protocol.train_pct protocol.dev_pct protocol.test_pct protocol.balance", lambda c: c.protocol.get(
        "test_speakers") and c.protocol.get("validation_speakers"), "the speakers of both parts are given"),
    Idle("model.early_size", lambda c: c.model.get("early_every") == 0, "model.early_every=0"),
    Idle("model.skips", lambda c: c.model.get("topology") not in (None, "left_to_right"),
         "it is for model.topology=left_to_right"),
    Idle("model.topology model.start model.skips", is_one_state, "there is one state, model.n_states=1"),
    Idle("features.pad_mode", lambda c: c.features.get("framing") != "center", "it is for features.framing=center"),
    Idle("features.amin", lambda c: "log" in c.features and c.features["log"] is None, "features.log=null"),
    Idle("augmentation.timeshift_prob", lambda c: augmentation(c, "timeshift_ms") == 0, "augmentation.timeshift_ms=0"),
    Idle("augmentation.noise_prob augmentation.noise_kinds", lambda c: augmentation(c, "snr_low_db", 0) is None,
         "augmentation.snr_low_db=null"),
    Idle("augmentation.level_prob", lambda c: augmentation(c, "level_low_db") == augmentation(c, "level_high_db") == 0,
         "both levels are 0 dB"),
    Idle("augmentation.speed_prob", lambda c: augmentation(c, "speed_low") == augmentation(c, "speed_high") == 1,
         "both speeds are 1"),
)  # fmt: skip


def augmentation(config: Config, key: str, otherwise: Any = "") -> Any:
    """An option of the augmentation, if there is one."""
    return (config.augmentation or {}).get(key, otherwise)


def problems(config: Config, typed: Mapping[str, str]) -> list[str]:
    """The keys that were typed and do nothing.

    Args:
        config: finished.
        typed: key -> the word in which it was typed.
    """
    found: dict[str, str] = {}
    for keys, why in idle_keys(config):
        for key in typed:
            if typed[key] in OFF:
                continue
            if any(key == one or key.startswith(f"{one}.") for one in keys.split()):
                found.setdefault(key, f"{typed[key]} has no effect: {why}; leave it out")
    return list(found.values())


def replaced(before: Config, after: Config, typed: Mapping[str, str]) -> list[str]:
    """The keys that were typed and that other keys have set to something else.

    Args:
        before: as typed.
        after: finished.
        typed: key -> the word in which it was typed.
    """
    was, now = flat(before.to_dict()), flat(after.to_dict())
    wrong = []
    for key, word in typed.items():
        group = key.partition(".")[0]
        if group not in REPLACED or (after.encoder.run and group == "features"):
            continue
        if key in after.choices and before.choices.get(key) != after.choices[key]:
            wrong.append(f"{word} has no effect: this run has {key}={after.choices[key]}; leave it out")
        elif was.get(key) is not None and key not in after.choices and str(now.get(key)) != str(was[key]):
            here = f"this run has {key}={now[key]}" if key in now else f"this run has no {key}"
            wrong.append(f"{word} has no effect: {here}; leave it out")
    return wrong


def idle_keys(config: Config) -> Iterator[tuple[str, str]]:
    """Keys without effect, and why: those of the loop, of the task, and of the rules above."""
    loop, task = class_of(config.module), instantiate(config.task)
    model, module = choice(config, "model"), choice(config, "module")
    yield loop.unused, f"model={model} is trained by module={module}, which has no use for it"
    yield task.unused, f"task={choice(config, 'task')} has no use for it"
    yield from ((rule.keys, rule.why) for rule in RULES if rule.idle(config))
