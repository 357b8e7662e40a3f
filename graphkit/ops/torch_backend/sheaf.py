"""The sheaf Laplacian of backend ``torch``.

An edge's two maps enter the product only through the d x d transport ``T_e = F_u^T F_v``, so the operator is a block
diagonal minus ``d * d`` (diagonal maps: ``d``) scalar sparse products over one shared pattern: nothing of size
E x d x f exists. The gradient to the maps needs inner products of node rows per edge; edges are taken in blocks that
stay in cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.check import accumulator
from graphkit.ops.torch_backend.blocks import OptTensor, blocks, product


def _slots(perm: Tensor, pair: Tensor, maps: Tensor, weight: OptTensor) -> tuple[Tensor, Tensor, Tensor]:
    """Own map, partner's map and weight of every slot, in the accumulation dtype; weight 0 leaves an edge out."""
    dtype = accumulator(maps.dtype)
    maps = maps.to(dtype)
    partner = pair.clamp(min=0)
    w = maps.new_ones(perm.numel())
    if weight is not None:
        weight = weight.to(dtype)
        w = (weight.index_select(0, perm) + weight.index_select(0, partner)) / 2
    return maps.index_select(0, perm), maps.index_select(0, partner), w * (pair >= 0)


def _scale(w: Tensor, maps: Tensor) -> Tensor:
    return w.reshape(-1, *(1,) * (maps.dim() - 1)) * maps


def _row_sum(ptr: Tensor, value: Tensor) -> Tensor:
    """Sums of the slots of each row, ``[E, ...] -> [rows, ...]``."""
    slot = torch.arange(value.size(0), device=ptr.device, dtype=ptr.dtype)
    if value.numel() == 0:
        return value.new_zeros(ptr.numel() - 1, *value.shape[1:])
    return product(ptr, slot, None, value.flatten(1)).reshape(-1, *value.shape[1:])


def _blocks_of(own: Tensor, other: Tensor, w: Tensor) -> Tensor:
    """``w F_own^T F_other`` per slot, or its diagonal."""
    own = _scale(w, own)
    return own * other if own.dim() == 2 else own.transpose(1, 2) @ other


def _apply(x: Tensor, ptr: Tensor, index: Tensor, diagonal: Tensor, transport: Tensor) -> Tensor:
    """``diagonal x - transport x`` with ``x [N, d, f]``."""
    d = x.size(1)
    out = diagonal[:, :, None] * x if diagonal.dim() == 2 else diagonal @ x
    if index.numel() == 0 or x.numel() == 0:
        return out
    planes = x.transpose(0, 1).contiguous()
    for j in range(d):
        for i in (j,) if transport.dim() == 2 else range(d):
            value = transport[:, i] if transport.dim() == 2 else transport[:, i, j]
            out[:, i] -= product(ptr, index, value.contiguous(), planes[j])
    return out


def sheaf_laplacian(
    x: Tensor, ptr: Tensor, index: Tensor, perm: Tensor, pair: Tensor, maps: Tensor, weight: OptTensor
) -> Tensor:
    """``out_u = sum w F_u^T (F_u x_u - F_v x_v)``."""
    own, other, w = _slots(perm, pair, maps, weight)
    diagonal, transport = _row_sum(ptr, _blocks_of(own, own, w)), _blocks_of(own, other, w)
    return _apply(x.to(accumulator(x.dtype)), ptr, index, diagonal, transport).to(x.dtype)


def sheaf_laplacian_backward(
    grad: Tensor,
    x: Tensor,
    ptr: Tensor,
    index: Tensor,
    perm: Tensor,
    pair: Tensor,
    maps: Tensor,
    weight: OptTensor,
    need_maps: bool,
) -> tuple[Tensor, OptTensor, OptTensor]:
    """Gradients to ``x`` (the operator is self-adjoint), ``maps`` and ``weight``.

    With ``y = F_u x_u - F_v x_v`` and ``g = F_u G_u - F_v G_v``: ``dF_u = w (g x_u^T + y G_u^T)``, ``dw = <g, y>``.
    """
    gx = sheaf_laplacian(grad, ptr, index, perm, pair, maps, weight)
    if not need_maps:
        return gx, None, None
    gmaps = torch.zeros_like(maps)
    gweight = None if weight is None else torch.zeros_like(weight)
    dtype = accumulator(x.dtype)
    x, grad = x.to(dtype), grad.to(dtype)
    for start, (row, col, edge) in _enumerate(ptr, index, perm):
        own, other, w = _slots(edge, pair[start : start + edge.numel()], maps, weight)
        x_u, x_v, g_u, g_v = (t.index_select(0, at) for t in (x, grad) for at in (row, col))
        if maps.dim() == 2:
            y = own[:, :, None] * x_u - other[:, :, None] * x_v
            g = own[:, :, None] * g_u - other[:, :, None] * g_v
            gmap = (g * x_u + y * g_u).sum(2)
        else:
            y, g = own @ x_u - other @ x_v, own @ g_u - other @ g_v
            gmap = g @ x_u.transpose(1, 2) + y @ g_u.transpose(1, 2)
        gmaps[edge] = _scale(w, gmap).to(gmaps.dtype)
        if gweight is not None:
            here = (pair[start : start + edge.numel()] >= 0) / 2
            gweight[edge] = (here * (g * y).sum((1, 2))).to(gweight.dtype)
    return gx, gmaps, gweight


def _enumerate(ptr: Tensor, index: Tensor, perm: Tensor):  # type: ignore[no-untyped-def]
    start = 0
    for row, col, edge in blocks(ptr, index, perm):
        yield start, (row, col, edge)
        start += edge.numel()


def sheaf_degree(ptr: Tensor, index: Tensor, perm: Tensor, pair: Tensor, maps: Tensor, weight: OptTensor) -> Tensor:
    """``D_u = sum w F_u^T F_u`` over the edges that are no self loops."""
    own, _, w = _slots(perm, pair, maps, weight)
    return _row_sum(ptr, _blocks_of(own, own, w * (pair != perm)))


def sheaf_degree_backward(
    grad: Tensor, ptr: Tensor, index: Tensor, perm: Tensor, pair: Tensor, maps: Tensor, weight: OptTensor
) -> tuple[Tensor, OptTensor]:
    """``dF_u = w F_u (G_u + G_u^T)``, ``dw = <F_u^T F_u, G_u> + <F_v^T F_v, G_v>``."""
    own, other, w = _slots(perm, pair, maps, weight)
    row = torch.repeat_interleave(ptr.diff(), output_size=index.numel())
    g_u, g_v = grad.index_select(0, row), grad.index_select(0, index)
    loop = pair == perm
    own_g = own * g_u if maps.dim() == 2 else own @ g_u
    gmap = 2 * own_g if maps.dim() == 2 else own_g + own @ g_u.transpose(1, 2)
    gmaps = torch.empty_like(maps)
    gmaps[perm] = _scale(w * ~loop, gmap).to(maps.dtype)
    if weight is None:
        return gmaps, None
    other_g = other * g_v if maps.dim() == 2 else other @ g_v
    each = ((own * own_g).flatten(1).sum(1) + (other * other_g).flatten(1).sum(1)) / 2
    gweight = torch.empty_like(weight)
    gweight[perm] = (each * ((pair >= 0) & ~loop)).to(weight.dtype)
    return gmaps, gweight
