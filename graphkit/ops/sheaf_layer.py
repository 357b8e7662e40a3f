"""Making the maps of a sheaf layer takes longer than its Laplacian in plain torch: here each step is a kernel.

Every function has its plain form, which runs on other devices, for other types, under ``torch.compile`` and
``torch.func``, and gives second derivatives. The kernels keep less for backward: what they were given, or their result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.graph import Graph
from graphkit.native import sheaf_layer as native
from graphkit.native.sheaf import MAX_STALK, Form
from graphkit.ops.autograd import backward
from graphkit.ops.blocks import by_kernel, inverse_sqrt
from graphkit.ops.sheaf_autograd import sheaf_form

ACTS: dict[str, Callable[[Tensor], Tensor]] = {
    "id": lambda theta: theta,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "elu": F.elu,
}


def sheaf_ends(x: Tensor, graph: Graph, act: str = "id") -> Tensor:
    r"""What the two ends of every edge say together: :math:`\mathrm{act}(a_u + b_v)` with ``x = [a | b]``.

    Args:
        x: ``[N, 2 P]``, for each node what it says at its own end of an edge and what it says at the other.
        graph: the topology, both directions of every edge.
        act: ``"id"``, ``"tanh"``, ``"sigmoid"`` or ``"elu"``.

    Shapes:
        ``[N, 2 P] -> [E, P]``

    Raises:
        ValueError: if ``act`` is unknown, ``x`` has no two halves, or an edge lacks its reverse.

    Example:
        >>> import torch
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> sheaf_ends(torch.tensor([[1.0, 10.0], [2.0, 20.0]]), graph).flatten().tolist()
        [21.0, 12.0]
    """
    if act not in ACTS:
        raise ValueError(f"'act' must be one of {', '.join(map(repr, ACTS))} (got {act!r})")
    if x.dim() != 2 or x.size(0) != graph.num_src or x.size(1) % 2:
        raise ValueError(
            f"'x' must have shape [N, 2 P] with the graph's N = {graph.num_src} nodes (got {list(x.shape)}); its "
            "halves are for a node's own end of an edge and for the other"
        )
    if not by_kernel(x):
        return _ends(x, graph, act)
    return _Ends.apply(x.contiguous(), graph, sheaf_form(graph), act)


def _ends(x: Tensor, graph: Graph, act: str) -> Tensor:
    (source, target), (own, other) = graph.edge_index, x.chunk(2, dim=1)
    return ACTS[act](own.index_select(0, source) + other.index_select(0, target))


class _Ends(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, graph: Graph, form: Form, act: str) -> Tensor:
        out = native.sheaf_ends(x, form, act)
        ctx.save_for_backward(x, out)
        ctx.graph, ctx.form, ctx.act = graph, form, act
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, out = ctx.saved_tensors
        (gx,) = backward(
            lambda grad: (native.sheaf_ends_backward(grad.contiguous(), out.detach(), ctx.form, ctx.act),),
            lambda x: _ends(x, ctx.graph, ctx.act),
            grad,
            (x,),
        )
        return gx, None, None, None


def sheaf_scaled_maps(maps: Tensor, graph: Graph) -> Tensor:
    r"""Diagonal maps :math:`F_u S_u` with :math:`S_u = (\sum_e F_{u \to e}^2 + 1)^{-1/2}`.

    Their Laplacian is the normalised Laplacian of ``maps``: :math:`S F^T F S = (F S)^T (F S)`.

    Args:
        maps: ``[E, d]``.
        graph: the topology, both directions of every edge.

    Shapes:
        ``[E, d] -> [E, d]``

    Raises:
        ValueError: if an edge lacks its reverse.

    Example:
        >>> import torch
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> sheaf_scaled_maps(torch.full((2, 1), 3.0**0.5), graph).flatten().square()
        tensor([0.7500, 0.7500])
    """
    if not by_kernel(maps):
        return _scaled(maps, graph)
    return _Scaled.apply(maps.contiguous(), graph, sheaf_form(graph))


def _scaled(maps: Tensor, graph: Graph) -> Tensor:
    source, target = graph.edge_index
    squares = torch.where((source != target)[:, None], maps.square(), 0.0)
    degree = maps.new_zeros(graph.num_src, maps.size(1)).index_add(0, source, squares)
    return maps * inverse_sqrt(degree + 1).index_select(0, source)


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, graph: Graph, form: Form) -> Tensor:
        out, scale = native.sheaf_scale_maps(maps, form)
        ctx.save_for_backward(maps, scale)
        ctx.graph, ctx.form = graph, form
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        maps, scale = ctx.saved_tensors
        (gmaps,) = backward(
            lambda grad: (native.sheaf_scale_maps_backward(grad.contiguous(), maps.detach(), scale, ctx.form),),
            lambda maps: _scaled(maps, ctx.graph),
            grad,
            (maps,),
        )
        return gmaps, None, None


def householder(theta: Tensor, stalk_dim: int) -> Tensor:
    r"""A product of reflections, :math:`Q = H_1 \cdots H_d` with :math:`H_j = I - 2 v_j v_j^T / v_j^T v_j`.

    :math:`v_j` is column j of the unit lower triangular matrix of the parameters (row by row), so
    :math:`\det Q = (-1)^d` and ``theta = 0`` gives :math:`-I`.

    Args:
        theta: the parameters.
        stalk_dim: ``d``, at least 2.

    Shapes:
        ``[..., d (d - 1) / 2] -> [..., d, d]``

    Example:
        >>> import torch
        >>> householder(torch.zeros(1), 2) + 0.0
        tensor([[-1.,  0.],
                [ 0., -1.]])
    """
    if not 2 <= stalk_dim <= MAX_STALK or not by_kernel(theta, stalk_dim):
        return plain_householder(theta, stalk_dim)
    flat = theta.reshape(-1, theta.size(-1)).contiguous()
    return _Householder.apply(flat, stalk_dim).view(*theta.shape[:-1], stalk_dim, stalk_dim)


def plain_householder(theta: Tensor, stalk_dim: int) -> Tensor:
    """:func:`householder` in plain torch, for any dimension."""
    # [row, column, ...]: with the matrices last, every step is over long rows of numbers, not over d of them.
    rows, columns = torch.tril_indices(stalk_dim, stalk_dim, -1, device=theta.device)
    eye = torch.eye(stalk_dim, dtype=theta.dtype, device=theta.device).view(-1, *[1] * (theta.dim() - 1))
    flat = eye.expand(-1, *theta.shape[:-1]).index_copy(0, rows * stalk_dim + columns, theta.movedim(-1, 0))
    vectors, q = (m.unflatten(0, (stalk_dim, stalk_dim)) for m in (flat, eye))
    for j in range(stalk_dim - 1):
        # By its largest entry first: the square of a large parameter would overflow.
        v = vectors[:, j]
        v = v / v.detach().abs().amax(0)
        image = v if j == 0 else (q * v).sum(1)
        q = q - (image * (2 / v.square().sum(0)))[:, None] * v
    # v_d has no parameters: the last reflection is a change of sign.
    q = q.expand_as(vectors)
    return torch.cat([q[:, :-1], -q[:, -1:]], 1).movedim((0, 1), (-2, -1)).contiguous()


class _Householder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, theta: Tensor, stalk_dim: int) -> Tensor:
        ctx.save_for_backward(theta)
        ctx.stalk_dim = stalk_dim
        return native.householder(theta, stalk_dim)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None]:
        (theta,) = ctx.saved_tensors
        (gtheta,) = backward(
            lambda grad: (native.householder_backward(grad.contiguous(), theta.detach(), ctx.stalk_dim),),
            lambda theta: plain_householder(theta, ctx.stalk_dim),
            grad,
            (theta,),
        )
        return gtheta, None
