"""Neural spacetimes: a trainable quasi-metric that is not isotropic, and a trainable partial order."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def two_sided_power(x: Tensor, small: Tensor | float, large: Tensor | float, eps: float = 0.0) -> Tensor:
    r""":math:`\mathrm{sgn}(x)\,|x|^s` where |x| < 1, and :math:`\mathrm{sgn}(x)\,|x|^l` elsewhere.

    Args:
        x: any shape.
        small: s, positive.
        large: l, positive.
        eps: with s < 1 the slope at 0 is infinite; :math:`((|x| + \epsilon)^s - \epsilon^s) / ((1 + \epsilon)^s -
            \epsilon^s)` stands for the small side then, which is 0 at 0 and 1 at 1.

    Shapes:
        as ``x``.

    Example:
        >>> two_sided_power(torch.tensor([-0.5, 0.0, 3.0]), 2.0, 1.0)
        tensor([-0.2500,  0.0000,  3.0000])
    """
    size = x.abs()
    near = size < 1
    inner = torch.where(near, size, 0.5)
    if eps > 0:
        low = eps**small
        below = ((inner + eps) ** small - low) / ((1 + eps) ** small - low)
    else:
        below = inner**small
    above = torch.where(near, 1.0, size) ** large
    # x.sign() has no gradient at 0, nor has |x|: the slope of an even function, and of s > 1, is 0 there.
    return x.sign() * torch.where(near, below, above)


def quasi_metric(
    x: Tensor,
    y: Tensor,
    powers: Sequence[tuple[Tensor | float, Tensor | float]],
    weights: Sequence[Tensor],
    eps: float = 0.0,
) -> Tensor:
    r"""A distance that is 0 for equal points and symmetric, with a triangle inequality up to a factor.

    .. math:: u_0 = |\sigma_0(x) - \sigma_0(y)|, \qquad u_j = \sigma_j(u_{j-1})\, W_j

    with :func:`two_sided_power` :math:`\sigma` and :math:`W_j > 0`. See :func:`relaxation` for the factor.

    Args:
        x, y: points ``[..., D]``.
        powers: J + 1 pairs (s, l).
        weights: J non-negative matrices, ``[D, h]``, ..., ``[h, 1]``.
        eps: see :func:`two_sided_power`.

    Shapes:
        ``[..., D]``, ``[..., D]`` -> ``[...]``

    Source: Borde, Kratsios, Law, Dong and Bronstein, "Neural Spacetimes for DAG representation learning", ICLR 2025.
    """
    u = (two_sided_power(x, *powers[0], eps) - two_sided_power(y, *powers[0], eps)).abs()
    for (small, large), weight in zip(powers[1:], weights, strict=True):
        u = two_sided_power(u, small, large, eps) @ weight
    return u.squeeze(-1)


def relaxation(powers: Sequence[tuple[float, float]]) -> float:
    r"""The constant K of :math:`d(x, z) \le K\,(d(x, y) + d(y, z))` for :func:`quasi_metric`.

    .. math:: K_0 = 1, \qquad K_j = K_{j-1}^{\max(M_j, 1)}\, 2^{\max(M_j - 1, 0)}, \qquad M_j = \max(s_j, l_j)

    Example:
        >>> relaxation([(5.0, 5.0), (1.0, 1.0), (2.0, 1.0)])
        2.0
    """
    constant = 1.0
    for small, large in powers[1:]:
        most = max(small, large)
        constant = constant ** max(most, 1.0) * 2 ** max(most - 1.0, 0.0)
    return constant


def partial_order(
    z: Tensor, powers: Sequence[Tensor | float], weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> Tensor:
    r"""Time coordinates that increase with every entry of ``z``: u precedes v iff no entry of T(u) exceeds T(v).

    .. math:: h_0 = z, \qquad h_j = \mathrm{sgn}(a)\,|a|^{s_j} W_j + b_j, \qquad a = \mathrm{LeakyReLU}(h_{j-1})

    Args:
        z: ``[..., T]``.
        powers: J exponents, positive.
        weights: J non-negative matrices.
        biases: J vectors.

    Shapes:
        ``[..., T]`` -> ``[..., T]``
    """
    h = z
    for power, weight, bias in zip(powers, weights, biases, strict=True):
        a = F.leaky_relu(h)
        size = torch.where(a == 0, 1.0, a.abs())  # the slope at 0 is infinite for s < 1: there is no gradient there
        h = (a.sign() * size**power) @ weight + bias
    return h
