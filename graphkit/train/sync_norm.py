"""Batch normalisation over the batches of all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone()
        dist.all_reduce(total)
        return total


class SyncBatchNorm1d(nn.BatchNorm1d):
    r"""``BatchNorm1d`` whose mean and variance are those of the rows of all processes.

    .. math::
        \mu = \frac{1}{n} \sum_r \sum_i x^{(r)}_i, \qquad
        \sigma^2 = \frac{1}{n} \sum_r \sum_i (x^{(r)}_i - \mu)^2, \qquad
        n = \sum_r n^{(r)}

    Gradients flow through both sums. torch's own ``SyncBatchNorm`` refuses tensors on the CPU; this one works with any
    backend of ``torch.distributed``, and with a process that has no rows. In evaluation mode, or alone, it is
    ``BatchNorm1d``; the ``state_dict`` is the same.

    Shapes:
        ``[N, F]`` -> ``[N, F]``
    """

    def forward(self, x: Tensor) -> Tensor:
        alone = not dist.is_initialized() or dist.get_world_size() == 1
        if alone or not (self.training or self.running_mean is None):
            return super().forward(x)
        if x.dim() != 2 or x.size(1) != self.num_features:
            raise ValueError(f"x: got shape {list(x.shape)}, expected [N, {self.num_features}]")
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        rows = wide.new_full((1,), float(x.size(0)))
        sums = _SumOverProcesses.apply(torch.cat([wide.sum(dim=0), rows]))
        count = sums[-1].detach()
        if count < 2:
            raise ValueError(f"x: got {int(count)} rows over all processes, expected at least 2 when training")
        mean = sums[:-1] / count
        centred = wide - mean
        variance = _SumOverProcesses.apply(centred.square().sum(dim=0)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        out = centred * torch.rsqrt(variance + self.eps)
        if self.affine:
            out = out * self.weight + self.bias
        return out.to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


def synchronize_batch_norm(model: nn.Module) -> None:
    """Replaces every ``BatchNorm1d`` inside ``model`` by a :class:`SyncBatchNorm1d` with its parameters and buffers.

    Args:
        model: changed in place; it must not itself be a ``BatchNorm1d``.
    """
    for name, child in model.named_children():
        if type(child) is not nn.BatchNorm1d:
            synchronize_batch_norm(child)
            continue
        synced = SyncBatchNorm1d(child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats)
        for store in ("_parameters", "_buffers"):
            getattr(synced, store).update(getattr(child, store))
        synced.training = child.training
        setattr(model, name, synced)
