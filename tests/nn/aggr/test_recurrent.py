from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.nn import GRUAggregation as PyGGRU
from torch_geometric.nn import LSTMAggregation as PyGLSTM

from graphkit.nn import GRUAggregation, LSTMAggregation, SoftmaxAggregation

GOLDEN = Path(__file__).parents[2] / "golden" / "lcm"
PAIRS = {"gru": (GRUAggregation, PyGGRU), "lstm": (LSTMAggregation, PyGLSTM)}


def arrays(name: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / f"recurrent_{name}.npz") as file:
        return {key: torch.from_numpy(value) for key, value in file.items()}


@pytest.mark.parametrize("name", PAIRS)
def test_golden(name):
    golden = arrays(name)
    aggr = PAIRS[name][0](4, 6).double()
    state = {f"{name}.{key.removeprefix(f'{name}_')}": value for key, value in golden.items() if key.startswith(name)}
    aggr.load_state_dict(state, strict=True)
    out = aggr(golden["x"], golden["index"], dim_size=12)
    torch.testing.assert_close(out, golden["out_ideal"], rtol=1e-12, atol=1e-12)
    assert (golden["out_pyg_batched"] - out).abs().max() > 0.3  # PyG reads the padding too


@pytest.mark.parametrize("name", PAIRS)
def test_is_pyg_on_each_group_alone_with_gradients(name):
    ours_type, theirs_type = PAIRS[name]
    theirs, ours = theirs_type(4, 3).double(), ours_type(4, 3).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    index = torch.tensor([3, 0, 3, 1, 0, 3, 1, 1, 5, 3])
    x = torch.randn(10, 4).double()
    grads = []
    for alone in (False, True):
        leaf = x.clone().requires_grad_()
        aggr = theirs if alone else ours
        if alone:
            rows = [leaf[index == group] for group in range(6)]
            parts = [
                theirs(part, torch.zeros(len(part), dtype=torch.long)) if len(part) else x.new_zeros(1, 3)
                for part in rows
            ]
            out = torch.cat(parts)
        else:
            out = ours(leaf, index)
        grads.append((out, *torch.autograd.grad(out.sin().sum(), [leaf, *aggr.parameters()])))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)
    assert str(ours) == str(theirs)


@pytest.mark.parametrize("name", PAIRS)
def test_layouts_and_nothing(name):
    aggr = PAIRS[name][0](4, 3)
    x, index = torch.randn(6, 4), torch.tensor([0, 0, 2, 2, 2, 3])
    expected = aggr(x, index, dim_size=5)
    torch.testing.assert_close(aggr(x, ptr=torch.tensor([0, 2, 2, 5, 6, 6])), expected)
    batched = aggr(torch.stack([x, 2 * x]), index, dim_size=5)
    torch.testing.assert_close(batched, torch.stack([expected, aggr(2 * x, index, dim_size=5)]))
    assert expected[1].tolist() == expected[4].tolist() == [0.0] * 3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(aggr(x, index, dim_size=5), expected, rtol=0, atol=0)
    empty = aggr(x[:0], index[:0], dim_size=2)
    assert empty.tolist() == [[0.0] * 3] * 2
    empty.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in aggr.parameters())
    with pytest.raises(ValueError, match="one row per edge"):
        aggr(x[:3], index)
    assert aggr(x, index).shape == SoftmaxAggregation()(x[:, :3], index).shape
