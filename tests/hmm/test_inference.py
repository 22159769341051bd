"""Inference against the enumeration of all paths, and against itself in other layouts."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from phonaut.hmm import inference
from phonaut.hmm.chains import MarkovChains

RNG = np.random.default_rng


def random_chains(
    n_states: int, seed: int = 0, *, zeros: float = 0.0, end: bool = False, n_chains: int = 1
) -> MarkovChains:
    rng = RNG(seed)
    start = rng.dirichlet(np.ones(n_states), size=n_chains)
    transition = rng.dirichlet(np.ones(n_states), size=(n_chains, n_states))
    if zeros:
        transition *= rng.random(transition.shape) >= zeros
        transition += np.eye(n_states) * 0.1
        transition /= transition.sum(axis=-1, keepdims=True)
    return MarkovChains(start, transition, rng.random((n_chains, n_states)) if end else None)


def enumerated(rows: np.ndarray, chains: MarkovChains) -> dict[str, Any]:
    """All of it from the sum over every path."""
    n_frames, n_states = rows.shape
    start, transition = chains.start[0], chains.transition[0]
    weights, paths = [], list(itertools.product(range(n_states), repeat=n_frames))
    for path in paths:
        p = start[path[0]] * chains.end[0][path[-1]]  # type: ignore[index]
        for a, b in itertools.pairwise(path):
            p *= transition[a, b]
        weights.append(np.log(p) + sum(rows[t, s] for t, s in enumerate(path)) if p > 0 else -np.inf)
    logs = np.array(weights)
    total = np.logaddexp.reduce(logs)
    p = np.exp(logs - total)
    state, pairs = np.zeros((n_frames, n_states)), np.zeros((n_states, n_states))
    for path, weight in zip(paths, p, strict=True):
        for t, s in enumerate(path):
            state[t, s] += weight
        for a, b in itertools.pairwise(path):
            pairs[a, b] += weight
    return {"total": total, "state": state, "pairs": pairs, "best": logs.max(), "path": paths[int(logs.argmax())]}


CASES = [
    pytest.param(1, 5, {}, id="one state"),
    pytest.param(3, 1, {}, id="one frame"),
    pytest.param(3, 6, {}, id="ergodic"),
    pytest.param(4, 6, {"zeros": 0.5}, id="zeros"),
    pytest.param(3, 6, {"end": True}, id="ends"),
]


@pytest.mark.oracle
@pytest.mark.parametrize("scale", [1.0, 30.0, 800.0])  # the last: probabilities of e^-800 underflow
@pytest.mark.parametrize(("n_states", "n_frames", "kind"), CASES)
def test_it_is_the_sum_over_all_paths(n_states: int, n_frames: int, kind: dict[str, Any], scale: float) -> None:
    chains = random_chains(n_states, 1, **kind)
    rows = RNG(2).standard_normal((n_frames, n_states)) * scale
    with np.errstate(divide="ignore"):
        expected = enumerated(rows, chains)
    got = inference.forward_backward(rows, chains)
    np.testing.assert_allclose(got.log_likelihood, [expected["total"]], rtol=1e-9)
    np.testing.assert_allclose(got.state, expected["state"], atol=1e-9)
    np.testing.assert_allclose(got.transitions[0], expected["pairs"], atol=1e-9)
    np.testing.assert_allclose(got.start[0], expected["state"][0], atol=1e-9)
    path, score = inference.viterbi(rows, chains)
    np.testing.assert_allclose(score, [expected["best"]], rtol=1e-9)
    assert tuple(path) == expected["path"]
    _, total = inference.filtered(rows, chains)
    np.testing.assert_allclose(total, [expected["total"]], rtol=1e-9)


@pytest.mark.oracle
def test_filtering_is_the_posterior_of_the_frames_so_far() -> None:
    chains = random_chains(3, 5)
    rows = RNG(1).standard_normal((5, 3)) * 3
    all_of_it, _ = inference.filtered(rows, chains)
    state, total = None, 0.0
    for t in range(5):
        expected = enumerated(rows[: t + 1], chains)
        np.testing.assert_allclose(all_of_it[t], expected["state"][t], atol=1e-12)
        state, gained = inference.filter_step(state, rows[t], chains)
        np.testing.assert_allclose(state, expected["state"][t], atol=1e-12)
        total += gained
        assert total == pytest.approx(expected["total"], abs=1e-12)


@pytest.mark.parametrize("scaled", [True, False])
def test_a_sequence_without_frames_is_certain(scaled: bool) -> None:
    rows, chains = RNG(0).standard_normal((4, 3)), random_chains(3)
    got = inference.forward_backward(rows, chains, [0, 4, 0], scaled=scaled)
    expected = enumerated(rows, chains)
    np.testing.assert_allclose(got.log_likelihood, [0.0, expected["total"], 0.0], atol=1e-9)
    np.testing.assert_allclose(got.state, expected["state"], atol=1e-9)
    np.testing.assert_allclose(inference.filtered(rows, chains, [0, 4, 0], scaled=scaled)[1], got.log_likelihood)
    np.testing.assert_allclose(inference.log_likelihood(torch.from_numpy(rows), chains, [0, 4, 0]), got.log_likelihood)


def test_batch_order_padding_and_layout_change_nothing() -> None:
    chains = random_chains(4, 3, zeros=0.4)
    lengths = np.array([3, 1, 40, 0, 17, 8, 9, 2, 30, 5, 4, 11, 1, 6, 7, 20, 13, 2, 5])
    rng = RNG(0)
    parts = [rng.standard_normal((n, 4)) * 5 for n in lengths]
    packed = inference.forward_backward(np.concatenate(parts), chains, lengths)
    padded = np.full((len(parts), 50, 4), 7.0)
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = part
    batch = inference.forward_backward(padded, chains, lengths)
    np.testing.assert_allclose(batch.log_likelihood, packed.log_likelihood, atol=1e-9)
    np.testing.assert_allclose(batch.transitions, packed.transitions, atol=1e-9)
    order = rng.permutation(len(parts))
    shuffled = inference.forward_backward(np.concatenate([parts[i] for i in order]), chains, lengths[order])
    np.testing.assert_allclose(shuffled.log_likelihood, packed.log_likelihood[order], atol=1e-9)
    np.testing.assert_allclose(shuffled.transitions, packed.transitions, atol=1e-9)
    ends = np.cumsum(lengths)
    alone = np.zeros_like(packed.transitions)
    for i, part in enumerate(parts):
        np.testing.assert_allclose(
            batch.state[i, : lengths[i]], packed.state[ends[i] - lengths[i] : ends[i]], atol=1e-9
        )
        assert (batch.state[i, lengths[i] :] == 0).all()
        if len(part):
            one = inference.forward_backward(part, chains)
            np.testing.assert_allclose(one.log_likelihood, packed.log_likelihood[i : i + 1], atol=1e-9)
            alone += one.transitions
    np.testing.assert_allclose(alone, packed.transitions, atol=1e-9)
    paths, scores = inference.viterbi(padded, chains, lengths)
    path, score = inference.viterbi(np.concatenate(parts), chains, lengths)
    np.testing.assert_allclose(scores, score, atol=1e-9)
    assert [p for row, n in zip(paths, lengths, strict=True) for p in row[:n]] == path.tolist()
    assert (paths[3] == -1).all()


def test_each_sequence_has_the_chain_that_is_its_own() -> None:
    chains = random_chains(3, 4, n_chains=2)
    rows, which = RNG(0).standard_normal((4, 6, 3)), [1, 0, 1, 1]
    got = inference.forward_backward(rows, chains, chain=which)
    for c in (0, 1):
        mine = np.flatnonzero(np.array(which) == c)
        one = inference.forward_backward(rows[mine], MarkovChains(chains.start[c], chains.transition[c]))
        np.testing.assert_allclose(got.log_likelihood[mine], one.log_likelihood, atol=1e-12)
        np.testing.assert_allclose(got.transitions[c], one.transitions[0], atol=1e-12)
        np.testing.assert_allclose(got.start[c], one.start[0], atol=1e-12)
        paths, _ = inference.viterbi(rows, chains, chain=which)
        np.testing.assert_array_equal(
            paths[mine], inference.viterbi(rows[mine], MarkovChains(chains.start[c], chains.transition[c]))[0]
        )


def test_a_hundred_thousand_frames_are_no_more_than_many() -> None:
    chains = random_chains(3, 0)
    rows = RNG(0).standard_normal((100_000, 3)) * 10 - 1000
    got = inference.forward_backward(rows, chains)
    np.testing.assert_allclose(got.state.sum(axis=1), 1.0, atol=1e-9)
    assert got.transitions.sum() == pytest.approx(99_999)
    total, state = 0.0, None
    for row in rows[:2000]:
        state, gained = inference.filter_step(state, row, chains)
        total += gained
    assert inference.log_likelihood(rows[:2000], chains)[0] == pytest.approx(total, rel=1e-12)


def test_what_cannot_be_has_no_posterior_and_no_path() -> None:
    chains = MarkovChains([1.0, 0.0], [[0.0, 1.0], [0.0, 1.0]])
    rows = np.zeros((2, 4, 2))
    rows[1, 2] = [0.0, -np.inf]  # the second sequence would have to be in state 0 once more
    got = inference.forward_backward(rows, chains)
    assert got.log_likelihood.tolist() == [0.0, -np.inf]
    assert (got.state[1] == 0).all()
    assert got.transitions[0].tolist() == [[0.0, 1.0], [0.0, 2.0]]
    path, score = inference.viterbi(rows, chains)
    assert path.tolist() == [[0, 1, 1, 1], [-1, -1, -1, -1]]
    assert score.tolist() == [0.0, -np.inf]


def test_a_missing_frame_is_summed_over_and_a_label_is_obeyed() -> None:
    chains = random_chains(3, 7)
    rows = RNG(3).standard_normal((5, 3))
    missing = inference.forward_backward(inference.masked(rows, missing=[False, False, True, False, False]), chains)
    without = rows.copy()
    without[2] = 0
    np.testing.assert_allclose(missing.state, enumerated(without, chains)["state"], atol=1e-9)
    allowed = np.ones((5, 3), bool)
    allowed[1] = [False, True, False]
    got = inference.forward_backward(inference.masked(rows, allowed=allowed), chains)
    assert got.state[1].tolist() == pytest.approx([0.0, 1.0, 0.0])
    assert got.log_likelihood < inference.log_likelihood(rows, chains)


def test_sampled_paths_have_the_frequencies_of_the_chain() -> None:
    chains = MarkovChains([1.0, 0.0, 0.0], [[0.5, 0.5, 0.0], [0.0, 0.2, 0.8], [0.3, 0.0, 0.7]])
    path = inference.sample(chains, 50_000, RNG(0))
    assert path[0] == 0
    counts = np.zeros((3, 3))
    np.add.at(counts, (path[:-1], path[1:]), 1)
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), chains.transition[0], atol=0.015)
    assert (counts[chains.transition[0] == 0] == 0).all()


@pytest.mark.parametrize(
    ("rows", "lengths", "why"),
    [
        (np.full((4, 3), np.nan), None, "NaN or \\+inf; got nan in row 0, state 0"),
        (np.array([[0, 0, 0], [0, np.inf, 0]]), None, "got inf in row 1, state 1"),
        (np.zeros((4, 2)), None, r"must be \(B, T, 3\) or \(M, 3\); got \(4, 2\)"),
        (np.zeros((4, 3)), [3], "lengths add up to 3, but there are 4 rows"),
        (np.zeros((2, 4, 3)), [5, 1], "at most 4"),
        (np.zeros((2, 4, 3)), [-1, 1], "not negative"),
    ],
)
def test_what_makes_no_sense_is_refused(rows: np.ndarray, lengths: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        inference.forward_backward(rows, random_chains(3), lengths)


def test_chains_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="transition must be finite and not negative"):
        MarkovChains([1.0, 0.0], [[1.0, 0.0], [-1.0, 2.0]])
    with pytest.raises(ValueError, match="different numbers of chains"):
        MarkovChains(np.ones((2, 3)) / 3, np.ones((3, 3)) / 3)


# --- the two engines


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("scale", [1.0, 800.0])
@pytest.mark.parametrize("packed", [False, True])
def test_torch_finds_what_compiled_code_finds(device: str, scale: float, packed: bool) -> None:
    chains = random_chains(4, 9, zeros=0.4, end=True, n_chains=2)
    rng, lengths = RNG(0), np.array([7, 1, 0, 12, 3])
    rows = rng.standard_normal((5, 12, 4)) * scale
    if packed:
        rows = np.concatenate([row[:n] for row, n in zip(rows, lengths, strict=True)])
    which = [0, 1, 1, 1, 0]
    ours = inference.forward_backward(rows, chains, lengths, chain=which)
    theirs = inference.forward_backward(torch.from_numpy(rows).to(device), chains, lengths, chain=which)
    for name in ("log_likelihood", "state", "transitions", "start"):
        np.testing.assert_allclose(getattr(theirs, name).cpu(), getattr(ours, name), rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (10.0, -1000.0), (300.0, 1e4)])
@pytest.mark.parametrize("packed", [False, True])
def test_tensors_of_every_type_are_worked_on_to_the_last_digit(
    device: str, kind: torch.dtype, scale: float, offset: float, packed: bool
) -> None:
    """What the same numbers give as arrays, to the precision of the type that it is given back in."""
    chains = random_chains(4, 9, zeros=0.4)
    lengths = [400, 7]
    values = (torch.from_numpy(RNG(0).standard_normal((2, 400, 4))) * scale + offset).to(device, kind)
    if packed:
        values = torch.cat([row[:n] for row, n in zip(values, lengths, strict=True)])
    expected = inference.forward_backward(values.double().cpu().numpy(), chains, lengths)
    values.requires_grad_()
    found = inference.forward_backward(values, chains, lengths)
    wide = kind if kind.itemsize >= 4 else torch.float32
    eps = torch.finfo(wide).eps
    for name, value in zip(found._fields, found, strict=True):
        assert value.dtype == wide
        np.testing.assert_allclose(
            value.cpu(), getattr(expected, name), rtol=max(1e-13, 4 * eps), atol=max(1e-9, 4 * eps), err_msg=name
        )
    total = inference.log_likelihood(values, chains, lengths)
    np.testing.assert_allclose(total.detach().cpu(), expected.log_likelihood, rtol=max(1e-12, 4 * eps))
    total.sum().backward()
    assert values.grad is not None
    np.testing.assert_allclose(values.grad.double().cpu(), expected.state, atol=max(1e-9, 2 * torch.finfo(kind).eps))
    path, score = inference.viterbi(values, chains, lengths)
    of_arrays = inference.viterbi(values.detach().double().cpu().numpy(), chains, lengths)
    assert path.tolist() == of_arrays[0].tolist()
    assert score.tolist() == of_arrays[1].tolist()
    np.testing.assert_array_equal(inference.filtered(values, chains, lengths)[1], of_filtered(values, chains, lengths))


def of_filtered(values: torch.Tensor, chains: MarkovChains, lengths: list[int]) -> Any:
    return inference.filtered(values.detach().double().cpu().numpy(), chains, lengths)[1]


@pytest.mark.parametrize("function", [inference.forward_backward, inference.log_likelihood])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(2, 4, 3), (8, 3)])
def test_what_is_no_log_likelihood_is_refused_in_tensors_too(
    function: Any, wrong: float, shape: tuple[int, ...]
) -> None:
    values = torch.zeros(shape)
    values[-1, -1] = wrong
    for given in (values, values.numpy()):
        with pytest.raises(ValueError, match=r"must not be NaN or \+inf"):
            function(given, random_chains(3), [4, 4])
    if len(shape) == 3:
        function(values, random_chains(3), [4, 3])  # behind the end of a sequence there may be anything


@pytest.mark.oracle
def test_the_gradient_is_the_one_that_a_tape_through_time_gives() -> None:
    chains = random_chains(3, 4, end=True)
    rows = torch.from_numpy(RNG(1).standard_normal((2, 6, 3))).requires_grad_()
    lengths = [6, 4]
    weights = torch.tensor([1.0, -2.0], dtype=torch.float64)
    (inference.log_likelihood(rows, chains, lengths) * weights).sum().backward()
    taped = rows.detach().clone().requires_grad_()
    start, transition, end = (torch.from_numpy(x[0]).log() for x in (chains.start, chains.transition, chains.end))  # type: ignore[index]
    total = []
    for b, n in enumerate(lengths):
        alpha = start + taped[b, 0]
        for t in range(1, n):
            alpha = torch.logsumexp(alpha[:, None] + transition, dim=0) + taped[b, t]
        total.append(torch.logsumexp(alpha + end, dim=0))
    (torch.stack(total) * weights).sum().backward()
    torch.testing.assert_close(rows.grad, taped.grad, rtol=1e-9, atol=1e-12)


def test_gradients_of_start_and_transitions_are_those_of_finite_differences() -> None:
    from phonaut.hmm.torch_engine import LogLikelihood

    chains = random_chains(3, 4, end=True)
    rows = torch.from_numpy(RNG(1).standard_normal((2, 5, 3))).requires_grad_()
    arguments = [torch.from_numpy(np.repeat(x, 2, axis=0)).requires_grad_() for x in (chains.start, chains.transition)]
    end = torch.from_numpy(np.repeat(chains.end, 2, axis=0))  # type: ignore[arg-type]
    assert torch.autograd.gradcheck(
        lambda values, start, transition: LogLikelihood.apply(values, torch.tensor([5, 3]), start, transition, end),
        (rows, *arguments),
    )
