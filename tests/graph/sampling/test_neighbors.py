"""Neighbour sampling: what is returned, how often, and what is refused."""

from __future__ import annotations

import itertools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit import Graph
from graphkit.graph.sampling import sample_neighbors
from graphkit.graph.sampling.neighbors import EDGE, NODE, Topology, sample_typed
from tests.graph.sampling.checks import BACKENDS, assert_equally_likely, check_sample, random_graph


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("fanouts", [[3], [4, 2], [-1, 2], [2, -1, 1], [70, 1], [1000]])
def test_every_hop_draws_what_it_should(backend: str, wide: bool, replace: bool, fanouts: list[int]) -> None:
    graph = random_graph(60, 600, wide=wide)
    seeds = torch.tensor([0, 5, 59, 5, 17, 0])  # a hub, an isolated node, nodes given twice
    out = sample_neighbors(graph, seeds, fanouts, replace=replace, seed=1, backend=backend)
    check_sample(graph, seeds, fanouts, out, replace)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_graph(data: st.DataObject) -> None:
    num_nodes = data.draw(st.integers(1, 12))
    node = st.integers(0, num_nodes - 1)
    pairs = data.draw(st.lists(st.tuples(node, node), max_size=40))
    graph = Graph.from_edge_index(torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t(), num_nodes)
    seeds = torch.tensor(data.draw(st.lists(node, max_size=6)), dtype=torch.int64)
    fanouts = data.draw(st.lists(st.sampled_from([-1, 1, 2, 3, 9]), max_size=3))
    replace, seed = data.draw(st.booleans()), data.draw(st.integers(0, 2**64 - 1))
    check_sample(graph, seeds, fanouts, sample_neighbors(graph, seeds, fanouts, replace=replace, seed=seed), replace)


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_graph_no_seeds_no_hops(backend: str) -> None:
    empty = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.int64), 3)
    out = sample_neighbors(empty, torch.tensor([2, 0]), [5, -1], backend=backend)
    assert out.node.tolist() == [2, 0]
    assert (out.num_nodes, out.num_edges) == ([2, 0, 0], [0, 0])
    graph = random_graph(20, 50)
    assert sample_neighbors(graph, torch.empty(0, dtype=torch.int64), [5], backend=backend).node.numel() == 0
    assert sample_neighbors(graph, torch.tensor([1]), [], backend=backend).edge.numel() == 0
    none = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.int64), 0)
    assert sample_neighbors(none, torch.empty(0, dtype=torch.int64), [5], backend=backend).node.numel() == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("degree", "fanout"), [(5, 2), (6, 3), (5, 4), (4, 1)])
def test_subsets_are_equally_likely(backend: str, degree: int, fanout: int) -> None:
    edge_index = torch.stack([torch.arange(degree), torch.full((degree,), degree)])
    graph = Graph.from_edge_index(edge_index, degree + 1)
    seeds = torch.full((4000,), degree)
    out = sample_neighbors(graph, seeds, [fanout], seed=2, backend=backend)
    subsets = [tuple(sorted(row)) for row in out.edge.reshape(-1, fanout).tolist()]
    assert_equally_likely(subsets, len(list(itertools.combinations(range(degree), fanout))))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("degree", "fanout"), [(100, 10), (100, 40), (64, 20), (65, 33)])
def test_edges_of_large_rows_are_equally_likely(backend: str, degree: int, fanout: int) -> None:
    # Rows of up to 64 edges, few draws and many draws remember what was chosen in three different ways.
    edge_index = torch.stack([torch.arange(degree), torch.full((degree,), degree)])
    graph = Graph.from_edge_index(edge_index, degree + 1)
    out = sample_neighbors(graph, torch.full((3000,), degree), [fanout], seed=4, backend=backend)
    rows = out.edge.reshape(-1, fanout)
    assert all(len(set(row)) == fanout for row in rows.tolist())
    # Draws of one row exclude each other, so counts vary less than independent ones: by (1 - fanout / degree).
    counts = torch.bincount(out.edge, minlength=degree).double()
    mean = out.edge.numel() / degree
    statistic = float(((counts - mean) ** 2).sum() / mean / (1 - fanout / degree))
    assert abs(statistic - (degree - 1)) < 5 * (2 * (degree - 1)) ** 0.5


@pytest.mark.parametrize("backend", BACKENDS)
def test_draws_with_replacement_are_independent(backend: str) -> None:
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2], [3, 3, 3, 3]]), 4)  # two parallel edges
    out = sample_neighbors(graph, torch.full((6000,), 3), [3], replace=True, seed=7, backend=backend)
    assert_equally_likely([tuple(row) for row in out.edge.reshape(-1, 3).tolist()], 4**3)


def test_seeds_decide_the_draws() -> None:
    graph, seeds = random_graph(60, 600), torch.arange(50)

    def draw(seed: int | None) -> list[int]:
        return sample_neighbors(graph, seeds, [2, 2], seed=seed).edge.tolist()

    assert draw(1) == draw(1) != draw(2)
    torch.manual_seed(0)
    first, second = draw(None), draw(None)
    torch.manual_seed(0)
    assert draw(None) == first != second


@pytest.mark.parametrize("backend", BACKENDS)
def test_induced_subgraphs_hold_all_edges_between_the_reached_nodes(backend: str) -> None:
    graph = random_graph(60, 600)
    seeds = torch.tensor([4, 30, 0])
    drawn = sample_neighbors(graph, seeds, [2, 2], seed=1, backend=backend)
    out = sample_neighbors(graph, seeds, [2, 2], induced=True, seed=1, backend=backend)
    assert torch.equal(out.node, drawn.node)
    assert (out.num_nodes, out.num_edges) == (None, None)
    assert torch.equal(out.node[torch.stack([out.row, out.col])], graph.edge_index[:, out.edge])
    inside = torch.isin(graph.edge_index, out.node).all(dim=0)
    assert sorted(out.edge.tolist()) == inside.nonzero().flatten().tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_calls_leave_no_marks_behind(backend: str) -> None:
    topology = Topology.of(random_graph(60, 600))
    for _ in range(3):
        sample_typed(topology, {NODE: torch.arange(10)}, {EDGE: [3, 3]}, backend=backend)
    tables = topology.take_tables()
    assert not tables[NODE].any()
    assert topology.take_tables()[NODE].data_ptr() != tables[NODE].data_ptr()  # two threads, two tables
    topology.give_back(tables)
    assert pickle.loads(pickle.dumps(topology))._tables == []


def test_inference_mode_and_int32_seeds() -> None:
    graph = random_graph(60, 600)
    with torch.inference_mode():
        out = sample_neighbors(graph, torch.arange(5, dtype=torch.int32), [3, 2], seed=0)
    check_sample(graph, torch.arange(5), [3, 2], out)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"fanouts": [3, 0]}, ValueError, "'fanouts' must be positive, or -1 .*got 0 in"),
        ({"fanouts": [-2]}, ValueError, "got -2"),
        ({"fanouts": [2**31]}, ValueError, "fanouts"),
        ({"fanouts": [1.5]}, TypeError, "list of ints"),
        ({"fanouts": 3}, TypeError, "one per hop"),
        ({"seeds": torch.tensor([0, 60])}, ValueError, r"'seeds' must lie in \[0, 60\).*got 60 at position 1"),
        ({"seeds": torch.tensor([-1])}, ValueError, "got -1"),
        ({"seeds": torch.tensor([[1]])}, ValueError, "must be a vector"),
        ({"seeds": torch.tensor([1.0])}, ValueError, "integers"),
        ({"seeds": [1]}, TypeError, "torch.Tensor"),
        ({"seed": "a"}, TypeError, "seed"),
        ({"backend": "cuda"}, ValueError, "'backend' must be one of"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    given = {"seeds": torch.tensor([0]), "fanouts": [3], **arguments}
    with pytest.raises(error, match=message):
        sample_neighbors(random_graph(60, 600), given.pop("seeds"), given.pop("fanouts"), **given)  # type: ignore[arg-type]


def test_a_bipartite_graph_is_refused() -> None:
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [0, 0]]), (2, 1))
    with pytest.raises(ValueError, match="homogeneous"):
        sample_neighbors(graph, torch.tensor([0]), [1])
