"""Batches cut from packed tensors are PyG's batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, InMemoryDataset

from graphkit.loader.packed import PackedGraphs, graph_batches, misfit


def graphs(count: int = 9, *, features: bool = True) -> list[Data]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for number in range(count):
        n, e = number % 4, 0 if number % 4 == 0 else 2 * number  # some without nodes, some without edges
        data = Data(
            edge_index=torch.randint(max(n, 1), (2, e), generator=generator),
            edge_attr=torch.randn(e, 3, generator=generator),
            y=torch.tensor([[float(number), float("nan")]]),
        )
        if features:
            data.x = torch.randn(n, 2, generator=generator)
        data.num_nodes = n
        made.append(data)
    return made


class Packed(InMemoryDataset):
    def __init__(self, items: list[Data], transform: object = None) -> None:
        super().__init__(transform=transform)
        self.data, self.slices = self.collate(items)


def same(first: Batch, second: Batch) -> None:
    assert set(first.keys()) - {"num_nodes"} == set(second.keys()) - {"num_nodes"}
    for key, value in second.items():
        if isinstance(value, Tensor):
            torch.testing.assert_close(first[key], value, rtol=0, atol=0, equal_nan=True)
    assert (first.num_graphs, first.num_nodes) == (second.num_graphs, second.num_nodes)


@pytest.mark.parametrize("features", [True, False])
@pytest.mark.parametrize("indices", [[3], [0], [8, 2, 2, 5], [4, 0, 8], list(range(9))])
def test_is_the_batch_that_pyg_makes(indices: list[int], features: bool) -> None:
    items = graphs(features=features)
    same(PackedGraphs(Packed(items)).batch(torch.tensor(indices)), Batch.from_data_list([items[i] for i in indices]))


def test_a_subset_counts_in_its_own_order() -> None:
    items = graphs()
    part = Packed(items)[torch.tensor([7, 1, 3])]
    packed = PackedGraphs(part)
    assert len(packed) == 3
    same(packed.batch(torch.tensor([2, 0])), Batch.from_data_list([items[3], items[7]]))


def test_the_data_set_is_left_alone() -> None:
    dataset = Packed(graphs())
    before = dataset._data.edge_index.clone()
    PackedGraphs(dataset).batch(torch.tensor([5, 6])).edge_index.add_(100)
    assert dataset._data.edge_index.equal(before)


def test_what_does_not_fit_says_why() -> None:
    assert misfit(Packed(graphs())) is None
    assert "without 'transform'" in str(misfit(Packed(graphs(), transform=lambda data: data)))
    assert "InMemoryDataset" in str(misfit(graphs()))
    with pytest.raises(ValueError, match=r"use torch_geometric\.loader\.DataLoader"):
        PackedGraphs(graphs())  # type: ignore[arg-type]
    for item in (paired := graphs()):
        item.pair_index = torch.zeros(2, 1, dtype=torch.long)
    assert "got 'pair_index'" in str(misfit(Packed(paired)))


@pytest.mark.parametrize("packed", [True, False])
def test_batches_in_order(packed: bool) -> None:
    items = graphs()
    chunks = list(torch.tensor([5, 1, 8, 2, 3]).split(2))
    made = list(graph_batches(Packed(items) if packed else items, chunks))
    assert [batch.y[:, 0].tolist() for batch in made] == [[5, 1], [8, 2], [3]]
