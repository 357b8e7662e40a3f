"""FF-VN, forward-forward with virtual nodes: right and wrong graphs, in which nodes hang on right and wrong classes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphkit.train.forward.augment import with_classes
from graphkit.train.forward.base import GreedyRule, NodeSetting, Problem
from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Features, Topology
from graphkit.train.forward.losses import ff_loss
from graphkit.train.forward.versions import Versions, class_versions, stacked
from graphkit.train.forward.view import all_rows


class FFInputs(NamedTuple):
    """What a layer reads.

    Attributes:
        features: of the right graph; the wrong graphs have the same.
        graphs: the right graph, then the wrong ones; empty when predicting.
        candidates: of each class the features and the graph in which all evaluated nodes are of this class.
        fresh: whether all candidates still have the same features.
    """

    features: Features
    graphs: tuple[Topology, ...]
    candidates: tuple[tuple[Features, Topology], ...]
    fresh: bool


class FFVirtualNodes(GreedyRule[FFInputs]):
    r"""Goodness :math:`g = \sum_d y_d^2` is driven above a threshold in the right graph and below it in wrong ones.

    .. math:: \ell = \frac{1}{T} \sum_i \Big[\mathrm{softplus}(\theta - g_i^+)
              + \frac{1}{M} \sum_m \mathrm{softplus}(g_i^{-,m} - \theta)\Big]

    Predicting takes one pass per class, in a graph where *all* evaluated nodes hang on that class: scores depend on
    which nodes are evaluated together. Labels other than those of known nodes (by default the training nodes) are never
    part of a graph; the published code adds those of validation nodes when it tests (``compat="official"``).

    Source: N. Park et al., ICLR 2024 (arXiv 2403.11004), section 3.2.
    """

    batched = True
    published_leak = True

    def begin(self, setting: NodeSetting) -> FFInputs:
        features = Features(setting.x, setting.virtual)
        graphs: tuple[Topology, ...] = ()
        if setting.training:
            negatives = (setting.negative_labels(m) for m in range(setting.wrong.size(1)))
            graphs = tuple(self._graph(setting, labels, setting.known) for labels in (setting.labels, *negatives))
        candidates = tuple(
            (features, self._graph(setting, *setting.context_labels(k)))
            for k in range(setting.num_classes if setting.evaluated.numel() else 0)
        )
        return FFInputs(features, graphs, candidates, True)

    @staticmethod
    def _graph(setting: NodeSetting, labels: Tensor, attached: Tensor) -> Topology:
        n = setting.x.size(0)
        edges = with_classes(setting.edge_index, labels[attached], attached, n, setting.config.direction)
        return Topology(edges, n + setting.num_classes)

    def pair_loss(self, good: Tensor, bad: Tensor, setting: NodeSetting) -> Tensor:
        """The loss of each training node from its goodness ``[T]`` and that of its negatives ``[M, T]``."""
        return ff_loss(good, bad, setting.config.theta)

    def problem(self, layer: ForwardLayer, setting: NodeSetting, inputs: FFInputs) -> Problem:
        versions = None
        if setting.training:
            versions = class_versions(layer, inputs.features, inputs.graphs, setting.mine, setting.config)
        candidates = self._candidates(layer, setting, inputs) if inputs.candidates else None
        return contrast(self.pair_loss, setting, versions, candidates)

    @staticmethod
    def _candidates(layer: ForwardLayer, setting: NodeSetting, inputs: FFInputs) -> Versions:
        graphs = [topology for _, topology in inputs.candidates]
        if inputs.fresh:
            return class_versions(layer, inputs.features, graphs, setting.judged, setting.config)
        return stacked(layer, inputs.candidates, setting.judged, setting.config)

    def advance(self, layer: ForwardLayer, setting: NodeSetting, inputs: FFInputs) -> FFInputs:
        n = setting.x.size(0)

        def outputs(features: Features, topology: Topology) -> Features:
            z = all_rows(layer, features, topology, setting.config)
            return Features(z[:n], z[n:])

        features = outputs(inputs.features, inputs.graphs[0]) if inputs.graphs else inputs.features
        candidates = tuple((outputs(*version), version[1]) for version in inputs.candidates)
        return FFInputs(features, inputs.graphs, candidates, False)

    def restrict(self, setting: NodeSetting, inputs: FFInputs, batch: Any) -> tuple[NodeSetting, FFInputs]:
        small = setting.restrict(batch.n_id, batch.edge_index, batch.seeds)
        begun = self.begin(small)
        features = Features(inputs.features.real[batch.n_id], inputs.features.classes)
        return small, begun._replace(features=features)


def contrast(pair_loss: Any, setting: NodeSetting, versions: Versions | None, candidates: Versions | None) -> Problem:
    """The problem of telling the first version from the others.

    Args:
        pair_loss: from goodness ``[T]``, that of the negatives ``[M, T]`` and the setting to losses ``[T]``.
        setting: the graph.
        versions: the right one first; None when predicting.
        candidates: one per class; None without evaluated nodes.
    """

    def loss() -> Tensor:
        assert versions is not None
        found = versions()
        return setting.mean(pair_loss(found[0], found[1:], setting))

    def votes() -> Tensor:
        if candidates is None:
            return torch.empty(0, setting.num_classes, dtype=setting.x.dtype, device=setting.x.device)
        # The published code predicts by the mean; with layers of different widths that weighs wide ones less.
        found = candidates("mean" if setting.config.official else "sum")
        return (found - setting.config.theta).t()

    return Problem(loss, votes)
