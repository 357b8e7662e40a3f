"""The shape of a balanced binary tree over each segment of a graph: which rows meet at which level."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from graphkit.graph.topology import Graph


@dataclass(frozen=True, eq=False)
class TreePlan:
    """Balanced trees over all segments, level by level, without padding.

    The rows of the trees are numbered: first the leaves, segment after segment, then the inner nodes in the order
    in which they are made. At each level of a segment the pairs (0, 1), (2, 3), ... meet, and an odd last row moves
    to the end of the next level unchanged: seven leaves give ``[12][34][56]7``, ``[1234][567]``, one root. There
    are exactly ``leaves - non-empty segments`` inner nodes, and every row but a root has one parent.

    Attributes:
        num_leaves: number of rows that are leaves, E.
        num_segments: number of segments, empty ones counted.
        levels: per level int64 ``(left, right)``, the rows that meet.
        roots: int64 ``[R]``, the root's row of each non-empty segment.
        segments: int64 ``[R]``, the non-empty segments.
        leaf_segment: int64 ``[E]``, the position in ``segments`` of each leaf.
    """

    num_leaves: int
    num_segments: int
    levels: tuple[tuple[Tensor, Tensor], ...]
    roots: Tensor
    segments: Tensor
    leaf_segment: Tensor

    @property
    def depth(self) -> int:
        """Number of levels, ``ceil(log2(longest segment))``."""
        return len(self.levels)

    @property
    def num_merges(self) -> int:
        """Number of inner nodes: how often the operator is applied."""
        return self.num_leaves - self.segments.numel()

    @property
    def num_rows(self) -> int:
        """Leaves and inner nodes."""
        return self.num_leaves + self.num_merges

    @cached_property
    def children(self) -> tuple[Tensor, Tensor]:
        """int64 ``[num_merges]`` twice: the left and right row under each inner node."""
        empty = self.roots.new_empty(0)
        left = torch.cat([empty, *(left for left, _ in self.levels)])
        return left, torch.cat([empty, *(right for _, right in self.levels)])

    @cached_property
    def merge_segment(self) -> Tensor:
        """int64 ``[num_merges]``: the position in :attr:`segments` of each inner node."""
        row_segment = self.leaf_segment
        for left, _ in self.levels:
            row_segment = torch.cat([row_segment, row_segment[left]])
        return row_segment[self.num_leaves :]


# A plan depends on the lengths of the segments alone: one per graph, made on first use.
_PLANS: WeakKeyDictionary[Graph, TreePlan] = WeakKeyDictionary()


def tree_plan(graph: Graph) -> TreePlan:
    """The trees over the incoming edges of every target of a graph, made once per graph.

    Leaf k is the edge in slot k of ``graph.csc``.

    Example:
        >>> import torch
        >>> plan = tree_plan(Graph.from_segments(torch.tensor([0, 0, 0, 2]), 3))
        >>> plan.depth, plan.num_merges, plan.segments.tolist(), plan.roots.tolist()
        (2, 2, [0, 2], [5, 3])
    """
    plan = _PLANS.get(graph)
    if plan is None:
        with torch.inference_mode(False):
            plan = _PLANS[graph] = _make(graph.in_degree)
    return plan


def _make(length: Tensor) -> TreePlan:
    num_segments, device = length.numel(), length.device
    segments = torch.nonzero(length).flatten()
    length = length[segments]
    position = torch.arange(segments.numel(), device=device)
    num_leaves = int(length.sum())
    leaf_segment = torch.repeat_interleave(position, length, output_size=num_leaves)
    rows = torch.arange(num_leaves, device=device)
    count = num_leaves
    levels = []
    for _ in range(max(int(length.max()) - 1, 0).bit_length() if segments.numel() else 0):
        half = (length + 1) // 2
        owner = torch.repeat_interleave(position, half)
        rank = torch.arange(owner.numel(), device=device) - (half.cumsum(0) - half)[owner]
        slot = (length.cumsum(0) - length)[owner] + 2 * rank
        pairs = torch.nonzero(2 * rank + 1 < length[owner]).flatten()
        slot_of_pairs = slot[pairs]
        levels.append((rows[slot_of_pairs], rows[slot_of_pairs + 1]))
        rows = rows[slot]
        rows[pairs] = torch.arange(count, count + pairs.numel(), device=device)
        count += pairs.numel()
        length = half
    return TreePlan(num_leaves, num_segments, tuple(levels), rows, segments, leaf_segment)
