"""Graphs, maps and options shared by the tests of the sheaf operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from graphkit import Graph, ops

BACKENDS = ("reference", "torch", "native")
KINDS = ("diagonal", "bundle", "general")
NORMALIZATIONS: dict[str, dict[str, Any]] = {
    "plain": {"normalized": False},
    "normalized": {"normalized": True},
    "not augmented": {"normalized": True, "augmented": False},
    "degree": {"normalized": "degree"},
}


def undirected(num_nodes: int = 12, num_edges: int = 20, seed: int = 0, *, loops: bool = True) -> Graph:
    """Both directions of random edges, shuffled: with a hub, copies, self loops, leaves and two isolated nodes."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, num_nodes - 2, (2, num_edges), generator=generator)
    edges[0, : num_edges // 3] = 1
    edges = edges[:, edges[0] != edges[1]]
    edges = torch.cat([edges, edges[:, -3:]], 1)
    edges = torch.cat([edges, edges.flip(0)], 1)
    if loops:
        edges = torch.cat([edges, torch.tensor([[2, 1, 2], [2, 1, 2]])], 1)
    return Graph.from_edge_index(edges[:, torch.randperm(edges.size(1), generator=generator)], num_nodes)


def simple(num_nodes: int = 10, num_edges: int = 25, seed: int = 0) -> Graph:
    """Both directions of distinct random edges, shuffled."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.combinations(torch.arange(num_nodes - 1))
    edges = pairs[torch.randperm(len(pairs), generator=generator)[:num_edges]].T
    edges = torch.cat([edges, edges.flip(0)], 1)
    return Graph.from_edge_index(edges[:, torch.randperm(edges.size(1), generator=generator)], num_nodes)


def draw_maps(kind: str, graph: Graph, d: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    """Restriction maps with entries in [-1, 1]; of a bundle, orthogonal ones."""
    generator = torch.Generator().manual_seed(seed)
    shape = (graph.num_edges, d) if kind == "diagonal" else (graph.num_edges, d, d)
    maps = 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1
    return (torch.linalg.qr(maps).Q.contiguous() if kind == "bundle" else maps).to(dtype)


def options(kind: str, name: str) -> dict[str, Any]:
    """Keyword arguments of :func:`graphkit.ops.sheaf_laplacian`."""
    return {**NORMALIZATIONS[name], "orthogonal": kind == "bundle"}


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 2) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def gradients(out: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """Of a fixed linear functional of ``out``."""
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return list(torch.autograd.grad((out * weights).sum(), leaves, materialize_grads=True, allow_unused=True))


def run_all(
    graph: Graph, kind: str, d: int, features: tuple[int, ...], dtype: torch.dtype, weighted: bool, **given: Any
) -> list[Tensor]:
    """The output and its gradients to ``x``, ``maps`` and (``weighted``) ``edge_weight``."""
    x = draw(graph.num_nodes, d, *features, dtype=dtype).requires_grad_()
    leaves = [x, draw_maps(kind, graph, d, dtype).requires_grad_()]
    weight = None
    if weighted:
        weight = draw(graph.num_edges, dtype=dtype, seed=3).abs().requires_grad_()
        leaves.append(weight)
    out = ops.sheaf_laplacian(x, graph, leaves[1], edge_weight=weight, **given)
    return [out, *gradients(out, leaves)]


def edge_by_edge(graph: Graph, maps: Tensor, weight: Tensor | None = None) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """``u, v, F_u, F_v`` of every undirected edge that is no self loop, the weight's root in both maps."""
    full = maps.diag_embed() if maps.dim() == 2 else maps
    for e, (u, v) in enumerate(graph.edge_index.T.tolist()):
        partner = int(graph.reverse[e])
        if u < v and partner >= 0:
            root = 1.0 if weight is None else float((weight[e] + weight[partner]) / 2) ** 0.5
            yield u, v, root * full[e], root * full[partner]


def dense_laplacian(graph: Graph, maps: Tensor, weight: Tensor | None = None) -> Tensor:
    """``delta^T delta`` with the coboundary written out, ``[N d, N d]``."""
    d, rows = maps.size(1), []
    for u, v, own, other in edge_by_edge(graph, maps, weight):
        delta = torch.zeros(d, graph.num_nodes, d, dtype=maps.dtype)
        delta[:, u], delta[:, v] = own, -other
        rows.append(delta.flatten(1))
    delta = torch.cat([torch.zeros(0, graph.num_nodes * d, dtype=maps.dtype), *rows])
    return delta.T @ delta


def assert_near(got: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    """Each tensor equals its partner to ``tolerance`` relative to the partner's largest entry."""
    for number, (a, b) in enumerate(zip(got, expected, strict=True)):
        scale = max(1.0, b.double().abs().max().item() if b.numel() else 1.0)
        error = (a.double() - b.double()).abs().max().item() if b.numel() else 0.0
        assert a.shape == b.shape
        assert error <= tolerance * scale, f"tensor {number}: error {error:.2e} over {tolerance * scale:.2e}"
