"""An encoder in place of a front end: what it gives, what it learns, and what padding does to it."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from phonaut.features import CMVN, MelSpectrogram
from phonaut.models.encoded import EncodedFrontEnd, Projection, use_problems
from phonaut.networks import Mockingjay


def encoder(stack_size: int = 2, **use: object) -> EncodedFrontEnd:
    torch.manual_seed(0)
    front_end = MelSpectrogram(n_mels=8, n_fft=400, win_length=400, hop_length=160)
    network = Mockingjay(
        n_features=8, hidden_size=12, n_layers=2, n_heads=2, intermediate_size=16, dropout=0.3, stack_size=stack_size
    )
    for parameter in network.parameters():  # at the start layers hardly differ from one another
        torch.nn.init.normal_(parameter, std=0.3)
    return EncodedFrontEnd(front_end, network, CMVN(), **use)  # type: ignore[arg-type]


def recordings() -> tuple[torch.Tensor, torch.Tensor]:
    audio, lengths = torch.randn(3, 8000, generator=torch.Generator().manual_seed(1)), torch.tensor([8000, 5001, 1700])
    return audio * (torch.arange(8000) < lengths[:, None]), lengths


def states(module: EncodedFrontEnd, audio: torch.Tensor, lengths: torch.Tensor) -> list[torch.Tensor]:
    return module.network.hidden_states(*module.frames(audio, lengths))[0]


@pytest.mark.parametrize("stack_size", [1, 3])
@pytest.mark.parametrize("use", [{}, {"layer": "all"}, {"mode": "weighted"}, {"layer": 1, "n_components": 5}], ids=str)
def test_padding_and_batch_never_change_a_representation(stack_size: int, use: dict[str, object]) -> None:
    module = encoder(stack_size, **use).eval()
    audio, lengths = recordings()
    together, counts = module(audio, lengths)
    for i, n in enumerate(lengths.tolist()):
        alone, count = module(audio[i : i + 1, :n], lengths[i : i + 1])
        assert count.item() == counts[i].item() == module.n_frames(lengths)[i].item() == alone.shape[1]
        torch.testing.assert_close(together[i, : counts[i]], alone[0], rtol=0, atol=2e-5)
        assert not together[i, counts[i] :].any()
    assert together.shape[2] == module.n_features


def test_layers_are_those_of_the_network() -> None:
    audio, lengths = recordings()
    for layer, wanted in (("last", 2), (0, 0), (1, 1), (2, 2)):
        module = encoder(layer=layer).eval()
        torch.testing.assert_close(module(audio, lengths)[0], states(module, audio, lengths)[wanted])
    module = encoder(layer="all").eval()
    torch.testing.assert_close(module(audio, lengths)[0], torch.cat(states(module, audio, lengths), dim=2))


@pytest.mark.oracle
def test_weighted_layers_are_a_sum_by_softmax() -> None:
    module = encoder(mode="weighted").eval()
    assert module.layer_weights is not None
    with torch.no_grad():
        module.layer_weights.copy_(torch.tensor([0.3, -1.0, 2.0]))
    audio, lengths = recordings()
    weights = np.exp([0.3, -1.0, 2.0]) / np.exp([0.3, -1.0, 2.0]).sum()
    by_hand = sum(float(w) * h for w, h in zip(weights, states(module, audio, lengths), strict=True))
    torch.testing.assert_close(module(audio, lengths)[0], by_hand)


@pytest.mark.parametrize(("mode", "learns"), [("frozen", set()), ("weighted", {"layer_weights"}), ("finetune", None)])
def test_only_what_its_mode_says_learns(mode: str, learns: set[str] | None) -> None:
    module = encoder(mode=mode).train()
    found, _ = module(*recordings())
    wanted = {name for name, _ in module.named_parameters()} if learns is None else learns
    assert {name for name, parameter in module.named_parameters() if parameter.requires_grad} == wanted
    assert found.requires_grad == bool(wanted)
    if wanted:
        found.square().sum().backward()
        got = {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
        assert got == wanted
    again, _ = module(*recordings())
    assert torch.equal(found, again) == (mode != "finetune"), "dropout is for what is trained"


@pytest.mark.oracle
def test_a_projection_is_that_of_scikit_learn_up_to_signs() -> None:
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((500, 6)) @ rng.standard_normal((6, 6)) + 3.0
    projection = Projection(6, 3)
    projection.fit(torch.from_numpy(frames))
    expected = PCA(3, svd_solver="full").fit_transform(frames)
    found = projection(torch.from_numpy(frames).float()).numpy()
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-4)


def test_too_few_frames_for_a_projection_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 frames are too few for encoder.n_components=3"):
        Projection(6, 3).fit(torch.zeros(2, 6))
    with pytest.raises(ValueError, match="from 1 to 6"):
        Projection(6, 7)


@pytest.mark.parametrize(
    ("mode", "layer", "what"),
    [
        ("thawed", "last", "encoder.mode=thawed is none of frozen, weighted, finetune"),
        ("frozen", "first", "encoder.layer=first is none of"),
        ("frozen", True, "encoder.layer=True is none of"),
        ("frozen", 3, "the encoder has layers 0 to 2"),
        ("frozen", -1, "the encoder has layers 0 to 2"),
        ("weighted", 1, "it is weighted; leave it out"),
    ],
)
def test_what_is_not_possible_is_refused(mode: str, layer: object, what: str) -> None:
    assert any(what in problem for problem in use_problems(mode, layer, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=what.split("=")[0]):
        encoder(mode=mode, layer=layer)


def test_times_of_representations_are_the_centres_of_their_frames() -> None:
    module = encoder(stack_size=3)
    assert module.frame_shift_s == pytest.approx(0.03)
    assert module.frame_offset_s == pytest.approx(module.front_end.frame_offset_s + 0.01)
