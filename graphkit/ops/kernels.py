"""The raw kernels as torch operators, one call for every backend.

``torch.library`` gives them shapes for ``torch.compile`` and ``torch.export``; they carry no gradient of their own
(:mod:`graphkit.ops.autograd` does). Each backend module has a function of the same name and arguments; this file is
the only one that knows which module that is. Their contract:

* ``ptr [M + 1]``, ``index [E]``, ``perm [E]``: slot ``k`` of row ``i`` reads ``x[index[k]]`` and edge data at
  ``perm[k]``; the backward kernels take the same arrays for the transposed graph.
* ``x [N, F]``; ``edge``: ``None``, ``[E]`` or ``[E, F]`` in the user's edge order.
* ``message``: ``copy`` (x_j), ``mul`` (x_j e), ``add_relu`` (relu(x_j + e) + eps).
* results do not depend on the number of threads (bit for bit), nor on other rows (to rounding: exponentials of
  node tables share one shift per channel).
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from graphkit.ops.check import accumulator

_LIBRARY = torch.library.Library("graphkit", "FRAGMENT")
_GRAPH = "Tensor x, Tensor ptr, Tensor index, Tensor perm, Tensor? edge"
_GRAD = f"Tensor grad, {_GRAPH}"


def _module(backend: str) -> ModuleType:
    if backend == "native":
        from graphkit import native

        return native
    if backend == "triton":
        from graphkit.ops import triton

        return triton
    from graphkit.ops import torch_backend

    return torch_backend


def _define(name: str, schema: str, fake: Callable[..., Tensor | tuple[Tensor, ...]]) -> None:
    """Make the operator ``graphkit::name``; its last argument is the backend whose function ``name`` runs it."""

    def run(*args: Any) -> Tensor | tuple[Tensor, ...]:
        results = getattr(_module(args[-1]), name)(*args[:-1])
        if isinstance(results, Tensor):
            return results
        # Operators return tensors; an empty one stands for "not asked for".
        return tuple(args[0].new_empty(0) if result is None else result for result in results)

    _LIBRARY.define(f"{name}{schema}")
    _LIBRARY.impl(name, run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"graphkit::{name}", fake, lib=_LIBRARY)


def _rows(x: Tensor, ptr: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    return x.new_empty((ptr.shape[0] - 1, x.shape[1]), dtype=dtype or x.dtype)


def _like_edge(x: Tensor, edge: Tensor | None, need_edge: bool) -> Tensor:
    return torch.empty_like(edge) if need_edge and edge is not None else x.new_empty(0)


_define(
    "gather_reduce",
    f"({_GRAPH}, str message, str reduce, float eps, str backend) -> (Tensor, Tensor)",
    lambda x, ptr, index, perm, edge, message, reduce, eps, backend: (
        _rows(x, ptr),
        _rows(x, ptr, torch.int32) if reduce in ("min", "max") else x.new_empty(0),
    ),
)
_define(
    "gather_reduce_backward",
    f"({_GRAD}, Tensor? out, Tensor? ties, str message, str reduce, float eps, bool need_edge, str backend)"
    " -> (Tensor, Tensor)",
    lambda grad, x, ptr, index, perm, edge, out, ties, message, reduce, eps, need_edge, backend: (
        torch.empty_like(x),
        _like_edge(x, edge, need_edge),
    ),
)
_define(
    "softmax_aggregate",
    f"({_GRAPH}, Tensor t, str message, float eps, str backend) -> (Tensor, Tensor)",
    lambda x, ptr, index, perm, edge, t, message, eps, backend: (
        _rows(x, ptr),
        _rows(x, ptr, accumulator(x.dtype)),
    ),
)
_define(
    "softmax_aggregate_backward",
    f"({_GRAD}, Tensor t, Tensor out, Tensor lse, str message, float eps, bool semi_grad, bool need_edge,"
    " str backend) -> (Tensor, Tensor, Tensor)",
    lambda grad, x, ptr, index, perm, edge, t, out, lse, message, eps, semi_grad, need_edge, backend: (
        torch.empty_like(x),
        _like_edge(x, edge, need_edge),
        torch.empty_like(t),
    ),
)
_define(
    "powermean_aggregate",
    f"({_GRAPH}, Tensor p, str message, float eps, str backend) -> (Tensor, Tensor)",
    lambda x, ptr, index, perm, edge, p, message, eps, backend: (
        _rows(x, ptr),
        _rows(x, ptr, accumulator(x.dtype)),
    ),
)
_define(
    "powermean_aggregate_backward",
    f"({_GRAD}, Tensor p, Tensor out, str message, float eps, bool need_edge, str backend) -> (Tensor, Tensor)",
    lambda grad, x, ptr, index, perm, edge, p, out, message, eps, need_edge, backend: (
        torch.empty_like(x),
        _like_edge(x, edge, need_edge),
    ),
)

# The sheaf kernels walk the form by source: slot k of row u is the edge u -> index[k] with the user's position
# perm[k], and pair[k] is the position of its reverse (-1: leave the edge out). maps [E, d] or [E, d, d] in the user's
# order, weight [E] or None; the weight of an undirected edge is the mean of its two directions'.
_SHEAF = "Tensor ptr, Tensor index, Tensor perm, Tensor pair, Tensor maps, Tensor? weight"
_define(
    "sheaf_laplacian",
    f"(Tensor x, {_SHEAF}, str backend) -> Tensor",
    lambda x, ptr, index, perm, pair, maps, weight, backend: torch.empty_like(x),
)
_define(
    "sheaf_laplacian_backward",
    f"(Tensor grad, Tensor x, {_SHEAF}, bool need_maps, str backend) -> (Tensor, Tensor, Tensor)",
    lambda grad, x, ptr, index, perm, pair, maps, weight, need_maps, backend: (
        torch.empty_like(x),
        torch.empty_like(maps) if need_maps else x.new_empty(0),
        _like_edge(x, weight, need_maps),
    ),
)
_define(
    "sheaf_degree",
    f"({_SHEAF}, str backend) -> Tensor",
    lambda ptr, index, perm, pair, maps, weight, backend: maps.new_empty(
        (ptr.shape[0] - 1, *maps.shape[1:]), dtype=accumulator(maps.dtype)
    ),
)
_define(
    "sheaf_degree_backward",
    f"(Tensor grad, {_SHEAF}, str backend) -> (Tensor, Tensor)",
    lambda grad, ptr, index, perm, pair, maps, weight, backend: (
        torch.empty_like(maps),
        _like_edge(maps, weight, True),
    ),
)
# Of one small block per node, float32 or float64.
_define(
    "block_apply",
    "(Tensor blocks, Tensor x, bool transpose, str backend) -> Tensor",
    lambda blocks, x, transpose, backend: torch.empty_like(x),
)
_define(
    "block_outer",
    "(Tensor a, Tensor b, str backend) -> Tensor",
    lambda a, b, backend: a.new_empty((a.shape[0], a.shape[1], b.shape[1])),
)
_define(
    "block_inverse_sqrt",
    "(Tensor blocks, str backend) -> (Tensor, Tensor, Tensor)",
    lambda blocks, backend: (torch.empty_like(blocks), torch.empty_like(blocks), blocks.new_empty(blocks.shape[:2])),
)
_define(
    "block_inverse_sqrt_backward",
    "(Tensor grad, Tensor vectors, Tensor roots, str backend) -> Tensor",
    lambda grad, vectors, roots, backend: torch.empty_like(grad),
)


def _sheaf_pairs(reverse: Tensor, perm: Tensor, strict: bool) -> Tensor:
    if strict and bool((reverse < 0).any()):
        missing = torch.nonzero(reverse < 0).flatten()
        raise ValueError(
            f"every edge of a sheaf needs its reverse, which carries the other node's map (got {missing.numel()} of "
            f"{reverse.numel()} edges without, the first at position {int(missing[0])}); add them with "
            f"graph.to_undirected(), or leave such edges out with unpaired='ignore'"
        )
    return reverse.index_select(0, perm).to(perm.dtype)


# An operator so that it can look at values inside torch.compile(fullgraph=True).
_LIBRARY.define("sheaf_pairs(Tensor reverse, Tensor perm, bool strict) -> Tensor")
_LIBRARY.impl("sheaf_pairs", _sheaf_pairs, "CompositeExplicitAutograd")
torch.library.register_fake("graphkit::sheaf_pairs", lambda reverse, perm, strict: torch.empty_like(perm), lib=_LIBRARY)

gather_reduce = torch.ops.graphkit.gather_reduce.default
gather_reduce_backward = torch.ops.graphkit.gather_reduce_backward.default
softmax_aggregate = torch.ops.graphkit.softmax_aggregate.default
softmax_aggregate_backward = torch.ops.graphkit.softmax_aggregate_backward.default
powermean_aggregate = torch.ops.graphkit.powermean_aggregate.default
powermean_aggregate_backward = torch.ops.graphkit.powermean_aggregate_backward.default
sheaf_laplacian = torch.ops.graphkit.sheaf_laplacian.default
sheaf_laplacian_backward = torch.ops.graphkit.sheaf_laplacian_backward.default
sheaf_degree = torch.ops.graphkit.sheaf_degree.default
sheaf_degree_backward = torch.ops.graphkit.sheaf_degree_backward.default
sheaf_pairs = torch.ops.graphkit.sheaf_pairs.default
block_apply = torch.ops.graphkit.block_apply.default
block_outer = torch.ops.graphkit.block_outer.default
block_inverse_sqrt = torch.ops.graphkit.block_inverse_sqrt.default
block_inverse_sqrt_backward = torch.ops.graphkit.block_inverse_sqrt_backward.default
