"""Learners: from the features at the two ends of an edge to the parameters of a restriction map."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit.graph import Graph
from graphkit.ops.sheaf_layer import ACTS, sheaf_ends


class MapLearner(Protocol):
    """What a learner is: the features ``[E, C]`` of an edge's own end and of its other end to ``[E, P]`` parameters.

    Any ``nn.Module`` of that form will do. It is called once for all edges, in the user's edge order; the map of an
    edge belongs to its source, and that of the other end comes from the reversed edge, with the arguments swapped.
    """

    def __call__(self, x_src: Tensor, x_dst: Tensor) -> Tensor: ...


@runtime_checkable
class SplitLearner(Protocol):
    """A learner whose first step is linear, and so can be done on nodes instead of on edges.

    ``on_nodes(x)`` gives a table ``[N, 2 K]``, its halves for a node's own end of an edge and for the other; the
    parameters are ``finish(act(own[source] + other[target]))``, where ``act`` names a function: ``"id"``, ``"tanh"``,
    ``"sigmoid"`` or ``"elu"``. On a graph of 100,000 edges this saves most of the time and memory of learning the maps.
    """

    act: str

    def on_nodes(self, x: Tensor) -> Tensor: ...

    def finish(self, combined: Tensor) -> Tensor: ...


MakeLearner = Callable[[int, int], nn.Module]
"""From the number of channels and of parameters to a learner."""


def learn(learner: MapLearner, x: Tensor, graph: Graph) -> Tensor:
    """The parameters ``[E, P]`` of every edge's map from node features ``x [N, C]``."""
    if isinstance(learner, SplitLearner):
        return learner.finish(sheaf_ends(learner.on_nodes(x), graph, learner.act))
    source, target = graph.edge_index
    return learner(x.index_select(0, source), x.index_select(0, target))


class ConcatLearner(nn.Module):
    r"""A linear map of both ends and an activation: :math:`\theta_{u \to v} = \mathrm{act}(W [x_u \| x_v])`, no bias.

    Args:
        in_channels: width of ``x``.
        num_parameters: entries of the result.
        act: ``"tanh"``, ``"elu"``, ``"sigmoid"`` or ``"id"``.
        stalks: the rows that ``x`` consists of, to be summed first: ``W`` then has ``2 * in_channels / stalks``
            columns. (``sparse_learner`` in the published code.)
        compat: ``"official"`` sums as the published ``sparse_learner`` does: it cuts :math:`[x_u \| x_v]` into
            ``stalks`` pieces of equal length without regard to where ``x_u`` ends. For even ``stalks`` both ends of an
            edge then get the same map.

    Raises:
        ValueError: if ``act`` or ``compat`` is unknown, or ``stalks`` does not divide ``in_channels``.

    Example:
        >>> learner = ConcatLearner(8, 3)
        >>> learner(torch.randn(5, 8), torch.randn(5, 8)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self, in_channels: int, num_parameters: int, act: str = "tanh", stalks: int = 1, compat: str | None = None
    ) -> None:
        super().__init__()
        if act not in ACTS:
            raise ValueError(f"'act' of the maps must be one of {', '.join(map(repr, ACTS))} (got {act!r})")
        if stalks < 1 or in_channels % stalks:
            raise ValueError(f"'stalks' must divide in_channels={in_channels} (got {stalks})")
        if compat not in (None, "official"):
            raise ValueError(f"'compat' must be None or 'official' (got {compat!r})")
        self.in_channels = in_channels
        self.num_parameters = num_parameters
        self.act = act
        self.stalks = stalks
        self.compat = compat
        self.weight = nn.Parameter(torch.empty(num_parameters, 2 * in_channels // stalks))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As ``torch.nn.Linear``."""
        if self.weight.numel():
            nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def _halves(self) -> tuple[Tensor, Tensor]:
        """What the own end and the other end are multiplied with, ``[P, C]`` each."""
        if self.stalks == 1:
            first, second = self.weight.chunk(2, dim=1)
        elif self.compat == "official":
            first, second = self.weight.repeat(1, self.stalks).chunk(2, dim=1)
        else:
            first, second = (half.repeat(1, self.stalks) for half in self.weight.chunk(2, dim=1))
        return first, second

    def on_nodes(self, x: Tensor) -> Tensor:
        return F.linear(x, torch.cat(self._halves()))

    def finish(self, combined: Tensor) -> Tensor:
        return combined

    def forward(self, x_src: Tensor, x_dst: Tensor) -> Tensor:
        """``[E, C], [E, C] -> [E, P]``; the two are of one edge each."""
        first, second = self._halves()
        return ACTS[self.act](F.linear(x_src, first) + F.linear(x_dst, second))

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.num_parameters}, act={self.act}"


class AttentionLearner(nn.Module):
    r"""General maps of the form :math:`F_{u \to v} = I - \mathrm{softmax}_{rows}(W [x_u \| x_v])`.

    Args:
        in_channels: width of ``x``.
        num_parameters: ``d * d``; for ``maps="general"`` alone.

    Raises:
        ValueError: if ``num_parameters`` is no square.

    Source:
        Defined, and used by no model, in the code of Bodnar et al., arXiv 2202.04579.

    Example:
        >>> maps = AttentionLearner(8, 4)(torch.randn(5, 8), torch.randn(5, 8))
        >>> maps.view(5, 2, 2).sum(-1).abs().max() < 1e-6  # the rows of each map sum to zero
        tensor(True)
    """

    def __init__(self, in_channels: int, num_parameters: int) -> None:
        super().__init__()
        self.stalk_dim = math.isqrt(num_parameters)
        if self.stalk_dim**2 != num_parameters:
            raise ValueError(
                f"learner='attention' makes d x d matrices (got {num_parameters} parameters); use maps='general'"
            )
        self.logits = ConcatLearner(in_channels, num_parameters, act="id")

    def reset_parameters(self) -> None:
        """As ``torch.nn.Linear``."""
        self.logits.reset_parameters()

    act: str = "id"

    def on_nodes(self, x: Tensor) -> Tensor:
        return self.logits.on_nodes(x)

    def finish(self, combined: Tensor) -> Tensor:
        attention = combined.unflatten(-1, (self.stalk_dim, self.stalk_dim)).softmax(-1)
        return (torch.eye(self.stalk_dim, dtype=combined.dtype, device=combined.device) - attention).flatten(-2)

    def forward(self, x_src: Tensor, x_dst: Tensor) -> Tensor:
        """``[E, C], [E, C] -> [E, d * d]``."""
        return self.finish(self.logits(x_src, x_dst))
