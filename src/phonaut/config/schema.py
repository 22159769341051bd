"""The keys of a configuration and their types; options of groups are plain dictionaries, for the classes they name."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_type_hints

from phonaut.config.nodes import Node


@dataclass
class Encoder:
    """A pre-trained encoder in front of the model, in place of `features`.

    Attributes:
        run: its run, or a checkpoint of s3prl or of the original Mockingjay; None: no encoder.
        mode: `frozen`, `weighted` or `finetune`.
        layer: `last`, `all`, `weighted` or the number of a layer.
        n_components: principal components of its representations; None: no projection.
        built: the nodes `features`, `model` and `normalizer` of its run, so that this run needs that one no more.
    """

    run: str | None = None
    mode: Literal["frozen", "weighted", "finetune"] = "frozen"
    layer: str | int = "last"
    n_components: int | None = None
    built: dict[str, Node | None] | None = None


@dataclass
class Generated:
    """Generated segments beside those of training, in classification.

    Attributes:
        run: a run of a generator; None: there are none.
        how: `convert`: recordings of training in the voices of the generator's other speakers; `voices`: in voices that
            it never heard; `sample`: draws for the classes that have few segments.
        share: of recordings that are converted, 2 being each twice; of the median class's segments, up to which the
            others are filled.
        prior: a run with `encoder.run=` the generator, from whose classes `sample` draws codes; None: the generator's
            own prior, for the class.
    """

    run: str | None = None
    how: Literal["convert", "voices", "sample"] = "convert"
    share: float = 1.0
    prior: str | None = None


@dataclass
class Teacher:
    """Trained classifiers whose answers are learned beside the labels, in classification.

    Attributes:
        run: theirs, or several runs, whose mean it is; None: there are none.
        temperature: by which all scores are divided.
        weight: of their answer in the loss; the labels have the rest.
    """

    run: str | list[str] | None = None
    temperature: float = 3.0
    weight: float = 0.6

    @property
    def runs(self) -> list[str]:
        """Those of `run`."""
        return [self.run] if isinstance(self.run, str) else list(self.run or [])


@dataclass
class Negatives:
    """Negatives beside the words of training, as `_unknown_`, in classification.

    Attributes:
        near: near words of each word, spoken by espeak-ng.
        voices: that speak each near word.
        folder: of recordings in which no word of the run is said; None: there are none.
    """

    near: int = 0
    voices: int = 14
    folder: str | None = None

    def __bool__(self) -> bool:
        """Tell whether there are some."""
        return self.near > 0 or self.folder is not None


@dataclass
class EarlyStopping:
    """Early stopping: after `patience` epochs without progress of `monitor`; None: never."""

    monitor: str = "validation/loss"
    patience: int | None = None


@dataclass
class Config:
    """A run's configuration, composed and resolved; `config.yaml` beside the groups says what each key means."""

    dataset: Node = field(default_factory=dict)
    protocol: Node = field(default_factory=dict)
    features: Node = field(default_factory=dict)
    model: Node = field(default_factory=dict)
    task: Node = field(default_factory=dict)
    module: Node = field(default_factory=dict)
    optimizer: Node = field(default_factory=dict)
    checkpoint: Node = field(default_factory=dict)
    trainer: Node = field(default_factory=dict)
    normalizer: Node | None = None
    scheduler: Node | None = None
    profiler: Node | None = None
    augmentation: Node | None = None
    compress: Node | None = None
    objective: Node | None = None
    target_features: Node | None = None
    choices: dict[str, str | None] = field(default_factory=dict)
    recipe: str = "none"
    target: str = "keyword"
    classes: Any = None
    n_classes: Any = None
    labels_pct: float = 100.0
    labels_each: int | None = None
    encoder: Encoder = field(default_factory=Encoder)
    generated: Generated = field(default_factory=Generated)
    negatives: Negatives = field(default_factory=Negatives)
    teacher: Teacher = field(default_factory=Teacher)
    backend: str | None = None
    experiment_id: str | None = None
    output_dir: str = "trained_models"
    resume: bool = True
    overwrite: bool = False
    seed: int = 0
    batch_size: int = 100
    batch_frames: int = 4800
    probe: list[str] = field(default_factory=list)
    leave_out_speakers: list[str] = field(default_factory=list)
    n_workers: int = 0
    context_s: float = 0.0
    max_recording_s: float = 30.0
    streaming: bool = False
    window_ms: float | None = None
    checkpoint_minutes: float = 5.0
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    imported: Node | None = None

    @classmethod
    def of(cls, plain: Node) -> Self:
        """The configuration of plain containers; keys that no version knows are passed over."""
        known = {key: value for key, value in plain.items() if key in KEYS}
        known["encoder"] = Encoder(**(plain.get("encoder") or {}))
        known["generated"] = Generated(**(plain.get("generated") or {}))
        known["negatives"] = Negatives(**(plain.get("negatives") or {}))
        known["teacher"] = Teacher(**(plain.get("teacher") or {}))
        known["early_stopping"] = EarlyStopping(**(plain.get("early_stopping") or {}))
        return cls(**known)

    def to_dict(self) -> Node:
        """Plain containers, as `config.yaml` of a run keeps them: groups without a choice are left out."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        for key in (key for key, kind in KEYS.items() if "Node" in kind and not plain[key]):
            del plain[key]
        for group in SMALL_GROUPS:
            plain[group] = dict(vars(plain[group]))
        if self.encoder.built is None:
            del plain["encoder"]["built"]
        return plain


# Options of Lightning's Trainer that its configuration files do not list; those that are a run's own are refused.
MORE_OF_TRAINER = frozenset(
    f"trainer.{key}"
    for key in ("min_epochs", "min_steps", "val_check_interval", "num_sanity_val_steps", "inference_mode", "logger",
                "callbacks", "plugins", "default_root_dir", "enable_checkpointing", "enable_model_summary", "profiler",
                "use_distributed_sampler", "barebones", "limit_predict_batches", "enable_autolog_hparams",
                "model_registry", "reload_dataloaders_every_n_epochs")
)  # fmt: skip
HINTS = get_type_hints(Config)
KEYS = {f.name: str(f.type) for f in fields(Config)}
SMALL_GROUPS = {  # typed keys
    name: get_type_hints(kind)
    for name, kind in (
        ("encoder", Encoder),
        ("generated", Generated),
        ("negatives", Negatives),
        ("teacher", Teacher),
        ("early_stopping", EarlyStopping),
    )
}
