"""A few recordings of a word: what they are compared with, and what else they make possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.config.compose import read_config
from phonaut.config.nodes import class_of, instantiate
from phonaut.config.schema import Config
from phonaut.data.datamodule import SpeechData
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.spans import codes_of
from phonaut.files import expanded, read_json, run_folder
from phonaut.models.em_classifier import Segments
from phonaut.models.frame_cache import FrameCache
from phonaut.models.prototypes import UNKNOWN, Prototypes
from phonaut.models.speech_model import SpeechModel
from phonaut.tasks import build
from phonaut.tasks.predictions import Predictions

FEW = 10  # recordings of a word
LEAST_OTHERS, LEAST_WORDS = 100, 10  # recordings, and words, of speakers that the encoder never heard, for a threshold
PAGE = "docs/few_recordings.md"


def has_prototypes(config: Config) -> bool:
    """True for a model that knows what is none of its words."""
    return bool(getattr(class_of(config.model), "rejects", False))


def problems(config: Config) -> list[str]:
    """Problems of prototypes; empty for another model."""
    if not has_prototypes(config):
        return []
    model = f"model={config.choices['model']}"
    if config.target != "keyword":
        return [f"target={config.target}: {model} is for words, target=keyword"]
    if not config.encoder.run:
        return [
            f"{model} compares in the frames of a network that heard other words: type encoder.run=RUN, a run of "
            f"target=keyword with many words and speakers ({PAGE})"
        ]
    return []


def finish(config: Config) -> None:
    """Cut a user's recordings as those that the encoder heard, where nothing else is said."""
    run = config.encoder.run
    if has_prototypes(config) and run and "clip_s" in config.dataset and config.dataset["clip_s"] is None:
        corpus = read_json(run_folder(expanded(run)) / "corpus.json", dict[str, Any]())
        config.dataset["clip_s"] = (corpus.get("summary") or {}).get("clip_s")


def classes(config: Config, prepared: PreparedCorpus) -> list[str] | None:
    """The classes of prototypes, which may have one word only; None for another model."""
    if not has_prototypes(config):
        return None
    codes, names = codes_of(prepared.utterances("train"), config.target)
    return with_unknown([names[code] for code in np.unique(codes[codes >= 0])])


def with_unknown(words: Sequence[str]) -> list[str]:
    """The classes of prototypes: the words, and last what is none of them.

    >>> with_unknown(["_unknown_", "yes"])
    ['yes', '_unknown_']
    """
    return [*(word for word in words if word != UNKNOWN), UNKNOWN]


def give_background(config: Config, model: SpeechModel, words: Sequence[str]) -> None:
    """Give prototypes what the encoder's run heard, to whiten by and to choose the threshold on.

    The threshold is chosen on speakers that the encoder never heard, where they have enough recordings and words: three
    words say little of all others.

    Args:
        config: of the run.
        model: with the encoder in front, its weights loaded.
        words: of the user, which are left out.

    Raises:
        ValueError: the corpus of the encoder's run is not there.
    """
    network, run = model.network, config.encoder.run
    assert isinstance(network, Prototypes)
    assert run is not None
    folder = run_folder(expanded(run))
    of_encoder = read_config(folder)
    classes = list(read_json(folder / "model.json", dict[str, Any]()).get("classes", []))
    try:
        prepared = build.prepared_corpus(of_encoder)
        data = SpeechData(
            prepared,
            target=of_encoder.target,
            classes=classes,
            batch_size=of_encoder.batch_size,
            seed=of_encoder.seed,
            max_recording_s=of_encoder.max_recording_s,
        )
    except ValueError as error:
        raise ValueError(
            f"yours are compared with the words that encoder.run={run} heard, and these are needed: {error}"
        ) from error
    cache, mine = FrameCache(model, data), {word.casefold() for word in words}
    parts = {split: cache.segments(split) for split in ("train", "validation", "test") if len(data.dataset(split))}
    unheard = [split for split in ("validation", "test") if split in parts]
    other = np.array([name.casefold() not in mine for name in classes])
    labels = np.concatenate([np.empty(0, np.int64), *(among(parts[split], other).labels for split in unheard)])
    enough = len(labels) >= LEAST_OTHERS and len(np.unique(labels)) >= LEAST_WORDS
    splits = unheard if enough else list(parts)
    is_word = np.array([not name.startswith("_") for name in classes])
    # What varies within words can be learned from yours by other people, too.
    network.background = among(parts["train"], other & is_word if (other & is_word).any() else is_word)
    network.others = joined([among(parts[split], other) for split in splits])
    network.origin = f"{' and '.join(splits)} of {run}"


def rejection(model: SpeechModel, data: SpeechData) -> dict[str, Any]:
    """What `model.json` says of the threshold: it, and what it was chosen on."""
    network = model.network
    assert isinstance(network, Prototypes)
    assert network.others is not None
    return {
        "threshold": network.threshold,
        "false_accepts": network.false_accepts,
        "recordings": len(network.others),
        "words": len(np.unique(network.others.labels)),
        "speakers": len(np.unique(network.others.speakers)),
        "of": network.origin,
        "own": int((data.spans["train"].label == len(data.classes) - 1).sum()),
    }


def among(segments: Segments, chosen: NDArray[np.bool_]) -> Segments:
    """Those of the chosen classes."""
    return segments.select(np.flatnonzero(chosen[segments.labels] & (segments.labels >= 0)))


def joined(parts: Sequence[Segments]) -> Segments:
    """Segments one after another."""
    columns = ("frames", "lengths", "labels", "speakers")
    return Segments(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def leave_one_out(model: SpeechModel, data: SpeechData) -> Predictions:
    """Each take of training by the prototypes of the others, as predictions."""
    network, split = model.network, "train"
    assert isinstance(network, Prototypes)
    segments, table, spans = FrameCache(model, data).segments(split), data.prepared.utterances(split), data.spans[split]
    rows = spans.row
    return Predictions(
        cut=np.array([table.id(row) for row in rows], dtype=np.str_),
        recording=np.array([table.recording(row) for row in rows], dtype=np.str_),
        speaker=segments.speakers,
        label_name=np.array(data.label_names(split), dtype=np.str_),
        classes=np.array(data.classes, dtype=np.str_),
        label=segments.labels,
        scores=network.leave_one_out(segments).float().numpy(),
        start_s=spans.start_s,
        end_s=spans.end_s,
        columns={"n_frames": segments.lengths},
    )


def alone(predictions: Predictions) -> list[str]:
    """The words of which there is one recording: none is left to recognise it by."""
    names, n = np.unique(predictions.label_name[predictions.label_name != UNKNOWN], return_counts=True)
    return [str(name) for name in names[n == 1]]


def advice(config: Config) -> str:
    """What is possible with few recordings of each word, in one line; empty where there are more, or none."""
    is_fold = config.protocol.get("fold") is not None
    if has_prototypes(config) or config.target != "keyword" or config.choices["dataset"] != "folder" or is_fold:
        return ""
    try:
        counts = Counter(utterance.word for utterance in instantiate(config.dataset).utterances())
    except ValueError:
        return ""
    if not counts or max(counts.values()) > FEW:
        return ""
    n = (
        f"{min(counts.values())} to {max(counts.values())}"
        if len(set(counts.values())) > 1
        else f"{max(counts.values())}"
    )
    where = Path(config.dataset["data_folder"])
    return (
        f"{n} recordings of a word are few for a network of their own, and enough to compare with, in one that heard "
        f"other words: phonaut train dataset=folder dataset.data_folder={where} model=prototypes encoder.run=RUN "
        f"({PAGE})"
    )
