"""Generated segments as training data of a classifier: recordings in other voices, and draws for rare classes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.arrays import Array, Index
from phonaut.config.check import is_augmented
from phonaut.config.nodes import class_of
from phonaut.config.schema import Config, Generated
from phonaut.data.added_frames import AddedFrames, extended
from phonaut.data.datamodule import SpeechData
from phonaut.data.draws import hash_of, normal, nth_key, uniform
from phonaut.data.spans import offsets
from phonaut.models.frame_cache import FrameCache
from phonaut.models.speech_model import SpeechModel
from phonaut.models.window_model import CODES_AT_ONCE, WindowModel
from phonaut.names import shown
from phonaut.tasks.latents import Latents
from phonaut.tasks.other_runs import Other, other_run, refuse_other_frames
from phonaut.tasks.priors import Prior

EPOCH = 0  # segments are made once, before the first


def problems(config: Config) -> list[str]:
    """What generated segments cannot be combined with; empty if there are none."""
    chosen = config.generated
    if not chosen.run:
        return []
    run, wrong = f"generated.run={chosen.run}", []
    if not 0 < chosen.share <= 100:
        wrong.append(f"generated.share={chosen.share:g}: must be above 0, and at most 100")
    if config.encoder.run:
        wrong.append(f"{run} makes frames, and encoder.run={config.encoder.run} begins with recordings: leave one out")
    if "augmentation" not in class_of(config.module).unused.split() and is_augmented(config.augmentation):
        wrong.append(f"{run} makes frames, and augmentation changes waveforms: type augmentation=none")
    if config.target == "speaker":
        wrong.append(f"{run} has voices of its own, and target=speaker tells voices apart: leave it out")
    return wrong


def add_generated(config: Config, model: SpeechModel, data: SpeechData) -> dict[str, Any]:
    """Put generated segments beside those of training; nothing else has them.

    They are made once, each by draws of (seed, its recording or class, its number), so that order, workers, processes
    and resuming change none. The frames of all of training are computed for it, and kept in memory.

    Returns:
        What `model.json` says: `run`, `how`, a digest of the generator's `weights`, the number of `recordings`, and of
        `segments` by class.

    Raises:
        ValueError: the run is no generator, its frames are others, it does not know the classes or the speakers that
            are asked for, or it was trained on speakers who are tested.
    """
    chosen = config.generated
    assert chosen.run is not None
    run = other_run(chosen.run)
    check_run(run, config, data)
    frames, offset = FrameCache(model, data).frames("train")
    with torch.inference_mode():
        if chosen.how == "sample":
            added = drawn(run, chosen, config, data)
        else:
            added = converted(run, chosen, config.seed, data, (frames, offset))
    data.datasets["train"] = extended(data.dataset("train"), (frames, offset), added)
    counts = np.bincount(added.label[added.label >= 0], minlength=len(data.classes))
    return {
        "run": chosen.run,
        "how": chosen.how,
        "weights": digest_of(run.folder),
        "recordings": len(added),
        "segments": {name: int(n) for name, n in zip(data.classes, counts, strict=True) if n},
    }


def check_run(run: Other, config: Config, data: SpeechData) -> None:
    """Refuse a run whose windows are none of this classifier's frames.

    Raises:
        ValueError: see `add_generated`.
    """
    named = f"generated.run={run.path}"
    if not isinstance(run.model, WindowModel):
        raise ValueError(f"{named} generates no windows: train a generator, such as model=cvae")
    refuse_other_frames(f"{named} makes other frames than this run hears", run.config, config)
    heard = {split: speakers_of(data, split) for split in ("train", "validation", "test")}
    known = set(run.model.speakers)
    if run.model.network.has_encoder:
        known |= set(Latents(run.folder).names("speaker"))
    if tested := sorted(((heard["test"] | heard["validation"]) - heard["train"]) & known):
        raise ValueError(f"{named} was trained on speakers who are tested here: {shown(', '.join(tested))}")


def check_same(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to take up a run again with other segments than it began with.

    Raises:
        ValueError: the generator has been trained again.
    """
    if before != now:
        raise ValueError(f"generated.run={now.get('run')} makes other segments than when this run began: choose "
                         "another experiment_id")  # fmt: skip


def digest_of(folder: Path) -> str:
    """Of the weights of a run."""
    return hashlib.blake2b((folder / "model.safetensors").read_bytes(), digest_size=8).hexdigest()


def speakers_of(data: SpeechData, split: str) -> set[str]:
    """The names of the speakers of a split."""
    table = data.prepared.utterances(split)
    return {table.speaker_name(row) for row in range(len(table))} - {""}


# --- other voices


def converted(
    run: Other, chosen: Generated, seed: int, data: SpeechData, computed: tuple[NDArray[np.float32], Index]
) -> AddedFrames:
    """Recordings of training in other voices, with their spans.

    `convert`: the voice of another speaker of the generator, each as likely. `voices`: codes move to a draw of the
    Gaussian that the K speakers' mean codes m_k have, `m + sum_k g_k (m_k - m) / sqrt(K - 1)`, g standard normal, which
    lies between speakers or beyond them.
    """
    model, dataset, table = run.model, data.dataset("train"), data.prepared.utterances("train")
    named, windows = f"generated.run={run.path}", dataset.windows
    if not model.network.has_encoder:
        raise ValueError(f"{named} has no encoder to convert with: generated.how=sample draws")
    if model.labels:
        raise ValueError(f"{named} makes windows for classes, which conversion does not know: train it without "
                         "task.condition=[label]")  # fmt: skip
    if chosen.how == "voices" and model.speakers:
        raise ValueError(f"{named} makes windows for the speakers that it knows, and no others: train it without "
                         "task.condition=[speaker], or convert")  # fmt: skip
    latents = Latents(run.folder)
    names = model.speakers or latents.names("speaker")
    number = {name: k for k, name in enumerate(names)}
    keys = nth_key(table.key[windows.row], windows.part)
    speaker = np.array([number.get(table.speaker_name(row), -1) for row in windows.row.tolist()], np.int64)
    if (speaker < 0).any():
        other = sorted({table.speaker_name(row) for row in windows.row[speaker < 0].tolist()})
        raise ValueError(f"{named} does not know the voices of {shown(', '.join(other))}, which are converted: train "
                         "it on these speakers as well")  # fmt: skip
    if len(names) < 2:
        raise ValueError(f"{named} knows one speaker, and there is no other voice")
    which, nth = copies(keys, chosen.share, seed)
    draw_keys = nth_key(keys[which], nth)
    if chosen.how == "convert":
        u = uniform(draw_keys, seed=seed, epoch=EPOCH, stream="generated speaker")[:, 0]
        target = (speaker[which] + 1 + (u * (len(names) - 1)).astype(np.int64)) % len(names)
    if not model.speakers:
        means = np.stack([latents.mean("speaker", name) for name in names])
        goal = new_voices(means, draw_keys, seed) if chosen.how == "voices" else means[target]
        move = torch.from_numpy((goal - means[speaker[which]]).astype(np.float32))
    frames, offset = computed
    parts = []
    for i, w in enumerate(which.tolist()):
        own = torch.from_numpy(np.array(frames[offset[w] : offset[w + 1]]))
        if model.speakers:
            one_hot = model.condition(torch.full((2,), -1), torch.tensor([speaker[w], target[i]]))
            how: dict[str, Any] = {"heard": one_hot[0], "made": one_hot[1]}
        else:
            how = {"move": move[i]}
        parts.append(model.rebuilt(own, **how).numpy())
    n_spans = windows.n_spans[which]
    first = windows.offset[which]
    span = windows.span[
        np.repeat(first, n_spans) + np.arange(n_spans.sum()) - np.repeat(offsets(n_spans)[:-1], n_spans)
    ]
    n_parts = int(windows.part.max(initial=0)) + 1
    return AddedFrames(
        np.concatenate([np.empty((0, frames.shape[1]), np.float32), *parts]),
        offsets(np.diff(offset)[which]),
        windows.row[which],
        windows.part[which] + n_parts * (1 + nth),
        windows.start[which],
        windows.stop[which],
        offsets(n_spans),
        dataset.spans.start_s[span],
        dataset.spans.end_s[span],
        dataset.spans.label[span],
    )


def copies(keys: NDArray[np.uint64], share: float, seed: int) -> tuple[Index, Index]:
    """Which recordings are made again, and for which time: of `share` a whole number each, and of the rest as many.

    >>> copies(np.arange(4, dtype=np.uint64), 1.5, 0)[1].tolist()
    [0, 0, 0, 0, 1, 1]
    """
    n_all, rest = int(share), share - int(share)
    order = np.argsort(uniform(keys, seed=seed, epoch=EPOCH, stream="generated copy")[:, 0], kind="stable")
    some = np.sort(order[: round(rest * len(keys))])
    which = np.concatenate([np.tile(np.arange(len(keys)), n_all), some])
    return which, np.concatenate([np.repeat(np.arange(n_all), len(keys)), np.full(len(some), n_all)]).astype(np.int64)


def new_voices(means: Array, keys: NDArray[np.uint64], seed: int) -> Array:
    """Draws `(B, Z)` of the Gaussian with mean and covariance of speakers' mean codes `(K, Z)`."""
    k = len(means)
    g = normal(keys, seed=seed, epoch=EPOCH, stream="generated voice", n=k)
    centre = means.mean(axis=0)
    drawn: Array = centre + g @ (means - centre) / np.sqrt(k - 1)
    return drawn


# --- rare classes


def prior_of(path: str, generator: Other) -> Prior:
    """The density of a run as the prior of a generator. Errors are those of `Prior`."""
    run = other_run(path)
    return Prior(path, run.model, run.classes, generator.model, str(generator.folder))


def drawn(run: Other, chosen: Generated, config: Config, data: SpeechData) -> AddedFrames:
    """Segments for classes that have fewer than `share` times as many as the median class, until they have so many.

    A draw for a class is a window with the segment in its middle, for as long as one of training that is drawn. Of a
    prior with a chain of states it is the segment alone, of windows that overlap, a code for each frame.
    """
    model, named = run.model, f"generated.run={run.path}"
    spans, table = data.spans["train"], data.prepared.utterances("train")
    counts = np.bincount(spans.label[spans.label >= 0], minlength=len(data.classes))
    goal = int(np.ceil(chosen.share * np.median(counts)))
    missing = np.where(counts > 0, np.maximum(goal - counts, 0), 0)
    prior = None if chosen.prior is None else prior_of(chosen.prior, run)
    known = set(model.labels if prior is None else prior.classes)
    rare = np.flatnonzero(missing)
    if unknown := [data.classes[c] for c in rare if data.classes[c] not in known]:
        hint = "train it with task.condition=[label], or name a prior=" if not known else "they are none of its classes"
        raise ValueError(f"{named} cannot draw {shown(', '.join(unknown))}: {hint}")
    windows = run.task.kind_of(run.config)
    if prior is None and (windows != "segments" or run.config.target != config.target):
        raise ValueError(f"{named} makes windows of target={run.config.target} with task.windows={windows}, in which "
                         f"no segment of target={config.target} has a place: train it with task.windows=segments, or "
                         "name a generated.prior=")  # fmt: skip
    shift_s, rate, t = model.front_end.frame_shift_s, table.sample_rate, model.network.window_frames
    middle_s = model.front_end.frame_offset_s + (t // 2) * shift_s
    parts, columns = [], []
    for c in rare.tolist():
        n, name = int(missing[c]), data.classes[c]
        keys = nth_key(np.full(n, hash_of(name), np.uint64), np.arange(n))
        own = np.flatnonzero(spans.label == c)
        like = own[(uniform(keys, seed=config.seed, epoch=EPOCH, stream="generated like")[:, 0] * len(own)).astype(int)]
        seconds = spans.end_s[like] - spans.start_s[like]
        rng = torch.Generator().manual_seed(hash_of(f"{config.seed}/{EPOCH}/generated {name}") % 2**63)
        condition = model.condition(
            torch.full((n,), model.labels.index(name) if model.labels else -1),
            torch.randint(len(model.speakers), (n,), generator=rng) if model.speakers else torch.full((n,), -1),
        )
        of_prior = np.random.default_rng((hash_of(f"{config.seed}/{EPOCH}/generated codes"), hash_of(name)))
        if prior is not None and prior.has_chain:
            lengths = np.maximum(1, np.rint(seconds / shift_s)).astype(np.int64)
            made = [
                model.overlapped(torch.from_numpy(prior.codes(1, k, of_prior, name)[0]),
                                 torch.arange(k) - t // 2, k, one).numpy()
                for k, one in zip(lengths.tolist(), condition, strict=True)
            ]  # fmt: skip
            start_s, end_s = np.zeros(n), lengths * shift_s
        else:
            codes = (
                model.network.prior(n, rng)
                if prior is None
                else torch.from_numpy(prior.codes(n, 1, of_prior, name)[:, 0])
            )
            decoded = [
                model.network.decode(*part)
                for part in zip(codes.split(CODES_AT_ONCE), condition.split(CODES_AT_ONCE), strict=True)
            ]
            made = list(model.restored(torch.cat(decoded)).numpy())
            start_s = np.maximum(middle_s - seconds / 2 - config.context_s, 0.0)
            end_s = np.minimum(middle_s + seconds / 2 + config.context_s, t * shift_s)
        parts += made
        columns.append((spans.row[like], 1 + np.arange(n), start_s, end_s, np.full(n, c)))
    row, part, start_s, end_s, label = map(np.concatenate, zip(*columns, strict=True)) if columns else [np.empty(0)] * 5
    lengths = np.array([len(one) for one in parts], np.int64)
    return AddedFrames(
        np.concatenate([np.empty((0, model.network.n_features), np.float32), *parts]),
        offsets(lengths),
        row.astype(np.int64),
        part.astype(np.int64),
        np.zeros(len(lengths), np.int64),
        np.rint(lengths * shift_s * rate).astype(np.int64),
        np.arange(len(lengths) + 1),
        start_s,
        end_s,
        label.astype(np.int64),
    )
