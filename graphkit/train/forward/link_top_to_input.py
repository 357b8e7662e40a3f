"""CE top-to-input for links: the schedule of top-to-input, the loss of CE."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Features, Topology
from graphkit.train.forward.link_ce import cross_entropy
from graphkit.train.forward.links import LinkSetting
from graphkit.train.forward.losses import pair_features
from graphkit.train.forward.top_to_input import TopToInput
from graphkit.train.forward.topdown import Neighbours, Readout, Stack


class PairReadout:
    """The loss and the votes of the CE rule for links."""

    def __init__(self, setting: LinkSetting) -> None:
        self.setting = setting

    def loss(self, z: Tensor) -> Tensor:
        s = self.setting
        good, bad = (pair_features(z, s.share.of(pairs.t()).t()).sum(-1) for pairs in (s.positives(), s.negatives()))
        return cross_entropy(good, bad, s)

    def votes(self, z: Tensor) -> Tensor:
        return pair_features(z, self.setting.eval_pairs).sum(-1).sigmoid().nan_to_num(0.0)


class LinkTopToInput(TopToInput):
    """Top-to-input with dot products of nodes; nothing comes from above the top layer. No weight decay, as published.

    The score is the mean over layers and steps.

    Source: N. Park et al., ICLR 2024 (arXiv 2403.11004), appendix C.
    """

    links = True
    weight_decay = 0.0

    def stack(
        self, layers: Sequence[ForwardLayer], first: int, total: int, setting: LinkSetting, neighbours: Neighbours
    ) -> Stack:
        topology = Topology(setting.edge_index, setting.x.size(0))
        return Stack(layers, first, total, Features(setting.x), None, topology, setting.config, neighbours)

    def judged(self, stack: Stack, setting: LinkSetting) -> Stack:
        if setting.training and setting.same_graph:
            return stack
        topology = Topology(setting.eval_edge_index, setting.eval_x.size(0))
        bottom = Features(setting.eval_x)
        return Stack(stack.layers, stack.first, stack.total, bottom, None, topology, setting.config, stack.neighbours)

    def readout(self, setting: LinkSetting) -> Readout:
        return PairReadout(setting)
