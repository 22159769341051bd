"""A few recordings, tested by folds within one run: when that is taken, its figures, and what more would tell."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phonaut.config.nodes import class_of, instantiate
from phonaut.config.plugins import node_of_group
from phonaut.config.schema import Config
from phonaut.corpora.protocols import Few
from phonaut.corpora.protocols.base import Listing
from phonaut.corpora.protocols.few import LEAST_SPEAKERS
from phonaut.data.classes import is_word
from phonaut.files import expanded
from phonaut.metrics import Estimate, wilson
from phonaut.tasks.few_recordings import FEW, has_prototypes
from phonaut.tasks.predictions import Predictions
from phonaut.tasks.rejection import choose
from phonaut.tasks.scoring import figures
from phonaut.training.trainer_options import n_processes

MOST_FILES, MOST_BYTES = 2000, 200_000  # of a folder, or of a table, that is looked at before anything else
NARROW = 0.1  # half of an interval that says something


def is_few(config: Config) -> bool:
    """True where a run tests each recording by a model of the others, and keeps one of all."""
    node = config.protocol or {}
    return "_target_" in node and class_of(node) is Few and node.get("fold") is None


def finish(config: Config) -> None:
    """Take `protocol=few` where a folder has few recordings and nothing is said, and count its folds.

    The last epoch is kept then, as nothing validates.

    Raises:
        ValueError: the recordings cannot be dealt out to folds.
    """
    if has_prototypes(config) or config.choices.get("task") != "classification":
        return
    if config.choices.get("protocol") == "auto" and config.protocol == node_of_group("protocol", "auto", {}, {}):
        if config.target != "keyword" or not 0 < most_of_a_word(config) <= FEW:
            return
        config.protocol, config.choices["protocol"] = node_of_group("protocol", "few", {}, {}), "few"
    if not is_few(config):
        return
    if config.protocol["n_folds"] is None:
        listing = Listing(instantiate(config.dataset), config.target)
        config.protocol["n_folds"] = instantiate(config.protocol).dealt(listing).n_folds
    if config.checkpoint.get("monitor") is not None:
        config.checkpoint, config.choices["checkpoint"] = node_of_group("checkpoint", "last", {}, {}), "last"


def most_of_a_word(config: Config) -> int:
    """Recordings of the most frequent word of a small folder without splits of its own; 0: it is something else."""
    if config.choices["dataset"] != "folder" or not is_small(expanded(config.dataset["data_folder"])):
        return 0
    try:
        corpus = instantiate(config.dataset)
        if corpus.default_protocol(config.target) is not None:
            return 0
        counts = Counter(one.word for one in corpus.utterances() if one.word and is_word(one.word))
    except (ValueError, OSError):  # which is said where the corpus is prepared
        return 0
    return max(counts.values(), default=0)


def is_small(path: Path) -> bool:
    """Whether a folder has few files, or a table few lines, without a look at more of them."""
    if path.is_file():
        return path.stat().st_size < MOST_BYTES
    files = itertools.chain.from_iterable(names for _, _, names in os.walk(path))
    return len(list(itertools.islice(files, MOST_FILES + 1))) <= MOST_FILES


def problems(config: Config) -> list[str]:
    """What cannot be with folds within a run; empty for other runs."""
    if not is_few(config):
        return []
    how, n = "protocol=few trains one model after another", n_processes(config.trainer)
    found = [f"{how}, each in one process: leave trainer.devices and trainer.num_nodes at 1"] * (n > 1)
    if (patience := config.early_stopping.patience) is not None:
        found.append(
            f"early_stopping.patience={patience} watches the validation, and protocol=few has none: leave it out"
        )
    return found


def pooled_figures(pooled: Predictions, metrics: Sequence[str]) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Figures of recordings that were tested each by a model of the others, and entries of `model.json`."""
    chosen = choose(pooled, "the recordings that its folds tested")
    return figures(pooled, metrics), {"rejection": chosen} if chosen else {}


def more(rate: Estimate, n_speakers: int, n_words: int) -> str:
    """How many more recordings would make the figure of a few narrow, and of whom, in one line.

    The number is the one at which Wilson's interval is 10 points to either side, at a rate as far from 0 and 1 as the
    middle of the interval of today.

    >>> more(Estimate(0.875, 0.69, 0.96, 24), n_speakers=4, n_words=3)
    'about 11 more recordings of each word, best by people beside these 4, narrow the interval to 10 points either way'
    """
    p = (rate.low + rate.high) / 2
    n = next(n for n in range(1, 10_000) if -np.subtract(*wilson(p * n, n)) <= 2 * NARROW)
    each = -(-max(n - rate.n, 0) // max(n_words, 1))
    said = []
    if n_speakers < LEAST_SPEAKERS:
        others = LEAST_SPEAKERS - n_speakers
        who = "other person" if others == 1 else "other people"
        said.append(f"{others} {who} or more, each word twice, show how it does with strangers")
    by = f", best by people beside these {n_speakers}," if n_speakers >= LEAST_SPEAKERS else ""
    if each:
        said.append(f"about {each} more recordings of each word{by} narrow the interval to 10 points either way")
    return "; ".join(said)
