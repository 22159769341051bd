"""Names of earlier versions: one table maps old `_target_`s, keys and weights' names of stored runs to today's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Old `_target_` -> today's. A stored run keeps the name of the class that it was trained with.
TARGETS = {
    "phonaut.data.augmentation.Augmentation": "phonaut.data.augmentation.chain.Augmentation",
    "phonaut.features.Level": "phonaut.features.GainNormalizer",
    "phonaut.corpora.research_data.ResearchCorpus": "phonaut.corpora.genhmm_data.corpus.ResearchCorpus",
    "phonaut.modules.ClassDensities": "phonaut.models.ClassDensities",
    "phonaut.modules.DNNHMM": "phonaut.models.DNNHMM",
    "phonaut.modules.EM": "phonaut.training.EM",
    "phonaut.modules.Hybrid": "phonaut.training.Hybrid",
    "phonaut.modules.Majority": "phonaut.models.Majority",
    "phonaut.modules.Representation": "phonaut.training.Representation",
    "phonaut.modules.SpeechClassifier": "phonaut.training.SpeechClassifier",
    "phonaut.modules.Templates": "phonaut.models.Templates",
    "phonaut.modules.objectives.APC": "phonaut.models.objectives.APC",
    "phonaut.modules.objectives.Mockingjay": "phonaut.models.objectives.Mockingjay",
    "phonaut.modules.objectives.Tera": "phonaut.models.objectives.Tera",
    "phonaut.modules.warmup.Warmup": "phonaut.training.warmup.Warmup",
}

# Old keys -> today's, within the same group; they may still be typed.
KEYS = {
    "model.over": "model.scope",
    "model.stride": "model.stack_size",
    "objective.ahead": "objective.n_future",
    "objective.consecutive": "objective.mask_length",
    "objective.frequency_share": "objective.mask_frequency",
    "objective.noise_share": "objective.noise_prob",
    "objective.random_share": "objective.mask_random_prob",
    "objective.share": "objective.mask_prob",
    "objective.zero_share": "objective.mask_zero_prob",
}

# Old choices -> today's.
CHOICES = {"normalizer=level": "normalizer=gain"}


def current_override(override: str) -> str:
    """An override with today's key or choice.

    >>> current_override("++model.over=recording")
    '++model.scope=recording'
    """
    override = CHOICES.get(override, override)
    key, equals, value = override.partition("=")
    sign = key[: len(key) - len(key.lstrip("+~"))]
    return sign + KEYS.get(key.lstrip("+~"), key.lstrip("+~")) + equals + value


def current(config: Any, path: str = "") -> Any:
    """A stored configuration, plain containers, with today's names; what has none of the old ones is as it was.

    >>> current({"module": {"_target_": "phonaut.modules.EM"}, "seed": 0})
    {'module': {'_target_': 'phonaut.training.EM'}, 'seed': 0}
    """
    if isinstance(config, Mapping):
        ours = str(config.get("_target_", "phonaut.")).startswith("phonaut.")  # others name their options as they like
        return {
            KEYS.get(f"{path}{key}" if ours else "", str(key)).rpartition(".")[2]: TARGETS.get(value, value)
            if key == "_target_"
            else current(value, f"{path}{key}.")
            for key, value in config.items()
        }
    if isinstance(config, list):
        return [current(value) for value in config]
    return config
