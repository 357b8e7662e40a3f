"""FF-LA, forward-forward with label appending: right and wrong labels are columns of the features."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from graphkit.train.forward.augment import label_context
from graphkit.train.forward.base import GreedyRule, NodeSetting, Problem
from graphkit.train.forward.ff_vn import contrast
from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Features, Topology
from graphkit.train.forward.losses import ff_loss
from graphkit.train.forward.versions import Versions, context_outputs, context_versions, stacked
from graphkit.train.forward.view import all_rows


class LAInputs(NamedTuple):
    """What a layer reads: features with right labels and with wrong ones, and with each candidate class."""

    versions: tuple[Features, ...]
    candidates: tuple[Features, ...]
    topology: Topology


class FFLabelAppending(GreedyRule[LAInputs]):
    r"""The loss of FF-VN on features ``[x | label]``: right, wrong (M times), or uniform where no label is known.

    The first layer has ``F + K`` input channels. Negatives stay negatives through the layers: each layer passes on its
    outputs for all M + 1 versions. Predicting takes one pass per class, in which *all* evaluated nodes carry that
    class.

    Source: N. Park et al., ICLR 2024 (arXiv 2403.11004), section 3.1.
    """

    batched = True
    published_leak = True

    def begin(self, setting: NodeSetting) -> LAInputs:
        def appended(labels: Tensor, known: Tensor) -> Features:
            context = label_context(labels, known, setting.num_classes, setting.x.dtype)
            return Features(setting.x, context=context)

        versions: tuple[Features, ...] = ()
        if setting.training:
            negatives = (setting.negative_labels(m) for m in range(setting.wrong.size(1)))
            versions = tuple(appended(labels, setting.known) for labels in (setting.labels, *negatives))
        classes = range(setting.num_classes if setting.evaluated.numel() else 0)
        candidates = tuple(appended(*setting.context_labels(k)) for k in classes)
        return LAInputs(versions, candidates, Topology(setting.edge_index, setting.x.size(0)))

    def problem(self, layer: ForwardLayer, setting: NodeSetting, inputs: LAInputs) -> Problem:
        def versions(features: tuple[Features, ...], rows: Tensor) -> Versions | None:
            if not features:
                return None
            if features[0].context is not None:
                return context_versions(layer, features, inputs.topology, rows, setting.config)
            return stacked(layer, [(each, inputs.topology) for each in features], rows, setting.config)

        return contrast(
            lambda good, bad, s: ff_loss(good, bad, s.config.theta),
            setting,
            versions(inputs.versions if setting.training else (), setting.mine),
            versions(inputs.candidates, setting.judged),
        )

    def advance(self, layer: ForwardLayer, setting: NodeSetting, inputs: LAInputs) -> LAInputs:
        config = setting.config

        def outputs(versions: tuple[Features, ...]) -> tuple[Features, ...]:
            if versions and versions[0].context is not None:
                return tuple(map(Features, context_outputs(layer, versions, inputs.topology, config)))
            return tuple(Features(all_rows(layer, features, inputs.topology, config)) for features in versions)

        return LAInputs(outputs(inputs.versions), outputs(inputs.candidates), inputs.topology)

    def restrict(self, setting: NodeSetting, inputs: LAInputs, batch: Any) -> tuple[NodeSetting, LAInputs]:
        small, n_id = setting.restrict(batch.n_id, batch.edge_index, batch.seeds), batch.n_id
        versions = tuple(
            Features(each.real[n_id], context=None if each.context is None else each.context[n_id])
            for each in inputs.versions
        )
        return small, LAInputs(versions, (), Topology(small.edge_index, small.x.size(0)))
