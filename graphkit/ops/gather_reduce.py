"""Gather, message and reduction in one pass over the edges, without an E x F tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.ops import kernels, reference
from graphkit.ops.autograd import OptTensor, backward
from graphkit.ops.backend import select
from graphkit.ops.check import check_features, check_graph, flatten

MESSAGES = ("copy", "mul", "add_relu")
REDUCTIONS = ("sum", "mean", "min", "max")


def gather_reduce(
    x: Tensor,
    graph: Graph,
    edge_weight: Tensor | None = None,
    edge_attr: Tensor | None = None,
    message: str | None = None,
    reduce: str = "sum",
    eps: float = 0.0,
) -> Tensor:
    r"""Reduce the messages along the incoming edges of every target.

    .. math:: y_i = \bigoplus_{(j, i) \in E} m_{ji}, \qquad
        m_{ji} = x_j, \quad e_{ji} x_j \quad\text{or}\quad \mathrm{relu}(x_j + e_{ji}) + \epsilon

    Args:
        x: node features ``[num_src, *features]``, floating point.
        graph: the topology.
        edge_weight: one weight per edge, ``[E]``, in the user's edge order; makes ``message="mul"`` the default.
        edge_attr: features per edge, ``[E, *features]``; makes ``message="add_relu"`` the default.
        message: ``"copy"``, ``"mul"`` or ``"add_relu"``.
        reduce: ``"sum"``, ``"mean"``, ``"min"`` or ``"max"``. A target without edges gets 0. Where several edges
            attain an extremum, its gradient is split evenly among them, as in PyG.
        eps: added to ``add_relu`` messages.

    Shapes:
        ``[num_src, *features] -> [num_dst, *features]``

    Returns:
        A tensor of the dtype of ``x``; half types are accumulated in float32. Results do not depend on the number of
        threads. Saved for backward: the inputs, and for extrema two ``[num_dst, F]`` tensors.

    Raises:
        TypeError: if ``graph`` is no :class:`~graphkit.Graph`.
        ValueError: if shapes, dtypes or devices disagree, or an option is unknown.

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> g = Graph.from_edge_index(torch.tensor([[0, 1, 2], [2, 2, 0]]))
        >>> x = torch.tensor([[1.0], [2.0], [4.0]])
        >>> ops.gather_reduce(x, g).flatten().tolist()
        [4.0, 0.0, 3.0]
        >>> ops.gather_reduce(x, g, edge_weight=torch.tensor([10.0, 1.0, 1.0])).flatten().tolist()
        [4.0, 0.0, 12.0]
    """
    graph = check_graph(graph)
    x = check_features(x, graph.num_src, "x", "source node", graph.device)
    if edge_weight is not None and edge_attr is not None:
        raise ValueError("give 'edge_weight' or 'edge_attr', not both")
    if message is None:
        message = "copy" if edge_weight is edge_attr else ("mul" if edge_attr is None else "add_relu")
    if message not in MESSAGES:
        raise ValueError(f"unknown message (got {message!r}, expected one of {', '.join(MESSAGES)})")
    if reduce not in REDUCTIONS:
        raise ValueError(f"unknown reduce (got {reduce!r}, expected one of {', '.join(REDUCTIONS)})")
    edge = check_edge_features(x, graph, edge_weight, edge_attr, message)
    flat, edge = flatten(x), edge
    out = reduce_rows(flat, graph, edge, message, reduce, eps)
    return out.reshape(graph.num_dst, *x.shape[1:])


def check_edge_features(
    x: Tensor, graph: Graph, edge_weight: OptTensor, edge_attr: OptTensor, message: str
) -> OptTensor:
    """The edge operand as ``[E]`` or ``[E, F]`` in the dtype of ``x``, or an error that says what does not fit."""
    if edge_weight is not None:
        if message != "mul":
            raise ValueError(f"'edge_weight' goes with message='mul' (got {message!r}); use 'edge_attr'")
        edge_weight = check_features(edge_weight, graph.num_edges, "edge_weight", "edge", graph.device)
        if edge_weight.dim() != 1:
            raise ValueError(
                f"'edge_weight' must have shape [E] (got {list(edge_weight.shape)}); "
                f"use 'edge_attr' for one value per feature"
            )
        return edge_weight.to(x.dtype).contiguous()
    if edge_attr is None:
        return None
    if message == "copy":
        raise ValueError("message='copy' takes no edge features; use 'mul' or 'add_relu'")
    edge_attr = check_features(edge_attr, graph.num_edges, "edge_attr", "edge", graph.device)
    if edge_attr.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"'edge_attr' must have the feature shape of 'x', {list(x.shape[1:])} "
            f"(got {list(edge_attr.shape[1:])}); encode it first, e.g. with a Linear layer"
        )
    return flatten(edge_attr).to(x.dtype)


def reduce_rows(x: Tensor, graph: Graph, edge: OptTensor, message: str, reduce: str, eps: float = 0.0) -> Tensor:
    """The checked core of :func:`gather_reduce` on ``x [num_src, F]``."""
    backend = select(x)
    if backend == "reference":
        return reference.gather_reduce(x, graph, edge, message, reduce, eps)
    return _GatherReduce.apply(x, edge, *forms(graph, x, edge), graph, message, reduce, eps, backend)


def forms(graph: Graph, *inputs: OptTensor) -> tuple[OptTensor, ...]:
    """The six index arrays of the forward (CSC) and, if a gradient will be asked for, the backward (CSR)."""
    needs_grad = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    return (*graph.csc, *(graph.csr if needs_grad else (None, None, None)))


class _GatherReduce(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        edge: OptTensor,
        ptr: Tensor,
        index: Tensor,
        perm: Tensor,
        ptr_t: OptTensor,
        index_t: OptTensor,
        perm_t: OptTensor,
        graph: Graph,
        message: str,
        reduce: str,
        eps: float,
        backend: str,
    ) -> Tensor:
        out, ties = kernels.gather_reduce(x, ptr, index, perm, edge, message, reduce, eps, backend)
        extremum = reduce in ("min", "max")
        ctx.save_for_backward(
            x, edge, ptr, ptr_t, index_t, perm_t, out if extremum else None, ties if extremum else None
        )
        ctx.graph = graph
        ctx.options = (message, reduce, eps)
        ctx.backend = backend
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[OptTensor, ...]:
        x, edge, ptr, ptr_t, index_t, perm_t, out, ties = ctx.saved_tensors
        message, reduce, eps = ctx.options
        need_edge = ctx.needs_input_grad[1]
        graph, name = ctx.graph, ctx.backend

        def kernel(grad: Tensor) -> tuple[OptTensor, OptTensor]:
            if reduce == "mean":
                grad = grad / ptr.diff().clamp(min=1)[:, None]
            gx, gedge = kernels.gather_reduce_backward(
                grad.to(x.dtype).contiguous(), x, ptr_t, index_t, perm_t, edge, out, ties, message, reduce, eps,
                need_edge, name,
            )  # fmt: skip
            return gx, gedge if need_edge else None

        gx, gedge = backward(
            kernel, lambda x, edge: reference.gather_reduce(x, graph, edge, *ctx.options), grad, (x, edge)
        )
        return gx, gedge, *(None,) * 11
