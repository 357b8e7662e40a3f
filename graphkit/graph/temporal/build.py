"""Snapshots from what users have: timestamped edges, PyG's ``TemporalData``, CSV files, one ``Data`` per step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from graphkit.graph.temporal.sequence import SnapshotSequence
from graphkit.graph.validate import check_index_dtype, check_range

if TYPE_CHECKING:
    from torch_geometric.data import Data, TemporalData


def from_events(
    source: Tensor,
    target: Tensor,
    time: Tensor,
    *,
    step: float = 1,
    start: float | None = None,
    num_steps: int | None = None,
    num_nodes: int | None = None,
    edge_weight: Tensor | None = None,
    edge_attrs: Mapping[str, Tensor] | None = None,
    undirected: bool = False,
    duplicates: Literal["sum", "keep"] = "sum",
    disorder: Literal["sort", "error"] = "sort",
    **options: Any,
) -> SnapshotSequence:
    r"""Cut timestamped edges into steps: an event at time :math:`\tau` falls into step
    :math:`\lfloor (\tau - \tau_0) / s \rfloor`.

    Steps without events are empty snapshots, not left out. Several events between the same two nodes in one step are
    one edge, whose weight (their number, unless weights are given) and attributes are their sums.

    Args:
        source: ``[E]`` integers.
        target: ``[E]`` integers.
        time: ``[E]`` numbers, in any order unless ``disorder="error"``.
        step: s, the length of a step in units of time.
        start: :math:`\tau_0`; default: the first event.
        num_steps: T; default: up to the last event. Later events are an error.
        num_nodes: N; default: the largest index + 1.
        edge_weight: ``[E]`` floating point; default: ones.
        edge_attrs: further values per event, floating point where they are to be added up.
        undirected: add every event reversed too, as the published data pipeline does (a self loop then counts twice).
        duplicates: ``"sum"``, or ``"keep"``: parallel edges stay apart.
        disorder: what to do where time goes backwards in the list: ``"sort"`` (order within a step has no meaning) or
            ``"error"`` (in a log that should be in order it is a sign of damage).
        **options: of :class:`~graphkit.graph.temporal.SnapshotSequence`.

    Raises:
        TypeError: if an argument is no tensor.
        ValueError: if lengths disagree, an index or a time is out of range, or time goes backwards and must not.

    Example:
        >>> time = torch.tensor([10.0, 19.0, 40.0])
        >>> seq = from_events(torch.tensor([0, 0, 2]), torch.tensor([1, 1, 0]), time, step=10)
        >>> [snapshot.graph.num_edges for snapshot in seq], seq[0].edge_weight.tolist()
        ([1, 0, 0, 1], [2.0])
    """
    for name, value in (("source", source), ("target", target), ("time", time)):
        if not isinstance(value, Tensor):
            raise TypeError(f"'{name}' must be a torch.Tensor (got {type(value).__name__})")
        if value.dim() != 1 or value.numel() != source.numel():
            raise ValueError(f"'{name}' must have shape [{source.numel()}] as 'source' (got {list(value.shape)})")
    if not step > 0:
        raise ValueError(f"'step' must be positive (got {step})")
    if duplicates not in ("sum", "keep") or disorder not in ("sort", "error"):
        raise ValueError(
            f"'duplicates' must be 'sum' or 'keep', 'disorder' 'sort' or 'error' (got {duplicates!r}, {disorder!r})"
        )
    source, target = check_index_dtype(source, "source"), check_index_dtype(target, "target")
    if time.is_floating_point() and not bool(time.isfinite().all()):
        raise ValueError("'time' must be finite (got NaN or infinity)")
    if num_nodes is None:
        num_nodes = int(torch.cat([source, target]).max()) + 1 if source.numel() else 0
    check_range(source, num_nodes, "source")
    check_range(target, num_nodes, "target")
    backwards = torch.nonzero(time[1:] < time[:-1])
    if backwards.numel() and disorder == "error":
        at = int(backwards[0]) + 1
        raise ValueError(
            f"'time' must not go backwards (got {time[at].item()} after {time[at - 1].item()} at position {at}); "
            "sort the events, or use disorder='sort'"
        )
    index = _step_of(time, step, start, num_steps)
    total = num_steps if num_steps is not None else (int(index.max()) + 1 if index.numel() else 0)

    values = [] if edge_weight is None else [_checked(edge_weight, source.numel(), "edge_weight")]
    attrs = dict(edge_attrs or {})
    values += [_checked(value, source.numel(), f"edge_attrs['{name}']") for name, value in attrs.items()]
    edge_index = torch.stack([source, target])
    if undirected:
        edge_index = torch.cat([edge_index, edge_index.flip(0)], 1)
        index, values = torch.cat([index, index]), [torch.cat([value, value]) for value in values]
    if edge_weight is None and duplicates == "sum":
        values.insert(0, torch.ones(index.numel(), dtype=torch.get_default_dtype(), device=index.device))
    if duplicates == "sum":
        edge_index, index, values = coalesce(edge_index, index, num_nodes, values)
    elif bool((index[1:] < index[:-1]).any()):
        order = torch.sort(index, stable=True).indices
        edge_index, index, values = edge_index[:, order], index[order], [value[order] for value in values]
    weight = values.pop(0) if edge_weight is not None or duplicates == "sum" else None
    ptr = torch.searchsorted(index.contiguous(), torch.arange(total + 1, device=index.device)).tolist()
    attrs = dict(zip(attrs, values, strict=True))
    return SnapshotSequence(edge_index, ptr, num_nodes, edge_weight=weight, edge_attrs=attrs, **options)


def _step_of(time: Tensor, step: float, start: float | None, num_steps: int | None) -> Tensor:
    if time.numel() == 0:
        return time.long()
    exact = not time.is_floating_point() and float(step).is_integer() and (start is None or float(start).is_integer())
    if exact:
        index = (time.long() - (int(time.min()) if start is None else int(start))) // int(step)
    else:
        real = time.double()
        index = ((real - (real.min() if start is None else start)) / step).floor().long()
    low, high = int(index.min()), int(index.max())
    if low < 0:
        raise ValueError(f"'time' must not lie before 'start' (got {time.min().item()} and start={start})")
    if num_steps is not None and high >= num_steps:
        raise ValueError(f"'time' must lie in {num_steps} steps (got an event in step {high}); pass a larger num_steps")
    return index


def _checked(value: Tensor, rows: int, name: str) -> Tensor:
    if not isinstance(value, Tensor) or value.dim() == 0 or value.size(0) != rows:
        got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"'{name}' must have one row per event, {rows} (got {got})")
    return value


def coalesce(
    edge_index: Tensor, index: Tensor | None, num_nodes: int, values: Sequence[Tensor]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Parallel edges of one step become one, its values their sums; sorted by step, source and target.

    Args:
        edge_index: ``[2, E]``.
        index: the step of each edge; ``None``: all are of one.
        num_nodes: N.
        values: tensors ``[E, ...]``.

    Returns:
        Edges, steps and values of what is left.
    """
    source, target = edge_index
    steps = torch.zeros_like(source) if index is None else index
    most = (int(steps.max()) + 1 if steps.numel() else 1) * num_nodes * num_nodes
    if most >= 2**63:
        raise ValueError(f"{num_nodes} nodes at {most // num_nodes**2} steps are too many to be told apart by an int64")
    key, inverse = torch.unique((steps * num_nodes + source) * num_nodes + target, return_inverse=True)
    kept = torch.stack([key // num_nodes % num_nodes, key % num_nodes])
    summed = [v.new_zeros((key.numel(), *v.shape[1:])).index_add_(0, inverse, v) for v in values]
    return kept, key // (num_nodes * num_nodes), summed


def from_temporal_data(data: TemporalData, **options: Any) -> SnapshotSequence:
    """From PyG's ``TemporalData``: ``src``, ``dst`` and ``t``; ``msg``, if there is one, becomes the edge attribute
    ``"msg"``, and ``y`` the attribute ``"y"``, both added up over parallel events.

    Args:
        data: the events.
        **options: of :func:`from_events`, which says what is raised, too.

    Example:
        >>> from torch_geometric.data import TemporalData
        >>> events = TemporalData(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([0, 3]), torch.ones(2, 4))
        >>> from_temporal_data(events, step=2).edge_attr("msg", 1).shape
        torch.Size([1, 4])
    """
    attrs = {name: data[name] for name in ("msg", "y") if data.get(name) is not None}
    attrs |= options.pop("edge_attrs", None) or {}
    return from_events(data.src, data.dst, data.t, edge_attrs=attrs, **options)


def from_csv(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] = ("source", "target", "time"),
    delimiter: str = ",",
    skip_rows: int = 0,
    relabel: bool = True,
    **options: Any,
) -> SnapshotSequence:
    """From a file of numbers, one event per line.

    Args:
        path: the file.
        columns: what its columns are: ``"source"``, ``"target"``, ``"time"``, ``"weight"``, or any other name for an
            edge attribute; ``""`` skips a column.
        delimiter: between columns.
        skip_rows: lines to skip at the top.
        relabel: number the nodes that occur ``0, 1, ...`` in the order of their numbers; otherwise these are kept.
        **options: of :func:`from_events`.

    Raises:
        ValueError: if a needed column is not named, or a line does not hold as many numbers.
    """
    for needed in ("source", "target", "time"):
        if needed not in columns:
            raise ValueError(f"'columns' must name {needed!r} (got {list(columns)})")
    try:
        # float64 holds integers up to 2**53 exactly: node numbers and times in microseconds fit.
        table = np.loadtxt(path, delimiter=delimiter, skiprows=skip_rows, ndmin=2, dtype=np.float64)
    except ValueError as error:
        raise ValueError(
            f"'{path}' is no table of numbers separated by {delimiter!r}: {error} "
            "(lines of names at the top are left out by skip_rows)"
        ) from error
    if table.size and table.shape[1] != len(columns):
        raise ValueError(f"'{path}' has {table.shape[1]} columns, 'columns' names {len(columns)}: {list(columns)}")
    table = table.reshape(-1, len(columns))
    named = {name: torch.from_numpy(table[:, i].copy()) for i, name in enumerate(columns) if name}
    ends = torch.stack([named.pop("source"), named.pop("target")]).long()
    if relabel:
        ends = torch.unique(ends, return_inverse=True)[1]
    weight = named.pop("weight", None)
    time = named.pop("time")
    attrs = {name: value.to(torch.get_default_dtype()) for name, value in named.items()}
    if weight is not None:
        options["edge_weight"] = weight.to(torch.get_default_dtype())
    return from_events(ends[0], ends[1], time, edge_attrs=attrs, **options)


def from_data_list(graphs: Sequence[Data], **options: Any) -> SnapshotSequence:
    """From one PyG ``Data`` per step.

    Steps may have different nodes: a ``Data`` with ``n_id`` says which nodes of the whole its rows are; without, row i
    is node i. Rows of nodes that are not there are zeros, and their mask is False. ``edge_weight``, or else
    ``edge_attr`` with one number per edge, becomes the weight; other ``edge_attr`` the attribute ``"edge_attr"``.

    Args:
        graphs: at least one, all with the same attributes.
        **options: of :class:`~graphkit.graph.temporal.SnapshotSequence`; ``num_nodes`` too.

    Raises:
        ValueError: if the list is empty, attributes differ, or ``n_id`` does not fit.

    Example:
        >>> from torch_geometric.data import Data
        >>> first = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]))
        >>> then = Data(x=torch.ones(1, 1), edge_index=torch.empty(2, 0, dtype=torch.long), n_id=torch.tensor([2]))
        >>> seq = from_data_list([first, then])
        >>> seq[1].x.flatten().tolist(), seq[1].mask.tolist()
        ([0.0, 0.0, 1.0], [False, False, True])
    """
    if not graphs:
        raise ValueError("'graphs' must hold at least one Data (got none)")
    keys = [{key for key in ("x", "y", "edge_attr", "edge_weight") if g.get(key) is not None} for g in graphs]
    if any(k != keys[0] for k in keys):
        at = next(i for i, k in enumerate(keys) if k != keys[0])
        raise ValueError(
            f"'graphs' must have the same attributes (got {sorted(keys[0])} and, at {at}, {sorted(keys[at])})"
        )
    numbers = [_numbers(graph, step) for step, graph in enumerate(graphs)]
    least = max((int(ids.max()) + 1 for ids in numbers if ids.numel()), default=0)
    num_nodes = options.pop("num_nodes", None) or least
    if num_nodes < least:
        raise ValueError(f"'num_nodes' must be at least {least}, the largest node number + 1 (got {num_nodes})")
    edges = [ids[graph.edge_index] for ids, graph in zip(numbers, graphs, strict=True)]
    ptr = np.cumsum([0, *(edge.size(1) for edge in edges)]).tolist()
    weight: Tensor | None = None
    attrs: dict[str, Tensor] = {}
    for name in ("edge_attr", "edge_weight"):
        if name in keys[0]:
            value = torch.cat([graph[name] for graph in graphs])
            if name == "edge_weight" or value.numel() == value.size(0):
                weight = value.reshape(-1).to(torch.get_default_dtype())
            else:
                attrs[name] = value
    masks = torch.zeros(len(graphs), num_nodes, dtype=torch.bool)
    for step, ids in enumerate(numbers):
        masks[step, ids] = True
    spread = {
        name: torch.stack([_spread(graph[name], ids, num_nodes) for graph, ids in zip(graphs, numbers, strict=True)])
        for name in ("x", "y")
        if name in keys[0]
    }
    return SnapshotSequence(
        torch.cat(edges, 1), ptr, num_nodes, edge_weight=weight, edge_attrs=attrs,
        **{"x": spread.get("x"), "y": spread.get("y"), "masks": masks} | options,
    )  # fmt: skip


def _numbers(graph: Data, step: int) -> Tensor:
    """Which node of the whole each row is."""
    ids = graph.get("n_id")
    rows = int(graph.num_nodes or 0)
    if ids is None:
        return torch.arange(rows)
    if ids.numel() != rows or ids.unique().numel() != rows or (rows and int(ids.min()) < 0):
        raise ValueError(f"'n_id' at step {step} must hold {rows} distinct nodes (got {ids.tolist()[:8]}...)")
    return ids.long()


def _spread(rows: Tensor, ids: Tensor, num_nodes: int) -> Tensor:
    return rows.new_zeros((num_nodes, *rows.shape[1:])).index_copy_(0, ids, rows)
