"""DeeperGCN's SoftMax aggregation in one pass per target."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.ops import kernels, reference
from graphkit.ops.autograd import OptTensor, backward
from graphkit.ops.backend import select
from graphkit.ops.check import check_features, check_graph, flatten, per_channel
from graphkit.ops.gather_reduce import check_edge_features, forms


def softmax_aggregate(
    x: Tensor,
    graph: Graph,
    edge_attr: Tensor | None = None,
    t: float | Tensor = 1.0,
    eps: float = 1e-7,
    *,
    message: str = "add_relu",
    semi_grad: bool = False,
) -> Tensor:
    r"""Softmax-weighted sum of the incoming messages, per channel.

    .. math:: y_i = \sum_{(j, i) \in E} w_{ji} m_{ji}, \qquad w_{ji} = \mathrm{softmax}_j(t\, m_{ji}), \qquad
        m_{ji} = \mathrm{relu}(x_j + e_{ji}) + \epsilon

    One pass over a target's edges with an online softmax; no E x F tensor is written or saved. Without edge features
    the message depends on the source alone and the result is a ratio of two sparse products.

    Args:
        x: node features ``[num_src, *features]``.
        graph: the topology.
        edge_attr: ``[E, *features]`` in the user's edge order, added before the relu.
        t: inverse temperature: a number, a scalar tensor or one value per feature. ``t -> 0`` is the mean,
            ``+inf`` the maximum, ``-inf`` the minimum.
        eps: added to the messages.
        message: ``"add_relu"``, or ``"copy"`` for messages that are ``x_j`` itself.
        semi_grad: treat the weights as constants in backward, as the published code does whenever ``t`` is fixed.
            The default is the full gradient
            :math:`\partial y / \partial m_j = w_j (1 + t (m_j - y))`. ``t`` then gets no gradient.

    Shapes:
        ``[num_src, *features] -> [num_dst, *features]``; a target without edges gets 0.

    Returns:
        A tensor of the dtype of ``x``. Saved for backward: the inputs and two ``[num_dst, F]`` tensors (output and
        log-normaliser). :math:`\partial y / \partial t` is the weighted variance of the messages.

    Raises:
        TypeError: if ``graph`` is no :class:`~graphkit.Graph`.
        ValueError: if shapes, dtypes or devices disagree.

    Source: Li et al., "DeeperGCN: All You Need to Train Deeper GCNs", arXiv 2006.07739, section 3.2. Unlike PyG, the
    denominator has no ``+ 1e-16``.

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> g = Graph.from_edge_index(torch.tensor([[0, 1], [2, 2]]))
        >>> x = torch.tensor([[0.0], [1.0], [9.0]])
        >>> [round(ops.softmax_aggregate(x, g, t=t)[2].item(), 3) for t in (0.0, 1.0, 100.0)]
        [0.5, 0.731, 1.0]
    """
    graph = check_graph(graph)
    x = check_features(x, graph.num_src, "x", "source node", graph.device)
    if message not in ("add_relu", "copy"):
        raise ValueError(f"unknown message (got {message!r}, expected 'add_relu' or 'copy')")
    edge = check_edge_features(x, graph, None, edge_attr, message)
    temperature = per_channel(t, "t", x)
    flat = flatten(x)
    backend = select(x)
    if backend == "reference":
        out = reference.softmax_aggregate(flat, graph, edge, temperature, message, eps, semi_grad)
    else:
        if semi_grad:
            temperature = temperature.detach()
        arrays = forms(graph, flat, edge, temperature)
        out = _SoftmaxAggregate.apply(flat, edge, temperature, *arrays, graph, message, eps, semi_grad, backend)
    return out.reshape(graph.num_dst, *x.shape[1:])


class _SoftmaxAggregate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        edge: OptTensor,
        t: Tensor,
        ptr: Tensor,
        index: Tensor,
        perm: Tensor,
        ptr_t: OptTensor,
        index_t: OptTensor,
        perm_t: OptTensor,
        graph: Graph,
        message: str,
        eps: float,
        semi_grad: bool,
        backend: str,
    ) -> Tensor:
        out, lse = kernels.softmax_aggregate(x, ptr, index, perm, edge, t, message, eps, backend)
        ctx.save_for_backward(x, edge, t, out, lse, ptr_t, index_t, perm_t)
        ctx.graph = graph
        ctx.options = (message, eps, semi_grad)
        ctx.backend = backend
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[OptTensor, ...]:
        x, edge, t, out, lse, ptr_t, index_t, perm_t = ctx.saved_tensors
        need_edge, need_t = ctx.needs_input_grad[1:3]
        graph, name = ctx.graph, ctx.backend

        def kernel(grad: Tensor) -> tuple[OptTensor, ...]:
            gx, gedge, gt = kernels.softmax_aggregate_backward(
                grad.to(x.dtype).contiguous(), x, ptr_t, index_t, perm_t, edge, t, out, lse, *ctx.options,
                need_edge, name,
            )  # fmt: skip
            return gx, gedge if need_edge else None, gt if need_t else None

        gx, gedge, gt = backward(
            kernel,
            lambda x, edge, t: reference.softmax_aggregate(x, graph, edge, t, *ctx.options),
            grad,
            (x, edge, t),
        )
        return gx, gedge, gt, *(None,) * 11
