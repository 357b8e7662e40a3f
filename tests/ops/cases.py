"""Graphs, operators and tolerances shared by the operator tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit import Graph, ops

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 4e-2, torch.float16: 5e-3}


def multigraph(num_src: int = 40, num_dst: int = 30, seed: int = 0) -> Graph:
    """A bipartite multigraph with a hub, isolated nodes on both sides and repeated edges."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(0, num_src - 5, (200,), generator=generator)
    target = torch.randint(0, num_dst - 5, (200,), generator=generator)
    target[:60] = 3
    source[100:130] = 2
    edges = torch.stack([source, target])
    return Graph.from_edge_index(torch.cat([edges, edges[:, 40:60]], dim=1), (num_src, num_dst))


def square_graph(num_nodes: int = 8, num_edges: int = 24, seed: int = 0) -> Graph:
    """A small graph with self loops, multi-edges and two isolated nodes."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, num_nodes - 2, (2, num_edges), generator=generator)
    edges[:, 0] = 1
    return Graph.from_edge_index(edges, num_nodes)


@dataclass(frozen=True)
class Operator:
    """A graph operator with its edge operand and parameter, called as ``run(x, graph, edge, parameter)``."""

    name: str
    run: Callable[[Tensor, Graph, Tensor | None, Tensor | None], Tensor]
    edge: str | None = None  # "weight", "attr" or None
    parameter: float | None = None
    positive: bool = False  # messages are taken as they are and must be positive


def _gather(message: str, reduce: str, edge: str | None) -> Operator:
    def run(x: Tensor, graph: Graph, e: Tensor | None, _: Tensor | None) -> Tensor:
        operand = {"weight": {"edge_weight": e}, "attr": {"edge_attr": e}, None: {}}[edge]
        return ops.gather_reduce(x, graph, message=message, reduce=reduce, eps=1e-3, **operand)

    return Operator(f"{message}_{edge}_{reduce}", run, edge)


def _softmax(t: float, edge: str | None, semi_grad: bool, message: str = "add_relu") -> Operator:
    def run(x: Tensor, graph: Graph, e: Tensor | None, parameter: Tensor | None) -> Tensor:
        return ops.softmax_aggregate(x, graph, e, t=parameter, message=message, semi_grad=semi_grad)

    semi = "_semi" if semi_grad else ""
    return Operator(f"softmax_{message}_{edge}_t{t}{semi}", run, edge, t)


def _powermean(p: float, edge: str | None, message: str = "add_relu") -> Operator:
    def run(x: Tensor, graph: Graph, e: Tensor | None, parameter: Tensor | None) -> Tensor:
        return ops.powermean_aggregate(x, graph, e, p=parameter, message=message, eps=1e-2)

    return Operator(f"powermean_{message}_{edge}_p{p}", run, edge, p, positive=message == "copy")


REDUCTIONS = ("sum", "mean", "min", "max")
GATHER = [
    *(_gather("copy", reduce, None) for reduce in REDUCTIONS),
    *(_gather("mul", reduce, edge) for reduce in REDUCTIONS for edge in ("weight", "attr")),
    *(_gather("add_relu", reduce, edge) for reduce in REDUCTIONS for edge in (None, "attr")),
]
SOFTMAX = [
    *(_softmax(t, edge, False) for t in (-2.0, 0.0, 0.1, 1.0, 5.0) for edge in (None, "attr")),
    *(_softmax(1.5, edge, True) for edge in (None, "attr")),
    _softmax(1.5, None, False, "copy"),
]
POWERMEAN = [
    *(_powermean(p, edge) for p in (-3.0, -0.3, 0.0, 1e-7, 1e-3, 0.3, 1.0, 2.5, 12.0) for edge in (None, "attr")),
    *(_powermean(p, None, "copy") for p in (-1.0, 0.0, 2.0)),
]
OPERATORS = [*GATHER, *SOFTMAX, *POWERMEAN]
# One of each kind, for the slower properties.
SOME = [GATHER[0], GATHER[3], GATHER[4], GATHER[-1], SOFTMAX[6], SOFTMAX[7], POWERMEAN[12], POWERMEAN[13]]


def inputs(
    operator: Operator,
    graph: Graph,
    features: tuple[int, ...] = (7,),
    dtype: torch.dtype = torch.float64,
    seed: int = 1,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Leaves ``x, edge, parameter`` that ask for gradients."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = draw(graph.num_src, *features)
    x = (x.abs() + 0.1 if operator.positive else x).to(dtype).requires_grad_()
    edge = None
    if operator.edge is not None:
        shape = (graph.num_edges,) if operator.edge == "weight" else (graph.num_edges, *features)
        edge = draw(*shape).to(dtype).requires_grad_()
    parameter = None
    if operator.parameter is not None:
        accumulator = torch.float64 if dtype == torch.float64 else torch.float32
        parameter = torch.full((1,), operator.parameter, dtype=accumulator, requires_grad=True)
    return x, edge, parameter


def value_and_gradients(operator: Operator, graph: Graph, leaves: tuple[Tensor | None, ...]) -> list[Tensor]:
    """The output and the gradient of a fixed linear functional of it to every leaf (0 where there is none)."""
    x, edge, parameter = leaves
    out = operator.run(x, graph, edge, parameter)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    given = [leaf for leaf in leaves if leaf is not None]
    return [
        out,
        *torch.autograd.grad((out * weights).sum(), given, materialize_grads=True, allow_unused=True),
    ]


def assert_near(got: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    """Each tensor equals its partner to ``tolerance`` relative to the partner's largest entry."""
    for name, a, b in zip(("value", "x", "edge or parameter", "parameter"), got, expected, strict=False):
        assert a.dtype == b.dtype or a.dtype != torch.float64
        scale = max(1.0, b.double().abs().max().item() if b.numel() else 1.0)
        error = (a.double() - b.double()).abs().max().item() if b.numel() else 0.0
        assert error <= tolerance * scale, f"{name}: error {error:.2e} over {tolerance * scale:.2e}"
