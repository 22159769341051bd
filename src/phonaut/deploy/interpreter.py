"""Runs a program of integers with NumPy: the reference of what a device computes, bit for bit."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.deploy.integer_program import Operation, Program

Whole = NDArray[Any]  # int64 throughout


class Interpreter:
    """Scores of segments and of streams, in 64-bit integers; nothing is floating-point after the input.

    Args:
        program: of a network.

    >>> from phonaut.deploy.integer_program import Program
    >>> linear = Operation("linear", ("mean",), "scores", (1, 1), numbers={"scale": 0.5},
    ...                    arrays={"weight": np.array([[2, 1]]), "bias": np.array([3])})
    >>> mean = Operation("mean_time", ("frames",), "mean", (2, 1), -127, 127, numbers={"over": 0, "under": 0})
    >>> program = Program(2, 1, 0.1, -127, 127, False, 1, True, None, (mean, linear))
    >>> Interpreter(program).scores(np.array([[0.5, 0.1], [0.8, 0.2]], dtype=np.float32)).tolist()
    [19]
    """

    def __init__(self, program: Program) -> None:
        self.program = program

    def given(self, frames: NDArray[np.float32]) -> Whole:
        """Integers `(D, 1, T)` of frames `(T, D)`."""
        levels = frames.astype(np.float32) / np.float32(self.program.scale)
        low, high = self.program.low, self.program.high
        whole = np.sign(levels) if self.program.binary else np.clip(np.rint(levels), low, high)
        result: Whole = whole.astype(np.int64).T[:, None, :]
        return result

    def results(self, frames: NDArray[np.float32] | Whole) -> dict[str, Whole]:
        """The result of every operation by name, test vectors for a device: of one segment, `(T, D)`.

        Whole numbers are taken as levels of the input.
        """
        found = {"frames": frames.T[:, None, :] if frames.dtype.kind == "i" else self.given(frames)}
        for operation in self.program.operations:
            found[operation.output] = run(operation, [found[name] for name in operation.inputs])
        return found

    def scores(self, frames: NDArray[np.float32] | Whole) -> Whole:
        """Whole-number scores `(C,)` of one segment `(T, D)`; of a network with exits, those of the first that is sure.

        Times `scale` of the exit they are logits.
        """
        found = self.results(frames)
        return next(found[e.output] for e in self.program.exits if self.is_sure(e, found[e.output]))

    def logits(self, frames: NDArray[np.float32] | Whole) -> NDArray[np.float32]:
        """Scores `(C,)` as float32."""
        found = self.results(frames)
        one = next(e for e in self.program.exits if self.is_sure(e, found[e.output]))
        return found[one.output].astype(np.float32) * np.float32(one.numbers["scale"])

    def is_sure(self, e: Operation, scores: Whole) -> bool:
        """Whether an exit answers: its greatest probability is at least `confidence`, or it is the last."""
        if e is self.program.exits[-1] or self.program.confidence is None:
            return True
        logits = scores * float(e.numbers["scale"])
        return bool(1 / np.exp(logits - logits.max()).sum() >= self.program.confidence)

    def stream(self, frames: NDArray[np.float32] | Whole, window: int) -> Whole:
        """Scores `(N, C)` of the last `window` hidden frames at each of a recording's N; of causal programs."""
        mean, decision = self.program.operations[-2:]
        hidden = self.results(frames)[mean.inputs[0]]
        sums = np.cumsum(np.pad(hidden, ((0, 0), (0, 0), (1, 0))), axis=2)
        n = np.minimum(np.arange(1, hidden.shape[2] + 1), window)
        ends = np.arange(1, hidden.shape[2] + 1)
        total = (sums[:, :, ends] - sums[:, :, ends - n])[:, 0]
        means = clamped(divided(total, n, mean.numbers), mean)
        scores: Whole = (decision.arrays["weight"] @ means + decision.arrays["bias"][:, None]).T
        return scores


def run(operation: Operation, inputs: list[Whole]) -> Whole:
    """The result of an operation."""
    kind, numbers, arrays, x = operation.kind, operation.numbers, operation.arrays, inputs[0]
    if kind == "rows":
        return x.transpose(1, 0, 2)
    if kind == "table":
        entries: Whole = arrays["entries"][x - numbers["offset"]]
        return entries
    if kind == "linear":
        scores: Whole = arrays["weight"] @ x + arrays["bias"]
        return scores
    if kind == "mean_time":
        return clamped(divided(x[:, 0].sum(axis=1), x.shape[2], numbers), operation)
    if kind == "recurrent":
        return recurred(x[:, 0].T, operation)[:, None]
    if kind == "add":
        of_a, of_b = numbers["multiplier"]
        return clamped(brought_back(x * of_a + inputs[1] * of_b, 1, numbers["shift"]), operation)
    multiplier, shift = numbers.get("multiplier"), numbers.get("shift")
    if kind == "conv":
        acc = convolved(x, arrays["weight"], numbers) + arrays["bias"][:, None, None]
        multiplier, shift = (arrays[name][:, None, None] for name in ("multiplier", "shift"))
    elif kind == "scale":
        acc = x * arrays["weight"][:, :, None] + arrays["bias"][:, :, None]
        multiplier, shift = (arrays[name][:, :, None] for name in ("multiplier", "shift"))
    elif kind == "mean_rows":
        acc = x.sum(axis=1, keepdims=True)
    elif kind == "mean_frames":
        padded = np.pad(x, ((0, 0), (0, 0), tuple(numbers["padding"])))
        acc = windows(padded, numbers["size"], numbers["size"]).sum(axis=3)
    else:
        raise ValueError(f"{kind} is no operation of a program")
    return clamped(brought_back(acc, multiplier, shift), operation)


def brought_back(acc: Whole, multiplier: Any, shift: Any) -> Whole:
    """`acc * multiplier / 2^shift`, rounded half up."""
    half = np.left_shift(np.int64(1), shift) >> 1
    result: Whole = (acc * multiplier + half) >> shift
    return result


def divided(total: Whole, n: Any, numbers: dict[str, Any]) -> Whole:
    """`total 2^over / (n 2^under)`, rounded half up."""
    result: Whole = (2 * (total << numbers["over"]) + (n << numbers["under"])) // (2 * (n << numbers["under"]))
    return result


def clamped(y: Whole, operation: Operation) -> Whole:
    """Within the levels of the result."""
    if operation.binary:
        return np.where(y >= 0, operation.high, operation.low)
    return np.clip(y, operation.low, operation.high)


def windows(x: Whole, size: int, step: int, dilation: int = 1) -> Whole:
    """`size` frames, `dilation` apart, from every `step`-th on: `(D, F, T) -> (D, F, T', size)`."""
    view = np.lib.stride_tricks.sliding_window_view(x, dilation * (size - 1) + 1, axis=2)
    return view[:, :, ::step, ::dilation]


def convolved(x: Whole, weight: Whole, numbers: dict[str, Any]) -> Whole:
    """Sums of products `(D', F', T')` of `x (D, F, T)` and `weight (D', D / groups, rows, taps)`."""
    rows, (over_rows, over_time) = numbers["row_padding"], numbers["stride"]
    padded = np.pad(x, ((0, 0), (rows, rows), tuple(numbers["padding"])))
    seen = windows(padded, weight.shape[3], over_time, numbers["dilation"])  # (D, F, T', taps)
    seen = np.lib.stride_tricks.sliding_window_view(seen, weight.shape[2], axis=1)[:, ::over_rows]
    groups = numbers["groups"]
    by_group = seen.reshape(groups, seen.shape[0] // groups, *seen.shape[1:])  # (g, D / g, F', T', taps, rows)
    weights = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    y = np.einsum("gdftkh,godhk->goft", by_group, weights, optimize=True)
    result: Whole = y.reshape(-1, *y.shape[2:])
    return result


def looked_up(table: Whole, z: Whole) -> Whole:
    """Entries of the table of a gate."""
    entries: Whole = table[np.clip(z, -2048, 2047) + 2048]
    return entries


def recurred(x: Whole, operation: Operation) -> Whole:
    """States `(H, T)` of a recurrent operation over frames `(T, D)`."""
    arrays, cell = operation.arrays, operation.numbers["cell"]
    sigmoid, tanh = (partial(looked_up, arrays[name]) for name in ("sigmoid", "tanh"))
    h = s = c = np.zeros(operation.shape[0], dtype=np.int64)
    n_gates = 2 * len(h)
    results = []
    for frame in x:
        a = (arrays["of_input"] @ frame) * arrays["factor_of_input"] + arrays["bias"]
        b = (arrays["of_state"] @ h) * arrays["factor_of_state"]
        z = brought_back(a + b, 1, arrays["shift"])
        if cell == "lstm":
            i, f, g, o = np.split(z, 4)
            c = np.clip(brought_back(((sigmoid(f) * c) << 4) + sigmoid(i) * tanh(g), 1, 19), -32768, 32767)
            s = sigmoid(o) * tanh(brought_back(c, 1, 3))
        elif cell == "gru":
            r, update = np.split(sigmoid(z[:n_gates]), 2)
            b = b + arrays["bias_of_state"]
            new, own = (np.clip(brought_back(one, 1, arrays["shift"])[n_gates:], -32768, 32767) for one in (a, b))
            n = tanh(brought_back((new << 15) + r * own, 1, 18))
            s = np.clip(brought_back((32768 - update) * n + update * s, 1, 15), -32768, 32767)
        else:
            s = tanh(z)
        h = clamped(brought_back(s, operation.numbers["multiplier"], operation.numbers["shift"]), operation)
        results.append(h)
    return np.stack(results, axis=1)
