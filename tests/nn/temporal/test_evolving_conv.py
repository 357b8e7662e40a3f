"""Any convolution with weights that evolve."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import GATConv, SAGEConv

from graphkit.nn import EvolvingConv, SheafConv
from graphkit.nn.temporal import EvolveState, MatrixGRU

EDGES = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


@pytest.mark.parametrize(
    "make", [lambda: SAGEConv(4, 6), lambda: GATConv(4, 6, heads=2), lambda: SheafConv(4, 6, stalk_dim=2)]
)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_two_training_steps_over_three_snapshots(make, cell: str) -> None:
    layer, xs = EvolvingConv(make(), cell), torch.randn(3, 3, 4)
    optimizer = torch.optim.Adam(layer.parameters(), 0.05)
    losses = []
    for _ in range(6):
        state, loss = None, torch.zeros(())
        for x in xs:
            out, state = layer(x, EDGES, state=state)
            loss = loss + (out - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(p.grad is not None for p in layer.parameters())


def test_the_weights_are_those_of_the_cell() -> None:
    conv = SAGEConv(4, 6)
    layer = EvolvingConv(conv, evolve=lambda name, parameter: name == "lin_l.weight")
    x, own = torch.randn(3, 4), conv.lin_l.weight.detach().clone()
    out, state = layer(x, EDGES)
    assert conv.lin_l.weight.equal(own)  # the layer's own stay where they are
    assert list(state) == ["lin_l.weight"]
    (expected,) = layer.cells["lin_l-weight"](EvolveState(own.t()[None]))
    assert isinstance(layer.cells["lin_l-weight"], MatrixGRU)
    conv.lin_l.weight.data = expected.weight[0].t().detach()
    torch.testing.assert_close(out, conv(x, EDGES))
    assert not EvolvingConv.detach(state)["lin_l.weight"].weight.requires_grad


def test_errors() -> None:
    with pytest.raises(ValueError, match="is lazy"):
        EvolvingConv(SAGEConv(-1, 6))
    with pytest.raises(ValueError, match="a weight matrix that evolves"):
        EvolvingConv(SAGEConv(4, 6), evolve=lambda name, parameter: False)
    with pytest.raises(ValueError, match="'state' must be of"):
        EvolvingConv(SAGEConv(4, 6))(torch.randn(3, 4), EDGES, state={})
