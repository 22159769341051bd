"""Learning rates that warm up: straight down to nothing afterwards (transformers), or exponentially (speakers)."""

from __future__ import annotations

import torch


class Warmup(torch.optim.lr_scheduler.LRScheduler):
    """Linear warm-up, then linear decay to zero where training ends (as BERT: Devlin et al. 2018, appendix A.2).

    In step k of K the rate is `lr min(k / (share K), (K - k) / ((1 - share) K))`, counted from 1 on the way up.

    Args:
        optimizer: its rates are the highest.
        total_steps: K.
        share: of the steps that warm up.
        last_epoch: as of every scheduler.

    Raises:
        ValueError: a share that is not within 0 and 1, or no steps.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, total_steps: int, share: float = 0.07, last_epoch: int = -1
    ) -> None:
        if not 0 <= share < 1 or total_steps < 1:
            raise ValueError(f"share is from 0 to below 1 and total_steps at least 1, got {share} and {total_steps}")
        self.total_steps, self.share = total_steps, share
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | torch.Tensor]:
        """The rates of the next step."""
        step, up = self.last_epoch + 1, self.share * self.total_steps
        rising = step / up if up else 1.0
        falling = (self.total_steps - self.last_epoch) / (self.total_steps - up)
        return [rate * max(0.0, min(rising, falling, 1.0)) for rate in self.base_lrs]


class ExponentialWarmup(torch.optim.lr_scheduler.LRScheduler):
    """Linear warm-up of a rate that falls by the same factor in each step.

    In step k of K, from 0, the rate is `lr min(1, (k + 1) / (share K)) final^(k / K)` (Wang et al. 2022, wespeaker's
    recipes for speaker verification: from 0.1 to 5e-5 in 150 epochs, of which 6 warm up).

    Args:
        optimizer: its rates are the highest.
        total_steps: K.
        share: of the steps that warm up.
        final: the last rate, as a part of the highest.
        last_epoch: as of every scheduler.

    Raises:
        ValueError: shares that are not within 0 and 1, or no steps.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        total_steps: int,
        share: float = 0.04,
        final: float = 5e-4,
        last_epoch: int = -1,
    ) -> None:
        if not (0 <= share < 1 and 0 < final <= 1) or total_steps < 1:
            raise ValueError(
                f"share is from 0 to below 1, final above 0 to 1 and total_steps at least 1, got {share}, {final} and "
                f"{total_steps}"
            )
        self.total_steps, self.share, self.final = total_steps, share, final
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | torch.Tensor]:
        """The rates of the next step."""
        up = self.share * self.total_steps
        rising = min(1.0, (self.last_epoch + 1) / up) if up else 1.0
        falling = self.final ** min(1.0, self.last_epoch / self.total_steps)
        return [rate * rising * falling for rate in self.base_lrs]
