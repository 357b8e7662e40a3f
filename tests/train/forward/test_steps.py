"""Single steps of every rule against arrays of the published code: outputs, losses, gradients, weights, scores."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from graphkit.train.distributed import Share
from graphkit.train.forward.augment import wrong_classes
from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.data import LinkSource, NodeSource
from graphkit.train.forward.layer import ForwardNetwork
from graphkit.train.forward.phase import TopDownPhase
from graphkit.train.forward.rules import make_rule
from tests.golden.forwardgnn_golden import arrays, conv, pair_graphs, part, step_graph


def close(mine: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)


def sources(name: str, kind: str, layers: int, **options: Any) -> tuple[dict[str, Tensor], ForwardNetwork, Any]:
    found = arrays(name)
    network = ForwardNetwork([conv(kind, part(found, f"layer{i}.w_before.")) for i in range(layers)])
    config = ForwardConfig(compat="official", **options)
    if name.startswith("lp"):
        return found, network, LinkSource(pair_graphs("linkpred_graph"), config)
    data, network.virtual = step_graph()
    negatives = wrong_classes(data.y[data.train_mask], 3, None)
    return found, network, NodeSource(data, 3, network, config, neg_classes=negatives, leak=name.startswith("ff"))


GREEDY = [
    ("sf_gcn_tau0.5", "sf", "gcn", {"temperature": 0.5}),
    ("sf_gcn_unidirection", "sf", "gcn", {"direction": "to_class"}),
    ("ff_la_gat", "ff-la", "gat", {}),
    ("ff_vn_gat", "ff-vn", "gat", {}),
    ("lp_ff_gat", "link-ff", "gat", {}),
]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("name", "rule_name", "kind", "options"), GREEDY)
def test_a_greedy_layer(name: str, rule_name: str, kind: str, options: dict[str, Any], fast: bool) -> None:
    found, network, source = sources(name, kind, 2, fast=fast, **options)
    if "temperature" in options:
        assert float(found["temperature"]) == options["temperature"]
    rule, setting = make_rule(rule_name), source.training(Share())
    inputs = rule.begin(setting)
    for number, layer in enumerate(network.layers):
        before = {key: value.clone() for key, value in layer.state_dict().items()}
        for after, optimizer, steps in (
            ("1_sgd_lr0.1", torch.optim.SGD(layer.parameters(), lr=0.1), 1),
            ("5_adam", torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=5e-4), 5),
        ):
            layer.load_state_dict(before)
            problem = rule.problem(layer, setting, inputs)
            for step in range(steps):
                optimizer.zero_grad()
                loss = problem.loss()
                loss.backward()
                if step == 0:
                    close(loss, found[f"layer{number}.loss"])
                    for key, parameter in layer.conv.named_parameters():
                        close(parameter.grad, found[f"layer{number}.grad.{key}"])
                optimizer.step()
                if step == 0:
                    name_of = after.replace("5_", "1_")
                    for key, value in part(found, f"layer{number}.w_after_{name_of}.").items():
                        close(layer.conv.state_dict()[key], value)
        for key, value in part(found, f"layer{number}.w_after_5_adam.").items():
            close(layer.conv.state_dict()[key], value)
        with torch.no_grad():
            inputs = rule.advance(layer, setting, inputs)
    for split in ("val", "test"):
        check_votes(rule, network, source, split, found)


def check_votes(rule: Any, network: ForwardNetwork, source: Any, split: str, found: dict[str, Tensor]) -> None:
    setting = source.judged(split)
    inputs = rule.begin(setting)
    votes = []
    with torch.no_grad():
        for layer in network.layers:
            votes.append(rule.problem(layer, setting, inputs).votes())
            inputs = rule.advance(layer, setting, inputs)
            depth, total = len(votes), torch.stack(votes).sum(0)
            key = f"eval_{split}_depth{depth}"
            if f"{key}_probs" in found:
                close(torch.stack(votes), found[f"{key}_probs"])
            elif f"{key}_goodness" in found:
                close(total, found[f"{key}_goodness"][source.nodes[split]])
            else:
                close(total * rule.depth_scale(depth, setting), found[f"{key}_score_official"])
                close(total / depth, found[f"{key}_score_mean_over_trained_layers"])


TOP_DOWN = [
    ("sf_top2loss_gat", "sf-top-to-loss", "gat", {}),
    ("sf_top2input_gcn_nonalternating", "sf-top-to-input", "gcn", {"alternate": False}),
    ("lp_topdown_gat", "link-ce-top-to-input", "gat", {}),
]


@pytest.mark.parametrize(("name", "rule_name", "kind", "options"), TOP_DOWN)
def test_three_steps_of_all_layers(name: str, rule_name: str, kind: str, options: dict[str, Any]) -> None:
    found, network, source = sources(name, kind, 3, **options)
    rule = make_rule(rule_name)
    phase = TopDownPhase(rule, network, source.training(Share()))
    decay = rule.weight_decay
    optimizers = [torch.optim.Adam(layer.parameters(), lr=1e-3, weight_decay=decay) for layer in network.layers]
    for number, state in enumerate(phase.states, start=1):
        close(state, found[f"init_state{number}"])
    for t in range(3):

        def update(place: int, loss: Tensor, count: int | None, t: int = t) -> None:
            close(loss, found[f"t{t}.layer{place}.loss"])
            optimizers[place].zero_grad()
            loss.backward()
            layer, key = network.layers[place], f"t{t}.layer{place}."
            if rule.clip_grad is not None:
                torch.nn.utils.clip_grad_norm_(layer.parameters(), rule.clip_grad)
            for entry, parameter in layer.conv.named_parameters():
                for grad in ("grad", "grad_after_clip"):
                    if f"{key}{grad}.{entry}" in found:
                        close(parameter.grad, found[f"{key}{grad}.{entry}"])
            optimizers[place].step()
            for entry, value in part(found, f"{key}w_after.").items():
                close(layer.conv.state_dict()[entry], value)

        phase.epoch(update, torch.Generator())
        for number, state in enumerate(phase.states, start=1):
            close(state, found[f"t{t}.state{number}"])
    for split in ("val", "test"):
        judged = TopDownPhase(rule, network, source.judged(split))
        votes: list[Tensor] = []
        with torch.no_grad():
            rule.predict(judged.judged, partial(collect, votes, judged))
        if rule_name == "sf-top-to-loss":
            votes.reverse()  # from the top down
        if f"eval_{split}_probs" in found:
            close(torch.stack(votes), found[f"eval_{split}_probs"])
        else:
            close(torch.stack(votes).mean(0), found[f"eval_{split}_score"])


def collect(votes: list[Tensor], phase: TopDownPhase, number: int, z: Tensor) -> None:
    votes.append(phase.readout.votes(z))
