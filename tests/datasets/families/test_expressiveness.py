"""EXP, CSL and all graphs on eight nodes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.datasets import GNNBenchmarkDataset
from torch_geometric.utils import degree

from graphkit.datasets import load


def test_exp(real_data: Path) -> None:
    dataset = load("EXP", real_data)
    assert len(dataset) == 1200
    assert dataset._data.y.bincount().tolist() == [600, 600]
    first, second = dataset[0], dataset[1]
    assert {int(first.y), int(second.y)} == {0, 1}
    assert first.x.unique().tolist() == [0, 1]
    # A pair is the same to anything that sees degrees: neither sizes nor degrees tell the two apart.
    for k in range(0, 1200, 100):
        pair = [degree(graph.edge_index[1], graph.num_nodes).sort().values for graph in (dataset[k], dataset[k + 1])]
        assert pair[0].equal(pair[1])
        assert dataset[k].is_undirected()


def test_exp_never_opens_the_pickle(real_data: Path, tmp_path: Path) -> None:
    (tmp_path / "EXP" / "raw").mkdir(parents=True)
    shutil.copyfile(real_data / "EXP" / "exp_graphs.npz", tmp_path / "EXP" / "exp_graphs.npz")
    (tmp_path / "EXP" / "raw" / "GRAPHSAT.pkl").write_bytes(b"no pickle at all")
    assert len(load("exp", tmp_path)) == 1200


def test_exp_whose_arrays_do_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "EXP").mkdir()
    ptr = np.array([0, 2, 4])
    arrays = {"x": np.zeros((3, 1)), "edge_index": np.zeros((2, 4)), "y": np.array([0, 1])}
    np.savez(tmp_path / "EXP" / "exp_graphs.npz", node_ptr=ptr, edge_ptr=ptr, **arrays)
    with pytest.raises(ValueError, match="node_ptr and edge_ptr do not fit together"):
        load("exp", tmp_path)


def test_csl(real_data: Path) -> None:
    dataset = load("CSL", real_data)
    assert isinstance(dataset, GNNBenchmarkDataset)
    assert len(dataset) == 150
    assert {(graph.num_nodes, graph.num_edges) for graph in dataset} == {(41, 164)}
    assert torch.tensor([int(graph.y) for graph in dataset]).bincount().tolist() == [15] * 10


def test_graph8c(real_data: Path) -> None:
    dataset = load("graph8c", real_data)
    assert len(dataset) == 11_117
    assert {graph.num_nodes for graph in dataset} == {8}
    complete, tree_edges = max(graph.num_edges for graph in dataset), min(graph.num_edges for graph in dataset)
    assert (complete, tree_edges) == (56, 14)
    assert all(graph.is_undirected() for graph in dataset[::500])
    assert dataset[0].x.tolist() == [[1.0]] * 8
