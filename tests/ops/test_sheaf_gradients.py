"""Gradients of the sheaf Laplacian, first and second, and torch's transformations of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit import Graph, ops
from tests.ops.sheaf_cases import (
    BACKENDS,
    KINDS,
    NORMALIZATIONS,
    assert_near,
    draw,
    draw_maps,
    gradients,
    options,
    undirected,
)

kinds = pytest.mark.parametrize("kind", KINDS)
backends = pytest.mark.parametrize("backend", BACKENDS)
fast_backends = pytest.mark.parametrize("backend", BACKENDS[1:])
normalizations = pytest.mark.parametrize("name", NORMALIZATIONS)


def _function(graph: Graph, kind: str, name: str):  # type: ignore[no-untyped-def]
    """Of x, parameters of the maps and weights; a bundle's maps stay orthogonal, as its normaliser supposes."""
    chosen = options(kind, name)

    def function(x: Tensor, theta: Tensor, weight: Tensor) -> Tensor:
        maps = torch.matrix_exp(theta - theta.mT) if kind == "bundle" else theta
        return ops.sheaf_laplacian(x, graph, maps, edge_weight=weight, **chosen)

    return function


@backends
@kinds
@normalizations
def test_gradcheck(backend: str, kind: str, name: str) -> None:
    graph = undirected(6, 5)
    inputs = (draw(6, 2, 2), draw_maps("diagonal" if kind == "diagonal" else "general", graph, 2),
              draw(graph.num_edges, seed=3).abs() + 0.1)  # fmt: skip
    for t in inputs:
        t.requires_grad_()
    with ops.backend(backend):
        assert torch.autograd.gradcheck(_function(graph, kind, name), inputs, atol=1e-5, rtol=1e-3)


@backends
@pytest.mark.parametrize("kind", ["diagonal", "general"])
@pytest.mark.parametrize("name", ["plain", "normalized"])
def test_second_derivatives(backend: str, kind: str, name: str) -> None:
    graph = undirected(5, 4, loops=False)
    inputs = (draw(5, 2, 1), draw_maps(kind, graph, 2), draw(graph.num_edges, seed=3).abs() + 0.1)
    for t in inputs:
        t.requires_grad_()
    with ops.backend(backend):
        assert torch.autograd.gradgradcheck(_function(graph, kind, name), inputs, atol=1e-5, rtol=1e-3)


@backends
@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_gradients_are_finite_at_singular_maps(backend: str, augmented: bool, d: int) -> None:
    """Zero maps, maps of rank one, and equal eigenvalues, where a gradient through eigh is NaN."""
    graph = undirected()
    same = torch.eye(d, dtype=torch.float64).expand(graph.num_edges, d, d)
    rank_one = draw(graph.num_edges, d, 1) * draw(graph.num_edges, 1, d, seed=4)
    for maps in (0 * same, same, 2 * same, rank_one):
        x, leaf = draw(12, d, 3).requires_grad_(), maps.clone().requires_grad_()
        with ops.backend(backend):
            out = ops.sheaf_laplacian(x, graph, leaf, normalized=True, augmented=augmented)
            assert all(g.isfinite().all() for g in gradients(out, [x, leaf]))
    if augmented:
        x, maps = draw(5, d, 1).requires_grad_(), torch.zeros(10, d, d, dtype=torch.float64, requires_grad=True)
        path = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2, 2, 3, 3, 0, 2, 0], [1, 0, 2, 1, 3, 2, 0, 3, 0, 2]]), 5)
        with ops.backend(backend):
            assert torch.autograd.gradcheck(lambda x, m: ops.sheaf_laplacian(x, path, m + 1e-1, normalized=True),
                                            (x, maps))  # fmt: skip


@fast_backends
@kinds
@pytest.mark.parametrize("name", ["plain", "normalized"])
def test_backward_saves_nothing_of_edges_times_features(backend: str, kind: str, name: str) -> None:
    half = torch.randint(0, 20, (2, 500), generator=torch.Generator().manual_seed(0))
    graph = Graph.from_edge_index(torch.cat([half, half.flip(0)], 1), 20)
    x, maps = draw(20, 3, 8).requires_grad_(), draw_maps(kind, graph, 3).requires_grad_()
    ops.sheaf_laplacian(x, graph, maps)  # what the graph keeps is not the call's
    shared = {t.data_ptr() for t in (*graph.csr, graph.reverse, x, maps)}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in shared and tensor.numel() != graph.num_edges:  # the pairs
            saved[tensor.data_ptr()] = tensor.numel()
        return tensor

    with ops.backend(backend), torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        assert ops.sheaf_laplacian(x, graph, maps, **options(kind, name)).requires_grad
    assert sum(saved.values()) <= 4 * x.numel(), saved


# In torch's transformations ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@fast_backends
@kinds
def test_compiles_without_graph_break(backend: str, kind: str) -> None:
    torch.compiler.reset()
    graph = undirected()
    x, maps = draw(12, 3, 4).requires_grad_(), draw_maps(kind, graph, 3).requires_grad_()
    weight = draw(graph.num_edges, seed=3).abs().requires_grad_()

    def run(x: Tensor, maps: Tensor, weight: Tensor, graph: Graph) -> Tensor:
        return ops.sheaf_laplacian(x, graph, maps, edge_weight=weight, **options(kind, "normalized"))

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    leaves = [x, maps, weight]
    with ops.backend(backend):
        expected = run(*leaves, graph)
        got = compiled(*leaves, Graph.from_edge_index(graph.edge_index, 12))
        assert_near([got, *gradients(got, leaves)], [expected, *gradients(expected, leaves)], 1e-12)
        with pytest.raises(ValueError, match="needs its reverse"):
            compiled(
                x.detach(), maps.detach()[:1], weight.detach()[:1], Graph.from_edge_index(torch.tensor([[0], [1]]), 12)
            )


def test_torch_func() -> None:
    graph = undirected()
    x, maps = draw(12, 3, 4), draw_maps("general", graph, 3)
    batch = torch.stack([maps, 2 * maps, -maps])

    def run(maps: Tensor) -> Tensor:
        return ops.sheaf_laplacian(x, graph, maps, normalized=True, augmented=True)

    torch.testing.assert_close(torch.func.vmap(run)(batch), torch.stack([run(m) for m in batch]))
    leaf = maps.clone().requires_grad_()
    (expected,) = torch.autograd.grad(run(leaf).square().sum(), leaf)
    torch.testing.assert_close(torch.func.grad(lambda m: run(m).square().sum())(maps), expected)
