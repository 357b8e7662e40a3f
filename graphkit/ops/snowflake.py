"""Neural snowflakes: a trainable function of a distance that keeps it a (quasi-)metric, and its derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

_PIECE = 1 << 18  # distances whose hidden layers are held at a time


class SnowflakeLayer(NamedTuple):
    """The numbers of one layer; all are non-negative.

    Attributes:
        A: ``[h, d_in]``.
        B: ``[d_out, h]``.
        C: ``[3]``, weights of the three shapes.
        a: exponent of the power, in (0, 1].
        b: exponent of the logarithm, in (0, 1].
    """

    A: Tensor
    B: Tensor
    C: Tensor
    a: Tensor
    b: Tensor


def safe_norm(x: Tensor) -> Tensor:
    """The Euclidean norm of the last dimension; its gradient at 0 is 0, where that of ``norm`` is NaN or undefined.

    Scaled by the largest entry, so that squares neither overflow nor vanish.

    Example:
        >>> x = torch.zeros(2, requires_grad=True)
        >>> safe_norm(x).backward(); x.grad
        tensor([0., 0.])
    """
    largest = x.detach().abs().amax(-1, keepdim=True) if x.size(-1) else x.new_zeros(*x.shape[:-1], 1)
    positive = largest > 0
    unit = x / torch.where(positive, largest, 1.0)
    square = unit.square().sum(-1, keepdim=True)
    norm = torch.where(positive, square, 1.0).sqrt() * largest
    return torch.where(positive, norm, 0.0).squeeze(-1)


def snowflake(t: Tensor, layers: Sequence[SnowflakeLayer], p: Tensor | float = 0.0, eps: float = 1e-6) -> Tensor:
    r"""A function of a distance that is 0 at 0 and strictly increasing where all weights are positive.

    .. math::
        u_0 = t, \qquad u_j = B_j\, \psi_{a_j, b_j}(A_j u_{j-1})\, C_j, \qquad f(t) = u_J^{1 + |p|}, \\
        \psi_{a, b}(v) = \big(1 - e^{-v},\ (v + \epsilon)^a - \epsilon^a,\ (\log(1 + v) + \epsilon)^b - \epsilon^b\big)

    For p = 0 it is concave, so that f of a metric is a metric; else the triangle inequality holds up to the factor
    :math:`2^{|p|}`. The shift by :math:`\epsilon` keeps all this and makes the slope at 0 finite: without it one pair
    of equal points makes every gradient NaN.

    Hidden layers of long inputs are computed again in the backward pass, piece by piece.

    Args:
        t: distances, not negative, of any shape.
        layers: first to last; the first has ``d_in`` 1 and the last ``d_out`` 1.
        p: of the outer power.
        eps: the shift; 0 is the published function.

    Shapes:
        as ``t``.

    Source: Borde and Kratsios, "Neural Snowflakes: Universal latent graph inference via trainable latent geometries",
    arXiv 2310.15003. There is no published code.

    Example:
        >>> one = torch.ones(1, 1)
        >>> layer = SnowflakeLayer(one, one, torch.tensor([0.0, 1.0, 0.0]), torch.tensor(0.5), torch.tensor(0.5))
        >>> snowflake(torch.tensor([0.0, 4.0, 9.0]), [layer], eps=0.0)
        tensor([0., 2., 3.])
    """
    flat = t.reshape(-1)
    parameters = [tensor for layer in layers for tensor in layer] + ([p] if isinstance(p, Tensor) else [])
    grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (t, *parameters))
    if flat.numel() <= _PIECE or not grad or torch.compiler.is_compiling():
        pieces = [_value(part, layers, p, eps) for part in flat.split(_PIECE)] if flat.numel() else [flat]
    else:
        pieces = [checkpoint(_value, part, layers, p, eps, use_reentrant=False) for part in flat.split(_PIECE)]
    return (pieces[0] if len(pieces) == 1 else torch.cat(pieces)).view(t.shape)


def snowflake_slope(t: Tensor, layers: Sequence[SnowflakeLayer], p: Tensor | float = 0.0, eps: float = 1e-6) -> Tensor:
    """The derivative of :func:`snowflake` by the distance, positive; carried forward beside the value.

    Shapes:
        as ``t``.
    """
    u, slope = t.reshape(-1, 1), torch.ones_like(t).reshape(-1, 1)
    for layer in layers:
        v, dv = u @ layer.A.T, slope @ layer.A.T
        log = torch.log1p(v)
        inner = layer.C[0] * torch.exp(-v) + layer.C[1] * layer.a * (v + eps) ** (layer.a - 1)
        inner = inner + layer.C[2] * layer.b * (log + eps) ** (layer.b - 1) / (1 + v)
        u, slope = _mix(v, layer, eps) @ layer.B.T, (inner * dv) @ layer.B.T
    power = 1 + (p.abs() if isinstance(p, Tensor) else abs(p))
    return (power * u ** (power - 1) * slope).view(t.shape)


def _value(t: Tensor, layers: Sequence[SnowflakeLayer], p: Tensor | float, eps: float) -> Tensor:
    u = t.unsqueeze(-1)
    for layer in layers:
        u = _mix(u @ layer.A.T, layer, eps) @ layer.B.T
    return u.squeeze(-1) ** (1 + (p.abs() if isinstance(p, Tensor) else abs(p)))


def _mix(v: Tensor, layer: SnowflakeLayer, eps: float) -> Tensor:
    bounded, fractal, irregular = layer.C.unbind()
    power, log = _shifted_power(v, layer.a, eps), _shifted_power(torch.log1p(v), layer.b, eps)
    return fractal * power + irregular * log - bounded * torch.expm1(-v)


def _shifted_power(v: Tensor, exponent: Tensor, eps: float) -> Tensor:
    """``(v + eps)**exponent - eps**exponent`` without cancellation, and so exactly 0 at 0 and never below."""
    if eps == 0:
        return v**exponent
    return eps**exponent * torch.expm1(exponent * torch.log1p(v / eps))
