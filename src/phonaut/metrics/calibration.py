"""Scores of verification as log-likelihood ratios: logistic calibration and fusion, and what a threshold means.

An affine map of one score or of several scores and quality inputs, whose value plus the prior log odds is the logit of
a target (Brummer 2005, "FoCal"; Pigeon et al. 2000). There is one against each kind of non-targets, and the ratio
against all of them is that of their mixture. A Bayes threshold then follows from costs alone (`Cost.threshold`), and is
no number that somebody has found on some data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from phonaut.arrays import Array
from phonaut.checks import refuse
from phonaut.metrics.intervals import wilson
from phonaut.metrics.verification import NON_TARGETS, TARGET, error_rates

PRIORS = {"TC": 0.5, "IC": 0.25, "TW": 0.25}
RIDGE = 1e-6
KINDS = {"IC": "impostors", "TW": "owners with a wrong phrase", "IW": "impostors with a wrong phrase"}


@dataclass(frozen=True)
class Calibration:
    """An affine map of named inputs to a log-likelihood ratio (natural logarithm).

    All of it is numbers and names: `dataclasses.asdict` makes what JSON keeps, and `Calibration(**kept)` reads it.

    Attributes:
        weights: of each input.
        offset: added to them.
        priors: of the conditions that it was fitted with.
        n_trials: of each condition that it was fitted on.
    """

    weights: dict[str, float]
    offset: float
    priors: dict[str, float]
    n_trials: dict[str, int]

    def __call__(self, inputs: Mapping[str, ArrayLike]) -> Array:
        """Log-likelihood ratios of trials, `(N,)`.

        Args:
            inputs: each of those that it was fitted on, by name, `(N,)`; others are not read. They may be infinite.

        Raises:
            ValueError: an input is missing, NaN, or of another length than the first; infinite ones cancel.
        """
        missing = [name for name in self.weights if name not in inputs]
        if missing:
            raise ValueError(f"calibration needs the inputs {', '.join(self.weights)}; missing: {', '.join(missing)}")
        columns = columns_of({name: inputs[name] for name in self.weights})
        ratios = np.full(len(columns), self.offset)
        with np.errstate(invalid="ignore"):
            for weight, column in zip(self.weights.values(), columns.T, strict=True):
                ratios = ratios + (weight * column if weight else 0.0)
        if np.isnan(ratios).any():
            raise ValueError(f"infinite inputs must not cancel; they do in row {int(np.isnan(ratios).argmax())}")
        return ratios


@dataclass(frozen=True)
class Fusion:
    r"""Log-likelihood ratio of a target to a mixture of kinds of non-targets, each of which has a calibration.

        log p(x | target) - log sum_k pi_k p(x | k) = -log sum_k pi_k exp(-r_k),   r_k = log p(x | target) / p(x | k)

    An owner's wrong phrase is told by the phrase score, an impostor by the speaker score: the mixture is near the
    smaller ratio, so that neither score makes up for the other, as it does in one sum of both. Against a single kind it
    is that calibration.

    Source: of such mixtures for spoofs beside impostors, Wang et al. 2024, arXiv 2406.10836.

    Attributes:
        against: the calibration against each kind of non-targets.
        priors: `pi_k` of the kinds, adding up to 1.
    """

    against: dict[str, Calibration]
    priors: dict[str, float]

    def __call__(self, inputs: Mapping[str, ArrayLike]) -> Array:
        """Log-likelihood ratios of trials, `(N,)`; arguments and errors as of `Calibration`."""
        parts = [math.log(self.priors[kind]) - one(inputs) for kind, one in self.against.items()]
        return parts[0] * -1 if len(parts) == 1 else -np.logaddexp.reduce(parts, axis=0)

    @property
    def n_trials(self) -> dict[str, int]:
        """Trials of each condition that it was fitted on."""
        return {kind: n for one in self.against.values() for kind, n in one.n_trials.items()}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Fusion:
        """What `dataclasses.asdict` made, or made of the one calibration of earlier runs.

        Raises:
            ValueError: it is none.
        """
        try:
            if "weights" in kept:
                return cls({"": Calibration(**kept)}, {"": 1.0})
            return cls({kind: Calibration(**one) for kind, one in kept["against"].items()}, dict(kept["priors"]))
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"this is no calibration: {error}") from error


def fit_fusion(
    inputs: Mapping[str, ArrayLike], condition: ArrayLike, *, priors: Mapping[str, float] = PRIORS, ridge: float = RIDGE
) -> Fusion:
    """Fit a calibration against each kind of non-targets; arguments and errors as of `fit_calibration`."""
    kinds = np.asarray(condition)
    shares, _ = used_priors(priors, kinds)
    target = shares.pop(TARGET)
    against = {
        kind: fit_calibration(inputs, kinds, priors={TARGET: target, kind: 1 - target}, ridge=ridge) for kind in shares
    }
    return Fusion(against, {kind: share / (1 - target) for kind, share in shares.items()})


def fit_calibration(
    inputs: Mapping[str, ArrayLike],
    condition: ArrayLike,
    *,
    priors: Mapping[str, float] = PRIORS,
    ridge: float = RIDGE,
) -> Calibration:
    """Fit a calibration (one input) or fusion (several) on development trials.

    The prior-weighted cross-entropy of `w x + b + logit(prior of targets)` is minimised: each condition weighs as much
    as its prior, however many trials it has. Two terms keep it finite. A trial counts as its own kind by
    `(n + 1) / (n + 2)` and as the other by `1 / (n + 2)`, for the n trials of its kind (Platt 1999): scores that
    separate all n do not prove odds above about n to 1, where plain cross-entropy would take the weights to infinity.
    And `ridge / 2` times the squared weights of inputs of unit variance is added, so that inputs which are sums of
    others share one solution.

    Args:
        inputs: scores and quality inputs by name, `(N,)` each, finite.
        condition: `TC`, `TW`, `IC` or `IW` of each trial, `(N,)`.
        priors: of the conditions; that of `TC` is the target's. Trials of a condition without prior are left out, `IW`
            by default, which whatever tells the others apart tells too. The prior of one without trials goes to the
            other non-targets, in their proportions. What was used is in the result.
        ridge: see above.

    Raises:
        ValueError: an input is not finite, lengths differ, conditions or priors are none, or there are no targets or
            no non-targets.
        RuntimeError: the minimum was not found.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    kinds, names = np.asarray(condition), list(inputs)
    if not names:
        raise ValueError("calibration must have an input; got none")
    columns = columns_of(inputs)
    if kinds.shape != (len(columns),):
        raise ValueError(f"there must be one condition for each trial; got {kinds.shape} for {len(columns)} trials")
    strange = ~np.isin(kinds, [TARGET, *NON_TARGETS])
    if strange.any():
        raise ValueError(f"condition must be TC, TW, IC or IW; got {kinds[strange][0]} in row {int(strange.argmax())}")
    endless = ~np.isfinite(columns)
    if endless.any():
        row, column = np.argwhere(endless)[0]
        raise ValueError(f"inputs must be finite; {names[column]} has {columns[row, column]} in row {row}")
    shares, counts = used_priors(priors, kinds)
    weight = np.zeros(len(kinds))
    label = np.zeros(len(kinds))
    n_others = sum(n for kind, n in counts.items() if kind != TARGET)
    for kind, share in shares.items():
        weight[kinds == kind] = share / counts[kind]
        label[kinds == kind] = (counts[kind] + 1) / (counts[kind] + 2) if kind == TARGET else 1 / (n_others + 2)
    used = weight > 0
    x, weight, label = columns[used], weight[used], label[used]
    centre = weight @ x
    scale = np.sqrt(weight @ (x - centre) ** 2)
    scale = np.where(scale > 1e-12 * np.abs(x).max(axis=0, initial=1e-300), scale, np.inf)  # constant: of no weight
    x = np.column_stack([(x - centre) / scale, np.ones(len(x))])
    prior_odds = math.log(shares[TARGET] / (1 - shares[TARGET]))
    penalty = np.append(np.full(len(names), ridge), 0.0)

    def loss(w: Array) -> tuple[float, Array]:
        logit = x @ w + prior_odds
        value = weight @ (np.logaddexp(0.0, logit) - label * logit) + penalty @ w**2 / 2
        return float(value), x.T @ (weight * (expit(logit) - label)) + penalty * w

    def curvature(w: Array) -> Array:
        p = expit(x @ w + prior_odds)
        result: Array = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        return result

    found = minimize(loss, np.zeros(len(names) + 1), jac=True, hess=curvature, method="trust-exact",
                     options={"gtol": 1e-10})  # fmt: skip
    slope = float(np.abs(loss(found.x)[1]).max())
    if not slope < 1e-6:
        raise RuntimeError(f"calibration did not find its minimum: {found.message} The slope left is {slope:.1g}.")
    weights = found.x[:-1] / scale
    offset = float(found.x[-1] - weights @ centre)
    return Calibration(dict(zip(names, weights.tolist(), strict=True)), offset, shares, counts)


def used_priors(priors: Mapping[str, float], kinds: np.ndarray[Any, Any]) -> tuple[dict[str, float], dict[str, int]]:
    """Priors of the conditions that have trials, adding up to 1, and how many trials each has."""
    problems = [f"{kind} is no condition" for kind in priors if kind not in (TARGET, *NON_TARGETS)]
    problems += [f"the prior of {kind} must be >= 0, got {p}" for kind, p in priors.items() if not 0 <= p < math.inf]
    if not 0 < priors.get(TARGET, 0) < 1 or not math.isclose(sum(priors.values()), 1, abs_tol=1e-9):
        problems.append(f"they must add up to 1, with TC between 0 and 1; got {dict(priors)}")
    refuse(problems, "priors of the conditions: ")
    counts = {kind: int((kinds == kind).sum()) for kind, prior in priors.items() if prior > 0}
    counts = {kind: n for kind, n in counts.items() if n}
    rest = sum(priors[kind] for kind in counts if kind != TARGET)
    if TARGET not in counts or rest == 0:
        raise ValueError(
            f"calibration must have targets and non-targets of the conditions {', '.join(priors)}; got trials of "
            f"{', '.join(counts) or 'none of them'}"
        )
    target = priors[TARGET]
    shares = {kind: target if kind == TARGET else (1 - target) * priors[kind] / rest for kind in counts}
    return shares, counts


def quality_inputs(name: str, enrolled: ArrayLike, tested: ArrayLike, *, ratio: bool = True) -> dict[str, Array]:
    """Least, greatest, difference and ratio of a quantity of the two sides of each trial, as inputs of a fusion.

    Args:
        name: of the quantity, such as `duration`, `norm`, `cohort mean`; names of the inputs start with it.
        enrolled: of the enrolment, `(N,)`.
        tested: of the recording, `(N,)`.
        ratio: also the least by the greatest; False for what may be negative, such as means of cohorts.

    Raises:
        ValueError: a quantity is not finite, or, with `ratio`, not above 0.

    >>> {key: value.tolist() for key, value in quality_inputs("duration", [2.0], [1.0]).items()}
    {'duration least': [1.0], 'duration greatest': [2.0], 'duration difference': [1.0], 'duration ratio': [0.5]}
    """
    pair = columns_of({f"{name} enrolled": enrolled, f"{name} tested": tested}).T
    least, greatest = pair.min(axis=0), pair.max(axis=0)
    wrong = ~np.isfinite(pair).all(axis=0) | (least <= 0 if ratio else False)
    if wrong.any():
        row = int(wrong.argmax())
        rule = "finite and > 0, as a ratio is taken" if ratio else "finite"
        raise ValueError(f"{name} must be {rule}; got {pair[0, row]} and {pair[1, row]} in row {row}")
    inputs = {f"{name} least": least, f"{name} greatest": greatest, f"{name} difference": greatest - least}
    return inputs | ({f"{name} ratio": least / greatest} if ratio else {})


def columns_of(inputs: Mapping[str, ArrayLike]) -> Array:
    """Inputs as columns, `(N, F)`.

    Raises:
        ValueError: one is NaN, or no row of the length of the first.
    """
    arrays = {name: np.asarray(column, dtype=np.float64) for name, column in inputs.items()}
    size = next(iter(arrays.values())).size
    for name, column in arrays.items():
        if column.shape != (size,):
            raise ValueError(f"inputs must be rows of one length; {name} is {column.shape}, the first has {size}")
        if np.isnan(column).any():
            raise ValueError(f"inputs must be numbers; {name} has NaN in row {int(np.isnan(column).argmax())}")
    return np.stack(list(arrays.values()), axis=1)


def threshold_in_words(scores: ArrayLike, condition: ArrayLike, threshold: float) -> str:
    """What a threshold means on measured trials, as a sentence.

    Args:
        scores: `(N,)`.
        condition: `TC`, `TW`, `IC` or `IW` of each, `(N,)`.
        threshold: least score that is accepted.

    Raises:
        ValueError: as for `metrics.verification.eer`.

    >>> threshold_in_words([3.0, 2.0, 1.0, -1.0, 1.5], ["TC", "TC", "TC", "IC", "IC"], 1.2)
    'At a threshold of 1.2, of 100 impostors 50 are let in; of 100 owners 33 are turned away; measured on 2 trials of \
impostors and 3 of owners.'
    """
    values, kinds = np.asarray(scores, dtype=np.float64), np.asarray(condition)
    parts: list[str] = []
    measured: list[str] = []
    for kind, who in KINDS.items():
        rows = np.isin(kinds, [TARGET, kind])
        if (kinds == kind).any():
            miss, false_alarm = error_rates(values[rows], kinds[rows] == TARGET, threshold)
            n = int((kinds == kind).sum())
            parts.append(of_many(false_alarm, n, who, "let in"))
            measured.append(f"{n:,}{'' if measured else ' trials'} of {who}")
    if not parts:
        error_rates(values, kinds == TARGET, threshold)  # raises: there are no non-targets
    n = int((kinds == TARGET).sum())
    parts.append(of_many(miss, n, "owners", "turned away"))
    return (
        f"At a threshold of {threshold:.4g}, {'; '.join(parts)}; measured on {', '.join(measured)} and {n:,} of owners."
    )


def of_many(rate: float, n: int, who: str, fate: str) -> str:
    """A rate as `of 1000 impostors 12 are let in`: of a round number no larger than the trials call for.

    >>> of_many(0.0, 300, "impostors", "let in")
    'none of 300 impostors is let in, so that of 1000 fewer than 13 should be'
    """
    if rate == 0:
        most = math.ceil(1000 * wilson(0, n)[1])
        return f"none of {n:,} {who} is {fate}, so that of 1000 fewer than {most} should be"
    base = 100
    while base < n and abs(round(base * rate) - base * rate) > 0.05 * base * rate:
        base *= 10
    number = round(base * rate)
    return f"of {base:,} {who} ".replace("1,000 ", "1000 ") + f"{number:,} {'is' if number == 1 else 'are'} {fate}"
