"""Phone HMMs: a phrase is the chain of its phones, whose Gaussians are shared by all phrases."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from phonaut.arrays import Index
from phonaut.checks import within
from phonaut.data.lexicon import Pronunciations, entries_of, merge
from phonaut.models.speakers.aligned_states import AlignedStates
from phonaut.models.speakers.frame_network import FrameNetwork
from phonaut.models.speakers.phrase_units import SILENCE, UnitGraphs, shared_loops, units_of
from phonaut.models.speakers.state_models import Stream, as_bytes, as_texts
from phonaut.models.speakers.utterances import Utterances

log = logging.getLogger(__name__)

LEXICON = "units:lexicon"


class PhoneHMM(AlignedStates):
    """Phones by embedded training on transcripts, MAP per model, ratios along alignments to the claimed phrase.

    Transcripts are the column `text`, or the phrase's name where that is empty; words are said as the lexicon says.
    Without a lexicon, letters stand for phones: for most languages that is a fair substitute and no more. A word that
    the lexicon lacks, and a recording of which no text is known, is any phones one after another.

    Args:
        n_features: D.
        n_states: of a phone, left to right.
        n_mix: most Gaussians of a state of a phone.
        silence_mix: of a state of silence; with 39 phones of 3 states and 8 that makes 984 in all.
        lexicon: a file as Kaldi, MFA, CMU or HTK write it; None: letters.
        ignore_stress: AH0, AH1 and AH2 are one phone.
        per_phone_weights: each phone has transition probabilities of its own, and not those of all phones.
        skips: a state may be passed over (Bakis), with a probability of 0.1.
        wrap_silence: there may be silence before and after a phrase.
        word_silence: there may be silence between words.
        posteriors: what frames are aligned by: the mixtures (`gmm`), or a network that learns their alignments.
        network_size: units of each of its hidden layers.
        network_layers: hidden layers.
        network_context: frames on each side of a frame.
        network_epochs: passes over the background.
        **others: of `AlignedStates`.
    """

    RULES: ClassVar = {
        **AlignedStates.RULES,
        "silence_mix": within(1, 10_000),
        "network_size": within(1, 1e5),
        "network_layers": within(1, 10),
        "network_context": within(0, 100),
        "network_epochs": within(1, 10_000),
    }

    @classmethod
    def problems(cls, lexicon: str | None = None, ignore_stress: bool = True, **options: Any) -> list[str]:
        """Problems of the options."""
        problems = []
        if lexicon is not None and not Path(lexicon).is_file():
            problems.append(f"lexicon={lexicon} is not a file; lines WORD P1 P2 ... are wanted")
        if lexicon is None and not ignore_stress:
            problems.append("ignore_stress=false needs a lexicon: letters have no stress")
        return problems

    def __init__(
        self,
        *,
        n_features: int,
        n_states: int = 3,
        n_mix: int = 8,
        silence_mix: int = 16,
        lexicon: str | None = None,
        ignore_stress: bool = True,
        per_phone_weights: bool = True,
        skips: bool = False,
        wrap_silence: bool = True,
        word_silence: bool = True,
        posteriors: Literal["gmm", "network"] = "gmm",
        network_size: int = 256,
        network_layers: int = 1,
        network_context: int = 5,
        network_epochs: int = 5,
        n_flat: int = 10,
        n_iter: int = 4,
        training: Literal["forward_backward", "viterbi"] = "forward_backward",
        relevance_factor: float = 3.0,
        alignment: Literal["forward_backward", "viterbi"] = "forward_backward",
        alignment_stream: Stream = "cmvn",
        score_stream: Stream = "as_is",
        n_static: int | None = None,
        n_competitors: int = 50,
    ) -> None:
        super().__init__(
            n_features=n_features,
            n_states=n_states,
            n_mix=n_mix,
            n_flat=n_flat,
            n_iter=n_iter,
            training=training,
            relevance_factor=relevance_factor,
            alignment=alignment,
            alignment_stream=alignment_stream,
            score_stream=score_stream,
            n_static=n_static,
            n_competitors=n_competitors,
        )
        self.silence_mix, self.lexicon, self.ignore_stress = silence_mix, lexicon, ignore_stress
        self.per_phone_weights, self.skips = per_phone_weights, skips
        self.wrap_silence, self.word_silence = wrap_silence, word_silence
        self.network = FrameNetwork(network_size, network_layers, network_context) if posteriors == "network" else None
        self.network_epochs = network_epochs
        self._labels: Index | None = None
        self._kept_lexicon: str | None = None  # that of a trained model

    # --- units

    @cached_property
    def pronunciations(self) -> Pronunciations | None:
        """All of the lexicon; None without one."""
        found: dict[str, list[tuple[str, ...]]] = {}
        if self._kept_lexicon is not None:
            lines = (line.split(" ") for line in self._kept_lexicon.split("\n"))
            merge(found, ((word, tuple(phones)) for word, *phones in lines))
        elif self.lexicon is not None:
            entries, _ = entries_of(Path(self.lexicon), keep_stress=not self.ignore_stress)
            merge(found, entries)
        return found or None

    def phrases(self, utterances: Utterances) -> list[str]:
        """Phones of each text; those of the phrase's name where there is no text."""
        said = np.where(utterances["text"] == "", utterances["phrase"], utterances["text"])
        texts, of = np.unique(said.astype(np.str_), return_inverse=True)
        units = [units_of(str(text), self.pronunciations) for text in texts]
        return [units[number] for number in of]

    def units(self, phrases: Sequence[str]) -> list[str]:
        """All phones that are said, and silence."""
        has_silence = self.wrap_silence or self.word_silence
        return sorted({*super().units(phrases), *([SILENCE] if has_silence else [])}) if phrases else []

    def make_graphs(self, units: Sequence[str]) -> tuple[UnitGraphs, Index]:
        """Graphs with optional silence."""
        graphs = UnitGraphs(units, self.n_states, skips=self.skips, wrap_silence=self.wrap_silence,
                            word_silence=self.word_silence)  # fmt: skip
        tied = shared_loops(len(units), self.n_states, graphs.number.get(SILENCE), self.per_phone_weights)
        return graphs, tied

    def most_components(self) -> Index:
        """`n_mix`, and `silence_mix` in silence."""
        silence = np.array([unit == SILENCE for unit in self.graphs.units])
        return np.repeat(np.where(silence, self.silence_mix, self.n_mix), self.n_states)

    # --- training

    def begin(self, background: Utterances, seed: int) -> None:
        """Divide each recording evenly among the states of what it says."""
        if self.pronunciations is None:
            log.warning("there is no lexicon: letters stand for phones; model.lexicon=FILE names pronunciations")
        self._labels = None
        super().begin(background, seed)

    @property
    def n_further(self) -> int:
        """Epochs of the network."""
        return self.network_epochs if self.network is not None else 0

    def further_step(self, k: int) -> Mapping[str, float]:
        """An epoch of the network, on the states that the mixtures align frames to."""
        assert self._data is not None
        assert self.network is not None
        data = self._data
        if self._labels is None:
            graphs = [self.graphs[phrase] for phrase in data.phrases]
            paths, _ = self.models.decode(data.aligned, data.lengths, graphs)
            self._labels = np.concatenate([one.emission[path] for one, path in zip(graphs, paths, strict=True)])
        if k == 0:
            self.network.begin(data.aligned, self._labels, self.models.n_distinct, self._seed)
        loss = self.network.epoch(data.aligned, data.lengths, self._labels, (self._seed, k))
        return {"cross_entropy": loss}

    def alignment_logs(self, frames: Utterances) -> Tensor:
        """Those of the mixtures or, once it is there, of the network."""
        if self.network is None or not self.network.layers:
            return super().alignment_logs(frames)
        return self.network.log_likelihoods(frames)

    def training_state(self) -> dict[str, Any]:
        """The number of steps, and the optimizer of the network."""
        return {**super().training_state(), "optimizer": self.network.training_state() if self.network else {}}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        super().load_training_state(state)
        if self.network is not None:
            self.network.load_training_state(state["optimizer"])

    # --- parameters

    def tensors(self) -> dict[str, Tensor]:
        """Those of all states and of the network, and the lexicon: phrases are said where its file is not."""
        found = super().tensors()
        if found and self.pronunciations is not None:
            lines = (" ".join([word, *phones]) for word, said in self.pronunciations.items() for phones in said)
            found[LEXICON] = as_bytes(["\n".join(lines)])
        return {**found, **(self.network.tensors() if found and self.network is not None else {})}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set them."""
        self._kept_lexicon = as_texts(tensors[LEXICON])[0] if LEXICON in tensors else None
        vars(self).pop("pronunciations", None)
        if self._kept_lexicon is None and self.lexicon is not None:
            raise ValueError(f"the model was trained on letters; lexicon={self.lexicon} does not go with it")
        super().load_tensors(tensors)
        if self.network is not None:
            self.network.load_tensors(tensors)
