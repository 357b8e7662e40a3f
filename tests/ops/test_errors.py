"""Bad input raises an error that names the argument, what was got and what was expected."""

# One case per line reads as a table.
# ruff: noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

from graphkit import Graph, ops

GRAPH = Graph.from_edge_index(torch.tensor([[0, 1, 2], [1, 1, 3]]), 4)
X = torch.rand(4, 2)
E = torch.rand(3, 2)
INDEX = torch.tensor([0, 1, 0])

CASES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "tensor for a graph": (lambda: ops.gather_reduce(X, GRAPH.edge_index), TypeError, "'graph' must be a graphkit.Graph (got Tensor)"),
    "rows": (lambda: ops.gather_reduce(X[:3], GRAPH), ValueError, "'x' must have one row per source node of the graph, 4 (got shape [3, 2])"),
    "integers": (lambda: ops.softmax_aggregate(X.long(), GRAPH), ValueError, "'x' must be floating point (got torch.int64)"),
    "list": (lambda: ops.softmax_aggregate([1.0], GRAPH), TypeError, "'x' must be a torch.Tensor (got list)"),
    "scalar": (lambda: ops.gather_reduce(torch.tensor(1.0), GRAPH), ValueError, "(got shape [])"),
    "both edge operands": (lambda: ops.gather_reduce(X, GRAPH, E[:, 0], E), ValueError, "not both"),
    "weight rows": (lambda: ops.gather_reduce(X, GRAPH, E[:2, 0]), ValueError, "'edge_weight' must have one row per edge of the graph, 3"),
    "weight shape": (lambda: ops.gather_reduce(X, GRAPH, E), ValueError, "'edge_weight' must have shape [E] (got [3, 2])"),
    "weight and message": (lambda: ops.gather_reduce(X, GRAPH, E[:, 0], message="copy"), ValueError, "'edge_weight' goes with message='mul'"),
    "attr and copy": (lambda: ops.softmax_aggregate(X, GRAPH, E, message="copy"), ValueError, "takes no edge features"),
    "attr width": (lambda: ops.softmax_aggregate(X, GRAPH, E[:, :1]), ValueError, "'edge_attr' must have the feature shape of 'x', [2] (got [1])"),
    "message": (lambda: ops.gather_reduce(X, GRAPH, message="add"), ValueError, "unknown message (got 'add'"),
    "softmax message": (lambda: ops.softmax_aggregate(X, GRAPH, message="mul"), ValueError, "unknown message (got 'mul'"),
    "power message": (lambda: ops.powermean_aggregate(X, GRAPH, message="mul"), ValueError, "unknown message (got 'mul'"),
    "reduce": (lambda: ops.gather_reduce(X, GRAPH, reduce="median"), ValueError, "unknown reduce (got 'median'"),
    "t shape": (lambda: ops.softmax_aggregate(X, GRAPH, t=torch.ones(3)), ValueError, "'t' must be a scalar or have the trailing feature shape [2]"),
    "t type": (lambda: ops.softmax_aggregate(X, GRAPH, t="1"), TypeError, "'t' must be a number or a tensor (got str)"),
    "eps": (lambda: ops.powermean_aggregate(X, GRAPH, eps=0.0), ValueError, "'eps' must be positive"),
    "meta device": (lambda: ops.gather_reduce(X.to("meta"), GRAPH), ValueError, "'x' is on meta but the graph is on cpu"),
    "scatter rows": (lambda: ops.scatter(X, INDEX), ValueError, "'src' must have one row per entry of the index, 3 (got 4 along 'dim')"),
    "scatter range": (lambda: ops.scatter(E, INDEX, 1), ValueError, "'index' must lie in [0, 1) because there are 1 segments (got 1 at position 1)"),
    "scatter negative": (lambda: ops.scatter(E, INDEX - 1, 3), ValueError, "(got -1 at position 0)"),
    "scatter float": (lambda: ops.scatter(E, INDEX.float()), ValueError, "'index' must hold integers"),
    "scatter 2-d": (lambda: ops.scatter(E, INDEX[None]), ValueError, "'index' must be a dense vector (got shape [1, 3]"),
    "scatter dim": (lambda: ops.scatter(E, INDEX, dim=2), ValueError, "'dim' must lie in [-2, 2)"),
    "scatter reduce": (lambda: ops.scatter(E, INDEX, reduce="std"), ValueError, "unknown reduce (got 'std'"),
    "integer mean": (lambda: ops.scatter(INDEX, INDEX, reduce="mean"), ValueError, "needs floating point"),
    "bool sum": (lambda: ops.scatter(INDEX > 0, INDEX), ValueError, "must hold real numbers"),
    "ptr order": (lambda: ops.segment(E, torch.tensor([0, 3, 2])), ValueError, "'ptr' must start at 0 and never decrease"),
    "ptr end": (lambda: ops.segment(E, torch.tensor([0, 2])), ValueError, "'ptr' must end at the number of rows, 3 (got 2)"),
    "ptr start": (lambda: ops.segment(E, torch.tensor([1, 3])), ValueError, "'ptr' must start at 0"),
    "no segments": (lambda: ops.segment_softmax(E), ValueError, "exactly one of 'index' and 'ptr'"),
    "softmax integers": (lambda: ops.segment_softmax(INDEX, INDEX), ValueError, "'src' must be floating point"),
    "topk k": (lambda: ops.segment_topk(E[:, 0], 0, INDEX), ValueError, "'k' must be a positive int (got 0)"),
    "topk shape": (lambda: ops.segment_topk(E, 1, INDEX), ValueError, "'src' must have shape [E]"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_error(name: str) -> None:
    call, kind, message = CASES[name]
    with pytest.raises(kind, match=re.escape(message)):
        call()
