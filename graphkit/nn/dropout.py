"""Dropout that draws four numbers at a time on the CPU."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_LEVELS = 2**16


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    r"""Sets entries to zero with probability ``p`` and scales the others so that the expectation stays.

    .. math:: y = \frac{x \odot k}{1 - p'}, \qquad k \sim \mathrm{Bernoulli}(1 - p')

    The same as ``torch.nn.functional.dropout``, and that function itself on a GPU and under ``torch.compile``. On the
    CPU torch draws one number per entry and spends more time on it than on a layer's matrix product; here one draw of
    64 bits decides four entries, three times faster. So ``p`` is rounded to :math:`p' = n / 65536`, and the draws are
    others than torch's for the same seed. They depend on the seed alone, not on the number of threads.

    Args:
        x: any floating-point tensor.
        p: the probability.
        training: False returns ``x``.

    Raises:
        ValueError: if ``p`` is not in [0, 1].

    Example:
        >>> kept = dropout(torch.ones(100_000), 0.25)
        >>> round(float((kept > 0).float().mean()), 2), round(float(kept.mean()), 2), round(float(kept.max()), 4)
        (0.75, 1.0, 1.3333)
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p: got {p}, expected a probability between 0 and 1")
    if not training or p == 0:
        return x
    dropped = round(p * _LEVELS)
    if x.device.type != "cpu" or dropped == _LEVELS or torch.compiler.is_compiling() or not x.is_floating_point():
        return F.dropout(x, p=p, training=True)
    words = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)[: x.numel()].view(x.shape)
    scale = (levels >= dropped - _LEVELS // 2).to(x.dtype).mul_(_LEVELS / (_LEVELS - dropped))
    return x * scale
