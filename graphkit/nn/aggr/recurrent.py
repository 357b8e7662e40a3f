"""Recurrent networks as aggregations: each group is read row by row, to its own end."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import GRU, LSTM
from torch.nn import functional as F

from graphkit.graph import Graph
from graphkit.graph.steps import step_plan
from graphkit.nn.aggr.base import GroupAggregation
from graphkit.ops.check import accumulator, check_features

_Step = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


class _RecurrentAggregation(GroupAggregation):
    """What both have in common: the way through the groups."""

    rnn_name: str
    num_states: int

    def __init__(self, in_channels: int, out_channels: int, rnn: GRU | LSTM) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.add_module(self.rnn_name, rnn)

    @property
    def _rnn(self) -> GRU | LSTM:
        rnn = self._modules[self.rnn_name]
        assert isinstance(rnn, (GRU, LSTM))
        return rnn

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        self._rnn.reset_parameters()

    def fold(self, x: Tensor, graph: Graph) -> Tensor:
        """See :meth:`~graphkit.nn.aggr.base.GroupAggregation.fold`."""
        rows = check_features(x, graph.num_edges, "x", "edge", graph.device)
        with torch.autocast(x.device.type, enabled=False):
            return self._read(rows, graph).to(x.dtype)

    @torch.compiler.disable  # as many steps as the longest group has rows
    def _read(self, x: Tensor, graph: Graph) -> Tensor:
        plan = step_plan(graph)
        wide = accumulator(x.dtype)
        weights = [
            getattr(self._rnn, f"{name}_l0").to(wide) for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        ]
        step = self._step(*weights[2:])
        out = x.new_zeros(plan.num_segments, *x.shape[1:-1], self.out_channels, dtype=wide)
        if not plan.sizes:  # weights take part all the same: their gradient is 0, not missing
            return out + sum(w.sum() * 0 for w in weights)
        # The inputs' products at once, then one split: its backward is one concatenation, whatever the steps.
        inputs = F.linear(x.to(wide).index_select(0, plan.rows), *weights[:2]).split(plan.sizes)
        state = tuple(out.new_zeros(plan.sizes[0], *out.shape[1:]) for _ in range(self.num_states))
        ended = []
        for now, size, after in zip(inputs, plan.sizes, (*plan.sizes[1:], 0), strict=True):
            state = step(now, state)
            if after < size:
                ended.append(state[0][after:])
                state = tuple(s[:after] for s in state)
        return out.index_copy(0, plan.segments, torch.cat(ended[::-1]))

    def _step(self, weight: Tensor, bias: Tensor) -> _Step:
        raise TypeError(f"'{type(self).__name__}' must override '_step'")

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels})"


class GRUAggregation(_RecurrentAggregation):
    r"""A gated recurrent unit that reads the rows of each group in the given order; its last state is the result.

    The paper's baseline for LCM: E applications in as many steps as the longest group has rows. Drop-in for PyG's
    ``GRUAggregation``, whose ``state_dict`` loads: that one pads the groups with zeros, reads the zeros too and returns
    the state after them, so that a result depends on the longest group of the batch. Rows need no sorting.

    Args:
        in_channels: width of the rows.
        out_channels: width of the state.

    Shapes:
        x ``[..., E, in_channels]`` and index ``[E]`` or ptr -> ``[..., groups, out_channels]``; an empty group gives 0.

    Example:
        >>> import torch
        >>> GRUAggregation(8, 16)(torch.randn(5, 8), torch.tensor([2, 0, 2, 2, 0])).shape
        torch.Size([3, 16])
    """

    rnn_name = "gru"
    num_states = 1

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, GRU(in_channels, out_channels, batch_first=True))

    def _step(self, weight: Tensor, bias: Tensor) -> _Step:
        def step(now: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            (h,) = state
            reset_i, update_i, new_i = now.chunk(3, -1)
            reset_h, update_h, new_h = F.linear(h, weight, bias).chunk(3, -1)
            new = torch.tanh(new_i + torch.sigmoid(reset_i + reset_h) * new_h)
            return (torch.lerp(new, h, torch.sigmoid(update_i + update_h)),)

        return step


class LSTMAggregation(_RecurrentAggregation):
    r"""A long short-term memory that reads the rows of each group in the given order; its last state is the result.

    Drop-in for PyG's ``LSTMAggregation``, whose ``state_dict`` loads; the difference is that of
    :class:`GRUAggregation`.

    Args:
        in_channels: width of the rows.
        out_channels: width of the state.

    Shapes:
        x ``[..., E, in_channels]`` and index ``[E]`` or ptr -> ``[..., groups, out_channels]``; an empty group gives 0.
    """

    rnn_name = "lstm"
    num_states = 2

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, LSTM(in_channels, out_channels, batch_first=True))

    def _step(self, weight: Tensor, bias: Tensor) -> _Step:
        def step(now: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            h, c = state
            enter, forget, cell, leave = (now + F.linear(h, weight, bias)).chunk(4, -1)
            c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(cell)
            return torch.sigmoid(leave) * torch.tanh(c), c

        return step
