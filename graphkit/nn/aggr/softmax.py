"""SoftMax aggregation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Parameter

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.base import FusableAggregation


class SoftmaxAggregation(FusableAggregation):
    r"""Softmax-weighted sum, per channel.

    .. math:: y_i = \sum_j w_j m_j, \qquad w_j = \frac{\exp(t\, m_j)}{\sum_k \exp(t\, m_k)}

    Between the mean (``t = 0``) and the maximum (``t -> +inf``) or minimum (``t -> -inf``). Drop-in for PyG's
    ``SoftmaxAggregation``: same arguments and ``state_dict``, one pass over the rows, O(groups x F) saved
    memory, no ``+ 1e-16`` in the denominator.

    Args:
        t: initial inverse temperature.
        learn: learn ``t``. :math:`\partial y / \partial t` is the weighted variance of the messages.
        semi_grad: treat the weights as constants in backward, :math:`\partial y / \partial m_j = w_j`. The
            published code does this whenever ``t`` is fixed; the default here, as in PyG, is the full
            gradient :math:`w_j (1 + t (m_j - y))`.
        channels: number of temperatures to learn: 1, or one per channel.

    Shapes:
        x ``[..., E, F]`` and index ``[E]`` or ptr -> ``[..., groups, F]``; an empty group gives 0.

    Raises:
        ValueError: if ``semi_grad`` or ``channels != 1`` is asked of the wrong kind of ``t``.

    Source: Li et al., "DeeperGCN: All You Need to Train Deeper GCNs", arXiv 2006.07739, section 3.2.

    Example:
        >>> import torch
        >>> aggr = SoftmaxAggregation(t=0.0)
        >>> aggr(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 2, 0]), dim_size=3).flatten().tolist()
        [3.0, 0.0, 3.0]
    """

    def __init__(self, t: float = 1.0, learn: bool = False, semi_grad: bool = False, channels: int = 1) -> None:
        super().__init__()
        if learn and semi_grad:
            raise ValueError("Cannot enable 'semi_grad' in 'SoftmaxAggregation' in case 't' is learnable")
        if not learn and channels != 1:
            raise ValueError(f"'channels' of 'SoftmaxAggregation' must be 1 unless 'learn' is set (got {channels})")
        self._init_t = t
        self.learn = learn
        self.semi_grad = semi_grad
        self.channels = channels
        self.t: Tensor | float = Parameter(torch.empty(channels)) if learn else t
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set ``t`` to its initial value."""
        if isinstance(self.t, Tensor):
            torch.nn.init.constant_(self.t, self._init_t)

    def over(
        self,
        x: Tensor,
        graph: Graph,
        edge_attr: Tensor | None = None,
        *,
        message: str = "copy",
        eps: float = 0.0,
    ) -> Tensor:
        """See :meth:`FusableAggregation.over`."""
        return ops.softmax_aggregate(x, graph, edge_attr, self.t, eps, message=message, semi_grad=self.semi_grad)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(learn={self.learn})"
