"""The power-mean aggregation, right for every power."""

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


def powermean_aggregate(
    x: Tensor,
    graph: Graph,
    edge_attr: Tensor | None = None,
    p: float | Tensor = 1.0,
    eps: float = 1e-7,
    *,
    message: str = "add_relu",
) -> Tensor:
    r"""Power mean of the incoming messages, per channel.

    .. math:: y_i = \Big(\frac{1}{n_i} \sum_{(j, i) \in E} m_{ji}^p\Big)^{1/p}, \qquad
        m_{ji} = \mathrm{relu}(x_j + e_{ji}) + \epsilon

    computed as :math:`\log y = (\mathrm{logsumexp}_j(p \log m_j) - \log n) / p`, with forms free of cancellation for
    small ``|p|`` and the geometric mean at ``p = 0``.

    Args:
        x: node features ``[num_src, *features]``.
        graph: the topology.
        edge_attr: ``[E, *features]`` in the user's edge order, added before the relu.
        p: the power: any real number, a scalar tensor or one value per feature. ``1`` is the mean, ``0`` the
            geometric mean, ``-1`` the harmonic mean, ``+-inf`` is approached as maximum and minimum.
        eps: added to the messages, which keeps them positive.
        message: ``"add_relu"``, or ``"copy"`` for messages that are ``max(x_j, eps)``.

    Shapes:
        ``[num_src, *features] -> [num_dst, *features]``; a target without edges gets 0.

    Returns:
        A tensor of the dtype of ``x``. Saved for backward: the inputs and two ``[num_dst, F]`` tensors.
        :math:`\partial \log y / \partial p = \mathrm{KL}(w \,\|\, \mathrm{uniform}) / p^2` with
        :math:`w = \mathrm{softmax}(p \log m)`, and half the variance of :math:`\log m` at ``p = 0``.

    Raises:
        TypeError: if ``graph`` is no :class:`~graphkit.Graph`.
        ValueError: if shapes, dtypes or devices disagree.

    Source: Li et al., arXiv 2006.07739, section 3.2. The published code and PyG clamp the messages and the mean of
    powers, so that p = 5 cannot exceed 1.585 (PyG: 2.512) and a node without neighbours receives up to 1e7 (PyG:
    1e4); there is no clamp here.

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> g = Graph.from_edge_index(torch.tensor([[0, 1], [2, 2]]))
        >>> x = torch.tensor([[2.0], [8.0], [1.0]])
        >>> [round(ops.powermean_aggregate(x, g, p=p)[2].item(), 3) for p in (-1, 0, 1)]
        [3.2, 4.0, 5.0]
    """
    graph = check_graph(graph)
    x = check_features(x, graph.num_src, "x", "source node", graph.device)
    if message not in ("add_relu", "copy"):
        raise ValueError(f"unknown message (got {message!r}, expected 'add_relu' or 'copy')")
    if not eps > 0:
        raise ValueError(f"'eps' must be positive, a power mean is of positive numbers (got {eps})")
    edge = check_edge_features(x, graph, None, edge_attr, message)
    power = per_channel(p, "p", x)
    flat = flatten(x)
    backend = select(x)
    if backend == "reference":
        out = reference.powermean_aggregate(flat, graph, edge, power, message, eps)
    else:
        arrays = forms(graph, flat, edge, power)
        out = _PowerMeanAggregate.apply(flat, edge, power, *arrays, graph, message, eps, backend)
    return out.reshape(graph.num_dst, *x.shape[1:])


class _PowerMeanAggregate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        edge: OptTensor,
        p: Tensor,
        ptr: Tensor,
        index: Tensor,
        perm: Tensor,
        ptr_t: OptTensor,
        index_t: OptTensor,
        perm_t: OptTensor,
        graph: Graph,
        message: str,
        eps: float,
        backend: str,
    ) -> Tensor:
        out, dlogp = kernels.powermean_aggregate(x, ptr, index, perm, edge, p, message, eps, backend)
        ctx.save_for_backward(x, edge, p, out, dlogp, ptr, ptr_t, index_t, perm_t)
        ctx.graph = graph
        ctx.options = (message, eps)
        ctx.backend = backend
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[OptTensor, ...]:
        x, edge, p, out, dlogp, ptr, ptr_t, index_t, perm_t = ctx.saved_tensors
        need_edge, need_p = ctx.needs_input_grad[1:3]
        graph, name = ctx.graph, ctx.backend

        def kernel(grad: Tensor) -> tuple[OptTensor, ...]:
            gp = (grad.to(p.dtype) * out * dlogp).sum(0) if need_p else None
            per_edge = (grad / ptr.diff().clamp(min=1)[:, None]).to(x.dtype).contiguous()
            gx, gedge = kernels.powermean_aggregate_backward(
                per_edge, x, ptr_t, index_t, perm_t, edge, p, out, *ctx.options, need_edge, name
            )
            return gx, gedge if need_edge else None, gp

        gx, gedge, gp = backward(
            kernel,
            lambda x, edge, p: reference.powermean_aggregate(x, graph, edge, p, *ctx.options),
            grad,
            (x, edge, p),
        )
        return gx, gedge, gp, *(None,) * 10
