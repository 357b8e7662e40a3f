"""Every error names the argument, what was got and what was expected."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphkit import Graph
from graphkit.graph.validate import check_num_nodes

EDGES = torch.tensor([[0, 1, 2], [1, 2, 0]])


@pytest.mark.parametrize(
    ("edge_index", "num_nodes", "error", "message"),
    [
        ([[0], [1]], 2, TypeError, r"'edge_index' must be a torch.Tensor .*got list.*torch.as_tensor"),
        (np.zeros((2, 3)), 2, TypeError, r"'edge_index' must be .*got ndarray"),
        (EDGES.float(), 3, ValueError, r"'edge_index' must hold integers.*got torch.float32.*\.long\(\)"),
        (EDGES.bool(), 3, ValueError, r"'edge_index' must hold integers.*got torch.bool"),
        (EDGES.to(torch.complex64), 3, ValueError, r"must hold integers.*got torch.complex64"),
        (EDGES.t(), 3, ValueError, r"must have shape \[2, E\] \(got \[3, 2\]\).*edge_index\.t\(\)"),
        (EDGES[0], 3, ValueError, r"must have shape \[2, E\] \(got \[3\]\)"),
        (torch.tensor(1), 3, ValueError, r"must have shape \[2, E\] \(got \[\]\)"),
        (EDGES.to("meta"), 3, ValueError, r"'edge_index' must hold data.*meta"),
        (EDGES.to_sparse(), 3, ValueError, r"must be a dense tensor .*sparse_coo.*from_sparse"),
        (EDGES, 2, ValueError, r"'edge_index\[0\]' must lie in \[0, 2\) .* 2 nodes \(got 2 at position 2\)"),
        (EDGES, (3, 2), ValueError, r"'edge_index\[1\]' must lie in \[0, 2\).*2 target nodes \(got 2 at"),
        (-EDGES, 3, ValueError, r"'edge_index\[0\]' must lie in \[0, 3\) .*got -1 at position 1"),
        (-EDGES, None, ValueError, r"'edge_index' must lie in .*got -1 at position 1"),
        (torch.full((2, 1), 2**63 - 1), None, ValueError, r"'edge_index' must stay below"),
        (EDGES, -1, ValueError, r"'num_nodes' must lie between 0 and .*got -1"),
        (EDGES, 2**64, ValueError, r"'num_nodes' must lie between"),
        (EDGES, 3.0, TypeError, r"'num_nodes' must be an int .*got 3\.0"),
        (EDGES, True, TypeError, r"'num_nodes' must be an int .*got True"),
        (EDGES, torch.tensor(3), TypeError, r"'num_nodes' must be an int"),
        (EDGES, (3, 3, 3), ValueError, r"'num_nodes' must be an int or a pair .*got \(3, 3, 3\)"),
        (EDGES, (3, None), TypeError, r"'num_nodes' must be .*got None"),
    ],
)
def test_edges(edge_index, num_nodes, error, message):
    with pytest.raises(error, match=message):
        Graph.from_edge_index(edge_index, num_nodes)


@pytest.mark.parametrize(
    ("kind", "value", "error", "message"),
    [
        (
            "edge_attrs",
            torch.ones(4),
            ValueError,
            r"edge attribute 'a' must have one row per edge, 3 \(got shape \[4\]",
        ),
        ("edge_attrs", torch.tensor(1.0), ValueError, r"edge attribute 'a' must have one row per edge"),
        ("edge_attrs", [1, 2, 3], TypeError, r"edge attribute 'a' must be a torch.Tensor \(got list\)"),
        ("edge_attrs", torch.ones(3, device="meta"), ValueError, r"'a' must be on cpu.*got meta"),
        ("node_attrs", torch.ones(4, 2), ValueError, r"node attribute 'a' must have one row per node, 3 "),
    ],
)
def test_attributes(kind, value, error, message):
    with pytest.raises(error, match=message):
        Graph.from_edge_index(EDGES, 3, **{kind: {"a": value}})


def test_node_attributes_of_a_bipartite_graph():
    with pytest.raises(ValueError, match="node attribute 'x' given to a bipartite graph"):
        Graph.from_edge_index(EDGES, (3, 4), node_attrs={"x": torch.ones(3)})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "exactly one of 'index' and 'ptr'"),
        ({"index": EDGES[0], "ptr": EDGES[0]}, ValueError, "exactly one of 'index' and 'ptr'"),
        ({"index": EDGES}, ValueError, r"'index' must be a dense vector \(got shape \[2, 3\]"),
        ({"index": [0, 1]}, TypeError, "'index' must be a torch.Tensor"),
        ({"index": EDGES[0].double()}, ValueError, "'index' must hold integers"),
        ({"index": EDGES[0], "num_segments": 2}, ValueError, r"'index' must lie in \[0, 2\) .*2 segments"),
        ({"index": -EDGES[0]}, ValueError, r"'index' must lie in \[0, 1\)"),
        ({"index": EDGES[0], "num_segments": 3.0}, TypeError, "'num_segments' must be an int"),
        ({"ptr": torch.tensor([1, 2])}, ValueError, "'ptr' must start at 0 and never decrease"),
        ({"ptr": torch.tensor([0, 3, 2])}, ValueError, "'ptr' must start at 0 and never decrease"),
        ({"ptr": torch.tensor([0, 3]), "num_rows": 4}, ValueError, "'ptr' must end at the number of rows, 4"),
        ({"ptr": EDGES[0, :0]}, ValueError, r"'ptr' must have shape \[S \+ 1\]"),
    ],
)
def test_segments(arguments, error, message):
    with pytest.raises(error, match=message):
        Graph.from_segments(**arguments)


def test_numpy_ints_are_ints():
    assert check_num_nodes(np.int32(4)) == (4, 4)
    assert check_num_nodes([np.int64(4), 5]) == (4, 5)
    assert type(check_num_nodes(np.int64(4))[0]) is int
