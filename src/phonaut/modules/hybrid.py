"""DNN-HMM: a network says which state each frame belongs to, hidden Markov models what that means for a segment."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.data.batches import Batch
from phonaut.hmm import inference
from phonaut.hmm.chains import Chains
from phonaut.modules.class_densities import ClassDensities
from phonaut.modules.em import parts_of
from phonaut.modules.fitted import Segments
from phonaut.modules.frame_cache import FrameCache
from phonaut.modules.speech_classifier import SpeechClassifier
from phonaut.networks.masking import surrounded, without_padding
from phonaut.networks.recurrent import is_recording


class DNNHMM(nn.Module):
    """Scores of segments, `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    A network sees each frame with its neighbours and gives `p(c, s | x_t)` of all states s of all classes c. By Bayes'
    rule `p(x_t | c, s) = p(c, s | x_t) / p(c, s)` up to a factor that is common to all, so that with the chain of class
    c, `score_c = log p(c) + log sum_paths prod_t a(s_t | s_t-1) p(c, s_t | x_t) / p(c, s_t)`.

    Source: Bourlard and Morgan 1994, "Connectionist speech recognition: a hybrid approach", chapter 7.

    Args:
        n_features: D.
        n_classes: C.
        n_states: of each class, S.
        hidden_size: units of each hidden layer.
        n_layers: hidden layers.
        context: frames on each side that a frame is seen with, as far as they are in its segment.
        dropout: after hidden layers.
        over: `segment`: context ends where a segment does; `recording`: it is that of the recording.

    Raises:
        ValueError: for sizes that are not positive, or another `over`.
    """

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        n_states: int = 3,
        hidden_size: int = 256,
        n_layers: int = 2,
        context: int = 4,
        dropout: float = 0.3,
        over: Literal["segment", "recording"] = "segment",
    ) -> None:
        super().__init__()
        self.over_recording = is_recording(over)
        if min(n_features, n_classes, n_states, hidden_size, n_layers) < 1 or context < 0:
            raise ValueError(
                "n_features, n_classes, n_states, hidden_size and n_layers must be at least 1, context at least 0; got "
                f"{n_features}, {n_classes}, {n_states}, {hidden_size}, {n_layers}, {context}"
            )
        self.n_classes, self.n_states = n_classes, n_states
        self.context = context
        sizes = [(2 * context + 1) * n_features, *[hidden_size] * n_layers]
        layers: list[nn.Module] = []
        for i in range(n_layers):
            layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.ReLU(), nn.Dropout(dropout)]
        self.network = nn.Sequential(*layers, nn.Linear(hidden_size, n_classes * n_states))
        self.log_state_prior: Tensor
        self.log_class_prior: Tensor
        self.chain_start: Tensor
        self.chain_transition: Tensor
        n = n_classes * n_states
        self.register_buffer("log_state_prior", torch.full((n,), -float(np.log(n))))
        self.register_buffer("log_class_prior", torch.full((n_classes,), -float(np.log(n_classes))))
        eye = torch.eye(n_states, dtype=torch.float64)
        self.register_buffer("chain_start", eye[:1].repeat(n_classes, 1))
        self.register_buffer("chain_transition", (0.5 * (eye + eye.roll(1, 1))).repeat(n_classes, 1, 1))

    def states(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits of `p(c, s | x_t)`, `(B, T', C S)`, state s of class c at `c S + s`; T' is the longest length."""
        frames, mask = without_padding(frames, lengths)
        windows = surrounded(frames, self.context)
        if mask is None or torch.compiler.is_compiling():
            logits: Tensor = self.network(windows)
            return logits
        valid: Tensor = self.network(windows[mask])  # of phones most of a batch is padding
        return valid.new_zeros(*mask.shape, valid.shape[1]).masked_scatter(mask[:, :, None], valid)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)` with `lengths (B,)`."""
        return self.classify(self.states(frames, lengths), lengths)

    def classify(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments of logits `(B, T, C S)` with `lengths (B,)`."""
        rows = (logits.log_softmax(dim=2) - self.log_state_prior).view(*logits.shape[:2], self.n_classes, self.n_states)
        by_class = rows.transpose(1, 2).flatten(0, 1).double()  # (B C, T, S)
        chains = Chains(self.chain_start.cpu().numpy(), self.chain_transition.cpu().numpy())
        which = np.tile(np.arange(self.n_classes), len(logits))
        n = lengths.repeat_interleave(self.n_classes).cpu().numpy()
        found: Tensor = inference.log_likelihood(by_class, chains, n, chain=which).view(len(logits), self.n_classes)
        return found.to(logits.dtype) + self.log_class_prior


class Hybrid(SpeechClassifier):
    """Cross-entropy of frames against the states that a GMM-HMM aligns them to.

    The GMM-HMM is fitted to the training split when training begins, with as many states for every class; it also gives
    the chains and the priors of classes and states. It is not part of the model.

    Args:
        *arguments: those of `SpeechClassifier`.
        n_mix: components of a state of the GMM-HMM.
        em_steps: its EM steps.
        **named: those of `SpeechClassifier`.
    """

    def __init__(self, *arguments: Any, n_mix: int = 4, em_steps: int = 10, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if not isinstance(self.model.network, DNNHMM):
            raise ValueError(f"module=hybrid trains model=dnnhmm, and no {type(self.model.network).__name__}")
        self.n_mix, self.em_steps = n_mix, em_steps
        self.teachers: list[ClassDensities] = []  # in a list, so that it is no part of this module

    def setup(self, stage: str) -> None:
        """Fit the GMM-HMM and count what it aligns."""
        if stage != "fit" or self.teachers:
            return
        network: Any = self.model.network
        segments = FrameCache(self.model, self.trainer.datamodule).segments("train")  # type: ignore[attr-defined]
        teacher = ClassDensities(
            n_features=segments.frames.shape[1],
            n_classes=network.n_classes,
            n_states=network.n_states,
            n_mix=self.n_mix,
        )
        place = self.trainer.global_rank, self.trainer.world_size
        teacher.begin(segments, self.seed, *place)
        parts = parts_of(segments, network.n_classes, *place)
        for _ in range(self.em_steps):
            teacher.em_step(parts)
        self.teachers.append(teacher)
        known = segments.chosen(np.flatnonzero(segments.labels >= 0))
        states = aligned(teacher, torch.from_numpy(known.frames), known)
        counts = np.bincount(states, minlength=network.n_classes * network.n_states) + 1.0  # no state is impossible
        network.log_state_prior.copy_(torch.from_numpy(np.log(counts / counts.sum())))
        network.log_class_prior.copy_(teacher.decision.log_prior)
        chains = teacher.chains()
        network.chain_start.copy_(torch.from_numpy(chains.start))
        network.chain_transition.copy_(torch.from_numpy(chains.transition))

    def scores_and_loss(self, batch: Batch, smoothing: float) -> tuple[Tensor, Tensor]:
        """In training, the cross-entropy of frames, and no need of the recursions; else that of segments."""
        if not self.training:
            return super().scores_and_loss(batch, smoothing)
        model, network = self.model, self.model.network
        assert isinstance(network, DNNHMM)
        whole, n_whole = model.frames_of(batch)
        frames, lengths = model.cut(whole, n_whole, batch)
        if network.over_recording:
            logits, _ = model.cut(network.states(whole, n_whole), n_whole, batch)
        else:
            logits = network.states(frames, lengths)
        valid = torch.arange(logits.shape[1], device=logits.device) < lengths[:, None]
        labels = batch.labels
        per_class = logits.detach().view(*logits.shape[:2], network.n_classes, network.n_states).logsumexp(dim=3)
        scores = (per_class * valid[:, :, None]).sum(dim=1)
        known = labels >= 0
        if not bool(known.any()):
            return scores, logits.sum() * 0.0
        of = valid[known]
        own = Segments(
            np.empty((0, 0)), lengths[known].cpu().numpy(), labels[known].cpu().numpy(), np.empty(0, np.str_)
        )
        states = aligned(self.teachers[0], frames[known][:, : valid.shape[1]][of].detach().cpu(), own)
        targets = torch.from_numpy(states).to(logits.device)
        return scores, F.cross_entropy(logits[known][of], targets, label_smoothing=smoothing)


def aligned(teacher: ClassDensities, frames: Tensor, segments: Segments) -> np.ndarray:
    """The best path of every segment in the chain of its class, as `c S + s`, `(N,)`."""
    per_frame = np.repeat(segments.labels, segments.lengths)
    rows = teacher.frame_log_prob(frames.double())[torch.arange(len(frames)), torch.from_numpy(per_frame)]
    path, _ = inference.viterbi(rows.numpy(), teacher.chains(), segments.lengths, chain=segments.labels)
    return per_frame * teacher.most_states + np.maximum(path, 0)
