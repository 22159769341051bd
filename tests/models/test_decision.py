"""Decisions on cases whose best answer is known."""

import numpy as np
import pytest
import torch

from phonaut.models.decision import BayesDecision


@pytest.mark.oracle
def test_priors_are_those_of_training_or_all_alike() -> None:
    found = torch.log(torch.tensor([[0.2, 0.3], [0.4, 0.1]]))
    decision = BayesDecision(2)
    decision.set_priors(torch.tensor([3, 1]))
    expected = np.array([[0.2 * 0.75, 0.3 * 0.25], [0.4 * 0.75, 0.1 * 0.25]])
    np.testing.assert_allclose(decision(found).exp().numpy(), expected, rtol=1e-6)
    uniform = BayesDecision(2, priors="uniform")
    uniform.set_priors(torch.tensor([3, 1]))
    assert uniform(found).argmax(dim=1).tolist() == [1, 0]


@pytest.mark.oracle
def test_the_decision_is_the_one_of_least_expected_cost() -> None:
    """A fire (class 0) of probability 0.1 should be called one where missing it costs more than nine false alarms."""
    found = torch.log(torch.tensor([[0.1, 0.9]], dtype=torch.float64))
    for miss, answer in ((8.0, 1), (10.0, 0)):
        costs = [[0.0, miss], [1.0, 0.0]]
        decision = BayesDecision(2, priors="uniform", costs=costs)
        scores = decision(found)
        expected = [-(0.1 * costs[0][j] + 0.9 * costs[1][j]) for j in range(2)]
        np.testing.assert_allclose(scores[0].numpy(), expected, rtol=1e-9)
        assert int(scores.argmax()) == answer
    equal = BayesDecision(3, costs=(1 - np.eye(3)).tolist())
    logs = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (equal(logs).argmax(dim=1) == BayesDecision(3)(logs).argmax(dim=1)).all()


@pytest.mark.oracle
def test_calibration_undoes_what_was_done_to_log_likelihoods() -> None:
    """Class 1 comes out 30 too high, and all log-likelihoods 20 times too far apart: the best answer is still known."""
    rng = np.random.default_rng(0)
    centres = np.array([-1.5, 0.0, 1.5])
    labels = rng.integers(0, 3, 3000)
    x = centres[labels] + rng.standard_normal(3000)
    true = -0.5 * (x[:, None] - centres) ** 2
    bent = 20 * true + np.array([0.0, 30.0, 0.0])
    speakers = np.array([f"s{i % 10}" for i in range(3000)])
    decision = BayesDecision(3, calibration=True)
    before = (decision(torch.from_numpy(bent)).argmax(dim=1).numpy() == labels).mean()
    _, cross_validated = decision.fit_calibration(bent[:1500], labels[:1500], speakers[:1500])
    scores = decision(torch.from_numpy(bent[1500:]))
    best = (true[1500:].argmax(axis=1) == labels[1500:]).mean()
    after = (scores.argmax(dim=1).numpy() == labels[1500:]).mean()
    assert before < best - 0.05
    assert after == pytest.approx(best, abs=0.015)
    assert cross_validated == pytest.approx(best, abs=0.03)
    posterior = np.exp(true[1500:]) / np.exp(true[1500:]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores.softmax(dim=1).numpy(), posterior, atol=0.06)


def test_calibration_holds_back_where_there_is_little_to_learn_from() -> None:
    rng = np.random.default_rng(1)
    decision = BayesDecision(10, calibration=True)
    found = rng.standard_normal((40, 10)) * 5
    labels = found.argmax(axis=1)
    penalty, _ = decision.fit_calibration(found, labels, np.array(["a"] * 40))
    assert penalty in (0.001, 0.01, 0.1, 1.0, 10.0)
    fresh = rng.standard_normal((500, 10)) * 5
    assert (decision(torch.from_numpy(fresh)).argmax(dim=1).numpy() == fresh.argmax(axis=1)).mean() > 0.7


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"priors": "flat"}, "priors is training or uniform, got flat"),
        ({"costs": [[0, 1]]}, "2 rows of 2 numbers"),
        ({"costs": [[0, -1], [1, 0]]}, "not negative"),
        ({"costs": [[0, float("nan")], [1, 0]]}, "finite"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        BayesDecision(2, **settings)
