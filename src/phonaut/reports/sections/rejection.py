"""None of these: the threshold of a classifier of words, and what it rejects of words and of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phonaut.metrics import Estimate
from phonaut.metrics.verification import det_curve
from phonaut.models.prototypes import UNKNOWN
from phonaut.reports.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, Curve, Tick, marks, scale, thinned
from phonaut.reports.html import render as rendered
from phonaut.reports.record import Evaluation, Record
from phonaut.reports.sections import Section
from phonaut.reports.text import figure, interval, percent, things, whole
from phonaut.tasks.rejection import Mask, Sides, rates, scale_of, sides

N_BINS = 25
MOST_POINTS = 300  # of a curve


def render(record: Record) -> Section | None:
    """The section; None where the run keeps no threshold, or nothing was said that it is for."""
    found, evaluation = record.run.model.get("rejection"), record.main
    if not found or evaluation.predictions is None:
        return None
    s = sides(evaluation.predictions, scale_of(found, record.run.config.model))
    has_others = bool(s.other.any())
    others, against = (s.other, "other words") if has_others else (s.word & ~s.right, "wrong answers")
    words, of = (s.word, "words") if has_others else (s.right, "right answers")
    drawn = [histogram(s, words, others, found, of, against)] if (words | others).any() else []
    if words.any() and others.any():
        drawn.insert(0, roc(s, words, others, found["threshold"], of, against))
    content = {
        "how": rejection_in_words(found),
        "here": rates_in_words(record, evaluation),
        "name_of": evaluation.name,
        "has_others": has_others,
        "charts": drawn,
    }
    return Section(rendered("rejection.html", content), {"rejection": "None of these"})


def rates_in_words(record: Record, evaluation: Evaluation) -> str:
    """What the threshold of the run rejects and accepts of an evaluation, with intervals; empty where it has none."""
    found = record.run.model.get("rejection")
    if not found or evaluation.predictions is None:
        return ""
    estimates = rates(evaluation.predictions, found, scale_of(found, record.run.config.model))

    def said(rate: Estimate, what: str, becomes: str) -> str:
        return f"{percent(rate.value)} of {whole(rate.n)} {what} are {becomes} (95 % interval {interval(rate)})"

    names = {"words_rejected": ("words", "rejected"), "others_accepted": ("others", "accepted")}
    return ", ".join(said(rate, *names[name]) for name, rate in estimates.items())


def roc(s: Sides, words: Mask, others: Mask, threshold: float, of: str, against: str) -> Chart:
    """Words that are accepted, against others that are, at all thresholds; a dot at the one in use."""
    scores = np.concatenate([s.score[words], s.score[others]])
    curve = det_curve(scores, np.arange(len(scores)) < words.sum())
    x, y = scale(0.0, 1.0, LEFT, WIDTH - RIGHT), scale(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    points = [(x(alarm), y(1 - miss)) for alarm, miss in zip(curve.false_alarm, curve.miss, strict=True)]
    at = float((s.score[others] >= threshold).mean()), float((s.score[words] >= threshold).mean())
    area = -float(np.trapezoid(1 - curve.miss, curve.false_alarm))
    ticks = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in thinned(points, MOST_POINTS))
    return Chart(
        title=f"{of} accepted, against {against} accepted".capitalize(),
        curves=[Curve("words", path, percent(at[1]), (x(at[0]), y(at[1])))],
        x_ticks=[Tick(x(mark), f"{100 * mark:.0f} %") for mark in ticks],
        y_ticks=[Tick(y(mark), f"{100 * mark:.0f} %") for mark in ticks],
        readings=[],
        best_x=None,
        description=f"ROC curve: at the threshold in use {percent(at[1])} of {of} and {percent(at[0])} of {against} "
        f"are accepted; area under the curve {figure(area)}",
    )


def histogram(s: Sides, words: Mask, others: Mask, found: Mapping[str, Any], of: str, against: str) -> Chart:
    """Scores of words and of others, each as shares; the threshold is a line."""
    sets = {"words": (of, s.score[words]), "others": (against, s.score[others])}
    sets = {name: one for name, one in sets.items() if len(one[1])}
    is_cosine = "false_accepts" in found
    low = min(0.0, *(float(scores.min()) for _, scores in sets.values())) if is_cosine else 0.0
    edges = np.linspace(low, 1.0, N_BINS + 1)
    shares = {name: np.histogram(np.clip(scores, low, 1.0), edges)[0] / len(scores)
              for name, (_, scores) in sets.items()}  # fmt: skip
    y_marks = marks(0.0, max(float(one.max()) for one in shares.values()))
    x, y = scale(low, 1.0, LEFT, WIDTH - RIGHT), scale(0.0, y_marks[-1], HEIGHT - BOTTOM, TOP)
    curves = []
    for name, share in shares.items():
        steps = "".join(f"V{y(top):.1f}H{x(right):.1f}" for top, right in zip(share, edges[1:], strict=True))
        last = things(len(sets[name][1]), "recording")
        curves.append(Curve(name, f"M{x(low):.1f} {y(0):.1f}{steps}V{y(0):.1f}", last, (x(1.0), y(share[-1]))))
    what, zero = ("cosine", "") if is_cosine else ("probability", " (0: no word)")
    x_marks = [mark for mark in marks(low, 1.0) if low <= mark <= 1.0]
    return Chart(
        title=f"Shares by {what} of the answer{zero}: {' and '.join(said for said, _ in sets.values())}",
        curves=curves,
        x_ticks=[Tick(x(mark), f"{mark:g}") for mark in x_marks],
        y_ticks=[Tick(y(mark), f"{100 * mark:g} %") for mark in y_marks],
        readings=[],
        best_x=x(float(np.clip(found["threshold"], low, 1.0))),
        description=f"Histograms of the {what} of the answer; threshold {found['threshold']:.3g}",
    )


def rejection_in_words(found: Mapping[str, Any]) -> str:
    """The threshold for what is none of the words, and what it was chosen on.

    Args:
        found: `rejection` of `model.json`.
    """
    if "false_accepts" in found:
        of_encoder = (
            f"{things(found['recordings'], 'recording')} of {things(found['words'], 'other word')} by "
            f"{things(found['speakers'], 'speaker')} ({found['of']})"
        )
        own = f"{things(found['own'], 'recording')} of your {UNKNOWN}"
        others = " and ".join([*[of_encoder][: found["recordings"]], *[own][: found["own"]]])
        alone = ", ".join(found.get("alone", ()))
        of_one = (
            f"; of {alone} there is one recording, which no other can recognise: it counts as an error" if alone else ""
        )
        return (
            f"none of the words below a cosine of {found['threshold']:.2f}, which {percent(found['false_accepts'])} of "
            f"{others} reach{of_one}"
        )
    below = f"none of these below a probability of {percent(found['threshold'])}, "
    words, others, right, wrong = (found[name] for name in ("words", "others", "right", "wrong"))
    if found["rule"] == "others":
        return (
            f"{below}with the least sum of words that are rejected and others that are accepted on {found['of']}: "
            f"{percent(words['rejected'] / words['n'])} of {whole(words['n'])} words and "
            f"{percent(1 - others['rejected'] / others['n'])} of {whole(others['n'])} others"
        )
    of_wrong = f" and {whole(wrong['rejected'])} of {whole(wrong['n'])} wrong ones" if wrong["n"] else ""
    return (
        f"{below}which {whole(right['rejected'])} of {things(right['n'], 'right answer')}{of_wrong} on {found['of']} "
        f"do not reach; there are too few other words to choose it on: a folder {UNKNOWN} of them beside yours helps"
    )
