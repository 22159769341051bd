"""Names of earlier versions: one table maps old `_target_`s, keys and weights' names of stored runs to today's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Old `_target_` -> today's. A stored run keeps the name of the class that it was trained with.
TARGETS = {
    "phonaut.data.augmentation.Augmentation": "phonaut.data.augmentation.chain.Augmentation",
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


def current(config: Any) -> Any:
    """A stored configuration, plain containers, with today's names; what has none of the old ones is as it was.

    >>> current({"module": {"_target_": "phonaut.modules.EM"}, "seed": 0})
    {'module': {'_target_': 'phonaut.training.EM'}, 'seed': 0}
    """
    if isinstance(config, Mapping):
        return {
            key: TARGETS.get(value, value) if key == "_target_" else current(value) for key, value in config.items()
        }
    if isinstance(config, list):
        return [current(value) for value in config]
    return config
