"""Griffin-Lim: a waveform whose short-time spectra have given magnitudes, from a phase that is wrong at first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from phonaut.features.framing import Framing
from phonaut.features.front_end import BLOCK_FRAMES, full_precision
from phonaut.features.functional import length_mask

Method = Literal["plain", "fast", "accelerated"]

MOMENTUM = 0.99  # of `fast`
ALPHA, BETA, GAMMA = 0.99, 1.1, 1.25  # of `accelerated`; with 0.09 for the first it is hardly faster than `plain`
LEAST_WEIGHT = 1e-3  # of the largest sum of squared windows over a sample: below it, a sample follows slowly


class Reconstruction(NamedTuple):
    """Waveforms `(B, S)`, 0 past their lengths, and how well they fit before each iteration and after the last.

    `convergence (n_iterations + 1, B)` is the spectral convergence in dB of the best waveform so far,
    `20 log10(||X| - A| / |A|)` over all bins of the two-sided spectrum: 0 for silence, and smaller is better.
    """

    audio: Tensor
    convergence: Tensor


class STFT:
    """Short-time spectra of recordings in a front end's framing, and their least-squares inverse.

    `X_t = rfft(w * x[t * hop ...])`, and the waveform whose spectra are closest to given ones `Y`:

        x = argmin_x sum_t ||STFT(x)_t - Y_t||^2 = (sum_t w * irfft(Y_t), overlapped) / (sum_t w^2, overlapped)

    (Griffin and Lim 1984, eq. 6). A sample beyond the ends that `pad_mode` takes from inside the recording counts
    where it was taken from, in both sums, so that the inverse is exact at the ends too. No frame past a recording's own
    count enters.

    Args:
        framing: layout of the frames.
        window: `(n_fft,)`, zeros after its `win_length` samples.
        audio_lengths: samples of each recording `(B,)`.
    """

    def __init__(self, framing: Framing, window: Tensor, audio_lengths: Tensor) -> None:
        self.framing, self.window, self.audio_lengths = framing, window, audio_lengths
        self.n_samples = int(audio_lengths.max())
        self.n_frames = framing.n_frames(self.n_samples)
        inside = length_mask(framing.n_frames(audio_lengths), self.n_frames)
        self.inside = None if bool(inside.all()) else inside[:, :, None].to(window.dtype)
        ones = window.new_ones(len(audio_lengths), self.n_frames, framing.n_fft)
        self.weight = self._overlapped([ones if self.inside is None else ones * self.inside], window.square())
        floor = LEAST_WEIGHT * self.weight.amax(dim=1, keepdim=True).clamp(min=torch.finfo(window.dtype).tiny)
        self.reserve = (floor - self.weight).clamp(min=0.0)

    def __call__(self, audio: Tensor) -> Tensor:
        """Spectra `(B, T, n_fft // 2 + 1)` of `audio (B, S)`; those past a recording's own frames are arbitrary."""
        spectra: Tensor = torch.fft.rfft(self.framing.frames(audio, self.audio_lengths) * self.window)
        return spectra

    def inverse(self, spectra: Tensor, near: Tensor | None = None) -> Tensor:
        """The waveform `(B, S)` whose spectra are closest to `spectra (B, T, n_fft // 2 + 1)`.

        Args:
            spectra: of which those past a recording's own frames are not used.
            near: a waveform `(B, S)` to stay near to where windows all but vanish, at the ends of a recording that has
                whole windows only: there `x = (sum of w y + r near) / (sum of w^2 + r)`, which is no worse than `near`,
                and never large for the smallness of a window. None: the closest waveform without reserve.
        """
        frames = torch.fft.irfft(spectra, n=self.framing.n_fft)
        return self._solve([frames if self.inside is None else frames * self.inside], near)

    def nearer(self, audio: Tensor, magnitude: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """One step of Griffin and Lim from `audio`, and `sum (|X| - A)^2` of `audio` itself `(B,)`.

        The step keeps the phases of `audio`, takes the magnitudes `A (B, T, n_fft // 2 + 1)`, 0 past a recording's own
        frames, and inverts, staying near `audio` as `inverse` says. `weights (n_fft // 2 + 1,)` are those of bins.
        """
        frames = self.framing.frames(audio, self.audio_lengths)
        tiny = torch.finfo(magnitude.dtype).tiny
        size = max(1, BLOCK_FRAMES // len(audio))
        error = audio.new_zeros(len(audio))

        def with_magnitude() -> Iterator[Tensor]:  # in blocks that stay in the cache
            for first in range(0, self.n_frames, size):
                spectra = torch.fft.rfft(frames[:, first : first + size] * self.window)
                wanted = magnitude[:, first : first + size]
                found = spectra.real.square().addcmul_(spectra.imag, spectra.imag).sqrt_()
                if self.inside is not None:
                    found *= self.inside[:, first : first + size]
                difference = wanted - found
                error.add_(difference.square_().sum(dim=1) @ weights)
                spectra *= torch.div(wanted, found.clamp_(min=tiny), out=difference)
                yield torch.fft.irfft(spectra, n=self.framing.n_fft)

        return self._solve(with_magnitude(), audio), error

    def _solve(self, blocks: Iterable[Tensor], near: Tensor | None) -> Tensor:
        total = self._overlapped(blocks, self.window)
        if near is None:
            return total / torch.where(self.weight > 0, self.weight, 1.0)
        return total.addcmul_(self.reserve, near).div_(self.weight + self.reserve)

    def _overlapped(self, blocks: Iterable[Tensor], window: Tensor) -> Tensor:
        """Frames times a window, added up where they lie in the recording; blocks are of consecutive frames."""
        f, rows, before = self.framing, len(self.audio_lengths), -self.framing.first_sample
        n_shifts = -(-f.win_length // f.hop_length)
        n_hops = max(self.n_frames + n_shifts, -(-(before + self.n_samples + f.n_fft) // f.hop_length))
        by_hop, first = window.new_zeros(rows, n_hops, f.hop_length), 0
        for frames in blocks:
            n = frames.shape[1]
            for shift in range(n_shifts):
                start, end = shift * f.hop_length, min(f.win_length, (shift + 1) * f.hop_length)
                place = by_hop[:, first + shift : first + shift + n, : end - start]
                place.addcmul_(frames[..., start:end], window[start:end])
            first += n
        sums, end_of = by_hop.reshape(rows, -1), self.audio_lengths[:, None]
        inside = length_mask(self.audio_lengths, self.n_samples)
        audio = sums[:, before : before + self.n_samples].masked_fill(~inside, 0.0)
        if f.mode == "center" and f.pad_mode != "constant":
            head = torch.arange(-before, 0, device=sums.device).expand(rows, -1)
            tail = end_of + torch.arange(f.n_fft, device=sums.device)
            beyond = torch.cat([sums[:, :before], sums.gather(1, tail + before)], dim=1)
            audio.scatter_add_(1, f.source_of(torch.cat([head, tail], dim=1), end_of), beyond)
        return audio


@torch.no_grad()
def griffin_lim(
    magnitude: Tensor,
    framing: Framing,
    window: Tensor,
    audio_lengths: Tensor,
    *,
    phase_of: Tensor | None = None,
    seed: int | None = None,
    n_iterations: int = 32,
    method: Method = "accelerated",
) -> Reconstruction:
    r"""Waveforms whose short-time spectra have the magnitudes `A`.

    With `P(c)` the waveform nearest to the spectra of `c` with their magnitudes replaced by `A`:

    | method | iteration | source |
    |---|---|---|
    | `plain` | `c <- P(c)`, whose convergence never rises | Griffin and Lim 1984 |
    | `fast` | `t' = P(c)`, `c <- t' + 0.99 (t' - t)` | Perraudin, Balazs and Sondergaard 2013 |
    | `accelerated` | `t' = (1 - g) d + g P(c)`, `c <- t' + a (t' - t)`, `d <- t' + b (t' - t)` | Nenov et al. 2023 |

    with a = 0.99, b = 1.1, g = 1.25. All of them are linear in what is no projection, so that they are computed on
    waveforms, of which one is a third of its spectra or less. The waveform that is returned is the best of all
    iterations, for each recording: never worse than the first.

    Args:
        magnitude: `(B, T, n_fft // 2 + 1)`, T the frames of the longest recording.
        framing: layout of the frames.
        window: `(n_fft,)`, zeros after its `win_length` samples.
        audio_lengths: samples of each recording `(B,)`.
        phase_of: recordings `(B, S)` whose phases are the first ones, S the longest of `audio_lengths`.
        seed: without `phase_of`, of random first phases, the same for every recording; None: zeros.
        n_iterations: at least 0.
        method: as above.

    Raises:
        ValueError: for shapes that do not agree, magnitudes that are negative or not finite, or an unknown method.
    """
    if method not in ("plain", "fast", "accelerated"):
        raise ValueError(f"method must be plain, fast or accelerated; got {method!r}")
    if n_iterations < 0:
        raise ValueError(f"n_iterations must be at least 0; got {n_iterations}")
    expected = (len(audio_lengths), framing.n_frames(int(audio_lengths.max())), framing.n_fft // 2 + 1)
    if magnitude.shape != expected:
        raise ValueError(f"magnitude must be {expected} for these audio_lengths; got {tuple(magnitude.shape)}")
    if phase_of is not None and phase_of.shape != (expected[0], int(audio_lengths.max())):
        raise ValueError(
            f"phase_of must be ({expected[0]}, {int(audio_lengths.max())}), the samples of each recording; "
            f"got {tuple(phase_of.shape)}"
        )
    if not bool((magnitude >= 0).all() and magnitude.isfinite().all()):
        raise ValueError("magnitude must be finite and not negative; a value is not")
    parts = []
    size = max(1, BLOCK_FRAMES // expected[1])
    with full_precision(magnitude):
        for first in range(0, len(magnitude), size):  # the recordings of a block stay in the cache for all iterations
            rows = slice(first, first + size)
            lengths = audio_lengths[rows]
            stft = STFT(framing, window.to(magnitude.dtype), lengths)
            wanted = magnitude[rows, : stft.n_frames]
            wanted = wanted if stft.inside is None else wanted * stft.inside
            source = None if phase_of is None else phase_of[rows, : stft.n_samples].to(magnitude.dtype)
            start = _first(stft, wanted, source, seed)
            audio, convergence = _iterate(stft, wanted, start, n_iterations, method)
            parts.append((torch.nn.functional.pad(audio, (0, int(audio_lengths.max()) - stft.n_samples)), convergence))
    return Reconstruction(torch.cat([audio for audio, _ in parts]), torch.cat([one for _, one in parts], dim=1))


def _first(stft: STFT, magnitude: Tensor, phase_of: Tensor | None, seed: int | None) -> Tensor:
    """The waveform of the first phases: those of recordings, random ones, or zeros."""
    if phase_of is not None:
        spectra = stft(phase_of)
        phase = torch.where(spectra == 0, 1.0, spectra)  # of digital silence there is none
        return stft.inverse(magnitude * (phase / phase.abs()), near=torch.zeros_like(phase_of))
    near = magnitude.new_zeros(len(magnitude), stft.n_samples)
    if seed is None:
        return stft.inverse(magnitude.to(torch.complex(magnitude, magnitude).dtype), near=near)
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(magnitude.shape[1:], generator=generator, dtype=torch.float64)
    return stft.inverse(magnitude * torch.polar(torch.ones_like(angle), angle).to(near.device), near=near)


def _iterate(stft: STFT, magnitude: Tensor, c: Tensor, n_iterations: int, method: Method) -> tuple[Tensor, Tensor]:
    """The best of the waveforms on the way from `c`, and the convergence at each of them."""
    n_fft = stft.framing.n_fft
    weights = magnitude.new_full((magnitude.shape[2],), 2.0)  # a bin stands for its mirror image too
    weights[0] = 1.0
    weights[n_fft // 2 :] = 1.0 if n_fft % 2 == 0 else 2.0
    t = d = best = c
    least = c.new_full((len(c),), math.inf)
    errors = []
    for _ in range(n_iterations + 1):
        projected, error = stft.nearer(c, magnitude, weights)
        better = error < least
        best = c if bool(better.all()) else torch.where(better[:, None], c, best)
        least = torch.minimum(least, error)
        errors.append(least)
        if method == "plain":
            c = projected
        elif method == "fast":
            c, t = torch.lerp(t, projected, 1 + MOMENTUM), projected
        else:
            new = torch.lerp(d, projected, GAMMA)
            c, d, t = torch.lerp(t, new, 1 + ALPHA), torch.lerp(t, new, 1 + BETA), new
    energy = magnitude.square().sum(dim=1) @ weights
    tiny = torch.finfo(energy.dtype).tiny
    return best, 10 * torch.log10((torch.stack(errors) / energy.clamp(min=tiny)).clamp(min=tiny))
