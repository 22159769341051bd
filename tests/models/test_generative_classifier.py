"""A density for each class against the estimators that it is made of."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from phonaut.hmm import GMMHMM, GSHMM, GenHMM, LatHMM
from phonaut.models.em_classifier import DTWTemplates, Majority, Segments
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.training.em import parts_of

SMALL_FLOW = {"n_couplings": 2, "n_hidden": 4, "dtype": "float64", "n_passes": 2}
KINDS: dict[str, dict[str, Any]] = {
    "gmmhmm": {"n_mix": 2},
    "gmmhmm full": {"n_mix": 2, "covariance_type": "full"},
    "gmmhmm tied": {"n_mix": 2, "covariance_type": "tied"},
    "genhmm": {"n_mix": 2, **SMALL_FLOW},
    "genhmm first fit": {"n_mix": 2, "gmm_init_steps": 3, **SMALL_FLOW},
    "lathmm": {"n_mix": 2, **SMALL_FLOW},
    "gshmm": {"n_mix": 2, **SMALL_FLOW},
}
OWN: dict[str, Any] = {"gmmhmm": GMMHMM, "genhmm": GenHMM, "lathmm": LatHMM, "gshmm": GSHMM}
every = pytest.mark.parametrize("name", KINDS)


def segments(n: int = 60, n_classes: int = 3) -> Segments:
    """Segments of 4 to 12 frames; those of class c are longer, and elsewhere."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % n_classes
    lengths = 4 + rng.integers(0, 3, n) + 3 * labels
    per_frame = np.repeat(labels, lengths)
    frames = rng.standard_normal((lengths.sum(), 3)) + 2.5 * np.eye(3)[per_frame % 3]
    speakers = np.array([f"s{i % 4}" for i in range(n)])
    return Segments(frames.astype(np.float32), lengths, labels, speakers)


def made(name: str, **more: Any) -> GenerativeClassifier:
    return GenerativeClassifier(
        n_features=3, n_classes=3, density=OWN[name.split()[0]].emissions_class, **{**KINDS[name], **more}
    )


def fitted(name: str, steps: int = 3, **more: Any) -> GenerativeClassifier:
    densities, data = made(name, **more), segments()
    densities.initialize(data, 0)
    parts = parts_of(data, 3, 0, 1)
    for _ in range(steps):
        densities.em_step(parts)
    return densities


@every
@pytest.mark.oracle
def test_scores_are_those_of_the_estimators_one_by_one(name: str) -> None:
    densities, data = fitted(name), segments()
    found = densities.log_likelihoods(torch.from_numpy(data.frames), data.lengths)
    for c, model in enumerate(densities.models):
        assert type(model.emissions) is OWN[name.split()[0]].emissions_class
        for b, part in enumerate(np.split(data.frames, np.cumsum(data.lengths)[:-1])):
            assert found[b, c] == pytest.approx(model.score(part.astype(np.float64)), abs=1e-8)
    assert [model.n_components for model in densities.models] == [3, 4, 5]


@every
@pytest.mark.oracle
def test_an_em_step_is_a_fit_of_each_class_alone(name: str) -> None:
    densities, data = fitted(name, steps=0), segments()
    alone = []
    for c, model in enumerate(densities.models):
        own = data.select(np.flatnonzero(data.labels == c))
        settings = model.emissions.settings() | {"n_iter": 3, "tol": -1.0, "init_params": ""}
        other: Any = OWN[name.split()[0]](model.n_components, **settings)
        for key, value in model.state_dict().items():
            setattr(other, key, value.copy())
        alone.append(other.fit(own.frames, own.lengths))
    parts = parts_of(data, 3, 0, 1)
    for _ in range(3):
        densities.em_step(parts)
    for model, other in zip(densities.models, alone, strict=True):
        assert model.monitor_.history == pytest.approx(other.monitor_.history, rel=1e-12)
        for key, value in model.state_dict().items():
            np.testing.assert_allclose(value, other.state_dict()[key], rtol=1e-9, atol=1e-12)


@every
def test_padding_batch_and_order_change_nothing(name: str) -> None:
    densities, data = fitted(name), segments()
    parts = [torch.from_numpy(part) for part in np.split(data.frames, np.cumsum(data.lengths)[:-1])]
    frames = torch.full((len(parts), 30, 3), float("nan"))
    for row, part in zip(frames, parts, strict=True):
        row[: len(part)] = part
    lengths = torch.from_numpy(data.lengths)
    whole = densities(frames, lengths)
    np.testing.assert_allclose(densities(frames.flip(0), lengths.flip(0)).flip(0), whole, atol=1e-9)
    alone = torch.cat([densities(part[None], torch.tensor([len(part)])) for part in parts])
    np.testing.assert_allclose(alone, whole, atol=1e-9)
    assert (whole.argmax(dim=1).numpy() == data.labels).mean() > 0.8


@every
def test_a_state_dict_is_all_there_is(name: str) -> None:
    densities, data = fitted(name, duration_model=True), segments()
    other = made(name, duration_model=True)
    weights = {f"network.{key}": value for key, value in densities.state_dict().items()}
    other.adopt(weights, prefix="network.")
    other.load_state_dict(densities.state_dict())
    x = torch.from_numpy(data.frames)
    np.testing.assert_array_equal(other.log_likelihoods(x, data.lengths), densities.log_likelihoods(x, data.lengths))
    np.testing.assert_array_equal(other.decision.log_prior, densities.decision.log_prior)
    zeros = np.zeros((len(data), 3))
    np.testing.assert_array_equal(
        other.class_log_likelihoods(zeros, data.lengths), densities.class_log_likelihoods(zeros, data.lengths)
    )
    incomplete = {key: value for key, value in weights.items() if not key.endswith("1:transmat_")}
    with pytest.raises(ValueError, match="class 1 has no transmat_"):
        made(name).adopt(incomplete, prefix="network.")
    without = {key: value for key, value in weights.items() if "durations:" not in key}
    with pytest.raises(ValueError, match="there is no durations:mean, durations:scale"):
        made(name, duration_model=True).adopt(without, prefix="network.")


@every
def test_what_was_killed_goes_on_to_the_same_result(name: str) -> None:
    whole, half = fitted(name, steps=4), fitted(name, steps=2)
    parts = parts_of(segments(), 3, 0, 1)
    resumed = fitted(name, steps=0)
    resumed.load_state_dict(half.state_dict())
    resumed.load_em_state(half.em_state())
    for _ in range(2):
        resumed.em_step(parts)
    for key, value in whole.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[key], value, err_msg=key)


@pytest.mark.oracle
def test_lengths_count_as_log_normal_densities_beside_scaled_log_likelihoods() -> None:
    densities, data = fitted("gmmhmm", duration_model=True, acoustic_scale=0.25), segments()
    found = densities.log_likelihoods(torch.from_numpy(data.frames), data.lengths)
    scaled = densities.class_log_likelihoods(found, data.lengths)
    of_all = np.log(data.lengths)
    within = np.mean([of_all[data.labels == c].var() for c in range(3)])  # the classes are equally frequent
    for c in range(3):
        own = of_all[data.labels == c]
        s = np.sqrt((own.var() * len(own) + within) / (len(own) + 1))
        density = scipy.stats.lognorm(s=s, scale=np.exp(own.mean())).logpdf(data.lengths)
        np.testing.assert_allclose(scaled[:, c], 0.25 * found[:, c] + density, rtol=1e-10)
    batch = torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(part) for part in np.split(data.frames, np.cumsum(data.lengths)[:-1])], batch_first=True
    )
    scores = densities(batch, torch.from_numpy(data.lengths)).numpy()
    np.testing.assert_allclose(scores, scaled + np.log(1 / 3), rtol=1e-10)
    np.testing.assert_array_equal(densities.last_log_likelihoods, found)  # a log-likelihood stays one


def test_lengths_tell_classes_apart_that_sound_alike() -> None:
    data = segments()
    lengths = np.array([2, 6, 18])[data.labels]
    frames = np.random.default_rng(1).standard_normal((int(lengths.sum()), 3)).astype(np.float32)
    alike = Segments(frames, lengths, data.labels, data.speakers)
    right = {}
    for duration_model in (False, True):
        densities = GenerativeClassifier(n_features=3, n_classes=3, n_states=1, n_mix=1, duration_model=duration_model)
        densities.initialize(alike, 0)
        found = densities.log_likelihoods(torch.from_numpy(frames), alike.lengths)
        right[duration_model] = (densities.scores(found, alike.lengths).argmax(dim=1).numpy() == alike.labels).mean()
    assert right[True] == 1.0
    assert right[False] < 0.9


def test_an_acoustic_scale_is_positive() -> None:
    with pytest.raises(ValueError, match="acoustic_scale must be positive, got 0"):
        made("gmmhmm", acoustic_scale=0.0)


def test_a_class_is_done_when_it_gains_less_than_it_should() -> None:
    densities = fitted("gmmhmm", steps=40, tol=1e-3)
    assert densities.done
    steps = [model.monitor_.iter for model in densities.models]
    assert max(steps) < 40
    assert not fitted("gmmhmm", steps=3, tol=-1.0).done


def test_structure_is_as_asked_for() -> None:
    densities = fitted("gmmhmm", n_states=3, topology="left_to_right", skips=1)
    for model in densities.models:
        assert model.startprob_.tolist() == [1.0, 0.0, 0.0]
        assert (np.tril(model.transmat_, -1) == 0).all()
        assert model.transmat_[2, 2] == 1.0
    with pytest.raises(ValueError, match=r"density=nowhere\.Toy is not the path of a class of emissions"):
        GenerativeClassifier(n_features=3, n_classes=2, density="nowhere.Toy")
    with pytest.raises(ValueError, match=r"density=phonaut\.hmm\.GMM is not a sub-class"):
        GenerativeClassifier(n_features=3, n_classes=2, density="phonaut.hmm.GMM")
    with pytest.raises(ValueError, match="n_states is auto or at least 1"):
        made("gmmhmm", n_states=0)
    with pytest.raises(ValueError, match="unexpected keyword argument 'covars'"):
        made("gmmhmm", covars="diag")
    with pytest.raises(ValueError, match="gmm_init_steps is for models with flows"):
        made("gmmhmm", gmm_init_steps=3)
    with pytest.raises(ValueError, match="kind is one of left_to_right"):
        made("gmmhmm", topology="bakis")


@every
def test_samples_are_like_what_was_learnt(name: str) -> None:
    densities = fitted(name, steps=5)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([densities.sample(1, 8, rng) for _ in range(200)])
    own = segments().select(np.flatnonzero(segments().labels == 1))
    np.testing.assert_allclose(drawn.mean(axis=0), own.frames.mean(axis=0), atol=0.5)
    of_states = densities.sample(1, 3, rng, states=np.array([0, 1, 2]))
    assert of_states.shape == (3, 3)


def test_the_floors_know_what_floors_know() -> None:
    data = segments(61)
    majority = Majority(n_features=3, n_classes=3)
    majority.initialize(data, 0)
    frames = torch.zeros(2, 4, 3)
    assert majority(frames, torch.tensor([4, 2])).argmax(dim=1).tolist() == [0, 0]
    templates = DTWTemplates(n_features=3, n_classes=3, n_templates=5, n_nearest=2)
    templates.initialize(data, 0)
    found = templates.log_likelihoods(torch.from_numpy(data.frames), data.lengths)
    assert (found.argmax(axis=1) == data.labels).mean() > 0.7
    other = DTWTemplates(n_features=3, n_classes=3, n_templates=5, n_nearest=2)
    other.adopt(templates.state_dict())
    np.testing.assert_array_equal(other.log_likelihoods(torch.from_numpy(data.frames), data.lengths), found)
    with pytest.raises(ValueError, match="n_nearest is from 1 to n_templates=2, got 3"):
        DTWTemplates(n_features=3, n_classes=3, n_templates=2, n_nearest=3)
    with pytest.raises(ValueError, match="class 3 has no segment"):
        Majority(n_features=3, n_classes=4).initialize(data, 0)


def test_states_come_in_turn_for_as_long_as_they_are_expected_to_last() -> None:
    densities = made("gmmhmm")
    model = densities.models[0]
    model.transmat_ = np.array([[0.5, 0.5, 0.0], [0.0, 0.75, 0.25], [0.0, 0.0, 1.0]])
    assert densities.in_turn(0, 9).tolist() == [0] * 2 + [1] * 4 + [2] * 3
    assert densities.in_turn(0, 2).tolist() == [0] * 2 + [1] * 4 + [2]


def test_given_states_make_frames_of_their_own_mixtures() -> None:
    densities = fitted("gmmhmm")
    model: Any = densities.models[2]
    emissions = model.emissions
    path = np.repeat(np.arange(model.n_components), 4000)
    frames = densities.sample(2, len(path), np.random.default_rng(0), path)
    for s in range(model.n_components):
        expected = emissions.weights_[s] @ emissions.means_[s]
        np.testing.assert_allclose(frames[path == s].mean(axis=0), expected, atol=0.1)


@pytest.mark.oracle
def test_what_starts_from_gaussians_has_their_density() -> None:
    densities, data = made("genhmm", gmm_init_steps=3), segments()
    densities.initialize(data, 0)
    for c, model in enumerate(densities.models):
        own = data.select(np.flatnonzero(data.labels == c))
        frames = own.frames.astype(np.float64)
        gaussian = GMMHMM(model.n_components, 2, init_params="mcw", n_iter=3, tol=-1.0, random_state=0)
        chain = np.triu(np.tri(model.n_components, k=1)) / 2
        chain[-1, -1] = 1.0
        gaussian.startprob_, gaussian.transmat_ = np.eye(model.n_components)[0], chain
        gaussian.fit(frames, own.lengths)
        assert model.score(frames, own.lengths) == pytest.approx(gaussian.score(frames, own.lengths), abs=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["genhmm", "lathmm", "gshmm"])
def test_rotating_flows_start_from_the_moments_of_gaussians(kind: str) -> None:
    plain, turned = (made(kind, gmm_init_steps=3, permutation=name) for name in ("none", "conv1x1"))
    for densities in (plain, turned):
        densities.initialize(segments(), 0)
    before, model = plain.models[1].emissions, turned.models[1].emissions
    assert not np.allclose(before.latent_means_, model.latent_means_)
    drawn = np.random.default_rng(1).standard_normal((100_000, 3))
    for s, k in np.ndindex(model.n_states, 2):
        x = torch.from_numpy(before.latent_means_[s, k] + before.latent_scales_[s, k] * drawn)
        flow = (s * 2 + k) * model.n_flows // (model.n_states * 2)
        z = model.initial_flows().double()(x)[0][flow].detach().numpy()
        np.testing.assert_allclose(z.mean(axis=0), model.latent_means_[s, k], atol=0.02)
        np.testing.assert_allclose(z.std(axis=0), model.latent_scales_[s, k], rtol=0.02)
