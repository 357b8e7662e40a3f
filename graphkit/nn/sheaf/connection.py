"""The connection Laplacian: transports from local principal components, computed and not learned."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from graphkit.graph import Graph
from graphkit.nn.sheaf.base import RestrictionMaps, Sheaf

# Graph -> (features, their version, stalk dimension, sheaf): in training, the same features come in every epoch.
_MEMORY: WeakIdKeyDictionary = WeakIdKeyDictionary()


class ConnectionMaps(RestrictionMaps):
    r"""Orthogonal maps that align the tangent spaces of neighbours (Conn-NSD).

    At each node, the ``d`` main directions :math:`O_u` ``[C, d]`` of the differences to its neighbours' features (local
    PCA) span a tangent space; the transport along an edge is the orthogonal matrix nearest to :math:`O_u^T O_v`. Of the
    two maps of an edge, that of the node with the lower number is the identity. No gradient flows through them. The
    last result on a graph is remembered as long as the graph and the features live unchanged.

    A singular vector's sign, which is free, is chosen such that its largest entry is positive. Where a node's
    differences span fewer than ``d`` directions, the first unit vectors fill up; the published code takes the nearest
    other nodes of the whole graph instead, which would tie a graph's result to the batch it is in.

    Args:
        stalk_dim: dimension of the stalks.

    Raises:
        ValueError: if there are fewer features than ``stalk_dim``.

    Source:
        Barbero et al., "Sheaf Neural Networks with Connection Laplacians", arXiv 2206.08702; Singer and Wu, "Vector
        Diffusion Maps", 2012.

    Example:
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> maps = ConnectionMaps(2)(torch.randn(3, 5), graph).maps
        >>> torch.dist(maps @ maps.mT, torch.eye(2).expand(4, 2, 2)) < 1e-5
        tensor(True)
    """

    def forward(self, x: Tensor, graph: Graph) -> Sheaf:
        """``[N, C] -> [E, d, d]``."""
        if x.size(-1) < self.stalk_dim:
            raise ValueError(
                f"maps='connection' needs at least stalk_dim={self.stalk_dim} features (got {x.size(-1)}); "
                f"lower stalk_dim"
            )
        known = _MEMORY.get(graph)
        if known is not None and known[0]() is x and known[1:3] == (x._version, self.stalk_dim):
            sheaf: Sheaf = known[3]
            return sheaf
        sheaf = self._compute(x, graph)
        if not x.is_inference():
            _MEMORY[graph] = (weakref.ref(x), x._version, self.stalk_dim, sheaf)
        return sheaf

    def _compute(self, x: Tensor, graph: Graph) -> Sheaf:
        with torch.no_grad():
            working = x if x.dtype == torch.float64 else x.float()
            frames = tangent_frames(working, graph, self.stalk_dim)
            source, target = graph.edge_index
            u, _, vt = torch.linalg.svd(frames[source].mT @ frames[target])
            eye = torch.eye(self.stalk_dim, dtype=working.dtype, device=x.device)
            # The map of the source is I where it has the lower number; else that of the target is.
            maps = torch.where((source <= target)[:, None, None], eye, (u @ vt).mT)
        return Sheaf(maps.to(x.dtype), orthogonal=True)


def tangent_frames(x: Tensor, graph: Graph, stalk_dim: int) -> Tensor:
    """Orthonormal columns ``[N, C, d]``: the main directions of each node's differences to its neighbours.

    They are eigenvectors of the differences' products, ``degree x degree`` per node, so that many features cost no
    more than few; nodes are taken one degree at a time.
    """
    num_nodes, channels = x.shape
    frames = x.new_zeros(num_nodes, channels, stalk_dim)
    degree = graph.out_degree
    for k in degree.unique().tolist():
        if k == 0:
            continue
        nodes = (degree == k).nonzero().view(-1)
        slots = graph.csr.ptr.long()[nodes, None] + torch.arange(k, device=x.device)
        differences = x[graph.csr.index.long()[slots]] - x[nodes][:, None]  # [n, k, C]
        _, s, vt = torch.linalg.svd(differences, full_matrices=False)
        rank = min(stalk_dim, s.size(1))
        kept = vt[:, :rank] * (s[:, :rank] > 1e-6 * s[:, :1].clamp(min=1e-30))[..., None]
        frames[nodes, :, :rank] = kept.mT
    largest = frames.gather(1, frames.abs().argmax(1, keepdim=True))
    frames = frames * torch.where(largest < 0, -1.0, 1.0).to(frames.dtype)
    return _filled(frames)


def _filled(frames: Tensor) -> Tensor:
    """The frames with their zero columns replaced by unit vectors made orthogonal to the others (Gram-Schmidt)."""
    _, channels, stalk_dim = frames.shape
    for column in range(stalk_dim):
        empty = (frames[:, :, column] == 0).all(1)
        if not bool(empty.any()):
            continue
        known = frames[empty]
        # What is left of each unit vector outside the frame; the longest of the first d + 1 is at least as long as 1
        # over the square root of d + 1, so there is no division by nearly zero.
        candidates = min(channels, stalk_dim + 1)
        rest = (
            torch.eye(channels, candidates, dtype=frames.dtype, device=frames.device)
            - known @ known.mT[:, :, :candidates]
        )
        length = rest.norm(dim=1)
        best = (length > length.amax(1, keepdim=True) - 1e-6).to(torch.uint8).argmax(1)
        vector = rest.gather(2, best.view(-1, 1, 1).expand(-1, channels, 1)).squeeze(2)
        known[:, :, column] = vector / vector.norm(dim=1, keepdim=True)
        frames[empty] = known
    return frames
