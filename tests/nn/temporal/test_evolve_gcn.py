"""Layers whose weights evolve: options, batches of sequences, states, bad input."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import GCNConv
from torch_geometric.utils import add_remaining_self_loops

from graphkit.graph.temporal import Snapshot, SnapshotSequence
from graphkit.nn import EvolveGCNH, EvolveGCNO
from graphkit.nn.temporal import EvolveState, summarize

EDGES = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 2, 0]])


@pytest.mark.parametrize("weighted", [False, True])
def test_remaining_loops_are_those_of_pyg(weighted: bool) -> None:
    layer, conv = EvolveGCNO(4, 3, self_loops="remaining"), GCNConv(4, 3, bias=False)
    x, weight = torch.randn(5, 4), torch.rand(6) + 0.5 if weighted else None
    out, state = layer(x, EDGES, weight)
    conv.lin.weight.data = state.weight[0].t().detach()
    torch.testing.assert_close(out, conv(x, EDGES, weight))


def test_added_loops_are_one_more_for_everybody() -> None:
    layer = EvolveGCNO(4, 3, normalize=False)
    x = torch.randn(5, 4)
    out, state = layer(x, EDGES)
    adjacency = torch.zeros(5, 5)
    adjacency[EDGES[1], EDGES[0]] = 1
    torch.testing.assert_close(out, (adjacency + torch.eye(5)) @ x @ state.weight[0])
    plain, state = EvolveGCNO(4, 3, normalize=False, self_loops=None)(
        x, add_remaining_self_loops(EDGES, num_nodes=5)[0]
    )
    torch.testing.assert_close(plain[4], x[4] @ state.weight[0])


def test_without_loops_a_lonely_node_gets_nothing() -> None:
    layer = EvolveGCNO(4, 3, self_loops=None)
    out, _ = layer(torch.randn(5, 4), EDGES)
    assert out[4].eq(0).all()
    assert out.isfinite().all()


@pytest.mark.parametrize("layer", [EvolveGCNH, EvolveGCNO])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_several_sequences_side_by_side(layer: type[EvolveGCNO], cell: str) -> None:
    """Each has weights of its own, over two steps; nodes in any order."""
    model = layer(4, 3, cell=cell)
    torch.nn.init.normal_(model.cell.bias)
    graphs = [(torch.randn(5, 4), EDGES), (torch.randn(4, 4), EDGES[:, :3]), (torch.randn(3, 4), EDGES[:, :1])]
    sizes = [x.size(0) for x, _ in graphs]
    starts = [0, 5, 9]
    order = torch.randperm(12)
    place = torch.argsort(order)
    batch = torch.arange(3).repeat_interleave(torch.tensor(sizes))[order]
    together, state = [], None
    for step in range(2):
        x = torch.cat([x * (step + 1) for x, _ in graphs])[order]
        edge_index = place[torch.cat([e + start for (_, e), start in zip(graphs, starts, strict=True)], 1)]
        out, state = model(x, edge_index, state=state, batch=batch)
        together.append(out)
    for number, (x, edge_index) in enumerate(graphs):
        alone = None
        for step in range(2):
            out, alone = model(x * (step + 1), edge_index, state=alone)
            mine = place[starts[number] : starts[number] + sizes[number]]
            torch.testing.assert_close(together[step][mine], out)
        torch.testing.assert_close(state.weight[number], alone.weight[0])


def test_state_is_an_argument_and_nothing_is_kept() -> None:
    layer, x = EvolveGCNH(4, 3), torch.randn(5, 4)
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    _, state = layer(x, EDGES)
    out, _ = layer(x, EDGES, state=state.detach())
    assert not state.detach().weight.requires_grad
    again, _ = layer(x, EDGES, state=state)
    assert out.equal(again)
    assert layer.state_dict().keys() == before.keys()
    out.sum().backward()
    assert layer.weight.grad is None  # the past is cut off: the initial weight is out of reach
    again.sum().backward()
    assert layer.weight.grad is not None


def test_a_window_begins_with_the_initial_weight() -> None:
    layer = EvolveGCNO(4, 3, mode="window")
    snapshot = Snapshot(torch.randn(5, 4), EDGES)
    first, state = layer.sequence([snapshot] * 3, last=True)
    second, _ = layer.sequence([snapshot] * 3, last=True)
    assert first[0].equal(second[0])
    with pytest.raises(ValueError, match="must be None with mode='window'"):
        layer(snapshot.x, EDGES, state=state)


def test_ties_go_to_the_lower_number_and_few_nodes_are_repeated() -> None:
    x = torch.tensor([[1.0, 0.0], [2.0, 1.0], [2.0, 5.0], [2.0, 7.0]])
    p = torch.tensor([1.0, 0.0])
    assert summarize(x, p, 2)[0][1].allclose(torch.tensor([1.0, 5.0]) * torch.tensor(2.0).tanh())
    assert summarize(x, p, 6)[0].equal(summarize(x, p, 4)[0][:, [0, 1, 2, 3, 3, 3]])
    assert summarize(x, p, 3, torch.zeros(4, dtype=torch.bool)).eq(0).all()
    assert summarize(x, torch.zeros(2), 3).eq(0).all()
    assert summarize(x[:0], p, 3).shape == (1, 2, 3)


def test_edge_weights_take_gradients() -> None:
    layer, weight = EvolveGCNO(4, 3).double(), torch.rand(6, dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda w: layer(x, EDGES, w)[0], weight)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda layer, x: layer(x[:, :3], EDGES), "must have 4 channels"),
        (lambda layer, x: layer(x.int(), EDGES), "must be floating point"),
        (lambda layer, x: layer(x, EDGES, torch.ones(3)), "must have shape \\[6\\]"),
        (lambda layer, x: layer(x, EDGES + 3), "lie in \\[0, 5\\)"),
        (lambda layer, x: layer(x, EDGES, mask=torch.ones(4, dtype=torch.bool)), "one per node"),
        (lambda layer, x: layer(x, EDGES, state=EvolveState(torch.zeros(2, 4, 3))), "weights of shape"),
        (lambda layer, x: layer.sequence([]), "at least one"),
        (lambda layer, x: EvolveGCNH(-1, 3)(torch.zeros(5, dtype=torch.long), EDGES), "cannot be told"),
        (lambda layer, x: EvolveGCNH(4, 3, cell="rnn"), "'cell' must be"),
        (lambda layer, x: EvolveGCNH(4, 3, mode="both"), "'mode' must be"),
        (lambda layer, x: EvolveGCNH(4, 0), "must be positive"),
        (lambda layer, x: EvolveGCNH(4, 3, self_loops="some"), "'self_loops' must be"),
        (lambda layer, x: EvolveGCNO(4, 3, cell="lstm")(x, EDGES, state=layer(x, EDGES)[1]), "has no memory"),
    ],
)
def test_bad_input_says_what_is_wrong(call, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        call(EvolveGCNH(4, 3), torch.randn(5, 4))


def test_o_makes_no_step_that_nothing_is_asked_of() -> None:
    time = torch.arange(5).repeat_interleave(6)
    data = SnapshotSequence.from_events(*EDGES.repeat(1, 5), time, x=torch.randn(5, 4, 4))
    layer = EvolveGCNO(4, 3, mode="window")
    (last,), _ = layer.sequence(data, last=True)
    assert list(data._store.cache) == [4]
    torch.testing.assert_close(last, layer.sequence(iter(data))[0][-1])
