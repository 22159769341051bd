"""Wasserstein generative adversarial network with a gradient penalty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from phonaut.checks import at_least, within
from phonaut.models.generators.generator import Generator, Player, Windows
from phonaut.models.generators.principal import PrincipalComponents
from phonaut.networks.conv_autoencoder import Activation, ConvEncoder


class WGANGP(Generator):
    """WGAN-GP (Gulrajani et al. 2017, algorithm 1): a generator against a critic f of slope 1.

        critic:     lowers  f(G(z)) - f(x) + lambda (|grad f(y)| - 1)^2,   y = u x + (1 - u) G(z), u ~ U(0, 1)
        generator:  lowers  -f(G(z))

    with one u for each window. The critic takes a step with every batch, the generator with every fifth. `loss` is
    `f(x) - f(G(z))`: with a critic that has converged, the Wasserstein distance of data and samples.

    The critic has no batch normalisation: the penalty is on its slope at single windows. There is no encoder.

    Args:
        n_features: D.
        window_frames: T, at least 4.
        condition_size: K.
        latent_size: Z.
        channels: of the convolutions of both.
        hidden_size: units of the linear layers of both.
        activation: `leaky_relu`, `tanh` or `gated`.
        linear_path: the generator has a linear path; see `Generator`.
        critic_steps: of the critic to one of the generator.
        lambda_gradient: weight of the penalty.
    """

    terms = ("loss", "critic_loss", "gradient_penalty", "generator_loss")
    has_encoder = False
    RULES: ClassVar = {**Generator.RULES, "critic_steps": at_least(1), "lambda_gradient": within(0, 1e6)}

    def __init__(
        self,
        *,
        n_features: int,
        window_frames: int = 20,
        condition_size: int = 0,
        latent_size: int = 128,
        channels: Sequence[int] = (64, 128, 256),
        hidden_size: int = 512,
        activation: Activation = "leaky_relu",
        linear_path: bool = False,
        critic_steps: int = 5,
        lambda_gradient: float = 10.0,
    ) -> None:
        super().__init__(
            n_features=n_features,
            window_frames=window_frames,
            condition_size=condition_size,
            latent_size=latent_size,
            channels=channels,
            hidden_size=hidden_size,
            activation=activation,
            linear_path=linear_path,
        )
        self.critic_steps, self.lambda_gradient = critic_steps, lambda_gradient
        self.decoder = self.make_decoder()
        self.critic = ConvEncoder(
            n_features=n_features, n_outputs=1, n_condition=condition_size, batch_norm=False, **self.options
        )

    def start(self, components: PrincipalComponents) -> None:
        """Begin at draws of a Gaussian of principal components."""
        if self.linear_path:
            self.start_decoder(self.decoder, components.spread, components)

    def encode(self, frames: Tensor, condition: Tensor) -> Tensor:
        """There is no encoder.

        Raises:
            ValueError: always.
        """
        raise ValueError("a WGAN has no encoder: it makes windows of draws, and tells no latents of a window")

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        """Windows `(B, T, D)`."""
        self.check(condition, latents=latents)
        frames: Tensor = self.decoder(latents, condition)
        return frames

    def value(self, frames: Tensor, condition: Tensor) -> Tensor:
        """The critic's value of windows, `(B,)`: larger is more like data."""
        self.check(condition, frames=frames)
        value: Tensor = self.critic(frames, condition)
        return value.squeeze(1)

    def generated(self, windows: Windows, stream: str) -> Tensor:
        """As many windows as there are in a batch, of its conditions."""
        return self.decode(windows.draw(stream, self.latent_size), windows.condition)

    def critic_terms(self, windows: Windows, progress: float = 1.0) -> dict[str, Tensor]:
        """What the critic lowers, and its parts."""
        with torch.no_grad():
            fake = self.generated(windows, "latents of the critic")
        distance = self.value(windows.frames, windows.condition) - self.value(fake, windows.condition)
        penalty = gradient_penalty(
            lambda x: self.value(x, windows.condition), windows.frames, fake, windows.uniform("interpolation", 1)
        )
        return {
            "loss": distance,
            "critic_loss": self.lambda_gradient * penalty - distance,
            "gradient_penalty": penalty,
        }

    def generator_terms(self, windows: Windows, progress: float = 1.0) -> dict[str, Tensor]:
        """What the generator lowers."""
        return {"generator_loss": -self.value(self.generated(windows, "latents"), windows.condition)}

    def losses(self, windows: Windows, progress: float = 1.0) -> dict[str, Tensor]:
        """`loss` alone, the distance that the critic measures."""
        fake = self.generated(windows, "latents")
        return {"loss": self.value(windows.frames, windows.condition) - self.value(fake, windows.condition)}

    def players(self) -> list[Player]:
        """The critic, then the generator."""
        critic, generator = list(self.critic.parameters()), list(self.decoder.parameters())
        return [
            Player("critic", critic, self.critic_terms, loss="critic_loss"),
            Player("generator", generator, self.generator_terms, loss="generator_loss", every=self.critic_steps),
        ]


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """`(|grad f(y)| - 1)^2` at points between real and generated windows, `(B,)`.

    Args:
        critic: f, `(B, T, D) -> (B,)`, each value of its own window alone.
        real: `(B, T, D)`.
        fake: `(B, T, D)`.
        share: of the real window in the point between, `(B, 1)`: one for a whole window.

    >>> ones = torch.ones(2, 4, 4)
    >>> gradient_penalty(lambda x: x.sum((1, 2)), ones, -ones, torch.rand(2, 1)).tolist()  # of slope 4
    [9.0, 9.0]
    """
    share = share[:, :, None].to(real)
    between = (share * real + (1.0 - share) * fake).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    slope: Tensor = gradient.flatten(1).norm(dim=1)
    return (slope - 1.0).square()
