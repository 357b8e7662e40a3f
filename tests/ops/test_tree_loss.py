from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from graphkit import Graph, ops
from graphkit.ops import tree_loss

LENGTHS = [3, 0, 1, 7, 16, 2, 4]
INDEX = torch.arange(len(LENGTHS)).repeat_interleave(torch.tensor(LENGTHS))
GRAPH = Graph.from_segments(INDEX, len(LENGTHS))


def affine(a: Tensor, b: Tensor, w: Tensor, v: Tensor) -> Tensor:
    return torch.tanh(a @ w + b @ v)


@pytest.fixture
def data():
    torch.manual_seed(1)
    x = torch.randn(INDEX.numel(), 4, dtype=torch.float64)
    return x, tuple(torch.randn(4, 4, dtype=torch.float64) / 2 for _ in range(2))


def by_hand(rows: list[Tensor], op) -> tuple[list[Tensor], list[Tensor]]:
    """Terms of associativity and of commutativity of one tree; a node is (value, left, right)."""
    nodes = [(row, None, None) for row in rows]
    assoc, comm = [], []
    while len(nodes) > 1:
        above = []
        for left, right in zip(nodes[0 : len(nodes) - 1 : 2], nodes[1::2], strict=True):
            comm.append((op(left[0], right[0]) - op(right[0], left[0])).square().sum())
            triples = []
            if left[1] is not None:
                triples.append((left[1][0], left[2][0], right[0] if right[1] is None else right[1][0]))
                if right[1] is not None:
                    triples.append((left[2][0], right[1][0], right[2][0]))
            assoc += [(op(a, op(b, c)) - op(op(a, b), c)).square().sum() for a, b, c in triples]
            above.append((op(left[0], right[0]), left, right))
        nodes = above + ([nodes[-1]] if len(nodes) % 2 else [])
    return assoc, comm


@pytest.mark.parametrize("block", [2, 1000])
def test_terms_are_those_of_a_loop(data, block, monkeypatch):
    monkeypatch.setattr(tree_loss, "block_rows", lambda x: block)
    grads = []
    for hand in (False, True):
        x, *weights = leaves = [t.clone().requires_grad_() for t in (data[0], *data[1])]
        if hand:
            found = [
                by_hand(list(x[s == INDEX]), partial(affine, w=weights[0], v=weights[1])) for s in range(len(LENGTHS))
            ]
            totals = [
                torch.stack([torch.stack(pair[i]).sum() if pair[i] else x.new_zeros(()) for pair in found])
                for i in (0, 1)
            ]
            numbers = [[len(pair[i]) for pair in found] for i in (0, 1)]
        else:
            rows = ops.tree_rows(x, GRAPH, affine, weights)
            both = [f(rows, GRAPH, affine, weights) for f in (ops.tree_associativity, ops.tree_commutativity)]
            totals, numbers = [terms.total for terms in both], [terms.number.tolist() for terms in both]
        loss = (totals[0].sin() + totals[1].cos()).sum()
        grads.append((numbers, totals, torch.autograd.grad(loss, leaves)))
    assert grads[0][0] == grads[1][0]
    assert grads[0][0][0][LENGTHS.index(16)] == 14
    for part in (1, 2):
        for a, b in zip(grads[0][part], grads[1][part], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_means_over_terms_and_then_over_trees_that_have_one():
    terms = ops.TreeTerms(torch.tensor([6.0, 0.0, 1.0]), torch.tensor([3, 0, 1]))
    assert terms.mean().item() == 1.5
    assert ops.TreeTerms(torch.zeros(2), torch.zeros(2, dtype=torch.long)).mean().item() == 0


@pytest.mark.parametrize("combine", [torch.add, torch.maximum])
def test_a_commutative_monoid_has_no_defect(data, combine):
    rows = ops.tree_rows(data[0], GRAPH, combine)
    for loss in (ops.tree_associativity, ops.tree_commutativity):
        torch.testing.assert_close(loss(rows, GRAPH, combine).mean(), torch.zeros(()).double(), rtol=0, atol=1e-28)


def test_a_fraction_of_the_nodes(data):
    rows = ops.tree_rows(data[0], GRAPH, affine, data[1])
    every = ops.tree_associativity(rows, GRAPH, affine, data[1])
    torch.manual_seed(0)
    numbers = torch.stack(
        [ops.tree_associativity(rows, GRAPH, affine, data[1], fraction=0.3).number for _ in range(200)]
    )
    assert (numbers <= every.number).all()
    torch.testing.assert_close(numbers.double().mean(0), 0.3 * every.number.double(), rtol=0.3, atol=0.1)


def test_no_terms(data):
    graph = Graph.from_segments(torch.tensor([0, 2, 2]), 3)
    rows = ops.tree_rows(data[0][:3], graph, affine, data[1])
    terms = ops.tree_associativity(rows, graph, affine, data[1])
    assert terms.number.tolist() == terms.total.tolist() == [0, 0, 0]
    graph = Graph.from_segments(torch.empty(0, dtype=torch.long), 2)
    assert ops.tree_commutativity(data[0][:0], graph, affine, data[1]).mean() == 0


def test_gradients_of_both_orders(data):
    graph = Graph.from_segments(torch.zeros(5, dtype=torch.long), 1)

    def function(x: Tensor, w: Tensor, v: Tensor) -> Tensor:
        rows = ops.tree_rows(x, graph, affine, (w, v))
        return ops.tree_associativity(rows, graph, affine, (w, v)).total

    leaves = [t.clone().requires_grad_() for t in (data[0][:5, :2], *(w[:2, :2] for w in data[1]))]
    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)
