"""Layers of ``HeteroData``: the same properties, on the one typed graph that the data is."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData

from graphkit.testing.examples import example_data

EdgeType = tuple[str, str, str]


class HeteroAdapter:
    """A ``HeteroData`` as one typed graph, and the call that gives a layer its dictionaries back.

    Nodes of all types are numbered in one range, with ``node_type`` and ``edge_type``; an attribute narrower than that
    of another type is filled with zeros, which the call cuts off. So every property of :mod:`graphkit.testing` (written
    for ``Data``) moves nodes and edges with their types, and the layer sees what it always sees: ``x_dict``,
    ``edge_index_dict``, ``edge_attr_dict``, ... or the data. Edges that a property adds between types that no relation
    joins are left out. Outputs come back as one row per node: those of a type the layer says nothing about are zero.

    Args:
        data: The data; every node and edge type has its attributes, in any widths.

    Example:
        >>> from torch_geometric.nn import HGTConv
        >>> data = example_hetero_data()
        >>> adapter = HeteroAdapter(data)
        >>> adapter.data
        Data(num_nodes=12, node_type=[12], x=[12, 8], edge_index=[2, 22], edge_type=[22])
        >>> adapter(HGTConv({"author": 8, "paper": 5}, 4, data.metadata()).double(), adapter.data).shape
        torch.Size([12, 4])
    """

    def __init__(self, data: HeteroData) -> None:
        self.node_types: list[str] = list(data.node_types)
        self.edge_types: list[EdgeType] = list(data.edge_types)
        self.node_keys = _tensor_keys(data, self.node_types)
        self.edge_keys = [key for key in _tensor_keys(data, self.edge_types) if key != "edge_index"]
        self.widths = {
            (kind, key): data[kind][key].size(1)
            for kinds, keys in ((self.node_types, self.node_keys), (self.edge_types, self.edge_keys))
            for kind in kinds
            for key in keys
            if key in data[kind] and data[kind][key].dim() > 1
        }
        self.data = self._flatten(data)

    def _flatten(self, data: HeteroData) -> Data:
        sizes = [int(data[name].num_nodes) for name in self.node_types]
        offset = dict(zip(self.node_types, torch.tensor([0, *sizes]).cumsum(0).tolist(), strict=False))
        flat = Data(num_nodes=sum(sizes))
        flat.node_type = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        for key in self.node_keys:
            flat[key] = self._stack(list(zip(self.node_types, sizes, strict=True)), key, data)
        edges = [
            data[kind].edge_index + torch.tensor([[offset[kind[0]]], [offset[kind[2]]]]) for kind in self.edge_types
        ]
        flat.edge_index = torch.cat(edges, dim=1)
        counts = [part.size(1) for part in edges]
        flat.edge_type = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
        for key in self.edge_keys:
            flat[key] = self._stack(list(zip(self.edge_types, counts, strict=True)), key, data)
        return flat

    def _stack(self, kinds: list[tuple[Any, int]], key: str, data: HeteroData) -> Tensor:
        """One attribute of all types below each other, filled with zeros to the widest."""
        width = max((self.widths[kind, key] for kind, _ in kinds if (kind, key) in self.widths), default=0)
        parts = []
        for kind, rows in kinds:
            value = data[kind][key] if key in data[kind] else torch.zeros(rows, width) if width else torch.zeros(rows)
            parts.append(nn.functional.pad(value, (0, width - value.size(1))) if width else value)
        return torch.cat(parts)

    def restore(self, flat: Data) -> HeteroData:
        """The ``HeteroData`` behind a typed graph."""
        data = HeteroData()
        local = torch.zeros(int(flat.num_nodes or 0), dtype=torch.long)
        for number, name in enumerate(self.node_types):
            rows = (flat.node_type == number).nonzero().flatten()
            local[rows] = torch.arange(rows.numel())
            data[name].num_nodes = rows.numel()
            for key in self.node_keys:
                self._put(data, name, key, flat[key][rows])
            if "batch" in flat:
                data[name].batch = cast(Tensor, flat.batch)[rows]
        source, target = flat.edge_index
        for number, kind in enumerate(self.edge_types):
            ends = [self.node_types.index(kind[0]), self.node_types.index(kind[2])]
            fits = (flat.node_type[source] == ends[0]) & (flat.node_type[target] == ends[1])
            rows = (fits & (flat.edge_type == number)).nonzero().flatten()
            data[kind].edge_index = local[flat.edge_index[:, rows]]
            for key in self.edge_keys:
                self._put(data, kind, key, flat[key][rows])
        return data

    def _put(self, data: HeteroData, kind: Any, key: str, value: Tensor) -> None:
        data[kind][key] = value[:, : self.widths[kind, key]] if (kind, key) in self.widths else value

    def __call__(self, layer: nn.Module, flat: Data) -> Tensor:
        """Call the layer on the dictionaries it names; one row per node of the typed graph."""
        data = self.restore(flat)
        arguments: dict[str, Any] = {}
        for name, parameter in inspect.signature(layer.forward).parameters.items():
            if parameter.kind == parameter.VAR_POSITIONAL:  # HeteroConv and its like hand their arguments on
                arguments = {"x_dict": data.x_dict, "edge_index_dict": data.edge_index_dict}
            elif name == "data":
                arguments[name] = data
            elif found := data.collect(name.removesuffix("_dict"), allow_empty=True):  # `to_hetero` drops the `_dict`
                arguments[name] = found
        out = layer(**arguments)
        if not isinstance(out, dict):
            return cast(Tensor, out[0] if isinstance(out, tuple) else out)
        given = {name: value for name, value in out.items() if value is not None and name in self.node_types}
        width = max(value.size(1) for value in given.values())
        dtype = next(iter(given.values())).dtype
        rows = torch.zeros(int(flat.num_nodes or 0), width, dtype=dtype)
        for name, value in given.items():
            where = (flat.node_type == self.node_types.index(name)).nonzero().flatten()
            rows = rows.index_put((where,), nn.functional.pad(value, (0, width - value.size(1))))
        return rows


def _tensor_keys(data: HeteroData, kinds: Sequence[Any]) -> list[str]:
    """Names of the tensors of any of these types, in order."""
    found = [key for kind in kinds for key, value in data[kind].items() if isinstance(value, Tensor)]
    return list(dict.fromkeys(found))


def example_hetero_data(*, seed: int = 0) -> HeteroData:
    """Authors and papers of different widths, with three relations, one edge twice and an author without papers.

    Example:
        >>> example_hetero_data().metadata()[1]
        [('author', 'writes', 'paper'), ('paper', 'cites', 'paper'), ('paper', 'written_by', 'author')]
    """
    plain = example_data(("x",), seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    data = HeteroData()
    data["author"].x = cast(Tensor, plain.x)[:5]
    data["paper"].x = cast(Tensor, plain.x)[5:, :5]
    authors, papers = torch.randint(4, (7,), generator=generator), torch.randint(7, (7,), generator=generator)
    writes = torch.stack([authors, papers])
    data["author", "writes", "paper"].edge_index = torch.cat([writes, writes[:, :1]], dim=1)
    data["paper", "cites", "paper"].edge_index = torch.randint(7, (2, 6), generator=generator)
    data["paper", "written_by", "author"].edge_index = torch.cat([writes, writes[:, :1]], dim=1).flip(0)
    return data
