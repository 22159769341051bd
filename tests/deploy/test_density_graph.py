"""The graph of mixtures and HMMs gives the scores of the classifier, which computes them with other code."""

import numpy as np
import pytest
import torch

from phonaut.deploy.density_graph import DensityGraph, why_no_density_graph
from phonaut.deploy.prototype_graph import PrototypesGraph
from phonaut.models.em_classifier import Segments
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.models.prototypes import Prototypes

WIDTH, N_CLASSES = 3, 4


def trained(**options: object) -> GenerativeClassifier:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(N_CLASSES), 6)
    lengths = 4 + 3 * labels + rng.integers(0, 3, len(labels))  # so that `auto` gives them different numbers of states
    frames = np.concatenate([
        50.0 + label + np.linspace(0, 3, n)[:, None] + rng.standard_normal((n, WIDTH)) * [0.1, 1, 5]
        for label, n in zip(labels, lengths, strict=True)
    ])  # fmt: skip
    segments = Segments(frames, lengths, labels, np.full(len(labels), "s"))
    network = GenerativeClassifier(n_features=WIDTH, n_classes=N_CLASSES, n_mix=2, **options).eval()  # type: ignore[arg-type]
    network.initialize(segments, seed=0)
    network.decision.set_priors(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    for _ in range(2):
        network.em_step([segments.select(np.flatnonzero(labels == c)) for c in range(N_CLASSES)])
    return network


@pytest.mark.parametrize(
    "options",
    [
        {"covariance_type": "diag"},
        {"covariance_type": "full", "duration_model": True, "acoustic_scale": 0.25},
        {"covariance_type": "tied", "topology": "ergodic", "start": "uniform"},
        {"covariance_type": "spherical", "n_states": 1},
        {"n_states": 2, "costs": (1.0 - np.eye(N_CLASSES)).tolist()},
    ],
    ids=str,
)
def test_its_scores_are_those_of_the_classifier(options: dict[str, object]) -> None:
    network = trained(**options)
    graph = DensityGraph(network)
    for n in (2, 9, 31):
        frames = torch.from_numpy(np.random.default_rng(n).normal(52, 3, (1, n, WIDTH)).astype(np.float32))
        expected = network(frames, torch.tensor([n]))
        torch.testing.assert_close(graph(frames, torch.tensor([n])), expected.float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("n_parts", [1, 3])
def test_that_of_prototypes_has_their_scores_too(n_parts: int) -> None:
    rng = np.random.default_rng(1)
    labels = np.tile(np.arange(N_CLASSES), 30)
    lengths = rng.integers(1, 9, len(labels))
    frames = rng.standard_normal((int(lengths.sum()), WIDTH)) + np.repeat(labels, lengths)[:, None]
    segments = Segments(frames, lengths, labels, np.full(len(labels), "s"))
    network = Prototypes(n_features=WIDTH, n_classes=N_CLASSES, n_parts=n_parts)
    network.background = network.others = segments
    network.initialize(segments, seed=0)
    graph = PrototypesGraph(network)
    for n in (1, 2, 7):
        heard = torch.from_numpy(rng.standard_normal((1, n, WIDTH)).astype(np.float32))
        expected = network(heard, torch.tensor([n]))
        torch.testing.assert_close(graph(heard, torch.tensor([n])), expected.float(), rtol=1e-5, atol=1e-5)


def test_flows_are_said_to_have_none() -> None:
    flows = GenerativeClassifier(n_features=WIDTH, n_classes=2, density="phonaut.hmm.emissions.FlowEmissions")
    assert (
        why_no_density_graph(flows.density)
        == "FlowEmissions are not exported: Gaussian mixtures, and HMMs of them, are"
    )
    with pytest.raises(ValueError, match="FlowEmissions are not exported"):
        DensityGraph(flows)
