"""The kernels of a sheaf layer: maps from both ends of an edge, scaled maps, reflections, both weights, the step.

Plain functions on contiguous CPU tensors, float32 or float64, without autograd or checks; the equations are in
:mod:`graphkit.ops.sheaf_layer`. Results do not depend on the number of threads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.native.sheaf import Form, run

__all__ = [
    "householder",
    "householder_backward",
    "sheaf_ends",
    "sheaf_ends_backward",
    "sheaf_mix",
    "sheaf_mix_backward",
    "sheaf_scale_maps",
    "sheaf_scale_maps_backward",
    "sheaf_update",
    "sheaf_update_backward",
]

_ENDS, _ENDS_BACKWARD, _SCALE, _SCALE_BACKWARD = range(8, 12)
_HOUSEHOLDER, _HOUSEHOLDER_BACKWARD, _UPDATE, _UPDATE_BACKWARD, _MIX, _MIX_BACKWARD = range(12, 18)

# Activations of sheaf_ends, in the order of their codes.
_ACTS = ("id", "tanh", "sigmoid", "elu")


def sheaf_ends(x: Tensor, form: Form, act: str) -> Tensor:
    """``act(x[source, :P] + x[target, P:])`` of every edge: ``[N, 2 P] -> [E, P]``."""
    nodes, width = x.shape[0], x.shape[1] // 2
    out = x.new_empty((form[1].shape[0], width))
    if out.numel():
        run(_ENDS, form, out, None, (out,), nodes=nodes, stalk=width, x=x, mode=_ACTS.index(act))
    return out


def sheaf_ends_backward(grad: Tensor, value: Tensor, form: Form, act: str) -> Tensor:
    """The gradient to ``x``, from that to the result of :func:`sheaf_ends` and this result."""
    nodes, width = form[0].shape[0] - 1, value.shape[1]
    out = value.new_empty((nodes, 2 * width))
    if out.numel():
        run(_ENDS_BACKWARD, form, value, None, (out,), nodes=nodes, stalk=width, grad=grad, mode=_ACTS.index(act))
    return out


def sheaf_scale_maps(maps: Tensor, form: Form) -> tuple[Tensor, Tensor]:
    """Diagonal maps times ``s = (degree + 1)^(-1/2)`` of their source, and ``s [N, d]``."""
    nodes, stalk = form[0].shape[0] - 1, maps.shape[1]
    out, scale = torch.empty_like(maps), maps.new_empty((nodes, stalk))
    run(_SCALE, form, maps, None, (out, scale), nodes=nodes, stalk=stalk)
    return out, scale


def sheaf_scale_maps_backward(grad: Tensor, maps: Tensor, scale: Tensor, form: Form) -> Tensor:
    """The gradient of the first result of :func:`sheaf_scale_maps` to ``maps``."""
    out = torch.empty_like(maps)
    run(_SCALE_BACKWARD, form, maps, None, (out,), nodes=scale.shape[0], stalk=scale.shape[1], x=scale, grad=grad)
    return out


def householder(theta: Tensor, stalk: int) -> Tensor:
    """``[E, d (d - 1) / 2] -> [E, d, d]`` of 2 to 5 dimensions: products of reflections."""
    out = theta.new_empty((theta.shape[0], stalk, stalk))
    if out.numel():
        run(_HOUSEHOLDER, None, theta, None, (out,), nodes=0, stalk=stalk, edges=theta.shape[0])
    return out


def householder_backward(grad: Tensor, theta: Tensor, stalk: int) -> Tensor:
    """The gradient of :func:`householder`."""
    out = torch.empty_like(theta)
    if out.numel():
        run(_HOUSEHOLDER_BACKWARD, None, theta, None, (out,), nodes=0, stalk=stalk, edges=theta.shape[0], grad=grad)
    return out


def sheaf_update(x: Tensor, flow: Tensor, factor: Tensor) -> Tensor:
    """``factor[:, None] * x - elu(flow)``: ``[N, d, f], [N, d, f], [d] -> [N, d, f]``."""
    out = torch.empty_like(x)
    nodes, stalk, channels = x.shape
    if out.numel():
        run(_UPDATE, None, factor, None, (out,), nodes=nodes, stalk=stalk, channels=channels, x=x, grad=flow)
    return out


def sheaf_update_backward(grad: Tensor, x: Tensor, flow: Tensor, factor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`sheaf_update` to ``x``, ``flow`` and ``factor``."""
    gx, gflow, gfactor = torch.empty_like(x), torch.empty_like(x), torch.zeros_like(factor)
    nodes, stalk, channels = x.shape
    if x.numel():
        run(
            _UPDATE_BACKWARD, None, factor, flow, (gx, gflow, gfactor),
            nodes=nodes, stalk=stalk, channels=channels, x=x, grad=grad,
        )  # fmt: skip
    return gx, gflow, gfactor


def sheaf_mix(x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """``left x[n] right^T`` of every node; ``None`` is the identity, and at most one of the two is."""
    out = torch.empty_like(x)
    nodes, stalk, channels = x.shape
    if out.numel():
        run(_MIX, None, left, right, (out,), nodes=nodes, stalk=stalk, channels=channels, x=x)
    return out


def sheaf_mix_backward(
    grad: Tensor, x: Tensor, left: Tensor | None, right: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of :func:`sheaf_mix` to ``x``, ``left`` and ``right``."""
    gx = torch.empty_like(x)
    gleft, gright = (None if t is None else torch.zeros_like(t) for t in (left, right))
    nodes, stalk, channels = x.shape
    if x.numel():
        run(
            _MIX_BACKWARD, None, left, right, (gx, gleft, gright),
            nodes=nodes, stalk=stalk, channels=channels, x=x, grad=grad,
        )  # fmt: skip
    return gx, gleft, gright
