"""Folding rows by a binary operator over balanced trees: O(E) applications, O(log E) depth, no padding.

How many levels there are is in the data, so a compiled function calls these as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.graph.tree import TreePlan, tree_plan
from graphkit.ops import reference
from graphkit.ops.autograd import OptTensor, backward
from graphkit.ops.backend import select
from graphkit.ops.check import check_features, check_graph

Combine: TypeAlias = Callable[..., Tensor]
"""``combine(a, b, *parameters)`` on rows ``a``, ``b`` ``[M, *S]``, row by row, without random numbers."""


def block_rows(x: Tensor) -> int:
    """How many rows are combined at once: on one thread of a CPU a quarter of a megabyte, so that what a combination
    writes in between stays in the cache; on several, a megabyte for each of at most four, or they wait for each other
    more than they share; elsewhere so many that launching is no cost."""
    if x.device.type != "cpu":
        return 2**16
    threads = min(torch.get_num_threads(), 4)
    numbers = 2**16 if threads == 1 else threads * 2**18
    return max(64, numbers // max(math.prod(x.shape[1:]), 1))


@torch.compiler.disable
def tree_reduce(
    x: Tensor,
    graph: Graph,
    combine: Combine,
    parameters: Sequence[Tensor] = (),
    *,
    order: Tensor | None = None,
    identity: Tensor | None = None,
) -> Tensor:
    r"""Fold the rows of each segment by a binary operator, over a balanced binary tree.

    The pairs (0, 1), (2, 3), ... of a segment meet, an odd last row moves up unchanged, and so on to one row. A
    segment's result depends on its own rows alone: nothing is padded. A segment of one row gives that row.

    Args:
        x: ``[E, *S]``, one row per edge of ``graph`` in the user's order.
        graph: rows -> segments (:meth:`graphkit.Graph.from_segments`); its tree is made once and remembered.
        combine: ``combine(a, b, *parameters)``, ``[M, *S]`` twice to ``[M, *S]``, each row from its own two rows.
            It is called with blocks of rows, and again in backward: it must draw no random numbers.
        parameters: the tensors besides ``a`` and ``b`` that are to get gradients.
        order: int64 ``[E]``, the edges segment by segment in the order in which they become leaves; ``None`` takes
            ``graph.csc.perm``, which for a graph of segments is the given order.
        identity: ``[*S]``, the result of an empty segment; ``None`` is 0.

    Shapes:
        ``[E, *S] -> [num_dst, *S]``

    Returns:
        A tensor of the dtype of ``x``. Saved for backward: all rows of the trees, at most ``2 E`` times S, and
        nothing of what ``combine`` writes, which is recomputed block by block. Gradients of rows are written, never
        accumulated, so they are the same at every run with the same number of threads (torch's element-wise operations
        may differ in the last digit between numbers). A second derivative goes through the reference.

    Raises:
        TypeError: if ``graph`` is no :class:`~graphkit.Graph`.
        ValueError: if shapes, dtypes or devices disagree, or ``combine`` changes the shape or dtype of rows.

    Source: Ong and Velickovic, "Learnable Commutative Monoids for Graph Neural Networks", LoG 2022, appendix D.

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> g = Graph.from_segments(torch.tensor([0, 0, 2, 0]), 3)
        >>> ops.tree_reduce(torch.tensor([1.0, 2.0, 3.0, 4.0]), g, torch.maximum).tolist()
        [4.0, 0.0, 3.0]
    """
    roots = _fold(x, graph, combine, parameters, order, whole=False)
    return _fill(roots, tree_plan(graph), identity)


@torch.compiler.disable
def tree_rows(
    x: Tensor, graph: Graph, combine: Combine, parameters: Sequence[Tensor] = (), *, order: Tensor | None = None
) -> Tensor:
    """The value of every row of the trees, leaves first (:class:`~graphkit.graph.tree.TreePlan`): what the
    losses of :mod:`graphkit.ops.tree_loss` are made of. Arguments as :func:`tree_reduce`; :func:`tree_roots` takes
    the result from it.

    Shapes:
        ``[E, *S] -> [num_rows, *S]``
    """
    return _fold(x, graph, combine, parameters, order, whole=True)


@torch.compiler.disable
def tree_roots(rows: Tensor, graph: Graph, *, identity: Tensor | None = None) -> Tensor:
    """The result of :func:`tree_reduce` from that of :func:`tree_rows`: ``[num_rows, *S] -> [num_dst, *S]``."""
    plan = tree_plan(check_graph(graph))
    return _fill(rows.index_select(0, plan.roots), plan, identity)


def _fold(
    x: Tensor, graph: Graph, combine: Combine, parameters: Sequence[Tensor], order: Tensor | None, whole: bool
) -> Tensor:
    graph = check_graph(graph)
    x = check_features(x, graph.num_edges, "x", "edge", graph.device)
    plan = tree_plan(graph)
    order = graph.csc.perm if order is None else _check_order(order, graph)
    if select(x) == "reference":
        rows = reference.tree_rows(x, plan, order, combine, parameters)
        return rows if whole else rows.index_select(0, plan.roots)
    out: Tensor = _Tree.apply(plan, order, combine, whole, x, *parameters)
    return out


def _check_order(order: Tensor, graph: Graph) -> Tensor:
    if order.dtype not in (torch.int32, torch.int64) or order.shape != (graph.num_edges,):
        raise ValueError(
            f"'order' must be an integer vector with one entry per edge, {graph.num_edges} "
            f"(got shape {list(order.shape)}, {order.dtype})"
        )
    return order


def _fill(roots: Tensor, plan: TreePlan, identity: Tensor | None) -> Tensor:
    """The roots in the places of their segments, the identity in those of the empty ones."""
    full = plan.segments.numel() == plan.num_segments
    if full and (identity is None or not identity.requires_grad):
        return roots
    shape = (plan.num_segments, *roots.shape[1:])
    out = roots.new_zeros(shape) if identity is None else identity.to(roots.dtype).expand(shape)
    return out.index_copy(0, plan.segments, roots)


class _Tree(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plan: TreePlan, order: Tensor, combine: Combine, whole: bool, x: Tensor, *parameters: Tensor
    ) -> Tensor:
        rows = x.new_empty(plan.num_rows, *x.shape[1:])
        torch.index_select(x, 0, order, out=rows[: plan.num_leaves])
        start, block = plan.num_leaves, block_rows(x)
        for left, right in plan.levels:
            for a, b in zip(left.split(block), right.split(block), strict=True):
                out = combine(rows.index_select(0, a), rows.index_select(0, b), *parameters)
                if out.shape != (a.numel(), *x.shape[1:]) or out.dtype != x.dtype:
                    raise ValueError(
                        f"'combine' must keep the shape and dtype of its rows, {[a.numel(), *x.shape[1:]]} {x.dtype} "
                        f"(got {list(out.shape)} {out.dtype})"
                    )
                rows[start : start + a.numel()] = out
                start += a.numel()
        ctx.save_for_backward(x, rows, order, *parameters)
        ctx.plan, ctx.combine, ctx.whole = plan, combine, whole
        return rows if whole else rows.index_select(0, plan.roots)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[OptTensor, ...]:
        x, rows, order, *parameters = ctx.saved_tensors
        plan, combine, whole = ctx.plan, ctx.combine, ctx.whole

        def of_inputs(x: Tensor, *parameters: Tensor) -> Tensor:
            rows = reference.tree_rows(x, plan, order, combine, parameters)
            return rows if whole else rows.index_select(0, plan.roots)

        def kernel(grad: Tensor) -> Sequence[OptTensor]:
            needed = ctx.needs_input_grad[5:]
            return _backward(plan, order, combine, whole, rows.detach(), parameters, needed, grad)

        return None, None, None, None, *backward(kernel, of_inputs, grad, (x, *parameters))


def _backward(
    plan: TreePlan,
    order: Tensor,
    combine: Combine,
    whole: bool,
    rows: Tensor,
    parameters: Sequence[Tensor],
    needed: Sequence[bool],
    grad: Tensor,
) -> Sequence[OptTensor]:
    """From the roots down. A row has one parent, so its gradient is complete when its level is reached."""
    grad_rows = grad.clone() if whole else torch.empty_like(rows).index_copy_(0, plan.roots, grad)
    pull = Pullback(combine, parameters, needed)
    end, block = plan.num_rows, block_rows(rows)
    for left, right in reversed(plan.levels):
        start = end = end - left.numel()
        for a, b in zip(left.split(block), right.split(block), strict=True):
            inputs = rows.index_select(0, a), rows.index_select(0, b)
            # A copy: what comes back may be the very tensor given, which cannot be written to where it lies.
            below = pull(inputs, grad_rows[start : start + a.numel()].clone())
            start += a.numel()
            for index, value in zip((a, b), below, strict=True):
                value = value + grad_rows.index_select(0, index) if whole else value
                grad_rows.index_copy_(0, index, value)
    leaves = grad_rows[: plan.num_leaves]
    grad_x = torch.empty_like(leaves).index_copy_(0, order.long(), leaves)
    return grad_x, *pull.grad_parameters


class Pullback:
    """Gradients of a row-wise function, block by block: those of the rows are returned, those of the parameters
    added up in the order of the calls.

    Args:
        function: ``function(*rows, *parameters)``.
        parameters: its parameters.
        needed: which of them get gradients.
    """

    def __init__(self, function: Combine, parameters: Sequence[Tensor], needed: Sequence[bool]) -> None:
        self.function = function
        self.parameters = [p.detach().requires_grad_(n) for p, n in zip(parameters, needed, strict=True)]
        self.grad_parameters: list[OptTensor] = [
            torch.zeros_like(p) if n else None for p, n in zip(parameters, needed, strict=True)
        ]

    def __call__(self, inputs: Sequence[Tensor], grad: Tensor) -> list[Tensor]:
        """The gradients of ``inputs`` (rows of one block) for the gradient of the function's value."""
        wanted = [p for p in self.parameters if p.requires_grad]
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in inputs]
            out = self.function(*leaves, *self.parameters)
        if not out.requires_grad:
            return [torch.zeros_like(t) for t in inputs]
        found = torch.autograd.grad(out, [*leaves, *wanted], grad, allow_unused=True)
        rest = iter(found[len(leaves) :])
        for parameter, total in zip(self.parameters, self.grad_parameters, strict=True):
            value = next(rest) if parameter.requires_grad else None
            if total is not None and value is not None:
                total.add_(value)
        return [torch.zeros_like(t) if g is None else g for g, t in zip(found, leaves, strict=False)]
