"""``RandomClusterLoader``: the mini-batches of DeeperGCN, random parts of the nodes with all edges inside them."""

from __future__ import annotations

from typing import Any

from torch_geometric.data import Data

from graphkit.graph.sampling.clusters import RandomPartition, check_parts
from graphkit.graph.sampling.random import fold_int
from graphkit.loader.sampler import batch_of, graph_of
from graphkit.loader.seeded import SeededLoader, Step

_FIXED = 2**63  # the "epoch" of partitions that are drawn once; no real epoch gets there


class RandomClusterLoader(SeededLoader):
    """Cuts the nodes into random parts, anew in every epoch, and yields the subgraph that each part induces.

    A batch is a ``Data`` with the part's ``edge_index``, all node and edge fields of its nodes and edges, and ``n_id``
    and ``e_id``. All parts of an epoch are made in one pass over the edges (in each worker process once).

    Training takes a new partition in every epoch; for evaluation ``resample=False`` fixes it once, so that all epochs
    score the same subgraphs (the published settings: 10 parts in training, 5 in evaluation on ogbn-proteins).

    Partitions depend on ``(seed, epoch)`` alone, so processes of a distributed run that are given one seed cut alike;
    each takes its parts with ``sampler=range(rank, num_parts, world_size)``.

    Args:
        data: ``Data`` with an ``edge_index``.
        num_parts: number of parts, and of batches per epoch. A part can be empty where there are few nodes.
        resample: draw a new partition in every epoch, in random order; else one, once, in order.
        seed: what partitions depend on; ``None`` takes one from ``generator`` or torch's random state, now.
        backend: ``"auto"``, ``"native"`` or ``"torch"``; both give the same batches.
        **kwargs: of torch's ``DataLoader`` (``num_workers``, ``pin_memory``, ``shuffle``, ...).

    Raises:
        TypeError: if ``data`` is no ``Data``.
        ValueError: if ``num_parts`` is not positive or a batch size is given.

    Source:
        Li, Xiong, Thabet and Ghanem, "DeeperGCN: All you need to train deeper GCNs", 2020. PyG's ``RandomNodeLoader``
        cuts into equal sizes; here every node draws its part independently, as in the published code.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphkit.loader import RandomClusterLoader
        >>> data = Data(x=torch.randn(100, 8), edge_index=torch.randint(0, 100, (2, 1000)))
        >>> loader = RandomClusterLoader(data, 4, seed=0)
        >>> sorted(torch.cat([batch.n_id for batch in loader]).tolist()) == list(range(100))
        True
    """

    def __init__(
        self,
        data: Data,
        num_parts: int,
        *,
        resample: bool = True,
        seed: int | None = None,
        backend: str = "auto",
        **kwargs: Any,
    ) -> None:
        if "batch_size" in kwargs or "batch_sampler" in kwargs:
            raise ValueError("a batch is one part: choose 'num_parts' instead of a batch size")
        self.data = data
        self.graph = graph_of(data)
        self.num_parts = check_parts(num_parts)
        self.resample = resample
        self.backend = backend
        self._parts: tuple[int, RandomPartition] | None = None  # of the last epoch, with its key
        kwargs.setdefault("shuffle", resample and "sampler" not in kwargs)
        super().__init__(
            range(self.num_parts), collate_fn=self._batch, seed=seed, batch_size=1, pass_step=True, **kwargs
        )

    def _batch(self, step: Step) -> Data:
        key = step.epoch_key if self.resample else fold_int(self.seed, _FIXED)
        if self._parts is None or self._parts[0] != key:
            self._parts = key, RandomPartition(self.graph, self.num_parts, seed=key, backend=self.backend)
        part = self._parts[1][step.items[0]]
        return batch_of(self.data, part.node, part.row, part.col, part.edge)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parts": None}
