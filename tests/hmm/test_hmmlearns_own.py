"""hmmlearn's own test suite, which its wheel carries, run on our classes in the place of its own."""

import importlib
from typing import Any

import numpy as np
import pytest

from helpers import hmmlearns_own
from phonaut.hmm import GMMHMM, HMM, GaussianHMM
from phonaut.hmm.em import Monitor
from phonaut.hmm.emissions import Emissions

# Tests that our classes do not pass, each with the reason.
LEFT_OUT: dict[str, dict[str, str]] = {
    "test_base": {
        **dict.fromkeys(
            ["test_do_forward_pass", "test_do_forward_scaling_pass", "test_do_backward_log_pass",
             "test_do_backward_scaling_pass", "test_do_viterbi_pass"],
            "calls hmmlearn's C module, and no model; tests/hmm/test_inference.py sums over all paths",
        ),
        "test_reset": "sets the number of steps, which ours counts from the history",
    },
    "test_gaussian_hmm": {
        "test_underflow_from_scaling": "wants scaled recursions to fail on an outlier; ours go on in the log domain",
    },
    "test_gmm_hmm_new": {
        "test_fit_zero_variance": "hmmlearn marks it as failing; tests/hmm/test_models.py has constant dimensions",
    },
    "test_gmm_hmm_multisequence": {},
}  # fmt: skip
# Modules that are not run.
NOT_RUN = {
    "test_gmm_hmm": "hmmlearn marks all of it as failing: of an interface (gmms_) that is gone",
    "test_categorical_hmm": "no such model here",
    "test_multinomial_hmm": "no such model here",
    "test_poisson_hmm": "no such model here",
    "test_variational_categorical": "no such model here",
    "test_variational_gaussian": "no such model here",
    "test_kl_divergence": "of functions of hmmlearn, no model",
    "test_utils": "of functions of hmmlearn, no model",
}


class StubEmissions(Emissions):
    """Log-likelihoods that are given, whatever the frames are; frames of no features are drawn."""

    n_features = 2

    def log_prob(self, x: Any) -> Any:
        return self.log_frameprob

    def sample(self, states: Any, rng: Any) -> Any:
        return np.empty((len(states), 0))

    def statistics(self, x: Any, gamma: Any, origin: Any = None) -> Any: ...
    def m_step(self, statistics: Any, params: Any = None, step: int = 0) -> None: ...
    def initialize(self, x: Any, rng: Any, states: Any = None, init_params: Any = None) -> None: ...


class StubHMM(HMM):
    """As the one of hmmlearn's `test_base`, with ours as the base."""

    def __init__(self, n_components: int) -> None:
        super().__init__(StubEmissions(n_components))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "log_frameprob":
            self.emissions.log_frameprob, self.emissions.n_features = value, value.shape[1]
        super().__setattr__(name, np.asarray(value) if name == "transmat_" else value)

    _check = HMM.check


def module(name: str) -> str:
    return f"hmmlearn.tests.{name}"


@pytest.fixture(autouse=True)
def ours_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for model in (GaussianHMM, GMMHMM):
        monkeypatch.setattr(f"hmmlearn.hmm.{model.__name__}", model)
    monkeypatch.setattr("hmmlearn.tests.test_gmm_hmm_new.GMMHMM", GMMHMM)
    monkeypatch.setattr("hmmlearn.tests.test_base.StubHMM", StubHMM)
    monkeypatch.setattr("hmmlearn.tests.test_base.ConvergenceMonitor", Monitor)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("name", "cls", "test", "arguments"),
    [
        pytest.param(name, *case.values, id=case.id)
        for name, reasons in LEFT_OUT.items()
        for case in hmmlearns_own.cases(module(name), reasons)
    ],
)
def test_hmmlearns_own_test_passes(
    name: str,
    cls: Any,
    test: str,
    arguments: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hmmlearns_own.run(module(name), cls, test, arguments, {"caplog": caplog, "capsys": capsys})


@pytest.mark.peer
def test_nothing_of_its_suite_is_left_out_without_a_reason() -> None:
    import pkgutil

    theirs = importlib.import_module("hmmlearn.tests")
    modules = {one.name for one in pkgutil.iter_modules(theirs.__path__) if one.name.startswith("test_")}
    assert modules == LEFT_OUT.keys() | NOT_RUN.keys()
    for name, reasons in LEFT_OUT.items():
        there = {test for _, test in hmmlearns_own.tests_of(importlib.import_module(module(name)))}
        assert reasons.keys() <= there
