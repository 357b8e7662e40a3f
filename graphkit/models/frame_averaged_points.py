"""Frame averaging of networks on point clouds: surface normals."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.utils import to_dense_batch

from graphkit import ops
from graphkit.nn.frame_averaging import Degenerate, FrameAveraging
from graphkit.ops.check import accumulator


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_channels, out_channels), nn.BatchNorm1d(out_channels), nn.ReLU())


class PointNet(nn.Module):
    r"""PointNet without transformation nets, a vector per point: perceptrons on points, their maximum over the cloud,
    and perceptrons on all of it.

    Args:
        out_channels: width of the result.
        width: factor of all widths; 1: the published 64, 128, 128, 512, 2048 and 256, 256, 128.

    Shapes:
        pos ``[N, 3]``, batch ``[N]`` -> ``[N, out_channels]``.

    Source: Qi et al., "PointNet", CVPR 2017; sizes of github.com/omri1348/Frame-Averaging (Pointnet).
    """

    def __init__(self, out_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        local = [3, *_scaled((64, 128, 128, 512, 2048), width)]
        self.points = nn.ModuleList(_block(a, b) for a, b in itertools.pairwise(local))
        head = [sum(local[1:]) + local[-1], *_scaled((256, 256, 128), width)]
        self.head = nn.Sequential(*(_block(a, b) for a, b in itertools.pairwise(head)))
        self.last = nn.Linear(head[-1], out_channels)

    def forward(self, pos: Tensor, batch: Tensor, batch_size: int | None = None) -> Tensor:
        """A row per point."""
        found = [pos]
        for block in self.points:
            found.append(block(found[-1]))
        most = ops.scatter(found[-1], batch, _graphs(batch, batch_size), "max")
        return self.last(self.head(torch.cat([*found[1:], most[batch]], 1)))


class DGCNN(nn.Module):
    r"""Dynamic graph network, a vector per point: each point and the mean over its k nearest, in the space of the
    features so far, three times; then the maximum over the cloud, and perceptrons on all of it and the coordinates.

    Args:
        out_channels: width of the result.
        k: neighbours; the whole cloud where it has fewer points.
        width: factor of all widths; 1: 64, 64, 64, 1024 and 512, 256.

    Shapes:
        pos ``[N, 3]``, batch ``[N]`` -> ``[N, out_channels]``.

    Source: Wang et al., "Dynamic Graph CNN", TOG 2019, with the mean for the maximum over neighbours and with
    coordinates added, as github.com/omri1348/Frame-Averaging (DGCNN) has it.
    """

    def __init__(self, out_channels: int = 3, k: int = 40, width: float = 1.0) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"'k' must be at least 1, got {k}")
        self.k = k
        local = [3, *_scaled((64, 64, 64), width)]
        self.convs = nn.ModuleList(_block(2 * a, b) for a, b in itertools.pairwise(local))
        (wide,) = _scaled((1024,), width)
        self.wide = _block(sum(local[1:]), wide)
        head = [wide + sum(local), *_scaled((512, 256), width)]
        self.head = nn.Sequential(*(_block(a, b) for a, b in itertools.pairwise(head)))
        self.last = nn.Linear(head[-1], out_channels)

    def forward(self, pos: Tensor, batch: Tensor, batch_size: int | None = None) -> Tensor:
        """A row per point."""
        h, found = pos, []
        for conv in self.convs:
            source, target = nearest(h.detach(), batch, self.k)
            messages = conv(torch.cat([h[target], h[source] - h[target]], 1))
            h = ops.scatter(messages, target, h.size(0), "mean")
            found.append(h)
        most = ops.scatter(self.wide(torch.cat(found, 1)), batch, _graphs(batch, batch_size), "max")
        return self.last(self.head(torch.cat([pos, *found, most[batch]], 1)))


def nearest(x: Tensor, batch: Tensor, k: int) -> Tensor:
    """Edges ``[2, E]`` from the k nearest rows of the same cloud (itself among them) to each row, sorted by target.

    Example:
        >>> nearest(torch.tensor([[0.0], [1.0], [3.0]]), torch.zeros(3, dtype=torch.long), 2).tolist()
        [[0, 1, 1, 0, 2, 1], [0, 0, 1, 1, 2, 2]]
    """
    if x.size(0) == 0:
        return batch.new_zeros(2, 0)
    dense, real = to_dense_batch(x.to(accumulator(x.dtype)), batch)
    apart = torch.cdist(dense, dense).masked_fill(~real[:, None], float("inf"))
    found = apart.topk(min(k, dense.size(1)), largest=False, sorted=True)
    first = F.pad(torch.bincount(batch, minlength=dense.size(0)).cumsum(0)[:-1], (1, 0))
    source = (found.indices + first[:, None, None])[real]
    target = torch.arange(x.size(0), device=x.device)[:, None].expand_as(source)
    there = found.values[real] < float("inf")
    return torch.stack([source[there], target[there]])


class _FramedNormals(nn.Module):
    """Unit vectors per point: a network averaged over frames."""

    def __init__(self, backbone: nn.Module, group: str, degenerate: Degenerate) -> None:
        super().__init__()
        self.average = FrameAveraging(backbone, group, {"pos": "position"}, "vector", degenerate=degenerate)

    def reset_parameters(self) -> None:
        """Draw all parameters anew, and forget running statistics."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.BatchNorm1d):
                module.reset_parameters()

    def forward(self, pos: Tensor, batch: Tensor | None = None, batch_size: int | None = None) -> Tensor:
        """Unit vectors ``[N, 3]``; their sign means nothing to the loss of normals."""
        return F.normalize(self.average(pos=pos, batch=batch, batch_size=batch_size), dim=1)


class FAPointNet(_FramedNormals):
    """FA-PointNet for normals: :class:`PointNet` averaged over frames.

    Args:
        width: factor of all widths.
        group: of the frames; published: O(3) of centred clouds, which E(3) is.
        degenerate: see :class:`graphkit.nn.FrameAveraging`. The default is as published; clouds of hundreds of points
            whose axes are not determined cost hundreds of calls otherwise.

    Shapes:
        pos ``[N, 3]``, batch ``[N]`` -> ``[N, 3]``, of length 1.

    Source: Puny et al., ICLR 2022. Differs: SO(3) and SE(3) work (the published code slices the wrong axis).

    Example:
        >>> model = FAPointNet(width=0.125)
        >>> model(torch.randn(20, 3), torch.arange(2).repeat_interleave(10)).norm(dim=1).allclose(torch.ones(20))
        True
    """

    def __init__(self, width: float = 1.0, group: str = "E(3)", degenerate: Degenerate = "ignore") -> None:
        super().__init__(PointNet(3, width), group, degenerate)


class FADGCNN(_FramedNormals):
    """FA-DGCNN for normals: :class:`DGCNN` averaged over frames.

    Args:
        k: neighbours; published: 40.
        width: factor of all widths.
        group: of the frames.
        degenerate: see :class:`FAPointNet`.

    Shapes:
        as :class:`FAPointNet`.

    Source: Puny et al., ICLR 2022.

    Example:
        >>> FADGCNN(k=4, width=0.125)(torch.randn(20, 3)).shape
        torch.Size([20, 3])
    """

    def __init__(self, k: int = 40, width: float = 1.0, group: str = "E(3)", degenerate: Degenerate = "ignore") -> None:
        super().__init__(DGCNN(3, k, width), group, degenerate)


def _scaled(widths: tuple[int, ...], factor: float) -> list[int]:
    scaled = [round(width * factor) for width in widths]
    if min(scaled) < 1:
        raise ValueError(f"'width' must leave layers at least one channel, got {factor}")
    return scaled


def _graphs(batch: Tensor, batch_size: int | None) -> int:
    return (int(batch.max()) + 1 if batch.numel() else 0) if batch_size is None else batch_size
