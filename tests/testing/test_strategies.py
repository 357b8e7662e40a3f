from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import find, given, settings
from torch_geometric.data import Batch, Data

from graphkit.nn import GENConv
from graphkit.testing import assert_claim
from graphkit.testing.strategies import CLOUDS, batches, clouds, edge_indices, graphs

few = settings(max_examples=20, deadline=None, database=None, derandomize=True)


@few
@given(data=graphs(("x", "edge_attr"), min_nodes=0, max_nodes=5, channels=3))
def test_graphs_are_valid(data: Data) -> None:
    data.validate(raise_on_error=True)
    assert data.x.shape == (data.num_nodes, 3)
    assert data.edge_attr.shape == (data.num_edges, 4)


@few
@given(batch=batches(max_nodes=4))
def test_a_layer_on_batches(batch: Batch) -> None:
    conv = GENConv(8, 2, norm="layer").double().eval()
    together = conv(batch.x, batch.edge_index)
    alone = torch.cat([conv(data.x, data.edge_index) for data in batch.to_data_list()])
    assert torch.allclose(together, alone)


@few
@given(data=graphs(max_nodes=4, undirected=True))
def test_claims_on_drawn_graphs(data: Data) -> None:
    edges = data.edge_index
    assert sorted(zip(*edges.tolist(), strict=True)) == sorted(zip(*edges.flip(0).tolist(), strict=True))
    assert_claim("permutation", lambda: GENConv(8, 2, norm="layer"), data)


@pytest.mark.parametrize(
    "awkward",
    [
        lambda d: d.num_edges == 0,
        lambda d: d.has_self_loops(),
        lambda d: not d.is_coalesced(),
        lambda d: d.num_nodes > 2 and d.edge_index.max() < 2 if d.num_edges else False,
    ],
    ids=["no-edges", "loop", "parallel", "isolated"],
)
def test_awkward_graphs_are_drawn(awkward: object) -> None:
    find(graphs(max_nodes=4, max_edges=6), awkward)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_clouds(kind: str, dim: int) -> None:
    cloud = find(clouds(dim, kinds=(kind,)), lambda data: data.num_nodes == 6)
    centred = cloud.pos - cloud.pos.mean(dim=0)
    rank = int(torch.linalg.matrix_rank(centred, atol=1e-9))
    expected = {"coincident": 0, "collinear": 1, "planar": 2, "symmetric": 2, "generic": 3, "repeated": 2}[kind]
    assert rank == min(expected, dim)
    if kind == "symmetric" and dim > 1:
        values = torch.linalg.svdvals(centred)
        assert torch.allclose(values[0], values[1])


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="'min_nodes' must be between 0 and 'max_nodes'"):
        graphs(min_nodes=5, max_nodes=2)
    with pytest.raises(ValueError, match=r"'names' holds \['y'\]; known inputs are"):
        graphs(("y",))
    with pytest.raises(ValueError, match="'kinds' must be some of"):
        clouds(kinds=("round",))
    with pytest.raises(ValueError, match="'min_points' must be between 1"):
        clouds(min_points=0)


def test_hypothesis_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r"pip install 'graphkit\[testing\]'"):
        edge_indices(3)
