"""The order in which a recurrent network reads all segments of a graph at once, without padding."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from graphkit.graph.topology import Graph


@dataclass(frozen=True, eq=False)
class StepPlan:
    """Segments by falling length: step t reads row t of the first ``sizes[t]`` of them.

    Attributes:
        rows: int64 ``[E]``, the edges step by step, in the user's order of edges.
        sizes: how many segments each step reads; never rising.
        segments: int64 ``[R]``, the non-empty segments, longest first.
        num_segments: number of segments, empty ones counted.
    """

    rows: Tensor
    sizes: tuple[int, ...]
    segments: Tensor
    num_segments: int


_PLANS: WeakKeyDictionary[Graph, StepPlan] = WeakKeyDictionary()


def step_plan(graph: Graph) -> StepPlan:
    """How to read the incoming edges of every target in turn, made once per graph.

    Example:
        >>> import torch
        >>> plan = step_plan(Graph.from_segments(torch.tensor([0, 0, 2, 2, 2]), 3))
        >>> plan.rows.tolist(), plan.sizes, plan.segments.tolist()
        ([2, 0, 3, 1, 4], (2, 2, 1), [2, 0])
    """
    plan = _PLANS.get(graph)
    if plan is None:
        with torch.inference_mode(False):
            plan = _PLANS[graph] = _make(graph)
    return plan


def _make(graph: Graph) -> StepPlan:
    length, ptr = graph.in_degree, graph.csc.ptr.long()
    by_length = torch.argsort(length, descending=True, stable=True)
    segments = by_length[: int((length > 0).sum())]
    owner = graph.csc.rows.long()
    step = torch.arange(owner.numel(), device=owner.device) - ptr[owner]
    rank = torch.empty_like(by_length)
    rank[by_length] = torch.arange(by_length.numel(), device=owner.device)
    order = torch.argsort(step * length.numel() + rank[owner])
    sizes = torch.bincount(step) if owner.numel() else owner
    return StepPlan(graph.csc.perm.long()[order], tuple(sizes.tolist()), segments, length.numel())
