"""EvolveGCN as a model: steps and sequences, what is left out, nodes that come and go, saving, evaluation."""

from __future__ import annotations

import io

import pytest
import torch

from graphkit.graph.temporal import OneHotDegree, Snapshot, SnapshotSequence
from graphkit.models import EvolveGCN, PairClassifier, TemporalModel


def sequence(steps: int = 6, nodes: int = 30, active: int = 8) -> SnapshotSequence:
    """At each step, few of the nodes are there."""
    source, target = torch.randint(active, (2, steps * 12))
    time = torch.arange(steps).repeat_interleave(12)
    seq = SnapshotSequence.from_events(source + 3 * time, target + 3 * time, time, num_nodes=nodes, undirected=True)
    return seq.with_(x=torch.randn(steps, nodes, 5))


@pytest.mark.parametrize("variant", ["h", "o"])
@pytest.mark.parametrize("skip", [False, True])
def test_a_sequence_is_its_steps(variant: str, skip: bool) -> None:
    model = EvolveGCN(5, 4, 3, variant, skip_features=skip).eval()
    data, state, steps = sequence(), None, []
    for s in data:
        out, state = model(s.x, s.graph, s.edge_weight, state)
        steps.append(out)
    outs, after = model.sequence(data)
    for a, b in zip(steps, outs, strict=True):
        torch.testing.assert_close(a, b)
    (last,), also = model.sequence(data, last=True)
    torch.testing.assert_close(last, steps[-1])
    for one, two, three in zip(state, after, also, strict=True):
        torch.testing.assert_close(one.weight, two.weight)
        torch.testing.assert_close(one.weight, three.weight)
    assert model.out_channels == last.size(1) == (9 if skip else 4)


def test_o_looks_at_the_last_snapshot_alone() -> None:
    model, data = EvolveGCN(5, 4, variant="o", mode="window").eval(), sequence()
    steps = [s._replace(x=s.x.clone().requires_grad_()) for s in data]
    (last,), _ = model.sequence(steps, last=True)
    last.sum().backward()
    assert all(s.x.grad is None for s in steps[:-1])
    assert steps[-1].x.grad is not None
    broken = [None] * (len(data) - 1)
    (alone,), _ = model.sequence([*broken, data[-1]], last=True)
    assert alone.equal(last)


def test_nodes_that_are_never_there_change_nothing_for_the_others() -> None:
    model, data = EvolveGCN(5, 4).eval(), sequence()
    more = [
        Snapshot(
            torch.cat([s.x, torch.randn(7, 5) * 100]),
            s.graph.edge_index,
            s.edge_weight,
            torch.cat([s.mask, torch.zeros(7, dtype=torch.bool)]),
        )
        for s in data
    ]
    for a, b in zip(model.sequence(data)[0], model.sequence(more)[0], strict=True):
        torch.testing.assert_close(a, b[:30])


def test_a_node_vanishes_and_returns_and_a_step_is_empty() -> None:
    source, target = torch.tensor([0, 1, 0]), torch.tensor([1, 2, 2])
    seq = SnapshotSequence.from_events(source, target, torch.tensor([0, 1, 3]), num_nodes=4, undirected=True)
    seq = seq.with_(x=OneHotDegree(3))
    assert [s.mask.tolist() for s in seq] == [
        [True, True, False, False],
        [False, True, True, False],
        [False] * 4,
        [True, False, True, False],
    ]
    model = EvolveGCN(3, 4)  # of four nodes two are there: fewer than the four columns of the weight
    outs, state = model.sequence(seq)
    assert all(out.isfinite().all() for out in outs)
    sum(out.sum() for out in outs).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    (last,), _ = model.eval().sequence(seq, last=True)
    torch.testing.assert_close(last, model.sequence(seq)[0][-1])
    assert len(state) == 2


def test_saved_and_evaluated_twice_it_says_the_same() -> None:
    model, data = TemporalModel(EvolveGCN(5, 4, cell="lstm"), PairClassifier(4, 3)), sequence()
    model.sequence(data)[0][0].sum().backward()
    model.sequence(data)[0][0].sum().backward()  # PyG-Temporal's layer fails at the second step
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    stream.seek(0)
    other = TemporalModel(EvolveGCN(5, 4, cell="lstm"), PairClassifier(4, 3)).eval()
    other.load_state_dict(torch.load(stream))
    first, _ = model.eval().sequence(data)
    again, _ = model.sequence(data)
    loaded, _ = other.sequence(data)
    for a, b, c in zip(first, again, loaded, strict=True):
        assert a.equal(b)
        assert a.equal(c)


def test_errors() -> None:
    with pytest.raises(ValueError, match="'variant' must be 'h' or 'o'"):
        EvolveGCN(5, 4, variant="x")
    with pytest.raises(ValueError, match="'num_layers' must be at least 1"):
        EvolveGCN(5, 4, 0)
    with pytest.raises(ValueError, match="needs to know in_channels"):
        EvolveGCN(-1, 4, skip_features=True)
    model, data = EvolveGCN(5, 4), sequence()
    with pytest.raises(ValueError, match="one state for each of 2 layers"):
        model(data[0].x, data[0].graph, state=())
    with pytest.raises(ValueError, match="at least one"):
        model.sequence([])


def test_few_pairs_are_scored_as_many() -> None:
    """With fewer pairs than nodes the pairs go through the hidden layer, with more the nodes do."""
    head, z = PairClassifier(4, 6).double(), torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    pairs = torch.randint(9, (2, 50))
    weight = torch.randn(50, 2, dtype=torch.float64) * (torch.arange(50) < 7)[:, None]
    many, few = head(z, pairs), head(z, pairs[:, :7])
    torch.testing.assert_close(few, many[:7])
    for a, b in zip(
        torch.autograd.grad((few * weight[:7]).sum(), (z, *head.parameters())),
        torch.autograd.grad((many * weight).sum(), (z, *head.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_many_pairs_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    head, z = PairClassifier(4, 6).double(), torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    pairs = torch.randint(9, (2, 50))

    def outcome() -> list[torch.Tensor]:
        out = head(z, pairs)
        return [out, *torch.autograd.grad(out.square().sum(), (z, *head.parameters()))]

    whole = outcome()
    monkeypatch.setattr("graphkit.models.evolve_gcn._NUMBERS", 6 * 16)
    kept: list[torch.Size] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        parts = outcome()
    assert all(shape[0] <= 16 for shape in kept if len(shape) == 2 and shape[1] == 6)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(head(z, pairs), whole[0])
