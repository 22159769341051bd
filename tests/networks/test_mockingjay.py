"""The encoder: sizes as published, padding and neighbours that change nothing, an oracle, causality, positions."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from phonaut.networks import Mockingjay, PredictionHead, count
from phonaut.networks.attention import attention
from phonaut.networks.mockingjay import sinusoids, stack_frames
from phonaut.training.representation import compiler_problems as without_compiler

SMALL = {"hidden_size": 12, "n_layers": 2, "n_heads": 3, "intermediate_size": 20}


def network(**options: object) -> Mockingjay:
    torch.manual_seed(0)
    made = Mockingjay(**{"n_features": 5, **SMALL, **options}).double()  # type: ignore[arg-type]
    for p in made.parameters():  # weights of a size at which every part matters
        torch.nn.init.normal_(p, std=0.4)
    return made.eval()


def frames(n: int, seed: int = 1, width: int = 5) -> Tensor:
    return torch.randn(1, n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def padded(recordings: list[Tensor], n_frames: int, padding: float) -> tuple[Tensor, Tensor]:
    batch = torch.full((len(recordings), n_frames, 5), padding, dtype=torch.float64)
    for i, recording in enumerate(recordings):
        batch[i, : recording.shape[1]] = recording[0]
    return batch, torch.tensor([recording.shape[1] for recording in recordings])


@pytest.mark.parametrize(("n_layers", "stack_size", "millions"), [(3, 1, 21.4), (12, 3, 85.4)], ids=["BASE", "LARGE"])
def test_sizes_are_those_that_were_published(n_layers: int, stack_size: int, millions: float) -> None:
    with torch.device("meta"):
        made = Mockingjay(n_features=160, n_layers=n_layers, stack_size=stack_size)
    assert round(sum(p.numel() for p in made.parameters()) / 1e6, 1) == millions


@pytest.mark.parametrize("padding", [0.0, 7.0, float("nan")])
@pytest.mark.parametrize("stack_size", [1, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_padding_and_neighbours_never_change_a_representation(padding: float, stack_size: int, causal: bool) -> None:
    made = network(stack_size=stack_size, causal=causal)
    recordings = [frames(n, seed=n) for n in (30, 29, 28, 12, 7, 3, 2, 1)]
    states, lengths = made.hidden_states(*padded(recordings, 37, padding))
    assert lengths.tolist() == [max(1, n.shape[1] // stack_size) for n in recordings]
    assert len(states) == 3
    for i, recording in enumerate(recordings):
        alone, _ = made.hidden_states(recording, torch.tensor([recording.shape[1]]))
        for state, own in zip(states, alone, strict=True):
            torch.testing.assert_close(state[i, : lengths[i]], own[0], rtol=0, atol=1e-12)
            assert not state[i, lengths[i] :].any()


@pytest.mark.oracle
def test_representations_are_those_of_the_formulae() -> None:
    made, x = network(stack_size=2), frames(9)
    weights = made.state_dict()

    def linear(name: str, value: Tensor) -> Tensor:
        return value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, value: Tensor) -> Tensor:
        centred = value - value.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-12).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    joined = torch.cat([x[0, 0:8:2], x[0, 1:8:2]], dim=1)
    places = torch.tensor(
        [[(math.cos if i % 2 else math.sin)(t / 10000 ** ((i - i % 2) / 12)) for i in range(12)] for t in range(4)],
        dtype=torch.float64,
    )
    value = norm("norm", linear("projection", joined) + places)
    for layer in ("layers.0", "layers.1"):
        q, k, v = linear(f"{layer}.qkv", value).chunk(3, dim=1)
        heads = [F.softmax(q[:, h : h + 4] @ k[:, h : h + 4].T / 2, dim=1) @ v[:, h : h + 4] for h in range(0, 12, 4)]
        value = norm(f"{layer}.dense_norm", value + linear(f"{layer}.dense", torch.cat(heads, dim=1)))
        wide = linear(f"{layer}.intermediate", value)
        wide = wide * 0.5 * (1 + torch.erf(wide / math.sqrt(2)))
        value = norm(f"{layer}.output_norm", value + linear(f"{layer}.output", wide))
    found, lengths = made(x, torch.tensor([9]))
    assert lengths.tolist() == [4]
    torch.testing.assert_close(found[0], value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("stack_size", [1, 3])
def test_a_causal_encoder_sees_no_later_frame_and_another_sees_all(stack_size: int) -> None:
    x = frames(24)
    later = x.clone()
    later[0, 12:] += 1.0
    for causal in (True, False):
        made = network(stack_size=stack_size, causal=causal)
        before, after = (made(value, torch.tensor([24]))[0][0, : 12 // stack_size] for value in (x, later))
        assert torch.equal(before, after) == causal


def test_sinusoids_are_those_of_the_paper() -> None:
    made = sinusoids(50, 16, torch.zeros((), dtype=torch.float64))
    for t in (0, 1, 49):
        for i in range(8):
            rate = 10000 ** (2 * i / 16)
            assert made[t, 2 * i].item() == pytest.approx(math.sin(t / rate), abs=1e-12)
            assert made[t, 2 * i + 1].item() == pytest.approx(math.cos(t / rate), abs=1e-12)


def test_representations_lie_at_the_centres_of_the_frames_that_were_stacked() -> None:
    shift_s, offset_s = network(stack_size=4).times(0.01, 0.0125)
    centres = [0.0125 + 0.01 * t for t in range(12)]
    for k in range(3):
        assert offset_s + k * shift_s == pytest.approx(sum(centres[4 * k : 4 * k + 4]) / 4)


def test_frames_are_stacked_in_order_and_what_is_left_over_is_dropped() -> None:
    joined, lengths = stack_frames(frames(8), torch.tensor([8]), 3)
    assert joined.shape == (1, 2, 15)
    torch.testing.assert_close(joined[0, 1], frames(8)[0, 3:6].flatten())
    assert lengths.tolist() == [2]


@pytest.mark.parametrize("causal", [False, True])
def test_dropout_leaves_padding_without_influence_and_every_weight_is_trained(causal: bool) -> None:
    made = network(dropout=0.2, causal=causal).train()
    gradients = []
    for n_frames, padding in ((20, 0.0), (33, float("nan"))):
        torch.manual_seed(5)
        made.zero_grad()
        found, _ = made(*padded([frames(20), frames(14)], n_frames, padding))
        found.square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in made.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-10)
    assert all(p.grad is not None for p in made.parameters())


def test_autocast_is_near_and_keeps_what_is_added_up_in_float32() -> None:
    torch.manual_seed(0)
    made = Mockingjay(n_features=5, **SMALL).eval()  # type: ignore[arg-type]
    batch, lengths = padded([frames(20), frames(14)], 20, 0.0)
    expected, _ = made(batch.float(), lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = made(batch.float(), lengths)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05)


def test_its_cost_can_be_counted() -> None:
    made = Mockingjay(n_features=5, **SMALL)  # type: ignore[arg-type]
    size = count(made, n_frames=10, n_features=5)
    assert size.parameters == sum(p.numel() for p in made.parameters())
    layer = 12 * 36 + 12 * 12 + 2 * 12 * 20 + 2 * 10 * 12  # the last: queries with 10 keys, weights with 10 values
    assert size.macs == 10 * (5 * 12 + 2 * layer)


def test_the_head_is_dense_gelu_norm_linear() -> None:
    torch.manual_seed(0)
    head = PredictionHead(6, 4).double()
    x = torch.randn(3, 6, dtype=torch.float64)
    hidden = F.gelu(F.linear(x, head.dense.weight, head.dense.bias))
    hidden = F.layer_norm(hidden, (6,), head.norm.weight, head.norm.bias, 1e-12)
    torch.testing.assert_close(head(x), F.linear(hidden, head.output.weight, head.output.bias), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 10, "n_heads": 3}, "hidden_size=10 must be a multiple of n_heads=3"),
        ({"stack_size": 0}, "stack_size=0: must be >= 1"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"n_features": 0}, "n_features=0"),
    ],
)
def test_impossible_sizes_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(**options)


@pytest.mark.parametrize("lengths", [[5, 0], [5, 6], [5]])
def test_lengths_that_cannot_be_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"lengths"):
        network()(torch.zeros(2, 5, 5, dtype=torch.float64), torch.tensor(lengths))


@pytest.mark.parametrize("stack_size", [1, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_maps_are_what_attention_adds_up_values_by(stack_size: int, causal: bool) -> None:
    made, x = network(stack_size=stack_size, causal=causal), frames(20)
    n = 20 // stack_size
    states, _ = made.hidden_states(x, torch.tensor([20]))
    maps = list(made.attention_maps(x[0]))
    assert [tuple(weights.shape) for weights in maps] == [(3, n, n)] * 2
    for layer, state, weights in zip(made.layers, states[:-1], maps, strict=True):
        torch.testing.assert_close(weights.sum(dim=2), torch.ones(3, n, dtype=torch.float64), rtol=0, atol=1e-12)
        assert causal == (not weights.triu(1).any()), "a causal encoder has no weight on what comes later"
        qkv = layer.qkv(state[0]).view(n, 3, 3, 4)
        joined = torch.einsum("hqk,khd->qhd", weights, qkv[:, 2]).flatten(1)
        torch.testing.assert_close(joined, attention(qkv, [n], causal=causal), rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(bool(without_compiler()), reason="; ".join(without_compiler()))
def test_compiled_layers_give_the_same_states_and_gradients_under_the_same_names() -> None:
    frames, lengths = torch.randn(3, 30, 8), torch.tensor([30, 17, 4])
    plain, compiled = (
        Mockingjay(n_features=8, hidden_size=16, n_layers=1, n_heads=2, intermediate_size=24, dropout=0.0)
        for _ in range(2)
    )
    compiled.load_state_dict(plain.state_dict())
    compiled.compile_layers()
    assert list(compiled.state_dict()) == list(plain.state_dict())
    for network in (plain, compiled):
        states, _ = network(frames, lengths)
        states.pow(3).sum().backward()
    torch.testing.assert_close(compiled(frames, lengths)[0], plain(frames, lengths)[0], atol=1e-5, rtol=1e-5)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(compiled.get_parameter(name).grad, parameter.grad, atol=1e-3, rtol=1e-4, msg=name)
