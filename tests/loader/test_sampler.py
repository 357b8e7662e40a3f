"""Which sampler a loader gets: ours, or PyG's over pyg-lib."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch_geometric.typing
from torch_geometric.data import Data, HeteroData

from graphkit import Graph
from graphkit.loader import NeighborSampler, sampler
from graphkit.loader.sampler import make_sampler
from tests.loader.cases import graph_data


class _PyGs:
    """Stands for PyG's sampler, which cannot be made without pyg-lib."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.kwargs = kwargs


@pytest.fixture
def pyg_lib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_geometric.typing, "WITH_PYG_LIB", True)
    monkeypatch.setattr(sampler, "PyGNeighborSampler", _PyGs)


@pytest.fixture
def no_pyg_lib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_geometric.typing, "WITH_PYG_LIB", False)


@pytest.mark.usefixtures("pyg_lib")
def test_pyg_lib_is_used_where_it_is_installed() -> None:
    data = graph_data()
    made = make_sampler(data, [2], replace=True, time_attr="time", disjoint=True)
    assert isinstance(made, _PyGs)
    assert made.kwargs["time_attr"] == "time"
    assert made.kwargs["replace"] is made.kwargs["disjoint"] is True
    assert isinstance(make_sampler(data, [2], backend="pyg-lib"), _PyGs)
    # It has no induced subgraphs and does not know a Graph; a named backend is respected.
    assert isinstance(make_sampler(data, [2], subgraph_type="induced"), NeighborSampler)
    assert isinstance(make_sampler(Graph.from_data(data), [2]), NeighborSampler)
    assert isinstance(make_sampler(data, [2], backend="torch"), NeighborSampler)
    with pytest.raises(ValueError, match="induced"):
        make_sampler(data, [2], backend="pyg-lib", subgraph_type="induced")


@pytest.mark.usefixtures("no_pyg_lib")
def test_ours_is_used_without_pyg_lib() -> None:
    data = graph_data()
    assert isinstance(make_sampler(data, [2], disjoint=False, time_attr=None), NeighborSampler)
    with pytest.raises(ImportError, match="pyg-lib"):
        make_sampler(data, [2], backend="pyg-lib")
    with pytest.raises(ValueError, match="'weight_attr': only pyg-lib"):
        make_sampler(data, [2], weight_attr="w")


def test_graphs_of_all_kinds() -> None:
    data = graph_data()
    assert NeighborSampler(data, [2]).num_nodes == 200
    assert NeighborSampler(Graph.from_data(data), [2]).num_nodes == 200
    hetero = HeteroData()
    hetero["a"].num_nodes, hetero["b"].num_nodes = 3, 4
    hetero["a", "to", "b"].edge_index = torch.tensor([[0, 2], [3, 3]])
    assert NeighborSampler(hetero, [2]).num_nodes == {"a": 3, "b": 4}
    with pytest.raises(ValueError, match="edge_index"):
        NeighborSampler(Data(num_nodes=3), [2])
