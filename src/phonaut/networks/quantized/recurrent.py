"""A recurrent layer in integers: gates by table, states in 16 bits, products in as few as the scheme says.

Formats, whatever the scheme: what goes into a gate is Q8 in 12 bits (steps of 1/256 within 8 to both sides), gates and
the state of a GRU are Q15, the cell of an LSTM and the parts of a GRU's candidate Q11, all in 16 bits; CMSIS-NN and
TensorFlow Lite compute with 16 bits there too.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.networks.quantized.number_format import (
    LONGEST_SHIFT,
    Levels,
    Scheme,
    best_scale,
    common_ratio,
    ratio,
    scaled,
)
from phonaut.networks.quantized.quantizer import Quantizer
from phonaut.networks.quantized.steps import SEARCHED_BITS, Step, whole_bias

GATE, STATE, CELL = 8, 15, 11  # fractional bits
GATE_LEVELS, WIDE_LEVELS = Levels(-2048, 2047), Levels(-32768, 32767)
FACTOR_BITS = 16  # of what brings products to gates


def table_of(function: Any) -> Tensor:
    """A function of all levels of a gate's input, as Q15, `(4096,)` int64."""
    inputs = torch.arange(GATE_LEVELS.low, GATE_LEVELS.high + 1, dtype=torch.float64) / 2**GATE
    entries: Tensor = (function(inputs) * 2**STATE).round().clamp(*WIDE_LEVELS[:2]).to(torch.int64)
    return entries


class Recurrence(Step):
    """One layer of an LSTM, GRU or plain network, `(B, T, D) -> (B, T, H)`.

    Args:
        layer: PyTorch's, of one direction.
        number: of the layer within it.
        scheme: bits of weights and biases.
        sources: as of `Step`.
        output: of the states that are handed on, and go back into the products.

    Attributes:
        past: in streaming alone, the states after the frames before.
    """

    past: dict[str, Tensor] | None = None

    def __init__(
        self, layer: nn.RNNBase, number: int, scheme: Scheme, *, sources: list[Quantizer], output: Quantizer
    ) -> None:  # fmt: skip
        super().__init__(sources, output)
        self.parts, self.number, self.scheme, self.kind = (layer,), number, scheme, type(layer).__name__
        self.weight_levels = Levels.of_weights(scheme.weight, scheme.kind)
        self.bias_levels = Levels.of_weights(scheme.bias, scheme.kind)

    @property
    def n_hidden(self) -> int:
        """H."""
        return int(self.parts[0].hidden_size)

    @property
    def n_bits(self) -> int:
        """Bits of weights and biases."""
        of_input, of_state, *biases = self.weights()
        return (of_input.numel() + of_state.numel()) * self.scheme.weight + sum(map(len, biases)) * self.scheme.bias

    def weights(self) -> list[Tensor]:
        """Of inputs `(P H, D)` and of states `(P H, H)`, and the biases of both, `(P H,)`."""
        weights = [getattr(self.parts[0], f"{name}_l{self.number}") for name in ("weight_ih", "weight_hh", "bias_ih",
                                                                                   "bias_hh")]  # fmt: skip
        return weights if self.kind == "GRU" else [*weights[:2], weights[2] + weights[3]]

    def weight_step(self, weight: Tensor) -> Tensor:
        """The scale of each row."""
        search = self.scheme.weight < SEARCHED_BITS
        return best_scale(weight.detach(), self.weight_levels, power_of_two=self.scheme.power_of_two, search=search)

    # --- floating point

    def plainly(self, x: Tensor) -> Tensor:
        """States as the layer gives them, with rounded weights and states once that has begun."""
        layer = self.parts[0]
        if self.number:
            x = F.dropout(x, layer.dropout, self.training)
        if not self.phase.quantizes:
            return self.recursion(x)
        assert self.output is not None
        of_input, of_state, *biases = self.weights()
        weights = [self.rounded(one) for one in (of_input, of_state)]
        parts = F.linear(x, weights[0], biases[0]).unbind(1)
        of_states = biases[1] if len(biases) > 1 else None
        state = cell = x.new_zeros(len(x), self.n_hidden)
        heard, states = state, []
        for part in parts:
            own = F.linear(heard, weights[1], of_states)
            state, cell = self.next(part, own, state, cell)
            heard = self.output.rounded(state)
            states.append(state)
        return torch.stack(states, dim=1)

    def rounded(self, weight: Tensor) -> Tensor:
        """A weight with rounded numbers; gradients pass."""
        step = self.weight_step(weight)[:, None]
        return weight + (self.weight_levels.nearest(weight.detach(), step) * step - weight.detach())

    def recursion(self, x: Tensor) -> Tensor:
        """The layer itself."""
        layer = self.parts[0]
        function: Any = {"LSTM": torch.lstm, "GRU": torch.gru, "RNN": torch.rnn_tanh}[self.kind]
        start = x.new_zeros(1, len(x), self.n_hidden)
        before: Any = start
        if self.past is not None:
            before = self.past.get("state", start)
        if self.kind == "LSTM":
            before = (before, start if self.past is None else self.past.get("cell", start))
        states, *after = function(x, before, layer.all_weights[self.number], True, 1, 0.0, False, False, True)
        if self.past is not None:
            self.past |= zip(("state", "cell"), after, strict=False)
        result: Tensor = states
        return result

    def next(self, part: Tensor, own: Tensor, state: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """State and cell after a frame, from the products of its input and of the state before."""
        if self.kind == "RNN":
            return torch.tanh(part + own), cell
        if self.kind == "LSTM":
            i, f, g, o = (part + own).chunk(4, dim=1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            return o.sigmoid() * cell.tanh(), cell
        (r, z, n), (own_r, own_z, own_n) = part.chunk(3, dim=1), own.chunk(3, dim=1)
        update = (z + own_z).sigmoid()
        return (1 - update) * (n + (r + own_r).sigmoid() * own_n).tanh() + update * state, cell

    # --- integers

    def program(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Numbers and arrays of the integer layer: products, what brings them back, biases, tables.

        Rows of a gate have one shift for inputs, states and bias: `(x * of_input + h * of_state + bias) >> shift`. A
        GRU's candidate has its two parts apart, both Q11: `(x * of_input + bias) >> shift` and `(h * of_state +
        bias_of_state) >> shift`.
        """
        of_input, of_state, *biases = (one.detach() for one in self.weights())
        whole, steps = [], []
        for weight, source in ((of_input, self.sources[0]), (of_state, self.output)):
            step = self.weight_step(weight)
            whole.append(self.weight_levels.nearest(weight, step[:, None]).to(torch.int64))
            steps.append(step.double() * source.step().double())  # type: ignore[union-attr]
        digits = torch.full((len(of_input),), GATE)
        if self.kind == "GRU":
            digits[2 * self.n_hidden :] = CELL
        rows = [common_ratio([float(step[row]) * 2.0 ** int(digits[row]) for step in steps], FACTOR_BITS) for row in
                range(len(of_input))]  # fmt: skip
        factors = torch.tensor([one.tolist() for one, _ in rows])
        shifts = torch.tensor([min(shift, LONGEST_SHIFT - 20) for _, shift in rows])
        arrays = {"of_input": whole[0], "of_state": whole[1], "factor_of_input": factors[:, 0],
                  "factor_of_state": factors[:, 1], "shift": shifts}  # fmt: skip
        apart = [biases[0]]
        if len(biases) > 1:
            is_candidate = digits == CELL
            apart = [torch.where(is_candidate, biases[0], biases[0] + biases[1]),
                     torch.where(is_candidate, biases[1], 0.0)]  # fmt: skip
        for name, bias in zip(("bias", "bias_of_state"), apart, strict=False):
            coarse = whole_bias(bias.double() * 2.0 ** (GATE + 4), self.bias_levels)  # in sixteenths of a gate's step
            arrays[name] = (coarse * 2.0 ** (shifts + digits - GATE - 4).double()).round().to(torch.int64)
        arrays |= {"sigmoid": table_of(torch.sigmoid), "tanh": table_of(torch.tanh)}
        digits_of_product = 2 * STATE if self.kind == "LSTM" else STATE
        multiplier, back = ratio(2.0**-digits_of_product / self.result_step())
        return {"cell": self.kind.lower(), "multiplier": int(multiplier), "shift": int(back)}, arrays

    def exactly(self, x: Tensor) -> Tensor:
        """Integers throughout, frame by frame."""
        assert self.output is not None
        numbers, arrays = self.program()
        q = self.sources[0].integers(x).double()
        of_input = (q @ arrays["of_input"].double().T).to(torch.int64) * arrays["factor_of_input"] + arrays["bias"]
        zeros = torch.zeros(len(x), self.n_hidden, dtype=torch.int64, device=x.device)
        past = {} if self.past is None else self.past
        heard, state, cell = (past.get(name, zeros) for name in ("heard", "state", "cell"))
        results = []
        for part in of_input.unbind(1):
            own = (heard.double() @ arrays["of_state"].double().T).to(torch.int64) * arrays["factor_of_state"]
            state, cell = self.exactly_next(part, own, state, cell, arrays)
            heard = self.output.levels.clamped(scaled(state, numbers["multiplier"], numbers["shift"]))
            results.append(heard)
        if self.past is not None:
            self.past |= {"heard": heard, "state": state, "cell": cell}
        stacked = torch.stack(results, dim=1) if results else zeros[:, None][:, :0]
        return stacked.to(torch.float32) * self.output.step()

    def exactly_next(
        self, part: Tensor, own: Tensor, state: Tensor, cell: Tensor, arrays: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """State (of an LSTM Q30, else Q15) and cell (Q11) after a frame."""

        def gate(z: Tensor, name: str) -> Tensor:
            return arrays[name][GATE_LEVELS.clamped(z) - GATE_LEVELS.low]

        shift = arrays["shift"]
        if self.kind == "GRU":
            n_gates = 2 * self.n_hidden
            r, z = scaled((part + own)[:, :n_gates], 1, shift[:n_gates]).chunk(2, dim=1)
            own = own + arrays["bias_of_state"]
            new, own_new = (WIDE_LEVELS.clamped(scaled(one[:, n_gates:], 1, shift[n_gates:])) for one in (part, own))
            r, z = gate(r, "sigmoid"), gate(z, "sigmoid")
            n = gate(scaled((new << STATE) + r * own_new, 1, STATE + CELL - GATE), "tanh")
            return WIDE_LEVELS.clamped(scaled(((1 << STATE) - z) * n + z * state, 1, STATE)), cell
        z = scaled(part + own, 1, shift)
        if self.kind == "RNN":
            return gate(z, "tanh"), cell
        i, f, g, o = z.chunk(4, dim=1)
        i, f, g, o = gate(i, "sigmoid"), gate(f, "sigmoid"), gate(g, "tanh"), gate(o, "sigmoid")
        cell = WIDE_LEVELS.clamped(scaled(((f * cell) << (STATE - CELL)) + i * g, 1, 2 * STATE - CELL))
        return o * gate(scaled(cell, 1, CELL - GATE), "tanh"), cell
