"""Splits of the published protocol, the baseline, and what a run of a rule leaves."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from graphkit.datasets import load
from graphkit.recipes.forward.experiment import (
    Network,
    published_seed,
    run_backprop,
    run_rule,
    scores_by_depth,
    split_links,
    split_nodes,
    with_unit_rows,
)
from graphkit.recipes.forward.memory import peak_bytes
from graphkit.recipes.forward.networks import BackProp, forward_convs
from graphkit.train import ForwardConfig
from tests.golden.forwardgnn_golden import arrays
from tests.train.forward.cases import graph

QUICK = ForwardConfig(epochs=4, progress=False, device="cpu")


def single() -> Data:
    data = graph()
    data.x = data.x.float()
    return data


def test_splits_are_the_published_ones() -> None:
    pytest.importorskip("sklearn")
    found = arrays("splits")
    for number in range(5):
        data = split_nodes(Data(num_nodes=25), number)
        for name in ("train", "val", "test"):
            nodes = data[f"{name}_mask"].nonzero().view(-1)
            assert nodes.equal(found[f"{name}{number}"].sort().values)
    assert [published_seed(run) for run in range(5)] == found["run_seeds"].tolist()


def test_links_that_are_held_out_are_no_edges_of_the_training_graph() -> None:
    split = split_links(load("karate")[0], 1)
    seen = {tuple(edge) for edge in split["train"].edge_index.t().tolist()}
    for name in ("val", "test"):
        part = split[name]
        held = part.edge_label_index[:, part.edge_label > 0.5].t().tolist()
        assert held
        assert not any(tuple(edge) in seen or tuple(edge[::-1]) in seen for edge in held)
        assert int((part.edge_label == 0).sum()) == len(held)


@pytest.mark.parametrize("conv", ["gcn", "sage", "gat", "gen", "sheaf"])
def test_a_rule_and_back_propagation_on_every_convolution(conv: str, tmp_path: Path) -> None:
    data, network = single(), Network(conv, 2, 8)
    result = run_rule("sf", network, data, 3, QUICK, tmp_path)
    assert set(scores_by_depth(result, 2, "test")) == {1, 2}
    baseline = run_backprop(network, with_unit_rows(data), 3, QUICK, tmp_path)
    assert scores_by_depth(baseline, 2, "test") == {2: baseline.test}
    assert baseline.epochs == 4
    assert (tmp_path / "results.jsonl").exists()


def test_back_propagation_on_links(tmp_path: Path) -> None:
    result = run_backprop(Network("gcn", 2, 8), with_unit_rows(split_links(single(), 0)), 3, QUICK, tmp_path)
    assert 0 <= result.test <= 1
    assert result.history[-1].loss < result.history[0].loss


def test_rows_have_length_one_and_the_data_are_left_alone() -> None:
    data = single()
    before = data.x.clone()
    lengths = with_unit_rows(data).x.norm(dim=1)
    torch.testing.assert_close(lengths, (before.norm(dim=1) > 0).float())
    assert data.x.equal(before)


def test_channels_of_every_layer() -> None:
    assert [conv.in_channels for conv in forward_convs("ff-la", "gcn", 2, 5, 8, 3)] == [8, -1]
    assert [conv.in_channels for conv in forward_convs("link-ce-top-to-input", "gcn", 2, 5, 8, 3)] == [13, 8]
    assert BackProp("gat", 2, 5, 8, 3)(torch.ones(4, 5), torch.tensor([[0, 1], [1, 2]])).shape == (4, 3)


def test_peak_memory_counts_what_lives_at_the_same_time() -> None:
    x = torch.ones(1000)

    def freed_between() -> None:
        y = x + 1
        del y
        torch.cat([x, x])

    assert peak_bytes(freed_between) == 8000
    assert peak_bytes(lambda: [x + 1, torch.cat([x, x])]) == 12000
    assert peak_bytes(lambda: x.view(10, 100).t()) == 0


def test_memory_of_the_single_forward_rule_is_flat(tmp_path: Path) -> None:
    """Beyond the weights, 8 layers take what 3 take; back-propagation keeps the outputs of all.

    With 2 layers of this small graph no layer is worked out from another one's output, which is what takes most here.
    """
    data = graph(nodes=900, features=64, edges=4000)
    data.x = data.x.float()

    def peak(rule: str, depth: int) -> int:
        network, folder = Network("gcn", depth, 64), tmp_path / f"{rule}-{depth}"
        run = run_backprop if rule == "backprop" else partial(run_rule, rule)
        return peak_bytes(lambda: run(network, data, 3, QUICK, folder)) - 4 * 65 * 64 * depth

    assert peak("sf", 8) < 1.1 * peak("sf", 3)
    assert peak("backprop", 8) > 1.3 * peak("backprop", 3)
    assert peak("sf", 4) < peak("backprop", 4)
