from __future__ import annotations

from functools import reduce

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from graphkit import Graph, ops
from graphkit.ops import tree

LENGTHS = [3, 0, 1, 7, 16, 2, 0, 5]
INDEX = torch.arange(len(LENGTHS)).repeat_interleave(torch.tensor(LENGTHS))


def affine(a: Tensor, b: Tensor, w: Tensor, v: Tensor) -> Tensor:
    """Neither commutative nor associative, so that every mistake of order shows."""
    return torch.tanh(a @ w + b @ v) + 0.1 * a


def fold(rows: list[Tensor], combine) -> Tensor:
    while len(rows) > 1:
        odd = [rows[-1]] if len(rows) % 2 else []
        rows = [
            combine(a[None], b[None])[0] for a, b in zip(rows[0 : len(rows) - 1 : 2], rows[1::2], strict=False)
        ] + odd
    return rows[0]


@pytest.fixture
def data():
    torch.manual_seed(1)
    x = torch.randn(INDEX.numel(), 4, dtype=torch.float64)
    weights = tuple(torch.randn(4, 4, dtype=torch.float64) / 2 for _ in range(2))
    return x, weights, torch.randperm(INDEX.numel())


@pytest.fixture(params=["one block", "many blocks"])
def blocks(request, monkeypatch):
    if request.param == "many blocks":
        monkeypatch.setattr(tree, "block_rows", lambda x: 3)


@pytest.mark.usefixtures("blocks")
def test_equals_a_loop_over_segments_with_gradients(data):
    x, weights, perm = data
    x, index = x[perm], INDEX[perm]
    graph = Graph.from_segments(index, len(LENGTHS))
    leaves = [t.clone().requires_grad_() for t in (x, *weights)]
    out = ops.tree_reduce(leaves[0], graph, affine, leaves[1:])
    grads = torch.autograd.grad(out.sin().sum(), leaves)

    other = [t.clone().requires_grad_() for t in (x, *weights)]
    expected = torch.stack([
        fold(list(other[0][index == s]), lambda a, b: affine(a, b, *other[1:])) if length else torch.zeros(4).double()
        for s, length in enumerate(LENGTHS)
    ])  # fmt: skip
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    for a, b in zip(grads, torch.autograd.grad(expected.sin().sum(), other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    with ops.backend("reference"):
        torch.testing.assert_close(ops.tree_reduce(x, graph, affine, weights), out, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("blocks")
def test_all_rows_have_gradients(data):
    x, weights, _ = data
    graph = Graph.from_segments(INDEX, len(LENGTHS))
    grads = []
    for name in ("torch", "reference"):
        leaves = [t.clone().requires_grad_() for t in (x, *weights)]
        with ops.backend(name):
            rows = ops.tree_rows(leaves[0], graph, affine, leaves[1:])
        assert rows.shape == (2 * INDEX.numel() - 6, 4)
        roots = ops.tree_roots(rows, graph)
        torch.testing.assert_close(roots, ops.tree_reduce(x, graph, affine, weights), rtol=0, atol=0)
        grads.append(torch.autograd.grad(rows.sin().sum() + roots.square().sum(), leaves))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_number_of_applications():
    calls = []

    def counting(a: Tensor, b: Tensor) -> Tensor:
        calls.append(a.size(0))
        return a + b

    graph = Graph.from_segments(INDEX, len(LENGTHS))
    ops.tree_reduce(torch.ones(INDEX.numel(), 1), graph, counting)
    assert sum(calls) == INDEX.numel() - 6
    assert len(calls) == 4  # ceil(log2(16)) levels, one block each


@pytest.mark.parametrize("order", ["given", "reversed", "shuffled"])
@pytest.mark.parametrize(("reduce", "combine"), [("sum", torch.add), ("max", torch.maximum), ("prod", torch.mul)])
def test_a_monoid_folds_to_its_scatter_in_every_order(data, order, reduce, combine):
    x = data[0]
    graph = Graph.from_segments(INDEX, len(LENGTHS))
    shuffled = data[2][torch.sort(INDEX[data[2]], stable=True).indices]
    backwards = torch.arange(INDEX.numel()).flip(0)
    backwards = backwards[torch.sort(INDEX[backwards], stable=True).indices]
    leaves = {"given": None, "reversed": backwards, "shuffled": shuffled}[order]
    out = ops.tree_reduce(x, graph, combine, order=leaves, identity=torch.tensor(1.0 if reduce == "prod" else 0.0))
    torch.testing.assert_close(out, ops.scatter(x, INDEX, len(LENGTHS), reduce))


def test_gradients_of_both_orders(data):
    index = torch.tensor([2, 0, 2, 2, 0, 2])
    graph = Graph.from_segments(index, 4)
    leaves = [data[0][:6, :2].clone(), *(w[:2, :2].clone() for w in data[1]), torch.randn(2).double()]

    def function(x: Tensor, w: Tensor, v: Tensor, e: Tensor) -> Tensor:
        return ops.tree_reduce(x, graph, affine, (w, v), identity=e)

    leaves = [leaf.requires_grad_() for leaf in leaves]
    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


def test_transforms_of_torch_func(data):
    graph = Graph.from_segments(INDEX, len(LENGTHS))
    x, weights, _ = data

    def loss(w: Tensor) -> Tensor:
        return ops.tree_reduce(x, graph, affine, (w, weights[1])).sum()

    leaf = weights[0].clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(weights[0]), expected)
    both = torch.func.vmap(loss)(torch.stack([weights[0], weights[1]]))
    torch.testing.assert_close(both, torch.stack([loss(weights[0]), loss(weights[1])]))


def test_backward_is_the_same_at_every_run_and_saves_rows_alone(data):
    torch.manual_seed(0)
    index = torch.randint(50, (4000,))
    graph = Graph.from_segments(index, 50)
    x = torch.randn(4000, 8)
    w = torch.randn(8, 8, requires_grad=True)
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():
            saved[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    runs = []
    for _ in range(2):
        leaf = x.clone().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            out = ops.tree_reduce(leaf, graph, affine, (w, w))
        runs.append(torch.autograd.grad(out.sum(), [leaf, w]))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    rows = ops.tree_rows(x, graph, affine, (w.detach(), w.detach()))
    assert max(saved.values()) == rows.numel() < 2 * x.numel()


def test_frozen_and_unused_parameters_and_rows(data):
    graph = Graph.from_segments(INDEX, len(LENGTHS))
    w = torch.ones(4).double().requires_grad_()
    unused = torch.ones(4).double().requires_grad_()
    out = ops.tree_reduce(data[0], graph, lambda a, b, w, u: a * w, (w, unused))
    grad_w, grad_unused = torch.autograd.grad(out.sum(), [w, unused])
    assert grad_w.abs().sum() > 0
    assert grad_unused.tolist() == [0.0] * 4
    x = data[0].clone().requires_grad_()
    first = ops.tree_reduce(x, graph, lambda a, b: a)
    (grad,) = torch.autograd.grad(first.sum(), x)
    assert grad[:, 0].tolist() == [float(INDEX[e] != INDEX[e - 1]) if e else 1.0 for e in range(INDEX.numel())]
    with torch.no_grad():
        assert not ops.tree_reduce(x, graph, torch.add).requires_grad


@pytest.mark.parametrize("features", [(), (3,), (2, 3), (0,)])
def test_rows_of_any_shape(features):
    x = torch.randn(INDEX.numel(), *features)
    graph = Graph.from_segments(INDEX, len(LENGTHS))
    out = ops.tree_reduce(x, graph, torch.add)
    assert out.shape == (len(LENGTHS), *features)
    for s in range(len(LENGTHS)):
        rows = list(x[s == INDEX])
        torch.testing.assert_close(out[s], reduce(torch.add, rows) if rows else torch.zeros(features))


def test_errors(data):
    x = data[0]
    graph = Graph.from_segments(INDEX, len(LENGTHS))
    with pytest.raises(TypeError, match="'graph' must be"):
        ops.tree_reduce(x, INDEX, torch.add)
    with pytest.raises(ValueError, match="one row per edge of the graph, 34"):
        ops.tree_reduce(x[:5], graph, torch.add)
    with pytest.raises(ValueError, match="'combine' must keep the shape and dtype"):
        ops.tree_reduce(x, graph, lambda a, b: a[:, :2])
    with pytest.raises(ValueError, match="'combine' must keep the shape and dtype"):
        ops.tree_reduce(x, graph, lambda a, b: a.float())
    with pytest.raises(ValueError, match="'order' must be an integer vector"):
        ops.tree_reduce(x, graph, torch.add, order=torch.arange(3))
