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


def corpus(config: Config, key: str) -> Any:
    """An option of the corpus that was chosen, which pre-training makes the one part of a mix."""
    parts = config.dataset.get("corpora") if choice(config, "dataset") != "mix" else None
    return (parts[0]["corpus"] if parts else config.dataset).get(key)


def scheduler(config: Config, key: str) -> Any:
    """An option of the schedule, if there is one."""
    return (config.scheduler or {}).get(key)


def sets_rate(config: Config) -> bool:
    """True for a schedule that goes up to a rate of its own, whatever that of the optimizer is."""
    return choice(config, "scheduler") in ("1cycle", "cyclic")


def sets_momentum(config: Config) -> bool:
    """True for a schedule that moves the momentum, whatever the optimizer says."""
    return sets_rate(config) and bool(scheduler(config, "cycle_momentum"))


def rules_of_front_end(group: str) -> list[Idle]:
    """The rules of `features`, or of `target_features`."""

    def has(key: str, value: Any) -> Callable[[Config], Any]:
        return lambda config: (node := getattr(config, group)) and key in node and node[key] == value

    return [
        Idle(f"{group}.pad_mode", lambda config: (getattr(config, group) or {}).get("framing") != "center",
             f"it is for {group}.framing=center"),
        Idle(f"{group}.amin {group}.top_db {group}.log_offset", has("log", None), f"{group}.log=null"),
        Idle(f"{group}.delta_kind", has("deltas", 0), f"{group}.deltas=0"),
        Idle(f"{group}.periodic", has("window", "rectangular"), f"{group}.window=rectangular"),
    ]  # fmt: skip


OFF = ("augmentation=none", "augmentation=null", "scheduler=null")  # which say what is so
RECURRENT = ("gru", "lstm", "rnn")
REPLACED = (
    "features",
    "target_features",
    "model",
    "protocol",
    "trainer",
    "target",
    "checkpoint",
)  # by keys that set several others
RULES = (
    Idle("encoder.mode encoder.layer encoder.n_components", lambda c: not c.encoder.run, "encoder.run= is not given"),
    Idle("generated.how generated.share generated.prior", lambda c: not c.generated.run, "generated.run= is not given"),
    Idle("generated.prior", lambda c: c.generated.how != "sample", "it is for generated.how=sample"),
    Idle("negatives.voices", lambda c: not c.negatives.near, "negatives.near=0"),
    Idle("negatives", lambda c: c.target != "keyword", "it is for target=keyword"),
    Idle("teacher.temperature teacher.weight", lambda c: not c.teacher.run, "teacher.run= is not given"),
    Idle("teacher", lambda c: not class_of(c.module).takes_teachers, "it is for classifiers that are trained by "
         "module=speech_classifier"),
    Idle("early_stopping.monitor", lambda c: c.early_stopping.patience is None, "early_stopping.patience=null"),
    Idle("trainer.gradient_clip_algorithm", lambda c: not c.trainer.get("gradient_clip_val"),
         "trainer.gradient_clip_val= is not given"),
    Idle("scheduler.epochs scheduler.steps_per_epoch", lambda c: c.scheduler,
         "the schedule is as long as training takes, or as scheduler.total_steps says"),
    Idle("scheduler.base_momentum scheduler.max_momentum", lambda c: scheduler(c, "cycle_momentum") is False,
         "scheduler.cycle_momentum=false"),
    Idle("scheduler.cycle_momentum scheduler.base_momentum scheduler.max_momentum",
         lambda c: not {"momentum", "betas"} & c.optimizer.keys(), "the optimizer has no momentum to move"),
    Idle("scheduler.gamma", lambda c: choice(c, "scheduler") == "cyclic" and scheduler(c, "mode") != "exp_range",
         "it is for scheduler.mode=exp_range"),
    Idle("scheduler.scale_mode", lambda c: choice(c, "scheduler") == "cyclic", "scheduler.mode says it"),
    Idle("optimizer.lr", lambda c: sets_rate(c) and scheduler(c, "max_lr") != c.optimizer["lr"],
         "the rate goes up to scheduler.max_lr"),
    Idle("optimizer.momentum", lambda c: sets_momentum(c) and not c.optimizer.get("nesterov"),
         "scheduler.cycle_momentum=true moves it"),
    Idle("optimizer.dampening", lambda c: c.optimizer.get("momentum") == 0 and not sets_momentum(c),
         "optimizer.momentum=0"),
    Idle("optimizer.decoupled_weight_decay", lambda c: c.optimizer.get("weight_decay") == 0,
         "optimizer.weight_decay=0"),
    Idle("trainer.limit_train_batches trainer.limit_val_batches", lambda c: c.trainer.get("overfit_batches"),
         "trainer.overfit_batches says how many"),
    Idle("trainer.min_epochs trainer.min_steps", lambda c: c.early_stopping.patience is None and not c.trainer.get(
        "max_time") and choice(c, "module") != "em", "nothing ends training early"),
    Idle("checkpoint.mode", lambda c: c.checkpoint.get("monitor") is None, "checkpoint.monitor=null"),
    Idle("dataset.clear_download dataset.version", lambda c: not corpus(c, "download"), "dataset.download=false"),
    Idle("dataset.alignment dataset.alignment_tier dataset.drop_phones dataset.min_phone_count dataset.test_set",
         lambda c: c.target != "phone", "it is for target=phone"),
    Idle("dataset.timeshift_ms dataset.train_snr_low dataset.train_snr_high", lambda c: choice(
        c, "augmentation") == "none", "augmentation=none"),
    Idle("dataset.timeshift_ms", lambda c: is_other(c, "timeshift_ms", "timeshift_ms"),
         "augmentation.timeshift_ms is given"),
    Idle("dataset.train_snr_low", lambda c: is_other(c, "train_snr_low", "snr_low_db"),
         "augmentation.snr_low_db is given"),
    Idle("dataset.train_snr_high", lambda c: is_other(c, "train_snr_high", "snr_high_db"),
         "augmentation.snr_high_db is given"),
    Idle("dataset.silence_prob dataset.unknown_prob dataset.selection_seed", lambda c: c.target in ("speaker", "none"),
         "speakers are told apart without other words"),
    Idle("dataset.selection_seed", lambda c: not corpus(c, "silence_prob") and not corpus(c, "unknown_prob"),
         "dataset.silence_prob=0 and dataset.unknown_prob=0"),
    Idle("dataset.words dataset.n_takes dataset.clip_s",
         lambda c: choice(c, "dataset") == "synthetic" and c.target != "keyword", "it is for target=keyword"),
    Idle("dataset.n_sessions dataset.n_sentences dataset.n_phrases", lambda c: choice(
        c, "dataset") == "synthetic" and c.target == "keyword", "it is for target=phone and target=speaker"),
    Idle("dataset.n_phrases", lambda c: c.target == "phone" and c.dataset.get("n_phrases"),
         "target=phone leaves phrases out"),
    Idle("dataset.phone_set", lambda c: c.target != "phone", "it is for target=phone"),
    Idle("protocol.train_pct protocol.dev_pct protocol.test_pct protocol.balance", lambda c: c.protocol.get(
        "test_speakers") and c.protocol.get("validation_speakers"), "the speakers of both parts are given"),
    Idle("protocol.balance", lambda c: c.protocol.get("test_speakers"), "the speakers of the test are given"),
    Idle("protocol.shared_speakers", lambda c: c.protocol.get("test_speakers"), "the speakers of the test are given"),
    Idle("protocol.shared_speakers", lambda c: getattr(class_of(c.dataset), "published_split", False),
         "a published split is taken as it is"),
    Idle("protocol.seed", lambda c: c.protocol.get("balanced") is False, "protocol.balanced=false draws nothing"),
    Idle("model.causal", lambda c: choice(c, "model") in RECURRENT and not c.model["bidirectional"] and not c.streaming,
         "in one direction no later frame is looked at"),
    Idle("model.causal", lambda c: c.objective and getattr(class_of(c.objective), "causal", False),
         "the objective makes it so"),
    Idle("model.scope", lambda c: choice(c, "model") in (*RECURRENT, "dnnhmm") and c.target != "phone",
         "it is for target=phone"),
    Idle("model.acoustic_scale", lambda c: c.model.get("calibration") and not c.model.get("duration_model"),
         "model.calibration=true finds a scale of its own"),
    Idle("model.permutation", lambda c: c.model.get("n_couplings") == 1, "there is one coupling, model.n_couplings=1"),
    Idle("model.early_size", lambda c: c.model.get("early_every") == 0, "model.early_every=0"),
    Idle("model.skips", lambda c: c.model.get("topology") not in (None, "left_to_right"),
         "it is for model.topology=left_to_right"),
    Idle("model.topology model.start model.skips", is_one_state, "there is one state, model.n_states=1"),
    *(rule for group in ("features", "target_features") for rule in rules_of_front_end(group)),
    Idle("task.shift_frames", lambda c: choice(c, "task") == "generation" and (
        c.task.get("windows") == "segments" or (c.task.get("windows") == "auto" and c.target == "phone")),
         "windows lie around segments"),
    Idle("module.gamma", lambda c: c.module.get("loss") != "focal", "it is for module.loss=focal"),
    Idle("module.label_smoothing", lambda c: c.module.get("loss") == "max_pooling",
         "module.loss=max_pooling does not smooth"),
    Idle("window_ms", lambda c: not c.streaming or c.target != "keyword",
         "it is for words and streaming=true; phonaut listen RUN window_ms= is for all"),
    Idle("normalizer.ddof", lambda c: c.normalizer and c.normalizer.get("variance") is False,
         "normalizer.variance=false"),
    Idle("objective.noise_variance", lambda c: c.objective and c.objective.get("noise_prob") == 0,
         "objective.noise_prob=0"),
    Idle("objective.noise_prob", lambda c: c.objective and c.objective.get("noise_variance") == 0,
         "objective.noise_variance=0"),
    Idle("augmentation.timeshift_prob", lambda c: augmentation(c, "timeshift_ms") == 0, "augmentation.timeshift_ms=0"),
    Idle("augmentation.noise_prob augmentation.noise_kinds", lambda c: augmentation(c, "snr_low_db", 0) is None,
         "augmentation.snr_low_db=null"),
    Idle("augmentation.level_prob", lambda c: augmentation(c, "level_low_db") == augmentation(c, "level_high_db") == 0,
         "both levels are 0 dB"),
    Idle("augmentation.vtl_prob", lambda c: augmentation(c, "vtl_low") == augmentation(c, "vtl_high") == 1,
         "both factors are 1"),
    Idle("augmentation.room_rt60_low_s augmentation.room_rt60_high_s augmentation.room_direct_low_db "
         "augmentation.room_direct_high_db augmentation.room_folder", lambda c: augmentation(c, "room_prob") == 0,
         "augmentation.room_prob=0"),
    Idle("augmentation.room_rt60_low_s augmentation.room_rt60_high_s augmentation.room_direct_low_db "
         "augmentation.room_direct_high_db", lambda c: augmentation(c, "room_folder", None) is not None,
         "augmentation.room_folder= has the rooms"),
    Idle("augmentation.equalizer_prob", lambda c: augmentation(c, "equalizer_db") == 0, "augmentation.equalizer_db=0"),
    Idle("augmentation.rolloff_prob", lambda c: augmentation(c, "rolloff_low_hz", 0) is None,
         "augmentation.rolloff_low_hz=null"),
    Idle("augmentation.codecs", lambda c: augmentation(c, "codec_prob") == 0, "augmentation.codec_prob=0"),
    Idle("augmentation.time_masks augmentation.time_mask_prob", lambda c: augmentation(c, "time_mask_ms") == 0,
         "augmentation.time_mask_ms=0"),
    Idle("augmentation.frequency_masks augmentation.frequency_mask_prob", lambda c: augmentation(
        c, "frequency_mask") == 0, "augmentation.frequency_mask=0"),
    Idle("augmentation.speed_prob", lambda c: augmentation(c, "speed_low") == augmentation(c, "speed_high") == 1,
         "both speeds are 1"),
)  # fmt: skip


def augmentation(config: Config, key: str, otherwise: Any = "") -> Any:
    """An option of the augmentation, if there is one."""
    return (config.augmentation or {}).get(key, otherwise)


def is_other(config: Config, key: str, of_augmentation: str) -> bool:
    """True where the augmentation has another value than the key of the corpus that sets it."""
    return bool(config.dataset.get(key) != augmentation(config, of_augmentation, None))


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
    replaced_groups = REPLACED + (("dataset",) if choice(after, "task") == "generation" else ())
    for key, word in typed.items():
        group = key.partition(".")[0]
        if group not in replaced_groups or (after.encoder.run and group == "features"):
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
