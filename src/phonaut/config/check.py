"""Problems of a composed configuration: unknown options, what classes say of theirs, and combinations."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from phonaut.checks import Rule, at_least, broken, takes_others, type_problem, types_of, within
from phonaut.config import encoder, foreign, hints, idle
from phonaut.config.nodes import Node, class_of, instantiate, load_target, option_types, options_of
from phonaut.config.plugins import choices, node_of_group
from phonaut.config.schema import Config
from phonaut.data.utterance import TARGETS
from phonaut.names import did_you_mean
from phonaut.peers import place

if TYPE_CHECKING:
    from phonaut.data.frame_shards import FrameLayout

KINDS = {  # what the classes of a group are; of groups that are not here, and of null, nothing is asked
    "dataset": "phonaut.corpora.Corpus",
    "protocol": "phonaut.corpora.protocols.Protocol",
    "features": "torch.nn.Module",
    "target_features": "torch.nn.Module",
    "normalizer": "torch.nn.Module",
    "model": "torch.nn.Module",
    "task": "phonaut.tasks.base.Task",
    "module": "phonaut.training.loop.TrainingLoop",
    "optimizer": "torch.optim.Optimizer",
    "scheduler": "torch.optim.lr_scheduler.LRScheduler",
    "checkpoint": "lightning.pytorch.callbacks.ModelCheckpoint",
    "compress": "phonaut.training.compression.Compression",
    "profiler": "lightning.pytorch.profilers.Profiler",
}
ROOT = {
    "experiment_id": Rule("must be a name of at most 200 letters, without slashes, that is not empty", lambda name: (
        0 < len(os.fsencode(name)) <= 200 and name.strip(". ") != "" and not re.search(r"[/\\\0-\x1f]", name))),
    "output_dir": Rule("must be the path of a folder", lambda name: bool(name.strip()) and "\0" not in name),
    "seed": Rule("must be >= 0", lambda n: n >= 0),
    "n_workers": within(0, 256),
    "checkpoint_minutes": within(0, 1e6, beyond=True),
    "early_stopping.patience": at_least(1),
    "negatives.near": within(0, 100),
    "negatives.voices": within(1, 98),
    "window_ms": within(100, 60_000),
}  # fmt: skip
BYTES_OF_PARAMETER = 16  # itself, its gradient, and the two averages of Adam, in float32
FRAME_KEYS = ("n_features", "frame_shift_s", "frame_offset_s")  # of features=frames
MIN_DTW_SHIFT_S = 0.002  # between frames that dynamic time warping compares
SPARSE_ADAM = (
    "optimizer=sparse_adam takes sparse gradients only, and the networks here have dense ones: use optimizer=adam"
)


def problems(config: Config, overrides: Sequence[str] = (), typed: Mapping[str, str] | None = None) -> list[str]:
    """Everything about a composed configuration that could not be run: the one place for combinations.

    Args:
        config: finished.
        overrides: the words that it was composed of.
        typed: those of them that must have an effect, by their keys.
    """
    wrong = [*root_problems(config), *option_problems(config), *foreign.problems(config)]
    wrong = wrong or foreign.built_problems(config)
    task = instantiate(config.task)
    targets = (*TARGETS, *task.targets)
    if config.target not in targets:
        problem = hints.several("target", config.target, targets.__contains__)
        wrong.append(problem or f"target={config.target} is none of {', '.join(TARGETS)}")
    wrong += [*class_problems(config), *frame_problems(config)]
    if wrong:
        return wrong  # of such values nothing can be made, which the other checks of combinations do
    wrong += [
        *streaming_problems(config),
        *foreign.monitor_problems(config),
        *augmentation_problems(config),
        *module_problems(config),
        *encoder.problems(config, overrides),
    ]
    wrong += task.check(config)
    if config.trainer.get("limit_val_batches") == 0:
        wrong += [f"{one} watches the validation, and trainer.limit_val_batches=0: leave one out"
                  for one in watchers(config)]  # fmt: skip
    n_epochs, n_steps = config.trainer["max_epochs"], config.trainer["max_steps"]
    if n_epochs == 0 or (n_epochs == -1 and isinstance(n_steps, int) and n_steps < 1):
        wrong.append(f"trainer.max_epochs={n_epochs}: must be >= 1")
    if (n := config.trainer.get("num_nodes", 1)) != 1 and place().n == 1:
        wrong.append(f"trainer.num_nodes={n} would wait for the other machines for ever: start it on each with "
                     f"torchrun, or by SLURM: torchrun --nnodes={n} --node-rank=K --master-addr=HOST "
                     "-m phonaut.train ..., K from 0 (docs/many_machines.md)")  # fmt: skip
    wrong += idle.problems(config, typed or {})
    if config.context_s > 0 and config.target != "phone":
        wrong.append(f"context_s={config.context_s}: a span of target={config.target} is a whole cut; leave it at 0")
    if config.optimizer["_target_"].endswith("SparseAdam"):
        wrong.append(SPARSE_ADAM)
    if config.optimizer["_target_"].endswith("LBFGS") and config.trainer["accumulate_grad_batches"] != 1:
        wrong.append("optimizer=lbfgs evaluates a batch several times: use trainer.accumulate_grad_batches=1")
    return wrong


def kind_problems(config: Config) -> list[str]:
    """Classes that are not of the kind of their group: looked at before any of them is made.

    Raises:
        ValueError: one cannot be imported.
    """
    wrong = []
    for group, kind in KINDS.items():
        node = getattr(config, group)
        if node and not (isinstance(cls := class_of(node), type) and issubclass(cls, load_target(kind))):
            wrong.append(f"{group}._target_={node['_target_']}: must be a class of {kind.rpartition('.')[2]}s")
    return wrong


def watchers(config: Config) -> list[str]:
    """What watches the loss of the validation split."""
    watch = ["early_stopping.patience"] if config.early_stopping.patience is not None else []
    return watch + ["scheduler=plateau"] * bool(config.scheduler and config.scheduler["_target_"].endswith("Plateau"))


def option_problems(config: Config) -> list[str]:
    """Options (added with +) that a class does not take, and what classes say of the values of theirs.

    A class says it by `problems(**options) -> list[str]`.
    """
    wrong = []
    for group, node in vars(config).items():
        if not isinstance(node, dict) or "_target_" not in node:
            continue
        cls, options = class_of(node), options_of(node)
        try:
            known = option_types(node)
        except ValueError as error:  # a density that is none
            wrong.append(str(error))
            continue
        of_values = [
            problem for key, value in options.items()
            if key in known and not (group == "scheduler" and key in foreign.PLANNED and value is None)
            and (problem := type_problem(f"{group}.{key}", known[key], value))
        ] or broken(getattr(cls, "RULES", {}), options, f"{group}.")  # fmt: skip
        if group == "scheduler":
            options.pop("interval", None)  # ours, and taken out first
        if group not in ("features", "target_features") and not takes_others(cls):  # those name unknown ones themselves
            of_values += [f"unknown key {group}.{key}{did_you_mean(key, known)}" for key in options if key not in known]
        wrong += of_values
        if not of_values and isinstance(inspect.getattr_static(cls, "problems", None), (classmethod, staticmethod)):
            prefix = f"{group}: " if group in ("features", "target_features", "model") else ""
            wrong += [f"{prefix}{problem}" for problem in cls.problems(**options)]
    return wrong


def root_problems(config: Config) -> list[str]:
    """Keys of the root that are out of range."""
    roots = {**vars(config), "early_stopping.patience": config.early_stopping.patience}
    roots |= {f"negatives.{key}": value for key, value in vars(config.negatives).items()}
    return broken(ROOT, roots)


def augmentation_problems(config: Config) -> list[str]:
    """What the augmentation says of its options, when it is made."""
    if not config.augmentation or "sample_rate" not in config.features:
        return []
    try:
        made = instantiate(config.augmentation, sample_rate=config.features["sample_rate"])
    except (ValueError, TypeError) as error:
        return [str(error)]
    return of_mels_problems(config, getattr(made, "needs_mels", ""), getattr(made, "needs_bands", ""))


def of_mels_problems(config: Config, warps: str, hides: str) -> list[str]:
    """Augmentation that is of mel filters, where the front end has none."""
    options = getattr(class_of(config.features), "Options", None)
    has_filters, name = hasattr(options, "filters"), config.choices["features"]
    wrong = []
    if warps and (not has_filters or config.encoder.run):
        what = "an encoder hears what it was trained on" if config.encoder.run else f"features={name} has none"
        wrong.append(f"{warps} moves mel filters, and {what}: leave it out, or type features=melspec")
    elif warps:
        front_end = instantiate(config.features)
        low, high = (front_end.options.filters(config.augmentation[key]) for key in ("vtl_low", "vtl_high"))  # type: ignore[index]
        if empty := sum(int((filters == 0).all(axis=0).sum()) for filters in (low, high)):
            wrong.append(f"{warps} leaves {empty} mel filters between two bins: use fewer mels, or a longer n_fft")
    if hides and (config.encoder.run or not has_filters or "n_mfcc" in config.features):
        wrong.append(
            f"{hides} hides bands, and features={name} has other features: type features=melspec, or leave it out"
        )
    return wrong


def class_problems(config: Config) -> list[str]:
    """Problems of the classes that a run is limited to; which names there are, the corpus says."""
    classes = config.classes
    if config.n_classes is not None:
        return [f"n_classes={config.n_classes} and classes={classes}: give one of them"]
    if classes is None:
        return []
    if isinstance(classes, (str, bool, float)) or not isinstance(classes, (int, Sequence)):
        return [f"classes={classes}: must be a number of classes, or a list of them: 'classes=[AA,IY]'"]
    if isinstance(classes, int):
        return [] if classes > 1 else [f"classes={classes}: must be >= 2"]
    if any(isinstance(name, (bool, type(None))) for name in classes):
        return [f"classes={classes}: a name that reads as true, false or null is written in quotes"]
    return [] if len({str(name) for name in classes}) > 1 else [f"classes={classes}: must be at least 2 names"]


def module_problems(config: Config) -> list[str]:
    """A training loop that cannot train the model, and what a loop or a model cannot be combined with."""
    name, model = config.choices["module"], config.choices["model"]
    network, loop = class_of(config.model), class_of(config.module)
    learned = [
        f"{group}={config.choices.get(group)} is learned with the network, and module={name} does not train it: choose "
        f"another {group}, or a network of module=speech_classifier"
        for group in ("features", "normalizer")
        if (node := getattr(config, group)) and getattr(class_of(node), "has_weights", False)
    ]
    wrong = [] if getattr(loop, "trains_front_ends", False) else learned
    if not loop.trains(network):
        fit = [
            other for other in choices()["module"] if class_of(node_of_group("module", other, {}, {})).trains(network)
        ]
        wrong.append(f"module={name} cannot train model={model}: leave it out, or use module={', '.join(fit)}")
    if config.checkpoint.get("n_averaged") and not loop.averages:
        wrong.append(f"checkpoint=average is for module=speech_classifier, and module={name} keeps what it does by "
                     "itself: leave it out")  # fmt: skip
    if config.module.get("loss") == "max_pooling" and (not config.streaming or "exit_weights" in config.model):
        why = "model=branchy-tc-res8 has several" if config.streaming else "there is none: type streaming=true"
        wrong.append(f"module.loss=max_pooling is of the one score that a stream has at every frame, and {why}")
    wrong += [*loop.conflicts(config.trainer), *compress_problems(config)]
    import torch

    from phonaut.networks import reparameterized
    from phonaut.networks.statistics_noise import blocks_problems

    if option_problems(config) or config.features.get("n_features", 0) is None or config.encoder.run:
        return wrong  # no front end can be made, or what an encoder gives is wide enough
    front_end = instantiate(config.features)
    wrong += size_problems(config, front_end.n_features)
    noise, branches = config.module.get("statistics_noise"), config.module.get("reparameterized")
    if not wrong and (noise or branches):
        with torch.device("meta"):
            network = instantiate(config.model, n_features=front_end.n_features, n_classes=2)
        wrong += blocks_problems(network, noise) if noise else []
        wrong += reparameterized.problems(network) if branches else []
    if config.model.get("n_couplings") and front_end.n_features < 2:
        wrong.append(f"model={model} couples dimensions: it needs 2 features, features={config.choices['features']} "
                     f"has {front_end.n_features}")  # fmt: skip
    if model == "dtw" and front_end.frame_shift_s < MIN_DTW_SHIFT_S:
        wrong.append(f"model=dtw compares all pairs of frames: a frame every {front_end.frame_shift_s * 1e3:.2g} ms "
                     f"is too many; the frame shift must be >= {MIN_DTW_SHIFT_S * 1e3:g} ms")  # fmt: skip
    return wrong


def compress_problems(config: Config) -> list[str]:
    """A network that cannot be quantised, or what the phases of its training cannot be combined with."""
    if not config.compress:
        return []
    from phonaut.networks.quantized import can_be

    name, wrong = f"compress={config.choices['compress']}", []
    if not can_be(class_of(config.model)):
        wrong.append(f"{name} is for networks of convolutions over time and recurrent ones, and "
                     f"model={config.choices['model']} is none: use model=tc-res8, or leave it out")  # fmt: skip
    elif config.model.get("bidirectional") or config.model.get("scope") == "recording":
        wrong.append(f"{name} is for recurrent networks in one direction, over segments: leave model.bidirectional and "
                     "model.scope out")  # fmt: skip
    if config.checkpoint.get("monitor") or config.checkpoint.get("n_averaged"):
        wrong.append(f"{name} rounds in the last part of training, and checkpoint={config.choices['checkpoint']} may "
                     "keep what was before: type checkpoint=last")  # fmt: skip
    if config.module.get("statistics_noise"):
        wrong.append(f"{name} and module.statistics_noise both change what is behind the first layers: leave one out")
    return wrong


def size_problems(config: Config, n_features: int) -> list[str]:
    """A network of ours that refuses its sizes, or that this machine's memory could not train; nothing is allocated."""
    import psutil
    import torch

    if not str(config.model["_target_"]).startswith("phonaut."):
        return []
    cls, options = class_of(config.model), options_of(config.model)
    given = {"n_features": n_features, "n_classes": 2}
    try:
        if hasattr(cls, "n_parameters"):
            n_bytes = BYTES_OF_PARAMETER * cls.n_parameters(n_features, **options)
        else:
            with torch.device("meta"):
                network = cls(**{**options, **{key: n for key, n in given.items() if key in types_of(cls)}})
            n_bytes = BYTES_OF_PARAMETER * sum(p.numel() for p in network.parameters())
    except ValueError as error:
        return [f"model: {error}"]
    except RuntimeError:  # more bytes than can be counted
        n_bytes = 2**63
    there = psutil.virtual_memory().total
    if n_bytes <= there:
        return []
    return [f"model={config.choices['model']} would take {n_bytes / 2**30:,.0f} GB to train with its options, and this "
            f"machine has {there / 2**30:,.0f} GB: choose smaller ones"]  # fmt: skip


def has_frames(config: Config) -> bool:
    """True for a corpus of frames, which has no recordings."""
    return hasattr(class_of(config.dataset), "frame_layout")


def frame_layout(config: Config) -> FrameLayout | None:
    """The layout of the frames of a corpus; None where it has recordings, or is not on disk."""
    if not has_frames(config):
        return None
    try:
        layout: FrameLayout | None = instantiate(config.dataset).frame_layout()
    except Exception:  # the corpus' own problems say what is wrong
        return None
    return layout


def frame_problems(config: Config) -> list[str]:
    """Frames where recordings are needed, recordings where frames are, and changes that only a waveform can have."""
    dataset, features = config.choices["dataset"], config.choices["features"]
    if not has_frames(config):
        here = f"features=frames is for dataset=frames, and dataset={dataset} has recordings: type features=mfcc"
        return [here] if features == "frames" else []
    wrong = []
    if features != "frames":
        wrong.append(
            f"features={features} makes frames of recordings, and dataset={dataset} has frames already: leave "
            "features= out, or type features=frames"
        )
    if is_augmented(config.augmentation):
        wrong.append(f"augmentation changes waveforms, and dataset={dataset} has none: type augmentation=none")
    if config.module.get("speeds"):
        wrong.append(f"module.speeds changes waveforms, and dataset={dataset} has none: type module.speeds=[]")
    if config.streaming:
        wrong.append(f"streaming=true begins with a waveform, and dataset={dataset} has none: leave it out")
    layout = frame_layout(config)
    if features == "frames" and layout is not None:
        wrong += [
            f"features.{key}={config.features[key]}: the frames of dataset={dataset} have {getattr(layout, key)}; "
            "leave it out"
            for key in FRAME_KEYS
            if config.features[key] != getattr(layout, key)
        ]
    return wrong


def is_augmented(node: Node | None) -> bool:
    """False for no augmentation, and for one whose options are those of augmentation=none."""
    none = node_of_group("augmentation", "none", {}, {})
    return bool(node) and {**none, **(node or {})} != none  # a run of an earlier version has fewer options


def streaming_problems(config: Config) -> list[str]:
    """Problems of streaming: statistics over a whole recording, networks that look ahead."""
    wrong = []
    if config.features.get("framing") == "causal" and config.normalizer:
        name = config.normalizer["_target_"].rsplit(".", 1)[-1]
        if getattr(class_of(config.normalizer), "needs_whole_recording", False):
            wrong.append(f"features.framing=causal: {name} needs the whole recording; use normalizer=null")
    if config.streaming and config.model.get("causal") is None:
        wrong.append(f"streaming=true: model={config.choices['model']} cannot be causal")
    if config.model.get("causal") and config.model.get("bidirectional"):
        wrong.append("model.bidirectional=true looks at later frames: with model.causal=true use false")
    return wrong
