"""Layers, cells and summaries against the arrays of the published code, values and gradients to 1e-10."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.graph.temporal import OneHotDegree, SnapshotSequence
from graphkit.nn import EvolveGCNH, EvolveGCNO
from graphkit.nn.temporal import EvolveState, MatrixGRU, summarize
from tests.golden import evolvegcn_golden as golden

MODELS = [
    *(f"egcn_{kind}_sym_rrelu_eval_{x}" for kind in "ho" for x in ("dense", "onehot")),
    *(f"egcn_{kind}_directed_{act}_dense" for kind in "ho" for act in ("relu", "rrelu_eval")),
]


def same(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["h", "o"])
def test_cell(kind: str) -> None:
    arrays = golden.load(f"mat_gru_cell_{kind}")
    cell = MatrixGRU(5, 3).double()
    cell.load_state_dict(golden.cell(arrays, "param."))
    q = arrays["prev_Q"].requires_grad_()
    inputs = arrays["z_topk"][None, None] if kind == "h" else None
    (after,) = cell(EvolveState(q[None]), inputs)
    same(after.weight[0], arrays["out"])
    (after.weight[0] * arrays["R"]).sum().backward()
    same(q.grad, arrays["grad.prev_Q"])
    for name, gradient in golden.cell(arrays, "grad.").items():
        same(cell.get_parameter(name).grad, gradient)


@pytest.mark.parametrize("name", ["padded", "masked", "single_active", "k_equals_n"])
def test_summary(name: str) -> None:
    arrays = golden.load(f"topk_{name}")
    x, scorer = arrays["x"].requires_grad_(), arrays["scorer"].view(-1).requires_grad_()
    out = summarize(x, scorer, int(arrays["k"]), arrays["mask"] == 0)[0]
    same(out, arrays["out"])
    (out * arrays["R"]).sum().backward()
    same(x.grad, arrays["grad_x"])
    same(scorer.grad, arrays["grad_scorer"].view(-1))


def layers(arrays: dict[str, Tensor], kind: str, widths: list[int]) -> list[EvolveGCNO]:
    made = []
    for number, (width, out) in enumerate(itertools.pairwise(widths)):
        layer = (EvolveGCNH if kind == "h" else EvolveGCNO)(width, out, mode="window", self_loops=None, normalize=False)
        layer.double().load_state_dict(golden.layer(arrays, f"param.layer{number}.", scored=kind == "h"))
        made.append(layer)
    return made


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("last", [False, True])
def test_two_layers_over_four_steps(name: str, last: bool) -> None:
    arrays, kind = golden.load(name), name.split("_")[1]
    steps = golden.snapshots(arrays)
    first, second = layers(arrays, kind, [steps[0].x.size(1), 4, 3])

    def act(h: Tensor) -> Tensor:
        return h.relu() if "_relu_" in name else F.leaky_relu(h, 11 / 48)

    hidden, state = first.sequence(steps)
    hidden = [act(h) for h in hidden]
    same(state.weight[0], arrays["layer0.W_3"])
    for t, h in enumerate(hidden):
        same(h, arrays[f"layer0.out_{t}"])
    between = [step._replace(x=h) for step, h in zip(steps, hidden, strict=True)]
    outs, state = second.sequence(between, last=last)
    assert len(outs) == (1 if last else 4)
    same(state.weight[0], arrays["layer1.W_3"])
    out = act(outs[-1])
    same(out, arrays["out"])
    loss = (out * arrays["R"]).sum()
    same(loss, arrays["loss"])
    loss.backward()
    for t, step in enumerate(steps):
        expected = arrays.get(f"grad.x_{t}", torch.zeros_like(step.x))
        if f"grad.x_{t}" in arrays:
            same(torch.zeros_like(step.x) if step.x.grad is None else step.x.grad, expected)
    for number, layer in enumerate((first, second)):
        for key, gradient in golden.layer(arrays, f"grad.layer{number}.", scored=kind == "h").items():
            same(layer.get_parameter(key).grad.view_as(gradient), gradient)


@pytest.mark.parametrize("kind", ["h", "o"])
def test_one_hot_columns_stand_for_the_matrix(kind: str) -> None:
    arrays = golden.load(f"egcn_{kind}_sym_rrelu_eval_onehot")
    (layer,) = layers(arrays, kind, [4, 4])
    steps = [step._replace(x=step.x.detach().argmax(1)) for step in golden.snapshots(arrays)]
    outs, _ = layer.sequence(steps)
    for t, out in enumerate(outs):
        same(F.leaky_relu(out, 11 / 48), arrays[f"layer0.out_{t}"])


@pytest.mark.parametrize("name", ["sym", "directed"])
def test_snapshots_and_normalisation(name: str) -> None:
    """From events to the normalised adjacency. The published row i collects from its targets: edges are flipped."""
    arrays = golden.load(f"snapshots_{name}")
    source, target, _, time = arrays["events"].t()
    seq = SnapshotSequence.from_events(source, target, time, num_nodes=10, undirected=name == "sym")
    assert OneHotDegree.of(seq).width == arrays["max_deg"]
    flipped = SnapshotSequence.from_events(target, source, time, num_nodes=10, undirected=name == "sym")
    layer = EvolveGCNO(10, 3).double()
    for t in range(4):
        step = seq.with_(x=OneHotDegree.of(seq))[t]
        adjacency = torch.sparse_coo_tensor(step.graph.edge_index, step.edge_weight.double(), (10, 10)).coalesce()
        assert adjacency.indices().t().equal(arrays[f"adj_idx_{t}"])
        assert adjacency.values().equal(arrays[f"adj_val_{t}"])
        assert step.mask.equal(arrays[f"mask_{t}"] == 0)
        assert step.x.equal(arrays[f"onehot_idx_{t}"][:, 1])
        (out,), state = layer.sequence([flipped[t]._replace(x=torch.eye(10, dtype=torch.float64))])
        same(out, arrays[f"Ahat_dense_{t}"] @ state.weight[0])
    window = seq.with_(window=3)[2]
    assert window.graph.edge_index.t().equal(arrays["window3_t2_idx"])
    assert window.edge_weight.double().equal(arrays["window3_t2_val"])


def test_lstm_follows_the_papers_formula() -> None:
    """The repository has no such cell: the equations, written down once more."""
    layer = EvolveGCNO(5, 3, cell="lstm").double()
    torch.nn.init.normal_(layer.cell.bias)
    weight, c = layer.weight.detach(), torch.zeros(5, 3, dtype=torch.float64)
    w, u, b = (p.detach().split(5) for p in (layer.cell.weight, layer.cell.hidden_weight, layer.cell.bias))
    state = None
    step = golden.snapshots(golden.load("egcn_o_sym_rrelu_eval_dense"))[0]
    for _ in range(3):
        _, state = layer(step.x, step.graph, step.edge_weight, state)
        f, i, o, new = (w[g] @ weight + u[g] @ weight + b[g] for g in range(4))
        c = f.sigmoid() * c + i.sigmoid() * new.tanh()
        weight = o.sigmoid() * c.tanh()
        same(state.weight[0], weight)
        same(state.cell[0], c)
