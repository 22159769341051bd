"""The objects that the nodes of a configuration stand for: corpus, model, scheduler, augmentation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from phonaut.config.check import is_augmented
from phonaut.config.nodes import Node, class_of, instantiate, partial
from phonaut.config.schema import Config
from phonaut.data.prepared import PreparedCorpus
from phonaut.features import FrontEnd
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.models.encoded_windows import EncodedWindows
from phonaut.models.encoded_words import EncodedWords
from phonaut.models.generators import Generator
from phonaut.models.speakers import VerificationSystem
from phonaut.models.speech_model import SpeechModel
from phonaut.networks.mockingjay import Mockingjay
from phonaut.peers import place
from phonaut.tasks.negatives import with_negatives

if TYPE_CHECKING:
    from phonaut.training.loop import TrainingLoop


def prepared_corpus(config: Config, *, n_jobs: int | None = None) -> PreparedCorpus:
    """The corpus of `config.dataset`, prepared at the sample rate of `config.features`, or its frames as they are.

    Args:
        config: of the corpus.
        n_jobs: threads that decode recordings; None: one per core. Frames need no decoding.

    Raises:
        ValueError: the corpus cannot be used, or its frames are not those of `config.features`.
    """
    from phonaut.corpora.frames import FrameCorpus, prepare_frames
    from phonaut.data.preparation.prepare import prepare

    corpus, protocol = instantiate(config.dataset), instantiate(config.protocol)
    if not isinstance(corpus, FrameCorpus):
        rate, protocol = config.features["sample_rate"], with_negatives(config, protocol)
        return prepare(corpus, protocol, sample_rate=rate, target=config.target, n_jobs=n_jobs)
    prepared, features = prepare_frames(corpus, protocol), config.features
    layout = prepared.frames
    assert layout is not None
    expected = tuple(features[key] for key in ("n_features", "frame_shift_s", "frame_offset_s"))
    if expected != (layout.n_features, layout.frame_shift_s, layout.frame_offset_s):
        raise ValueError(
            f"the frames of {corpus.source()} have n_features={layout.n_features} frame_shift_s={layout.frame_shift_s} "
            f"frame_offset_s={layout.frame_offset_s}; the run needs {', '.join(map(str, expected))}"
        )
    return prepared


def check_same_recordings(known: Node, prepared: PreparedCorpus, otherwise: str) -> None:
    """Refuse a corpus that is not the one of a run, which may have moved since; warn of audio that sounds otherwise.

    Args:
        known: `corpus.json` of the run; earlier versions wrote no `digests`, and their counts have to do.
        prepared: as it is today.
        otherwise: what a user can do.

    Raises:
        ValueError: ids, lengths, labels or splits are others.
    """
    before, today = known.get("summary") or {}, prepared.summary
    if "digests" in known and before.get("format") == today["format"]:
        same = known["digests"]["labels"] == prepared.digests["labels"]
        if same and known["digests"]["audio"] != prepared.digests["audio"]:
            warnings.warn(f"the audio of {prepared.name} is not what it was to the bit: files, or how they are "
                          "resampled here, have changed since the run began", stacklevel=2)  # fmt: skip
    else:
        same = all(before.get(key, today[key]) == today[key] for key in ("words", "speakers", "phones"))
        same = same and counts_of(before.get("splits", today["splits"])) == counts_of(today["splits"])
    if not same:
        raise ValueError(
            f"the recordings of {prepared.name}, their labels or splits are not those that the run was trained on: "
            f"{otherwise}"
        )


def counts_of(splits: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The counts of splits but for speakers, among whom earlier versions counted the rooms of silence."""
    return {split: {key: n for key, n in row.items() if key != "speakers"} for split, row in splits.items()}


def optional(node: Node | None) -> Any:
    """The object of a node, or None."""
    return instantiate(node) if node else None


def normalizer_of(node: Node | None, n_features: int) -> Any:
    """The normaliser of a node, told the number of features if it has weights; or None."""
    if not node:
        return None
    has_weights = getattr(class_of(node), "has_weights", False)
    return instantiate(node, **({"n_features": n_features} if has_weights else {}))


def front_end_of(config: Config) -> FrontEnd | EncodedFrontEnd:
    """The front end of `config.features`, or the encoder of `config.encoder` with fresh weights in its place."""
    encoder = config.encoder
    if encoder.run is None or encoder.built is None:
        front_end: FrontEnd = instantiate(config.features)
        return front_end
    use = {"mode": encoder.mode, "layer": encoder.layer, "n_components": encoder.n_components}
    return encoder_of(encoder.built, **use)


def encoder_of(built: dict[str, Node | None], **use: Any) -> EncodedFrontEnd:
    """An encoder with fresh weights, from the nodes `features`, `model` and `normalizer` of its run."""
    assert built["features"] is not None
    assert built["model"] is not None
    front_end = instantiate(built["features"])
    network = instantiate(built["model"], n_features=front_end.n_features)
    kind: type[EncodedFrontEnd] = EncodedFrontEnd
    if not isinstance(network, Mockingjay):
        kind = EncodedWindows if isinstance(network, Generator) else EncodedWords
    return kind(front_end, network, normalizer_of(built.get("normalizer"), front_end.n_features), **use)


def speech_model(config: Config, n_classes: int) -> SpeechModel:
    """Front end, normaliser and network, with fresh weights drawn from `config.seed`."""
    front_end = front_end_of(config)
    torch.manual_seed(config.seed)  # after an encoder, which draws weights too
    normalizer = normalizer_of(config.normalizer, front_end.n_features)
    more = {} if issubclass(class_of(config.model), VerificationSystem) else {"n_classes": n_classes}
    network = instantiate(config.model, n_features=front_end.n_features, **more)
    if config.compress:
        network = instantiate(config.compress).quantized(network)
    return SpeechModel(front_end, network, normalizer)


def training_loop(config: Config, *arguments: Any, **more: Any) -> TrainingLoop:
    """The loop of `config.module`, with the optimizer and the scheduler of a configuration.

    Args:
        config: names the classes and their options.
        *arguments: of the loop's constructor: the model, and what else the loop takes.
        **more: its options that follow from the task.
    """
    scheduler, interval = scheduler_of(config.scheduler)
    loop: TrainingLoop = instantiate(
        config.module,
        *arguments,
        optimizer=partial(config.optimizer),
        scheduler=scheduler,
        interval=interval,
        seed=config.seed,
        **more,
    )
    loop.shares_statistics = config.trainer.get("sync_batchnorm") is not False
    return loop


def augmentation_of(config: Config) -> Any:
    """The augmentation of training batches, or None: of frames there is none, and augmentation=none is none."""
    if "sample_rate" not in config.features or not is_augmented(config.augmentation):
        return None
    assert config.augmentation is not None
    return instantiate(config.augmentation, sample_rate=config.features["sample_rate"])


def scheduler_of(node: Node | None) -> tuple[Callable[..., Any] | None, str]:
    """The scheduler as `(optimizer, planned_length) -> scheduler`, and its interval: `step` or `epoch`."""
    if not node:
        return None, "epoch"
    options = {key: value for key, value in node.items() if key != "interval"}

    def scheduler(optimizer: torch.optim.Optimizer, planned_length: int) -> Any:
        open_keys: Node = {
            key: planned_length for key in ("total_steps", "T_max") if key in options and options[key] is None
        }
        if "cycle_momentum" in options and not optimizer.defaults.keys() & {"momentum", "betas"}:
            open_keys["cycle_momentum"] = False  # there is none to move
        return instantiate(options, optimizer, **open_keys)

    return scheduler, str(node.get("interval", "epoch"))


def device_of(trainer: Node) -> torch.device:
    """The device that evaluation runs on: the first GPU where the run may use one, for each process one of its own."""
    may = trainer["accelerator"] in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    here = place()
    if may and here.n > 1:
        return torch.device("cuda", here.local_rank % torch.cuda.device_count())
    return torch.device("cuda" if may else "cpu")
