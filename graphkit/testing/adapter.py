"""Calling any layer: what its ``forward`` names is taken from the data's attributes of that name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MethodType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import Aggregation

from graphkit.testing.examples import FILLERS, example_data

Call = Callable[[nn.Module, Data], Any]
"""How to call a layer on a ``Data``; :func:`call_layer` unless the user gives another."""

_TOPOLOGY = ("edge_index", "adj_t")
_COMPUTED = (*_TOPOLOGY, "batch", "batch_size", "num_nodes")


def forward_names(layer: nn.Module) -> dict[str, bool]:
    """The arguments of a layer's ``forward`` in order, each with whether it is required.

    A ``forward(*args)`` or ``forward(x, *args)`` that hands its arguments on is taken for one of
    ``(x, edge_index)``.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> forward_names(SAGEConv(8, 8))
        {'x': True, 'edge_index': True, 'size': False}
    """
    names: dict[str, bool] = {}
    passes_on = False
    for parameter in inspect.signature(layer.forward).parameters.values():
        if parameter.kind == parameter.VAR_POSITIONAL:
            passes_on = True
        elif parameter.kind != parameter.VAR_KEYWORD:
            names[parameter.name] = parameter.default is parameter.empty
    required = {name for name, needed in names.items() if needed}
    return {"x": True, "edge_index": True} if passes_on and required <= {"x"} else names


def pair_names(layer: nn.Module) -> list[str]:
    """The arguments of ``forward`` whose annotation allows a pair, for sources and targets.

    Example:
        >>> from torch_geometric.nn import PointTransformerConv
        >>> pair_names(PointTransformerConv(8, 8))
        ['x', 'pos']
    """
    parameters = inspect.signature(layer.forward).parameters.values()
    pairs = re.compile(r"Tuple\[|tuple\[|Pair")
    return [p.name for p in parameters if p.name != "size" and pairs.search(str(p.annotation))]


def takes_edges(layer: nn.Module) -> bool:
    """Whether edges are among the inputs; for an aggregation they are: they group its messages."""
    return isinstance(layer, Aggregation) or not {*_TOPOLOGY, "data"}.isdisjoint(forward_names(layer))


def batch_vector(data: Data) -> Tensor:
    """The graph of each node; one graph where the data does not say."""
    return cast(Tensor, data.batch) if "batch" in data else torch.zeros(int(data.num_nodes or 0), dtype=torch.long)


def call_layer(layer: nn.Module, data: Data) -> Any:
    """Call a convolution, aggregation, norm or whole model on the attributes of ``data`` that it names.

    An :class:`~torch_geometric.nn.aggr.Aggregation` gets the features of the sources of the edges, grouped by
    target. A ``forward(data)`` gets the data itself.

    Raises:
        ValueError: If a required argument is no attribute of the data.

    Example:
        >>> from torch_geometric.nn import GCNConv
        >>> call_layer(GCNConv(8, 2).double(), example_data(("x", "edge_weight"))).shape
        torch.Size([12, 2])
    """
    if isinstance(layer, Aggregation):
        source, target = cast(Tensor, data.edge_index)
        return layer(cast(Tensor, data.x)[source], index=target, dim_size=data.num_nodes)
    names = forward_names(layer)
    if [name for name, required in names.items() if required] == ["data"]:
        return layer(data)
    positional: list[Any] = []
    keyword: dict[str, Any] = {}
    for name, required in names.items():
        if name in _TOPOLOGY:
            value: Any = data.edge_index
        elif name == "batch":
            value = batch_vector(data)
        elif name == "batch_size":
            value = int(batch_vector(data).max()) + 1 if int(data.num_nodes or 0) else 0
        elif name in data:
            value = data[name]
        elif required:
            raise ValueError(
                f"'forward' of {type(layer).__name__} requires '{name}', which the data lacks (it has "
                f"{sorted(data.keys())}); pass 'data' with that attribute, or 'call'"
            )
        else:
            continue
        if required and not keyword:
            positional.append(value)
        else:
            keyword[name] = value
    return layer(*positional, **keyword)


def tensors(output: Any) -> list[Tensor]:
    """The tensors in what a layer returned, in order: a tensor, or tuples, lists and dicts of them.

    Example:
        >>> len(tensors((torch.zeros(1), {"a": torch.ones(2), "b": None})))
        2
    """
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, Sequence) and not isinstance(output, str):
        return [tensor for part in output for tensor in tensors(part)]
    return []


def as_if_first(layer: nn.Module) -> nn.Module:
    """The layer, as it is where it is the first of its class in the process.

    PyG compiles ``propagate`` on a class when its first instance is made, for what that instance's aggregation can do.
    If that cannot be fused (``aggr="lstm"``), instances made later raise for sparse tensors. Such a layer gets the form
    that is not compiled: a verdict must not depend on what ran before.
    """
    for part in layer.modules():
        if isinstance(part, MessagePassing) and getattr(part, "fuse", False):
            code = getattr(type(part).propagate, "__code__", None)
            if code is not None and "'message_and_aggregate' not implemented" in code.co_consts:
                generic = vars(MessagePassing).get("_orig_propagate", MessagePassing.propagate)
                part.propagate = MethodType(generic, part)
    return layer


def is_lazy(layer: nn.Module) -> bool:
    """Whether a parameter's shape is still to be taken from the first input."""
    return any(isinstance(parameter, UninitializedParameter) for parameter in layer.parameters())


def _input_channels(layer: nn.Module) -> int:
    """The width a layer expects: its own ``in_channels``, else its first linear map's, else 8."""
    for module in (layer, *layer.children(), *layer.modules()):
        for attribute in ("in_channels", "in_features", "channels"):
            value = getattr(module, attribute, None)
            if isinstance(value, tuple | list) and value:
                value = value[0]
            if isinstance(value, int) and value > (attribute == "channels"):  # 1 channel is one for all
                return value
    return 8


def example_inputs(
    layer: nn.Module, *, in_channels: int | None, edge_dim: int | None, undirected: bool, seed: int
) -> Iterator[Data]:
    """Candidate data for a layer, best first: with edge features of each plausible width, then without."""
    names = forward_names(layer)
    wanted = tuple(name for name in names if name in FILLERS)
    if isinstance(layer, Aggregation) or not wanted:
        wanted = ("x",)
    channels = in_channels or _input_channels(layer)
    widths: list[int] = []
    if "edge_attr" in wanted:
        given = edge_dim if edge_dim is not None else getattr(layer, "edge_dim", None)
        encoders = [_input_channels(module) for name, module in layer.named_modules() if "edge" in name]
        guesses = [given] if isinstance(given, int) else [*encoders, channels, getattr(layer, "out_channels", None), 1]
        widths = list(dict.fromkeys(width for width in guesses if isinstance(width, int) and width > 0))
    for width in widths:
        yield example_data(wanted, channels=channels, edge_dim=width, undirected=undirected, seed=seed)
    plain = tuple(name for name in wanted if name != "edge_attr")
    yield example_data(plain, channels=channels, undirected=undirected, seed=seed)
