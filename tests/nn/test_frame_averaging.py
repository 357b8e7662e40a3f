from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, global_add_pool

from graphkit import Graph
from graphkit.nn import FrameAveraging
from graphkit.symmetry import Euclidean
from tests.nn.frame_probe import Probe, degenerate_clouds, moved

CASES = [
    (f"{kind}({dim})", output)
    for dim in (2, 3)
    for kind, outputs in (
        ("E", ("scalar", "vector", "position", "tensor")),
        ("SE", ("scalar", "position", "tensor")),
        ("O", ("vector",)),
        ("SO", ("scalar", "pseudovector")),
        ("Sim", ("scalar", "position")),
    )
    for output in outputs
    if not (output == "pseudovector" and dim == 2)
]
# f(a X) = f(X) has no continuous value at a point, unless f is constant.
JUMPS = {("scale-invariant", "coincident")}


def single(pos: Tensor) -> Tensor:
    return torch.zeros(pos.size(0), dtype=torch.long)


@pytest.mark.parametrize(("name", "output"), CASES)
def test_defaults_are_exact_and_continuous_at_degenerate_clouds(name: str, output: str) -> None:
    group = Euclidean.named(name)
    model = FrameAveraging(Probe(group.dim, output), group, output=output).eval()
    generator = torch.Generator().manual_seed(1)
    for cloud, pos in degenerate_clouds(group.dim).items():
        out = model(pos, single(pos))
        other, expected = moved(group, pos, out, output, 0)
        error = float((model(other, single(pos)) - expected).detach().abs().max())
        assert error < 1e-12, f"{cloud}: {error}"
        kind = "scale-invariant" if name.startswith("Sim") and output == "scalar" else output
        if (kind, cloud) in JUMPS:
            continue
        for epsilon in (1e-2, 1e-4, 1e-6):
            noise = epsilon * torch.randn(2, *pos.shape, dtype=torch.float64, generator=generator)
            first, second = (model(pos + part, single(pos)) for part in noise)
            change = max(float((a - b).detach().abs().max()) for a, b in ((first, second), (first, out)))
            assert change < (250 if output == "tensor" else 100) * epsilon, f"{cloud}, {epsilon}: {change / epsilon}"


def test_principal_axes_alone_are_neither() -> None:
    """The probe can fail: as published, squares jump."""
    model = FrameAveraging(Probe(3, "vector"), "E(3)", output="vector", degenerate="ignore").eval()
    square = degenerate_clouds(3)["square"]
    out = model(square, single(square))
    other, expected = moved(Euclidean.named("E(3)"), square, out, "vector", 0)
    assert (model(other, single(square)) - expected).abs().max() > 1e-2
    noise = 1e-6 * torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first, second = (model(square + part, single(square)) for part in noise)
    assert (first - second).abs().max() > 1e-2


@pytest.mark.parametrize("group", ["E(3)", "SE(3)"])
@pytest.mark.parametrize("cloud", ["collinear", "coincident", "planar", "one point", "two points"])
def test_velocities_take_part_in_the_frame(group: str, cloud: str) -> None:
    pos = degenerate_clouds(3)[cloud]
    vel = torch.randn(pos.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    kinds = {"pos": "position", "vel": "vector"}
    model = FrameAveraging(Probe(3, "position", vel=True), group, kinds, "position").eval()
    out = model(pos=pos, vel=vel, batch=single(pos))
    element = Euclidean.named(group).sample(torch.Generator().manual_seed(0))
    values = Euclidean.named(group).act({"pos": pos, "vel": vel, "out": out}, element, {**kinds, "out": "position"})
    again = model(pos=values["pos"], vel=values["vel"], batch=single(pos))
    torch.testing.assert_close(again, values["out"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("degenerate", ["ignore", "weighted", "blend"])
def test_clouds_of_a_batch_do_not_see_each_other(degenerate: str) -> None:
    model = FrameAveraging(Probe(3, "vector"), output="vector", degenerate=degenerate, nodes_per_call=7).eval()
    clouds = list(degenerate_clouds(3).values())
    batch = torch.arange(len(clouds)).repeat_interleave(torch.tensor([len(pos) for pos in clouds]))
    whole = model(torch.cat(clouds), batch).split([len(pos) for pos in clouds])
    for pos, out in zip(clouds, whole, strict=True):
        if degenerate != "ignore" or model.frame_condition(pos=pos) > 1e-3:
            torch.testing.assert_close(model(pos, single(pos)), out, rtol=0, atol=1e-12)
    label = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(clouds[0][label], single(clouds[0])), whole[0][label], rtol=0, atol=1e-12)


def test_so3_sees_what_o3_does_not() -> None:
    pos = degenerate_clouds(3)["generic"]
    mirrored = pos * torch.tensor([1.0, 1.0, -1.0])
    for group, same in (("SO(3)", False), ("O(3)", True)):
        model = FrameAveraging(Probe(3, "scalar"), group).eval()
        assert torch.allclose(model(pos, single(pos)), model(mirrored, single(pos)), atol=1e-12) == same


@pytest.mark.parametrize("group", ["O(4)", "E(5)", "T(3)", "Scale(3)", "E(1)"])
def test_other_groups(group: str) -> None:
    acting = Euclidean.named(group)
    kind = "position" if acting.translations else "vector"
    degenerate = "ignore" if acting.dim > 3 else "blend"
    model = FrameAveraging(Probe(acting.dim, "vector"), group, output=kind, degenerate=degenerate).eval()
    pos = torch.randn(7, acting.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out = model(pos, single(pos))
    other, expected = moved(acting, pos, out, kind, 3)
    torch.testing.assert_close(model(other, single(pos)), expected, rtol=0, atol=1e-11)


def test_gram_schmidt_is_one_call_and_exact_at_any_rank() -> None:
    calls = []

    class Counted(Probe):
        def forward(self, pos: Tensor, batch: Tensor, vel: Tensor | None = None) -> Tensor:
            calls.append(pos.size(0))
            return super().forward(pos, batch, vel)

    for group in ("E(3)", "SE(3)"):
        model = FrameAveraging(Counted(3, "vector"), group, output="vector", method="qr").eval()
        for pos in degenerate_clouds(3).values():
            out = model(pos, single(pos))
            assert calls.pop() == len(pos)
            other, expected = moved(Euclidean.named(group), pos, out, "vector", 0)
            torch.testing.assert_close(model(other, single(pos)), expected, rtol=0, atol=1e-11)
            calls.clear()


def test_wraps_pyg_modules_with_edges_graphs_and_float32() -> None:
    torch.manual_seed(0)
    model = FrameAveraging(GCNConv(3, 3), inputs={"x": "position"}, output="position").eval()
    pos, batch = torch.randn(9, 3), torch.tensor([0] * 4 + [1] * 5)
    edge_index = torch.tensor([[0, 1, 2, 4, 5, 8, 7], [1, 2, 3, 5, 6, 7, 8]])
    weight = torch.rand(7)
    out = model(pos, edge_index, edge_weight=weight, batch=batch)
    other, expected = moved(Euclidean.named("E(3)"), pos, out, "position", 1)
    torch.testing.assert_close(model(other, edge_index, edge_weight=weight, batch=batch), expected, rtol=0, atol=2e-5)
    graph = Graph.from_edge_index(edge_index, 9)
    torch.testing.assert_close(model(x=pos, edge_index=graph, edge_weight=weight, batch=batch), out)


class Momenta(nn.Module):
    """Several outputs, of nodes and of graphs, and a tensor and a graph's vector as inputs."""

    def forward(self, pos: Tensor, stress: Tensor, field: Tensor, batch: Tensor, batch_size: int) -> tuple[Tensor, ...]:
        pull = (pos[:, None] @ stress).squeeze(1) + field[batch] * torch.tensor([1.0, 2.0, 3.0])
        return pull, global_add_pool(pull.square() @ torch.arange(3.0).to(pull), batch, batch_size), torch.tanh(stress)


def test_kinds_of_inputs_and_several_outputs() -> None:
    generator = torch.Generator().manual_seed(0)
    pos = torch.randn(8, 3, dtype=torch.float64, generator=generator)
    stress = torch.randn(8, 3, 3, dtype=torch.float64, generator=generator)
    field = torch.randn(2, 3, dtype=torch.float64, generator=generator)
    batch = torch.tensor([0] * 5 + [1] * 3)
    kinds, output = {"pos": "position", "stress": "tensor", "field": "vector"}, ("vector", "scalar", "tensor")
    group = Euclidean.named("E(3)")
    model = FrameAveraging(Momenta(), group, kinds, output).eval()
    out = model(pos, stress, field, batch)
    element = group.sample(generator)
    named = dict(zip(("a", "b", "c"), out, strict=True))
    values = group.act({"pos": pos, "stress": stress, "field": field}, element, kinds)
    expected = group.act(named, element, dict(zip(named, output, strict=True)))
    for got, name in zip(model(**values, batch=batch), named, strict=True):
        torch.testing.assert_close(got, expected[name], rtol=0, atol=1e-11)


def test_samples_are_drawn_per_graph_in_training_and_are_unbiased() -> None:
    clouds = degenerate_clouds(3)
    pos, sizes, number = torch.cat([clouds["generic"], clouds["pyramid"]]), torch.tensor([6, 5]), 1500
    model = FrameAveraging(Probe(3, "vector"), output="vector", samples=2)
    exact = model.eval()(pos, torch.arange(2).repeat_interleave(sizes))
    torch.manual_seed(0)
    batch = torch.arange(2 * number).repeat_interleave(sizes.repeat(number))
    with torch.no_grad():
        draws = model.train()(pos.repeat(number, 1), batch).reshape(number, 11, 3)
    assert (draws.std(0) > 1e-3).any(1).all()
    error = (draws.mean(0) - exact).abs() / (draws.std(0) / number**0.5 + 1e-9)
    assert error.max() < 5
    every = FrameAveraging(Probe(3, "vector"), output="vector", samples=8, degenerate="ignore").train()
    generic = clouds["generic"]
    torch.testing.assert_close(every(generic, single(generic)), every.eval()(generic, single(generic)))


def test_full_gradient_is_the_gradient_and_detached_is_not() -> None:
    pos = degenerate_clouds(3)["generic"].clone().requires_grad_()
    for degenerate in ("ignore", "weighted"):
        model = FrameAveraging(Probe(3, "vector"), output="position", degenerate=degenerate, frame_grad="full")
        assert torch.autograd.gradcheck(lambda x, m=model: m(x, single(x)), pos)
    detached = FrameAveraging(Probe(3, "vector"), output="position", degenerate="ignore")
    full = FrameAveraging(Probe(3, "vector"), output="position", degenerate="ignore", frame_grad="full")
    for a, b in zip(detached.parameters(), full.parameters(), strict=True):
        gradients = [
            torch.autograd.grad(m(pos, single(pos)).square().sum(), p)[0] for m, p in ((detached, a), (full, b))
        ]
        torch.testing.assert_close(*gradients)
    ways = [torch.autograd.grad(m(pos, single(pos)).square().sum(), pos)[0] for m in (detached, full)]
    assert torch.dist(*ways) > 1e-3


@pytest.mark.parametrize("cloud", ["square", "tetrahedron", "collinear", "coincident", "one point"])
@pytest.mark.parametrize("frame_grad", ["detach", "full"])
def test_gradients_are_finite_at_degenerate_clouds(cloud: str, frame_grad: str) -> None:
    pos = degenerate_clouds(3)[cloud].clone().requires_grad_()
    model = FrameAveraging(Probe(3, "vector"), output="vector", frame_grad=frame_grad)
    model(pos, single(pos)).square().sum().backward()
    assert pos.grad is not None
    assert pos.grad.isfinite().all()


def test_no_nodes_and_graphs_without_nodes() -> None:
    model = FrameAveraging(Probe(3, "scalar")).eval()
    empty = torch.zeros(0, 3, dtype=torch.float64)
    assert model(empty, torch.zeros(0, dtype=torch.long)).shape == (0, 2)

    class Pool(nn.Module):
        def forward(self, pos: Tensor, batch: Tensor, batch_size: int) -> Tensor:
            return global_add_pool(pos.exp(), batch, batch_size)

    out = FrameAveraging(Pool()).eval()(torch.ones(2, 3), torch.tensor([0, 2]), batch_size=4)
    assert out.shape == (4, 3)
    assert torch.equal(out[1], torch.zeros(3))


def test_copies_and_pickles() -> None:
    model = FrameAveraging(Probe(3, "scalar"))
    pos = degenerate_clouds(3)["generic"]
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(pos, single(pos)), model(pos, single(pos)))
    assert "group=E(3)" in repr(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "U(3)"}, "'name' must be E"),
        ({"output": "spinor"}, "kind of 'output' must be one of"),
        ({"inputs": {"pos": "spinor"}}, "kind of 'pos' must be one of"),
        ({"method": "svd"}, "'method' must be one of"),
        ({"degenerate": "drop"}, "'degenerate' must be one of"),
        ({"frame_grad": "half"}, "'frame_grad' must be one of"),
        ({"group": "E(4)"}, r"degenerate='blend' is for d <= 3, got E\(4\)"),
        ({"samples": 0}, "'samples' must be at least 1"),
        ({"switch": (0.1, 0.1)}, "'switch' must be"),
        ({"nodes_per_call": 0}, "'nodes_per_call' must be at least 1"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FrameAveraging(Probe(3, "scalar"), **options)  # type: ignore[arg-type]


def test_bad_calls() -> None:
    pos = degenerate_clouds(3)["generic"]
    with pytest.raises(ValueError, match=r"'inputs' names \['vel'\]"):
        FrameAveraging(Probe(3, "scalar"), inputs={"pos": "position", "vel": "vector"})(pos, single(pos))
    with pytest.raises(ValueError, match="'pos' is a position of 3-dimensional space"):
        FrameAveraging(Probe(3, "scalar"))(pos[:, :2], single(pos))
    with pytest.raises(ValueError, match="needs a position of each node"):
        FrameAveraging(Probe(3, "scalar"), inputs={"pos": "vector"})(pos, single(pos))
    with pytest.raises(ValueError, match="a backbone that pools must take 'batch'"):
        FrameAveraging(nn.Sequential(nn.Flatten(0), nn.Linear(144, 3)).double(), inputs={"input": "position"})(pos)
    with pytest.raises(ValueError, match="'output' must give the kind of each"):
        FrameAveraging(Probe(3, "scalar"), output=("scalar", "vector"))(pos, single(pos))
    with pytest.raises(TypeError, match="takes 3 positional arguments, got 4"):
        FrameAveraging(Probe(3, "scalar"))(pos, single(pos), pos, pos)
    with pytest.raises(ValueError, match="'batch' must ascend"):
        FrameAveraging(Probe(3, "scalar"))(pos, torch.tensor([0, 1, 0, 1, 0, 1]))
    twice = {"edge_index": torch.zeros(2, 3).long(), "other_index": torch.zeros(2, 2).long()}
    with pytest.raises(ValueError, match=r"one set of edges can be copied, got .* \[3, 2\] columns"):
        FrameAveraging(GCNConv(3, 3), inputs={"x": "position"})(x=pos, **twice)
    with pytest.raises(ValueError, match="each edge must join two nodes of one graph"):
        FrameAveraging(GCNConv(3, 3), inputs={"x": "position"})(
            x=pos, edge_index=torch.tensor([[0], [5]]), batch=torch.tensor([0, 0, 0, 1, 1, 1])
        )
    sparse = torch.eye(6).to_sparse()
    with pytest.raises(ValueError, match="'adj_t' is a sparse adjacency matrix"):
        FrameAveraging(GCNConv(3, 3), inputs={"x": "position"})(
            x=pos, edge_index=torch.zeros(2, 0).long(), adj_t=sparse
        )


class Pooled(nn.Module):
    """A graph's number and a node's vector, from messages along edges."""

    def forward(
        self, pos: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor, batch_size: int
    ) -> tuple[Tensor, Tensor]:
        apart = (pos[edge_index[0]] * edge_attr - pos[edge_index[1]] + 0.3).sin()
        moved = pos + torch.zeros_like(pos).index_add(0, edge_index[1], apart)
        return global_add_pool(moved.exp(), batch, batch_size), moved.cos()


def counted(model: FrameAveraging) -> list[int]:
    """The nodes of each call of the backbone, from now on."""
    seen: list[int] = []
    model.backbone.register_forward_pre_hook(lambda _, args, kwargs: seen.append(len(kwargs["pos"])), with_kwargs=True)
    return seen


def ragged() -> dict[str, Tensor]:
    """Clouds of 1 to 6 points, some symmetric, some of one point, with edges that are not sorted by cloud."""
    clouds = [*degenerate_clouds(3).values(), torch.ones(1, 3).double()]
    sizes = torch.tensor([len(pos) for pos in clouds])
    batch = torch.arange(len(clouds)).repeat_interleave(sizes)
    edge_index = (batch[:, None] == batch).nonzero().T
    shuffled = torch.randperm(edge_index.size(1), generator=torch.Generator().manual_seed(0))
    edge_attr = torch.rand(edge_index.size(1), 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return {"pos": torch.cat(clouds), "edge_index": edge_index[:, shuffled], "edge_attr": edge_attr, "batch": batch}


@pytest.mark.parametrize("degenerate", ["ignore", "weighted", "blend"])
def test_parts_change_nothing(degenerate: str) -> None:
    values = ragged()
    model = FrameAveraging(Pooled(), "SE(3)", None, ("scalar", "vector"), degenerate=degenerate)
    whole = model.train()(**values)
    for nodes_per_call in (1, 7, 50, None):
        model.nodes_per_call = nodes_per_call
        pos = values["pos"].clone().requires_grad_()
        parts = model.eval()(**{**values, "pos": pos})
        for got, expected in zip(parts, whole, strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
        gradient = torch.autograd.grad(sum((out * out.detach().cos()).sum() for out in parts), pos)[0]
        if nodes_per_call == 1:
            first = gradient
        torch.testing.assert_close(gradient, first, rtol=0, atol=1e-10)


def test_parts_are_of_about_so_many_nodes() -> None:
    values = ragged()
    model = FrameAveraging(Pooled(), output=("scalar", "vector"), degenerate="ignore")
    seen = counted(model)
    model.train()(**values)
    assert seen == [8 * len(values["pos"])]
    seen.clear()
    model.eval().backbone.train()  # a part alone: batch statistics
    model(**values)
    assert seen == [8 * len(values["pos"])]
    for training in (True, False):
        seen.clear()
        model.nodes_per_call = 10
        model.train(training)(**values)
        assert sum(seen) == 8 * len(values["pos"])
        assert max(seen) < 10 + 6


def test_clouds_that_are_close_to_degenerate_by_chance_cost_one_frame_more() -> None:
    pos = torch.randn(12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    values, axes = torch.linalg.eigh((pos - pos.mean(0)).T @ (pos - pos.mean(0)))
    pos = (pos - pos.mean(0)) @ axes * (torch.tensor([1.0, 1.1, 2.0]) / values).sqrt()
    model = FrameAveraging(Probe(3, "vector"), output="vector").eval()
    seen = counted(model)
    assert 0 < model.frame_condition(pos=pos) < 0.1
    out = model(pos, single(pos))
    assert sum(seen) == 12 * 16
    other, expected = moved(Euclidean.named("E(3)"), pos, out, "vector", 0)
    torch.testing.assert_close(model(other, single(pos)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cloud", ["tetrahedron", "octahedron", "pyramid"])
def test_more_points_that_are_alike_than_make_frames(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a fullerene, whose 60 atoms are all as far out."""
    monkeypatch.setattr("graphkit.symmetry.point_frames.MOST_POINTS", 2)
    pos = degenerate_clouds(3)[cloud]
    model = FrameAveraging(Probe(3, "vector"), output="vector").eval()
    out = model(pos, single(pos))
    other, expected = moved(Euclidean.named("E(3)"), pos, out, "vector", 0)
    label = torch.randperm(len(pos), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(other[label], single(pos)), expected[label], rtol=0, atol=1e-12)
    noise = 1e-6 * torch.randn(pos.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    near = model(pos + noise, single(pos))
    assert (near - out).abs().max() < 1e-4
