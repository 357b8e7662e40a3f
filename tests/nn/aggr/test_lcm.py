from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATConv, GINConv, GraphConv, MultiAggregation, SAGEConv
from torch_geometric.nn import LCMAggregation as PyGLCM

from graphkit.nn import BinaryOperator, GENConv, LCMAggregation
from graphkit.nn.aggr.monoids import Sum, SymmetricMLP

LENGTHS = [3, 0, 1, 7, 4]
INDEX = torch.arange(5).repeat_interleave(torch.tensor(LENGTHS))


class Raw(BinaryOperator):
    """Not commutative."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(8, 4)

    def combine(self, a, b):
        return torch.tanh(self.lin(torch.cat([a, b], dim=-1)))


@pytest.mark.parametrize("project", [True, False])
def test_is_pyg_on_each_group_alone_with_its_state(project):
    theirs = PyGLCM(4, 4, project=project).double()
    ours = LCMAggregation(4, 4, project=project).double().eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = torch.randn(INDEX.numel(), 4).double()
    out = ours(x, INDEX, dim_size=5)
    for group, length in enumerate(LENGTHS):
        rows = x[group == INDEX]
        if length:
            alone = theirs(rows, torch.zeros(length, dtype=torch.long))
            torch.testing.assert_close(out[group : group + 1], alone, rtol=1e-12, atol=1e-13)
        else:
            assert out[group].tolist() == [0.0] * 4
    assert (theirs(x, INDEX, dim_size=5) - out).abs().max() > 0.01  # PyG on the whole batch
    assert str(ours) == str(theirs)


def test_initial_values_are_torchs():
    torch.manual_seed(0)
    theirs = PyGLCM(400, 400)
    torch.manual_seed(0)
    ours = LCMAggregation(400, 400)
    for name, value in ours.state_dict().items():
        assert value.std().item() == pytest.approx(theirs.state_dict()[name].std().item(), rel=0.1), name


def test_a_huge_group_elsewhere_changes_nothing():
    aggr = LCMAggregation(4, 4).double().eval()
    x = torch.randn(INDEX.numel() + 500, 4).double()
    index = torch.cat([INDEX, torch.full((500,), 5)])
    alone = aggr(x[: INDEX.numel()], INDEX, dim_size=5)
    torch.testing.assert_close(aggr(x, index, dim_size=6)[:5], alone, rtol=0, atol=1e-15)


def test_learned_identity():
    aggr = LCMAggregation(4, 4, project=False, identity="learn").eval()
    assert aggr.identity is not None
    with torch.no_grad():
        aggr.identity.copy_(torch.arange(4.0))
    x = torch.randn(INDEX.numel(), 4)
    out = aggr(x, INDEX, dim_size=6)
    assert out[1].tolist() == out[5].tolist() == [0.0, 1.0, 2.0, 3.0]
    torch.testing.assert_close(out[2], x[3])
    out.sum().backward()
    assert aggr.identity.grad is not None
    assert aggr.identity.grad.tolist() == [2.0] * 4
    full = aggr(x[:3], INDEX[:3], dim_size=1)
    assert torch.autograd.grad(full.sum(), aggr.identity)[0].tolist() == [0.0] * 4
    aggr.reset_parameters()
    assert aggr.identity.tolist() == [0.0] * 4


def test_losses_in_training_alone_and_reset_by_every_call():
    x = torch.randn(INDEX.numel(), 4, requires_grad=True)
    plain = LCMAggregation(4, 4)
    plain(x, INDEX)
    assert plain.regularization_loss().item() == 0
    aggr = LCMAggregation(4, 4, assoc_weight=2.0, order="given")
    out = aggr(x, INDEX, dim_size=5)
    loss = aggr.regularization_loss()
    assert loss.item() > 0
    grads = torch.autograd.grad(loss, [x, *aggr.parameters()], retain_graph=True)
    assert all(grad.abs().sum() > 0 for grad in grads)
    aggr.assoc_weight = 1.0
    aggr(x, INDEX, dim_size=5)
    torch.testing.assert_close(aggr.regularization_loss(), loss / 2)
    aggr.eval()
    torch.testing.assert_close(aggr(x, INDEX, dim_size=5), out)
    assert aggr.regularization_loss().item() == 0


def test_commutativity_is_asked_of_raw_operators_alone():
    x = torch.randn(INDEX.numel(), 4)
    symmetric = LCMAggregation(4, 4, comm_weight=1.0)
    symmetric(x, INDEX)
    assert symmetric.regularization_loss().item() == 0
    aggr = LCMAggregation(4, 4, operator=Raw(), comm_weight=1.0)
    aggr(x, INDEX)
    first = aggr.regularization_loss()
    optimizer = torch.optim.Adam(aggr.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        aggr(x, INDEX)
        aggr.regularization_loss().backward()
        optimizer.step()
    assert aggr.regularization_loss() < first / 2


def test_sampled_associativity_has_the_same_mean():
    torch.manual_seed(0)
    x, index = torch.randn(256, 4), torch.zeros(256, dtype=torch.long)
    aggr = LCMAggregation(4, 4, assoc_weight=1.0, order="given")
    aggr(x, index)
    every = aggr.regularization_loss()
    aggr.assoc_fraction = 0.25
    sampled = []
    for _ in range(40):
        aggr(x, index)
        sampled.append(aggr.regularization_loss().detach())
    torch.testing.assert_close(torch.stack(sampled).mean(), every.detach(), rtol=0.15, atol=0)


def test_copies_and_pickles_after_a_step():
    aggr = LCMAggregation(4, 4, assoc_weight=1.0)
    x = torch.randn(INDEX.numel(), 4)
    aggr(x, INDEX)
    aggr.regularization_loss().backward()
    aggr.eval()
    for other in (copy.deepcopy(aggr), pickle.loads(pickle.dumps(aggr))):
        torch.testing.assert_close(other(x, INDEX), aggr(x, INDEX), rtol=0, atol=0)


@pytest.mark.parametrize("unsorted", [False, True])
def test_in_convolutions_of_pyg_and_ours(unsorted):
    edge_index = torch.tensor([[0, 1, 2, 3, 0, 4, 2], [1, 1, 1, 2, 0, 0, 0]])
    if unsorted:
        edge_index = edge_index[:, torch.tensor([6, 2, 3, 0, 4, 1, 5])]
    x = torch.randn(5, 4)
    aggr = LCMAggregation(4, 4).eval()
    for conv in (
        SAGEConv(4, 3, aggr=aggr),
        GraphConv(4, 3, aggr=aggr),
        GINConv(nn.Linear(4, 3), aggr=aggr),
        GENConv(4, 4, aggr=aggr, norm=None),
        SAGEConv(4, 3, aggr=MultiAggregation([aggr, "mean", "max"], mode="cat"), project=False),
    ):
        out = conv(x, edge_index)
        assert out.isfinite().all()
        out.sum().backward()
    assert isinstance(GATConv(4, 4, aggr=aggr).aggr_module, LCMAggregation)
    # The groups are the targets: SAGE without its linear maps.
    conv = SAGEConv(4, 4, aggr=aggr, root_weight=False, bias=False)
    with torch.no_grad():
        conv.lin_l.weight.copy_(torch.eye(4))
    torch.testing.assert_close(conv(x, edge_index), aggr(x[edge_index[0]], edge_index[1], dim_size=5))


def test_errors():
    with pytest.raises(ValueError, match="must be projected"):
        LCMAggregation(4, 5, project=False)
    with pytest.raises(ValueError, match="'identity'"):
        LCMAggregation(4, 4, identity="ones")
    with pytest.raises(ValueError, match="'assoc_weight'"):
        LCMAggregation(4, 4, assoc_weight=-1.0)
    with pytest.raises(ValueError, match="'comm_weight'"):
        LCMAggregation(4, 4, comm_weight=float("nan"))
    with pytest.raises(ValueError, match="'assoc_fraction'"):
        LCMAggregation(4, 4, assoc_fraction=0.0)
    with pytest.raises(TypeError, match=r"'operator' must be a graphkit\.nn\.BinaryOperator"):
        LCMAggregation(4, 4, operator=Sum())
    with pytest.raises(ValueError, match="unknown order"):
        LCMAggregation(4, 4, order="up")
    aggr = LCMAggregation(4, 6, operator=SymmetricMLP(6))
    with pytest.raises(ValueError, match="segments"):
        aggr(torch.randn(2, 4), torch.tensor([0, 5]), dim_size=2)
    with pytest.raises(ValueError, match="one row per edge"):
        aggr(torch.randn(3, 4), torch.tensor([0, 1]))
