"""``SnapshotSequence``: a graph over discrete time, as slices of one list of edges."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import torch
from torch import Tensor

from graphkit.graph.topology import Graph

if TYPE_CHECKING:
    from torch_geometric.data import Data, TemporalData

Features = Tensor | Callable[[int, Graph], Tensor]


class Snapshot(NamedTuple):
    """What is known at one time step.

    Attributes:
        x: node features ``[N, F]``, or int64 ``[N]``: the column of each node's one in a one-hot matrix.
        graph: the edges; where a user makes one by hand, anything that :func:`~graphkit.graph.as_graph` takes.
        edge_weight: ``[E]`` or ``None``, in the order of the graph's edges.
        mask: bool ``[N]``, which nodes are there; ``None``: those that touch an edge.
        degree: sum of the weights of each node's incoming edges ``[N]``, if somebody has added them up.
        y: labels or targets, ``[N, ...]`` or ``None``.
        time: the number of the step.
    """

    x: Any
    graph: Any
    edge_weight: Tensor | None = None
    mask: Tensor | None = None
    degree: Tensor | None = None
    y: Tensor | None = None
    time: int = 0

    def to(self, device: torch.device | str) -> Snapshot:
        """This snapshot on ``device``."""
        moved = {name: part.to(device) for name, part in self._asdict().items() if hasattr(part, "to")}
        return self._replace(**moved)

    def active_only(self) -> Snapshot:
        """The nodes that are there and their edges, renumbered in their order; see :meth:`among`.

        Example:
            >>> mask = torch.tensor([False, True, False, True])
            >>> graph = Graph.from_edge_index(torch.tensor([[1, 3], [3, 1]]), 4)
            >>> few = Snapshot(torch.eye(4), graph, mask=mask).active_only()
            >>> few.graph.num_nodes, few.graph.edge_index.tolist()
            (2, [[0, 1], [1, 0]])
        """
        return self if self.mask is None else self.among(self.mask)

    def among(self, chosen: Tensor) -> Snapshot:
        """Some nodes and their edges, renumbered in their order.

        A snapshot that has edges to other nodes, or no ``Graph``, comes back as it is.

        Args:
            chosen: bool ``[N]``.
        """
        if not isinstance(self.graph, Graph):
            return self
        nodes, edge_index = chosen.nonzero().view(-1), self.graph.edge_index
        if nodes.numel() == chosen.numel() or not bool(chosen[edge_index].all()):
            return self
        number = chosen.cumsum(0) - 1
        return self._replace(
            x=self.x[nodes],
            graph=Graph(number[edge_index], (nodes.numel(), nodes.numel())),
            mask=None if self.mask is None else self.mask[nodes],
            degree=None if self.degree is None else self.degree[nodes],
            y=None if self.y is None else self.y[nodes],
        )


@dataclass
class _Store:
    """What all views of one sequence share."""

    edge_index: Tensor  # [2, E], by step
    ptr: list[int]  # [T + 1]
    num_nodes: int
    edge_weight: Tensor | None
    edge_attrs: dict[str, Tensor]
    x: Features | None
    y: Tensor | None
    masks: Tensor | None  # bool [T, N]
    window: int
    cache_size: int | None
    cache: OrderedDict[int, Snapshot] = field(default_factory=OrderedDict)


class SnapshotSequence(Sequence[Snapshot]):
    r"""A graph that changes with time: T snapshots over one range of nodes.

    Edges stand in one list, sorted by step; step t owns the columns ``ptr[t]:ptr[t + 1]``. A slice ``seq[a:b]`` is a
    view of the same arrays, so histories, windows and splits copy nothing, and with arrays on a disk
    (:meth:`save`, :meth:`open`) nothing but the steps at hand is in memory. ``seq[t]`` is a :class:`Snapshot`, whose
    ``graph`` is an ordinary :class:`~graphkit.Graph` made on first use and remembered: every operator and layer works
    on it, none has a temporal twin.

    Nodes come and go: all steps share the numbers ``0 .. N - 1``, and the mask of a step says which are there. A step
    without edges is an empty graph; a node that vanishes and returns keeps its number.

    Build one with :meth:`from_events`, :meth:`from_temporal_data`, :meth:`from_csv` or :meth:`from_data_list`.

    Args:
        edge_index: ``[2, E]``, sorted by step, trusted; users call the ``from_*`` methods, which check.
        ptr: where each step's edges begin, ``[T + 1]``.
        num_nodes: N.
        edge_weight: ``[E]``.
        edge_attrs: further values per edge.
        x: node features: ``[N, F]`` at all steps, ``[T, N, F]``, int64 ``[N]`` or ``[T, N]`` for one-hot features, or
            a function of (step, graph), such as :class:`~graphkit.graph.temporal.OneHotDegree`.
        y: targets ``[T, N, ...]``.
        masks: bool ``[T, N]``; default: nodes that touch an edge.
        window: a snapshot holds the edges of this many steps, up to its own, parallel ones added up.
        cache_size: most snapshots to remember; ``None``: all.

    Example:
        >>> import torch
        >>> source, target, time = torch.tensor([[0, 1, 0], [1, 2, 1], [0, 5, 1]])
        >>> seq = SnapshotSequence.from_events(source, target, time, step=2)
        >>> seq
        SnapshotSequence(num_steps=3, num_nodes=3, num_edges=2)
        >>> seq[0].edge_weight.tolist(), seq[1].graph.num_edges, seq[2].mask.tolist()
        ([2.0], 0, [False, True, True])
    """

    def __init__(
        self,
        edge_index: Tensor,
        ptr: Sequence[int],
        num_nodes: int,
        *,
        edge_weight: Tensor | None = None,
        edge_attrs: Mapping[str, Tensor] | None = None,
        x: Features | None = None,
        y: Tensor | None = None,
        masks: Tensor | None = None,
        window: int = 1,
        cache_size: int | None = None,
    ) -> None:
        steps = len(ptr) - 1
        if window < 1:
            raise ValueError(f"'window' must be at least 1 (got {window})")
        if isinstance(x, Tensor):
            _check_features(x, steps, num_nodes)
        for name, value in (("y", y), ("masks", masks)):
            if value is not None and tuple(value.shape[:2]) != (steps, num_nodes):
                raise ValueError(f"'{name}' must have shape [{steps}, {num_nodes}, ...] (got {list(value.shape)})")
        self._store = _Store(
            edge_index, list(ptr), num_nodes, edge_weight, dict(edge_attrs or {}), x, y, masks, window, cache_size
        )
        self._steps = range(steps)

    # Construction -------------------------------------------------------------------------------------------

    @classmethod
    def from_events(cls, source: Tensor, target: Tensor, time: Tensor, **options: Any) -> SnapshotSequence:
        """From timestamped edges; see :func:`graphkit.graph.temporal.build.from_events`."""
        from graphkit.graph.temporal import build

        return build.from_events(source, target, time, **options)

    @classmethod
    def from_temporal_data(cls, data: TemporalData, **options: Any) -> SnapshotSequence:
        """From PyG's ``TemporalData``; see :func:`graphkit.graph.temporal.build.from_temporal_data`."""
        from graphkit.graph.temporal import build

        return build.from_temporal_data(data, **options)

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str], **options: Any) -> SnapshotSequence:
        """From a file of numbers; see :func:`graphkit.graph.temporal.build.from_csv`."""
        from graphkit.graph.temporal import build

        return build.from_csv(path, **options)

    @classmethod
    def from_data_list(cls, graphs: Sequence[Data], **options: Any) -> SnapshotSequence:
        """From one ``Data`` per step; see :func:`graphkit.graph.temporal.build.from_data_list`."""
        from graphkit.graph.temporal import build

        return build.from_data_list(graphs, **options)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write all arrays to a folder; see :func:`graphkit.graph.temporal.storage.save`."""
        from graphkit.graph.temporal import storage

        storage.save(self, folder)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, cache_size: int | None = 4) -> SnapshotSequence:
        """Memory-mapped, what :meth:`save` wrote; see :func:`graphkit.graph.temporal.storage.load`."""
        from graphkit.graph.temporal import storage

        return storage.load(folder, cache_size=cache_size)

    # Sizes --------------------------------------------------------------------------------------------------

    @property
    def num_nodes(self) -> int:
        """Number of nodes that there ever are."""
        return self._store.num_nodes

    @property
    def num_edges(self) -> int:
        """Number of edges of all steps of this view together."""
        return sum(self._store.ptr[t + 1] - self._store.ptr[t] for t in self._steps)

    @property
    def times(self) -> range:
        """The numbers of this view's steps in the whole sequence."""
        return self._steps

    @property
    def num_features(self) -> int:
        """Width of the node features (of one-hot ones: the number of columns)."""
        x = self._store.x
        if x is None:
            return 0
        if isinstance(x, Tensor):
            return x.size(-1) if x.is_floating_point() else int(x.max()) + 1
        return int(getattr(x, "width"))  # noqa: B009  # what a function of features promises

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"SnapshotSequence(num_steps={len(self)}, num_nodes={self.num_nodes}, num_edges={self.num_edges})"

    # Steps and windows --------------------------------------------------------------------------------------

    @overload
    def __getitem__(self, step: int) -> Snapshot: ...

    @overload
    def __getitem__(self, step: slice) -> SnapshotSequence: ...

    def __getitem__(self, step: int | slice) -> Snapshot | SnapshotSequence:
        if isinstance(step, slice):
            chosen = self._steps[step]
            if chosen.step != 1:
                raise ValueError(f"a slice of snapshots must go forward in steps of 1 (got {step}): time does")
            view = object.__new__(SnapshotSequence)
            view._store, view._steps = self._store, chosen
            return view
        return self._snapshot(self._steps[step])

    def __iter__(self) -> Iterator[Snapshot]:
        return (self._snapshot(t) for t in self._steps)

    def history(self, step: int, length: int) -> SnapshotSequence:
        """The window of ``length`` steps that ends with ``step`` (a step of the whole sequence), a view.

        Raises:
            ValueError: if it would begin before the first step, or ``step`` is none.
        """
        total = len(self._store.ptr) - 1
        if length < 1 or not length - 1 <= step < total:
            raise ValueError(f"a history of {length} steps must end at a step in [{length - 1}, {total}) (got {step})")
        view = object.__new__(SnapshotSequence)
        view._store, view._steps = self._store, range(step + 1 - length, step + 1)
        return view

    def windows(self, length: int, stride: int = 1) -> Iterator[SnapshotSequence]:
        """All windows of ``length`` steps, ``stride`` apart, as views: index batching, nothing is copied.

        Example:
            >>> seq = SnapshotSequence(torch.zeros(2, 0, dtype=torch.long), [0] * 6, num_nodes=2)
            >>> [list(window.times) for window in seq.windows(3)]
            [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
        """
        if length < 1 or stride < 1:
            raise ValueError(f"'length' and 'stride' must be at least 1 (got {length}, {stride})")
        return (self[start : start + length] for start in range(0, len(self) - length + 1, stride))

    def edges(self, step: int) -> Tensor:
        """``[2, e]``: the edges of one step of the whole sequence, a view."""
        ptr = self._store.ptr
        return self._store.edge_index[:, ptr[step] : ptr[step + 1]]

    def edges_between(self, start: int, stop: int) -> Tensor:
        """``[2, e]``: the edges of the steps ``start .. stop - 1`` of the whole sequence, a view."""
        ptr = self._store.ptr
        return self._store.edge_index[:, ptr[max(start, 0)] : ptr[max(stop, 0)]]

    def touched(self) -> Tensor:
        """bool ``[N]``: the nodes that touch an edge at any of these steps, or are said to be there.

        Example:
            >>> seq = SnapshotSequence(torch.tensor([[0, 2], [1, 3]]), [0, 1, 2], num_nodes=4)
            >>> seq[1:].touched().tolist()
            [False, False, True, True]
        """
        store, steps = self._store, self._steps
        touched = torch.zeros(store.num_nodes, dtype=torch.bool, device=store.edge_index.device)
        touched[self.edges_between(steps.start + 1 - store.window, steps.stop).reshape(-1)] = True
        return touched if store.masks is None else touched | store.masks[steps.start : steps.stop].any(0)

    @property
    def edge_attrs(self) -> dict[str, Tensor]:
        """All further values of the edges of the whole sequence, by name."""
        return dict(self._store.edge_attrs)

    def edge_attr(self, name: str, step: int) -> Tensor:
        """The values of one edge attribute at one step of the whole sequence, a view.

        Raises:
            KeyError: if there is no such attribute.
        """
        if name not in self._store.edge_attrs:
            raise KeyError(f"no edge attribute {name!r}; there are {sorted(self._store.edge_attrs)}")
        ptr = self._store.ptr
        return self._store.edge_attrs[name][ptr[step] : ptr[step + 1]]

    def with_(self, **changes: Any) -> SnapshotSequence:
        """The same steps with other ``x``, ``y``, ``masks``, ``edge_attrs``, ``window`` or ``cache_size``."""
        allowed = {"x", "y", "masks", "edge_attrs", "window", "cache_size"}
        if not changes.keys() <= allowed:
            raise TypeError(f"only {sorted(allowed)} can be replaced (got {sorted(changes)})")
        store = replace(self._store, cache=OrderedDict(), **changes)
        whole = SnapshotSequence(
            store.edge_index,
            store.ptr,
            store.num_nodes,
            edge_weight=store.edge_weight,
            edge_attrs=store.edge_attrs,
            x=store.x,
            y=store.y,
            masks=store.masks,
            window=store.window,
            cache_size=store.cache_size,
        )
        return whole[self._steps.start : self._steps.stop]

    # Making a snapshot --------------------------------------------------------------------------------------

    def _snapshot(self, step: int) -> Snapshot:
        store = self._store
        found = store.cache.get(step)
        if found is None:
            found = store.cache[step] = self._make(step)
        store.cache.move_to_end(step)
        while store.cache_size is not None and len(store.cache) > store.cache_size:
            store.cache.popitem(last=False)
        return found

    def _make(self, step: int) -> Snapshot:
        store, n = self._store, self._store.num_nodes
        first, last = store.ptr[max(0, step + 1 - store.window)], store.ptr[step + 1]
        edge_index = store.edge_index[:, first:last]
        weight = None if store.edge_weight is None else store.edge_weight[first:last]
        attrs = {name: value[first:last] for name, value in store.edge_attrs.items()}
        if store.window > 1:
            from graphkit.graph.temporal.build import coalesce

            weight = edge_index.new_ones(edge_index.size(1), dtype=torch.float32) if weight is None else weight
            edge_index, _, (weight, *summed) = coalesce(edge_index, None, n, [weight, *attrs.values()])
            attrs = dict(zip(attrs, summed, strict=True))
        graph = Graph(edge_index, (n, n), edge_attrs=attrs)
        degree = graph.in_degree.to(torch.get_default_dtype())
        if weight is not None:
            degree = weight.new_zeros(n).index_add_(0, edge_index[1], weight)
        if store.masks is not None:
            mask = store.masks[step]
        else:
            mask = torch.zeros(n, dtype=torch.bool, device=edge_index.device)
            mask[edge_index.reshape(-1)] = True
        x = store.x
        if isinstance(x, Tensor):
            x = x[step] if x.dim() == (3 if x.is_floating_point() else 2) else x
        elif x is not None:
            x = x(step, graph)
        return Snapshot(x, graph, weight, mask, degree, None if store.y is None else store.y[step], step)


def _check_features(x: Tensor, steps: int, num_nodes: int) -> None:
    per_step = x.dim() == (3 if x.is_floating_point() else 2)
    wanted = (steps, num_nodes) if per_step else (num_nodes,)
    rank_ok = x.dim() in ((2, 3) if x.is_floating_point() else (1, 2))
    if not rank_ok or tuple(x.shape[: len(wanted)]) != wanted or (not x.is_floating_point() and x.dtype != torch.int64):
        raise ValueError(
            f"'x' must be floating point [{num_nodes}, F] or [{steps}, {num_nodes}, F], or int64 [{num_nodes}] or "
            f"[{steps}, {num_nodes}] for one-hot features (got {x.dtype} {list(x.shape)})"
        )
    if x.dtype == torch.int64 and x.numel() and int(x.min()) < 0:
        raise ValueError(f"'x' as columns of one-hot features must not be negative (got {int(x.min())})")
