"""What a layer trained without back-propagation through others minimises: goodness, prototypes, pairs of nodes.

All of it is functions of one layer's output. Source: N. Park et al., "Forward Learning of Graph Neural Networks", ICLR
2024 (arXiv 2403.11004); goodness is G. Hinton's (arXiv 2212.13345), SymBa that of H.-C. Lee and J. Song (arXiv
2303.08418).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def row_normalize(h: Tensor, eps: float = 1e-8) -> Tensor:
    """Each row divided by its length plus ``eps``: ``[n, d] -> [n, d]``; a zero row stays zero.

    It keeps a layer from reading the goodness of the layer below in the length of its input. The derivative at a zero
    row is 1 / eps: use it on detached features.

    Example:
        >>> row_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    return h / (torch.linalg.vector_norm(h, dim=-1, keepdim=True) + eps)


def goodness(y: Tensor, reduce: str = "sum") -> Tensor:
    """The sum (or ``"mean"``) of the squares of each row: ``[..., H] -> [...]``.

    Example:
        >>> goodness(torch.tensor([[1.0, 2.0]])).item()
        5.0
    """
    squares = torch.linalg.vecdot(y, y)
    return squares / y.size(-1) if reduce == "mean" else squares


def ff_loss(good: Tensor, bad: Tensor, theta: float = 2.0) -> Tensor:
    """The forward-forward loss of each sample: ``softplus(theta - good) + mean_m softplus(bad_m - theta)``.

    Positives and negatives weigh the same, however many negatives there are.

    Args:
        good: goodness of the positives, ``[T]``.
        bad: goodness of M negatives of each, ``[M, T]``.
        theta: the threshold.

    Returns:
        ``[T]``
    """
    return F.softplus(theta - good) + F.softplus(bad - theta).mean(0)


def symba_loss(good: Tensor, bad: Tensor, alpha: float = 4.0) -> Tensor:
    """The symmetric loss of each sample, ``mean_m softplus(-alpha (good - bad_m))``: ``[T], [M, T] -> [T]``.

    How the ForwardGNN paper pairs a positive with several negatives is not published; the mean is our choice.
    """
    return F.softplus(-alpha * (good - bad)).mean(0)


def prototype_logits(z: Tensor, prototypes: Tensor, temperature: float = 1.0) -> Tensor:
    """Dot products with the class nodes' outputs: ``[n, H], [K, H] -> [n, K]``; neither is normalised."""
    return z @ prototypes.t() / temperature


def prototype_loss(z: Tensor, prototypes: Tensor, y: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross-entropy of :func:`prototype_logits`, per row: ``[T, H], [K, H], [T] -> [T]``.

    The gradient flows through rows and prototypes, which are outputs of the same layer.
    """
    return F.cross_entropy(prototype_logits(z, prototypes, temperature), y, reduction="none")


def pair_features(z: Tensor, pairs: Tensor) -> Tensor:
    """The elementwise products of the outputs of two nodes: ``[N, H]`` and pairs ``[2, P]`` -> ``[P, H]``."""
    return z[pairs[0]] * z[pairs[1]]


def roc_auc(score: Tensor, label: Tensor) -> float:
    """The area under the ROC curve: the share of (positive, negative) pairs in the right order, ties counting half.

    Args:
        score: ``[P]``.
        label: ``[P]`` of 0 and 1, both present.

    Example:
        >>> roc_auc(torch.tensor([0.9, 0.5, 0.5, 0.1]), torch.tensor([1.0, 1.0, 0.0, 0.0]))
        0.875
    """
    positive = label > 0.5
    p, n = int(positive.sum()), int((~positive).sum())
    if p == 0 or n == 0:
        raise ValueError(f"label: got {p} positives and {n} negatives, expected at least one of each")
    _, place, count = torch.unique(score, return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    rank = (last - (count.double() - 1) / 2)[place]
    return float((rank[positive].sum() - p * (p + 1) / 2) / (p * n))
