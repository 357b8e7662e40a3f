"""Attention over neighbours in several versions of a frozen input, with what they have in common computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.train.forward.attention import Attended, Neighbourhood
from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Features, Topology
from graphkit.train.forward.losses import goodness
from graphkit.train.forward.view import attention_form_of


class AttendedVersions:
    """Versions with nothing in common but the weights.

    Args:
        layer: the layer.
        inputs: features and graph of each version.
        rows: which rows.
    """

    def __init__(self, layer: ForwardLayer, inputs: Sequence[tuple[Features, Topology]], rows: Tensor) -> None:
        self.layer = layer
        hoods = {topology: Neighbourhood(topology, rows) for topology in {topology for _, topology in inputs}}
        self.parts = [Attended(topology, features, rows, hoods[topology]) for features, topology in inputs]

    def __call__(self, reduce: str = "sum") -> Tensor:
        return torch.stack([goodness(y, reduce) for y in self.outputs()])

    def outputs(self) -> Iterator[Tensor]:
        """``[R, H]`` per version."""
        form = attention_form_of(self.layer)
        for part in self.parts:
            yield part(form).relu_()


class AttendedContexts:
    """Versions of the input that differ in their context columns: the product with the features serves them all.

    Args:
        layer: the layer.
        inputs: features with ``context``, of the same ``real`` and with rows of the same length.
        topology: the graph.
        rows: which rows.
    """

    def __init__(self, layer: ForwardLayer, inputs: Sequence[Features], topology: Topology, rows: Tensor) -> None:
        self.layer, self.width = layer, inputs[0].real.size(1)
        shared = Features(inputs[0].real, scale=inputs[0].scale)
        self.base = Attended(topology, shared, rows)
        self.contexts = [_scaled_context(features, self.base.hood.nodes) for features in inputs]

    def __call__(self, reduce: str = "sum") -> Tensor:
        return torch.stack([goodness(y, reduce) for y in self.outputs()])

    def outputs(self) -> Iterator[Tensor]:
        """``[R, H]`` per version."""
        form = attention_form_of(self.layer)
        more = form.columns(self.width)
        h, scores = self.base.products(form.columns(0, self.width))
        for context in self.contexts:
            own = torch.addmm(h, context, more.weight.t()), torch.addmm(scores, context, more.scores.t())
            out, _ = self.base.hood.attend(form, *own)
            yield (out if form.bias is None else out + form.bias).relu_()


def _scaled_context(features: Features, nodes: Tensor) -> Tensor:
    assert features.context is not None
    assert features.scale is not None
    return features.context[nodes] * features.scale[nodes, None]


class AttendedClasses:
    r"""Versions of the graph that differ in the class node of each row: its edge adds one term to a softmax.

    With the attention :math:`o_i` over real neighbours, whose softmax has the denominator :math:`\exp l_i`, and the
    score :math:`e_{ic}` of class node c,

    .. math:: y_{ic} = \mathrm{relu}\big((1 - \beta_{ic})\, o_i + \beta_{ic} W v_c + b\big), \qquad
              \beta_{ic} = \mathrm{sigmoid}(e_{ic} - l_i)

    so that one pass over the edges serves all versions.

    Args:
        layer: the layer.
        features: the input, the same in all versions.
        topologies: the versions, each with at most one edge from a class node into each row.
        rows: which rows, real nodes.
    """

    def __init__(self, layer: ForwardLayer, features: Features, topologies: Sequence[Topology], rows: Tensor) -> None:
        n, classes = features.real.size(0), features.scaled_classes()
        assert classes is not None
        self.layer, self.classes = layer, classes
        self.base = Attended(topologies[0], features, rows, Neighbourhood(topologies[0], rows, below=n))
        self.hangs_on = torch.stack([_class_of(topology, n, rows) for topology in topologies])

    def __call__(self, reduce: str = "sum") -> Tensor:
        own, table, beta = self._parts()
        found: Tensor = _BlendedGoodness.apply(own, table, beta, self.hangs_on.clamp(min=0))
        return found / own.size(1) if reduce == "mean" else found

    def outputs(self) -> Iterator[Tensor]:
        """``[R, H]`` per version."""
        own, table, beta = self._parts()
        for share, hangs_on in zip(beta, self.hangs_on.clamp(min=0), strict=True):
            yield _blend(own, table[hangs_on], share).relu_()

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Attention over real neighbours ``[R, H]``, what class nodes say ``[K, H]``, their share ``[M, R, heads]``."""
        form, hood = attention_form_of(self.layer), self.base.hood
        h, scores = self.base.products(form)
        own, log_total = hood.attend(form, h, scores)
        table = F.linear(self.classes, form.weight)
        of_class = F.linear(self.classes, form.scores[: form.heads])
        score = F.leaky_relu(of_class[:, None] + scores[hood.own, form.heads :], form.slope)  # [K, R, heads]
        beta = (score - log_total).sigmoid()
        place = torch.arange(beta.size(1), device=beta.device)
        beta = beta[self.hangs_on.clamp(min=0), place] * (self.hangs_on >= 0)[..., None]
        if form.bias is not None:  # shares add up to 1
            own, table = own + form.bias, table + form.bias
        return own, table, beta


def _class_of(topology: Topology, num_real: int, rows: Tensor) -> Tensor:
    """The class node that hangs on each row, -1 where there is none: ``[R]``."""
    source, target, _ = topology.into(("loops",), rows, torch.float32)
    virtual = source >= num_real
    found = torch.full_like(rows, -1)
    found[target[virtual]] = source[virtual] - num_real
    return found


def _blend(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """``own + share * (other - own)``, head by head: ``[R, H], [R, H], [R, heads] -> [R, H]``."""
    shape = (own.size(0), share.size(1), -1)
    return torch.lerp(own.view(shape), other.view(shape), share[..., None]).view_as(own)


class _BlendedGoodness(torch.autograd.Function):
    """The goodness ``[M, R]`` of ``relu(blend)`` version by version; nothing but the outputs is kept for backward."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, table: Tensor, beta: Tensor, hangs_on: Tensor) -> Tensor:
        kept = own.new_empty(beta.size(0), *own.shape) if any(ctx.needs_input_grad) else None
        out = own.new_empty(beta.shape[:2])
        for m, (share, classes) in enumerate(zip(beta, hangs_on, strict=True)):
            y = _blend(own, table[classes], share).relu_()
            torch.linalg.vecdot(y, y, out=out[m])
            if kept is not None:
                kept[m] = y
        if kept is not None:
            ctx.save_for_backward(own, table, beta, hangs_on, kept)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        own, table, beta, hangs_on, kept = ctx.saved_tensors
        rows, heads = beta.shape[1:]
        grad_own, grad_table, grad_beta = torch.zeros_like(own), torch.zeros_like(table), torch.empty_like(beta)
        for m in range(beta.size(0)):
            slope = (kept[m] * (2 * grad[m])[:, None]).view(rows, heads, -1)  # a rectified y has d g = 2 y
            of_class = (slope * beta[m, ..., None]).view_as(own)
            grad_own += slope.view_as(own) - of_class
            hot = F.one_hot(hangs_on[m], table.size(0)).to(own.dtype)
            grad_table.addmm_(hot.t(), of_class)
            grad_beta[m] = torch.linalg.vecdot(slope, (table[hangs_on[m]] - own).view(rows, heads, -1))
        return grad_own, grad_table, grad_beta, None
