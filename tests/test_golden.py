"""What Phonaut did before its code was divided anew is what it does; `golden/record.py` says how that was recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from golden.record import GROUPS, from_changes, lacking, stored
from phonaut.config.aliases import current
from phonaut.config.nodes import flat

# What is meant to differ, and why: a pattern of items, as failures name them -> the reason. One that excuses nothing
# fails, so that the list stays true.
RESOLVED = "a configuration is printed with its interpolations replaced by their values"
PROTOCOL = "a corpus that divided itself had not all options of the protocol that divides it now"
SENTENCE = "protocols say themselves how they divide, in the same words for every corpus"
OPTIONS = "front ends and normalisers have options that they had not"
MEL = "features=mel is what the preprocessing of Mockingjay made with librosa, to 1e-6"
GENERATED = "generated segments can be added to those of training"
GENERATED = "training data may be generated"
TIER = "the tier of phones in a TextGrid can be chosen"
DIFFERENCES: dict[str, str] = {
    "fsdd/*/model/rejection": "a run of words keeps a threshold for what is none of them",
    **{
        f"{group}/*{option}": OPTIONS
        for group in ("configurations", "encoders/configurations")
        for option in ("features.delta_kind", "features.log_offset", "normalizer.ddof")
    },
    "configurations/*/generated.*": GENERATED,
    "encoders/configurations/*/generated.*": GENERATED,
    "configurations/*recipe": "a configuration names its recipe; what was recorded is recipe=none",
    "encoders/configurations/*recipe": "a configuration names its recipe; what was recorded is recipe=none",
    **{f"configurations/*/features.{option}": MEL for option in ("mel_scale", "norm", "log", "top_db")},
    **{
        f"{group}/*trainer.sync_batchnorm": "batch statistics of several processes are those of all, unless it is false"
        for group in ("configurations", "encoders/configurations")
    },
    "configurations/*/scheduler.max_lr": RESOLVED,
    "configurations/*/augmentation.*": RESOLVED,
    "configurations/*/dataset.target": RESOLVED,
    "configurations/*/protocol.*": PROTOCOL,
    "configurations/*/dataset.alignment_tier": TIER,
    "configurations/*/dataset.corpora/*/corpus/alignment_tier": TIER,
    "encoders/configurations/*/dataset.alignment_tier": TIER,
    **{f"{group}/*generated.*": GENERATED for group in ("configurations", "encoders/configurations")},
    **{
        f"{group}/*/model/median_frames": "model.json has the lengths of segments that a density draws"
        for group in ("encoders", "fsdd", "keywords", "phones", "flows", "synthetic")
    },
    **{
        f"{group}/*{key}": "what a stored run lacks is as before it was there"
        for group in ("configurations", "encoders/configurations")
        for key in (
            "dataset.noise_dataset",
            "module.mixup",
            "module.statistics_noise",
            "module.reparameterized",
            "module.loss",
            "module.gamma",
            "module.negative_weight",
            "negatives.*",
            "teacher.*",
            "choices.compress",
            "backend",
            "window_ms",
        )
    },
    **{
        f"{run}/history/0/train/{name}": "what counts or compares has no loss; it was 0"
        for run in ("fsdd/runs/dtw", "keywords/runs/dtw", "keywords/runs/majority")
        for name in ("loss", "log_likelihood")
    },
    "encoders/runs/*/model/guesses": "model.json has what guesses without a network would lose",
    "encoders/configurations/*/augmentation.*": RESOLVED,
    "configurations/*/dataset.corpora/*/corpus/noise_dataset": "what a stored run lacks is as before it was there",
    "configurations/refused/refused": "the list of models has those of verification",
    "configurations/tera/probe": "a list of words is one without quotes too; it was text, letter by letter",
    "encoders/configurations/*/scheduler.max_lr": RESOLVED,
    "encoders/configurations/*/dataset.target": RESOLVED,
    "encoders/configurations/*/protocol.*": PROTOCOL,
    "keywords/runs/gmmhmm/model/calibration": "model.json calls the fit of calibration by its name",
    "keywords/runs/gmmhmm/model/linear_layer": "model.json calls the fit of calibration by its name",
    **{
        f"{group}/*/notes": SENTENCE
        for group in ("corpora", "encoders", "fsdd", "keywords", "old_runs", "phones", "synthetic")
    },
}
# Names of weights, as they were recorded -> as they are now, by the longest beginning.
RENAMED_WEIGHTS: dict[str, str] = {}

# Another processor rounds differently, and Adam, which divides by the size of a gradient, enlarges that in two epochs.
WEIGHTS = {"rel": 2e-3, "abs": 5e-4}
FIGURES = {"rel": 1e-3, "abs": 1e-4}
LOOSE = {"rel": 0.1, "abs": 0.15}  # metrics of a dozen clips, where rounding has changed one answer
SAME_ANSWERS = 0.99  # share of the answers that are as they were, but for one
MOST_SHOWN = 25  # differences


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_everything_is_as_it_was_recorded(group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := lacking(group):
        pytest.skip(reason)
    monkeypatch.chdir(tmp_path)
    found = json.loads(json.dumps(GROUPS[group]()))
    different = dict(differences(stored(group), found, group))
    meant = {pattern for pattern in DIFFERENCES if pattern.partition("/")[0] == group}
    needless = [pattern for pattern in meant if not any(fnmatchcase(item, pattern) for item in different)]
    assert not needless, f"DIFFERENCES that are none: {needless}"
    cases: dict[str, list[str]] = {}
    for item, how in different.items():
        if not any(fnmatchcase(item, one) for one in meant):
            cases.setdefault("/".join(item.split("/")[:3]), []).append(f"{item}: {how}")
    if cases:
        counts = ", ".join(f"{case} ({len(lines)})" for case, lines in cases.items())
        shown = [line for lines in cases.values() for line in lines[: max(3, MOST_SHOWN // len(cases))]]
        pytest.fail(f"other than recorded: {counts}\n" + "\n".join(shown), pytrace=False)


def test_a_difference_is_named_and_rounding_is_none() -> None:
    run = {"weights": {"a.b": {"shape": [1], "values": [1.0]}}, "rows": ["x s1 yes", "y s2 no"], "n": {"test": 2}}
    other = {"weights": {"a.b": {"shape": [1], "values": [1.01]}}, "rows": ["x s1 yes", "y s3 no"], "n": {"train": 2}}
    near = {**run, "weights": {"a.b": {"shape": [1], "values": [1.0001]}}}
    assert list(differences(run, near, "g")) == []
    assert dict(differences(run, other, "g")) == {
        "g/n/test": "is missing; it was 2",
        "g/n/train": "is new: 2",
        "g/rows": "lost ['y s2 no'], new ['y s3 no']",
        "g/weights/a.b/values/0": "1.0 -> 1.01",
    }


def test_names_of_today_are_those_by_which_stored_runs_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named_now({"module._target_": "phonaut.modules.EM", "seed": 0})["module._target_"] == "phonaut.training.EM"
    run = {"weights": {"network.a": {"values": [1.0]}}}
    monkeypatch.setitem(RENAMED_WEIGHTS, "network.", "net.")
    assert list(differences(run, {"weights": {"net.a": {"values": [1.0]}}}, "g")) == []


def renamed(name: str, table: dict[str, str]) -> str:
    """A name with the longest beginning that `table` knows replaced."""
    old = max((one for one in table if name.startswith(one)), key=len, default=None)
    return name if old is None else table[old] + name.removeprefix(old)


def named_now(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as recorded, with the names of today, by the table that stored runs are read with."""
    nested: dict[str, Any] = {}
    for key, value in config.items():
        *path, name = key.split(".")
        node = nested
        for part in path:
            node = node.setdefault(part, {})
        node[name] = value
    return flat(current(nested))


def differences(old: Any, new: Any, item: str, tolerance: dict[str, float] = FIGURES) -> Iterator[tuple[str, str]]:
    """Items that are not as recorded, and how they differ."""
    name = item.rpartition("/")[2]
    if name == "configurations":
        old = {case: named_now(config) for case, config in from_changes(old).items()}
        new = from_changes(new)
    if name == "weights":
        old, tolerance = {renamed(one, RENAMED_WEIGHTS): value for one, value in old.items()}, WEIGHTS
    if name == "audio" and old["checksum"] != new["checksum"] and may_round(item):
        old, new = old | {"checksum": None}, new | {"checksum": None}
    if isinstance(old, dict) and isinstance(new, dict):
        yield from (
            (f"{item}/{key}", f"is missing; it was {old[key]}" if key in old else f"is new: {new[key]}")
            for key in sorted(old.keys() ^ new.keys())
        )
        changed = answers_of(old) != answers_of(new)
        for key in (key for key in old if key in new):
            loose = changed and key == "metrics"
            yield from differences(old[key], new[key], f"{item}/{key}", LOOSE if loose else tolerance)
    elif name == "argmax":
        pairs = list(zip(old.split(), new.split(), strict=False))
        n_other = sum(a != b for a, b in pairs)
        if len(old.split()) != len(new.split()) or n_other > max(1, (1 - SAME_ANSWERS) * len(pairs)):
            yield item, f"{n_other} of {len(pairs)} answers are others: {old} -> {new}"
    elif name == "n_right":
        if old != pytest.approx(new, rel=1 - SAME_ANSWERS):
            yield item, f"{old} -> {new}"
    elif isinstance(old, list) and isinstance(new, list):
        if old and all(isinstance(one, str) for one in old + new):
            lost, more = sorted({*old} - {*new}), sorted({*new} - {*old})
            if old != new:
                yield item, f"lost {lost[:MOST_SHOWN]}, new {more[:MOST_SHOWN]}"
        elif len(old) != len(new):
            yield item, f"{len(old)} values -> {len(new)}"
        else:
            for i, (a, b) in enumerate(zip(old, new, strict=True)):
                yield from differences(a, b, f"{item}/{i}", tolerance)
    elif isinstance(old, float) and isinstance(new, int | float):
        if old != pytest.approx(new, **tolerance, nan_ok=True):
            yield item, f"{old} -> {new}"
    elif old != new:
        yield item, f"{old} -> {new}"


def answers_of(record: dict[str, Any]) -> list[str]:
    """What a run said, where this is the record of one."""
    predictions = record.get("predictions", {})
    return [one["argmax"] for one in predictions.values()]


def may_round(item: str) -> bool:
    """Whether audio was computed, and does not lie in a file to the bit."""
    return item.startswith("synthetic/") or any(part in item for part in ("kHz", "/frames"))
