"""Graphs and comparisons for the loader tests."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData


def graph_data(num_nodes: int = 200, num_edges: int = 2000) -> Data:
    """A random multigraph whose fields tell where they come from."""
    generator = torch.Generator().manual_seed(0)
    return Data(
        x=torch.arange(num_nodes, dtype=torch.float32)[:, None] * torch.ones(3),
        y=torch.arange(num_nodes),
        edge_index=torch.randint(0, num_nodes, (2, num_edges), generator=generator),
        edge_attr=torch.arange(num_edges, dtype=torch.float32)[:, None],
    )


def hetero_data() -> HeteroData:
    """Users and items; users follow each other, buy items, and items are bought by users."""
    generator = torch.Generator().manual_seed(0)
    data = HeteroData()
    data["user"].x, data["item"].x = torch.arange(60.0)[:, None], torch.arange(40.0)[:, None]
    data["user", "follows", "user"].edge_index = torch.randint(0, 60, (2, 300), generator=generator)
    buys = torch.stack(
        [torch.randint(0, 60, (250,), generator=generator), torch.randint(0, 40, (250,), generator=generator)]
    )
    data["user", "buys", "item"].edge_index = buys
    data["user", "buys", "item"].edge_attr = torch.arange(250.0)[:, None]
    data["item", "rev_buys", "user"].edge_index = buys.flip(0)
    return data


def fingerprint(batches: Iterable[Data]) -> list[list[Tensor]]:
    """All tensors of all batches, by name."""
    return [[batch[key] for key in sorted(batch.keys()) if isinstance(batch[key], Tensor)] for batch in batches]


def equal(first: list[list[Tensor]], second: list[list[Tensor]]) -> bool:
    """Whether two fingerprints are bit-equal."""
    return len(first) == len(second) and all(
        len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
        for a, b in zip(first, second, strict=True)
    )


def check_fields(batch: Data, data: Data) -> None:
    """Node and edge fields are those of the batch's nodes and edges."""
    assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
    assert torch.equal(batch.x, data.x[batch.n_id])
    assert torch.equal(batch.y, data.y[batch.n_id])
    assert torch.equal(batch.edge_attr, data.edge_attr[batch.e_id])
