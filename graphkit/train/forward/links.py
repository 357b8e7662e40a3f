"""Greedy rules for links: what they read, and the three ways in which they judge a pair of nodes."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.train.distributed import Share
from graphkit.train.forward.base import GreedyRule, Problem
from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Features, Topology
from graphkit.train.forward.losses import pair_features
from graphkit.train.forward.view import all_rows, make_view


@dataclass(frozen=True)
class LinkSetting:
    """Pairs of nodes to learn from, and pairs to judge, on graphs that may differ.

    Args:
        x: features ``[N, F]`` to train on.
        edge_index: the graph to train on.
        pairs: ``[2, P]``; empty when predicting.
        label: 1 where there is a link, 0 elsewhere, ``[P]``.
        eval_x, eval_edge_index: features and graph to judge on.
        eval_pairs: pairs to judge.
        config: hyper-parameters.
        share: this process's part of the pairs.
    """

    x: Tensor
    edge_index: Tensor
    pairs: Tensor
    label: Tensor
    eval_x: Tensor
    eval_edge_index: Tensor
    eval_pairs: Tensor
    config: ForwardConfig
    share: Share = field(default_factory=Share)

    @property
    def training(self) -> bool:
        return self.pairs.size(1) > 0

    @property
    def same_graph(self) -> bool:
        """Whether features to train and to judge on are the same all the way up."""
        return self.eval_edge_index.equal(self.edge_index) and self.eval_x.equal(self.x)

    def positives(self) -> Tensor:
        return self.pairs[:, self.label > 0.5]

    def negatives(self) -> Tensor:
        return self.pairs[:, self.label <= 0.5]


class LinkInputs(NamedTuple):
    """What a layer reads: features and graph to train on (None when predicting), and those to judge on."""

    train: tuple[Features, Topology] | None
    judged: tuple[Features, Topology]


class GreedyLinkRule(GreedyRule[LinkInputs]):
    """Judges the elementwise product of two nodes' outputs, in each layer; the score is the mean over the layers.

    Supervision pairs are those of the data: with PyG's ``RandomLinkSplit`` every training positive is an edge of the
    training graph too, and negatives are drawn once.

    Source: N. Park et al., ICLR 2024 (arXiv 2403.11004), appendix C.
    """

    links = True

    @abstractmethod
    def logit(self, e: Tensor, setting: LinkSetting) -> Tensor:
        """The logit of a link from the products ``[P, H]``: ``[P]``."""

    @abstractmethod
    def pair_loss(self, good: Tensor, bad: Tensor, setting: LinkSetting) -> Tensor:
        """The loss from this process's positives ``[p, H]`` and negatives ``[q, H]``: its part of the mean over all."""

    def begin(self, setting: LinkSetting) -> LinkInputs:
        judged = (Features(setting.eval_x), Topology(setting.eval_edge_index, setting.eval_x.size(0)))
        if not setting.training:
            return LinkInputs(None, judged)
        if setting.same_graph:
            return LinkInputs(judged, judged)
        return LinkInputs((Features(setting.x), Topology(setting.edge_index, setting.x.size(0))), judged)

    def problem(self, layer: ForwardLayer, setting: LinkSetting, inputs: LinkInputs) -> Problem:
        good, bad = (setting.share.of(pairs.t()).t() for pairs in (setting.positives(), setting.negatives()))
        nodes, place = torch.cat([good, bad], 1).unique(return_inverse=True)
        judged_nodes, judged = setting.eval_pairs.unique(return_inverse=True)
        good_place, bad_place = place.split([good.size(1), bad.size(1)], 1)
        rows = {"judged": judged_nodes}
        if inputs.train is inputs.judged:
            rows["train"] = nodes
        judge = make_view(layer, *inputs.judged, rows, setting.config)
        train = judge
        if inputs.train is not None and inputs.train is not inputs.judged:
            train = make_view(layer, *inputs.train, {"train": nodes}, setting.config)

        def loss() -> Tensor:
            (z,) = train("train")
            return self.pair_loss(pair_features(z, good_place), pair_features(z, bad_place), setting)

        def votes() -> Tensor:
            (z,) = judge("judged")
            return self.logit(pair_features(z, judged), setting).sigmoid().nan_to_num(0.0)

        return Problem(loss, votes)

    def advance(self, layer: ForwardLayer, setting: LinkSetting, inputs: LinkInputs) -> LinkInputs:
        config = setting.config
        judged = (Features(all_rows(layer, *inputs.judged, config)), inputs.judged[1])
        if inputs.train is None or inputs.train is inputs.judged:
            return LinkInputs(inputs.train and judged, judged)
        return LinkInputs((Features(all_rows(layer, *inputs.train, config)), inputs.train[1]), judged)

    def depth_scale(self, depth: int, setting: LinkSetting) -> float:
        # The published code counts a zero for each normalisation too.
        return 1 / (2 * depth if setting.config.official else depth)
