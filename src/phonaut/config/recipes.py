"""Recipes: front end, normaliser, augmentation and schedule that follow from target and model.

A recipe is a list of the words that a user could type, in `conf/recipes/NAME.yaml`. `recipe=auto` takes the first there
is of TARGET-MODEL, TARGET-MODULE and TARGET; `recipe=none` gives what the configuration files say. What the user, the
corpus or the model chooses comes as its own file says, and the words of the recipe for it are left out. The word
`recipe=NAME` in a file stands for the words of that recipe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from phonaut.checks import fits, types_of
from phonaut.config.nodes import class_of
from phonaut.config.plugins import CONF, config_dirs
from phonaut.config.schema import Config
from phonaut.config.yaml_files import read_yaml
from phonaut.names import did_you_mean

AUTO, NONE = "auto", "none"
FOLLOWED = ("task", "model", "module")  # groups by which a recipe is chosen


def recipes() -> dict[str, list[str]]:
    """The words of every recipe, by its name.

    Raises:
        ValueError: a file is no list of words, or builds on a recipe that is not there or on itself.

    >>> recipes()["phone-em"]
    ['features=mfcc', 'features.n_mfcc=13', 'features.deltas=2', 'normalizer=cmvn']
    """
    return _recipes(tuple(config_dirs()))


@cache
def _recipes(folders: tuple[Path, ...]) -> dict[str, list[str]]:
    """The words of every recipe, over all folders."""
    files = {file.stem: file for folder in folders for file in sorted((folder / "recipes").glob("*.yaml"))}
    written = {}
    for name, file in files.items():
        words = read_yaml(file)
        if not isinstance(words, list) or not all(isinstance(word, str) and "=" in word for word in words):
            raise ValueError(f"{file}: must be a list of words such as features=mfcc")
        written[name] = words

    def expanded(name: str, within: tuple[str, ...] = ()) -> list[str]:
        words = []
        for word in written[name]:
            key, _, base = word.partition("=")
            if key != "recipe":
                words.append(word)
            elif base not in written or base in (*within, name):
                raise ValueError(f"{files[name]}: {word} is no other recipe{did_you_mean(base, list(written))}")
            else:
                words += expanded(base, (*within, name))
        return words

    return {name: expanded(name) for name in written}


def name_of(base: Config, typed: Mapping[str, str]) -> str:
    """The name of the recipe of a run.

    Args:
        base: composed of the groups that were typed.
        typed: keys and values on the command line.

    Raises:
        ValueError: a recipe is asked for that is not there.
    """
    known, asked = recipes(), typed.get("recipe", base.recipe)
    if asked not in (AUTO, NONE, *known):
        names = [AUTO, NONE, *known]
        raise ValueError(f"recipe={asked} is not a choice{did_you_mean(asked, names)} (recipe: {', '.join(names)})")
    if asked != AUTO:
        return asked
    target = typed.get("target", base.target)
    first = target if base.choices["task"] == "classification" else str(base.choices["task"])
    by_name = (f"{first}-{base.choices['model']}", f"{first}-{base.choices['module']}", first)
    return next((name for name in by_name if name in known), NONE)


def words_of(name: str, base: Config, typed: Mapping[str, str]) -> list[str]:
    """The words of a recipe that are left where nothing else has chosen."""
    taken = {
        group
        for group, choice in default_choices().items()
        if group not in FOLLOWED and (group in typed or base.choices.get(group) != choice)
    }
    if "protocol" not in typed and base.choices["task"] == "verification":
        taken.discard("protocol")  # the split of a corpus has no trials, or none for development
    if typed.get("encoder.run", "null") != "null" or base.choices["features"] == "frames":
        taken |= {"features", "normalizer", "augmentation"}  # which are the encoder's, or there already
    if "features" in taken and not hasattr(getattr(class_of(base.features), "Options", None), "filters"):
        taken.add("augmentation")  # whose voices are of mel filters
    words = recipes().get(name, [])
    if typed.get("streaming") == "true" or typed.get("features.framing") == "causal":
        taken.add("model.bidirectional")  # which would need the whole recording, and so would most normalisers
        learned = base.choices["module"] == "speech_classifier"
        streams = ["normalizer=batch"] if learned and any(word.startswith("normalizer=") for word in words) else []
        words = [word for word in words if not word.startswith("normalizer=")] + streams
    if not is_for_padding(base, typed):
        taken.add("dataset.clip_s")
    taken.discard("dataset")  # which is chosen by whom the recipe serves
    return [word for word in words if re.split(r"[.=]", word)[0] not in taken and word.split("=", 1)[0] not in taken]


def is_for_padding(base: Config, typed: Mapping[str, str]) -> bool:
    """Whether a recipe may leave the recordings of a corpus as long as they are, where it pads them without options.

    Not where silence is cut, which has no length of its own.
    """
    corpus, key = base.dataset, "clip_s"
    has_silence = typed.get("dataset.noise_dataset", corpus.get("noise_dataset")) not in (None, "null")
    if f"dataset.{key}" in typed or corpus.get(key) is None or has_silence:
        return False
    return fits(None, types_of(class_of(corpus))[key])


def hint(name: str, key: str) -> str:
    """What to add to the problem of a key whose group a recipe chooses in; empty where it does not.

    >>> hint("phone-em", "features.n_mels")
    ' (recipe=phone-em chooses features=mfcc; choose another, or recipe=none)'
    """
    group = key.partition(".")[0]
    word = next((word for word in recipes().get(name, []) if word.startswith(f"{group}=")), None)
    return f" (recipe={name} chooses {word}; choose another, or recipe=none)" if word else ""


@cache
def default_choices() -> dict[str, Any]:
    """What `config.yaml` chooses in each group."""
    defaults = read_yaml(CONF / "config.yaml")["defaults"]
    return {group: choice for entry in defaults if isinstance(entry, dict) for group, choice in entry.items()}
