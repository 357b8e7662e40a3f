"""The sheaf Laplacian and its degree on checked input: which kernel runs, and its derivatives."""

from __future__ import annotations

from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.ops import kernels, reference
from graphkit.ops.autograd import OptTensor, backward
from graphkit.ops.blocks import pick

Unpaired = Literal["error", "ignore"]

# The partner of every slot of the CSR, by graph and strictness: one pass and one check per graph.
_PAIRS: WeakKeyDictionary[Graph, dict[bool, Tensor]] = WeakKeyDictionary()


def _pairs(graph: Graph, unpaired: Unpaired) -> Tensor:
    strict = unpaired == "error"
    if torch.compiler.is_compiling():
        return kernels.sheaf_pairs(graph.reverse, graph.csr.perm, strict)
    known = _PAIRS.setdefault(graph, {})
    if strict not in known:
        with torch.inference_mode(False):
            known[strict] = kernels.sheaf_pairs(graph.reverse, graph.csr.perm, strict)
    return known[strict]


def sheaf_form(graph: Graph, unpaired: Unpaired = "error") -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``ptr, index, perm, pair`` that the kernels walk: the edges by source, and where each edge's reverse is."""
    return *graph.csr, _pairs(graph, unpaired)


def laplacian(x: Tensor, graph: Graph, maps: Tensor, weight: OptTensor, unpaired: Unpaired) -> Tensor:
    """L x for ``x [N, d, f]``, checked."""
    pair, name = _pairs(graph, unpaired), pick(x, maps.size(1) if maps.dim() == 3 else 1)
    maps = maps.to(x.dtype)
    weight = None if weight is None else weight.to(x.dtype)
    if name == "reference":
        return reference.sheaf_laplacian(x, graph, graph.reverse, maps, weight)
    x, maps, weight = x.contiguous(), maps.contiguous(), None if weight is None else weight.contiguous()
    return _Laplacian.apply(x, maps, weight, *graph.csr, pair, graph, name)


def degree(graph: Graph, maps: Tensor, weight: OptTensor, unpaired: Unpaired) -> Tensor:
    """The blocks D_u, checked."""
    pair, name = _pairs(graph, unpaired), pick(maps, maps.size(1) if maps.dim() == 3 else 1)
    if name == "reference":
        return reference.sheaf_degree(graph, graph.reverse, maps, weight)
    return _Degree.apply(
        maps.contiguous(), None if weight is None else weight.contiguous(), *graph.csr, pair, graph, name
    )


class _Laplacian(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        maps: Tensor,
        weight: OptTensor,
        ptr: Tensor,
        index: Tensor,
        perm: Tensor,
        pair: Tensor,
        graph: Graph,
        backend: str,
    ) -> Tensor:
        ctx.save_for_backward(x, maps, weight, ptr, index, perm, pair)
        ctx.graph, ctx.backend = graph, backend
        return kernels.sheaf_laplacian(x, ptr, index, perm, pair, maps, weight, backend)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[OptTensor, ...]:
        x, maps, weight, *form = ctx.saved_tensors
        graph, name = ctx.graph, ctx.backend
        need_maps, need_weight = ctx.needs_input_grad[1:3]

        def kernel(grad: Tensor) -> tuple[OptTensor, OptTensor, OptTensor]:
            gx, gmaps, gweight = kernels.sheaf_laplacian_backward(
                grad.to(x.dtype).contiguous(), x, *form, maps, weight, need_maps or need_weight, name
            )
            return gx, gmaps if need_maps else None, gweight if need_weight else None

        grads = backward(
            kernel,
            lambda x, maps, weight: reference.sheaf_laplacian(x, graph, graph.reverse, maps, weight),
            grad,
            (x, maps, weight),
        )
        return *grads, *(None,) * 6


class _Degree(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        weight: OptTensor,
        ptr: Tensor,
        index: Tensor,
        perm: Tensor,
        pair: Tensor,
        graph: Graph,
        backend: str,
    ) -> Tensor:
        ctx.save_for_backward(maps, weight, ptr, index, perm, pair)
        ctx.graph, ctx.backend = graph, backend
        return kernels.sheaf_degree(ptr, index, perm, pair, maps, weight, backend)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[OptTensor, ...]:
        maps, weight, *form = ctx.saved_tensors
        graph, name = ctx.graph, ctx.backend
        need_weight = ctx.needs_input_grad[1]

        def kernel(grad: Tensor) -> tuple[OptTensor, OptTensor]:
            gmaps, gweight = kernels.sheaf_degree_backward(grad.contiguous(), *form, maps, weight, name)
            return gmaps, gweight if need_weight else None

        grads = backward(
            kernel,
            lambda maps, weight: reference.sheaf_degree(graph, graph.reverse, maps, weight),
            grad,
            (maps, weight),
        )
        return *grads, *(None,) * 6
