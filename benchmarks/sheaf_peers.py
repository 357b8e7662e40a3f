"""What sheaf operators and sheaf networks are measured against, each in the best torch form we know of.

* :func:`gather_bmm`: gather both ends, multiply by the maps, scatter; autograd does the rest. (A gather in place of
  the scatter that autograd makes for the reversed rows gains a fifth at d = 1, and little or nothing above.)
* :func:`gather_transported`: the same with the transports made first, so that only one end's rows are gathered.
* :class:`CachedCSR`: the Laplacian as values of a scalar CSR matrix whose pattern is made once; MKL's product forward
  and backward (the matrix is symmetric), ``sampled_addmm`` for the gradient of the values.
* :class:`Published`: a training step of the published network, computed as its authors' code does: learners on
  ``[x_u || x_v]`` per edge, values of an assembled COO matrix, a product of gathered rows and ``scatter_add``, roots by
  an SVD of perturbed blocks. Written by us from the formulas; the pairing of edges, a Python loop there, is a sort
  here (:func:`dictionary_pairs` is that loop), and Householder's maps are ours.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit import Graph
from graphkit.models import NeuralSheafDiffusion
from graphkit.ops.sheaf_layer import plain_householder


def gather_bmm(graph: Graph, x: Tensor, maps: Tensor, weight: Tensor | None) -> Tensor:
    """``out_u = sum of w F_u^T (F_u x_u - F_v x_v)`` with tensors of size E x d x f."""
    row, reverse = graph.edge_index[0], graph.reverse
    diagonal = maps.dim() == 2
    own = maps[:, :, None] * x.index_select(0, row) if diagonal else torch.bmm(maps, x.index_select(0, row))
    y = own - own.index_select(0, reverse)
    y = y if weight is None else weight[:, None, None] * y
    y = maps[:, :, None] * y if diagonal else torch.bmm(maps.transpose(1, 2), y)
    return torch.zeros_like(x).index_add(0, row, y)


def gather_transported(graph: Graph, x: Tensor, maps: Tensor, weight: Tensor | None) -> Tensor:
    """``out_u = D_u x_u - sum of w F_u^T F_v x_v``: one gather of rows; before it, E x d x d products of maps."""
    (row, col), nodes = graph.edge_index, x.size(0)
    other = _Permute.apply(maps, graph.reverse, graph.reverse)
    if maps.dim() == 2:
        own = maps if weight is None else weight[:, None] * maps
        degree = maps.new_zeros(nodes, maps.size(1)).index_add(0, row, own * maps)
        kept, moved = degree[:, :, None] * x, (own * other)[:, :, None] * x.index_select(0, col)
    else:
        own = (maps if weight is None else weight[:, None, None] * maps).transpose(1, 2)
        degree = maps.new_zeros(nodes, *maps.shape[1:]).index_add(0, row, torch.bmm(own, maps))
        kept, moved = torch.bmm(degree, x), torch.bmm(torch.bmm(own, other), x.index_select(0, col))
    return kept - torch.zeros_like(x).index_add(0, row, moved)


class _Permute(torch.autograd.Function):
    """``t[order]`` of a permutation; its gradient is a gather too, where autograd would scatter."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return t.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad.index_select(0, ctx.saved_tensors[1]), None, None


class _Product(torch.autograd.Function):
    """A symmetric CSR matrix of given pattern and values times a dense matrix."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, x: Tensor, ptr: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(values, x, ptr, index)
        return torch.sparse_csr_tensor(ptr, index, values, (x.size(0),) * 2, check_invariants=False) @ x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        values, x, ptr, index = ctx.saved_tensors
        matrix = torch.sparse_csr_tensor(ptr, index, values, (x.size(0),) * 2, check_invariants=False)
        return torch.sparse.sampled_addmm(matrix, grad, x.T, beta=0.0).values(), matrix @ grad, None, None


def _inverse(order: Tensor) -> Tensor:
    return torch.empty_like(order).index_copy_(0, order, torch.arange(order.numel()))


class CachedCSR:
    """The operator on one graph; of orthogonal maps the degree is a number per node, which spares their products."""

    def __init__(self, graph: Graph, d: int, kind: str) -> None:
        row, col = graph.edge_index
        self.kind, self.graph, self.d = kind, graph, d
        self.upper = torch.nonzero(row < col).flatten()
        self.lower = graph.reverse[self.upper]
        self.halves = torch.cat([self.upper, self.lower])
        self.back = _inverse(self.halves)
        node = torch.arange(graph.num_nodes)
        stalk = torch.arange(d)
        rows = torch.cat([node, row[self.upper], row[self.lower]])
        cols = torch.cat([node, col[self.upper], col[self.lower]])
        if kind == "diagonal":
            rows, cols = rows[:, None] * d + stalk, cols[:, None] * d + stalk
        else:
            rows = (rows[:, None, None] * d + stalk[:, None]).expand(-1, d, d)
            cols = (cols[:, None, None] * d + stalk).expand(-1, d, d)
        rows, cols = rows.flatten(), cols.flatten()
        self.order = torch.argsort(rows * (graph.num_nodes * d) + cols)
        self.position = _inverse(self.order)
        count = torch.bincount(rows, minlength=graph.num_nodes * d)
        self.ptr = F.pad(count.cumsum(0), (1, 0)).to(torch.int32)
        self.index = cols[self.order].to(torch.int32)

    def __call__(self, x: Tensor, maps: Tensor, weight: Tensor | None) -> Tensor:
        """``[N, d, f]`` and maps in the graph's edge order."""
        edges, nodes = self.upper.numel(), self.graph.num_nodes
        row = self.graph.edge_index[0]
        sides = _Permute.apply(maps, self.halves, self.back)
        first, second = sides[:edges], sides[edges:]
        scaled = first
        if weight is not None:
            scaled = weight.index_select(0, self.upper)[:, None, None] * first
        if self.kind == "diagonal":
            degree = maps.new_zeros(nodes, self.d).index_add(0, row, maps * maps)
            transport = other = -first * second
        else:
            transport = -torch.bmm(scaled.transpose(1, 2), second)
            other = transport.transpose(1, 2)
            if self.kind == "bundle":
                total = maps.new_zeros(nodes).index_add(
                    0, row, torch.ones_like(row, dtype=x.dtype) if weight is None else weight
                )
                degree = torch.diag_embed(total[:, None].expand(-1, self.d))
            else:
                degree = maps.new_zeros(nodes, self.d, self.d).index_add(0, row, torch.bmm(maps.transpose(1, 2), maps))
        values = torch.cat([degree.flatten(), transport.flatten(), other.flatten()])
        values = _Permute.apply(values, self.order, self.position)
        return _Product.apply(values, x.flatten(0, 1), self.ptr, self.index).view_as(x)


def dictionary_pairs(edge_index: Tensor) -> list[int]:
    """The position of each edge's reverse, by a loop over the edges with a dictionary, as the published code does."""
    where = {}
    for e in range(edge_index.size(1)):
        where[(edge_index[0, e].item(), edge_index[1, e].item())] = e
    return [where[(edge_index[1, e].item(), edge_index[0, e].item())] for e in range(edge_index.size(1))]


class Published(nn.Module):
    """The published way of computing ``model`` (its parameters are used, not copied) on one graph."""

    def __init__(self, model: NeuralSheafDiffusion, graph: Graph) -> None:
        super().__init__()
        self.model = model
        row, col = graph.edge_index
        self.graph, self.row, self.col = graph, row, col
        self.upper = torch.nonzero(row < col).flatten()
        self.lower = graph.reverse[self.upper]
        conv = model.convs[0]
        self.d: int = conv.stalk_dim
        self.kind: str = conv.family
        stalk = torch.arange(self.d)
        u, v, node = row[self.upper], col[self.upper], torch.arange(graph.num_nodes)

        def entries(rows: Tensor, cols: Tensor, full: bool) -> tuple[Tensor, Tensor]:
            if not full:
                return (rows[:, None] * self.d + stalk).flatten(), (cols[:, None] * self.d + stalk).flatten()
            rows = (rows[:, None, None] * self.d + stalk[:, None]).expand(-1, self.d, self.d)
            cols = (cols[:, None, None] * self.d + stalk).expand(-1, self.d, self.d)
            return rows.flatten(), cols.flatten()

        full = self.kind != "diagonal"
        parts = (entries(u, v, full), entries(v, u, full), entries(node, node, self.kind == "general"))
        self.rows, self.cols = (torch.cat([part[i] for part in parts]) for i in (0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        model = self.model
        h = model.act(model.lin_in(x))
        for conv in model.convs:
            values = self._values(h, conv)
            stalks = h.view(h.size(0), self.d, -1)
            y = F.linear(stalks.transpose(1, 2), conv.left_weight).transpose(1, 2)
            y = F.linear(y, conv.right_weight).reshape(h.size(0) * self.d, -1)
            message = values[:, None] * y.index_select(0, self.cols)
            y = torch.zeros_like(y).scatter_add(0, self.rows[:, None].expand_as(message), message)
            y = conv.act(y).view_as(stalks)
            h = ((1 + conv.epsilon.tanh()) * stalks - y).flatten(1)
        return model.lin_out(h)

    def _sum(self, per_edge: Tensor) -> Tensor:
        index = self.row.view(-1, *(1,) * (per_edge.dim() - 1)).expand_as(per_edge)
        return per_edge.new_zeros(self.graph.num_nodes, *per_edge.shape[1:]).scatter_add(0, index, per_edge)

    def _values(self, h: Tensor, conv: Any) -> Tensor:
        both = torch.cat([h.index_select(0, self.row), h.index_select(0, self.col)], 1)
        theta = F.linear(both, conv.maps.learner.weight).tanh()
        u, v = self.row[self.upper], self.col[self.upper]
        if self.kind == "diagonal":
            off = -theta[self.upper] * theta[self.lower]
            degree = self._sum(theta * theta)
            scale = (degree + 1).rsqrt()
            off = scale[u] * off * scale[v]
            return torch.cat([off.flatten(), off.flatten(), (scale * degree * scale).flatten()])
        if self.kind == "bundle":
            maps = plain_householder(theta, self.d)
            learner = torch.cat([h.index_select(0, self.row), h.index_select(0, self.col)], 1)
            one_way = F.linear(learner, conv.maps.weight_learner.weight).sigmoid()
            weight = one_way * one_way.index_select(0, self.graph.reverse)
            maps = weight[:, :, None] * maps
            degree = self._sum(weight.square())
            scale = (degree + 1).rsqrt()
            off = -torch.bmm(maps[self.upper].transpose(1, 2), maps[self.lower])
            off = (scale[u] * scale[v])[:, :, None] * off
            diagonal = (scale * degree * scale).expand(-1, self.d)
            return torch.cat([off.flatten(), off.transpose(1, 2).flatten(), diagonal.flatten()])
        maps = theta.view(-1, self.d, self.d)
        degree = self._sum(torch.bmm(maps.transpose(1, 2), maps))
        noise = 1 + torch.empty(self.d).uniform_(-1e-3, 1e-3)  # keeps singular values apart
        left, values, _ = torch.linalg.svd(degree + torch.diag(noise))
        scale = (left * values.rsqrt()[:, None, :]) @ left.transpose(1, 2)
        off = -torch.bmm(maps[self.upper].transpose(1, 2), maps[self.lower])
        off = (scale[u] @ off @ scale[v]).clamp(-1, 1)
        diagonal = (scale @ degree @ scale).clamp(-1, 1)
        return torch.cat([off.flatten(), off.transpose(1, 2).flatten(), diagonal.flatten()])
