"""Negatives in a configuration: what they cannot be combined with, and the corpus with them."""

from __future__ import annotations

from typing import Any

from phonaut.config.check import has_frames
from phonaut.config.nodes import class_of
from phonaut.config.schema import Config
from phonaut.corpora.kws.quotas import UNKNOWN
from phonaut.data.classes import is_word

KEY = "negatives.folder"


def problems(config: Config) -> list[str]:
    """What negatives cannot be combined with; empty if there are none."""
    chosen, classes = config.negatives, config.classes
    if not chosen:
        return []
    given = f"negatives.near={chosen.near}" if chosen.near else f"{KEY}={chosen.folder}"
    wrong = []
    if has_frames(config):
        wrong.append(f"{given} are recordings, and dataset={config.choices['dataset']} has frames: leave it out")
    if getattr(class_of(config.model), "rejects", False):
        wrong.append(f"{given} is for training, and model=prototypes compares with what lies there: put recordings "
                     f"into a folder {UNKNOWN} beside your words")  # fmt: skip
    if isinstance(classes, int) or (classes is not None and UNKNOWN not in classes):
        wrong.append(f"{given} is a class of its own, {UNKNOWN}, and classes={classes} leaves it out: name it there")
    return wrong


def with_negatives(config: Config, protocol: Any) -> Any:
    """A protocol that puts the negatives of a configuration into training; the same one where there are none."""
    if not config.negatives or config.target != "keyword":
        return protocol
    from phonaut.corpora.negatives.beside import WithNegatives

    words = None if config.classes is None else [str(name) for name in config.classes if is_word(str(name))]
    return WithNegatives(protocol, **vars(config.negatives), classes=words)
