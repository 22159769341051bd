"""The i-vector system: stages of training, resuming, scores of trials."""

from typing import Any

import numpy as np
import pytest
import torch

from phonaut.arrays import Array
from phonaut.models.speakers.backends import length_normalised
from phonaut.models.speakers.ivector import IVector
from phonaut.models.speakers.utterances import Utterances

N_SPEAKERS, N_PHRASES, N_TAKES, D = 6, 3, 4, 3
OPTIONS: dict[str, Any] = {"n_features": D, "n_components": 4, "em_steps": 3, "tol": -1.0, "rank": 4,
                           "variability_steps": 3, "plda_steps": 2}  # fmt: skip


def recordings(seed: int, first_speaker: int = 0) -> Utterances:
    """Every speaker says every phrase several times: a phrase visits clusters, which each speaker moves."""
    rng, world = np.random.default_rng(seed), np.random.default_rng(99)
    centres = 4 * world.standard_normal((4, D))
    mixing = world.dirichlet(np.full(4, 0.5), N_PHRASES)
    voices = world.standard_normal((20, 4, D))
    frames, columns = [], []
    for speaker in range(first_speaker, first_speaker + N_SPEAKERS):
        for phrase in range(N_PHRASES):
            for take in range(N_TAKES):
                cluster = rng.choice(4, 25 + take, p=mixing[phrase])
                means = centres[cluster] + voices[speaker, cluster] + 0.2 * rng.standard_normal(D)
                frames.append(means + rng.standard_normal(means.shape))
                columns.append((f"s{speaker}", f"p{phrase}"))
    speakers, phrases = (np.array(names) for names in zip(*columns, strict=True))
    lengths = np.array([len(x) for x in frames])
    return Utterances(np.concatenate(frames).astype(np.float32), lengths, {"speaker": speakers, "phrase": phrases})


def trained(background: Utterances, **options: Any) -> IVector:
    system = IVector(**{**OPTIONS, **options})
    system.begin(background, 0)
    while not system.done:
        system.step()
    return system


def trials(system: IVector, heard: Utterances) -> tuple[Array, np.ndarray, np.ndarray]:
    """Scores of all models, the first two takes of each speaker and phrase, against all other takes."""
    take = np.arange(len(heard)) % N_TAKES
    kept = system.represent(heard)
    references = system.enrol(kept.select(take < 2), np.arange(len(heard))[take < 2] // N_TAKES)
    tested = kept.select(take >= 2)
    m, b = (index.ravel() for index in np.indices((len(references), len(tested))))
    same = references["speaker"][m] == tested["speaker"][b]
    return system.score(references, tested, m, b)["speaker"], same, references["phrase"][m] == tested["phrase"][b]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lda_dim": 3},
        {"covariance_type": "full", "phrase_centering": False, "classes": "speaker"},
        {"backend": "plda", "lda_dim": 3},
        {"backend": "plda", "enrolment": "joint", "stream": "static", "n_static": 2},
    ],
)
def test_it_tells_speakers_apart_of_whom_it_has_not_heard(options: dict[str, Any]) -> None:
    scores, same, phrase = trials(trained(recordings(0), **options), recordings(1, first_speaker=6))
    assert np.isfinite(scores).all()
    targets, impostors = scores[same & phrase], scores[~same & phrase]
    assert (targets[:, None] > impostors).mean() > 0.8


@pytest.mark.parametrize("backend", ["cosine", "plda"])
def test_training_goes_on_from_every_step_to_the_same(backend: str) -> None:
    background, heard = recordings(0), recordings(1, first_speaker=6)
    whole = IVector(**OPTIONS, backend=backend)
    whole.begin(background, 0)
    checkpoints = []
    while not whole.done:
        whole.step()
        state = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
        checkpoints.append((state, whole.training_state()))
    assert len(checkpoints) == 6 + 2 * (backend == "plda")
    for state, course in checkpoints:
        resumed = IVector(**OPTIONS, backend=backend)
        resumed.begin(background, 0)
        resumed.load_state_dict(state)
        resumed.load_training_state(course)
        while not resumed.done:
            resumed.step()
        for name, tensor in whole.tensors().items():
            assert torch.equal(resumed.tensors()[name], tensor), name
    np.testing.assert_array_equal(trials(resumed, heard)[0], trials(whole, heard)[0])


def test_a_model_that_was_saved_scores_the_same() -> None:
    heard, system = recordings(1, first_speaker=6), trained(recordings(0), backend="plda")
    again = IVector(**OPTIONS, backend="plda")
    again.load_state_dict(system.state_dict())
    np.testing.assert_array_equal(trials(again, heard)[0], trials(system, heard)[0])
    with pytest.raises(ValueError, match="there is no plda:within"):
        again.adopt({name: value for name, value in system.tensors().items() if name != "plda:within"})
    with pytest.raises(ValueError, match="the background model has no"):
        again.adopt({})


@pytest.mark.parametrize("backend", ["cosine", "plda"])
def test_order_and_company_change_no_score(backend: str) -> None:
    heard, system = recordings(1, first_speaker=6), trained(recordings(0), backend=backend)
    scores = trials(system, heard)[0].reshape(N_SPEAKERS * N_PHRASES, -1)
    kept = system.represent(heard)
    for b in (2, 7):  # alone, and enrolled in another order
        alone = system.represent(heard.select([b]))
        references = system.enrol(kept.select([5, 1, 0, 4]), np.array([1, 0, 0, 1]))
        column = (b // N_TAKES) * 2 + b % N_TAKES - 2
        found = system.score(references, alone, np.array([1, 0, 1]), np.zeros(3, np.int64))["speaker"]
        np.testing.assert_allclose(found, scores[[1, 0, 1], column], rtol=1e-4, atol=1e-5)  # i-vectors are in float32


@pytest.mark.oracle
def test_cosines_are_of_vectors_relative_to_the_phrase_that_is_claimed() -> None:
    background, heard = recordings(0), recordings(1, first_speaker=6)
    system = trained(background)
    scores = trials(system, heard)[0].reshape(N_SPEAKERS * N_PHRASES, -1)
    of_background = system.represent(background)["ivector"][:, 0].astype(np.float64)
    x = system.represent(heard)["ivector"][:, 0].astype(np.float64)
    mean = of_background[background["phrase"] == "p1"].mean(axis=0)
    # Model 1 is of speaker 6 and phrase p1; recording 2 is of the same speaker and of phrase p0.
    enrolled = length_normalised((x[[4, 5]] - mean) @ system.projection).mean(axis=0)
    tested = (x[2] - mean) @ system.projection
    expected = enrolled @ tested / np.linalg.norm(enrolled) / np.linalg.norm(tested)
    assert scores[1, 0] == pytest.approx(expected, abs=1e-5)


def test_wccn_is_of_classes() -> None:
    background = recordings(0)
    system = trained(background, shrinkage=0.0)
    x = system.represent(background)["ivector"][:, 0] @ system.projection
    centred = x - x.reshape(-1, N_TAKES, x.shape[1]).mean(axis=1).repeat(N_TAKES, axis=0)
    np.testing.assert_allclose(centred.T @ centred / len(x), np.eye(x.shape[1]), atol=1e-4)


def test_recordings_without_frames_and_unknown_phrases_have_scores() -> None:
    system = trained(recordings(0))
    empty = Utterances(np.empty((0, D), np.float32), np.zeros(2, np.int64), {"phrase": np.array(["new", ""])})
    kept = system.represent(empty)
    scores = system.score(system.enrol(kept, np.array([0, 1])), kept, np.array([0, 1]), np.array([1, 0]))["speaker"]
    assert np.isfinite(scores).all()


def test_a_model_of_several_phrases_claims_none() -> None:
    system, heard = trained(recordings(0)), recordings(1, first_speaker=6)
    kept = system.represent(heard)
    assert system.enrol(kept.select([0, 4, 8, 9]), np.array([0, 0, 3, 3]))["phrase"].tolist() == ["", "p2"]


def test_an_alignment_by_phrase_is_asked_for_every_claim() -> None:
    class ByPhrase:
        """Of two phrases, which differ in which frames they count."""

        claims = ("p1", "p0")

        def __init__(self, inner: Any) -> None:
            self.inner = inner
            self.means, self.covariances = inner.means, inner.covariances

        def statistics(self, utterances: Utterances, claim: str | None = None) -> tuple[Array, Array]:
            n, f = self.inner.statistics(utterances, claim)
            half = np.where(claim == "p0", 0.5, 1.0)
            return half * n, half * f

    system, heard = trained(recordings(0)), recordings(1, first_speaker=6)
    model = np.arange(len(heard)) // N_TAKES
    plain = system.represent(heard)
    references = system.enrol(plain, model)
    system.alignment = ByPhrase(system.alignment)
    kept = system.represent(heard)
    of_phrase = system.enrol(kept, model)["sum"]
    differs = np.abs(of_phrase - references["sum"]).max(axis=1) > 1e-6
    np.testing.assert_array_equal(differs, references["phrase"] == "p0")
    m, b = (index.ravel() for index in np.indices((len(references), len(heard))))
    system.alignment = system.alignment.inner
    expected = system.score(references, plain, m, b)["speaker"]
    system.alignment = ByPhrase(system.alignment)
    found = system.score(references, kept, m, b)["speaker"]
    differs = (np.abs(found - expected) > 1e-6).reshape(len(references), -1).mean(axis=1) > 0.9
    np.testing.assert_array_equal(differs, references["phrase"] == "p0")


def test_variability_explains_frames_more_with_every_step() -> None:
    system = IVector(**{**OPTIONS, "variability_steps": 6})
    system.begin(recordings(0), 0)
    figures = []
    while not system.done:
        figures.append(system.step())
    gains = [one["variability_gain"] for one in figures if "variability_gain" in one]
    assert len(gains) == 6
    assert (np.diff(gains) > 0).all()
    assert system.size(100)[1] > system.size(10)[1] > 0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"backend must be one of cosine, plda, got svm.*lda_dim=9 is more than rank=4"
    ):
        IVector(**{**OPTIONS, "backend": "svm", "lda_dim": 9})
    with pytest.raises(ValueError, match="enrolment=joint is for backend=plda"):
        IVector(**OPTIONS, enrolment="joint")
    system = IVector(**OPTIONS)
    with pytest.raises(ValueError, match="is not trained"):
        system.represent(recordings(0))
    with pytest.raises(ValueError, match="some speaker and phrase of the background must have two recordings"):
        system.begin(recordings(0).select([0, 4]), 0)
    with pytest.raises(ValueError, match="needs as many frames"):
        IVector(**{**OPTIONS, "n_components": 99}).begin(recordings(0).select([0, 1]), 0)
