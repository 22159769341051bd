"""The chain from waveform to scores, one module, so that training, evaluation and export run the same code."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phonaut.data.batches import Batch
from phonaut.features import FrontEnd, slice_spans
from phonaut.features.hiding import hide, within_bands, within_times
from phonaut.features.inversion import INVERTIBLE, N_ITERATIONS, invert
from phonaut.features.loudness import LEVEL_DBFS, level_for, playable
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.networks.network import Network


class SpeechModel(nn.Module):
    """Front end, normaliser and network in a row: `audio -> frames -> segments -> scores`.

    The front end and the normaliser see whole recordings; only then are the spans cut out, so that a phone's deltas,
    normalisation and receptive field are those of its true context.

    Args:
        front_end: `(audio (B, S), audio_lengths (B,)) -> (frames (B, T, D), lengths (B,))`; or an encoder in its place.
        network: `(segments (N, T, D), lengths (N,)) -> scores (N, C)`. `phonaut.networks.network.Network`
            says what else it may offer.
        normalizer: `(frames, lengths) -> frames`, or None.
    """

    def __init__(
        self, front_end: FrontEnd | EncodedFrontEnd, network: nn.Module, normalizer: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.front_end = front_end
        self.normalizer = normalizer
        self.network = network

    def frames_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised frames `(B, T, D)` of the recordings of `batch`, with their lengths; computed before or now.

        What augmentation wants to be warped is, and what it hides is hidden.
        """
        if batch.is_computed:
            return batch.given
        frames, lengths = self.frames(*batch.given, warp=batch.warp)
        if batch.hidden_s is not None:
            times = {"frame_shift_s": self.front_end.frame_shift_s, "frame_offset_s": self.front_end.frame_offset_s}
            frames = hide(frames, lengths, within_times(batch.hidden_s, frames.shape[1], **times)[:, :, None])
        if batch.hidden_bands is not None:
            n_orders = 1 + getattr(getattr(self.front_end, "options", None), "deltas", 0)
            frames = hide(frames, lengths, within_bands(batch.hidden_bands, frames.shape[2], n_orders)[:, None])
        return frames, lengths

    def frames(self, audio: Tensor, audio_lengths: Tensor, warp: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normalised frames `(B, T, D)` of whole recordings `(B, S)`, with their lengths `(B,)`.

        Where the front end is `Frames`, they are given in place of audio. `warp (B,)` are factors on the frequencies of
        the front end's mel filters.
        """
        if warp is None:
            frames, lengths = self.front_end(audio, audio_lengths)
        else:
            assert isinstance(self.front_end, FrontEnd)  # others were refused
            frames, lengths = self.front_end.warped(audio, audio_lengths, warp)
        if self.normalizer is not None:
            frames = self.normalizer(frames, lengths)
        return frames, lengths

    def cut(
        self, frames: Tensor, lengths: Tensor, batch: Batch, times: tuple[float, float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The part of each span of `batch` in `frames (B, T, D)`: `(N, T, D)` with lengths `(N,)`.

        `times` are the shift of the frames and the centre of the first, seconds; None: those of the front end.
        """
        frame_shift_s, frame_offset_s = times or (self.front_end.frame_shift_s, self.front_end.frame_offset_s)
        return slice_spans(
            frames,
            lengths,
            batch.span_recording,
            batch.span_start_s,
            batch.span_end_s,
            frame_shift_s=frame_shift_s,
            frame_offset_s=frame_offset_s,
            durations_s=batch.durations_s(self.front_end.sample_rate),
        )

    def segments(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Input of `classify`: the frames, or the encoded frames, of each span of `batch`, with lengths `(N,)`."""
        frames, lengths = self.frames_of(batch)
        if self.encodes_recordings:
            frames = self.network.encode(frames, lengths)  # type: ignore[operator]
        return self.cut(frames, lengths, batch)

    @property
    def encodes_recordings(self) -> bool:
        """Tell whether the network runs over recordings before segments are cut out."""
        return getattr(self.network, "encodes_recordings", Network.encodes_recordings)

    @property
    def frame_level(self) -> bool:
        """Tell whether the network is trained with the cross-entropy of single frames."""
        return getattr(self.network, "frame_level", Network.frame_level)

    def classify(self, segments: Tensor, lengths: Tensor) -> Tensor:
        """Class scores `(N, C)` of what `segments` gives."""
        classify = self.network.classify if self.encodes_recordings else self.network
        scores: Tensor = classify(segments, lengths)  # type: ignore[operator]
        return scores

    def forward(self, audio: Tensor, audio_lengths: Tensor) -> Tensor:
        """Class scores `(B, C)` where each recording is one span (what is exported)."""
        scores: Tensor = self.network(*self.frames(audio, audio_lengths))
        return scores

    # --- back to audio

    @property
    def inaudible(self) -> str:
        """Why frames of this model cannot be heard; empty where they can."""
        if self.normalizer is not None:
            kind = type(self.normalizer).__name__
            return f"{kind} takes from each recording what inversion would need: train with normalizer=null"
        if type(self.front_end) not in INVERTIBLE:
            return f"{type(self.front_end).__name__} cannot be turned back into audio"
        return ""

    def audio(
        self,
        frames: NDArray[np.float32],
        *,
        phase_of: NDArray[np.float32] | None = None,
        n_iterations: int = N_ITERATIONS,
    ) -> NDArray[np.float32]:
        """Audio `(S,)` of frames `(T, D)` as the front end gives them, ready to be heard.

        Args:
            frames: of one recording.
            phase_of: a recording `(S,)` from whose phase inversion starts; None: from none.
            n_iterations: of Griffin and Lim.

        Raises:
            ValueError: the front end cannot be inverted, or a normaliser took from recordings what is not known.
        """
        if self.inaudible:
            raise ValueError(f"what is generated cannot be heard: {self.inaudible}")
        assert isinstance(self.front_end, FrontEnd)
        phase = None if phase_of is None else torch.from_numpy(phase_of)[None]
        made = invert(
            self.front_end,
            torch.from_numpy(frames)[None],
            torch.tensor([len(frames)]),
            phase_of=phase,
            n_iterations=n_iterations,
        )
        rate = self.front_end.sample_rate
        level = LEVEL_DBFS if phase_of is None else level_for(phase_of, rate)
        return playable(made.audio[0].numpy(), rate, level_dbfs=level)
