"""Copies of a module's arguments: the same graphs several times side by side, each copy seen in a frame of its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.edge_index import EdgeIndex

from graphkit.graph import Graph
from graphkit.symmetry.copies import copy_graphs

_COUNTS = {"batch_size": "graph", "num_graphs": "graph", "num_nodes": "node", "num_edges": "edge"}


class FoldedArguments:
    """The arguments of a module that works on a batch of graphs.

    What an argument belongs to is told by its name and its number of rows: ``batch`` and ``ptr`` as in PyG; integer
    tensors ``[2, E]`` whose name ends in ``index`` hold ends of edges; other names with ``edge`` in them have a row per
    edge; then, a row per node, a row per graph; the rest is the same for all graphs.

    Args:
        values: arguments by name.
        batch: the graph of each node ``[N]``, ascending.
        num_graphs: B.
        wants: names of arguments that the module takes.

    Raises:
        ValueError: if a sparse adjacency matrix is among them, or edges of several kinds, or the batch is not sorted.
    """

    def __init__(self, values: Mapping[str, Any], batch: Tensor, num_graphs: int, wants: frozenset[str]) -> None:
        self.batch = batch
        self.num_nodes, self.num_graphs = batch.numel(), num_graphs
        self.values: dict[str, Any] = {}
        self.levels: dict[str, str] = {}
        edges = [plain_edges(value) for name, value in values.items() if _is_edges(name, value)]
        self.num_edges = edges[0].size(1) if edges else None
        if bool((batch.diff() < 0).any()):
            raise ValueError("'batch' must ascend: the nodes of a graph stand together")
        if any(ends.size(1) != self.num_edges for ends in edges):
            raise ValueError(
                f"one set of edges can be copied, got index tensors of {[e.size(1) for e in edges]} columns"
            )
        self.edge_graph = batch[edges[0][0]] if edges else batch.new_zeros(0)
        for name, value in values.items():
            if name in ("batch", "ptr"):
                continue
            if _is_edges(name, value):
                value = plain_edges(value)
            self.values[name] = value
            self.levels[name] = self._level(name, value)
        self.wants_batch, self.wants_ptr = "batch" in wants, "ptr" in wants
        for name in ("batch_size", "num_graphs"):  # saves the module a look at the batch vector
            if name in wants:
                self.values[name], self.levels[name] = num_graphs, "count"

    def _level(self, name: str, value: Any) -> str:
        if name in _COUNTS and isinstance(value, int):
            return "count"
        if _is_edges(name, value):
            return "ends"
        if not isinstance(value, Tensor) or value.dim() == 0:
            return "shared"
        if "edge" in name and value.size(0) == self.num_edges:
            return "edge"
        # Where numbers coincide, nodes come first: with one node per graph, both are the same rows.
        for level, number in (("node", self.num_nodes), ("graph", self.num_graphs), ("edge", self.num_edges)):
            if value.size(0) == number:
                return level
        return "shared"

    def repeat(self, times: int, framed: Mapping[str, Tensor]) -> dict[str, Any]:
        """Arguments for ``times`` copies of the whole batch; ``framed`` values come as ``[times, n, ...]``."""
        made: dict[str, Any] = {}
        for name, value in self.values.items():
            level = self.levels[name]
            if name in framed:
                made[name] = framed[name].flatten(0, 1)
            elif level == "count":
                made[name] = value * times
            elif level == "shared" or times == 1:
                made[name] = value
            elif level == "ends":
                shift = self.num_nodes * torch.arange(times, device=value.device)
                made[name] = (value[:, None] + shift[:, None]).flatten(1)
            else:
                made[name] = value.repeat(times, *(1,) * (value.dim() - 1))
        shift = self.num_graphs * torch.arange(times, device=self.batch.device)
        return self._finish(made, (self.batch + shift[:, None]).flatten(), times * self.num_graphs)

    def take(self, graphs: Tensor) -> tuple[dict[str, Any], dict[str, Tensor], Tensor]:
        """Arguments for copies of some graphs ``[M]``.

        Returns:
            The arguments, with geometric values as they are; for ``"node"`` and ``"graph"``, which row each row of the
            copies is of; and the copy of each node.
        """
        (nodes, copy), edges, shift = copy_graphs(graphs, self.batch, self.edge_graph, self.num_graphs)
        rows = {"node": nodes, "graph": graphs, "edge": edges.rows}
        made: dict[str, Any] = {}
        for name, value in self.values.items():
            level = self.levels[name]
            if level == "count":
                made[name] = rows[_COUNTS[name]].numel()
            elif level == "ends":
                made[name] = value[:, edges.rows] + shift[edges.copy]
            else:
                made[name] = value if level == "shared" else value[rows[level]]
        return self._finish(made, copy, graphs.numel()), rows, copy

    def _finish(self, made: dict[str, Any], batch: Tensor, number: int) -> dict[str, Any]:
        if self.wants_batch:
            made["batch"] = batch
        if self.wants_ptr:
            sizes = torch.bincount(batch, minlength=number)
            made["ptr"] = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        return made


def forward_parameters(module: nn.Module) -> frozenset[str]:
    """Names of the arguments of a module's ``forward``; those of a PyG batch where it takes any keyword.

    Example:
        >>> sorted(forward_parameters(nn.Linear(2, 2)))
        ['input']
    """
    parameters = inspect.signature(module.forward).parameters.values()
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return frozenset(names | ({"batch"} if any(p.kind == p.VAR_KEYWORD for p in parameters) else set()))


def bind(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, as the module's ``forward`` names them.

    Raises:
        TypeError: if there are more positional arguments than names.
    """
    parameters = inspect.signature(module.forward).parameters.values()
    names = [p.name for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD]
    if len(args) > len(names):
        raise TypeError(
            f"{type(module).__name__}.forward takes {len(names)} positional arguments, got {len(args)}; pass names"
        )
    named = dict(zip(names, args, strict=False))
    if twice := sorted(set(named) & set(kwargs)):
        raise TypeError(f"{type(module).__name__}.forward got {twice} twice, by position and by name")
    return {name: value for name, value in {**named, **kwargs}.items() if value is not None}


def _is_edges(name: str, value: Any) -> bool:
    if isinstance(value, Graph):
        return True
    sparse = isinstance(value, Tensor) and value.layout != torch.strided
    if sparse or type(value).__name__ == "SparseTensor":
        raise ValueError(
            f"'{name}' is a sparse adjacency matrix, which cannot be copied frame by frame; pass edge_index [2, E]"
        )
    return (
        name.endswith("index")
        and isinstance(value, Tensor)
        and value.dim() == 2
        and value.size(0) == 2
        and not value.is_floating_point()
    )


def plain_edges(edge_index: Any) -> Tensor:
    """``edge_index`` as a plain tensor ``[2, E]``, in the user's order of the edges.

    Raises:
        ValueError: if it is none of a tensor ``[2, E]``, a PyG ``EdgeIndex`` and a :class:`graphkit.Graph`.
    """
    if isinstance(edge_index, Graph):
        return edge_index.edge_index
    if isinstance(edge_index, EdgeIndex):
        return edge_index.as_tensor()
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided or edge_index.size(0) != 2:
        raise ValueError(f"'edge_index' must be a tensor [2, E], EdgeIndex or Graph, got {type(edge_index).__name__}")
    return edge_index
