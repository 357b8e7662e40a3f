"""The published network for systems of particles: frame averaging after every layer."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphkit import ops
from graphkit.nn.folding import plain_edges
from graphkit.symmetry.cloud import make_cloud
from graphkit.symmetry.frames import EuclideanFrame, pca_frame
from graphkit.symmetry.groups import Euclidean


class FrameAveragedLayer(nn.Module):
    r"""A message-passing layer over nodes that are seen in S frames each.

    .. math:: m_{ij} = \mathrm{MLP}_e(h_i, h_j, e_{ij}), \qquad h_i' = h_i + \mathrm{MLP}_n(h_i, \sum_j m_{ij})

    What edges have is the same in all frames, so its part of the first linear map is computed once.

    Shapes:
        h ``[N, S, C]``, edge_index ``[2, E]`` (from row 0 to row 1), edge_attr ``[E, D]`` -> ``[N, S, C]``.
    """

    def __init__(self, channels: int, edge_dim: int) -> None:
        super().__init__()
        self.channels = channels
        self.edge_mlp = nn.Sequential(
            nn.Linear(2 * channels + edge_dim, channels), nn.SiLU(), nn.Linear(channels, channels), nn.SiLU()
        )
        self.node_mlp = nn.Sequential(nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, h: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """One layer."""
        source, target = edge_index
        first = cast(nn.Linear, self.edge_mlp[0])
        own, other, edge = first.weight.split([self.channels, self.channels, edge_attr.size(1)], 1)
        message = F.linear(h, own).index_select(0, target) + F.linear(h, other).index_select(0, source)
        message = message + F.linear(edge_attr, edge, first.bias)[:, None]
        message = self.edge_mlp[1:](message)
        total = ops.scatter(message.flatten(1), target, h.size(0), "sum").reshape(h.shape)
        return h + self.node_mlp(torch.cat([h, total], -1))


class FrameAveragedGNN(nn.Module):
    r"""FA-GNN: where are the particles later? Equivariant to E(3) (or SE(3)) and permutations.

    Each system is seen in the frames of its positions (8, or 4 without reflections) as ``[R^T (x - t), R^T v]``. After
    every layer but the last the hidden features are read as vectors, averaged over the frames, and seen again in the
    frames of the cloud that these vectors are; the decoder's output is averaged and t added. Edges have the attributes
    given and the squared distance of their ends.

    Args:
        hidden_channels: width, a multiple of the dimension of space; published: 60.
        num_layers: message-passing layers; published: 4.
        edge_dim: width of the edge attributes given; n-body: 1, the product of the charges.
        group: ``"E(3)"`` or ``"SE(3)"``, or these of another dimension.

    Shapes:
        pos, vel ``[N, d]``, edge_index ``[2, E]``, edge_attr ``[E, edge_dim]``, batch ``[N]`` -> ``[N, d]``.

    Raises:
        ValueError: if the width is no multiple of d, or the group has no translations.

    Source: Puny et al., "Frame Averaging for Invariant and Equivariant Network Design", ICLR 2022;
    github.com/omri1348/Frame-Averaging (nbody). Any number of particles and systems of any size, where the published
    code fixes 5 particles and 8 frames; eigenvectors stay on the device. As published, frames and the centre that is
    added are constants in the backward pass, and frames are principal axes alone: exact where these are determined
    (:func:`graphkit.symmetry.frame_condition`); for all clouds wrap a network into :class:`graphkit.nn.FrameAveraging`.

    Example:
        >>> model = FrameAveragedGNN(12, num_layers=2)
        >>> edge_index = (1 - torch.eye(5)).nonzero().T
        >>> model(torch.randn(5, 3), torch.randn(5, 3), edge_index, torch.ones(20, 1)).shape
        torch.Size([5, 3])
    """

    def __init__(self, hidden_channels: int = 60, num_layers: int = 4, edge_dim: int = 1, group: str = "E(3)") -> None:
        super().__init__()
        self.group = Euclidean.named(group)
        if not self.group.translations or not self.group.rotations or self.group.scalings:
            raise ValueError(f"'group' must be E(d) or SE(d), got {group!r}")
        dim = self.group.dim
        if hidden_channels % dim or hidden_channels < dim:
            raise ValueError(
                f"'hidden_channels' must be a multiple of {dim}: they are read as vectors; got {hidden_channels}"
            )
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1, got {num_layers}")
        self.embedding = nn.Linear(2 * dim, hidden_channels)
        self.layers = nn.ModuleList(FrameAveragedLayer(hidden_channels, edge_dim + 1) for _ in range(num_layers))
        self.decoder = nn.Sequential(
            nn.Linear(hidden_channels, hidden_channels), nn.SiLU(), nn.Linear(hidden_channels, dim)
        )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()

    def forward(
        self,
        pos: Tensor,
        vel: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        """The positions later, ``[N, d]``."""
        edge_index = plain_edges(edge_index)
        source, target = edge_index
        square = (pos[source] - pos[target]).detach().square().sum(1, keepdim=True)
        edges = square if edge_attr is None else torch.cat([edge_attr.to(pos.dtype), square], 1)

        frame = self._frame(pos, batch, batch_size)
        center = frame.center.detach()
        seen = torch.cat([frame.canonicalize(pos, "position"), frame.canonicalize(vel, "vector")], -1)
        h = self.embedding(seen.transpose(0, 1))
        for number, layer in enumerate(self.layers):
            h = layer(h, edge_index, edges)
            if number < len(self.layers) - 1:
                latent = frame.restore(h.unflatten(-1, (-1, self.group.dim)).transpose(0, 1), "vector")
                frame = self._frame(latent, batch, batch_size)
                h = frame.canonicalize(latent, "position").flatten(2).transpose(0, 1)
        out = frame.restore(self.decoder(h).transpose(0, 1), "vector")
        return out + center[frame.index(out.size(0))].to(out.dtype)

    def _frame(self, points: Tensor, batch: Tensor | None, batch_size: int | None) -> EuclideanFrame:
        cloud = make_cloud(self.group, {"points": points}, {"points": "position"}, batch, batch_size)
        return pca_frame(self.group, cloud)
