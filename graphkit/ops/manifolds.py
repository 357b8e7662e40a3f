"""Squared geodesic distances in spaces of constant curvature, by polar coordinates: no digits cancel."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.snowflake import safe_norm

_NEAR = 1e-6  # below this the series of asinh(sqrt(h))^2 is exact to rounding


def euclidean_sq_distance(u: Tensor, v: Tensor) -> Tensor:
    """``[..., d]``, ``[..., d]`` -> ``[...]``: the squared Euclidean distance."""
    return (u - v).square().sum(-1)


def hyperbolic_sq_distance(u: Tensor, v: Tensor, root: Tensor | float = 1.0) -> Tensor:
    r"""Squared distance of :math:`\exp_0 u` and :math:`\exp_0 v` in the hyperbolic space of curvature :math:`-s^2`.

    .. math:: d^2 = \frac{4}{s^2} \mathrm{asinh}^2 \sqrt h, \qquad
        h = \sinh^2 \frac{a - b}{2} + \sinh a \sinh b\, \Big\| \frac{u}{|u|} - \frac{v}{|v|} \Big\|^2 / 4,
        \qquad a = s |u|,\ b = s |v|

    Exact to rounding for near points (``acosh`` of an inner product keeps half the digits) and with finite gradients
    for equal ones and at the origin. |u| is the length of the geodesic from the origin. s |u| beyond 40 (float32) or
    300 (float64) counts as that much.

    Args:
        u, v: tangent vectors at the origin, whose leading shapes broadcast.
        root: s, positive.

    Shapes:
        ``[..., d]``, ``[..., d]`` -> ``[...]``

    Source: product manifolds for graph inference: Borde et al., "Latent graph inference using product manifolds",
    ICLR 2023. The form is ours.

    Example:
        >>> two = torch.tensor([[2.0, 0.0]])
        >>> hyperbolic_sq_distance(two, -two)  # on one geodesic through the origin
        tensor([16.])
    """
    most = 40.0 if u.dtype == torch.float32 else 300.0
    a, b, sides = _polar(u, v, root, most, torch.sinh)
    h = torch.sinh((a - b) / 2).square() + sides
    near = h < _NEAR
    arc = torch.asinh(torch.where(near, 1.0, h).sqrt()).square()
    return torch.where(near, _series(torch.where(near, h, 0.0), -1), arc) * 4 / root**2


def spherical_sq_distance(u: Tensor, v: Tensor, root: Tensor | float = 1.0) -> Tensor:
    r"""Squared distance of :math:`\exp_0 u` and :math:`\exp_0 v` on the sphere of curvature :math:`s^2`.

    As :func:`hyperbolic_sq_distance` with sines and the arc sine, at most :math:`(\pi / s)^2`; between opposite points,
    where the distance has a kink, the gradient is finite.

    Args:
        u, v: tangent vectors at the origin.
        root: s, positive.

    Shapes:
        ``[..., d]``, ``[..., d]`` -> ``[...]``

    Example:
        >>> one = torch.tensor([[1.0, 0.0]])
        >>> round(spherical_sq_distance(one, -one).item(), 4)
        4.0
    """
    a, b, sides = _polar(u, v, root, float("inf"), torch.sin)
    h = torch.sin((a - b) / 2).square() + sides
    h = h.clamp(max=1 - torch.finfo(h.dtype).eps)
    near = h < _NEAR
    far = torch.where(near, 0.5, h)
    arc = torch.atan2(far.sqrt(), (1 - far).sqrt()).square()
    return torch.where(near, _series(torch.where(near, h, 0.0), 1), arc) * 4 / root**2


def _series(h: Tensor, sign: int) -> Tensor:
    """asin(sqrt(h))^2 (sign 1) or asinh(sqrt(h))^2 (sign -1) near 0."""
    return h * (1 + sign * h / 3 + 8 * h.square() / 45)


def _polar(u: Tensor, v: Tensor, root: Tensor | float, most: float, sine: object) -> tuple[Tensor, Tensor, Tensor]:
    """s |u|, s |v|, and sin(h) s|u| * sin(h) s|v| * |u/|u| - v/|v||^2 / 4."""
    assert callable(sine)
    p, q = safe_norm(u), safe_norm(v)
    a, b = (root * p).clamp(max=most), (root * q).clamp(max=most)
    unit_u = u / torch.where(p > 0, p, 1.0).unsqueeze(-1)
    unit_v = v / torch.where(q > 0, q, 1.0).unsqueeze(-1)
    sides = sine(a) * sine(b) * (unit_u - unit_v).square().sum(-1) / 4
    if bool((p == 0).any()) or bool((q == 0).any()):
        # At the origin there is no direction, but a gradient: with sin(a) = s |u| there, the same is
        # sin(b) s (|u| |v| - <u, v>) / (2 |v|), and what |u| would add is taken back by the other term.
        ratio = _over(sine, a, p, root) * _over(sine, b, q, root)
        sides = torch.where((p > 0) & (q > 0), sides, ratio * (p * q - (u * v).sum(-1)) / 2)
    return a, b, sides


def _over(sine: object, a: Tensor, length: Tensor, root: Tensor | float) -> Tensor:
    """sin(a) / |u|, which is s where |u| is 0."""
    assert callable(sine)
    there = length > 0
    return torch.where(there, sine(a) / torch.where(there, length, 1.0), root)
