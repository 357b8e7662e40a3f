"""How far an operator is from a commutative monoid, measured at the nodes of the trees it is folded over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.graph.tree import TreePlan, tree_plan
from graphkit.ops.autograd import OptTensor, backward
from graphkit.ops.backend import select
from graphkit.ops.check import check_graph
from graphkit.ops.scatter import scatter
from graphkit.ops.tree import Combine, Pullback, block_rows


class TreeTerms(NamedTuple):
    """Squared defects, summed over the nodes of each tree.

    Attributes:
        total: ``[num_dst]``; differentiable.
        number: int64 ``[num_dst]``, the number of terms in each sum.
    """

    total: Tensor
    number: Tensor

    def mean(self) -> Tensor:
        """The mean over the terms of a tree, then over the trees that have a term; 0 if there is none."""
        has = self.number > 0
        return (self.total / self.number.clamp(min=1)).sum() / has.sum().clamp(min=1)


@torch.compiler.disable
def tree_associativity(
    rows: Tensor, graph: Graph, combine: Combine, parameters: Sequence[Tensor] = (), *, fraction: float = 1.0
) -> TreeTerms:
    r"""Squared defects of associativity, :math:`|x \oplus (y \oplus z) - (x \oplus y) \oplus z|^2`.

    At a node :math:`(A \oplus B) \oplus (C \oplus D)` there are two terms, for (A, B, C) and (B, C, D); at
    :math:`(A \oplus B) \oplus c` with a leaf c one, for (A, B, c); at other nodes none. A, B, ... are the values of the
    subtrees, so gradients flow through them too.

    Args:
        rows: ``[num_rows, *S, H]``, from :func:`graphkit.ops.tree_rows` with the same graph and operator.
        graph: rows -> segments.
        combine: as in :func:`graphkit.ops.tree_reduce`.
        parameters: as there.
        fraction: share of the nodes that is looked at, each drawn by itself.

    Returns:
        Sums of squares over H per segment (means over what lies between the rows and H), and how many terms they have.
        All of them cost about 2.5 times the fold itself; nothing of edge size is saved beyond ``rows``.

    Source: Ong and Velickovic, "Learnable Commutative Monoids for Graph Neural Networks", LoG 2022, appendix E.
    """
    plan = tree_plan(check_graph(graph))
    left, right = plan.children
    first = plan.num_leaves
    node = torch.nonzero(left >= first).flatten()
    if fraction < 1.0:
        node = node[torch.rand(node.numel(), device=node.device) < fraction]
    inner = right[node] >= first

    def at_four(a: Tensor, b: Tensor, c: Tensor, d: Tensor, ab: Tensor, cd: Tensor, *parameters: Tensor) -> Tensor:
        bc = combine(b, c, *parameters)
        one = _square(combine(a, bc, *parameters) - combine(ab, c, *parameters))
        return one + _square(combine(b, cd, *parameters) - combine(bc, d, *parameters))

    def at_three(a: Tensor, b: Tensor, c: Tensor, abc: Tensor, *parameters: Tensor) -> Tensor:
        return _square(combine(a, combine(b, c, *parameters), *parameters) - abc)

    four, three = node[inner], node[~inner]
    ab, cd = left[four], right[four]
    quads = (left[ab - first], right[ab - first], left[cd - first], right[cd - first], ab, cd)
    ab = left[three]
    triples = (left[ab - first], right[ab - first], right[three], three + first)
    terms = [_terms(rows, at_four, quads, parameters), _terms(rows, at_three, triples, parameters)]
    counts = [torch.full_like(four, 2), torch.ones_like(three)]
    return _per_segment(plan, torch.cat([four, three]), torch.cat(terms), torch.cat(counts))


@torch.compiler.disable
def tree_commutativity(rows: Tensor, graph: Graph, combine: Combine, parameters: Sequence[Tensor] = ()) -> TreeTerms:
    r"""Squared defects of commutativity, :math:`|a \oplus b - b \oplus a|^2`, at every node; arguments as
    :func:`tree_associativity`."""
    plan = tree_plan(check_graph(graph))

    def at_two(a: Tensor, b: Tensor, *parameters: Tensor) -> Tensor:
        return _square(combine(a, b, *parameters) - combine(b, a, *parameters))

    node = torch.arange(plan.num_merges, device=rows.device)
    terms = _terms(rows, at_two, plan.children, parameters)
    return _per_segment(plan, node, terms, torch.ones_like(node))


def _square(defect: Tensor) -> Tensor:
    return defect.square().sum(-1).reshape(defect.size(0), -1).mean(1)


def _per_segment(plan: TreePlan, node: Tensor, terms: Tensor, counts: Tensor) -> TreeTerms:
    segment = plan.segments[plan.merge_segment[node]]
    return TreeTerms(scatter(terms, segment, plan.num_segments), scatter(counts, segment, plan.num_segments))


def _terms(rows: Tensor, function: Combine, indices: Sequence[Tensor], parameters: Sequence[Tensor]) -> Tensor:
    """``function`` of gathered rows, ``[M]``; no row stands twice in one of the indices."""
    if indices[0].numel() == 0:
        return rows.new_zeros(0)
    if select(rows) == "reference":
        return function(*(rows.index_select(0, index) for index in indices), *parameters)
    out: Tensor = _Terms.apply(function, tuple(indices), rows, *parameters)
    return out


class _Terms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Combine, indices: tuple[Tensor, ...], rows: Tensor, *parameters: Tensor) -> Tensor:
        size = block_rows(rows)
        blocks = zip(*(index.split(size) for index in indices), strict=True)
        ctx.save_for_backward(rows, *parameters)
        ctx.function, ctx.indices = function, indices
        return torch.cat([function(*(rows.index_select(0, i) for i in block), *parameters) for block in blocks])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[OptTensor, ...]:
        rows, *parameters = ctx.saved_tensors
        function, indices = ctx.function, ctx.indices

        def of_inputs(rows: Tensor, *parameters: Tensor) -> Tensor:
            return function(*(rows.index_select(0, index) for index in indices), *parameters)

        def kernel(grad: Tensor) -> Sequence[OptTensor]:
            pull = Pullback(function, parameters, ctx.needs_input_grad[3:])
            grad_rows = torch.zeros_like(rows)
            size = block_rows(rows)
            blocks = zip(*(index.split(size) for index in indices), grad.split(size), strict=True)
            for *block, upstream in blocks:
                below = pull([rows.index_select(0, index) for index in block], upstream)
                for index, value in zip(block, below, strict=True):
                    # Each row stands once in an index, so this is a sum in a fixed order.
                    grad_rows.index_copy_(0, index, value + grad_rows.index_select(0, index))
            return grad_rows, *pull.grad_parameters

        return None, None, *backward(kernel, of_inputs, grad, (rows, *parameters))
