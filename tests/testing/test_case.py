from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import LCMAggregation, SAGEConv, global_mean_pool

from graphkit.testing import CannotRun, Case, example_data


class Mixed(nn.Module):
    """One output per node, per edge and per graph."""

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x, x[edge_index[0]], global_mean_pool(x, batch)


def sage() -> nn.Module:
    return SAGEConv(8, 4)


def test_levels_are_found() -> None:
    case = Case(Mixed)
    assert case.levels == ["node", "edge", "graph"]
    assert case.takes_batch


def test_modules_repeat_and_leave_the_random_state() -> None:
    state = torch.get_rng_state()
    case = Case(sage)
    first, second, other = case.module(), case.module(), case.module(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    weights = [m.get_parameter("lin_l.weight") for m in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not first.training
    assert bool((first.get_parameter("lin_l.bias") != 0).all())


def test_a_module_is_tested_as_it_is_and_left_alone() -> None:
    layer = sage()
    case = Case(layer)
    assert torch.equal(case.module().get_parameter("lin_l.weight"), layer.get_parameter("lin_l.weight").double())
    assert layer.get_parameter("lin_l.weight").dtype == torch.float32


def test_data_is_fresh_each_time() -> None:
    case = Case(sage)
    case.data.x.zero_()
    assert bool(case.data.x.any())


def test_data_of_the_user_in_float64_and_the_first_of_a_batch() -> None:
    data = example_data(("x",), num_nodes=9)
    data.x = data.x.float()
    assert Case(sage, data).data.x.dtype == torch.float64
    batch = Batch.from_data_list([data, example_data(("x",), num_nodes=20)])
    assert Case(sage, batch).data.num_nodes == 9


def test_whether_a_call_takes_edges() -> None:
    assert Case(sage, call=lambda layer, data: layer(data.x, data.edge_index)).takes_edges
    assert not Case(lambda: nn.Linear(8, 8), call=lambda layer, data: layer(data.x)).takes_edges
    assert not Case(lambda: nn.Identity(), call=lambda layer, data: layer(data.x)).takes_edges


def test_edges_are_sorted_for_layers_that_ask() -> None:
    assert Case(lambda: LCMAggregation(8, 8)).sorted_only
    assert not Case(sage).sorted_only


def test_lazy_layers_are_opened() -> None:
    case = Case(lambda: SAGEConv(-1, 4))
    assert case.module().get_parameter("lin_l.weight").shape == (4, 8)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: SAGEConv(), "cannot be built: TypeError"),  # type: ignore[call-arg]
        (lambda: 3, "must build a torch.nn.Module, got int"),
        (lambda: nn.Bilinear(8, 8, 8), "requires 'input1'"),
        (lambda: nn.Sequential(nn.Flatten(0)), "cannot be called: .*pass 'data', 'in_channels'"),
    ],
    ids=["arguments", "no-module", "unknown-input", "fails"],
)
def test_cannot_run(layer: object, message: str) -> None:
    with pytest.raises(CannotRun, match=message):
        Case(layer)  # type: ignore[arg-type]


def test_output_of_unknown_size() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return x[:6]

    with pytest.raises(CannotRun, match=r"shape \[6, 8\], which is neither per node \(12\)"):
        Case(Half)


def test_not_callable() -> None:
    with pytest.raises(TypeError, match="'layer' must be a module or a function that builds one, got int"):
        Case(3)  # type: ignore[arg-type]
