from __future__ import annotations

import pytest
from torch_geometric.nn import LCMAggregation as PyGLCM
from torch_geometric.nn import MeanAggregation, MLPAggregation, MultiAggregation, SAGEConv, SumAggregation
from torch_geometric.nn.resolver import aggregation_resolver

from graphkit.nn import (
    DegreeScaledAggregation,
    LCMAggregation,
    PowerMeanAggregation,
    SoftmaxAggregation,
    pyg_resolves_ours,
    resolve_aggregation,
)


@pytest.mark.parametrize("name", ["softmax", "Softmax", "SoftmaxAggregation", "soft-max"])
def test_names_of_the_softmax(name):
    aggr = resolve_aggregation(name, t=0.3, learn_t=True)
    assert type(aggr) is SoftmaxAggregation
    assert aggr.learn
    assert not aggr.semi_grad
    assert aggr.t.item() == pytest.approx(0.3)


def test_semi_gradient_by_name():
    assert resolve_aggregation("softmax_sg", t=0.1).semi_grad
    scaled = resolve_aggregation("softmax_sum_sg", t=0.1, y=0.3)
    assert isinstance(scaled, DegreeScaledAggregation)
    assert scaled.aggr.semi_grad
    assert scaled.y == 0.3
    with pytest.raises(ValueError, match="learnable"):
        resolve_aggregation("softmax_sg", learn_t=True)


@pytest.mark.parametrize("name", ["power", "powermean", "PowerMean"])
def test_names_of_the_power_mean(name):
    aggr = resolve_aggregation(name, p=3.0, eps=1e-5)
    assert type(aggr) is PowerMeanAggregation
    assert (aggr.p, aggr.eps, aggr.compat) == (3.0, 1e-5, None)


def test_scaled_power_mean():
    aggr = resolve_aggregation("power_sum", p=2.0, learn_p=True, y=-0.4, learn_y=True)
    assert {name: value.item() for name, value in aggr.named_parameters()} == pytest.approx({"y": -0.4, "aggr.p": 2.0})


def test_list_gets_its_parameters():
    aggr = resolve_aggregation(["softmax", "powermean", "mean"], t=0.2, learn_t=True, p=3.0, learn_p=True)
    assert isinstance(aggr, MultiAggregation)
    softmax, power, mean = aggr.aggrs
    assert softmax.t.item() == pytest.approx(0.2)
    assert power.p.item() == pytest.approx(3.0)
    assert type(mean) is MeanAggregation


def test_list_with_arguments_of_its_own():
    kwargs = {"mode": "sum", "aggrs_kwargs": [{"t": 5.0}, {"p": 7.0}]}
    aggr = resolve_aggregation(["softmax", "powermean"], t=0.2, aggr_kwargs=kwargs)
    assert (aggr.aggrs[0].t, aggr.aggrs[1].p, aggr.mode) == (5.0, 7.0, "sum")
    with pytest.raises(ValueError, match="one dict per aggregation"):
        resolve_aggregation(["softmax"], aggr_kwargs=kwargs)


def test_arguments_win_over_parameters():
    assert resolve_aggregation("softmax", t=0.2, aggr_kwargs={"t": 4.0}).t == 4.0
    assert resolve_aggregation("softmax_sum", aggr_kwargs={"t": 4.0, "y": 2.0, "learn_y": True}).y.item() == 2.0


def test_the_rest_is_pyg():
    assert type(resolve_aggregation("add")) is SumAggregation
    mlp = resolve_aggregation(
        "mlp", aggr_kwargs={"in_channels": 4, "out_channels": 4, "max_num_elements": 3, "num_layers": 1}
    )
    assert isinstance(mlp, MLPAggregation)
    assert resolve_aggregation(mlp) is mlp
    assert resolve_aggregation(None) is None
    with pytest.raises(ValueError, match="Could not resolve"):
        resolve_aggregation("no such thing")


def test_lcm_by_name():
    aggr = resolve_aggregation(
        ["lcm", "mean"], aggr_kwargs={"aggrs_kwargs": [{"in_channels": 4, "out_channels": 2}, {}]}
    )
    lcm, mean = aggr.aggrs
    assert (type(lcm), lcm.out_channels, type(mean)) == (LCMAggregation, 2, MeanAggregation)


def test_pyg_finds_ours_inside_the_block_alone():
    widths = {"in_channels": 4, "out_channels": 4}
    with pyg_resolves_ours():
        assert type(aggregation_resolver("lcm", **widths)) is LCMAggregation
        assert type(aggregation_resolver("softmax")) is SoftmaxAggregation
        conv = SAGEConv(4, 4, aggr="lcm", aggr_kwargs=widths)
        multi = MultiAggregation(["lcm", "max"], aggrs_kwargs=[widths, {}])
    assert type(conv.aggr_module) is LCMAggregation
    assert type(multi.aggrs[0]) is LCMAggregation
    assert type(aggregation_resolver("lcm", **widths)) is PyGLCM
    with pytest.raises(RuntimeError, match="inside"), pyg_resolves_ours():
        raise RuntimeError("inside")
    assert type(aggregation_resolver("lcm", **widths)) is PyGLCM
