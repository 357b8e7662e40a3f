from __future__ import annotations

import gc
import weakref
from math import ceil, log2

import pytest
import torch

from graphkit import Graph
from graphkit.graph.tree import TreePlan, tree_plan


def graph_of(lengths: list[int]) -> Graph:
    index = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths, dtype=torch.long))
    return Graph.from_segments(index, len(lengths))


def written(plan: TreePlan) -> list[str]:
    """Each segment's tree as text, its leaves named by their row."""
    text = [str(row) for row in range(plan.num_leaves)]
    for left, right in plan.levels:
        text += [f"({text[a]} {text[b]})" for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    return [text[row] for row in plan.roots.tolist()]


def folded(rows: list[str]) -> str:
    """The same by the rule: pairs meet, an odd last row moves up."""
    while len(rows) > 1:
        odd = [rows[-1]] if len(rows) % 2 else []
        rows = [f"({a} {b})" for a, b in zip(rows[0 : len(rows) - 1 : 2], rows[1::2], strict=False)] + odd
    return rows[0]


def test_seven_leaves():
    assert written(tree_plan(graph_of([7]))) == ["(((0 1) (2 3)) ((4 5) 6))"]


@pytest.mark.parametrize(
    "lengths", [[1], [2], [3, 0, 1, 5], [0, 0, 17, 4, 16, 1, 33, 0], list(range(20)), [64, 1, 1, 63]]
)
def test_shape_and_cost(lengths):
    plan = tree_plan(graph_of(lengths))
    expected, start = [], 0
    for length in lengths:
        if length:
            expected.append(folded([str(row) for row in range(start, start + length)]))
        start += length
    assert written(plan) == expected
    assert plan.segments.tolist() == [s for s, length in enumerate(lengths) if length]
    assert plan.num_merges == sum(lengths) - sum(length > 0 for length in lengths)
    assert sum(left.numel() for left, _ in plan.levels) == plan.num_merges
    assert plan.depth == ceil(log2(max(lengths)))
    # Every row but the roots is the child of one node: what makes a backward pass by writing alone possible.
    children = torch.cat(plan.children)
    assert torch.cat([children, plan.roots]).sort().values.tolist() == list(range(plan.num_rows))
    segment = torch.cat([plan.leaf_segment, plan.merge_segment])
    assert torch.equal(segment[plan.children[0]], plan.merge_segment)
    assert torch.equal(segment[plan.children[1]], plan.merge_segment)
    assert segment[plan.roots].tolist() == list(range(len(expected)))


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_nothing(lengths):
    plan = tree_plan(graph_of(lengths))
    assert (plan.depth, plan.num_merges, plan.num_rows, plan.num_segments) == (0, 0, 0, len(lengths))
    assert plan.children[0].numel() == plan.merge_segment.numel() == plan.roots.numel() == 0


def test_a_hub_costs_no_padding():
    plan = tree_plan(graph_of([5000, *[1] * 5000]))
    assert (plan.num_merges, plan.depth) == (4999, 13)


def test_made_once_per_graph_and_gone_with_it():
    graph = graph_of([3, 2])
    plan = tree_plan(graph)
    assert tree_plan(graph) is plan
    assert tree_plan(graph_of([3, 2])) is not plan
    gone = weakref.ref(plan)
    del graph, plan
    gc.collect()
    assert gone() is None


def test_of_any_graph_it_takes_the_incoming_edges():
    plan = tree_plan(Graph.from_edge_index(torch.tensor([[0, 1, 2, 0], [2, 0, 0, 0]]), 3))
    assert plan.segments.tolist() == [0, 2]
    assert written(plan) == ["((0 1) 2)", "3"]
