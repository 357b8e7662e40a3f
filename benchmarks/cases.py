"""What is measured: graphs, and for each operator our form and the peers' best forms of the same mathematics.

Every contender is a function ``(x, edge, parameter) -> out``. The peers get edges sorted by target, their fastest
layout, and precomputed structures (a DGLGraph, a CSR matrix), as ours gets a ``Graph``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch_geometric.typing
from torch import Tensor
from torch_geometric.nn.aggr import PowerMeanAggregation, SoftmaxAggregation

from graphkit import Graph, ops

Contender = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
EPS = 1e-7


def make_graph(kind: str, num_nodes: int, num_edges: int) -> Graph:
    """A random graph, edges sorted by target; ``power law`` draws both ends with P(node i) ~ 1 / (i + 1)^0.75."""
    generator = torch.Generator().manual_seed(0)
    if kind == "uniform":
        edges = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
    else:
        weight = torch.arange(1, num_nodes + 1, dtype=torch.float64) ** -0.75
        edges = torch.multinomial(weight, 2 * num_edges, replacement=True, generator=generator).reshape(2, -1)
        edges = torch.randperm(num_nodes, generator=generator)[edges]
    edges = edges[:, torch.argsort(edges[1], stable=True)]
    graph = Graph.from_edge_index(edges.contiguous(), num_nodes)
    _ = graph.csc, graph.csr
    return graph


@dataclass(frozen=True)
class Case:
    """An operator on a graph.

    Attributes:
        name: what the table calls it.
        edge: ``None``, ``"weight"`` or ``"attr"``.
        parameter: initial value of the learnable temperature or power, if any.
        ours: our call.
        message: the message as PyG writes it, ``(x_j, edge) -> m``.
        aggregate: PyG's aggregation ``(m, index, size, parameter) -> out``.
    """

    name: str
    edge: str | None
    parameter: float | None
    ours: Callable[[Tensor, Graph, Tensor | None, Tensor | None], Tensor]
    message: Callable[[Tensor, Tensor | None], Tensor]
    aggregate: Callable[[Tensor, Tensor, int, Tensor | None], Tensor]


def _relu_message(x_j: Tensor, edge: Tensor | None) -> Tensor:
    return (x_j if edge is None else x_j + edge).relu() + EPS


def _weighted(x_j: Tensor, weight: Tensor | None) -> Tensor:
    return x_j if weight is None else x_j * weight[:, None]


def _pyg_softmax(m: Tensor, index: Tensor, size: int, t: Tensor | None) -> Tensor:
    module = SoftmaxAggregation(learn=True)
    del module.t
    module.t = t  # type: ignore[assignment]
    return module(m, index, dim_size=size)


def _pyg_powermean(m: Tensor, index: Tensor, size: int, p: Tensor | None) -> Tensor:
    module = PowerMeanAggregation(learn=True)
    del module.p
    module.p = p  # type: ignore[assignment]
    return module(m, index, dim_size=size)


def _sum(m: Tensor, index: Tensor, size: int, _: Tensor | None) -> Tensor:
    return m.new_zeros(size, m.size(1)).index_add_(0, index, m)


CASES = [
    Case(
        name="softmax, edge features",
        edge="attr",
        parameter=1.0,
        ours=lambda x, g, e, t: ops.softmax_aggregate(x, g, e, t=t),
        message=_relu_message,
        aggregate=_pyg_softmax,
    ),
    Case(
        name="softmax",
        edge=None,
        parameter=1.0,
        ours=lambda x, g, e, t: ops.softmax_aggregate(x, g, t=t),
        message=_relu_message,
        aggregate=_pyg_softmax,
    ),
    Case(
        name="power mean, edge features",
        edge="attr",
        parameter=2.0,
        ours=lambda x, g, e, p: ops.powermean_aggregate(x, g, e, p=p),
        message=_relu_message,
        aggregate=_pyg_powermean,
    ),
    Case(
        name="power mean",
        edge=None,
        parameter=2.0,
        ours=lambda x, g, e, p: ops.powermean_aggregate(x, g, p=p),
        message=_relu_message,
        aggregate=_pyg_powermean,
    ),
    Case(
        name="gather + sum",
        edge=None,
        parameter=None,
        ours=lambda x, g, e, _: ops.gather_reduce(x, g),
        message=lambda x, e: x,
        aggregate=_sum,
    ),
    Case(
        name="weighted gather + sum",
        edge="weight",
        parameter=None,
        ours=lambda x, g, e, _: ops.gather_reduce(x, g, e),
        message=_weighted,
        aggregate=_sum,
    ),
    Case(
        name="relu(x + e) + sum",
        edge="attr",
        parameter=None,
        ours=lambda x, g, e, _: ops.gather_reduce(x, g, edge_attr=e),
        message=lambda x, e: (x if e is None else x + e).relu(),
        aggregate=_sum,
    ),
]


def contenders(case: Case, graph: Graph) -> dict[str, Contender]:
    """Ours on its backends, PyG with and without torch_scatter, DGL and torch's CSR product where they apply."""
    source, target = graph.edge_index.unbind()
    size = graph.num_dst

    def pyg(x: Tensor, edge: Tensor | None, parameter: Tensor | None) -> Tensor:
        return case.aggregate(case.message(x.index_select(0, source), edge), target, size, parameter)

    def forced(name: str) -> Contender:
        def run(x: Tensor, edge: Tensor | None, parameter: Tensor | None) -> Tensor:
            with ops.backend(name):
                return case.ours(x, graph, edge, parameter)

        return run

    out: dict[str, Contender] = {"graphkit native": forced("native"), "graphkit torch": forced("torch")}
    if torch_geometric.typing.WITH_TORCH_SCATTER:
        out["PyG + torch_scatter"] = pyg

        def without(x: Tensor, edge: Tensor | None, parameter: Tensor | None) -> Tensor:
            torch_geometric.typing.WITH_TORCH_SCATTER = False
            try:
                return pyg(x, edge, parameter)
            finally:
                torch_geometric.typing.WITH_TORCH_SCATTER = True

        out["PyG"] = without
    else:
        out["PyG"] = pyg
    if case.aggregate is _sum and case.edge is None:
        csr = torch.sparse_csr_tensor(
            graph.csc.ptr, graph.csc.index, torch.ones(graph.num_edges), size=graph.size[::-1], check_invariants=False
        )
        out["torch CSR product"] = lambda x, edge, parameter: csr @ x
    return out | _dgl(case, graph)


def _dgl(case: Case, graph: Graph) -> dict[str, Contender]:
    try:
        import dgl
    except ImportError:
        return {}
    source, target = graph.edge_index.unbind()
    other = dgl.graph((source, target), num_nodes=graph.num_nodes)
    other.create_formats_()
    function = dgl.function

    def gspmm(x: Tensor, edge: Tensor | None, _: Tensor | None) -> Tensor:
        with other.local_scope():
            other.ndata["x"] = x
            if edge is None:
                other.update_all(function.copy_u("x", "m"), function.sum("m", "y"))
            else:
                other.edata["w"] = edge[:, None]
                other.update_all(function.u_mul_e("x", "w", "m"), function.sum("m", "y"))
            return other.ndata["y"]

    def softmax(x: Tensor, edge: Tensor | None, t: Tensor | None) -> Tensor:
        with other.local_scope():
            message = case.message(x.index_select(0, source), edge)
            other.edata["m"] = message * dgl.nn.functional.edge_softmax(other, message * t)
            other.update_all(function.copy_e("m", "m"), function.sum("m", "y"))
            return other.ndata["y"]

    if case.aggregate is _pyg_softmax:
        return {"DGL": softmax}
    if case.aggregate is _sum and case.edge != "attr":
        return {"DGL": gspmm}
    return {}


def floor_bytes(case: Case, graph: Graph, width: int, backward: bool) -> int:
    """Bytes that must move: each input read once, each output written once, per pass; float32 and int32 indices."""
    nodes, edges = (graph.num_src + graph.num_dst) * width * 4, graph.num_edges
    edge = {None: 0, "weight": edges * 4, "attr": edges * width * 4}[case.edge]
    index = edges * (8 if case.edge else 4) + graph.num_dst * 4
    forward = nodes + edge + index
    # Backward reads the inputs, the output and its gradient, and writes the gradients of the inputs.
    return forward + (forward + nodes + edge if backward else 0)
