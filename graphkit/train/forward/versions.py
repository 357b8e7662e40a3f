"""One layer on several versions of a frozen input: a positive and its negatives, or one per candidate class.

As views do, versions have a plain form, which calls the layer once per version, and forms with the same numbers for
linear convolutions and for attention (:mod:`~graphkit.train.forward.attention_versions`) that compute what the versions
have in common once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from graphkit.train.forward.attention_versions import AttendedClasses, AttendedContexts, AttendedVersions
from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Aggregated, Features, Kind, LinearForm, Topology, class_mix
from graphkit.train.forward.losses import goodness
from graphkit.train.forward.view import form_of, is_attention, is_linear, pre_activation, sum_of_products


class Versions(Protocol):
    """Goodness ``[M, R]`` of the same rows in M versions of the input, and the outputs themselves."""

    def __call__(self, reduce: str = "sum") -> Tensor: ...

    def outputs(self) -> Iterator[Tensor]: ...


class PlainVersions:
    """Calls the layer once per version.

    Args:
        layer: the layer.
        inputs: of each version the features, ``[n, d]``, and the edges.
        rows: which rows.
    """

    def __init__(self, layer: ForwardLayer, inputs: Sequence[tuple[Tensor, Tensor]], rows: Tensor) -> None:
        self.layer, self.inputs, self.rows = layer, inputs, rows

    def __call__(self, reduce: str = "sum") -> Tensor:
        return torch.stack([goodness(y, reduce) for y in self.outputs()])

    def outputs(self) -> Iterator[Tensor]:
        """``[R, H]`` per version."""
        for x, edges in self.inputs:
            yield self.layer(x, edges)[self.rows]


class LinearVersions:
    """Versions that differ in ``mix_m`` alone: before the rectifier, ``shared + mix_m @ table``.

    Args:
        layer: the layer, linear.
        mix: ``[M, R, k]``.
        table: from the linear form to ``[k, H]``.
        shared: from the linear form to ``[R, H]`` or ``[H]``, or None.
    """

    def __init__(
        self,
        layer: ForwardLayer,
        mix: Tensor,
        table: Callable[[LinearForm], Tensor],
        shared: Callable[[LinearForm], Tensor | None],
    ) -> None:
        self.layer, self.mix, self.table, self.shared = layer, mix, table, shared

    def __call__(self, reduce: str = "sum") -> Tensor:
        form = form_of(self.layer)
        table = self.table(form)
        shared = self.shared(form)
        found: Tensor = _Goodness.apply(self.mix, table, shared)
        return found / table.size(1) if reduce == "mean" else found

    def outputs(self) -> Iterator[Tensor]:
        """``[R, H]`` per version."""
        form = form_of(self.layer)
        table, shared = self.table(form), self.shared(form)
        for mix in self.mix:
            yield (mix @ table if shared is None else torch.addmm(shared, mix, table)).relu()


def class_versions(
    layer: ForwardLayer, features: Features, topologies: Sequence[Topology], rows: Tensor, config: ForwardConfig
) -> Versions:
    """Versions of the graph that differ in the edges between ``rows``, real nodes, and their class nodes.

    A real node has as many edges in all of them, so that what comes from real nodes is the same: one product with the
    weights serves all versions.

    Args:
        layer: the layer.
        features: the input, the same in all versions.
        topologies: the versions.
        rows: which rows.
        config: whether to compute what they have in common once where that is possible.
    """
    layer.match_channels(features.widths)
    if is_attention(layer, config):
        return AttendedClasses(layer, features, topologies, rows)
    if not is_linear(layer, config):
        x = features.dense()
        return PlainVersions(layer, [(x, topology.edge_index) for topology in topologies], rows)
    kinds = [kind for kind, _ in form_of(layer).terms]
    number = next(k for k, kind in enumerate(kinds) if kind[0] != "root")  # the term that sees class nodes
    classes = features.scaled_classes()
    assert classes is not None
    base = [Aggregated(topologies[0], kind, features, rows, classes=False) for kind in kinds]
    mix = torch.stack([class_mix(topology, kinds[number], features, rows) for topology in topologies])
    return LinearVersions(
        layer,
        mix,
        lambda form: classes @ form.terms[number][1].t(),
        lambda form: sum_of_products(form, base),
    )


def context_versions(
    layer: ForwardLayer, inputs: Sequence[Features], topology: Topology, rows: Tensor, config: ForwardConfig
) -> Versions:
    """Versions of the input that differ in their context columns, whose rows have the same lengths in all of them.

    Args:
        layer: the layer.
        inputs: features with ``context``, of the same ``real``.
        topology: the graph.
        rows: which rows.
        config: whether to compute what they have in common once where that is possible.
    """
    layer.match_channels(inputs[0].widths)
    if is_attention(layer, config):
        return AttendedContexts(layer, inputs, topology, rows)
    if not is_linear(layer, config):
        return PlainVersions(layer, [(features.dense(), topology.edge_index) for features in inputs], rows)
    kinds = [kind for kind, _ in form_of(layer).terms]
    shared = Features(inputs[0].real, scale=inputs[0].scale)
    base = [Aggregated(topology, kind, shared, rows) for kind in kinds]
    width = shared.real.size(1)
    return LinearVersions(
        layer,
        torch.stack([_context_columns(features, topology, kinds)[rows] for features in inputs]),
        lambda form: torch.cat([weight[:, width:].t() for _, weight in form.terms]),
        lambda form: sum_of_products(_first_columns(form, width), base),
    )


def context_outputs(
    layer: ForwardLayer, inputs: Sequence[Features], topology: Topology, config: ForwardConfig
) -> Iterator[Tensor]:
    """The outputs of :func:`context_versions` for all nodes, one version after the other, without a gradient."""
    with torch.no_grad():
        if is_attention(layer, config):
            rows = torch.arange(topology.num_nodes, device=topology.edge_index.device)
            yield from AttendedContexts(layer, inputs, topology, rows).outputs()
            return
        if not is_linear(layer, config):
            yield from (layer(features.dense(), topology.edge_index) for features in inputs)
            return
        form = form_of(layer)
        width = inputs[0].real.size(1)
        shared = pre_activation(_first_columns(form, width), Features(inputs[0].real, scale=inputs[0].scale), topology)
        table = torch.cat([weight[:, width:].t() for _, weight in form.terms])
        for features in inputs:
            columns = _context_columns(features, topology, [kind for kind, _ in form.terms])
            yield torch.addmm(shared, columns, table).relu_()


def _context_columns(features: Features, topology: Topology, kinds: Sequence[Kind]) -> Tensor:
    assert features.context is not None
    assert features.scale is not None
    context = features.context * features.scale[:, None]
    return torch.cat([topology.aggregate(kind, context) for kind in kinds], 1)


def _first_columns(form: LinearForm, width: int) -> LinearForm:
    return LinearForm(tuple((kind, weight[:, :width]) for kind, weight in form.terms), form.bias)


def stacked(
    layer: ForwardLayer, inputs: Sequence[tuple[Features, Topology]], rows: Tensor, config: ForwardConfig
) -> Versions:
    """Versions with nothing in common but the weights: each is aggregated once, and they are stacked.

    Args:
        layer: the layer.
        inputs: features and graph of each version.
        rows: which rows.
        config: whether to aggregate them before, where that is possible.
    """
    layer.match_channels(inputs[0][0].widths)
    if is_attention(layer, config):
        return AttendedVersions(layer, inputs, rows)
    if not is_linear(layer, config):
        return PlainVersions(layer, [(features.dense(), topology.edge_index) for features, topology in inputs], rows)
    kinds = [kind for kind, _ in form_of(layer).terms]
    mix = torch.stack([_columns(features, topology, kinds, rows) for features, topology in inputs])
    return LinearVersions(
        layer, mix, lambda form: torch.cat([weight.t() for _, weight in form.terms]), lambda form: form.bias
    )


def _columns(features: Features, topology: Topology, kinds: Sequence[Kind], rows: Tensor) -> Tensor:
    x = features.dense()
    return torch.cat([topology.aggregate(kind, x)[rows] for kind in kinds], 1)


class _Goodness(torch.autograd.Function):
    """``g_m = |relu(shared + mix_m @ table)|^2`` row by row, version by version: each is finished while in the cache.

    A rectified y has ``d g / d (before the rectifier) = 2 y``: nothing but y is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, mix: Tensor, table: Tensor, shared: Tensor | None) -> Tensor:
        versions, rows, _ = mix.shape
        kept = mix.new_empty(versions, rows, table.size(1)) if any(ctx.needs_input_grad[1:]) else None
        out = mix.new_empty(versions, rows)
        for m in range(versions):
            y = mix[m] @ table if shared is None else torch.addmm(shared, mix[m], table)
            y.relu_()
            torch.linalg.vecdot(y, y, out=out[m])
            if kept is not None:
                kept[m] = y
        if kept is not None:
            ctx.save_for_backward(mix, table, kept)
            ctx.shared = None if shared is None else shared.dim()
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        mix, table, kept = ctx.saved_tensors
        grad_table = torch.zeros_like(table)
        grad_shared = table.new_zeros(kept.shape[1:]) if ctx.shared == 2 else table.new_zeros(table.size(1))
        for m in range(mix.size(0)):
            slope = kept[m] * (2 * grad[m])[:, None]
            grad_table.addmm_(mix[m].t(), slope)
            grad_shared += slope if ctx.shared == 2 else slope.sum(0)
        return None, grad_table, None if ctx.shared is None else grad_shared
