"""What a trained run has to say of recordings in Python: classes, frames, posteriors, embeddings, log-likelihoods."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.networks.embedding import EmbeddingNetwork
from phonaut.networks.padding import masked_mean, without_padding
from phonaut.runs.sounds import Source, opened
from phonaut.tasks.base import Task, Trained
from phonaut.tasks.recordings import Files, Part, prepared_files, sample_rate_of

if TYPE_CHECKING:
    from phonaut.runs.prediction import Prediction
    from phonaut.runs.speakers import Decision, Speakers
    from phonaut.tasks.classification import Classification

Found = NDArray[np.float32] | NDArray[np.float64]
Compute = Callable[[Tensor, Tensor], Sequence[Found]]  # segments (N, T, D), lengths (N,)


class Answers(Trained):
    """A trained run that is asked about recordings.

    A recording is a file, or an array or tensor of samples, `(S,)` or `(S, channels)`: numbers in [-1, 1], or integers
    as a WAV file has them. `rate` is that of arrays, Hz; None: that of the model. For one recording there is one
    answer; for several, or a folder, a list of answers in their order.

    Attributes:
        task: that it was trained for.
    """

    task: Task

    @overload
    def predict(
        self,
        recordings: NDArray[Any] | Tensor,
        rate: float | None = None,
        *,
        windows: Literal[False] = False,
        reject: bool = True,
        threshold: float | None = None,
    ) -> Prediction: ...

    @overload
    def predict(
        self,
        recordings: Sequence[Source],
        rate: float | None = None,
        *,
        windows: bool = False,
        reject: bool = True,
        threshold: float | None = None,
    ) -> Any: ...

    @overload
    def predict(
        self,
        recordings: Source,
        rate: float | None = None,
        *,
        windows: bool = False,
        reject: bool = True,
        threshold: float | None = None,
    ) -> Any: ...

    def predict(
        self,
        recordings: Source | Sequence[Source],
        rate: float | None = None,
        *,
        windows: bool = False,
        reject: bool = True,
        threshold: float | None = None,
    ) -> Any:
        """The class of recordings: `label`, `probability`, `second`, `probabilities`, `none_of_these` of each.

            run.predict("yes.wav").label
            run.predict(samples, rate=44100).probabilities["yes"]
            run.predict(["yes.wav", samples, "more_recordings"], rate=16000)

        Of other tasks, what the task answers.

        Args:
            recordings: one, a folder, or several of these.
            rate: of arrays, Hz; None: that of the model.
            windows: hear recordings that are much longer than the clips of training in windows, half a clip apart, as
                `phonaut predict` does: a list with an answer for each window. False: each is fitted to a clip, as
                recordings of training were.
            reject: of classifiers: `none_of_these` is said of what is too improbable; False: never.
            threshold: the probability for that; None: that of the run, which validation chose, where it keeps one.

        Raises:
            ValueError: a recording is not there or cannot be used. Of a folder, what cannot be used is left out with a
                warning.
        """
        several, is_one = listed(recordings)
        if self._classifier is None:
            given = {"windows=True": windows, "reject=False": not reject, "threshold=": threshold is not None}
            for word in (word for word, is_given in given.items() if is_given):
                raise ValueError(f"{word} has no effect: {self._named()} names no classes of recordings")
            with opened(several, rate, int(self.model.front_end.sample_rate), warn) as sounds:
                found: list[Any] = self.task.predict(self, [sound.path for sound in sounds])
        else:
            from phonaut.runs.prediction import predict

            how: dict[str, Any] = {"rate": rate, "windows": windows, "reject": reject, "threshold": threshold}
            found = list(predict(self, several, warn, strict=True, **how))
        return found[0] if is_one and not windows else found

    def frames(
        self, recordings: Source | Sequence[Source], rate: float | None = None, *, layer: str | int | None = None
    ) -> Any:
        """Frames `(T, D)` of recordings as the network is given them; of an encoder, its representations.

            run.frames("yes.wav").shape

        Args:
            recordings: one, a folder, or several of these.
            rate: of arrays, Hz; None: that of the model.
            layer: of an encoder: `last`, `all` or a number; None: the last, or what the run gives its network.

        Raises:
            ValueError: a recording cannot be used, or there is no such layer.
        """
        from phonaut.tasks.build import device_of
        from phonaut.tasks.frame_source import frames_of

        source = self.task.frames(self, layer)
        device = device_of(self.config.trainer)
        source.module.to(device)
        several, is_one = listed(recordings)
        rate_of_run = sample_rate_of(self)
        with opened(several, rate, rate_of_run, warn) as sounds:
            files = Files([Part(sound.path) for sound in sounds], self.clip_s)
            with prepared_files(files, rate_of_run) as prepared:
                table = prepared.utterances("test")
                found = dict(frames_of(source, table, self.config.max_recording_s, device))
        return found[0] if is_one else [found[row] for row in range(len(found))]

    def posteriors(
        self, recordings: Source | Sequence[Source], rate: float | None = None, *, frames: bool = False
    ) -> Any:
        """Posterior probabilities of the classes, `(C,)` for each recording, in the order of `run.classes`.

        Args:
            recordings: one, a folder, or several of these.
            rate: of arrays, Hz; None: that of the model.
            frames: `(T, C)` in place, of each hidden frame of the network: of a probe that classifies frames, of
                convolutional and recurrent networks.

        Raises:
            ValueError: a recording cannot be used, or the model has none.
        """
        if not frames:
            self._check_words("posteriors")
            return self._of_segments(recordings, rate, self._scores)
        if not (self.model.frame_level or getattr(self.model.network, "looks_ahead", None) is not None):
            raise ValueError(f"{self._named()} decides on whole recordings, and has no posteriors of frames: leave "
                             "frames out")  # fmt: skip
        return self._of_segments(recordings, rate, self._frame_posteriors)

    def embeddings(self, recordings: Source | Sequence[Source], rate: float | None = None) -> Any:
        """One vector `(E,)` for each recording: what the last layer classifies, or what speakers are compared by.

        Args:
            recordings: one, a folder, or several of these.
            rate: of arrays, Hz; None: that of the model.

        Raises:
            ValueError: a recording cannot be used, or the model has none.
        """
        if self._classifier is not None:
            self._check_words("embeddings")
            return self._of_segments(recordings, rate, self._embeddings)
        if self.task.has_encoder:
            raise ValueError(f"{self._named()} has a frame every few milliseconds, and no one vector for a recording: "
                             "run.frames(...) gives them, (T, D)")  # fmt: skip
        several, is_one = listed(recordings)
        with tempfile.TemporaryDirectory(prefix="phonaut-") as folder:
            speakers = self.speakers(Path(folder) / "store")
            with opened(several, rate, speakers.sample_rate, warn) as sounds:
                represented = speakers.represented(speakers.heard([one.path for one in sounds], None), "")
        from phonaut.models.speakers.embedding import EmbeddingScorer
        from phonaut.tasks.verification import system_of

        if isinstance(system_of(self.model), EmbeddingScorer):
            found = list(represented.frames)
        elif "ivector" in represented.columns and represented["ivector"].shape[1] == 1:
            found = list(represented["ivector"][:, 0])
        else:
            raise ValueError(f"{self._named()} compares recordings frame by frame, or phrase by phrase, and has no one "
                             "vector for a recording: run.verify(takes, recording) gives its score")  # fmt: skip
        return found[0] if is_one else found

    def log_likelihoods(self, recordings: Source | Sequence[Source], rate: float | None = None) -> Any:
        """Log-likelihoods of recordings under the density of each class, `(C,)`, natural logarithm, of all frames.

        In the order of `run.classes`; posteriors follow by Bayes' rule, as the model's decision scales them.

        Args:
            recordings: one, a folder, or several of these.
            rate: of arrays, Hz; None: that of the model.

        Raises:
            ValueError: a recording cannot be used, or the model is no density of each class.
        """
        from phonaut.models.em_classifier import EMClassifier

        network = self.model.network
        if self._classifier is None or not (isinstance(network, EMClassifier) and network.is_density):
            raise ValueError(f"{self._named()} has no density of each class, and no log-likelihoods: run.posteriors of "
                             "a classifier, run.verify of a verifier")  # fmt: skip
        self._check_words("log_likelihoods")

        def compute(segments: Tensor, lengths: Tensor) -> Sequence[Found]:
            self.model.classify(segments, lengths)
            return list(network.last_log_likelihoods)

        return self._of_segments(recordings, rate, compute)

    def verify(
        self, takes: Source | Sequence[Source], recording: Source, rate: float | None = None, *, phrase: str = ""
    ) -> Decision:
        """Whether a recording is of the speaker of some takes; `run.speakers(STORE)` keeps speakers.

            decision = run.verify(["anna_1.wav", "anna_2.wav"], "x.wav")
            decision.score, decision.accepted

        Args:
            takes: of the speaker, one or several.
            recording: to be decided on.
            rate: of arrays, Hz; None: that of the model.
            phrase: that the takes say, where the run verifies a phrase as well.

        Raises:
            ValueError: the run verifies no speakers, a recording cannot be used, or the phrase is missing.
        """
        with tempfile.TemporaryDirectory(prefix="phonaut-") as folder:
            speakers = self.speakers(Path(folder) / "store")
            how = rate, speakers.sample_rate, warn
            with opened(listed(takes)[0], *how) as enrolled, opened([recording], *how) as (tested,):
                speakers.enroll("the speaker", [one.path for one in enrolled], phrase=phrase, force=True)
                return speakers.verify("the speaker", tested.path)

    def speakers(self, store: Path | str) -> Speakers:
        """The speakers of a store, to enrol and verify them; of runs of verification.

        Args:
            store: its folder, which is made with the first speaker.

        Raises:
            ValueError: the run verifies no speakers, or another model made the store.
        """
        from phonaut.runs.speakers import Speakers

        return Speakers(self, store)

    # --- how

    @property
    def _classifier(self) -> Classification | None:
        """The task, if it classifies; of others, its packages are not loaded."""
        from phonaut.tasks.classification import Classification

        return self.task if isinstance(self.task, Classification) else None

    def _named(self) -> str:
        return f"{self.folder}, model={self.config.choices.get('model')},"

    def _check_words(self, what: str) -> None:
        if self._classifier is None:
            raise ValueError(f"{self._named()} names no classes of recordings, and has no {what}")
        if self.config.target == "phone":
            raise ValueError(f"{self._named()} classifies phones, and a recording is many of them: it has no {what} of "
                             "whole recordings; run.posteriors(..., frames=True) where it has them")  # fmt: skip

    def _of_segments(self, recordings: Source | Sequence[Source], rate: float | None, compute: Compute) -> Any:
        """What is computed of each recording, as the network is given it."""
        from phonaut.tasks.build import device_of
        from phonaut.tasks.classification import number_of

        task, (several, is_one) = self._classifier, listed(recordings)
        if task is None:
            raise ValueError(f"{self._named()} is no classifier")
        device = device_of(self.config.trainer)
        model, found = self.model.to(device).eval(), dict[int, Found]()
        with opened(several, rate, sample_rate_of(self), warn) as sounds:
            files = Files([Part(sound.path) for sound in sounds], self.clip_s)
            with task.opened(self, files, strict=True) as (data, _), torch.inference_mode():
                assert data is not None  # else one was refused
                table = data.prepared.utterances("test")
                for batch in data.batches("test"):
                    batch = batch.to(device)
                    results = compute(*model.segments(batch))
                    rows = batch.rows[batch.span_recording].tolist()
                    found |= {number_of(table.id(row)): one for row, one in zip(rows, results, strict=True)}
        return found[0] if is_one else [found[number] for number in range(len(found))]

    def _scores(self, segments: Tensor, lengths: Tensor) -> Sequence[Found]:
        scores = self.model.classify(segments, lengths)
        return list(scores.double().softmax(dim=1).cpu().numpy())

    def _frame_posteriors(self, segments: Tensor, lengths: Tensor) -> Sequence[Found]:
        network: Any = self.model.network
        if self.model.frame_level:
            logits, of = network.frame_logits(segments, lengths)
            counts = torch.bincount(of, minlength=len(lengths)).tolist()
            return [part.double().softmax(dim=1).cpu().numpy() for part in logits.split(counts)]
        hidden, mask = self._hidden(segments, lengths)
        posteriors = network.decide(hidden).double().softmax(dim=2).cpu().numpy()
        n = [hidden.shape[1]] * len(hidden) if mask is None else mask.sum(dim=1).tolist()
        return [one[: int(k)] for one, k in zip(posteriors, n, strict=True)]

    def _hidden(self, segments: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """Hidden frames `(N, T', H)`, which `decide` takes the mean of, and the mask of the valid."""
        network: Any = self.model.network
        frames, mask = without_padding(segments, lengths)
        if self.model.encodes_recordings:
            return frames, mask
        found: tuple[Tensor, Tensor | None] = network.body(frames, lengths, mask)
        return found

    def _embeddings(self, segments: Tensor, lengths: Tensor) -> Sequence[Found]:
        from phonaut.features.functional import length_mask
        from phonaut.models.prototypes import Prototypes

        network = self.model.network
        if isinstance(network, EmbeddingNetwork):
            return list(network.embed(segments, lengths).float().cpu().numpy())
        if isinstance(network, Prototypes):
            valid = length_mask(lengths, segments.shape[1])
            return list(network.directions(segments[valid].cpu().numpy(), lengths.cpu().numpy()))
        if getattr(network, "looks_ahead", None) is None:
            raise ValueError(f"{self._named()} classifies no one vector for a recording, and has no embeddings: "
                             "run.frames gives what it is given")  # fmt: skip
        return list(masked_mean(*self._hidden(segments, lengths)).float().cpu().numpy())


def listed(recordings: Source | Sequence[Source]) -> tuple[list[Source], bool]:
    """Recordings as a list, and whether one was named, which is no folder.

    Raises:
        ValueError: there is none, or something else.
    """
    if isinstance(recordings, (str, Path)):
        return [recordings], not Path(recordings).is_dir()
    if isinstance(recordings, (np.ndarray, Tensor)):
        return [recordings], True
    if not isinstance(recordings, Sequence) or not len(recordings):
        raise ValueError(
            f"recordings must be files, folders or arrays of samples, one or several; got {recordings!r:.40}"
        )
    return list(recordings), False


def warn(text: str) -> None:
    """Warn of what was passed over in a folder."""
    warnings.warn(text, stacklevel=4)
