"""The kernel of batch normalisation, rectifier and dropout: one pass over the features forward, two backward."""

from __future__ import annotations

import ctypes
import struct

import torch
from torch import Tensor

from graphkit.native import library

__all__ = ["norm_backward", "norm_forward"]

# NormArgs of src/norm.cpp: 7 integers (the seed unsigned), 13 addresses, eps, scale and momentum.
_pack = struct.Struct("=6qQ13Q3d").pack
_ROWS = 64


def norm_forward(
    x: Tensor, weight: Tensor, bias: Tensor, running: tuple[Tensor, Tensor] | None, momentum: float, eps: float,
    relu: bool, seed: int, dropped: int, scale: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """``scale * mask * relu(batch_norm(x))``, and the mean and biased variance ``[2, F]`` in float64.

    Args:
        x: contiguous ``[N, F]``, float32 or float64 on the CPU, N at least 2.
        weight, bias: contiguous ``[F]`` of the type of ``x``.
        running: mean and variance to update in place, contiguous ``[F]`` of the type of ``x``.
        momentum: share of this batch in them.
        eps: added to the variance.
        relu: rectify.
        seed, dropped, scale: of :func:`graphkit.native.dropout.dropout`; ``dropped=0`` drops nothing.
    """
    out, moments = torch.empty_like(x), x.new_empty(2, x.size(1), dtype=torch.float64)
    _run(x, weight, bias, None, out, moments, None, running, momentum, eps, relu, seed, dropped, scale)
    return out, moments


def norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, moments: Tensor, eps: float, relu: bool, seed: int,
    dropped: int, scale: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients to ``x``, ``weight`` and ``bias``, of their type.

    Args:
        grad: of the result, contiguous and of the type of ``x``.
        x, weight, bias, eps, relu, seed, dropped, scale: of the forward call.
        moments: its second result.
    """
    out, sums = torch.empty_like(x), torch.empty_like(moments)
    _run(x, weight, bias, grad, out, moments, sums, None, 0.0, eps, relu, seed, dropped, scale)
    to_bias, to_weight = sums.to(x.dtype).unbind()
    return out, to_weight, to_bias


def _run(
    x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor | None, out: Tensor, moments: Tensor, sums: Tensor | None,
    running: tuple[Tensor, Tensor] | None, momentum: float, eps: float, relu: bool, seed: int, dropped: int,
    scale: float,
) -> None:  # fmt: skip
    rows, channels = x.shape
    threads = torch.get_num_threads()
    partial = torch.empty(-(-rows // _ROWS) * 2 * channels, dtype=torch.float64)
    levels = torch.empty(threads * _ROWS * channels if dropped else 0, dtype=torch.int16)
    mean, first = moments.data_ptr(), 0 if sums is None else sums.data_ptr()
    running_mean, running_variance = (0, 0) if running is None else (running[0].data_ptr(), running[1].data_ptr())
    row = channels * 8  # bytes of a row of `moments` and `sums`
    arguments = _pack(
        x.dtype is torch.float64, rows, channels, threads, relu, dropped, seed,
        x.data_ptr(), weight.data_ptr(), bias.data_ptr(), 0 if grad is None else grad.data_ptr(), out.data_ptr(),
        mean, mean + row, first, first + row if first else 0, partial.data_ptr(), levels.data_ptr(),
        running_mean, running_variance, eps, scale, momentum,
    )  # fmt: skip
    library.load().graphkit_norm(ctypes.c_char_p(arguments))
