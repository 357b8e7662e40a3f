"""Orthogonal matrices from free parameters, closed form where one exists."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from graphkit.ops.sheaf_layer import householder


def num_parameters(stalk_dim: int) -> int:
    """Free parameters of a ``d x d`` orthogonal matrix, ``d (d - 1) / 2``."""
    return stalk_dim * (stalk_dim - 1) // 2


def strictly_lower(theta: Tensor, stalk_dim: int) -> Tensor:
    """``[..., d (d - 1) / 2] -> [..., d, d]``: the parameters below the diagonal, row by row, zeros elsewhere."""
    rows, columns = torch.tril_indices(stalk_dim, stalk_dim, -1, device=theta.device)
    flat = theta.new_zeros(*theta.shape[:-1], stalk_dim * stalk_dim)
    flat = flat.index_copy(-1, rows * stalk_dim + columns, theta)
    return flat.view(*theta.shape[:-1], stalk_dim, stalk_dim)


def cayley(theta: Tensor, stalk_dim: int) -> Tensor:
    r"""Cayley's map :math:`Q = (I - A/2)^{-1} (I + A/2)` of the skew matrix :math:`A` of the parameters.

    For d = 2 a rotation by :math:`2 \arctan(\theta / 2)`: with ``|theta| <= 1`` two of them are at most 106 degrees
    apart, so a sign flip is out of reach.

    Shapes:
        ``[..., d (d - 1) / 2] -> [..., d, d]``

    Example:
        >>> cayley(torch.tensor([2.0]), 2).round(decimals=4) + 0.0
        tensor([[ 0., -1.],
                [ 1.,  0.]])
    """
    half = _skew(theta, stalk_dim) / 2
    eye = torch.eye(stalk_dim, dtype=theta.dtype, device=theta.device)
    if stalk_dim > 3:
        return torch.linalg.solve(eye - half, eye + half)
    square = theta.square().sum(-1)[..., None, None] / 4
    return eye + 2 * (half + half @ half) / (1 + square)


def matrix_exp(theta: Tensor, stalk_dim: int) -> Tensor:
    r"""The exponential :math:`Q = \exp(A)` of the skew matrix :math:`A` of the parameters.

    For d <= 3 by Rodrigues' formula :math:`I + \frac{\sin t}{t} A + \frac{1 - \cos t}{t^2} A^2`, where t is the length
    of the parameters.

    Shapes:
        ``[..., d (d - 1) / 2] -> [..., d, d]``

    Example:
        >>> matrix_exp(torch.tensor([math.pi / 2]), 2).round(decimals=4) + 0.0
        tensor([[ 0., -1.],
                [ 1.,  0.]])
    """
    skew = _skew(theta, stalk_dim)
    if stalk_dim > 3:
        return torch.matrix_exp(skew)
    eye = torch.eye(stalk_dim, dtype=theta.dtype, device=theta.device)
    square = theta.square().sum(-1)[..., None, None]
    # Both factors are smooth in t^2, but not as written: near zero their series, with a safe t for the other branch.
    small = square < 1e-4
    t = torch.where(small, torch.ones_like(square), square).sqrt()
    sine = torch.where(small, 1 - square / 6 + square**2 / 120 - square**3 / 5040, t.sin() / t)
    # 1 - cos t = 2 sin^2(t / 2) keeps its digits.
    cosine = torch.where(small, 0.5 - square / 24 + square**2 / 720 - square**3 / 40320, 2 * ((t / 2).sin() / t) ** 2)
    return eye + sine * skew + cosine * (skew @ skew)


def euler(theta: Tensor, stalk_dim: int) -> Tensor:
    r"""Rotations by :math:`2\pi` times the parameters: one in the plane, :math:`R_z R_y R_x` in space.

    Shapes:
        ``[..., 1] -> [..., 2, 2]`` or ``[..., 3] -> [..., 3, 3]``

    Raises:
        ValueError: if ``stalk_dim`` is neither 2 nor 3.

    Example:
        >>> euler(torch.tensor([0.25]), 2).round(decimals=4) + 0.0
        tensor([[ 0., -1.],
                [ 1.,  0.]])
    """
    if stalk_dim not in (2, 3):
        raise ValueError(f"orthogonal='euler' needs stalk_dim 2 or 3 (got {stalk_dim}); use 'householder'")
    cos, sin = (2 * math.pi * theta).cos(), (2 * math.pi * theta).sin()
    if stalk_dim == 2:
        return torch.stack([cos[..., 0], -sin[..., 0], sin[..., 0], cos[..., 0]], -1).unflatten(-1, (2, 2))
    (ca, cb, cc), (sa, sb, sc) = cos.unbind(-1), sin.unbind(-1)
    entries = [
        *(ca * cb, ca * sb * sc - sa * cc, ca * sb * cc + sa * sc),
        *(sa * cb, sa * sb * sc + ca * cc, sa * sb * cc - ca * sc),
        *(-sb, cb * sc, cb * cc),
    ]
    return torch.stack(entries, -1).unflatten(-1, (3, 3))


def _skew(theta: Tensor, stalk_dim: int) -> Tensor:
    lower = strictly_lower(theta, stalk_dim)
    return lower - lower.transpose(-1, -2)


PARAMETRISATIONS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "householder": householder,
    "cayley": cayley,
    "matrix_exp": matrix_exp,
    "euler": euler,
}
"""Each maps parameters ``[..., d (d - 1) / 2]`` and ``d`` to orthogonal matrices ``[..., d, d]``."""


def orthogonal_matrix(theta: Tensor, stalk_dim: int, method: str = "householder") -> Tensor:
    """Orthogonal matrices from parameters by a named method; half types are computed in float32.

    Args:
        theta: the parameters.
        stalk_dim: ``d``, at least 2.
        method: ``"householder"``, ``"cayley"``, ``"matrix_exp"`` or ``"euler"``.

    Shapes:
        ``[..., d (d - 1) / 2] -> [..., d, d]``

    Raises:
        ValueError: if the method is unknown or the number of parameters is not that of ``stalk_dim``.

    Source:
        Bodnar et al., arXiv 2202.04579, code. There ``cayley`` and ``matrix_exp`` have ``d`` more parameters, on the
        diagonal, which cancel.
    """
    if method not in PARAMETRISATIONS:
        raise ValueError(f"'orthogonal' must be one of {', '.join(map(repr, PARAMETRISATIONS))} (got {method!r})")
    if theta.size(-1) != num_parameters(stalk_dim):
        raise ValueError(
            f"'theta' must have {num_parameters(stalk_dim)} entries for stalk_dim={stalk_dim} (got {theta.size(-1)})"
        )
    working = theta if theta.dtype == torch.float64 else theta.float()
    return PARAMETRISATIONS[method](working, stalk_dim).to(theta.dtype)
