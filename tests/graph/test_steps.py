from __future__ import annotations

import pytest
import torch

from graphkit import Graph
from graphkit.graph.steps import step_plan


@pytest.mark.parametrize("lengths", [[3, 0, 1, 5, 3], [1], [0, 0, 4], list(range(9))])
def test_every_row_once_in_its_step(lengths):
    index = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    index = index[torch.randperm(index.numel())]
    graph = Graph.from_segments(index, len(lengths))
    plan = step_plan(graph)
    assert step_plan(graph) is plan
    found: dict[int, list[int]] = {segment: [] for segment in range(len(lengths))}
    for rows in plan.rows.split(plan.sizes):
        # The first segments, longest first, give one row each, in the given order.
        assert index[rows].tolist() == plan.segments[: len(rows)].tolist()
        for row in rows.tolist():
            found[int(index[row])].append(row)
    assert found == {s: torch.nonzero(index == s).flatten().tolist() for s in range(len(lengths))}
    assert list(plan.sizes) == [sum(length > t for length in lengths) for t in range(max(lengths))]
    assert sorted(lengths, reverse=True)[: plan.segments.numel()] == [lengths[s] for s in plan.segments.tolist()]


def test_nothing():
    plan = step_plan(Graph.from_segments(torch.empty(0, dtype=torch.long), 2))
    assert (plan.sizes, plan.segments.numel(), plan.num_segments) == ((), 0, 2)
