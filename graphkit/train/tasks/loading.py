"""How a large graph is cut into batches for node tasks: sampled neighbourhoods, or random parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

from graphkit.loader import NeighborLoader, RandomClusterLoader
from graphkit.train.distributed import Share
from graphkit.train.tasks.node import NodeLoaderFactory


def neighbor_batches(
    num_neighbors: Sequence[int], batch_size: int, *, replace: bool = False, num_workers: int = 0
) -> NodeLoaderFactory:
    """Batches of nodes with sampled neighbourhoods around them.

    Args:
        num_neighbors: how many neighbours to draw per hop; -1 takes all.
        batch_size: nodes per step, over all processes together.
        replace: draw with replacement.
        num_workers: processes that sample.

    Raises:
        ValueError: when training begins, if ``batch_size`` does not divide evenly among the processes.
    """

    def batches(data: Data, nodes: Tensor, generator: Generator, share: Share) -> Iterator[Data]:
        if batch_size % share.size:
            raise ValueError(f"batch_size: got {batch_size}, expected a multiple of the {share.size} processes")
        order = nodes.cpu()[torch.randperm(nodes.numel(), generator=generator)]
        chunks = order.split(batch_size)
        # In a last, small batch a process may have no node: it runs the first one and counts no label of it.
        mine = [share.of(chunk) if chunk.numel() > share.rank else chunk[:1] for chunk in chunks]
        loader = NeighborLoader(
            data,
            list(num_neighbors),
            input_nodes=torch.cat(mine),
            batch_size=batch_size // share.size,
            replace=replace,
            num_workers=num_workers,
            shuffle=False,
            seed=_draw(generator),
        )
        for chunk, batch in zip(chunks, loader, strict=True):
            yield batch if chunk.numel() > share.rank else _without_labels(batch)

    return batches


def cluster_batches(num_parts: int, *, num_evals: int = 1, num_workers: int = 0) -> NodeLoaderFactory:
    """Random parts of the nodes with all edges inside them, drawn anew at each call (DeeperGCN's mini-batches).

    Several processes work on different parts at the same time, so that an epoch has fewer steps. Parts of one node are
    left out: batch normalisation has no variance there.

    Args:
        num_parts: into how many parts the nodes fall.
        num_evals: how many partitions to go through; predictions for a node are averaged over them.
        num_workers: processes that cut.
    """

    def batches(data: Data, nodes: Tensor, generator: Generator, share: Share) -> Iterator[Data]:
        for _ in range(num_evals):
            loader = RandomClusterLoader(data, num_parts, seed=_draw(generator), shuffle=False, num_workers=num_workers)
            parts = (part for part in loader if part.num_nodes > 1)
            while group := [part for _, part in zip(range(share.size), parts, strict=False)]:
                yield group[share.rank] if share.rank < len(group) else _without_labels(group[0])

    return batches


def _draw(generator: Generator) -> int:
    return int(torch.randint(2**62, (), generator=generator))


def _without_labels(batch: Data) -> Data:
    batch.train_mask = torch.zeros_like(batch.train_mask)
    return batch
