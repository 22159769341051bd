"""Bayes decision from log-likelihoods of classes: priors, costs, and calibration by logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)  # of which cross-validation over speakers chooses
FOLDS = 5


class BayesDecision(nn.Module):
    """Scores of classes from `l_c = log p(x | c)`, `(B, C) -> (B, C)`, larger is better.

    Without costs, `s_c = l_c + log p(c)`: the greatest is the most probable class. With costs, where `k_ij` is that of
    taking i for j, `s_j = -sum_i p(i | x) k_ij`: the greatest has the least expected cost (Duda and Hart 1973, section
    2.2). With calibration, `W l + b` stands for `l + log p(c)`; `l` is standardised before.

    Args:
        n_classes: C.
        priors: `training`: as `set_priors` says; `uniform`.
        costs: `k`, `(C, C)`, or None.
        calibration: calibrate by logistic regression; until it is fitted it does nothing.

    Raises:
        ValueError: costs are not `(C, C)`, negative, or not finite.

    >>> scores = BayesDecision(2, costs=[[0, 1], [5, 0]])(torch.log(torch.tensor([[0.7, 0.3]])))
    >>> [round(float(score), 3) for score in scores[0]]  # to take 1 for 0 costs 5
    [-1.5, -0.7]
    """

    def __init__(
        self,
        n_classes: int,
        *,
        priors: Literal["training", "uniform"] = "training",
        costs: Sequence[Sequence[float]] | None = None,
        calibration: bool = False,
    ) -> None:
        super().__init__()
        if priors not in ("training", "uniform"):
            raise ValueError(f"priors is training or uniform, got {priors}")
        self.priors, self.calibration = priors, calibration
        self.log_prior: Tensor
        self.costs: Tensor | None
        self.weight: Tensor
        self.bias: Tensor
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("log_prior", torch.full((n_classes,), -np.log(n_classes), dtype=torch.float64))
        if costs is None:
            self.costs = None
        else:
            table = torch.tensor(np.array(costs, dtype=np.float64))
            if table.shape != (n_classes, n_classes) or not bool((table.isfinite() & (table >= 0)).all()):
                raise ValueError(
                    f"costs must be {n_classes} rows of {n_classes} numbers, finite and not negative; got {costs}"
                )
            self.register_buffer("costs", table)
        if calibration:
            self.register_buffer("weight", torch.eye(n_classes, dtype=torch.float64))
            self.register_buffer("bias", torch.zeros(n_classes, dtype=torch.float64))
            self.register_buffer("centre", torch.zeros(n_classes, dtype=torch.float64))
            self.register_buffer("scale", torch.ones(1, dtype=torch.float64))

    def set_priors(self, counts: Tensor) -> None:
        """Take the shares of `counts (C,)` as priors, if they are to come from training."""
        if self.priors == "training":
            self.log_prior.copy_((counts.double() / counts.sum()).log())

    def forward(self, log_likelihoods: Tensor) -> Tensor:
        """Scores `(B, C)`."""
        logs = log_likelihoods.to(self.log_prior)
        if self.calibration:
            scores = self.standardized(logs) @ self.weight.T + self.bias + self.log_prior
        else:
            scores = logs + self.log_prior
        if self.costs is not None:
            scores = -(scores.softmax(dim=1) @ self.costs)
        return scores

    def standardized(self, logs: Tensor) -> Tensor:
        """Log-likelihoods relative to the mean over classes: what is common to all says nothing."""
        return (logs - logs.mean(dim=1, keepdim=True) - self.centre) / self.scale

    def fit_calibration(
        self, log_likelihoods: ArrayLike, labels: NDArray[np.int64], speakers: NDArray[np.str_]
    ) -> tuple[float, float]:
        """Fit multinomial logistic regression, its distance from `a I` penalised.

        The loss is `-mean log softmax(W z + b + log p(c))_y + penalty / C (|W - a I|^2 + |b|^2)`, with `a` what is best
        for W = a I. The penalty is that of the least loss in cross-validation over speakers.

        Args:
            log_likelihoods: of the validation split, `(B, C)`.
            labels: classes, `(B,)`.
            speakers: `(B,)`.

        Returns:
            The chosen penalty, and the accuracy in cross-validation with it.
        """
        x = torch.from_numpy(np.asarray(log_likelihoods, dtype=np.float64))
        x = x - x.mean(dim=1, keepdim=True)
        self.centre.copy_(x.mean(dim=0))
        self.scale.copy_((x - self.centre).std() + 1e-12)
        z, y = (x - self.centre.cpu()) / self.scale.cpu(), torch.from_numpy(labels)
        fold_of = np.unique(speakers, return_inverse=True)[1] % FOLDS
        if len(np.unique(fold_of)) < 2:
            fold_of = np.arange(len(labels)) % FOLDS  # one speaker
        best = (np.inf, PENALTIES[-1], 0.0)
        for penalty in PENALTIES:
            loss, right = 0.0, 0
            for fold in np.unique(fold_of):
                held = torch.from_numpy(fold_of == fold)
                w, b = self._optimum(z[~held], y[~held], penalty)
                scores = z[held] @ w.T + b + self.log_prior.cpu()
                loss += float(nn.functional.cross_entropy(scores, y[held], reduction="sum"))
                right += int((scores.argmax(dim=1) == y[held]).sum())
            best = min(best, (loss / len(y), penalty, right / len(y)))
        w, b = self._optimum(z, y, best[1])
        self.weight.copy_(w)
        self.bias.copy_(b)
        return best[1], best[2]

    def _optimum(self, z: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
        n, eye = z.shape[1], torch.eye(z.shape[1], dtype=z.dtype)
        a = torch.zeros((), dtype=z.dtype, requires_grad=True)  # the logarithm of it
        w, b = torch.zeros_like(eye, requires_grad=True), torch.zeros(n, dtype=z.dtype, requires_grad=True)
        log_prior = self.log_prior.cpu()

        def value() -> Tensor:
            scores = z @ (w + a.exp() * eye).T + b + log_prior
            return nn.functional.cross_entropy(scores, y) + penalty / n * (w.square().sum() + b.square().sum())

        for chosen in ([a], [a, w, b]):
            optimizer = torch.optim.LBFGS(chosen, max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

            def closure(optimizer: torch.optim.LBFGS = optimizer) -> Tensor:
                optimizer.zero_grad()
                loss = value()
                loss.backward()  # type: ignore[no-untyped-call]
                return loss

            optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            return w + a.exp() * eye, b.detach()
