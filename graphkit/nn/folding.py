"""Copies of a module's arguments: the same graphs several times side by side, each copy seen in a frame of its own."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.edge_index import EdgeIndex

from graphkit.graph import Graph
from graphkit.symmetry.copies import CopyTable

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
        ValueError: if a sparse adjacency matrix is among them, or edges of several kinds, or edges between graphs, or
            the batch is not sorted.
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
        if edges and bool((batch[edges[0][1]] != self.edge_graph).any()):
            raise ValueError("each edge must join two nodes of one graph of the batch: graphs are seen one by one")
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

    @cached_property
    def _table(self) -> CopyTable:
        return CopyTable(self.batch, self.edge_graph, self.num_graphs)

    def parts(self, graphs: Tensor, most_nodes: int | None) -> tuple[Tensor, ...]:
        """Positions in a list of graphs ``[M]``, in parts of about so many nodes, of one graph at least. Parts with as
        many nodes as graphs come last: their outputs do not tell what they have a row of."""
        every = torch.arange(graphs.numel(), device=graphs.device)
        if most_nodes is None or graphs.numel() == 0:
            return (every,)
        sizes = self._table.sizes[graphs]
        calls = (sizes.cumsum(0) - sizes).div(most_nodes, rounding_mode="floor")
        parts = every.split(calls.unique_consecutive(return_counts=True)[1].tolist())
        return tuple(sorted(parts, key=lambda part: int(sizes[part].sum()) == part.numel()))

    def take(self, graphs: Tensor) -> tuple[FoldedArguments, dict[str, Tensor]]:
        """Copies of some graphs ``[M]``, any number of times, as a batch of its own.

        Returns:
            The batch; and, for ``"node"`` and ``"graph"``, which row each of its rows is a copy of.
        """
        nodes, edges, shift = self._table.copy(graphs)
        rows = {"node": nodes.rows, "graph": graphs, "edge": edges.rows}
        part = copy.copy(self)
        part.__dict__.pop("_table", None)
        part.batch, part.num_nodes, part.num_graphs = nodes.copy, nodes.rows.numel(), graphs.numel()
        part.edge_graph, part.num_edges = edges.copy, edges.rows.numel()
        part.values = {}
        for name, value in self.values.items():
            level = self.levels[name]
            if level == "count":
                part.values[name] = rows[_COUNTS[name]].numel()
            elif level == "ends":
                part.values[name] = value.index_select(1, edges.rows) + shift[edges.copy]
            else:
                part.values[name] = value if level == "shared" else value.index_select(0, rows[level])
        return part, rows

    def graph_of_rows(self, level: str) -> Tensor:
        """The graph of each row of a value that has a row per ``"node"`` or per ``"graph"``."""
        return self.batch if level == "node" else torch.arange(self.num_graphs, device=self.batch.device)

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
        if times == 1:
            return self._finish(made, self.batch, self.num_graphs)
        shift = self.num_graphs * torch.arange(times, device=self.batch.device)
        return self._finish(made, (self.batch + shift[:, None]).flatten(), times * self.num_graphs)

    def _finish(self, made: dict[str, Any], batch: Tensor, number: int) -> dict[str, Any]:
        if self.wants_batch:
            made["batch"] = batch
        if self.wants_ptr:
            sizes = torch.bincount(batch, minlength=number)
            made["ptr"] = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        return made


class OutputSums:
    """Outputs of parts of a batch, added to the rows of the graphs that they are copies of.

    Args:
        num_nodes: N.
        num_graphs: B.
        number: how many outputs there are.
    """

    def __init__(self, num_nodes: int, num_graphs: int, number: int) -> None:
        self.values: list[Tensor] = []
        self._rows = {"node": num_nodes, "graph": num_graphs}
        self._levels: list[str | None] = [None] * number

    def level(self, number: int, value: Tensor, part: FoldedArguments) -> str:
        """Whether an output of a part has a row per ``"node"`` or per ``"graph"``; where these are as many, as in the
        parts before, or per node."""
        if part.num_nodes != part.num_graphs or self._levels[number] is None:
            self._levels[number] = "node" if value.size(0) == part.num_nodes else "graph"
        return self._levels[number] or "node"

    def add(self, number: int, level: str, value: Tensor, rows: Mapping[str, Tensor] | None) -> None:
        """Adds an output of a part; ``rows`` as :meth:`FoldedArguments.take` gives them, None for the whole batch."""
        if rows is None:
            self.values.append(value)
            return
        if number == len(self.values):
            self.values.append(value.new_zeros(self._rows[level], *value.shape[1:]))
        self.values[number].index_add_(0, rows[level], value)


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
