r"""Attention over neighbours on a frozen input: one product with the weights, edges put in order once.

For ``GATConv``, head by head, :math:`\mathrm{conv}(x)_i = b + \sum_j \alpha_{ij} W x_j` with
:math:`\alpha_i = \mathrm{softmax}_j\, \mathrm{lrelu}(a_s^T W x_j + a_d^T W x_i)`. Attention changes with the weights:
nothing can be aggregated beforehand, as :mod:`~graphkit.train.forward.linear` does. But the frozen input is multiplied
while it is sparse, scores are products with ``a^T W``, self-loops and the order of edges are worked out once per input
and graph, only rows of the loss are attended from, and all else goes through operators that make no tensor of a row of
features per edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GATConv

from graphkit.graph import Graph
from graphkit.ops import gather_reduce
from graphkit.train.forward.linear import Aggregated, Features, Topology, is_plain, is_untouched


@dataclass(frozen=True)
class AttentionForm:
    """The parameters of a convolution as they are now.

    Attributes:
        weight: ``[heads * C, d]``.
        scores: ``a_s^T W`` of each head, then ``a_d^T W``: ``[2 * heads, d]``.
        bias: ``[heads * C]`` or None.
        heads: how many.
        slope: of the leaky rectifier.
    """

    weight: Tensor
    scores: Tensor
    bias: Tensor | None
    heads: int
    slope: float

    def columns(self, first: int, last: int | None = None) -> AttentionForm:
        """The part that multiplies some of the input channels."""
        weight, scores = self.weight[:, first:last], self.scores[:, first:last]
        return AttentionForm(weight, scores, self.bias, self.heads, self.slope)


def attention_form(conv: Any) -> AttentionForm | None:
    """The form of a convolution as its parameters are now; None if it has none that we know.

    Example:
        >>> attention_form(GATConv(5, 4, heads=2)).scores.shape
        torch.Size([4, 5])
        >>> attention_form(GATConv(5, 4, dropout=0.5)) is None
        True
    """
    if not has_attention_form(conv):
        return None
    weight = conv.lin.weight
    blocks = weight.view(conv.heads, conv.out_channels, -1)
    scores = torch.cat([conv.att_src, conv.att_dst]).transpose(0, 1) @ blocks  # [heads, 2, d]
    return AttentionForm(weight, scores.transpose(0, 1).flatten(0, 1), conv.bias, conv.heads, conv.negative_slope)


def has_attention_form(conv: Any) -> bool:
    """Whether :func:`attention_form` knows the convolution."""
    if type(conv) is not GATConv or not is_untouched(conv) or conv.flow != "source_to_target" or conv.aggr != "add":
        return False
    if conv.lin is None or not is_plain(conv.lin) or conv.lin_edge is not None or conv.res is not None:
        return False
    return conv.dropout == 0 and conv.concat and conv.add_self_loops


class Neighbourhood:
    """The edges into some rows, self-loops included, in the order of their targets.

    Args:
        topology: the graph.
        rows: which rows, ``[R]``, each once.
        below: leave out edges from nodes of this number and above; None: keep all.

    Attributes:
        nodes: the nodes that the edges come from, ``[n]``, the rows among them.
        source: of each edge, its place in ``nodes``.
        target: of each edge, its place in ``rows``.
        own: places of the rows in ``nodes``.
    """

    def __init__(self, topology: Topology, rows: Tensor, below: int | None = None) -> None:
        source, target, _ = topology.into(("loops",), rows, torch.float32)
        if below is not None:
            kept = source < below
            source, target = source[kept], target[kept]
        self.nodes, self.source = source.unique(return_inverse=True)
        self.target = target
        self.own = torch.searchsorted(self.nodes, rows)
        size = (self.nodes.numel(), rows.numel())
        self.graph = Graph.from_edge_index(torch.stack([self.source, target]), size, copy=False)
        self.by_source = Graph.from_segments(self.source, self.nodes.numel())
        self.by_target = Graph.from_segments(target, rows.numel())
        self._heads: dict[int, Graph] = {}

    def heads(self, count: int) -> Graph:
        """The graph with a copy of each node and edge per head, the copies of a node in a row."""
        if count not in self._heads:
            head = torch.arange(count, device=self.source.device)
            edges = torch.stack([(end[:, None] * count + head).view(-1) for end in (self.source, self.target)])
            size = (self.nodes.numel() * count, self.own.numel() * count)
            self._heads[count] = Graph.from_edge_index(edges, size, copy=False)
        return self._heads[count]

    def attend(self, form: AttentionForm, h: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Attention without the bias.

        Args:
            form: for heads and slope.
            h: ``W x`` of ``nodes``, ``[n, heads * C]``.
            scores: ``[n, 2 * heads]``.

        Returns:
            The rows' outputs ``[R, heads * C]``, and the logarithms of their softmaxes' denominators ``[R, heads]``.
        """
        of_source, of_target = scores.split(form.heads, dim=1)
        alpha, log_total = _EdgeSoftmax.apply(of_source, of_target[self.own], self, form.slope)
        if not h.requires_grad:  # once, or for a validation: less memory, a little slower
            blocks = zip(h.chunk(form.heads, 1), alpha.unbind(1), strict=True)
            parts = [gather_reduce(block.contiguous(), self.graph, edge_weight=weight) for block, weight in blocks]
            return torch.cat(parts, 1), log_total
        heads = h.reshape(h.size(0) * form.heads, -1)
        out = gather_reduce(heads, self.heads(form.heads), edge_weight=alpha.view(-1))
        return out.view(self.own.numel(), -1), log_total


class Attended:
    """Rows of the attention over a frozen input, again and again as weights change.

    Args:
        topology: the graph.
        features: the input.
        rows: which rows.
        hood: their neighbourhood, if it is there already.
    """

    def __init__(self, topology: Topology, features: Features, rows: Tensor, hood: Neighbourhood | None = None) -> None:
        self.hood = Neighbourhood(topology, rows) if hood is None else hood
        below = bool(self.hood.nodes.numel() == 0 or self.hood.nodes[-1] < features.real.size(0))
        self.input = Aggregated(topology, ("root",), features, self.hood.nodes, classes=not below)

    def products(self, form: AttentionForm) -> tuple[Tensor, Tensor]:
        """``W x`` and scores of the nodes of the neighbourhood."""
        return self.input.times(form.weight), self.input.times(form.scores)

    def __call__(self, form: AttentionForm) -> Tensor:
        """The convolution's outputs, ``[R, heads * C]``."""
        out, _ = self.hood.attend(form, *self.products(form))
        return out if form.bias is None else out + form.bias


class _EdgeSoftmax(torch.autograd.Function):
    """Attention weights ``[E, heads]`` from scores of sources and targets, and the logarithms of the denominators."""

    @staticmethod
    def forward(
        ctx: Any, of_source: Tensor, of_target: Tensor, hood: Neighbourhood, slope: float
    ) -> tuple[Tensor, Tensor]:
        score = F.leaky_relu(of_source[hood.source].add_(of_target[hood.target]), slope)
        shift = gather_reduce(score, hood.by_target, reduce="max")
        alpha = (score - shift[hood.target]).exp_()
        total = gather_reduce(alpha, hood.by_target)
        alpha.div_(total[hood.target])
        ctx.hood, ctx.slope = hood, slope
        ctx.save_for_backward(alpha, score)
        ctx.set_materialize_grads(False)
        return alpha, total.log_().add_(shift)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_log: Tensor | None) -> tuple[Tensor | None, ...]:
        (alpha, score), hood = ctx.saved_tensors, ctx.hood
        part = torch.zeros_like(alpha) if grad is None else alpha * grad
        total = gather_reduce(part, hood.by_target)
        if grad_log is not None:
            total -= grad_log
        slope = torch.where(score > 0, 1.0, ctx.slope).to(alpha.dtype)
        part = part.sub_(alpha * total[hood.target]).mul_(slope)
        return gather_reduce(part, hood.by_source), gather_reduce(part, hood.by_target), None, None
