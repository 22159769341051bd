"""Figures of a generator: its reconstructions beside principal components, its samples beside recorded windows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from torch import Tensor

from phonaut.arrays import Array, Index, spread
from phonaut.data.frame_windows import AT_ONCE, WindowBatch, WindowData
from phonaut.features.spectral import MFCC, Spectrogram
from phonaut.metrics import Estimate, mean_over
from phonaut.metrics.discrepancy import mmd, mmd_difference
from phonaut.metrics.generation import copying_estimate, frechet_estimate, nearest
from phonaut.metrics.grouped import Groups, groups_of
from phonaut.metrics.overlap import overlap_estimates
from phonaut.models.window_model import OVERLAP, WindowModel
from phonaut.tasks.cepstral import distortions

N_FITTED = 10_000  # training windows whose principal components are found
N_KNOWN = 50_000  # training windows among which samples are looked for
N_SAMPLES = 2000
N_MEASURED = 5000  # windows that are reconstructed, of models that do so at little cost
COST = 5e10  # multiplications for the windows that are reconstructed, but for 500 at least
N_COMPONENTS = (16, 128)  # of the reconstructions that a model is to beat
SPACE = 32  # principal components in which samples are compared
SHARES = {"precision": "sample_precision", "recall": "sample_recall", "coverage": "coverage"}
N_REBUILT = 60  # recordings, of models that do so at little cost
LEAST = 20  # windows of either side, below which samples are not compared

Numbers = dict[str, Estimate]


class Samples(NamedTuple):
    """Samples of a generator beside as many recorded windows.

    Attributes:
        rows: the recorded windows, by their numbers.
        batch: likewise.
        condition: what the samples were drawn for, `(n, K)`.
        windows: the samples, normalised, `(n, T, D)`.
    """

    rows: Index
    batch: WindowBatch
    condition: Tensor
    windows: Tensor


class Figures:
    """Measures a generator on its corpus. What is fitted, is fitted to training windows.

    Args:
        model: the generator.
        data: its windows.
    """

    def __init__(self, model: WindowModel, data: WindowData) -> None:
        self.model, self.data = model, data
        train = data.windows("train")
        rows = spread(len(train), N_FITTED)
        fitted, total, n = [], np.zeros(model.network.n_features), 0
        for batch in train.batches(rows):
            frames = model.windows(batch).frames
            fitted.append(flat(frames))
            total += frames[batch.inside].double().sum(dim=0).numpy()
            n += int(batch.inside.sum())
        self.mean = torch.from_numpy(total / max(n, 1))  # of each bin
        windows = np.concatenate(fitted)
        n_components = min(max(N_COMPONENTS), len(windows) - 1, windows.shape[1])
        self.pca = PCA(n_components, random_state=0).fit(windows) if n_components > 0 else None
        self.decibels = decibels(model)

    # --- reconstruction

    def of_reconstructions(self, split: str) -> Numbers:
        """`elbo`, `snr_db`, `lsd_db`, and those of principal components (`/pca_16`); of windows that are evenly spread.

        `snr_db` is `10 log10(sum (x - m)^2 / sum (x - y)^2)` of normalised features within the recordings, with m the
        mean of each bin over training windows; `lsd_db` the root mean square over bins of the difference in dB, its
        mean over frames.
        """
        windows, rows = self.data.windows(split), self.measured(split)
        sums: dict[str, list[Array]] = {}
        for batch in windows.batches(rows):
            for name, values in self.sums(batch).items():
                sums.setdefault(name, []).append(values)
        speakers = self.speakers(split, rows)
        found = {name: mean_over(np.concatenate(parts), speakers) for name, parts in sums.items()}
        return {name: in_decibels(one) if name.startswith("snr_db") else one for name, one in found.items()}

    @property
    def rebuilds(self) -> bool:
        """Reconstructions tell something of the model."""
        return self.model.network.has_encoder and not self.model.network.is_invertible

    def affordable(self) -> int:
        """Windows that are reconstructed."""
        cost = max(1, self.model.network.size(self.model.network.window_frames)[1])
        return int(np.clip(COST / cost, 500, N_MEASURED))

    def measured(self, split: str) -> Index:
        """The windows that are reconstructed: so many as the model's cost allows, evenly spread."""
        return spread(len(self.data.windows(split)), self.affordable())

    def of_recordings(self, split: str) -> Numbers:
        """`mcd_db` and `mcd_db/dtw` of some whole recordings, taken apart and put together again."""
        if self.decibels is None or not self.rebuilds:
            return {}
        windows = self.data.windows(split)
        first = np.unique(windows.begin, return_index=True)[1]
        each = max(1, self.model.network.window_frames // OVERLAP)
        frames = float((windows.end[first] - windows.begin[first]).mean())
        rows = first[spread(len(first), min(N_REBUILT, max(1, int(self.affordable() * each / frames))))]
        found = distortions(self.model, windows, rows, self.decibels)
        return {name: mean_over(sums, self.speakers(split, rows)) for name, sums in found.items()}

    def sums(self, batch: WindowBatch) -> dict[str, Array]:
        """Numerator and denominator of each figure, for each window, `(B, 2)`."""
        windows, network = self.model.windows(batch), self.model.network
        found: dict[str, Array] = {}
        if (elbo := network.elbo(windows)) is not None:
            n = np.full(len(windows), float(windows.frames.shape[1]))
            found["elbo"] = np.stack([elbo.double().numpy(), n], axis=1)
            for k in self.component_numbers():
                found[f"elbo/pca_{k}"] = np.stack([self.likelihoods(windows.frames, k), n], axis=1)
        others: dict[str, Tensor] = {}
        if self.rebuilds:
            codes = network.encode(windows.frames, windows.condition)
            others[""] = network.decode(codes, windows.condition)
        for k in self.component_numbers():
            others[f"/pca_{k}"] = self.rebuilt(windows.frames, k)
        inside = batch.inside[:, :, None]
        signal = ((windows.frames - self.mean) * inside).square().sum((1, 2))
        for name, other in others.items():
            error = ((windows.frames - other) * inside).double()
            found[f"snr_db{name}"] = np.stack([signal.numpy(), error.square().sum((1, 2)).numpy()], axis=1)
            if self.decibels:
                apart = (error * self.model.deviation * self.decibels).square().mean(dim=2).sqrt().sum(dim=1)
                found[f"lsd_db{name}"] = np.stack([apart.numpy(), batch.inside.sum(dim=1).double().numpy()], axis=1)
        return found

    def component_numbers(self) -> list[int]:
        """Numbers of principal components that a model is measured beside, as far as there are so many."""
        return [k for k in N_COMPONENTS if self.pca is not None and k <= self.pca.n_components_]

    def likelihoods(self, frames: Tensor, k: int) -> Array:
        """Log-likelihoods of windows by probabilistic principal components, nats, `(B,)`.

        `log N(x; m, U_k diag(v) U_k^T + s (I - U_k U_k^T))` with s the mean of the variances that are left out (Tipping
        and Bishop 1999): the best bound of a linear autoencoder with k latents.
        """
        assert self.pca is not None
        x = flat(frames).astype(np.float64) - self.pca.mean_
        size, variances = x.shape[1], self.pca.explained_variance_[:k]
        total = self.pca.explained_variance_[0] / self.pca.explained_variance_ratio_[0]
        rest = max((total - variances.sum()) / max(1, size - k), 1e-12)
        along = np.square(x @ self.pca.components_[:k].T)
        within = (along / variances).sum(axis=1) + (np.square(x).sum(axis=1) - along.sum(axis=1)) / rest
        constant = np.log(variances).sum() + (size - k) * np.log(rest) + size * np.log(2 * np.pi)
        found: Array = -0.5 * (within + constant)
        return found

    def rebuilt(self, frames: Tensor, k: int) -> Tensor:
        """Windows by their first k principal components."""
        assert self.pca is not None
        basis, mean = self.pca.components_[:k], self.pca.mean_
        x = flat(frames) - mean
        return torch.from_numpy((x @ basis.T) @ basis + mean).view_as(frames)

    # --- samples

    def samples(self, split: str, draw: Callable[[Tensor], Tensor] | None = None) -> Samples | None:
        """Samples of the model's own prior, as many as windows of the split and of training allow; None: too few.

        In place of the prior, `draw` may give windows for conditions, `(n, K) -> (n, T, D)`. Their conditions are those
        of the windows; a speaker that training has not is replaced by one that it has.
        """
        windows, train = self.data.windows(split), self.data.windows("train")
        n = min(N_SAMPLES, len(windows), len(train))
        if n < LEAST:
            return None
        rows = spread(len(windows), n)
        batch = windows[rows]
        heard = torch.from_numpy(train.speakers[spread(len(train), n)])
        condition = self.model.condition(batch.labels, torch.where(batch.speakers >= 0, batch.speakers, heard))
        if draw is not None:
            return Samples(rows, batch, condition, draw(condition))
        rng = torch.Generator().manual_seed(0)
        made = [self.model.network.sample(len(part), part, rng) for part in torch.split(condition, AT_ONCE)]
        return Samples(rows, batch, condition, torch.cat(made))

    def of_samples(self, split: str, samples: Samples | None) -> Numbers:
        """Distances of samples to windows of the split, in the first 32 principal components of training windows.

        `/floor` is that of as many training windows, `/gaussian` that of draws of a Gaussian with the mean and the
        variances of the components; `mmd/minus_gaussian` is the difference to that, with an interval of its own.
        """
        if samples is None or self.pca is None:
            return {}
        n, groups = len(samples.rows), self.groups(split, samples.rows)
        train = self.data.windows("train")
        rows = spread(len(train), N_KNOWN)
        real = self.located(self.model.windows(samples.batch).frames)
        known = np.concatenate([self.located(self.model.windows(batch).frames) for batch in train.batches(rows)])
        of_floor = spread(len(known), n)
        draws = np.random.default_rng(0).standard_normal((n, known.shape[1]))
        ours = self.located(samples.windows)
        gaussian = draws * np.sqrt(self.pca.explained_variance_[: known.shape[1]])
        found = distances(real, groups, ours, "") | distances(real, groups, gaussian, "/gaussian")
        found |= distances(real, groups, known[of_floor], "/floor", self.groups("train", rows[of_floor]))
        apart = mmd_difference(ours, gaussian, real, groups=groups.ids)
        found["mmd/minus_gaussian"] = apart._replace(method=f"jackknife over {groups.what}")
        for name, share in overlap_estimates(real, ours, groups=groups.ids).items():
            found[SHARES[name]] = share._replace(
                method=f"jackknife over {groups.what} and samples, or Wilson's if wider"
            )
        if copies := copying_estimate(nearest(ours, known), nearest(real, known), groups.ids):
            found["copying"] = copies._replace(method=f"bootstrap over {groups.what} and samples")
        return found

    def located(self, windows: Tensor) -> Array:
        """Coordinates of normalised windows in the first principal components, `(n, 32)`."""
        assert self.pca is not None
        located: Array = (flat(windows) - self.pca.mean_) @ self.pca.components_[:SPACE].T
        return located.astype(np.float64)

    def values(self, attribute: str, split: str, rows: Index) -> list[str]:
        """The `label`, `speaker` or `gender` of windows; empty where it is not known."""
        if attribute == "label":
            labels = self.data.labels
            return [labels[k] if k >= 0 else "" for k in self.data.windows(split).labels[rows].tolist()]
        names: list[str] = self.speakers(split, rows).tolist()
        if attribute == "gender":
            return [self.data.prepared.genders.get(name, "") for name in names]
        return names if attribute == "speaker" else [""] * len(rows)

    def speakers(self, split: str, rows: Index) -> NDArray[Any]:
        """Speakers of windows."""
        table, of = self.data.prepared.utterances(split), self.data.windows(split).row
        return np.array([table.speaker_name(row) for row in of[rows].tolist()], np.str_)

    def groups(self, split: str, rows: Index) -> Groups:
        """Their speakers, or their recordings where there are few speakers: windows of one are alike, and overlap."""
        return groups_of(self.speakers(split, rows), self.data.windows(split).row[rows])


def distances(real: Array, groups: Groups, other: Array, name: str, other_groups: Groups | None = None) -> Numbers:
    """`mmd` and `frechet` of two samples of points, with a suffix.

    Args:
        real: recorded windows, `(n, D)`.
        groups: of them.
        other: `(m, D)`.
        name: suffix, such as `/floor`.
        other_groups: of the others; None: they are independent draws.
    """
    found = mmd(other, real, groups=other_groups and other_groups.ids, other_groups=groups.ids)
    return {
        f"mmd{name}": found._replace(method=f"jackknife over {groups.what}"),
        f"frechet{name}": frechet_estimate(real, groups.ids, other)._replace(
            method=f"1.96 standard deviations over resampled {groups.what} and samples"
        ),
    }


def decibels(model: WindowModel) -> float | None:
    """The factor that brings differences of features to dB; None where features are no logarithms of spectra."""
    front_end = model.front_end
    if not isinstance(front_end, Spectrogram) or isinstance(front_end, MFCC) or model.normalizer is not None:
        return None
    o = front_end.options
    if o.deltas or o.log not in ("db", "natural"):
        return None
    return 1.0 if o.log == "db" else 20 / o.power / math.log(10)


def in_decibels(ratio: Estimate) -> Estimate:
    """A ratio of energies in dB, without limit where nothing is missed."""
    tiny = np.finfo(float).tiny
    value, low, high = (10 * math.log10(max(number, tiny)) for number in ratio[:3])
    return ratio._replace(value=value, low=low, high=high)


def flat(windows: Tensor) -> NDArray[np.float32]:
    """Windows as vectors, `(B, T D)`."""
    vectors: NDArray[np.float32] = windows.flatten(1).float().numpy()
    return vectors
