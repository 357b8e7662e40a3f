"""Defects planted in graphkit's own layers: each is a layer with one mistake, and the claim that must catch it.

A mutant is a subclass or wrapper that differs from the sound layer in a line or two, as a slip of the pen would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.edge_index import EdgeIndex
from torch_geometric.nn import global_add_pool
from torch_geometric.utils import coalesce

from graphkit import Graph, ops
from graphkit.models import DeeperGCN, NeuralSheafDiffusion
from graphkit.nn import EvolveGCNO, FrameAveraging, GENConv, PowerMeanAggregation, SheafConv, SoftmaxAggregation
from graphkit.testing import example_data


@dataclass(frozen=True)
class Mutant:
    """A defect: the sound layer, the broken one, and the claim that tells them apart."""

    name: str
    claim: str
    sound: Callable[[], nn.Module]
    broken: Callable[[], nn.Module]
    options: dict[str, Any] = field(default_factory=dict)


# -- GENConv ----------------------------------------------------------------------------------------------------------


class Gen(GENConv):
    """The sound layer; ``before`` and ``after`` are where the defects go."""

    def __init__(self, in_channels: int = 8, **kwargs: Any) -> None:
        super().__init__(in_channels, 6, **{"learn_t": True, "edge_dim": 4, "norm": "layer", **kwargs})

    def forward(self, x: Any, edge_index: Any, edge_attr: Any = None, size: Any = None) -> Tensor:
        x, edge_index, edge_attr = self.before(x, edge_index, edge_attr)
        return self.after(super().forward(x, edge_index, edge_attr, size), x, edge_index)

    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> tuple[Any, Any, Any]:
        return x, edge_index, edge_attr

    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out


class DroppedLoops(Gen):
    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> Any:
        kept = edge_index[0] != edge_index[1]
        return x, edge_index[:, kept], edge_attr[kept]


class WrongDirection(Gen):
    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> Any:
        return x, edge_index.flip(0), edge_attr


class LastEdgeLost(Gen):
    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> Any:
        return x, edge_index[:, :-1], edge_attr[:-1]


class OneOfParallelEdges(Gen):
    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> Any:
        return x, *coalesce(edge_index, edge_attr, reduce="mean")


class AttributesLeftBehind(Gen):
    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> Any:
        return x, edge_index[:, edge_index[1].argsort(stable=True)], edge_attr


class NumberedNodes(Gen):
    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out + 1e-6 * torch.arange(out.size(0), dtype=out.dtype)[:, None]


class ScaledByTheBatch(Gen):
    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out / out.abs().max()


class MeanDegreeOfTheBatch(Gen):
    """Divides by the mean degree of the graph instead of the node's own."""

    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out * x.size(0) / edge_index.size(1)


class DegreeOfSources(Gen):
    """Normalises by the degrees of the other end."""

    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        sources = x if isinstance(x, Tensor) else x[0]
        return out / (1 + torch.bincount(edge_index[0], minlength=sources.size(0)))[:, None]


class ZeroDegree(Gen):
    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out / torch.bincount(edge_index[1], minlength=out.size(0))[:, None]


class UnnormalisedWhereSparse(Gen):
    """Divides by the degree, but not on the path of ``EdgeIndex``."""

    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        if type(edge_index) is not Tensor:
            return out
        return out / (1 + torch.bincount(edge_index[1], minlength=out.size(0)))[:, None]


class TrustsPointers(Gen):
    """Sums features by the pointers of an ``EdgeIndex``, which PyG's ``sort_by`` may have left as they were."""

    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        if isinstance(edge_index, EdgeIndex) and edge_index.is_sorted_by_col:
            (ptr, row), _ = edge_index.get_csc()
        else:
            order = edge_index[1].argsort(stable=True)
            row, degree = edge_index[0][order], torch.bincount(edge_index[1], minlength=out.size(0))
            ptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
        return out + torch.segment_reduce(x[row, :1].contiguous(), "sum", offsets=ptr, axis=0, initial=0.0)


class SinglePrecisionInside(Gen):
    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> Any:
        return (x.float().double() if x.dtype == torch.float64 else x), edge_index, edge_attr


class Float32Constant(Gen):
    """Roots of degrees in torch's default dtype."""

    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        degree = torch.ones(out.size(0)).index_add(0, edge_index[1], torch.ones(edge_index.size(1)))
        return out * degree.rsqrt()[:, None].to(out.dtype)


class Float32Output(Gen):
    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out.float()


class WritesToInput(Gen):
    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> Any:
        return x, edge_index, edge_attr.data.relu_()


class DetachedAttributes(Gen):
    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> Any:
        return x, edge_index, edge_attr.detach()


class DropoutInEvaluation(Gen):
    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return nn.functional.dropout(out, 0.01)


class StaleCache(Gen):
    """Remembers the graph by its numbers of nodes and edges."""

    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> Any:
        kept = vars(self).setdefault("kept", {})
        return x, kept.setdefault((x.size(0), edge_index.size(1)), edge_index), edge_attr


class LeaksBetweenCalls(Gen):
    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        last = vars(self).get("last", out.new_zeros(1))
        vars(self)["last"] = out.detach().mean(dim=0)
        return out + last


class CountsInEvaluation(Gen):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        self.calls += 1
        return out


class BufferNotSaved(Gen):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("signs", torch.randn(6).sign(), persistent=False)

    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out * self.signs


class BatchStatisticsInEvaluation(Gen):
    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return nn.functional.batch_norm(out, None, None, training=True) if out.size(0) > 1 else out


class NeverUsed(Gen):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.ones(6))


class ForgetsTemperature(Gen):
    def reset_parameters(self) -> None:
        temperature = self.aggr_module.t.detach().clone() if hasattr(self, "aggr_module") else None
        super().reset_parameters()
        if temperature is not None:
            self.aggr_module.t.data.copy_(temperature)


class KeepsItsOutput(Gen):
    def after(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        vars(self)["last"] = out
        return out


class HoldsAFunction(Gen):
    def __init__(self) -> None:
        super().__init__()
        self.act = lambda x: x


class StaysOpen(Gen):
    def __init__(self, in_channels: int = 8) -> None:
        super().__init__(in_channels)
        self.gate = nn.LazyLinear(6) if in_channels == -1 else nn.Linear(8, 6)


class DeafToExplainers(Gen):
    """Always takes the fused path, which has no messages to mask."""

    def before(self, x: Any, edge_index: Any, edge_attr: Any) -> Any:
        vars(self)["_explain"] = False
        return x, edge_index, edge_attr


# -- Aggregations -----------------------------------------------------------------------------------------------------


class OffByOnePointer(SoftmaxAggregation):
    """Each group but the first begins one row late, and takes a row of the next."""

    def forward(self, x: Tensor, index: Any = None, ptr: Any = None, dim_size: Any = None, **kwargs: Any) -> Tensor:
        if index is not None:
            order = index.argsort(stable=True)
            x, index = x[order], index[order].roll(1)
            index[:1] = index[1:2]
        return super().forward(x, index, ptr, dim_size, **kwargs)


class WeightedByPosition(SoftmaxAggregation):
    def forward(self, x: Tensor, index: Any = None, ptr: Any = None, dim_size: Any = None, **kwargs: Any) -> Tensor:
        weight = 1 + 1e-3 * torch.arange(x.size(0), dtype=x.dtype)[:, None]
        return super().forward(x * weight, index, ptr, dim_size, **kwargs)


class UnsortedAsSorted(SoftmaxAggregation):
    """Counts the rows of each group, and takes them as if they stood together."""

    def forward(self, x: Tensor, index: Any = None, ptr: Any = None, dim_size: Any = None, **kwargs: Any) -> Tensor:
        return super().forward(x, None if index is None else index.sort().values, ptr, dim_size, **kwargs)


class WithoutShift(nn.Module):
    """Softmax without its shift: exp overflows in single precision."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index
        weight = (60 * x[source]).exp()
        sums = torch.zeros(2, *x.shape, dtype=x.dtype)
        sums = sums.index_add(1, target, torch.stack([weight * x[source], weight]))
        return sums[0] / (sums[1] + torch.finfo(x.dtype).tiny)


class WithShift(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.aggr = SoftmaxAggregation(t=60.0)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.aggr(x[edge_index[0]], edge_index[1], dim_size=x.size(0))


class ConstantForEmptyGroups(PowerMeanAggregation):
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(*args, **kwargs).clamp(min=1e-4)


# -- Pooling ----------------------------------------------------------------------------------------------------------


class Pool(nn.Module):
    def __init__(self, spoil: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.conv = GENConv(8, 6, norm="layer")
        self.spoil = spoil

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        out = global_add_pool(self.conv(x, edge_index), batch, size=batch_size)
        return out if self.spoil is None else self.spoil(out, x)


class MeanOfAllNodes(DeeperGCN):
    """A virtual node that all graphs of the batch share."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        return super().forward(x + x.mean(dim=0), *args, **kwargs)


# -- Sheaves ----------------------------------------------------------------------------------------------------------


class Laplacian(nn.Module):
    def __init__(self, spoil: Callable[[Tensor], Tensor] = torch.Tensor.clone) -> None:
        super().__init__()
        self.spoil = spoil

    def forward(self, x: Tensor, edge_index: Tensor, maps: Tensor) -> Tensor:
        return ops.sheaf_laplacian(x, Graph.from_edge_index(edge_index, x.size(0)), self.spoil(maps))


class LaplacianOfFirstMap(Laplacian):
    """Takes the map of an edge's first column for both of its ends."""

    def forward(self, x: Tensor, edge_index: Tensor, maps: Tensor) -> Tensor:
        graph = Graph.from_edge_index(edge_index, x.size(0))
        both = torch.where((edge_index[0] < edge_index[1])[:, None, None], maps, maps[graph.reverse])
        return ops.sheaf_laplacian(x, graph, both)


def sheaf_data() -> Data:
    generator = torch.Generator().manual_seed(0)
    data = example_data((), undirected=True)
    data.x = torch.randn(12, 2, 3, dtype=torch.float64, generator=generator)
    data.maps = torch.randn(data.num_edges, 2, 2, dtype=torch.float64, generator=generator)
    return data


class DiffusionOfDegrees(SheafConv):
    """Adds what belongs to the largest degree of all."""

    def forward(self, x: Tensor, edge_index: Any, *args: Any, **kwargs: Any) -> Any:
        out = super().forward(x, edge_index, *args, **kwargs)
        return out / torch.bincount(edge_index[1]).max() if edge_index.size(1) else out


class NodesByNumber(NeuralSheafDiffusion):
    def forward(self, x: Tensor, edge_index: Any) -> Any:
        return super().forward(x.cumsum(dim=0) / 8, edge_index)


# -- Frames -----------------------------------------------------------------------------------------------------------


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, pos: Tensor) -> Tensor:
        return self.mlp(pos)


def framed(group: str, layer: Callable[[nn.Module], nn.Module] = lambda wrapped: wrapped) -> nn.Module:
    """Frame averaging of a perceptron of positions."""
    return layer(FrameAveraging(Perceptron(), group, {"pos": "position"}, "vector"))


class HandedFrame(nn.Module):
    """Principal axes without fixing the sign of the last: a frame of determinant -1 where it happens."""

    def __init__(self, wrapped: nn.Module, fix: bool) -> None:
        super().__init__()
        self.backbone = wrapped.get_submodule("backbone")
        self.fix = fix

    def forward(self, pos: Tensor) -> Tensor:
        centred = pos - pos.mean(dim=0)
        axes = torch.linalg.eigh(centred.T @ centred).eigenvectors
        if self.fix:
            axes = torch.cat([axes[:, :2], torch.linalg.cross(axes[:, 0], axes[:, 1])[:, None]], dim=1)
        signs = torch.tensor([[1, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1]], dtype=pos.dtype)
        frames = axes * signs[:, None]
        return torch.stack([self.backbone(centred @ frame) @ frame.T for frame in frames]).mean(dim=0)


def _pos(layer: nn.Module, data: Data) -> Any:
    return layer(pos=data.pos)


CLOUD: dict[str, Any] = {
    "data": example_data(("pos",)),
    "inputs": {"pos": "position"},
    "outputs": "vector",
    "call": _pos,
}


class Spring(nn.Module):
    """Central forces on an edge's target, and the velocity it has."""

    def forward(self, pos: Tensor, vel: Tensor, edge_index: Tensor) -> Tensor:
        graph = Graph.from_edge_index(edge_index, pos.size(0))
        return vel + ops.gather_reduce(pos, graph, reduce="mean") - self.centre(pos, vel, graph)

    def centre(self, pos: Tensor, vel: Tensor, graph: Graph) -> Tensor:
        degree = torch.bincount(graph.edge_index[1], minlength=pos.size(0))[:, None]
        return pos * (degree > 0)


class ShiftedVelocity(Spring):
    """Takes velocities for positions."""

    def centre(self, pos: Tensor, vel: Tensor, graph: Graph) -> Tensor:
        return super().centre(pos + vel, vel, graph) - pos.mean(dim=0)


class GatedByACoordinate(Spring):
    def forward(self, pos: Tensor, vel: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(pos, vel, edge_index) * vel[:, :1].tanh()


MOVING: dict[str, Any] = {"inputs": {"pos": "position", "vel": "vector"}, "outputs": "vector"}


# -- Time -------------------------------------------------------------------------------------------------------------


def over_time(layer: nn.Module, snapshots: Sequence[Data]) -> list[Tensor]:
    state, outputs = None, []
    for data in snapshots:
        out, state = layer(data.x, data.edge_index, state=state)
        outputs.append(out)
    return outputs


def normalised_over_all_time(layer: nn.Module, snapshots: Sequence[Data]) -> list[Tensor]:
    mean = torch.stack([data.x for data in snapshots]).mean(dim=(0, 1))
    outputs, state = [], None
    for data in snapshots:
        out, state = layer(data.x - mean, data.edge_index, state=state)
        outputs.append(out)
    return outputs


class RememberedState(EvolveGCNO):
    """Goes on with the last state where none is given."""

    def forward(self, x: Any, edge_index: Any, edge_weight: Any = None, state: Any = None, **kwargs: Any) -> Any:
        state = vars(self).get("remembered") if state is None else state
        out, state = super().forward(x, edge_index, edge_weight, state=state, **kwargs)
        vars(self)["remembered"] = state
        return out, state


def evolve(layer: type[EvolveGCNO] = EvolveGCNO) -> nn.Module:
    return layer(8, 6)


EDGES: dict[str, Any] = {"edge_dim": 4}
PLAIN = partial(SoftmaxAggregation, learn=True)

MUTANTS: list[Mutant] = [
    *(
        Mutant(broken.__name__, claim, Gen, broken, EDGES)
        for broken, claim in (
            (DroppedLoops, "plain_loops"),
            (WrongDirection, "bipartite"),
            (LastEdgeLost, "edge_permutation"),
            (OneOfParallelEdges, "multi_edges"),
            (AttributesLeftBehind, "edge_permutation"),
            (NumberedNodes, "permutation"),
            (ScaledByTheBatch, "batch"),
            (MeanDegreeOfTheBatch, "locality"),
            (DegreeOfSources, "bipartite"),
            (ZeroDegree, "isolated_nodes"),
            (UnnormalisedWhereSparse, "layouts"),
            (TrustsPointers, "edge_index_sort"),
            (SinglePrecisionInside, "gradcheck"),
            (Float32Constant, "dtypes"),
            (Float32Output, "dtypes"),
            (WritesToInput, "inputs_untouched"),
            (DetachedAttributes, "gradcheck"),
            (DropoutInEvaluation, "eval_deterministic"),
            (StaleCache, "permutation"),
            (LeaksBetweenCalls, "train_eval"),
            (CountsInEvaluation, "train_eval"),
            (BufferNotSaved, "state_dict"),
            (BatchStatisticsInEvaluation, "batch"),
            (NeverUsed, "ddp"),
            (ForgetsTemperature, "reset_parameters"),
            (KeepsItsOutput, "deepcopy"),
            (HoldsAFunction, "pickle"),
            (DeafToExplainers, "explain"),
        )
    ),
    Mutant("StaysOpen", "lazy", Gen, StaysOpen, {**EDGES, "lazy": partial(Gen, -1)}),
    *(
        Mutant(broken.__name__, claim, PLAIN, partial(broken, learn=True))
        for broken, claim in (
            (OffByOnePointer, "locality"),
            (WeightedByPosition, "edge_permutation"),
            (UnsortedAsSorted, "unsorted_edges"),
        )
    ),
    Mutant("WithoutShift", "dtypes", WithShift, WithoutShift),
    Mutant("ConstantForEmptyGroups", "empty_groups", PowerMeanAggregation, ConstantForEmptyGroups),
    Mutant("PoolOverAllNodes", "batch", Pool, partial(Pool, lambda out, x: out / x.size(0))),
    Mutant("PoolOfGraphsBefore", "batch_order", Pool, partial(Pool, lambda out, x: out.cumsum(dim=0))),
    Mutant(
        "TransposedMaps",
        "gauge",
        Laplacian,
        partial(Laplacian, lambda maps: maps.mT),
        {"data": sheaf_data(), "inputs": {"x": "stalk", "maps": "restriction"}, "outputs": "stalk"},
    ),
    Mutant(
        "MapOfTheOtherEnd",
        "gauge",
        Laplacian,
        LaplacianOfFirstMap,
        {"data": sheaf_data(), "inputs": {"x": "stalk", "maps": "restriction"}, "outputs": "stalk"},
    ),
    Mutant(
        "LargestDegree",
        "locality",
        partial(SheafConv, 8, 6, stalk_dim=2),
        partial(DiffusionOfDegrees, 8, 6, stalk_dim=2),
        {"undirected": True},
    ),
    Mutant(
        "CumulativeFeatures",
        "permutation",
        partial(NeuralSheafDiffusion, 8, 4, 2, 3, stalk_dim=2),
        partial(NodesByNumber, 8, 4, 2, 3, stalk_dim=2),
        {"undirected": True},
    ),
    Mutant("MissingCentre", "SE(3)", partial(framed, "SE(3)"), partial(framed, "SO(3)"), CLOUD),
    Mutant("ReflectedFrames", "E(3)", partial(framed, "E(3)"), partial(framed, "SE(3)"), CLOUD),
    Mutant(
        "DeterminantMinusOne",
        "SE(3)",
        partial(framed, "SE(3)", partial(HandedFrame, fix=True)),
        partial(framed, "SE(3)", partial(HandedFrame, fix=False)),
        CLOUD,
    ),
    Mutant("ShiftedVelocity", "T(3)", Spring, ShiftedVelocity, MOVING),
    Mutant("GatedByACoordinate", "SO(3)", Spring, GatedByACoordinate, MOVING),
    Mutant("RememberedState", "causality", evolve, partial(evolve, RememberedState), {"sequence": over_time}),
    Mutant("MeanOfAllNodes", "batch", *(partial(net, 8, 6, 3, 2, norm="layer") for net in (DeeperGCN, MeanOfAllNodes))),
]

SEQUENCES = (over_time, normalised_over_all_time)
"""A sound and a broken way to run a sequence: features normalised with what is still to come."""
