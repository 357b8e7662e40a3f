"""``NeighborLoader`` and ``LinkNeighborLoader``: PyG's loaders on samplers that need no compiled extension."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.loader import LinkLoader, NodeLoader

from graphkit.loader.sampler import NumNeighbors, make_sampler
from graphkit.loader.seeded import SeededLoader

_SAMPLER_ARGUMENTS = ("disjoint", "temporal_strategy", "time_attr", "weight_attr", "is_sorted")


def _sampler_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Takes the arguments of PyG's sampler out of those of a loader."""
    taken = {name: kwargs.pop(name) for name in _SAMPLER_ARGUMENTS if name in kwargs}
    taken.pop("is_sorted", None)  # a promise that saves PyG a sort; our sort is a linear pass
    return taken


def _pin(loader: Any, batch: Any) -> Any:
    """Pins a batch that is assembled after torch has pinned what came from the workers."""
    if loader.pin_memory and not loader.filter_per_worker and torch.cuda.is_available():
        return batch.pin_memory()
    return batch


class NeighborLoader(NodeLoader, SeededLoader):
    """Mini-batches of seed nodes with sampled neighbourhoods; PyG's ``NeighborLoader`` on any install.

    A batch is a ``Data`` (or ``HeteroData``) with the sampled ``edge_index``, all node and edge fields of its nodes
    and edges, and PyG's ``n_id``, ``e_id``, ``input_id``, ``batch_size``, ``num_sampled_nodes`` and
    ``num_sampled_edges``. The seeds are its first ``batch_size`` nodes, in the order given.

    Batches depend on ``(seed, epoch, number of the batch)`` alone: not on the number of workers, threads, or on the
    backend. Each pass over the loader is the next epoch and differs; ``loader.set_epoch(e)`` names it.

    Args:
        data: ``Data`` or ``HeteroData``.
        num_neighbors: edges to draw per node, hop by hop; -1 takes all; for ``HeteroData`` also by edge type.
        input_nodes: seeds: integer or bool tensor, ``None`` for all nodes; for ``HeteroData`` ``(type, nodes)``.
        replace: draw with replacement.
        subgraph_type: ``"directional"``, ``"bidirectional"`` or ``"induced"``; see
            :class:`~graphkit.loader.NeighborSampler`.
        backend: ``"auto"`` (pyg-lib where it is installed, else ours), ``"native"``, ``"torch"`` or ``"pyg-lib"``.
        seed: what batches depend on; ``None`` takes one from ``generator`` or torch's random state, now.
        **kwargs: of PyG's ``NodeLoader`` (``transform``, ``filter_per_worker``, ...) and of torch's ``DataLoader``
            (``batch_size``, ``shuffle``, ``num_workers``, ...). ``disjoint``, ``time_attr`` and ``weight_attr`` need
            pyg-lib.

    Raises:
        ValueError, TypeError: as :class:`~graphkit.loader.NeighborSampler`; also if a seed is out of range.
        ImportError: if pyg-lib is needed and not installed.

    Source:
        Interface and fields: ``torch_geometric.loader.NeighborLoader``.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphkit.loader import NeighborLoader
        >>> data = Data(x=torch.randn(100, 8), edge_index=torch.randint(0, 100, (2, 1000)))
        >>> loader = NeighborLoader(data, [5, 3], batch_size=32, shuffle=True, seed=0)
        >>> batch = next(iter(loader))
        >>> batch.batch_size, batch.num_sampled_nodes[0], len(batch.num_sampled_edges)
        (32, 32, 2)
        >>> torch.equal(batch.x, data.x[batch.n_id])
        True
        >>> torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
        True
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: NumNeighbors,
        input_nodes: Any = None,
        *,
        replace: bool = False,
        subgraph_type: Any = "directional",
        backend: str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        sampler = make_sampler(
            data, num_neighbors, backend=backend, replace=replace, subgraph_type=subgraph_type,
            **_sampler_arguments(kwargs),
        )  # fmt: skip
        super().__init__(data=data, node_sampler=sampler, input_nodes=input_nodes, seed=seed, **kwargs)
        _check_inputs(self.input_data, sampler)

    def filter_fn(self, out: Any) -> Any:
        """The batch of a sample; see PyG's ``NodeLoader``."""
        return _pin(self, super().filter_fn(out))


class LinkNeighborLoader(LinkLoader, SeededLoader):
    """Mini-batches of edges with sampled neighbourhoods of both ends; PyG's ``LinkNeighborLoader`` on any install.

    A batch has the fields of :class:`NeighborLoader` and PyG's ``edge_label_index``, ``edge_label`` and ``input_id``;
    with triplets ``src_index``, ``dst_pos_index`` and ``dst_neg_index``. Negative edges are uniform random pairs (a
    few may be edges), drawn from the same seed as the neighbours.

    Args:
        data: ``Data`` or ``HeteroData``.
        num_neighbors, replace, subgraph_type, backend, seed: see :class:`NeighborLoader`.
        edge_label_index: integer ``[2, n]``, the edges to start from; ``None`` for all; for ``HeteroData``
            ``(edge type, edges)``.
        edge_label: ``[n]``, labels of these edges.
        neg_sampling: ``"binary"``, ``"triplet"`` or PyG's ``NegativeSampling``.
        **kwargs: of PyG's ``LinkLoader`` and torch's ``DataLoader``.

    Raises:
        ValueError, TypeError, ImportError: as :class:`NeighborLoader`.

    Source:
        Interface and fields: ``torch_geometric.loader.LinkNeighborLoader``.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from graphkit.loader import LinkNeighborLoader
        >>> data = Data(x=torch.randn(100, 8), edge_index=torch.randint(0, 100, (2, 1000)))
        >>> batch = next(iter(LinkNeighborLoader(data, [5, 3], neg_sampling="binary", batch_size=16, seed=0)))
        >>> batch.edge_label.tolist() == [1.0] * 16 + [0.0] * 16
        True
        >>> torch.equal(batch.n_id[batch.edge_label_index[:, :16]], data.edge_index[:, batch.input_id])
        True
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: NumNeighbors,
        edge_label_index: Any = None,
        edge_label: Any = None,
        *,
        neg_sampling: Any = None,
        replace: bool = False,
        subgraph_type: Any = "directional",
        backend: str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        sampler = make_sampler(
            data, num_neighbors, backend=backend, replace=replace, subgraph_type=subgraph_type,
            **_sampler_arguments(kwargs),
        )  # fmt: skip
        super().__init__(
            data=data, link_sampler=sampler, edge_label_index=edge_label_index, edge_label=edge_label,
            neg_sampling=neg_sampling, seed=seed, **kwargs,
        )  # fmt: skip
        _check_inputs(self.input_data, sampler)

    def filter_fn(self, out: Any) -> Any:
        """The batch of a sample; see PyG's ``LinkLoader``."""
        return _pin(self, super().filter_fn(out))


def _check_inputs(inputs: Any, sampler: Any) -> None:
    """Seeds out of range are an error now, not in a worker later."""
    from graphkit.graph.sampling.neighbors import check_nodes

    sizes, kind = sampler.num_nodes, inputs.input_type
    if hasattr(inputs, "node"):
        check_nodes(inputs.node, sizes[kind] if kind is not None else sizes, "input_nodes")
        return
    for side, ends in ((0, inputs.row), (-1, inputs.col)):
        check_nodes(ends, sizes[kind[side]] if kind is not None else sizes, f"edge_label_index[{side % 2}]")
