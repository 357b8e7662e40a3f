"""The table of forward-only training: epoch time and peak memory by depth, on Cora and on 50,000 nodes.

An epoch is one step of every layer. Contenders: graphkit; the published procedure (:mod:`benchmarks.forward_peers`);
back-propagation through the same convolutions on features with rows of length 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from benchmarks.forward_peers import Step, back_propagation, forward_forward, single_forward, top_to_input, top_to_loss
from benchmarks.harness import interleave
from graphkit.recipes.forward.experiment import (
    Network,
    open_graph,
    run_backprop,
    run_rule,
    split_nodes,
    with_unit_rows,
)
from graphkit.recipes.forward.memory import peak_bytes
from graphkit.recipes.forward.networks import BackProp, forward_convs
from graphkit.train import ForwardConfig, ForwardTrainer, Share
from graphkit.train.forward.base import GreedyRule
from graphkit.train.forward.data import NodeSource
from graphkit.train.forward.layer import ForwardNetwork
from graphkit.train.forward.phase import TopDownPhase
from graphkit.train.forward.rules import make_rule

HIDDEN = 128
QUICK = ForwardConfig(epochs=2, progress=False, device="cpu")
# ms per epoch of the published code itself on Cora with 4 layers of 128, 1 thread, recorded on a machine of this kind.
RECORDED = {
    "gcn": {"backprop": 58, "sf": 100, "ff-la": 601, "ff-vn": 627, "sf-top-to-loss": 92, "sf-top-to-input": 149},
    "sage": {"backprop": 116, "sf": 160, "ff-la": 778, "ff-vn": 1069, "sf-top-to-loss": 181, "sf-top-to-input": 198},
    "gat": {"backprop": 110, "sf": 238, "ff-la": 797, "ff-vn": 849, "sf-top-to-loss": 149, "sf-top-to-input": 200},
}


def cora() -> tuple[Data, int]:
    """Cora on the published split."""
    dataset = open_graph("cora")
    return split_nodes(dataset[0], 0), dataset.num_classes


def large(nodes: int = 50_000, edges: int = 250_000, features: int = 64, classes: int = 10) -> tuple[Data, int]:
    """A uniform random graph, 60 % of whose nodes train."""
    g = torch.Generator().manual_seed(0)
    part = torch.rand(nodes, generator=g)
    return Data(
        x=torch.randn(nodes, features, generator=g),
        edge_index=torch.randint(nodes, (2, edges), generator=g),
        y=torch.randint(classes, (nodes,), generator=g),
        train_mask=part < 0.6,
        val_mask=(part >= 0.6) & (part < 0.8),
        test_mask=part >= 0.8,
    ), classes


def _network(rule: str, conv: str, layers: int, data: Data, classes: int, hidden: int) -> ForwardNetwork:
    torch.manual_seed(0)
    return ForwardNetwork(forward_convs(rule, conv, layers, data.x.size(1), hidden, classes))


def _steps(rule_name: str, conv: str, layers: int, data: Data, classes: int, hidden: int, published: bool) -> Step:
    """One epoch of every layer; the features that a layer reads are worked out before the clock runs."""
    network, rule = _network(rule_name, conv, layers, data, classes, hidden), make_rule(rule_name)
    source = NodeSource(data, classes, network, ForwardConfig(fast=not published))
    setting = source.training(Share())
    made: list[torch.optim.Adam] = []

    def optimize(layer: nn.Module) -> None:
        made.append(torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=5e-4, fused=True))

    def update(place: int, loss: Tensor, count: int | None) -> None:
        made[place].zero_grad()
        loss.backward()
        made[place].step()

    if not isinstance(rule, GreedyRule):
        phase = TopDownPhase(rule, network, setting)
        for layer in network.layers:
            optimize(layer)
        if published:
            return _published_top_down(phase, [layer.conv for layer in network.layers], setting.train, data.y)
        return lambda: phase.epoch(update, torch.Generator())
    inputs, losses = rule.begin(setting), []
    for layer in network.layers:
        problem = rule.problem(layer, setting, inputs)  # a lazy layer has weights from here on
        if published:
            losses.append(_published(rule_name, layer.conv, inputs, setting, data, classes))
        else:
            optimize(layer)
            losses.append(problem.loss)
        inputs = rule.advance(layer, setting, inputs)

    def step() -> None:
        for place, loss in enumerate(losses):
            if published:
                loss()
            else:
                update(place, loss(), None)

    return step


def _published(rule: str, conv: Any, inputs: Any, setting: Any, data: Data, classes: int) -> Step:
    def raw(features: Any) -> Tensor:
        parts = [features.real if features.context is None else torch.cat([features.real, features.context], 1)]
        return torch.cat([*parts, features.classes]) if features.classes is not None else parts[0]

    if rule == "sf":
        return single_forward(conv, raw(inputs.features), inputs.topology.edge_index, setting.train, data.y, classes)
    if rule == "ff-vn":
        x = raw(inputs.features)
        return forward_forward(conv, [(x, graph.edge_index) for graph in inputs.graphs], setting.train)
    return forward_forward(conv, [(raw(each), inputs.topology.edge_index) for each in inputs.versions], setting.train)


def _published_top_down(phase: TopDownPhase, convs: list[Any], train: Tensor, y: Tensor) -> Step:
    stack = phase.stack
    assert stack.bottom.classes is not None
    bottom, edges = torch.cat([stack.bottom.real, stack.bottom.classes]), stack.topology.edge_index
    if stack.top is None:
        return top_to_loss(convs, bottom, phase.states, edges, train, y)
    return top_to_input(convs, bottom, phase.states, stack.top, edges, train, y)


def _backprop(conv: str, layers: int, data: Data, classes: int, hidden: int) -> Step:
    torch.manual_seed(0)
    unit = with_unit_rows(data)
    model = BackProp(conv, layers, data.x.size(1), hidden, classes)
    return back_propagation(model, unit.x, unit.edge_index, unit.train_mask, unit.y)


def forward_table(rounds: int, threads: int) -> list[str]:
    """Epoch times on Cora by rule and convolution, then times and peaks by depth on both graphs."""
    torch.set_num_threads(1)
    try:
        data, classes = cora()
        lines = [
            "Cora, 4 layers of 128, 1 thread, ms for one epoch of every layer, median of the rounds; greedy rules,",
            "then top-down ones. The published procedure is written from its description; the ratio is to it:",
            "",
        ]
        lines += ["| conv | rule | published code, recorded | published procedure | graphkit | ratio |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for conv in ("gcn", "sage", "gat"):
            lines += _times(conv, data, classes, rounds)
        lines += ["", "Recorded peaks of the published code on Cora, GCN, from 2 to 8 layers: 52 to 53 MiB (sf)."]
        lines += ["", *_by_depth("Cora, GCN", data, classes, HIDDEN, (2, 4, 8, 16, 32), rounds)]
        lines += ["", *_by_depth("50,000 nodes, 250,000 edges, GCN of 64", *large(), 64, (2, 8, 32), 1)]
    finally:
        torch.set_num_threads(threads)
    return lines


def _times(conv: str, data: Data, classes: int, rounds: int) -> list[str]:
    bp = interleave({"bp": _backprop(conv, 4, data, classes, HIDDEN)}, rounds)["bp"].seconds
    recorded = RECORDED[conv]
    lines = [f"| {conv} | back-propagation | {recorded['backprop']} | | {1000 * bp:.1f} | |"]
    for rule in ("sf", "ff-la", "ff-vn", "sf-top-to-loss", "sf-top-to-input"):
        contenders = {
            name: _steps(rule, conv, 4, data, classes, HIDDEN, published)
            for name, published in (("published", True), ("graphkit", False))
        }
        found = {name: 1000 * each.seconds for name, each in interleave(contenders, rounds).items()}
        lines.append(
            f"| {conv} | {rule} | {recorded[rule]} | {found['published']:.1f} | {found['graphkit']:.1f} | "
            f"{found['published'] / found['graphkit']:.1f}x |"
        )
    return lines


def _by_depth(title: str, data: Data, classes: int, hidden: int, depths: Sequence[int], rounds: int) -> list[str]:
    held: list[tuple[float, float]] = []  # lazy, eager
    lines = [
        f"{title}: sf against back-propagation by depth. Peaks are of a whole training with validation, weights",
        "included, the data not; lazy layers, as `graphkit train` makes them, get theirs when their turn comes:",
        "",
        "| layers | back-propagation ms | published sf ms | sf ms | ratios | back-propagation MiB | sf MiB | "
        "sf MiB, no layer lazy |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    unit = with_unit_rows(data)
    for layers in depths:
        contenders: dict[str, Callable[[], object]] = {
            "bp": _backprop("gcn", layers, data, classes, hidden),
            "published": _steps("sf", "gcn", layers, data, classes, hidden, True),
            "sf": _steps("sf", "gcn", layers, data, classes, hidden, False),
        }
        found = {name: each.seconds for name, each in interleave(contenders, rounds).items()}
        del contenders
        network = Network("gcn", layers, hidden)
        with TemporaryDirectory() as folder:
            peaks = [
                peak_bytes(partial(run_backprop, network, unit, classes, QUICK, Path(folder))) / 2**20,
                peak_bytes(partial(run_rule, "sf", network, data, classes, QUICK, Path(folder))) / 2**20,
                peak_bytes(partial(_eager, layers, data, classes, hidden)) / 2**20,
            ]
        held.append((peaks[1], peaks[2]))
        lines.append(
            f"| {layers} | {1000 * found['bp']:.1f} | {1000 * found['published']:.1f} | {1000 * found['sf']:.1f} | "
            f"{found['bp'] / found['sf']:.1f}x, {found['published'] / found['sf']:.1f}x | "
            f"{peaks[0]:.1f} | {peaks[1]:.1f} | {peaks[2]:.1f} |"
        )
    lazy, eager = (last / first for first, last in zip(held[0], held[-1], strict=True))
    lines += [
        "",
        f"sf's peak with {depths[-1]} layers is {lazy:.2f}x that with {depths[0]}; {eager:.2f}x if all layers have "
        "weights from the start.",
    ]
    return lines


def _eager(layers: int, data: Data, classes: int, hidden: int) -> None:
    widths = [data.x.size(1), *[hidden] * layers]
    ForwardTrainer("sf", [GCNConv(*pair) for pair in pairwise(widths)], classes, QUICK).fit(data)
