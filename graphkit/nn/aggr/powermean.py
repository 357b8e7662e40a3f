"""Power-mean aggregation, exact for every power, and with the clamps of published code on request."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Parameter

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.base import FusableAggregation

# (low, high) of the clamps on messages and on the mean of powers.
_CLAMPS = {"official": (1e-7, 10.0), "pyg": (1e-4, 100.0)}


class PowerMeanAggregation(FusableAggregation):
    r"""Power mean of positive numbers, per channel.

    .. math:: y_i = \Big(\frac{1}{n_i} \sum_j m_j^p\Big)^{1/p}

    ``p = 1`` is the mean, ``0`` the geometric mean, ``-1`` the harmonic mean, ``+-inf`` is approached as
    maximum and minimum. Computed in log space, so it is right and differentiable for every real ``p``. PyG's
    arguments come first; its ``state_dict`` loads.

    Args:
        p: initial power.
        learn: learn ``p``.
        channels: number of powers to learn: 1, or one per channel.
        compat: ``None`` for the mathematical power mean. ``"official"`` and ``"pyg"`` reproduce the clamps of
            the published code ([1e-7, 10]) and of PyG ([1e-4, 100], none if ``p`` is fixed at 1), on the
            messages and again on the mean of powers. They saturate (official ``p = 5`` cannot exceed 1.585),
            stop gradients where they bind, give an empty group ``low**(1/p)`` (1e7 for official ``p = -1``)
            instead of 0, and write every message.
        eps: floor of the rows given to :meth:`forward`, which must be positive for the mean to exist.

    Shapes:
        x ``[..., E, F]`` and index ``[E]`` or ptr -> ``[..., groups, F]``; an empty group gives 0.

    Raises:
        ValueError: if ``compat`` is unknown or given with ``p = 0``, or ``channels != 1`` without ``learn``.

    Source: Li et al., "DeeperGCN: All You Need to Train Deeper GCNs", arXiv 2006.07739, section 3.2.

    Example:
        >>> import torch
        >>> x, index = torch.tensor([[2.0], [8.0]]), torch.tensor([0, 0])
        >>> [round(PowerMeanAggregation(p)(x, index).item(), 3) for p in (-1, 0, 1, 100)]
        [3.2, 4.0, 5.0, 7.945]
    """

    def __init__(
        self,
        p: float = 1.0,
        learn: bool = False,
        channels: int = 1,
        *,
        compat: str | None = None,
        eps: float = 1e-7,
    ) -> None:
        super().__init__()
        if not learn and channels != 1:
            raise ValueError(f"'channels' of 'PowerMeanAggregation' must be 1 unless 'learn' is set (got {channels})")
        if compat is not None and compat not in _CLAMPS:
            raise ValueError(f"'compat' must be None, 'official' or 'pyg' (got {compat!r})")
        if compat is not None and p == 0:
            raise ValueError(f"'compat={compat}' divides by p (got p = 0); use compat=None for the geometric mean")
        self._init_p = p
        self.learn = learn
        self.channels = channels
        self.compat = compat
        self.eps = eps
        self.p: Tensor | float = Parameter(torch.empty(channels)) if learn else p
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set ``p`` to its initial value."""
        if isinstance(self.p, Tensor):
            torch.nn.init.constant_(self.p, self._init_p)

    def over(
        self,
        x: Tensor,
        graph: Graph,
        edge_attr: Tensor | None = None,
        *,
        message: str = "copy",
        eps: float = 0.0,
    ) -> Tensor:
        """See :meth:`FusableAggregation.over`; ``eps`` must be positive for ``add_relu`` messages."""
        if self.compat is not None:
            return self._clamped(x, graph, edge_attr, message, eps)
        eps = self.eps if message == "copy" else eps
        return ops.powermean_aggregate(x, graph, edge_attr, self.p, eps, message=message)

    def _clamped(self, x: Tensor, graph: Graph, edge_attr: Tensor | None, message: str, eps: float) -> Tensor:
        source, target = graph.edge_index
        m = x.index_select(0, source)
        if message == "add_relu":
            m = torch.relu(m if edge_attr is None else m + edge_attr) + eps
        if self.compat == "pyg" and not isinstance(self.p, Tensor) and self.p == 1:
            return ops.scatter(m, target, graph.num_dst, "mean")
        low, high = _CLAMPS[str(self.compat)]
        mean = ops.scatter(m.clamp(low, high).pow(self.p), target, graph.num_dst, "mean")
        return mean.clamp(low, high).pow(1.0 / self.p)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(learn={self.learn})"
