"""The reference: each operator as plain, differentiable torch that writes every message.

Naive on purpose. Every other backend is tested against these functions, second derivatives go through them, and so
do ``torch.func`` transforms. Shapes: ``x`` is ``[N, F]``, ``edge`` is ``None``, ``[E]`` or ``[E, F]`` in the user's
edge order, ``t`` and ``p`` are ``[F]``; the result is ``[num_dst, F]``. Sums and exponentials run in float32 for half
types, as in the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.graph.tree import TreePlan
from graphkit.ops.check import accumulator


def messages(x: Tensor, graph: Graph, edge: Tensor | None, message: str, eps: float) -> Tensor:
    """The message of every edge, ``[E, F]`` in the user's order."""
    dtype = accumulator(x.dtype)
    m = x.to(dtype).index_select(0, graph.edge_index[0])
    if edge is not None:
        edge = edge.to(dtype)
        edge = edge[:, None] if edge.dim() == 1 else edge
    if message == "copy":
        return m
    if message == "mul":
        return m if edge is None else m * edge
    return torch.relu(m if edge is None else m + edge) + eps


def _sum(m: Tensor, graph: Graph) -> Tensor:
    return m.new_zeros(graph.num_dst, m.size(1)).index_add(0, graph.edge_index[1], m)


def _mean(m: Tensor, graph: Graph) -> Tensor:
    return _sum(m, graph) / graph.in_degree.clamp(min=1)[:, None]


def _extremum(m: Tensor, graph: Graph, reduce: str) -> Tensor:
    index = graph.edge_index[1][:, None].expand_as(m)
    # Not zeros: torch's backward would count the initial value as one more tie where the extremum is 0.
    start = m.new_full((graph.num_dst, m.size(1)), float("nan"))
    out = start.scatter_reduce(0, index, m, f"a{reduce}", include_self=False)
    return torch.where(graph.in_degree[:, None] > 0, out, torch.zeros_like(out))


def gather_reduce(x: Tensor, graph: Graph, edge: Tensor | None, message: str, reduce: str, eps: float) -> Tensor:
    """``out_i = reduce over the edges j -> i of message(x_j, e_ji)``; 0 without edges."""
    m = messages(x, graph, edge, message, eps)
    if reduce in ("min", "max"):
        out = _extremum(m, graph, reduce)
    else:
        out = _mean(m, graph) if reduce == "mean" else _sum(m, graph)
    return out.to(x.dtype)


def softmax_aggregate(
    x: Tensor, graph: Graph, edge: Tensor | None, t: Tensor, message: str, eps: float, semi_grad: bool
) -> Tensor:
    """``out_i = sum_j w_j m_j`` with ``w = softmax_j(t m_j)``; 0 without edges."""
    m = messages(x, graph, edge, message, eps)
    target = graph.edge_index[1]
    z = t * (m.detach() if semi_grad else m)
    if semi_grad:
        z = z.detach()
    shift = _extremum(z.detach(), graph, "max").index_select(0, target)
    weight = torch.exp(z - shift)
    total = _sum(weight, graph)
    total = torch.where(graph.in_degree[:, None] == 0, torch.ones_like(total), total)
    return (_sum(weight * m, graph) / total).to(x.dtype)


def powermean_aggregate(x: Tensor, graph: Graph, edge: Tensor | None, p: Tensor, message: str, eps: float) -> Tensor:
    """``out_i = (mean_j m_j^p)^(1/p)`` for positive messages and every real p; 0 without edges.

    Three forms of ``log out``, each where it is accurate: log-sum-exp for large ``|p|``; ``mu + log1p(mean(expm1(p
    (log m - mu)))) / p`` with ``mu = mean(log m)`` for small ``|p|``; its Taylor series, which starts at the
    geometric mean, around 0.
    """
    m = messages(x, graph, edge, message, eps)
    if message == "copy":
        m = torch.where(m > eps, m, torch.full_like(m, eps))
    log_m = m.log()
    target = graph.edge_index[1]
    large = p.abs() >= (1e-2 if m.dtype == torch.float64 else 0.5)
    tiny = p.abs() < 1e-5
    one = torch.ones_like(p)

    # Log-sum-exp, shifted by the row maximum.
    p_large = torch.where(large, p, one)
    z = p_large * log_m
    shift = _extremum(z.detach(), graph, "max")
    mean = _mean(torch.exp(z - shift.index_select(0, target)), graph)
    has_edges = graph.in_degree[:, None] > 0
    mean = torch.where(has_edges, mean, torch.ones_like(mean))
    log_large = (mean.log() + shift) / p_large

    # Centred: no cancellation between mean(m^p) and 1.
    p_small = torch.where(large | tiny, one, p)
    mu = _mean(log_m, graph)
    d = torch.where(large, torch.zeros_like(log_m), log_m - mu.index_select(0, target))
    log_small = (
        mu + torch.log1p(_mean(torch.expm1(torch.where(tiny, torch.zeros_like(d), p_small * d)), graph)) / p_small
    )

    # Series in the central moments of log m.
    p_tiny = torch.where(tiny, p, torch.zeros_like(p))
    log_tiny = mu + p_tiny * _mean(d * d, graph) / 2 + p_tiny.square() * _mean(d * d * d, graph) / 6

    log_out = torch.where(large, log_large, torch.where(tiny, log_tiny, log_small))
    out = torch.where(has_edges, log_out.exp(), torch.zeros_like(log_out))
    return out.to(x.dtype)


def _edge_maps(
    graph: Graph, pair: Tensor, maps: Tensor, weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """For every edge with a reverse: its two nodes, the maps of both into it, and its weight (broadcastable)."""
    column = torch.nonzero(pair >= 0).flatten()
    partner = pair.long().index_select(0, column)
    row, col = graph.edge_index.index_select(1, column)
    dtype = accumulator(maps.dtype)
    own, other = maps.to(dtype).index_select(0, column), maps.to(dtype).index_select(0, partner)
    if weight is None:
        w = own.new_ones(column.numel())
    else:
        weight = weight.to(dtype)
        w = (weight.index_select(0, column) + weight.index_select(0, partner)) / 2
    return row, col, own, other, w.reshape(-1, *(1,) * (maps.dim() - 1))


def sheaf_laplacian(x: Tensor, graph: Graph, pair: Tensor, maps: Tensor, weight: Tensor | None) -> Tensor:
    """``out_u = sum over the edges {u, v} of w F_u^T (F_u x_u - F_v x_v)``, ``x [N, d, f]``; ``pair [E]`` is the
    position of each edge's reverse, -1 for an edge that is to be left out."""
    row, col, own, other, w = _edge_maps(graph, pair, maps, weight)
    z = x.to(accumulator(x.dtype))
    at_row, at_col = z.index_select(0, row), z.index_select(0, col)
    if maps.dim() == 2:
        y = own[:, :, None] * at_row - other[:, :, None] * at_col
        m = (w * own)[:, :, None] * y
    else:
        m = (w * own).transpose(1, 2) @ (own @ at_row - other @ at_col)
    return torch.zeros_like(z).index_add(0, row, m).to(x.dtype)


def sheaf_degree(graph: Graph, pair: Tensor, maps: Tensor, weight: Tensor | None) -> Tensor:
    """``D_u = sum over the edges {u, v}, u != v, of w F_u^T F_u``: ``[N, d]`` for diagonal maps, else ``[N, d, d]``."""
    row, col, own, _, w = _edge_maps(graph, pair, maps, weight)
    w = w * (row != col).to(w.dtype).reshape(w.shape[:1] + (1,) * (w.dim() - 1))
    block = w * own * own if maps.dim() == 2 else (w * own).transpose(1, 2) @ own
    return block.new_zeros(graph.num_src, *block.shape[1:]).index_add(0, row, block)


def tree_rows(
    x: Tensor, plan: TreePlan, order: Tensor, combine: Callable[..., Tensor], parameters: Sequence[Tensor]
) -> Tensor:
    """Every row of the trees, leaves first: ``x [E, *S]`` in the user's order to ``[num_rows, *S]``."""
    rows = x.index_select(0, order)
    for left, right in plan.levels:
        level = combine(rows.index_select(0, left), rows.index_select(0, right), *parameters)
        rows = torch.cat([rows, level])
    return rows
