"""LCM against arrays from PyG's layer on single segments and from an independent fold (tests/golden/lcm)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from graphkit import Graph, ops
from graphkit.nn import LCMAggregation
from graphkit.nn.aggr.monoids import Monoid, SymmetricGRU

GOLDEN = Path(__file__).parents[2] / "golden" / "lcm"
GRU = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def arrays(name: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: torch.from_numpy(value) for key, value in file.items()}


def same(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def layer(golden: dict[str, Tensor], project: bool = False) -> LCMAggregation:
    """With the golden weights under PyG's names, loaded strictly."""
    aggr = LCMAggregation(4 if project else 6, 6, project=project).double().eval()
    state = {f"gru_cell.{name}": golden[name] for name in GRU}
    if project:
        state |= {"lin.weight": golden["lin_weight"], "lin.bias": golden["lin_bias"]}
    aggr.load_state_dict(state, strict=True)
    return aggr


def operator(golden: dict[str, Tensor]) -> SymmetricGRU:
    op = SymmetricGRU(6).double()
    op.load_state_dict({name: golden[name] for name in GRU})
    return op


def test_operator():
    golden = arrays("operator")
    op = operator(golden)
    same(op(golden["op_a"], golden["op_b"]), golden["op_sym"])
    same((golden["op_gru_ab"] + golden["op_gru_ba"]) / 2, golden["op_sym"])
    zero = torch.zeros_like(golden["op_a"])
    same(op(golden["op_a"], zero), golden["op_a0"])
    assert not torch.allclose(golden["op_a0"], golden["op_a"])  # why nothing may be padded with zeros


@pytest.mark.parametrize("length", [1, 2, 4, 8, 16])
def test_is_pyg_where_all_segments_are_equally_long(length):
    golden = arrays("pyg_uniform_pow2")
    index = torch.arange(3).repeat_interleave(length)
    same(layer(golden)(golden[f"x_{length}"], index), golden[f"out_{length}"])


def test_ragged_values_and_gradients():
    golden = arrays("ragged")
    aggr = layer(golden)
    x = golden["x"].clone().requires_grad_()
    out = aggr(x, golden["index"], dim_size=12)
    same(out, golden["out_ideal"])
    assert (out[golden["lengths"] == 0] == 0).all()
    grads = torch.autograd.grad(out, [x, *aggr.parameters()], golden["upstream"])
    for name, grad in zip(("x", *GRU), grads, strict=True):
        same(grad, golden[f"grad_{name}"])
    # PyG's own result on the same batch, for the record: it differs where segments are shorter than the longest.
    assert (golden["out_pyg_batched"] - golden["out_ideal"]).abs().max() > 0.1


def test_projection():
    golden = arrays("ragged_project")
    aggr = layer(golden, project=True)
    assert aggr.lin is not None
    same(aggr.lin(golden["x"]).relu(), golden["projected"])
    same(aggr(golden["x"], golden["index"], dim_size=12), golden["out_ideal"])


def test_order_inside_segments():
    golden = arrays("permuted")
    index = torch.arange(12).repeat_interleave(golden["lengths"])
    aggr = layer(golden)
    same(aggr(golden["x"], index, dim_size=12), golden["out_ideal"])
    same(aggr(golden["x"][golden["perm"]], index, dim_size=12), golden["out_ideal_perm"])


def test_associativity_terms_and_their_gradients():
    golden = arrays("ragged")
    combine, parameters = Monoid.pure(operator(golden))  # of the parameters themselves, not of what they are made into
    graph = Graph.from_segments(golden["index"], 12)
    rows = ops.tree_rows(golden["x"], graph, combine, parameters)
    terms = ops.tree_associativity(rows, graph, combine, parameters)
    same(terms.total, golden["assoc_sum"])
    assert terms.number.tolist() == golden["assoc_count"].tolist()
    total = (terms.total / terms.number.clamp(min=1)).sum()
    same(total, golden["assoc_tree_mean_total"])
    same(terms.mean() * (terms.number > 0).sum(), total)
    for name, grad in zip(GRU, torch.autograd.grad(total, parameters), strict=True):
        same(grad, golden[f"grad_assoc_{name}"])


def test_commutativity_terms_of_one_gru():
    golden = arrays("ragged")
    combine, parameters = Monoid.pure(operator(golden))  # of the parameters themselves, not of what they are made into
    graph = Graph.from_segments(golden["index"], 12)
    rows = ops.tree_rows(golden["x"], graph, combine, parameters)
    terms = ops.tree_commutativity(rows, graph, torch.gru_cell, parameters)
    same(terms.total, golden["comm_unsym_sum"])
    assert terms.number.tolist() == golden["comm_count"].tolist()
    assert ops.tree_commutativity(rows, graph, combine, parameters).mean() == 0
