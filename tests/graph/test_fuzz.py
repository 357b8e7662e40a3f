"""Any input either works as a loop over edges does, or raises ValueError or TypeError: nothing else."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphkit import Graph
from graphkit.graph import as_graph

from .strategies import edge_lists, edge_tensor

# `seed` (conftest) is the same for every example, which is what we want.
fuzz = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

DTYPES = [
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint64,
    torch.bool, torch.float32, torch.float16, torch.bfloat16, torch.complex64,
]  # fmt: skip
INTEGERS = {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8}
SIZES = st.one_of(
    st.none(),
    st.integers(-2, 9),
    st.integers(5, 9),
    st.tuples(st.integers(-1, 9), st.integers(-1, 9)),
    st.sampled_from([2**31, 2**62, 2**63 - 1, 2**70, 1.5, True, "4", (3,), (3, None), [5, 5], np.int64(7), np.nan]),
)


@st.composite
def index_tensors(draw):
    """Mostly ``[2, E]`` integers in or near the range; sometimes anything else."""
    edges, vector = st.tuples(st.just(2), st.integers(0, 7)), st.tuples(st.integers(0, 6))
    shape = draw(st.one_of(edges, vector, st.lists(st.integers(0, 3), max_size=3)))
    values = st.one_of(st.integers(0, 5), st.integers(-3, 9), st.sampled_from([-(2**63), 2**63 - 1, 2**31]))
    count = int(np.prod(shape)) if shape else 1
    flat = draw(st.lists(draw(st.sampled_from([st.integers(0, 5), values])), min_size=count, max_size=count))
    tensor = (
        torch.tensor(flat, dtype=torch.int64).reshape(tuple(shape)).to(draw(st.sampled_from(DTYPES[:1] * 6 + DTYPES)))
    )
    form = draw(st.sampled_from(["plain"] * 5 + ["transposed", "strided", "expanded"]))
    if form == "transposed" and tensor.dim() == 2:
        tensor = tensor.t().contiguous().t()
    if form == "strided":
        tensor = torch.stack([tensor, tensor], dim=-1)[..., 0]
    if form == "expanded" and tensor.dim() == 2 and tensor.size(1) > 0:
        tensor = tensor[:, :1].expand(-1, 4)
    return tensor


def mostly(shapes, top=5):
    """Half of the inputs well formed, so that answers are compared as often as errors."""
    good = shapes.flatmap(
        lambda shape: st.lists(st.integers(0, top), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(
            lambda flat: torch.tensor(flat, dtype=torch.int64).reshape(shape)
        )
    )
    return st.one_of(good, index_tensors())


EDGE_INDEX = mostly(st.tuples(st.just(2), st.integers(0, 7)))
VECTOR = mostly(st.tuples(st.integers(0, 6)))
POINTERS = st.one_of(
    st.lists(st.integers(0, 2), max_size=5).map(lambda steps: torch.tensor([0, *steps]).cumsum(0)), index_tensors()
)


def is_valid(tensor, num_nodes):
    """The reference: the size the graph must have, or None where an error is due."""
    if tensor.dtype not in INTEGERS or tensor.dim() != 2 or tensor.size(0) != 2:
        return None
    rows = tensor.tolist()
    if num_nodes is None:
        size = (max([-1, *rows[0], *rows[1]]) + 1,) * 2
    else:
        size = tuple(num_nodes) if isinstance(num_nodes, (tuple, list)) else (num_nodes,) * 2
    if len(size) != 2 or not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in size):
        return None
    if not all(0 <= n < 2**63 - 1 for n in size):
        return None
    return size if all(0 <= i < n for row, n in zip(rows, size, strict=True) for i in row) else None


def attempt(build, *arguments, **named):
    """The graph and "", or None and the message of the error; any other error fails the test."""
    try:
        return build(*arguments, **named), ""
    except (ValueError, TypeError) as error:
        return None, str(error)


@fuzz
@given(tensor=EDGE_INDEX, num_nodes=SIZES)
def test_from_edge_index(tensor, num_nodes):
    for build in (Graph.from_edge_index, as_graph):
        expected = is_valid(tensor, num_nodes)
        graph, message = attempt(build, tensor, num_nodes)
        assert (graph is None) == (expected is None), message or "took a bad input"
        if graph is None:
            assert "edge_index" in message or "num_nodes" in message
            continue
        assert graph.size == expected
        assert graph.edge_index.tolist() == tensor.tolist()
        if max(expected) > 10:
            continue  # a pointer array for 2**31 nodes is the user's memory to spend
        sources, targets = tensor.tolist()
        assert graph.in_degree.tolist() == [targets.count(i) for i in range(expected[1])]
        assert graph.out_degree.tolist() == [sources.count(i) for i in range(expected[0])]


def is_vector(tensor):
    return tensor.dim() == 1 and tensor.dtype in INTEGERS


@fuzz
@given(
    index=VECTOR,
    num_segments=st.one_of(st.none(), st.integers(-2, 9), st.sampled_from([1.0, "2", True, (3, 3)])),
)
def test_from_segments_by_index(index, num_segments):
    values = index.tolist()
    good = is_vector(index) and min(values, default=0) >= 0
    if num_segments is None:
        if good and 100 < max(values, default=0) < 2**63 - 1:
            return  # the sizes are the user's memory to spend
        good = good and max(values, default=0) <= 100
    else:
        good = good and type(num_segments) is int and max(values, default=-1) < num_segments >= 0
    graph, message = attempt(Graph.from_segments, index, num_segments)
    assert (graph is not None) == good, message or "took a bad input"
    if graph is None:
        assert "'index'" in message or "'num_segments'" in message
        return
    assert graph.in_degree.tolist() == [values.count(s) for s in range(graph.num_dst)]
    assert graph.edge_index.tolist() == [list(range(len(values))), values]


@fuzz
@given(ptr=POINTERS, num_rows=st.one_of(st.none(), st.integers(-1, 6), st.just(2.0)))
def test_from_segments_by_ptr(ptr, num_rows):
    values = ptr.tolist()
    good = is_vector(ptr) and len(values) > 0 and values[0] == 0 and values == sorted(values)
    good = good and (num_rows is None or (type(num_rows) is int and num_rows == values[-1]))
    if good and values[-1] > 100:
        return  # as many rows as that do not fit in memory
    graph, message = attempt(Graph.from_segments, ptr=ptr, num_rows=num_rows)
    assert (graph is not None) == good, message or "took a bad input"
    if graph is None:
        assert "'ptr'" in message or "'num_rows'" in message
        return
    assert graph.in_degree.tolist() == [b - a for a, b in pairwise(values)]


@fuzz
@given(graph=edge_lists(), nodes=mostly(st.tuples(st.integers(0, 3))))
def test_subgraph(graph, nodes):
    edges, num_nodes = graph
    listed = nodes.tolist()
    if nodes.dtype == torch.bool:
        good = nodes.dim() == 1 and len(listed) == num_nodes
        wanted = [i for i, kept in enumerate(listed) if kept] if good else []
    else:
        good = is_vector(nodes) and len(set(listed)) == len(listed) and set(listed) <= set(range(num_nodes))
        wanted = listed
    part, message = attempt(Graph.from_edge_index(edge_tensor(edges), num_nodes).subgraph, nodes)
    assert (part is not None) == good, message or "took a bad input"
    if part is None:
        assert "'nodes'" in message
        return
    assert part.node_attrs["n_id"].tolist() == wanted
    kept = [(wanted.index(s), wanted.index(t)) for s, t in edges if s in wanted and t in wanted]
    assert [tuple(e) for e in part.edge_index.t().tolist()] == kept


@settings(fuzz, max_examples=50)
@given(graph=edge_lists())
def test_transforms_against_multisets(graph):
    edges, num_nodes = graph
    graph = Graph.from_edge_index(edge_tensor(edges), num_nodes)

    def listed(other):
        return [tuple(e) for e in other.edge_index.t().tolist()]

    loops = listed(graph.with_self_loops())
    assert loops == edges + [(i, i) for i in range(num_nodes) if (i, i) not in edges]
    both = listed(graph.to_undirected())
    assert both[: len(edges)] == edges
    for s, t in set(edges):
        assert both.count((s, t)) == max(edges.count((s, t)), edges.count((t, s))) == both.count((t, s))
    assert listed(Graph.batch([graph, graph])) == edges + [(s + num_nodes, t + num_nodes) for s, t in edges]
    assert listed(Graph.from_networkx(graph.to_networkx())) == edges


@fuzz
@given(graph=edge_lists(), kind=st.sampled_from([nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph]))
def test_any_networkx_graph(graph, kind):
    edges, num_nodes = graph
    source = kind()
    source.add_nodes_from(range(num_nodes))
    source.add_edges_from(edges)
    back = Graph.from_networkx(source).to_networkx()
    directed = nx.MultiDiGraph(source) if source.is_directed() else nx.MultiGraph(source).to_directed()
    assert list(back.nodes) == list(directed.nodes)
    assert sorted(back.edges()) == sorted(directed.edges())
