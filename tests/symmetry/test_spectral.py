"""Sorted graphs: against the published keys, and relabelled copies of graphs that are hard to tell apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphkit.datasets import load
from graphkit.symmetry import sort_graphs, spectral_keys
from tests.golden.frame_averaging_arrays import arrays

GRAPHS = ("path5", "cycle6", "two_triangles", "paw", "asym6", "asym7")


def golden_batch() -> tuple[Tensor, Tensor, list[int]]:
    matrices = [arrays("graph_frames")[f"{name}_A"] for name in GRAPHS]
    sizes = [matrix.size(0) for matrix in matrices]
    return torch.block_diag(*matrices).nonzero().T, torch.arange(6).repeat_interleave(torch.tensor(sizes)), sizes


def test_published_keys_and_classes() -> None:
    golden = arrays("graph_frames")
    edge_index, batch, sizes = golden_batch()
    keys, distinct = spectral_keys(edge_index, batch)
    classes = sort_graphs(edge_index, batch).classes.split(sizes)
    for name, rows, number, found in zip(GRAPHS, keys.split(sizes), distinct, classes, strict=True):
        expected = golden[f"{name}_keys"]
        assert int(number) == expected.size(1)
        torch.testing.assert_close(rows[:, :number], expected, rtol=0, atol=1e-12)
        theirs = torch.empty_like(found)
        theirs[golden[f"{name}_order"]] = golden[f"{name}_group_of_sorted"]
        assert torch.equal(found, theirs)
        size = torch.bincount(found).double().add(1).lgamma().sum().exp()
        assert round(float(size)) == int(golden[f"{name}_frame_size"])


def relabel(graph: Data, generator: torch.Generator) -> Data:
    label = torch.randperm(graph.num_nodes, generator=generator)
    return Data(edge_index=label[graph.edge_index], num_nodes=graph.num_nodes)


def sorted_edges(graphs: list[Data]) -> list[tuple[int, ...]]:
    """The canonical form of each graph: its edges between places, sorted."""
    batch = Batch.from_data_list(graphs)
    place = sort_graphs(batch.edge_index, batch.batch, num_graphs=len(graphs)).place
    ends, owner = place[batch.edge_index], batch.batch[batch.edge_index[0]]
    return [tuple(sorted((ends[0] * 1000 + ends[1])[owner == number].tolist())) for number in range(len(graphs))]


def shrikhande_and_rook() -> list[Data]:
    """The two strongly regular graphs with parameters (16, 6, 2, 2): refinement of colours sees no difference."""
    cells = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    apart = (cells[:, None] - cells[None]) % 4
    steps = torch.tensor([[0, 1], [0, 3], [1, 0], [3, 0], [1, 1], [3, 3]])
    shrikhande = (apart[:, :, None] == steps).all(-1).any(-1)
    rook = (apart == 0).sum(-1) == 1
    return [Data(edge_index=matrix.nonzero().T, num_nodes=16) for matrix in (shrikhande, rook)]


def test_strongly_regular_graphs() -> None:
    generator = torch.Generator().manual_seed(0)
    graphs = shrikhande_and_rook()
    copies = [relabel(graph, generator) for graph in graphs for _ in range(5)]
    forms = sorted_edges([*graphs, *copies])
    assert forms[0] != forms[1]
    assert set(forms[2:7]) == {forms[0]}
    assert set(forms[7:]) == {forms[1]}


@pytest.mark.parametrize(("name", "number"), [("exp", 120), ("csl", 30)])
def test_relabelled_copies_have_the_same_form_in_any_batch(name: str, number: int, real_data: Path) -> None:
    data = load(name, real_data)
    graphs = [Data(edge_index=data[i].edge_index, num_nodes=data[i].num_nodes) for i in range(number)]
    forms = sorted_edges(graphs)
    generator = torch.Generator().manual_seed(1)
    copies = sorted_edges([relabel(graph, generator) for graph in reversed(graphs)])
    assert copies[::-1] == forms
    if name == "exp":
        assert all(forms[i] != forms[i + 1] for i in range(0, number, 2))


def test_random_ties_are_drawn_within_classes() -> None:
    edge_index, batch, _ = golden_batch()
    seen = set()
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        found = sort_graphs(edge_index, batch, ties="random", generator=generator)
        seen.add(tuple(found.place.tolist()))
        for graph in range(6):
            inside = batch == graph
            assert found.place[inside].sort().values.tolist() == list(range(int(inside.sum())))
            assert (found.classes[inside][found.place[inside].argsort()].diff() >= 0).all()
    assert len(seen) == 20


def test_features_and_directions_tell_nodes_apart() -> None:
    cycle = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    both = torch.cat([cycle, cycle.flip(0)], 1)
    assert sort_graphs(both).classes.tolist() == [0] * 4
    marked = sort_graphs(both, features=torch.tensor([0.0, 0, 1, 0])).classes
    assert marked.tolist() == [1, 0, 2, 0] or marked.tolist() == [0, 0, 1, 0]
    path = torch.tensor([[0, 1], [1, 2]])
    assert sort_graphs(path).place.tolist() != sort_graphs(path.flip(0)).place.tolist()


def test_empty_and_errors() -> None:
    none = torch.zeros(2, 0, dtype=torch.long)
    assert sort_graphs(none, num_nodes=0).place.numel() == 0
    assert sort_graphs(none, num_nodes=3).place.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="'ties' must be"):
        sort_graphs(none, ties="any")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'batch' must ascend"):
        sort_graphs(none, torch.tensor([1, 0]))
    with pytest.raises(ValueError, match="an edge between two graphs"):
        sort_graphs(torch.tensor([[0], [1]]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="names node 5 of 2 nodes"):
        sort_graphs(torch.tensor([[5], [1]]), num_nodes=2)
    with pytest.raises(ValueError, match="'edge_index' must be an integer tensor"):
        sort_graphs(torch.zeros(2, 3))
