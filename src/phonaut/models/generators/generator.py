"""What every generator of windows of frames promises, and the batches that it learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from phonaut.checks import BELOW_ONE, below, refuse, within
from phonaut.data import draws
from phonaut.models.generators.gaussian import log_variance_input
from phonaut.models.generators.principal import PrincipalComponents
from phonaut.networks.conv_autoencoder import Activation, ConvDecoder, ConvEncoder
from phonaut.networks.linear_path import LinearPath
from phonaut.networks.lstm_autoencoder import LSTMDecoder, LSTMEncoder
from phonaut.networks.network import evaluating

Draw = Callable[[str, int], Tensor]


@dataclass
class Windows:
    """A batch of windows.

    Attributes:
        frames: normalised already, `(B, T, D)`.
        condition: what a window is conditioned on, such as its phone and its speaker, one-hot, side by side, `(B, K)`;
            K may be 0.
        sequence: the number of its utterance in training, `(B,)` int64; -1: it is none of them.
        draw: `(stream, n) -> (B, n)` standard normal draws, functions of (seed, epoch, window, stream) and nothing
            else; see `keyed_draw`.
        sequence_size: windows of that utterance in training, `(B,)`; None: one each.
    """

    frames: Tensor
    condition: Tensor
    sequence: Tensor
    draw: Draw
    sequence_size: Tensor | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def uniform(self, stream: str, n: int) -> Tensor:
        """Uniform draws in (0, 1), `(B, n)`, by the normal distribution function of normal ones."""
        draws: Tensor = torch.special.ndtr(self.draw(stream, n))
        return draws


def keyed_draw(keys: NDArray[np.uint64], *, seed: int, epoch: int, stage: str, like: Tensor) -> Draw:
    """The draws of a batch by the keys of its windows.

    Args:
        keys: of the windows, `(B,)`; see `phonaut.data.draws`.
        seed: of the run.
        epoch: of training.
        stage: `train` or `validation`, whose draws are others.
        like: gives their type and device.

    >>> frames = torch.zeros(2, 20, 80)
    >>> draw = keyed_draw(np.array([1, 2], dtype=np.uint64), seed=0, epoch=3, stage="train", like=frames)
    >>> draw("latents", 16).shape
    torch.Size([2, 16])
    """

    def draw(stream: str, n: int) -> Tensor:
        found = draws.normal(keys, seed=seed, epoch=epoch, stream=f"{stage}/{stream}", n=n)
        return torch.from_numpy(found).to(like)

    return draw


class Player(NamedTuple):
    """A part of a model that lowers a loss of its own; one that is trained against nobody is one player.

    Attributes:
        name: of the player.
        parameters: that its steps change, and no other player's.
        terms: `(windows, progress) -> name -> (B,)`; the mean over the windows is what is logged.
        loss: the name of the term whose mean is lowered.
        every: it takes a step with every batch whose number, from 1, is a multiple of this.
    """

    name: str
    parameters: list[nn.Parameter]
    terms: Callable[[Windows, float], dict[str, Tensor]]
    loss: str = "loss"
    every: int = 1


class Generator(nn.Module):
    """A model that makes windows of frames from vectors: latents `(B, Z)`, condition `(B, K)` -> `(B, T, D)`.

    To add one, write a sub-class with `encode`, `decode`, `prior` and `losses`. Where several parts of it are trained
    against each other, it has `players`.

    Args:
        n_features: D.
        window_frames: T, at least 4.
        condition_size: K; 0: unconditional.
        latent_size: Z.
        network: of encoder and decoder: `conv` or `lstm`.
        channels: of the convolutions.
        hidden_size: units of linear layers, or of the LSTM.
        activation: of the convolutional network: `leaky_relu`, `tanh` or `gated`.
        linear_path: beside encoder and decoder there are linear paths, with which training begins: see `start`.
        condition_dropout: probability that training hides the condition of a window, so that none is one as well.

    Attributes:
        has_encoder: windows have codes; a WGAN's have none.
        is_invertible: decoding a code gives the window back whatever was learned, so that reconstructions tell nothing.
        terms: names of what `losses`, and the players, tell of a window, in the order of the logs.

    Raises:
        ValueError: for sizes that are not positive, or windows of less than 4 frames.
    """

    has_encoder: ClassVar[bool] = True
    is_invertible: ClassVar[bool] = False
    terms: ClassVar[tuple[str, ...]] = ("loss",)
    RULES: ClassVar = {
        "latent_size": within(1, 1e5),
        "channels": within(1, 1e5),
        "hidden_size": within(1, 1e6),
        "condition_dropout": BELOW_ONE,
    }

    def __init__(
        self,
        *,
        n_features: int,
        window_frames: int = 20,
        condition_size: int = 0,
        latent_size: int = 128,
        network: Literal["conv", "lstm"] = "conv",
        channels: Sequence[int] = (64, 128, 256),
        hidden_size: int = 512,
        activation: Activation = "leaky_relu",
        linear_path: bool = False,
        condition_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        refuse(below(1, latent_size=latent_size) + below(0, condition_size=condition_size))
        self.n_features, self.window_frames = n_features, window_frames
        self.condition_size, self.latent_size = condition_size, latent_size
        self.network, self.linear_path, self.condition_dropout = network, linear_path, condition_dropout
        self.options: dict[str, Any] = {"window_frames": window_frames, "hidden_size": hidden_size}
        if network == "conv":
            self.options |= {"channels": tuple(channels), "activation": activation}

    def make_encoder(self, n_outputs: int, *, more_condition: int = 0) -> nn.Module:
        """A network `(frames (B, T, D), condition (B, K + more)) -> (B, n_outputs)`."""
        n_condition = self.condition_size + more_condition
        sizes = {"n_features": self.n_features, "n_outputs": n_outputs, "n_condition": n_condition, **self.options}
        encoder = ConvEncoder(**sizes) if self.network == "conv" else LSTMEncoder(**sizes)
        if not self.linear_path:
            return encoder
        return LinearPath(encoder, self.window_frames * self.n_features, n_condition, (n_outputs,))

    def make_decoder(self, *, values_per_bin: int = 1) -> nn.Module:
        """A network `(latents (B, Z), condition (B, K)) -> (B, T, values D)`."""
        sizes = {"n_latents": self.latent_size, "n_condition": self.condition_size, **self.options}
        n_features = values_per_bin * self.n_features
        decoder = (ConvDecoder if self.network == "conv" else LSTMDecoder)(n_features=n_features, **sizes)
        if not self.linear_path:
            return decoder
        return LinearPath(decoder, self.latent_size, self.condition_size, (self.window_frames, n_features))

    def start(self, components: PrincipalComponents) -> None:
        """Begin as the principal components of training windows, which is the best generator without a bend.

        Only where there are linear paths: networks then learn what lines cannot make. Components are those of windows
        beside what their conditions say.
        """
        raise NotImplementedError

    def start_decoder(self, decoder: nn.Module, directions: Tensor, components: PrincipalComponents) -> None:
        """Begin at `m + B^T c + directions^T z`, directions `(Z, T D)`, variances at that of the rest."""
        assert isinstance(decoder, LinearPath)
        t, size = decoder.shape

        def placed(values: Tensor, fill: float = 0.0) -> Tensor:
            """Values of means `(n, T D)` among those that the decoder gives, `(n, T size)`."""
            among = torch.full((len(values), t, size), fill)
            among[:, :, : self.n_features] = values.view(-1, t, self.n_features)
            return among.flatten(1)

        bias = placed(components.mean[None], log_variance_input(components.noise))[0]
        decoder.start(placed(directions).T, placed(components.by_condition).T, bias)

    # --- generation

    def encode(self, frames: Tensor, condition: Tensor) -> Tensor:
        """The code `(B, Z)` of windows `(B, T, D)`, without a draw: of a distribution its mean.

        Raises:
            ValueError: the model has no encoder, or shapes are not its own.
        """
        raise NotImplementedError

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        """Windows `(B, T, D)` of codes `(B, Z)`, without a draw: of a distribution its mean.

        Raises:
            ValueError: shapes are not its own.
        """
        raise NotImplementedError

    def prior(self, n: int, rng: torch.Generator) -> Tensor:
        """`n` draws of the model's own prior, `(n, Z)`; standard normal, if it says nothing else."""
        return torch.randn(n, self.latent_size, generator=rng, device=rng.device).to(self.like)

    def sample(self, n: int, condition: Tensor, rng: torch.Generator) -> Tensor:
        """`n` windows `(n, T, D)` of the model's own prior; `condition` is `(n, K)`."""
        return self.decode(self.prior(n, rng), condition)

    # --- training

    def losses(self, windows: Windows, progress: float = 1.0) -> dict[str, Tensor]:
        """Terms of each window, `name -> (B,)`, those of likelihoods in nats; `loss` is watched on validation data.

        Args:
            windows: a batch.
            progress: share of training that is done, for schedules; 1: they are over.
        """
        raise NotImplementedError

    def condition_of(self, windows: Windows) -> Tensor:
        """The condition of windows, `(B, K)`; in training it is hidden now and then."""
        if not (self.training and self.condition_size and self.condition_dropout):
            return windows.condition
        return windows.condition * (windows.uniform("condition", 1) >= self.condition_dropout)

    def elbo(self, windows: Windows) -> Tensor | None:
        """A lower bound on the log-likelihood of each window, nats, by one draw, `(B,)`; None: there is none."""
        return None

    def players(self) -> list[Player]:
        """Who is trained, in the order of their steps; one player lowers `losses`."""
        return [Player("model", [p for p in self.parameters() if p.requires_grad], self.losses)]

    def after_step(self) -> None:
        """Do what belongs between the steps of an optimizer, such as averaging weights."""
        return

    # --- sizes and checks

    def size(self, n_frames: int) -> tuple[int, int]:
        """Parameters, and multiplications with additions to make one window."""
        with evaluating(self), torch.no_grad(), FlopCounterMode(display=False) as counter:
            self.decode(self.like.new_zeros(1, self.latent_size), self.like.new_zeros(1, self.condition_size))
        return sum(p.numel() for p in self.parameters()), counter.get_total_flops() // 2

    @property
    def like(self) -> Tensor:
        """A tensor of the type and on the device of the parameters."""
        return next(self.parameters())

    def check(self, condition: Tensor, *, frames: Tensor | None = None, latents: Tensor | None = None) -> None:
        """Refuse what has not the shape that the model was built for.

        Raises:
            ValueError: frames, latents or condition are of another shape.
        """
        n, wrong = len(condition), []
        given: list[tuple[str, Tensor, tuple[int, ...]]] = [("condition (B, K)", condition, (n, self.condition_size))]
        if frames is not None:
            given.append(("frames (B, T, D)", frames, (n, self.window_frames, self.n_features)))
        if latents is not None:
            given.append(("latents (B, Z)", latents, (n, self.latent_size)))
        for name, value, shape in given:
            if tuple(value.shape) != shape:
                wrong.append(f"{name} must be {shape}, got {tuple(value.shape)}")
        refuse(wrong)
