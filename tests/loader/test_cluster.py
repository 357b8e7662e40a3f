"""RandomClusterLoader: partitions of all nodes, new in every epoch or fixed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data

from graphkit.loader import RandomClusterLoader
from tests.graph.sampling.checks import BACKENDS
from tests.loader.cases import check_fields, equal, fingerprint, graph_data, hetero_data


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_epoch_is_a_partition(backend: str) -> None:
    data = graph_data()
    loader = RandomClusterLoader(data, 4, backend=backend, seed=0)
    assert len(loader) == 4
    batches = list(loader)
    assert torch.cat([batch.n_id for batch in batches]).sort().values.tolist() == list(range(200))
    for batch in batches:
        check_fields(batch, data)
        inside = torch.isin(data.edge_index, batch.n_id).all(dim=0)
        assert batch.e_id.tolist() == inside.nonzero().flatten().tolist()


def test_training_draws_anew_and_evaluation_does_not() -> None:
    data = graph_data()
    loader = RandomClusterLoader(data, 4, seed=0)
    first, second = fingerprint(loader), fingerprint(loader)
    assert not equal(first, second)
    loader.set_epoch(0)
    assert equal(fingerprint(loader), first)
    fixed = RandomClusterLoader(data, 4, resample=False, seed=0)
    assert equal(fingerprint(fixed), fingerprint(fixed))
    shuffled = RandomClusterLoader(data, 4, resample=False, seed=0, shuffle=True)
    orders = {tuple(int(batch.n_id[0]) for batch in shuffled) for _ in range(5)}
    assert len(orders) > 1
    assert {frozenset(order) for order in orders} == {frozenset(int(batch.n_id[0]) for batch in fixed)}


@pytest.mark.parametrize("options", [{}, {"persistent_workers": True}], ids=str)
def test_batches_do_not_depend_on_workers(options: dict[str, Any]) -> None:
    data = graph_data()
    alone, helped = (RandomClusterLoader(data, 5, seed=1, **kwargs) for kwargs in ({}, {"num_workers": 2, **options}))
    for _ in range(2):
        assert equal(fingerprint(alone), fingerprint(helped))


@pytest.mark.slow
def test_spawned_workers() -> None:
    data = graph_data()
    helped = RandomClusterLoader(data, 3, seed=1, num_workers=1, multiprocessing_context="spawn")
    assert equal(fingerprint(RandomClusterLoader(data, 3, seed=1)), fingerprint(helped))


def test_processes_share_the_parts_of_a_partition() -> None:
    data = graph_data()
    whole = RandomClusterLoader(data, 5, seed=1, shuffle=False)
    shares = [RandomClusterLoader(data, 5, seed=1, sampler=range(rank, 5, 2)) for rank in range(2)]
    for _ in range(2):
        epoch, parts = fingerprint(whole), [fingerprint(share) for share in shares]
        assert equal(parts[0], epoch[0::2])
        assert equal(parts[1], epoch[1::2])


def test_where_nodes_come_from_is_kept() -> None:
    data = graph_data()
    data.n_id = torch.arange(200) + 1000
    batch = next(iter(RandomClusterLoader(data, 4, seed=0)))
    assert torch.equal(batch.n_id, batch.y + 1000)


def test_batches_own_their_memory() -> None:
    batch = next(iter(RandomClusterLoader(graph_data(), 4)))
    for key in ("n_id", "e_id", "edge_index", "x"):
        tensor = batch[key]
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def test_bad_arguments_are_named() -> None:
    data = graph_data()
    with pytest.raises(ValueError, match="num_parts"):
        RandomClusterLoader(data, 0)
    with pytest.raises(ValueError, match="a batch is one part"):
        RandomClusterLoader(data, 2, batch_size=3)
    with pytest.raises(TypeError, match="Data"):
        RandomClusterLoader(hetero_data(), 2)
    with pytest.raises(ValueError, match="edge_index"):
        RandomClusterLoader(Data(num_nodes=4), 2)
