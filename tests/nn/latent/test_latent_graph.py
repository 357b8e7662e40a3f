"""LatentGraph: published edges and gradients, gradients by finite differences, sets, seeds, and odd input."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from graphkit import ops
from graphkit.nn import GENConv, GraphReward, LatentGraph, NeuralSnowflake, NeuralSpacetime, ProductManifold, SheafConv
from graphkit.nn.latent import DGG, ContinuousDGM, DiscreteDGM, Euclidean, PoincareBall, make_sampler
from tests.golden.snowflake_golden import golden

SAMPLERS = ("ddgm", "cdgm", "straight-through", "dgg")
samplers = pytest.mark.parametrize("sampler", SAMPLERS)


def features(count: int = 40, seed: int = 0) -> Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def latent_of(sampler: str = "ddgm", k: int = 4, seed: int = 0, **options: Any) -> LatentGraph:
    torch.manual_seed(seed)
    options = {"metric": NeuralSnowflake(), "temperature": -0.5} | options
    return LatentGraph(nn.Linear(6, 3), k=k, sampler=sampler, **options).double()


@pytest.mark.parametrize(("name", "metric"), [("euclidean", Euclidean()), ("hyperbolic", PoincareBall(legacy=True))])
def test_golden_draw_with_injected_noise(name: str, metric: Any) -> None:
    z = golden("dgm_sampling")
    sets, n, d = z["x"].shape
    latent = LatentGraph(None, metric, 4, loop=True, compat="official").double()
    with torch.no_grad():
        latent.temperature.copy_(z[f"{name}_temperature"])
    x = z["x"].reshape(-1, d).clone().requires_grad_()
    noise = torch.block_diag(*z["gumbel"])
    out = latent(x, batch=torch.arange(sets).repeat_interleave(n), noise=noise)
    assert torch.equal(out.graph.edge_index, z[f"{name}_keops_sparse_edges"].long())
    log_prob = out.log_prob.view(sets, n, 4)
    torch.testing.assert_close(log_prob, z[f"{name}_keops_sparse_logprobs"], rtol=1e-10, atol=1e-10)
    (log_prob * z["w"]).sum().backward()
    torch.testing.assert_close(x.grad.view(sets, n, d), z[f"{name}_keops_sparse_grad_x"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(latent.temperature.grad, z[f"{name}_keops_sparse_grad_temperature"], rtol=1e-10, atol=0)


@pytest.mark.parametrize(("name", "metric"), [("euclidean", Euclidean()), ("hyperbolic", PoincareBall(legacy=True))])
def test_golden_choice_without_noise(name: str, metric: Any) -> None:
    z = golden("dgm_sampling")
    sets, n, d = z["x"].shape
    latent = LatentGraph(None, metric, 4, loop=True, compat="official", noise="none").double()
    assert float(latent.temperature.detach()) == float(z[f"{name}_nonoise_temperature"])
    out = latent(z["x"].reshape(-1, d), batch=torch.arange(sets).repeat_interleave(n))
    assert torch.equal(out.graph.edge_index, z[f"{name}_nonoise_edges"].long())


@samplers
def test_gradients_by_finite_differences(sampler: str) -> None:
    """Of weights and log-probabilities, through encoder, metric, scale and sampler; the edges stay."""
    latent = latent_of(sampler, noise="none", metric=NeuralSnowflake(2, 2, 2))
    x = features(8).requires_grad_()
    with torch.no_grad():
        latent(x)  # lazy layers take their sizes
    parameters = dict(latent.named_parameters())

    def run(x: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        out = torch.func.functional_call(latent, dict(zip(parameters, values, strict=True)), (x,))
        return out.log_prob, torch.zeros(()) if sampler == "straight-through" else out.weight

    values = tuple(value.detach().clone().requires_grad_() for value in parameters.values())
    assert torch.autograd.gradcheck(run, (x, *values), eps=1e-7, atol=1e-5)


@samplers
def test_a_seed_decides_and_evaluation_is_deterministic(sampler: str) -> None:
    latent, x = latent_of(sampler), features()
    same = [latent(x, seed=3) for _ in range(2)]
    assert torch.equal(same[0].graph.edge_index, same[1].graph.edge_index)
    if sampler != "cdgm":
        assert not torch.equal(latent(x, seed=4).graph.edge_index, same[0].graph.edge_index)
    latent.eval()
    calm = [latent(x, seed=seed) for seed in (3, 4)]
    assert torch.equal(calm[0].graph.edge_index, calm[1].graph.edge_index)
    latent.train()
    latent.set_noise_scale(0.0)
    assert torch.equal(latent(x).graph.edge_index, calm[0].graph.edge_index)


@samplers
@pytest.mark.parametrize("metric", ["snowflake", "product", "spacetime"])
def test_sets_of_points_do_not_meet(sampler: str, metric: str) -> None:
    made = {
        "snowflake": NeuralSnowflake(),
        "product": ProductManifold([("hyperbolic", 2), ("spherical", 1)]),
        "spacetime": NeuralSpacetime(3),
    }[metric]
    latent, x = latent_of(sampler, metric=made).eval(), features(30)
    batch = torch.tensor([2, 0, 1] * 10)
    out = latent(x, batch=batch)
    source, target = out.graph.edge_index
    assert bool((batch[source] == batch[target]).all())
    for which in range(3):
        rows = (batch == which).nonzero().view(-1)
        alone, here = latent(x[rows]), batch[target] == which
        assert torch.equal(rows[alone.graph.edge_index], out.graph.edge_index[:, here])
        torch.testing.assert_close(alone.weight, out.weight[here])


@samplers
def test_odd_input(sampler: str) -> None:
    latent = latent_of(sampler, k=4)
    few = latent(features(3))
    assert few.graph.num_edges <= (9 if sampler == "dgg" else 6)
    assert bool((few.graph.edge_index[0] != few.graph.edge_index[1]).all())
    assert latent(features(1)).graph.num_edges == 0
    assert latent(features(0)).graph.num_nodes == 0
    copies = features(2).repeat(10, 1).requires_grad_()
    out = latent(copies)
    (out.weight.sum() + out.log_prob.sum()).backward()
    assert bool(copies.grad.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in latent.parameters() if p.grad is not None)
    broken = features(5)
    broken[2, 1] = float("nan")
    with pytest.raises(ValueError, match="must be finite, row 2"):
        latent(broken)


@samplers
def test_one_line_feeds_any_layer(sampler: str) -> None:
    torch.manual_seed(0)
    latent, x = latent_of(sampler).float(), features().float()
    assert SheafConv(6, 4)(x, latent(x).graph).shape == (40, 4)
    assert GENConv(6, 4)(x, latent(x).graph).shape == (40, 4)
    g = latent(x)
    out = GCNConv(6, 4)(x, g.graph.edge_index, g.weight)
    out.sum().backward()
    if sampler != "ddgm":
        assert latent.encoder.weight.grad is not None
    assert torch.equal(g.graph.edge_attrs["edge_weight"], g.weight)
    assert torch.equal(g.graph.edge_attrs["log_prob"], g.log_prob)


def test_plackett_luce_as_the_log_probability() -> None:
    x = features(10)
    latent = LatentGraph(None, Euclidean(), 3, sampler=DiscreteDGM("plackett-luce"), temperature=0.3).double()
    out = latent(x, seed=1)
    index = out.graph.edge_index[0].view(10, 3)
    phi = -latent.scale * (x.unsqueeze(1) - x.unsqueeze(0)).square().sum(-1)
    phi.fill_diagonal_(-float("inf"))
    for i in range(10):
        left = phi[i].clone()
        for r in range(3):
            torch.testing.assert_close(out.log_prob.view(10, 3)[i, r], left.log_softmax(0)[index[i, r]])
            left[index[i, r]] = -float("inf")
    out.log_prob.sum().backward()
    assert latent.temperature.grad is not None


def test_straight_through_and_continuous_weights() -> None:
    x = features(12)
    hard = latent_of("straight-through")(x, seed=0)
    torch.testing.assert_close(hard.weight, torch.ones_like(hard.weight))
    whole = LatentGraph(None, Euclidean(), 12, sampler=ContinuousDGM(0.35), loop=True).double()(x)
    z = ContinuousDGM.normalized(x)
    assert float(z.norm(dim=1).max()) == pytest.approx(0.9)
    scale = 2.718281828459045 ** (5 * torch.tanh(torch.tensor(0.8, dtype=torch.float64)))
    dense = torch.sigmoid(scale * (0.35 - (z.unsqueeze(1) - z.unsqueeze(0)).square().sum(-1)))
    source, target = whole.graph.edge_index
    assert whole.graph.num_edges == 144
    torch.testing.assert_close(whole.weight, dense[target, source], rtol=1e-6, atol=0)


def test_dgg_chooses_how_many_on_a_given_graph() -> None:
    x = features(20)
    edge_index = torch.randint(20, (2, 90), generator=torch.Generator().manual_seed(0))
    latent = latent_of("dgg").eval()
    out = latent(x, edge_index)
    given = {(u, v) for u, v in edge_index.T.tolist()} | {(v, v) for v in range(20)}
    assert {(u, v) for u, v in out.graph.edge_index.T.tolist()} <= given
    hard = latent_of(DGG(hard=True)).eval()  # type: ignore[arg-type]
    weights = hard(x, edge_index).weight
    torch.testing.assert_close(weights, torch.ones_like(weights))
    with pytest.raises(ValueError, match="nodes"):
        latent(x, edge_index + 5)


def test_graph_encoders_get_the_given_graph() -> None:
    x, edge_index = features(10).float(), torch.tensor([[0, 1], [1, 0]])
    latent = LatentGraph(GCNConv(6, 2), k=2)
    assert latent(x, edge_index).embedding.shape == (10, 2)
    with pytest.raises(ValueError, match="'edge_index' must be given"):
        latent(x)


def test_scale_has_a_gradient_everywhere_unless_official() -> None:
    for compat, alive in ((None, True), ("official", False)):
        latent = LatentGraph(k=1, temperature=7.0, compat=compat)  # type: ignore[arg-type]
        latent.scale.backward()
        assert (float(latent.temperature.grad) != 0) == alive


def test_the_whole_state_is_in_a_checkpoint() -> None:
    latent = latent_of()
    latent.set_noise_scale(0.25)
    again = latent_of(seed=1)
    again.load_state_dict(latent.state_dict())
    assert float(again.noise_scale) == 0.25
    x = features()
    assert torch.equal(again(x, seed=1).graph.edge_index, latent(x, seed=1).graph.edge_index)


def test_reward_keeps_its_baseline() -> None:
    latent, x = latent_of(), features(6)
    reward = GraphReward(6).double()
    correct = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0]).double()
    out = latent(x, seed=0)
    loss = reward(correct, [out])
    mean = torch.zeros(6).double().index_add(0, out.graph.edge_index[1], out.log_prob.exp()) / 4
    torch.testing.assert_close(loss, ((0.5 - correct) * mean).mean())
    torch.testing.assert_close(reward.baseline, 0.95 * 0.5 + 0.05 * correct)
    saved = copy.deepcopy(reward.state_dict())
    again = GraphReward(6).double()
    again.load_state_dict(saved)
    assert torch.equal(again.baseline, reward.baseline)
    reward.eval()
    reward(correct, [out])
    assert torch.equal(again.baseline, reward.baseline)
    part = GraphReward(6, form="log_prob").double()
    part(correct[:2], [out], torch.tensor([4, 5]))
    assert part.baseline[:4].tolist() == [0.5] * 4
    shared = GraphReward().double()
    shared(correct, [out])
    assert shared.baseline.tolist() == pytest.approx([0.95 * 0.5 + 0.05 * 4 / 6])
    assert float(shared(correct, [])) == 0
    with pytest.raises(ValueError, match="'reward' must hold 6 points"):
        again(correct[:3], [out])


def test_right_answers_make_edges_likelier() -> None:
    latent, x = latent_of(), features(8)
    out = latent(x, seed=0)
    GraphReward(8).double()(torch.ones(8).double(), [out]).backward()
    with torch.no_grad():
        for parameter in latent.parameters():
            parameter -= 0.01 * parameter.grad
    index = out.graph.edge_index
    z = latent.encoder(x)
    after = -latent.scale * latent.metric.cost(z[index[0]], z[index[1]])
    assert float(after.exp().sum().detach()) > float(out.weight.sum().detach())


def test_bad_arguments() -> None:
    for options, message in (
        ({"k": 0}, "'k' must be a positive int"),
        ({"noise": "some"}, "'noise' must be"),
        ({"noise_scale": -1.0}, "'noise_scale' must not be negative"),
        ({"compat": "old"}, "'compat' must be"),
        ({"sampler": "best"}, "unknown sampler"),
    ):
        with pytest.raises(ValueError, match=message):
            LatentGraph(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'log_prob' must be"):
        DiscreteDGM("all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'width' must be positive"):
        DGG(width=0)
    with pytest.raises(ValueError, match="'form' must be"):
        GraphReward(form="p")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be a torch\.Tensor"):
        LatentGraph()([[0.0]])  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"'metric' must be None or a Metric .* \(got the class NeuralSnowflake; make one"
    ):
        LatentGraph(None, NeuralSnowflake)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"'encoder' must be None or a Module .* \(got str\)"):
        LatentGraph("mlp")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"points must have 3 coordinates .* \(got shape \[5, 4\]\)"):
        LatentGraph(None, ProductManifold([("euclidean", 3)]))(torch.randn(5, 4))
    assert isinstance(make_sampler("dgg"), DGG)


def test_memory_does_not_grow_with_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor of a training step has N x N entries, nor the share of them that a block has at this size."""
    largest = 0

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                largest = max(largest, out.numel())
            return out

    n, k = 3000, 5
    latent = latent_of(k=k)
    with Watch():
        out = latent(features(n), seed=0)
        (out.weight.sum() + out.log_prob.sum()).backward()
    assert out.graph.num_edges == n * k
    assert largest < n * n // 4


def test_recall_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    latent = latent_of(approximate_above=30).eval()
    out = latent(features(40))
    assert out.recall == 1.0
    assert torch.equal(out.graph.edge_index[0].view(40, 4), ops.nearest_neighbors(out.embedding, 4).indices)
    assert latent(features(20)).recall is None
