"""SF, the single-forward rule: virtual class nodes in the graph are the prototypes to which nodes are drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from graphkit.train.forward.augment import with_classes
from graphkit.train.forward.base import GreedyRule, NodeSetting, Problem
from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Features, Topology
from graphkit.train.forward.losses import prototype_logits, prototype_loss
from graphkit.train.forward.view import all_rows, make_view


class SFInputs(NamedTuple):
    """What a layer reads: features of nodes and class nodes, and the graph with the class nodes in it."""

    features: Features
    topology: Topology


def augmented(setting: NodeSetting) -> Topology:
    """The graph in which known nodes are connected to the node of their class."""
    known, n = setting.known, setting.x.size(0)
    edges = with_classes(setting.edge_index, setting.labels[known], known, n, setting.config.direction)
    return Topology(edges, n + setting.num_classes)


class SingleForward(GreedyRule[SFInputs]):
    r"""One pass: the outputs :math:`C` of the K class nodes are the prototypes of a softmax over classes.

    .. math:: \ell = -\frac{1}{T} \sum_{i \in \mathrm{train}} \log \mathrm{softmax}(z_i C^T / \tau)_{y_i}

    With edges in both directions a training node hears from its own class node, so that its label is part of its input;
    nodes that are predicted have no such edge. ``direction="to_class"`` takes that difference away. Depth ``l``
    predicts by the mean of the softmaxes of layers 1 to l.

    Source: N. Park et al., ICLR 2024 (arXiv 2403.11004), section 3.3.
    """

    batched = True

    def begin(self, setting: NodeSetting) -> SFInputs:
        return SFInputs(Features(setting.x, setting.virtual), augmented(setting))

    def problem(self, layer: ForwardLayer, setting: NodeSetting, inputs: SFInputs) -> Problem:
        config = setting.config
        rows = {"classes": setting.class_nodes}
        if setting.judged.numel():  # in a batch nobody is
            rows["judged"] = setting.judged
        if setting.training:
            rows["train"] = setting.mine
        view = make_view(layer, inputs.features, inputs.topology, rows, config)
        y = setting.labels[setting.mine]

        def loss() -> Tensor:
            z, prototypes = view("train", "classes")
            return setting.mean(prototype_loss(z, prototypes, y, config.temperature))

        def votes() -> Tensor:
            z, prototypes = view("judged", "classes")
            return prototype_logits(z, prototypes, config.temperature).softmax(-1)

        return Problem(loss, votes)

    def advance(self, layer: ForwardLayer, setting: NodeSetting, inputs: SFInputs) -> SFInputs:
        z = all_rows(layer, inputs.features, inputs.topology, setting.config)
        n = setting.x.size(0)
        return SFInputs(Features(z[:n], z[n:]), inputs.topology)

    def restrict(self, setting: NodeSetting, inputs: SFInputs, batch: Any) -> tuple[NodeSetting, SFInputs]:
        small = setting.restrict(batch.n_id, batch.edge_index, batch.seeds)
        return small, SFInputs(Features(inputs.features.real[batch.n_id], inputs.features.classes), augmented(small))

    def depth_scale(self, depth: int, setting: NodeSetting) -> float:
        return 1 / depth
