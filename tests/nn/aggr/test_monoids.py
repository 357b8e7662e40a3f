"""Every member of the family: the laws it claims, its identity, and its kernel against the tree."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from graphkit import Graph
from graphkit.nn.aggr import monoids
from graphkit.nn.aggr.monoids import (
    Conjugate,
    LogSumExp,
    Max,
    Mean,
    Min,
    Monoid,
    PowerMean,
    Product,
    Softmax,
    Sum,
    SymmetricGRU,
    SymmetricMLP,
    Symmetrized,
    Variance,
)


class Affine(nn.Module):
    """An invertible map with its inverse."""

    def __init__(self, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.scale = nn.Parameter(torch.tensor([1.5, -0.5, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return (x - 0.3) / self.scale if self.inverse else x * self.scale + 0.3


EXACT = {
    "sum": Sum, "product": Product, "mean": Mean, "max": Max, "min": Min, "logsumexp": LogSumExp,
    "softmax": lambda: Softmax(0.7), "softmax of a negative": lambda: Softmax(-2.0),
    "power": lambda: PowerMean(3.0), "harmonic": lambda: PowerMean(-1.0), "geometric": lambda: PowerMean(0.0),
    "variance": Variance, "conjugate": lambda: Conjugate(Affine(), Affine(inverse=True)),
}  # fmt: skip
LEARNED = {
    "gru": lambda: SymmetricGRU(3),
    "mlp": lambda: SymmetricMLP(3),
    "symmetrized": lambda: Symmetrized(nn.Bilinear(3, 3, 3)),
}
LENGTHS = [3, 0, 1, 7, 2]
INDEX = torch.arange(5).repeat_interleave(torch.tensor(LENGTHS))
GRAPH = Graph.from_segments(INDEX, 5)


@pytest.fixture
def x() -> Tensor:
    return torch.rand(INDEX.numel(), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1


@pytest.mark.parametrize("name", EXACT)
def test_laws_of_exact_members(name, x):
    monoid = EXACT[name]().double()
    assert monoid.associative
    assert monoid.commutative
    a, b, c = monoid.lift(x).split(4)[:3]
    torch.testing.assert_close(monoid(a, b), monoid(b, a), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(monoid(monoid(a, b), c), monoid(a, monoid(b, c)), rtol=1e-12, atol=1e-13)
    nothing = monoid.identity(a).expand_as(a)
    torch.testing.assert_close(monoid(a, nothing), a, rtol=0, atol=0)
    torch.testing.assert_close(monoid(nothing, a), a, rtol=0, atol=0)


@pytest.mark.parametrize("name", EXACT)
def test_kernel_is_the_tree(name, x):
    monoid = EXACT[name]().double()
    results = []
    for fold in (monoid.aggregate, lambda *inputs: Monoid.aggregate(monoid, *inputs)):
        leaf = x.clone().requires_grad_()
        out = fold(leaf, GRAPH)
        results.append((out, *torch.autograd.grad(out[torch.tensor(LENGTHS) > 0].sin().sum(), leaf)))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)
    shuffled = torch.randperm(INDEX.numel())
    again = monoid.aggregate(x[shuffled], Graph.from_segments(INDEX[shuffled], 5))
    torch.testing.assert_close(again, results[0][0].detach(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", EXACT)
def test_a_row_alone_and_nothing(name, x):
    monoid = EXACT[name]().double()
    out = monoid.aggregate(x, GRAPH)
    torch.testing.assert_close(out[2], torch.zeros(3).double() if name == "variance" else x[3])
    expected = {"product": 1.0, "geometric": 0.0, "conjugate": float("nan")}.get(name, 0.0)
    if name != "conjugate":
        assert out[1].tolist() == [expected] * 3
    else:
        torch.testing.assert_close(out[1], monoid.phi_inv(torch.zeros(3).double()))


def test_against_torch(x):
    rows = x[INDEX == 3]
    last = {name: EXACT[name]().double().aggregate(x, GRAPH)[3] for name in EXACT}
    expected = {
        "sum": rows.sum(0), "product": rows.prod(0), "mean": rows.mean(0), "max": rows.amax(0), "min": rows.amin(0),
        "logsumexp": rows.logsumexp(0), "softmax": ((0.7 * rows).softmax(0) * rows).sum(0),
        "power": rows.pow(3).mean(0) ** (1 / 3), "harmonic": 1 / (1 / rows).mean(0),
        "geometric": rows.log().mean(0).exp(), "variance": rows.var(0, correction=0),
    }  # fmt: skip
    for name, value in expected.items():
        torch.testing.assert_close(last[name], value)


def test_variance_keeps_its_digits_far_from_zero(x):
    far = x.float() + 1e4
    expected = Variance().aggregate(far.double(), GRAPH)
    for fold in (Variance().aggregate, lambda *inputs: Monoid.aggregate(Variance(), *inputs)):
        torch.testing.assert_close(fold(far, GRAPH).double(), expected, rtol=1e-2, atol=1e-3)
    naive = Mean().aggregate(far * far, GRAPH) - Mean().aggregate(far, GRAPH) ** 2
    assert (naive - expected).abs().max() > 0.5


def test_gradient_of_a_product_with_zeros():
    x = torch.tensor([[2.0], [0.0], [3.0]], requires_grad=True)
    Product().aggregate(x, Graph.from_segments(torch.zeros(3, dtype=torch.long), 1)).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0.0, 6.0, 0.0]


@pytest.mark.parametrize("name", LEARNED)
def test_learned_members(name, x):
    op = LEARNED[name]().double()
    assert op.commutative
    assert not op.associative
    a, b = x[:5], x[5:10]
    assert torch.equal(op(a, b), op(b, a))
    combine, parameters = op.pure()
    torch.testing.assert_close(combine(a, b, *parameters), op(a, b))
    torch.testing.assert_close(op(a[None], b[None])[0], op(a, b))
    assert gradcheck(lambda x: op.aggregate(x, GRAPH), (x.clone().requires_grad_(),))
    out = op.aggregate(x, GRAPH)
    torch.testing.assert_close(out[2], x[3], rtol=0, atol=0)
    assert out[1].tolist() == [0.0] * 3
    before = op.state_dict()
    before = {key: value.clone() for key, value in before.items()}
    torch.manual_seed(3)
    op.reset_parameters()
    assert all(not torch.equal(value, before[key]) for key, value in op.state_dict().items())


def test_gru_is_two_calls_of_torchs_cell(x):
    cell, op = nn.GRUCell(3, 3).double(), SymmetricGRU(3).double()
    op.load_state_dict(cell.state_dict())
    a, b = x[:5], x[5:10]
    torch.testing.assert_close(op(a, b), (cell(a, b) + cell(b, a)) / 2, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["gru", "mlp", "softmax", "variance"])
def test_half_types_are_folded_in_float32(name, x):
    op = (LEARNED | EXACT)[name]().bfloat16()
    out = op.aggregate(x.bfloat16(), GRAPH)
    assert out.dtype == torch.bfloat16
    expected = op.double().aggregate(x.bfloat16().double(), GRAPH)
    torch.testing.assert_close(out.double(), expected, rtol=1e-2, atol=1e-2)


def test_an_operator_is_a_function_of_its_rows():
    with pytest.raises(ValueError, match="function of its two rows"):
        Symmetrized(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)))
    with pytest.raises(ValueError, match="function of its two rows"):
        Symmetrized(nn.BatchNorm1d(4))
    with pytest.raises(TypeError, match=r"'op' must be a torch\.nn\.Module"):
        Symmetrized(torch.add)
    with pytest.raises(TypeError, match="must override 'combine'"):
        Monoid()(torch.zeros(1), torch.zeros(1))


def test_all_members_are_exported_and_tested():
    tested = {type(make()).__name__ for make in (EXACT | LEARNED).values()} | {"Monoid", "BinaryOperator"}
    assert tested == set(monoids.__all__)
