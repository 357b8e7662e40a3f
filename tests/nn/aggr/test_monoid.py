from __future__ import annotations

import pytest
import torch

from graphkit import Graph
from graphkit.nn import LCMAggregation, MonoidAggregation, order_sensitivity
from graphkit.nn.aggr.monoids import Max, Softmax, SymmetricGRU, SymmetricMLP
from graphkit.nn.aggr.order import leaf_order

INDEX = torch.tensor([3, 0, 3, 1, 0, 3, 1, 1, 5, 3])


@pytest.fixture
def x():
    return torch.randn(10, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["lcm", "mlp", "softmax"])
def aggr(request):
    make = {
        "lcm": lambda: LCMAggregation(4, 4),
        "mlp": lambda: MonoidAggregation(SymmetricMLP(4)),
        "softmax": lambda: MonoidAggregation(Softmax(0.5)),
    }[request.param]
    return make().double().eval()


def test_layouts(x, aggr):
    expected = aggr(x, INDEX, dim_size=7)
    order = INDEX.sort(stable=True).indices
    ptr = torch.tensor([0, 2, 5, 5, 9, 9, 10, 10])
    torch.testing.assert_close(aggr(x[order], INDEX[order], dim_size=7), expected)
    torch.testing.assert_close(aggr(x[order], ptr=ptr), expected)
    torch.testing.assert_close(aggr(x[order], ptr=ptr, max_num_elements=4), expected)
    batched = aggr(torch.stack([x, 2 * x]), INDEX, dim_size=7)
    torch.testing.assert_close(batched[0], expected)
    torch.testing.assert_close(batched[1], aggr(2 * x, INDEX, dim_size=7))
    deep = aggr(x.expand(2, 3, -1, -1), INDEX, dim_size=7)
    torch.testing.assert_close(deep, expected.expand(2, 3, -1, -1))
    torch.testing.assert_close(aggr(x[:, None], INDEX, dim_size=7, dim=0)[:, 0], expected)
    assert aggr(x).shape == (1, 4)


def test_nothing(aggr):
    x = torch.randn(0, 4, dtype=torch.float64, requires_grad=True)
    out = aggr(x, torch.empty(0, dtype=torch.long), dim_size=3)
    assert out.tolist() == [[0.0] * 4] * 3
    if out.requires_grad:
        out.sum().backward()
    assert aggr(x, torch.empty(0, dtype=torch.long)).shape == (0, 4)
    assert aggr(x, ptr=torch.tensor([0, 0])).shape == (1, 4)


def test_random_in_training_and_given_in_evaluation(x):
    aggr = LCMAggregation(4, 4, project=False).double()
    draws = torch.stack([aggr(x, INDEX) for _ in range(8)])
    assert (draws.std(0)[3] > 0).all()
    assert (draws.std(0)[0] == 0).all()  # two rows: the operator commutes
    aggr.eval()
    torch.testing.assert_close(aggr(x, INDEX), LCMAggregation.forward(aggr, x, INDEX), rtol=0, atol=0)
    given = LCMAggregation(4, 4, project=False, order="given").double()
    given.load_state_dict(aggr.state_dict())
    torch.testing.assert_close(given(x, INDEX), aggr(x, INDEX), rtol=0, atol=0)
    always = LCMAggregation(4, 4, project=False, order="random").double().eval()
    assert any(not torch.equal(always(x, INDEX), always(x, INDEX)) for _ in range(8))


def test_random_orders_are_uniform():
    graph = Graph.from_segments(torch.tensor([1, 0, 1, 1]), 2)
    seen: dict[tuple[int, ...], int] = {}
    for _ in range(600):
        order = leaf_order(torch.zeros(4, 1), graph, "random")
        assert order is not None
        assert order[0] == 1
        key = tuple(order[1:].tolist())
        seen[key] = seen.get(key, 0) + 1
    assert len(seen) == 6
    assert min(seen.values()) > 60


def test_more_samples_vary_less(x):
    spread = []
    for num_samples in (1, 16):
        aggr = MonoidAggregation(SymmetricGRU(4), order="random", num_samples=num_samples).double()
        torch.manual_seed(0)
        aggr.reset_parameters()
        spread.append(torch.stack([aggr(x, INDEX) for _ in range(30)]).std(0)[3].mean())
    assert spread[1] < spread[0] / 2
    torch.manual_seed(0)
    auto = MonoidAggregation(SymmetricGRU(4), num_samples=16).double().eval()
    torch.manual_seed(1)
    one = auto(x, INDEX)
    torch.manual_seed(1)
    torch.testing.assert_close(auto(x, INDEX), one, rtol=0, atol=0)
    assert not torch.equal(auto(x, INDEX), one)


def test_sorted_rows_make_it_invariant_and_it_stays_differentiable(x):
    aggr = LCMAggregation(4, 4, order="sorted").double()
    assert order_sensitivity(aggr, x, INDEX) < 1e-14
    ties = x[torch.zeros(10, dtype=torch.long)]
    assert order_sensitivity(aggr, ties, INDEX) < 1e-14
    leaf = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: aggr(x, INDEX), (leaf,))


def test_order_sensitivity(x):
    assert order_sensitivity(MonoidAggregation(Max()), x, INDEX) == 0
    aggr = LCMAggregation(4, 4).double()
    assert order_sensitivity(aggr, x, INDEX) > 1e-3
    assert aggr.training
    pairs = torch.arange(5).repeat(2)
    assert order_sensitivity(aggr, x, pairs) < 1e-14  # commutative
    assert order_sensitivity(aggr, x[:0], INDEX[:0], dim_size=2) == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_gates_are_float32(x, dtype):
    aggr = LCMAggregation(4, 4).eval()
    rows = x.float().requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        out = aggr(rows, INDEX)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, aggr(rows, INDEX), rtol=2e-2, atol=2e-2)
    assert not torch.equal(out, aggr(rows, INDEX))  # the projection ran in half
    out.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in aggr.parameters())
    bare = LCMAggregation(4, 4, project=False).eval()
    with torch.autocast("cpu", dtype=dtype):
        torch.testing.assert_close(bare(rows, INDEX), bare(rows, INDEX), rtol=0, atol=0)
        inside = bare(rows, INDEX)
    torch.testing.assert_close(inside, bare(rows, INDEX), rtol=0, atol=0)


def test_threads_change_no_more_than_the_last_digit():
    """torch's own element-wise operations round the ends of each thread's share differently."""
    torch.manual_seed(0)
    x, index = torch.randn(3000, 16), torch.randint(100, (3000,))
    aggr = LCMAggregation(16, 16).eval()
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            leaf = x.clone().requires_grad_()
            out = aggr(leaf, index)
            results.append((out, *torch.autograd.grad(out.sum(), [leaf, *aggr.parameters()])))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-6, atol=1e-7)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_errors(x):
    with pytest.raises(TypeError, match=r"wrap a module of two arguments with Symmetrized"):
        MonoidAggregation(torch.nn.Bilinear(4, 4, 4))
    with pytest.raises(ValueError, match="unknown order"):
        MonoidAggregation(Max(), order="down")
    for options in ({"num_samples": 0}, {"num_samples": 2, "order": "given"}):
        with pytest.raises(ValueError, match="'num_samples'"):
            MonoidAggregation(Max(), **options)
    aggr = MonoidAggregation(Max())
    with pytest.raises(ValueError, match="dimension"):
        aggr(x, INDEX, dim=4)
    with pytest.raises(ValueError, match="dim_size"):
        aggr(x, ptr=torch.tensor([0, 10]), dim_size=3)
