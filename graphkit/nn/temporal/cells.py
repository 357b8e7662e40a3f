"""Recurrent cells whose state is a matrix: they make the weights of the next time step out of those of this one."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from graphkit.nn.temporal.recurrence import gru_steps

CellName = Literal["gru", "lstm"]


class EvolveState(NamedTuple):
    """What a layer carries from one time step to the next.

    Attributes:
        weight: W ``[B, in, out]``, one matrix per sequence.
        cell: memory of the LSTM, of the same shape; ``None`` for the GRU.
    """

    weight: Tensor
    cell: Tensor | None = None

    def detach(self) -> EvolveState:
        """The same values, cut off from the past: the truncation of back-propagation through time."""
        return EvolveState(self.weight.detach(), None if self.cell is None else self.cell.detach())


def lazy_parameter(*size: int) -> nn.Parameter:
    """A parameter; without values yet where a size is still to come (negative)."""
    if min(size, default=0) >= 0:
        return nn.Parameter(torch.empty(size))
    return UninitializedParameter()  # type: ignore[return-value]


class _MatrixCell(nn.Module):
    """The gates' parameters, one below the other, and how they are drawn.

    All gates multiply from the left, so a cell acts on the columns of W alike and several sequences are more columns.
    """

    gates: int

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        rows = self.gates * in_channels
        self.weight = lazy_parameter(rows, in_channels)
        self.hidden_weight = lazy_parameter(rows, in_channels)
        self.bias = lazy_parameter(rows, out_channels)
        self.reset_parameters()

    def materialize(self, in_channels: int) -> None:
        """Take the size of a cell that was made with ``in_channels=-1``."""
        self.in_channels = in_channels
        rows = self.gates * in_channels
        shapes = {
            "weight": (rows, in_channels),
            "hidden_weight": (rows, in_channels),
            "bias": (rows, self.out_channels),
        }
        for name, shape in shapes.items():
            parameter = getattr(self, name)
            assert isinstance(parameter, UninitializedParameter)
            parameter.materialize(shape)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1 / sqrt(in_channels), biases zero, as published."""
        if isinstance(self.weight, UninitializedParameter):
            return
        bound = 1 / math.sqrt(self.in_channels)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.hidden_weight, -bound, bound)
        nn.init.zeros_(self.bias)

    def _bias(self, batch: int) -> Tensor:
        """The biases, transposed, once per sequence ``[B * out, rows]``."""
        return self.bias.t() if batch == 1 else self.bias.t().repeat(batch, 1)

    def _inputs(self, inputs: Tensor) -> Tensor:
        """What inputs ``[T, B, in, out]`` add to the gates of all steps, in one product ``[T * B * out, rows]``."""
        product = inputs.transpose(2, 3).flatten(0, 2) @ _transposed(self.weight)
        product.view(-1, self.out_channels, product.size(1)).add_(self.bias.t())
        return product

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}"


def _transposed(weight: Tensor) -> Tensor:
    """Laid out anew: the BLAS's sums over a transposed factor depend on the number of threads."""
    return weight.t().contiguous()


def _columns(state: Tensor) -> Tensor:
    """``[B, in, out]`` -> ``[B * out, in]``: the columns of all sequences, which a cell treats alike, as rows."""
    return state.transpose(1, 2).flatten(0, 1)


def _matrices(columns: Tensor, batch: int) -> Tensor:
    """``[..., B * out, in]`` -> ``[..., B, in, out]``, row by row, as a product reads it."""
    return columns.unflatten(-2, (batch, -1)).transpose(-1, -2).contiguous()


class MatrixGRU(_MatrixCell):
    r"""A gated recurrent unit over matrices, as the released code of `"EvolveGCN" <https://arxiv.org/abs/1902.10191>`_
    has it:

    .. math::
        U = \sigma(W_u Z + U_u Q + B_u), \quad R = \sigma(W_r Z + U_r Q + B_r), \quad
        C = \tanh(W_c Z + U_c (R \circ Q) + B_c), \quad Q' = (1 - U) \circ Q + U \circ C

    Biases are matrices. Differs from ``torch.nn.GRU``: U weighs the candidate, and R acts before the product.

    Args:
        in_channels: rows of Q and Z; -1: taken from the layer's first input.
        out_channels: columns.

    Shapes:
        state ``[B, in, out]``, inputs ``[T, B, in, out]`` -> T states

    Example:
        >>> cell = MatrixGRU(4, 3)
        >>> (after,) = cell(EvolveState(torch.zeros(1, 4, 3)), inputs=torch.ones(1, 1, 4, 3))
        >>> after.weight.shape
        torch.Size([1, 4, 3])
    """

    gates = 3

    def start(self, weight: Tensor) -> EvolveState:
        """The state before the first step."""
        return EvolveState(weight)

    def forward(
        self, state: EvolveState, inputs: Tensor | None = None, steps: int = 1, *, last: bool = False
    ) -> list[EvolveState]:
        """The states after each step.

        Args:
            state: before the first step.
            inputs: Z of each step ``[T, B, in, out]``; ``None``: Z is Q itself, for ``steps`` steps.
            steps: T, if there are no inputs.
            last: give the state after the last step alone.
        """
        n, batch = self.in_channels, state.weight.size(0)
        q = _columns(state.weight)
        hidden, candidate = self.hidden_weight.split([2 * n, n])
        if inputs is None:
            # Both products of the first two gates, and the first of the third, are with Q.
            both, last_rows = self.weight.split([2 * n, n])
            first, given = torch.cat([both + hidden, last_rows]), self._bias(batch)
        else:
            first, given, steps = hidden, self._inputs(inputs), len(inputs)
        states = gru_steps(q, first, candidate, given, steps, last=last)
        return [EvolveState(weight) for weight in _matrices(states, batch).unbind(0)]


class MatrixLSTM(_MatrixCell):
    r"""A long short-term memory over matrices, as the paper on `"EvolveGCN" <https://arxiv.org/abs/1902.10191>`_ writes
    it (its code has none):

    .. math::
        F, I, O = \sigma(W Z + U H + B), \quad \tilde C = \tanh(W_c Z + U_c H + B_c), \quad
        C' = F \circ C + I \circ \tilde C, \quad H' = O \circ \tanh(C')

    with C zero at first and H the weight that is made.

    Args:
        in_channels: rows of H and Z; -1: taken from the layer's first input.
        out_channels: columns.

    Shapes:
        state ``[B, in, out]`` twice, inputs ``[T, B, in, out]`` -> T states
    """

    gates = 4

    def start(self, weight: Tensor) -> EvolveState:
        """The state before the first step."""
        return EvolveState(weight, torch.zeros_like(weight))

    def forward(
        self, state: EvolveState, inputs: Tensor | None = None, steps: int = 1, *, last: bool = False
    ) -> list[EvolveState]:
        """The states after each step; see :meth:`MatrixGRU.forward`.

        Raises:
            ValueError: if the state has no memory, as a GRU's.
        """
        if state.cell is None:
            raise ValueError("'state' has no memory 'cell': it is of a layer with cell='gru'")
        n, batch = self.in_channels, state.weight.size(0)
        h, c = _columns(state.weight), _columns(state.cell)
        given = None if inputs is None else self._inputs(inputs).split(batch * self.out_channels)
        hidden = _transposed(self.hidden_weight if given is not None else self.weight + self.hidden_weight)
        bias = self._bias(batch)
        states = []
        for step in range(steps if given is None else len(given)):
            gates = torch.addmm(bias if given is None else given[step], h, hidden)
            forget, take, show = torch.sigmoid(gates[:, : 3 * n]).split(n, 1)
            c = forget * c + take * torch.tanh(gates[:, 3 * n :])
            h = show * torch.tanh(c)
            states.append(EvolveState(_matrices(h, batch), _matrices(c, batch)))
        return states[-1:] if last else states


Cell = MatrixGRU | MatrixLSTM


def make_cell(name: CellName, in_channels: int, out_channels: int) -> Cell:
    """A cell by name.

    Raises:
        ValueError: if the name is unknown.
    """
    if name not in ("gru", "lstm"):
        raise ValueError(f"'cell' must be 'gru' or 'lstm' (got {name!r})")
    return (MatrixGRU if name == "gru" else MatrixLSTM)(in_channels, out_channels)
