"""Networks in few bits: what they compute is what a program of integers says, and nothing is lost on the way there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from phonaut.deploy.integer_program import Program, program_of
from phonaut.deploy.interpreter import Interpreter
from phonaut.networks import DSTCN, GDS, GRU, LSTM, MDTC, RNN, BCResNet, BranchyTCResNet8, Probe, TCResNet8, TCResNet14
from phonaut.networks.pooling import moving_mean
from phonaut.networks.quantized import Levels, QuantizedNetwork, Scheme
from phonaut.networks.quantized.number_format import best_scale, bits_for, common_ratio, ratio, scaled
from phonaut.networks.reparameterized import attach
from phonaut.networks.streaming import OngoingNetwork

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "tc-res8": partial(TCResNet8, channels=(4, 6, 8)),
    "tc-res8 even, dilated": partial(TCResNet8, channels=(4, 6), kernel_size=4, dilation=2),
    "tc-res14": partial(TCResNet14, channels=(4, 6)),
    "branchy-tc-res8": partial(BranchyTCResNet8, channels=(4, 6, 8), exit_weights=(0.5, 0.5), confidence=0.4),
    "bc-res": partial(BCResNet, width=0.5),
    "ds-tcn": partial(DSTCN, channels=6, n_blocks=2),
    "mdtc": partial(MDTC, channels=6, n_stacks=2, n_blocks=2),
    "lstm": partial(LSTM, hidden_size=6, n_layers=2),
    "gru": partial(GRU, hidden_size=6),
    "rnn": partial(RNN, hidden_size=6),
    "gds": partial(GDS, channels=(6, 6), kernel_sizes=(5, 3), strides=(2, 1), groups=(1, 2)),
}
SCHEMES = ["linear_8_8_8", "linear_4_4_4", "linear_1_1_1", "linear_16_16_16", "fp_8_8_8", "fp_16_16_16", "linear_6_2_9"]
N_FEATURES, LENGTHS = 10, torch.tensor([37, 20, 33])


def trained(kind: Callable[..., nn.Module], **more: Any) -> nn.Module:
    """A network whose normalisations are not those of the beginning."""
    torch.manual_seed(0)
    network = kind(n_features=N_FEATURES, n_classes=5, **more)
    for norm in (one for one in network.modules() if isinstance(one, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean, 0.0, 0.3)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0.0, 0.3)
    return network.eval()


def some_frames(n: int = len(LENGTHS)) -> Tensor:
    """Frames of a few recordings."""
    return torch.randn(n, int(LENGTHS.max()), N_FEATURES, generator=torch.Generator().manual_seed(1))


def quantized(network: nn.Module, scheme: str = "linear_8_8_8", **more: Any) -> QuantizedNetwork:
    """The network in integers, calibrated on some frames."""
    result = QuantizedNetwork(network, Scheme.of(scheme), **more).eval()
    with torch.no_grad(), result.watching():
        result.exit_scores(some_frames(), LENGTHS)
    result.fold()
    result.quantize()
    return result


# --- numbers


@given(st.integers(-(2**40), 2**40), st.floats(1e-9, 100))
def test_a_sum_is_brought_back_as_by_exact_division(acc: int, factor: float) -> None:
    multiplier, shift = (int(n) for n in ratio(np.float64(factor), bits_for(2.0**40)))
    exact = (2 * acc * multiplier + 2**shift) // (2 * 2**shift)  # Python's integers have no bounds
    assert int(scaled(torch.tensor(acc), multiplier, shift)) == exact
    assert abs(multiplier / 2**shift - factor) <= factor * 2.0**-21


@given(st.integers(-20, 20))
def test_powers_of_two_are_exact(power: int) -> None:
    multiplier, shift = ratio(np.float64(2.0**power))
    assert multiplier / 2.0**shift == 2.0**power


def test_ratios_with_one_shift_keep_the_greatest_to_16_bits() -> None:
    multipliers, shift = common_ratio(np.array([0.7, 0.001]), 16)
    np.testing.assert_allclose(multipliers / 2.0**shift, [0.7, 0.001], atol=2.0**-17)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_scale_that_is_found_has_the_least_error_of_a_fine_grid(bits: int) -> None:
    rows, levels = torch.randn(3, 500, generator=torch.Generator().manual_seed(0)), Levels.of(bits, signed=True)
    scale = best_scale(rows, levels, power_of_two=False)

    def error(scale: Tensor) -> Tensor:
        return (levels.nearest(rows, scale[:, None]) * scale[:, None] - rows).square().sum(dim=1)

    grid = torch.stack([error(rows.abs().amax(dim=1) / levels.high * factor) for factor in np.linspace(0.02, 1.2, 300)])
    assert (error(scale) <= 1.1 * grid.amin(dim=0)).all()


@pytest.mark.parametrize("text", ["linear_8_8", "linear_0_8_8", "linear_8_17_8", "float_8_8_8", "8"])
def test_what_is_no_scheme_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text} is no scheme"):
        Scheme.of(text)


# --- networks


@pytest.mark.oracle
@pytest.mark.parametrize(("scheme", "causal"), [(scheme, bool(i % 2)) for i, scheme in enumerate(SCHEMES)])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_interpreter_gives_the_same_scores_bit_for_bit(name: str, scheme: str, causal: bool) -> None:
    network = quantized(trained(NETWORKS[name], causal=causal), scheme)
    interpreter = Interpreter(program_of(network, N_FEATURES))
    with torch.no_grad():
        expected = network(some_frames(), LENGTHS)
    for frames, n, scores in zip(some_frames(), LENGTHS.tolist(), expected, strict=True):
        np.testing.assert_array_equal(interpreter.logits(frames[:n].numpy()), scores.numpy())


@pytest.mark.parametrize("name", NETWORKS)
def test_before_anything_is_rounded_it_is_the_network_that_it_was(name: str) -> None:
    network = trained(NETWORKS[name])
    expected = network(some_frames(), LENGTHS)
    scores = QuantizedNetwork(network, Scheme.of("linear_8_8_8")).eval()(some_frames(), LENGTHS)
    assert torch.allclose(scores, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_16_bits_lose_next_to_nothing_and_8_little(name: str) -> None:
    network = trained(NETWORKS[name])
    whole = getattr(network, "exit_scores", network)
    expected = whole(some_frames(), LENGTHS).detach()
    for scheme, share in (("linear_16_16_16", 0.003), ("fp_16_16_16", 0.01), ("linear_8_8_8", 0.1)):
        scores = quantized(trained(NETWORKS[name]), scheme).exit_scores(some_frames(), LENGTHS).detach()
        difference = (scores.view_as(expected) - expected).abs().max()
        assert difference < share * expected.std(), (scheme, difference / expected.std())


@pytest.mark.parametrize("name", ["tc-res8", "mdtc"])
def test_folding_changes_nothing_but_what_learns(name: str) -> None:
    network = trained(NETWORKS[name])
    attach(network)
    network.eval()
    expected = network(some_frames(), LENGTHS)
    result = QuantizedNetwork(network, Scheme.of("linear_8_8_8")).eval()
    result.fold()
    assert torch.allclose(result(some_frames(), LENGTHS), expected, atol=1e-5)


@pytest.mark.parametrize("fold", [True, False])
def test_training_with_rounding_is_what_evaluation_computes_but_for_ties(fold: bool) -> None:
    network = trained(NETWORKS["tc-res8"])
    result = quantized(network, "linear_8_8_8")
    result.state[0] = float(fold)
    result.enter()
    expected = result(some_frames(), LENGTHS).detach()
    result.train()
    for part in network.modules():
        if isinstance(part, (nn.BatchNorm2d, nn.Dropout)):
            part.eval()
    result.phase.watches = False
    scores = result(some_frames(), LENGTHS)
    assert (scores - expected).abs().max() < 0.05 * expected.std()
    scores.square().sum().backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert all(one is not None and bool((one != 0).any()) for one in gradients.values()), gradients.keys()


def test_gradients_are_those_of_the_float_network_where_bits_are_many() -> None:
    network = trained(NETWORKS["tc-res8"])
    network(some_frames(), LENGTHS).square().sum().backward()
    expected = {name: p.grad.clone() for name, p in network.named_parameters()}  # type: ignore[union-attr]
    result = quantized(network, "linear_16_16_16").train()
    for quantizer in result.quantizers.values():
        quantizer.scale *= 1.01  # nothing is clamped, which would end a gradient
    for part in network.modules():
        if isinstance(part, (nn.BatchNorm2d, nn.Dropout)):
            part.eval()
    result.phase.watches = False
    network.zero_grad()
    result(some_frames(), LENGTHS).square().sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None
        assert torch.allclose(p.grad, expected[name], rtol=0.02, atol=0.02 * float(expected[name].abs().max())), name


@pytest.mark.parametrize("n", [1, 3, 8])
def test_hop_by_hop_it_is_the_network_over_the_whole_recording_and_the_interpreter(n: int) -> None:
    network = quantized(trained(NETWORKS["tc-res8"], causal=True))
    frames, window = some_frames(1), 4
    ongoing, state, past, rows = OngoingNetwork(network), {}, {}, []  # type: ignore[var-annotated]
    with torch.no_grad():
        for part in frames.split(n, dim=1):
            hidden, state = ongoing.step(part, state)
            rows.append(network.decide(moving_mean(hidden, window, past)))
        offline = network.decide(moving_mean(network.body(frames, LENGTHS[:1], None)[0], window, {}))
    scores = torch.cat(rows, dim=1)
    assert torch.equal(scores, offline)
    program = program_of(network, N_FEATURES)
    whole = Interpreter(program).stream(frames[0].numpy(), window)
    scale = np.float32(program.exits[-1].numbers["scale"])
    np.testing.assert_array_equal(scores[0].numpy(), whole.astype(np.float32) * scale)


def test_layers_have_bits_of_their_own_by_pattern() -> None:
    layers = {"blocks.*": Scheme("linear", 8, 2, 8), "blocks.1.second": Scheme("linear", 8, 5, 8)}
    network = quantized(trained(NETWORKS["tc-res8"]), layers=layers)
    most = {o.output: int(np.abs(o.arrays["weight"]).max()) for o in program_of(network, N_FEATURES).operations
            if o.kind == "conv"}  # fmt: skip
    assert most["first"] == 127
    assert most["blocks_0_first"] == 1
    assert most["blocks_1_second"] == 15
    with pytest.raises(ValueError, match="layers: block fits no layer of TCResNet8"):
        quantized(trained(NETWORKS["tc-res8"]), layers={"block": Scheme("linear", 8, 2, 8)})


def test_pruning_leaves_the_largest_weights_and_follows_its_course() -> None:
    network = quantized(trained(NETWORKS["tc-res8"]))
    n_zero = []
    for progress in (0.0, 0.5, 1.0):
        network.prune(0.6, progress)
        weight = network.graph.blocks_1_second.effective()[0].detach()  # type: ignore[operator, union-attr]
        n_zero.append(int((weight == 0).sum()) / weight.numel())
    np.testing.assert_allclose(n_zero, [0.0, 0.6 * (1 - 0.5**3), 0.6], atol=1 / weight.numel())
    network.prune(0.0, 0.0)
    full = network.graph.blocks_1_second.effective()[0].detach().abs()  # type: ignore[operator, union-attr]
    assert full[weight != 0].min() >= full[weight == 0].max()


def test_a_state_brings_its_phase_along() -> None:
    first = quantized(trained(NETWORKS["ds-tcn"]))
    second = QuantizedNetwork(trained(NETWORKS["ds-tcn"]), Scheme.of("linear_8_8_8")).eval()
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(some_frames(), LENGTHS), first(some_frames(), LENGTHS))
    assert second.phase.folded


def test_a_program_comes_back_from_its_file(tmp_path: Path) -> None:
    program = program_of(quantized(trained(NETWORKS["bc-res"])), N_FEATURES, {"labels": ["yes"]})
    program.save(tmp_path / "program.safetensors")
    again = Program.load(tmp_path / "program.safetensors")
    assert again.about == program.about
    frames = some_frames()[0].numpy()
    for name, result in Interpreter(program).results(frames).items():
        np.testing.assert_array_equal(Interpreter(again).results(frames)[name], result)
    (tmp_path / "other").write_bytes(b"x" * 20)
    with pytest.raises(ValueError, match="is no program of integers"):
        Program.load(tmp_path / "other")


def test_what_cannot_be_quantised_says_so() -> None:
    with pytest.raises(ValueError, match="Probe cannot be quantised"):
        QuantizedNetwork(Probe(n_features=4, n_classes=2), Scheme.of("linear_8_8_8"))
    with pytest.raises(ValueError, match="in one direction"):
        QuantizedNetwork(LSTM(n_features=4, n_classes=2, bidirectional=True), Scheme.of("linear_8_8_8"))
    fresh = QuantizedNetwork(trained(NETWORKS["tc-res8"]), Scheme.of("linear_8_8_8"))
    with pytest.raises(ValueError, match="has heard nothing"):
        fresh.quantize()
    with pytest.raises(ValueError, match="is not quantised"):
        program_of(fresh, N_FEATURES)
