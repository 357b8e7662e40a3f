"""The whole suite on PyG's own layers: what holds passes, and the known faults are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import (
    GATConv,
    GCNConv,
    GENConv,
    GINEConv,
    GraphNorm,
    LCMAggregation,
    LSTMAggregation,
    PowerMeanAggregation,
    SAGEConv,
    SoftmaxAggregation,
    global_mean_pool,
)
from torch_geometric.nn.models import GCN, GraphSAGE

from graphkit.testing import PROPERTIES, check, example_data, resolve

# `compile` is covered by the planted faults (a second each); PyG's `EdgeIndex.sort_by` breaks what reads its pointers;
# whether self-loops are replaced is a choice.
LEFT_OUT = {"compile", "edge_index_sort", "plain_loops"}
CLAIMS = [name for name in PROPERTIES if name not in LEFT_OUT]


class GraphClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gnn = GraphSAGE(8, 16, 2, 4)

    def reset_parameters(self) -> None:
        self.gnn.reset_parameters()

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        return global_mean_pool(self.gnn(x, edge_index), batch, size=batch_size)


SOUND: dict[str, Callable[[], nn.Module]] = {
    "SAGEConv": lambda: SAGEConv(8, 8),
    "GENConv": lambda: GENConv(8, 8, aggr="softmax", learn_t=True, edge_dim=4),
    "GINEConv": lambda: GINEConv(nn.Linear(8, 8)),
    "GATConv": lambda: GATConv(8, 4, heads=2, edge_dim=3),
    "SoftmaxAggregation": lambda: SoftmaxAggregation(learn=True, channels=8),
    "GraphClassifier": GraphClassifier,
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_layers_raise_no_false_alarm(name: str) -> None:
    claims = [claim for claim in CLAIMS if not (name == "GraphClassifier" and claim == "bipartite")]
    report = check(SOUND[name], claims=claims)
    assert report.passed, str(report)
    assert sum(result.status == "passed" for result in report.results) > 15


@pytest.mark.parametrize("name", ["lcm", "lcm in SAGEConv"])
def test_pyg_lcm_depends_on_the_batch_and_on_order(name: str) -> None:
    layers: dict[str, Callable[[], nn.Module]] = {
        "lcm": lambda: LCMAggregation(8, 8),
        "lcm in SAGEConv": lambda: SAGEConv(8, 8, aggr="lcm", aggr_kwargs={"in_channels": 8, "out_channels": 8}),
    }
    broken = ["permutation", "edge_permutation", "unsorted_edges", "batch", "locality", "empty_graph"]
    report = check(layers[name], claims=[*broken, "gradient_equivariance", "deepcopy"])
    assert [result.claim for result in report.failures] == broken, str(report)
    assert "node" in report["locality"].message


def test_pyg_lstm_depends_on_order() -> None:
    report = check(lambda: LSTMAggregation(8, 8), claims=["permutation", "edge_permutation"])
    assert len(report.failures) == 2


@pytest.mark.parametrize("p", [2.0, -1.0])
def test_pyg_power_mean_of_nothing_is_not_zero(p: float) -> None:
    report = check(lambda: PowerMeanAggregation(p=p), claims=["empty_groups", "permutation"])
    assert [result.claim for result in report.failures] == ["empty_groups"]


def test_pyg_gcn_is_not_bipartite_and_treats_loops_apart_in_sparse_tensors() -> None:
    report = check(lambda: GCNConv(8, 8), claims=["laws", "bipartite"])
    assert {result.claim for result in report.failures} == {"layouts", "bipartite"}, str(report)
    assert "torch.sparse" in report["layouts"].message


def test_dropout_and_batch_norm_are_no_false_alarm() -> None:
    report = check(lambda: GCN(8, 16, 3, 4, dropout=0.5, norm="batch_norm"), claims="laws")
    assert report.passed, str(report)


def test_dropout_that_stays_on_is_found() -> None:
    class AlwaysDrops(SAGEConv):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(nn.functional.dropout(x, 0.5), edge_index)

    report = check(lambda: AlwaysDrops(8, 8), claims="eval_deterministic")
    assert not report.passed


def test_a_random_layer_is_told_once() -> None:
    """Two evaluations differ: that claim is broken, and what compares outputs says nothing."""

    class Noisy(SAGEConv):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return super().forward(torch.cat([x[:, :4], torch.rand(x.size(0), 4, dtype=x.dtype)], dim=1), edge_index)

    report = check(lambda: Noisy(8, 8), claims=["permutation", "batch", "eval_deterministic", "empty_graph", "ddp"])
    assert [result.status for result in report.results] == ["skipped", "skipped", "failed", "passed", "passed"]
    assert "draws random numbers" in report["permutation"].message


def test_a_verdict_does_not_depend_on_what_was_made_before() -> None:
    """PyG compiles ``propagate`` for the first instance of a class; here it cannot be fused."""

    class Fresh(SAGEConv):
        pass

    Fresh(8, 8, aggr="lstm", aggr_kwargs={"in_channels": 8, "out_channels": 8})
    report = check(lambda: Fresh(8, 8), claims=["layouts", "deepcopy"])
    assert [result.status for result in report.results] == ["passed", "passed"], str(report)


def test_report_is_a_table() -> None:
    report = check(lambda: SAGEConv(8, 4), claims=["permutation", "lazy", "E(3)"], seed=5)
    lines = str(report).splitlines()
    assert lines[0] == "SAGEConv(8, 4, aggr=mean)"
    assert lines[1].endswith("seed=5")
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["permutation", "passed"],
        ["lazy", "skipped"],
        ["E(3)", "skipped"],
    ]
    assert lines[-1].strip() == "1 passed, 0 failed, 2 skipped"


def test_nothing_checked_is_not_passed() -> None:
    assert not check(lambda: SAGEConv(8, 8), claims="lazy").passed


def test_threads_are_as_before() -> None:
    before = torch.get_num_threads()
    check(lambda: LCMAggregation(8, 8), claims=["batch", "eval_deterministic", "empty_graph"])
    assert torch.get_num_threads() == before


def test_results_repeat() -> None:
    first, second = (check(lambda: LCMAggregation(8, 8), claims="locality", seed=2) for _ in range(2))
    assert first["locality"].message == second["locality"].message


def test_users_data_and_call() -> None:
    class Scaled(nn.Module):
        def forward(self, features: Tensor, scale: Tensor) -> Tensor:
            return features * scale

    data = example_data(("x",))
    data.scale = torch.rand(12, 1)
    report = check(Scaled(), data, claims=["permutation", "batch"], call=lambda layer, d: layer(d.x, d.scale))
    assert report.passed, str(report)


def test_resolve_laws_all_and_unknown() -> None:
    laws = resolve()
    assert {prop.name for prop in laws} == {name for name, prop in PROPERTIES.items() if prop.law}
    assert [prop.name for prop in resolve("all")] == list(PROPERTIES)
    assert [prop.name for prop in resolve(["batch", "Batch"])] == ["batch"]
    with pytest.raises(ValueError, match="'localty', which is no property; did you mean 'locality'"):
        check(lambda: SAGEConv(8, 8), claims=["localty"])


def test_unchecked_claim_is_no_result() -> None:
    report = check(lambda: SAGEConv(8, 8), claims="batch")
    with pytest.raises(KeyError, match="'locality' was not checked"):
        report["locality"]


def test_a_norm_is_not_asked_about_edges() -> None:
    report = check(lambda: GraphNorm(8), claims="all")
    skipped = {result.claim for result in report.results if result.message == "the layer takes no edges"}
    assert skipped == {name for name, prop in PROPERTIES.items() if prop.needs_edges}
    assert report["permutation"].status == report["batch"].status == "passed"
