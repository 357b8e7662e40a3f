"""One layer on a frozen input: its outputs at the rows that matter, again and again, as its weights change.

There is a plain form, which calls the layer, and with the same numbers a linear form
(:mod:`~graphkit.train.forward.linear`) and one for attention (:mod:`~graphkit.train.forward.attention`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from graphkit.train.forward.attention import Attended, AttentionForm, attention_form, has_attention_form
from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Aggregated, Features, LinearForm, Topology, linear_form, product_of_all_rows

Form = TypeVar("Form", LinearForm, AttentionForm)


class View(Protocol):
    """The layer's outputs at named sets of rows: ``view("train", "classes")`` -> a tensor for each."""

    def __call__(self, *names: str) -> tuple[Tensor, ...]: ...


def make_view(
    layer: ForwardLayer, features: Features, topology: Topology, rows: Mapping[str, Tensor], config: ForwardConfig
) -> View:
    """A layer on one frozen input.

    Args:
        layer: the layer.
        features: its input.
        topology: the graph.
        rows: which rows, by name.
        config: whether to aggregate once where the layer is linear, and so on; else the layer is called.
    """
    layer.match_channels(features.widths)
    if is_linear(layer, config):
        return _LinearView(layer, features, topology, rows)
    if is_attention(layer, config):
        return _AttentionView(layer, features, topology, rows)
    return _PlainView(layer, features, topology, rows)


class _PlainView:
    def __init__(self, layer: ForwardLayer, features: Features, topology: Topology, rows: Mapping[str, Tensor]) -> None:
        self.layer, self.edge_index, self.rows = layer, topology.edge_index, rows
        self.x = features.dense()

    def __call__(self, *names: str) -> tuple[Tensor, ...]:
        out = self.layer(self.x, self.edge_index)
        return tuple(out[self.rows[name]] for name in names)


class _LinearView:
    def __init__(self, layer: ForwardLayer, features: Features, topology: Topology, rows: Mapping[str, Tensor]) -> None:
        self.layer = layer
        kinds = [kind for kind, _ in form_of(layer).terms]
        self.parts = {
            name: [Aggregated(topology, kind, features, which) for kind in kinds] for name, which in rows.items()
        }

    def __call__(self, *names: str) -> tuple[Tensor, ...]:
        form = form_of(self.layer)
        return tuple(sum_of_products(form, self.parts[name]).relu() for name in names)


class _AttentionView:
    """Rows that are asked for together share one product with the weights."""

    def __init__(self, layer: ForwardLayer, features: Features, topology: Topology, rows: Mapping[str, Tensor]) -> None:
        self.layer, self.features, self.topology, self.rows = layer, features, topology, rows
        self.parts: dict[tuple[str, ...], Attended] = {}

    def __call__(self, *names: str) -> tuple[Tensor, ...]:
        rows = [self.rows[name] for name in names]
        if names not in self.parts:
            self.parts[names] = Attended(self.topology, self.features, torch.cat(rows))
        out = self.parts[names](attention_form_of(self.layer)).relu()
        return out.split([each.numel() for each in rows])


def sum_of_products(form: LinearForm, parts: Sequence[Any]) -> Tensor:
    """``bias + sum over terms of P_k W_k^T`` for the aggregated inputs of each term."""
    out = parts[0].times(form.terms[0][1])
    for part, (_, weight) in zip(parts[1:], form.terms[1:], strict=True):
        out = out + part.times(weight)
    return out if form.bias is None else out + form.bias


def form_of(layer: ForwardLayer) -> LinearForm:
    return _still_there(linear_form(layer.conv), layer)


def _still_there(form: Form | None, layer: ForwardLayer) -> Form:
    if form is None:
        raise RuntimeError(f"{layer.name}: hooks or parts of the layer were exchanged while it was being trained")
    return form


def is_linear(layer: ForwardLayer, config: ForwardConfig) -> bool:
    """Whether the linear form stands for the layer."""
    return config.fast and linear_form(layer.conv) is not None


def attention_form_of(layer: ForwardLayer) -> AttentionForm:
    return _still_there(attention_form(layer.conv), layer)


def is_attention(layer: ForwardLayer, config: ForwardConfig) -> bool:
    """Whether the form for attention stands for the layer.

    Not with ``compat="official"``: where all scores of a row are of one sign their gradient is zero but for roundings,
    which Adam makes large, so that only the published order of operations gives the published numbers to nine digits.
    """
    return config.fast and not config.official and has_attention_form(layer.conv)


def all_rows(layer: ForwardLayer, features: Features, topology: Topology, config: ForwardConfig) -> Tensor:
    """The layer's outputs for every node, without a gradient and in evaluation mode: ``[N + K, H]``."""
    everything = torch.arange(topology.num_nodes, device=topology.edge_index.device)
    with torch.no_grad():
        if is_linear(layer, config):
            return pre_activation(form_of(layer), features, topology).relu_()
        return make_view(layer, features, topology, {"all": everything}, config)("all")[0]


def pre_activation(form: LinearForm, features: Features, topology: Topology) -> Tensor:
    """What a linear layer gives for every node, before the rectifier: computed once, so that nothing is kept."""
    (kind, weight), *more = form.terms
    out = product_of_all_rows(topology, kind, features, weight)
    for kind, weight in more:
        out += product_of_all_rows(topology, kind, features, weight)
    return out if form.bias is None else out.add_(form.bias)
