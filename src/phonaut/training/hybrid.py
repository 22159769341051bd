"""DNN-HMM: a network says which state each frame belongs to, hidden Markov models what that means for a segment."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phonaut.checks import within
from phonaut.data.batches import Batch
from phonaut.hmm import inference
from phonaut.models.dnnhmm import DNNHMM
from phonaut.models.em_classifier import Segments
from phonaut.models.frame_cache import FrameCache
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.training.corpus_module import corpus_of
from phonaut.training.em import parts_of
from phonaut.training.gradient import SpeechClassifier


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

    RULES: ClassVar = {**SpeechClassifier.RULES, "n_mix": within(1, 10_000), "em_steps": within(0, 10_000)}
    trains_encoders = trains_front_ends = takes_teachers = False
    owns_loss = True

    @classmethod
    def trains(cls, network: type) -> bool:
        """True for networks that give posteriors of HMM states."""
        return issubclass(network, DNNHMM)

    def __init__(self, *arguments: Any, n_mix: int = 4, em_steps: int = 10, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if not isinstance(self.model.network, DNNHMM):
            raise ValueError(f"module=hybrid trains model=dnnhmm, and no {type(self.model.network).__name__}")
        self.n_mix, self.em_steps = n_mix, em_steps
        self.teachers: list[GenerativeClassifier] = []  # in a list, so that it is no part of this module

    def setup(self, stage: str) -> None:
        """Fit the GMM-HMM and count what it aligns."""
        if stage != "fit" or self.teachers:
            return
        network: Any = self.model.network
        segments = FrameCache(self.model, corpus_of(self.trainer)).segments("train")
        teacher = GenerativeClassifier(
            n_features=segments.frames.shape[1],
            n_classes=network.n_classes,
            n_states=network.n_states,
            n_mix=self.n_mix,
        )
        place = self.trainer.global_rank, self.trainer.world_size
        teacher.initialize(segments, self.seed, *place)
        parts = parts_of(segments, network.n_classes, *place)
        for _ in range(self.em_steps):
            teacher.em_step(parts)
        self.teachers.append(teacher)
        known = segments.select(np.flatnonzero(segments.labels >= 0))
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
        if network.encodes_recordings:
            logits, _ = model.cut(network.encode(whole, n_whole), n_whole, batch)
        else:
            logits = network.encode(frames, lengths)
        valid = torch.arange(logits.shape[1], device=logits.device) < lengths[:, None]
        labels = batch.labels
        per_class = logits.detach().view(*logits.shape[:2], network.n_classes, network.n_states).logsumexp(dim=3)
        scores = (per_class * valid[:, :, None]).sum(dim=1)
        known = labels >= 0
        of = valid[known]
        self.counted = of.sum()
        if not bool(known.any()):
            return scores, logits.sum() * 0.0
        own = Segments(
            np.empty((0, 0)), lengths[known].cpu().numpy(), labels[known].cpu().numpy(), np.empty(0, np.str_)
        )
        states = aligned(self.teachers[0], frames[known][:, : valid.shape[1]][of].detach().cpu(), own)
        targets = torch.from_numpy(states).to(logits.device)
        return scores, F.cross_entropy(logits[known][of], targets, label_smoothing=smoothing)


def aligned(teacher: GenerativeClassifier, frames: Tensor, segments: Segments) -> np.ndarray:
    """The best path of every segment in the chain of its class, as `c S + s`, `(N,)`."""
    per_frame = np.repeat(segments.labels, segments.lengths)
    rows = teacher.frame_log_prob(frames)[np.arange(len(frames)), per_frame]
    path, _ = inference.viterbi(rows, teacher.chains(), segments.lengths, chain=segments.labels)
    return per_frame * teacher.most_states + np.maximum(path, 0)
