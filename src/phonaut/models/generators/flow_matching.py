"""Flow matching: windows by an ordinary differential equation from noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from phonaut.checks import BELOW_ONE, within
from phonaut.models.generators.generator import Generator, Windows
from phonaut.networks.velocity import VelocityNetwork


class FlowMatching(Generator):
    """Flow matching along straight lines (Lipman et al. 2022; Liu et al. 2022, "Flow straight and fast").

    With noise e ~ N(0, I), a window x and `x_t = (1 - t) e + t x`, the loss is the mean square of

        v(x_t, t, c) - (x - e),   logit(t) ~ N(0, 1) (Esser et al. 2024)

    Samples solve `dx/dt = v` from t = 0 to 1 by the midpoint rule; the latents of a window, as many as it has values,
    solve it backwards. Evaluation uses the running mean of the weights of training. Where there is a condition,
    training drops it now and then, and samples may be drawn further towards it (Ho and Salimans 2022,
    "Classifier-free diffusion guidance"):

        v = v(x, t, none) + guidance (v(x, t, c) - v(x, t, none))

    Args:
        n_features: D.
        window_frames: T, at least 4.
        condition_size: K.
        channels: of the convolutions.
        hidden_size: units of the linear layer in the middle.
        n_steps: of the midpoint rule, each of which asks the network twice.
        guidance: 1: that of the condition itself.
        condition_dropout: probability that training drops a condition.
        averaging: factor on the mean so far with every step; fewer steps are averaged at first.
    """

    terms = ("loss",)
    is_invertible = True
    RULES: ClassVar = {
        **Generator.RULES,
        "n_steps": within(1, 10_000),
        "guidance": within(0, 1000),
        "averaging": BELOW_ONE,
    }

    def __init__(
        self,
        *,
        n_features: int,
        window_frames: int = 20,
        condition_size: int = 0,
        channels: Sequence[int] = (64, 128, 256),
        hidden_size: int = 512,
        n_steps: int = 8,
        guidance: float = 1.0,
        condition_dropout: float = 0.1,
        averaging: float = 0.999,
    ) -> None:
        super().__init__(
            n_features=n_features,
            window_frames=window_frames,
            condition_size=condition_size,
            latent_size=window_frames * n_features,
            condition_dropout=condition_dropout,
        )
        self.n_steps, self.guidance = n_steps, guidance
        self.velocity = VelocityNetwork(
            n_features=n_features,
            window_frames=window_frames,
            n_condition=condition_size,
            channels=channels,
            hidden_size=hidden_size,
        )
        self.average = AveragedModel(self.velocity, multi_avg_fn=partial(running_mean, averaging=averaging))
        self.average.requires_grad_(False)

    def after_step(self) -> None:
        """Take the weights into their running mean."""
        self.average.update_parameters(self.velocity)

    def in_use(self, frames: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """Velocities `(B, T, D)` by the weights of training, or in evaluation by their mean."""
        velocity: Tensor = (self.velocity if self.training else self.average)(frames, time, condition)
        return velocity

    def guided(self, frames: Tensor, time: float, condition: Tensor) -> Tensor:
        """Velocities `(B, T, D)` at one time, with guidance."""
        at = frames.new_full((len(frames),), time)
        found = self.in_use(frames, at, condition)
        if self.guidance == 1.0 or not self.condition_size:
            return found
        free = self.in_use(frames, at, torch.zeros_like(condition))
        return free + self.guidance * (found - free)

    def encode(self, frames: Tensor, condition: Tensor) -> Tensor:
        """The noise that windows come from, `(B, T D)`."""
        self.check(condition, frames=frames)
        noise = integrate(partial(self.guided, condition=condition), frames, self.n_steps, start=1.0, end=0.0)
        return noise.flatten(1)

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        """Windows `(B, T, D)` that noise `(B, T D)` becomes."""
        self.check(condition, latents=latents)
        noise = latents.view(-1, self.window_frames, self.n_features)
        return integrate(partial(self.guided, condition=condition), noise, self.n_steps)

    def losses(self, windows: Windows, progress: float = 1.0) -> dict[str, Tensor]:
        """The mean square over the values of a window."""
        frames, condition = windows.frames, self.condition_of(windows)
        self.check(condition, frames=frames)
        time = windows.draw("time", 1).squeeze(1).sigmoid()
        noise = windows.draw("noise", self.latent_size).view_as(frames)
        along = time[:, None, None]
        velocity = self.in_use((1.0 - along) * noise + along * frames, time, condition)
        return {"loss": (velocity.to(frames.dtype) - (frames - noise)).square().flatten(1).mean(dim=1)}


def integrate(
    velocity: Callable[[Tensor, float], Tensor], x: Tensor, n_steps: int, *, start: float = 0.0, end: float = 1.0
) -> Tensor:
    """The solution at `end` of `dx/dt = velocity(x, t)` that is `x` at `start`, by the midpoint rule.

    >>> round(float(integrate(lambda x, t: x, torch.ones(1), 100)), 3)
    2.718
    """
    step = (end - start) / n_steps
    for k in range(n_steps):
        t = start + k * step
        x = x + step * velocity(x + 0.5 * step * velocity(x, t), t + 0.5 * step)
    return x


@torch.no_grad()
def running_mean(averaged: Any, current: Any, n: Tensor, *, averaging: float) -> None:
    """Move means towards weights: over the first steps nearly their mean, then `averaging` of what there was."""
    share = 1.0 - min(averaging, (1.0 + float(n)) / (10.0 + float(n)))
    torch._foreach_lerp_(averaged, current, share)
