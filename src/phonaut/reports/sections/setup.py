"""Setup of a run: corpus, refused recordings, configuration, machine."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from phonaut.config.nodes import class_of
from phonaut.reports.html import render as rendered
from phonaut.reports.record import Record
from phonaut.reports.sections import Section
from phonaut.reports.sections.rejection import rejection_in_words
from phonaut.reports.sections.training import turn
from phonaut.reports.text import bytes_, seconds, short, things, whole

MAX_REFUSED = 100
MAX_REMARKS = 50
MAX_WORDS = 100


def render(record: Record) -> Section:
    """The section."""
    content = {
        "record": record,
        "environment": record.run.environment,
        "size": model_size(record),
        "corpus": corpus(record),
        "settings": settings(record),
        "machine": machine(record),
    }
    return Section(rendered("setup.html", content), {"corpus": "Corpus", "run": "Run"})


def corpus(record: Record) -> dict[str, Any]:
    """Notes, splits, words, refused recordings and remarks; remarks only where the prepared folder is still there."""
    summary: dict[str, Any] = record.run.corpus.get("summary", {})
    splits: dict[str, dict[str, Any]] = summary.get("splits", {})
    words: list[str] = summary.get("words", [])
    remarks = record.prepared.remarks if record.prepared else []
    kinds = Counter(kind for line in remarks for kind in line["remark"].split("; "))
    return {
        "notes": [*record.protocol, *([threshold] if (threshold := rejection(record)) else [])],
        "splits": [
            {"name": name, "n": s["cuts"], "n_speakers": s["speakers"], "length": seconds(3600 * s["hours"])}
            for name, s in splits.items()
        ],
        "words": [(word, [row["words"].get(word, 0) for row in splits.values()]) for word in words[:MAX_WORDS]],
        "n_words": len(words),
        "refused": record.refused[:MAX_REFUSED],
        "n_refused": len(record.refused),
        "remarks": remarks[:MAX_REMARKS],
        "n_remarks": summary.get("n_remarks", len(remarks)),
        "remark_kinds": kinds.most_common(),
    }


def model_size(record: Record) -> list[tuple[str, str, str]]:
    """Cost of the model: name, figure, meaning."""
    model, clip_s = record.run.model, record.run.corpus.get("summary", {}).get("clip_s")
    length = f"a clip of {clip_s:g} s" if clip_s else "one second"
    if record.target == "generation":
        length = "a window that is made"
    facts = (
        ("parameters", "Parameters", whole, "trained numbers"),
        ("macs", "Multiply-accumulates", short, f"for {length}, in convolutions, linear and recurrent layers"),
        ("exit_macs", "Of them computed", short, "on average over the test split: what is sure is answered early"),
        ("activation_bytes", "Activation memory", bytes_, "the most that one layer reads and writes, in float32"),
    )
    there = {key for key, *_ in facts if key in model}
    if not model.get("activation_bytes"):  # a system without a network has no activations
        there -= {"activation_bytes"}
    return [(name, text(model[key]), meaning) for key, name, text, meaning in facts if key in there]


def settings(record: Record) -> list[tuple[str, str]]:
    """The choice of each configuration group that has one and is used: EM takes no optimizer."""
    module = record.run.config.module
    unused = class_of(module).unused.split() if module else []
    return [(group, name) for group, name in record.choices.items() if name not in (None, "", "null", "none")
            and group not in unused]  # fmt: skip


def machine(record: Record) -> list[tuple[str, str]]:
    """Seed, times, versions and machine, as name and text; what is not known is left out."""
    environment, model = record.run.environment, record.run.model
    computer = environment.get("machine", {})
    versions = environment.get("versions", {})
    memory = computer.get("memory_gb")
    epochs = f", {things(model['epochs'], turn(record))}" if "epochs" in model else ""
    facts = (
        ("Seed", environment.get("seed")),
        ("Training", model.get("train_seconds") and f"{seconds(model['train_seconds'])}{epochs}"),
        ("Whole run", environment.get("seconds") and seconds(environment["seconds"])),
        ("Started", environment.get("started") and moment(environment["started"])),
        ("Processor", computer.get("cpu") and f"{computer['cpu']}, {things(computer.get('cores') or 0, 'core')}"),
        ("Memory", memory and f"{memory} GB"),
        ("GPU", computer.get("gpu") or "none"),
        ("System", computer.get("system")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Commit", environment.get("git")),
        ("Folder", str(record.run.folder)),
    )
    return [(name, str(value)) for name, value in facts if value not in (None, "")]


def rejection(record: Record) -> str:
    """Sentence on the threshold for what is none of the words, and on what it was chosen; empty where there is none."""
    if not (found := record.run.model.get("rejection")):
        return ""
    return rejection_in_words(found)


def moment(text: str) -> str:
    """A time as people write it; as it is, where it is not ISO 8601.

    >>> moment("2026-03-01T14:05:00+00:00")
    '1 March 2026, 14:05 UTC'
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{time.day} {time:%B %Y, %H:%M %Z}".rstrip()
