"""The learning rate of transformers: straight up, then straight down to nothing."""

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
