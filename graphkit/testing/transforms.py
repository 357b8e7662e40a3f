"""Changes of a PyG ``Data`` that the properties compare: relabelling, reordering, cutting and joining graphs.

Node and edge attributes are told apart as PyG does (:meth:`torch_geometric.data.Data.is_node_attr`), so any
attribute travels along: features, positions, weights, types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

_STRUCTURE = ("edge_index", "batch", "ptr", "num_nodes")


def node_keys(data: Data) -> list[str]:
    """Names of the tensors with one row per node."""
    return [key for key in data.keys() if key not in _STRUCTURE and data.is_node_attr(key)]  # noqa: SIM118


def edge_keys(data: Data) -> list[str]:
    """Names of the tensors with one row per edge, ``edge_index`` excepted."""
    return [key for key in data.keys() if key not in _STRUCTURE and data.is_edge_attr(key)]  # noqa: SIM118


def _copy(data: Data, **changes: Any) -> Data:
    """A new ``Data`` of the same attributes (none of them copied) with some replaced."""
    values = {key: value for key, value in data.to_dict().items() if key not in ("batch", "ptr")}
    values["num_nodes"] = data.num_nodes
    return Data.from_dict({**values, **changes})


def _edges(data: Data) -> Tensor:
    return cast(Tensor, data.edge_index)


def _size(data: Data) -> int:
    return int(data.num_nodes or 0)


def relabel_nodes(data: Data, label: Tensor) -> Data:
    """Give node i the new label ``label[i]``; edges keep their order.

    Example:
        >>> data = Data(x=torch.tensor([[0.0], [1.0]]), edge_index=torch.tensor([[0], [1]]))
        >>> relabelled = relabel_nodes(data, torch.tensor([1, 0]))
        >>> relabelled.x.flatten().tolist(), relabelled.edge_index.tolist()
        ([1.0, 0.0], [[1], [0]])
    """
    old = torch.empty_like(label)
    old[label] = torch.arange(label.numel())
    moved = {key: data[key][old] for key in node_keys(data)}
    return _copy(data, edge_index=label[_edges(data)], **moved)


def with_edges(data: Data, edge_index: Tensor, like: Tensor) -> Data:
    """The same nodes with other edges; new edge k has the attributes of the old edge ``like[k]``."""
    return _copy(data, edge_index=edge_index, **{key: data[key][like] for key in edge_keys(data)})


def take_edges(data: Data, which: Tensor) -> Data:
    """Keep the edges ``which`` (a mask or indices), in that order."""
    like = which.nonzero().flatten() if which.dtype == torch.bool else which
    return with_edges(data, _edges(data)[:, like], like)


def subgraph(data: Data, nodes: Tensor) -> Data:
    """The induced subgraph on ``nodes``, which become 0, 1, ... in that order."""
    label = torch.full((_size(data),), -1)
    label[nodes] = torch.arange(nodes.numel())
    inside = (label[_edges(data)] >= 0).all(dim=0).nonzero().flatten()
    kept = {key: data[key][nodes] for key in node_keys(data)}
    kept.update({key: data[key][inside] for key in edge_keys(data)})
    return _copy(data, edge_index=label[_edges(data)[:, inside]], num_nodes=nodes.numel(), **kept)


def join(graphs: Sequence[Data]) -> Data:
    """The disjoint union as a PyG ``Batch`` (``.batch`` tells the graphs apart)."""
    return cast(Data, Batch.from_data_list(list(graphs)))


def one_graph(data: Data) -> Data:
    """A batch as a single graph of several components."""
    return _copy(data)


def sort_by_target(data: Data) -> tuple[Data, Tensor]:
    """Edges stably sorted by target, and the permutation that did it."""
    order = torch.argsort(_edges(data)[1], stable=True)
    return take_edges(data, order), order


def append_edges(data: Data, extra: Tensor, generator: torch.Generator) -> Data:
    """Add edges whose attributes are copied from random existing edges."""
    number = _edges(data).size(1)
    like = torch.randint(number, (extra.size(1),), generator=generator)
    return with_edges(data, torch.cat([_edges(data), extra], dim=1), torch.cat([torch.arange(number), like]))


def cast_floats(data: Data, dtype: torch.dtype) -> Data:
    """Every floating-point attribute in ``dtype``, as new tensors."""
    cast_values = {
        key: value.to(dtype, copy=True)
        for key, value in data.to_dict().items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    if "batch" in data:
        changed = data.clone()
        for key, value in cast_values.items():
            changed[key] = value
        return changed
    return _copy(data, **cast_values)
