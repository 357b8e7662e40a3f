"""An aggregation from a monoid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn.aggr import Aggregation

from graphkit.graph import Graph
from graphkit.nn.aggr.base import GroupAggregation
from graphkit.nn.aggr.monoids import Monoid
from graphkit.nn.aggr.order import ORDERS, leaf_order


class MonoidAggregation(GroupAggregation):
    r"""Fold the rows of each group by a monoid.

    .. math:: y_i = \mathrm{lower}\Big( \bigoplus_j \mathrm{lift}(x_j) \Big)

    Monoids whose fold is known as a kernel (:class:`~graphkit.nn.aggr.monoids.Sum`, ``Max``, ``Softmax``, ...) run as
    one; the others over a balanced binary tree per group, without padding: ``E - groups`` applications of the
    operator in ``ceil(log2(largest group))`` steps (:func:`graphkit.ops.tree_reduce`).

    An operator that is not associative makes the result depend on the order of the rows in their group:

    Args:
        operator: the monoid.
        order: order of the rows of a group: ``"given"``, as they come; ``"random"``, shuffled at every call;
            ``"sorted"``, by a fixed projection, which makes every commutative operator invariant under permutations
            but discontinuous where two rows change places; ``"auto"``, random in training and given in evaluation, as
            the paper has it. An associative, commutative monoid takes no notice.
        num_samples: number of random orders whose results are averaged, in evaluation if the order is ``"auto"``
            (which then draws random numbers).

    Shapes:
        x ``[..., E, H]`` and index ``[E]`` or ptr -> ``[..., groups, H]``. A group of nothing gives the operator's
        lowered identity, 0 where that is not finite.

    Raises:
        TypeError: if ``operator`` is no :class:`~graphkit.nn.aggr.monoids.Monoid`.
        ValueError: if ``order`` is unknown, or ``num_samples`` is given with an order that is not random.

    Source: Ong and Velickovic, "Learnable Commutative Monoids for Graph Neural Networks", LoG 2022. Unlike PyG's
    ``LCMAggregation``, a group's result depends on nothing but its rows.

    Example:
        >>> import torch
        >>> from graphkit.nn.aggr.monoids import LogSumExp
        >>> aggr = MonoidAggregation(LogSumExp())
        >>> aggr(torch.zeros(3, 1), torch.tensor([0, 2, 0]), dim_size=3).exp().flatten().tolist()
        [2.0, 1.0, 1.0]
    """

    _operator_name: str = "op"

    def __init__(self, operator: Monoid, *, order: str = "auto", num_samples: int = 1) -> None:
        super().__init__()
        if not isinstance(operator, Monoid):
            raise TypeError(
                f"'operator' must be a graphkit.nn.aggr.monoids.Monoid (got {type(operator).__name__}); wrap a module "
                f"of two arguments with Symmetrized(...)"
            )
        if order not in ORDERS:
            raise ValueError(f"unknown order (got {order!r}, expected one of {', '.join(ORDERS)})")
        if num_samples < 1 or (num_samples > 1 and order not in ("auto", "random")):
            raise ValueError(
                f"'num_samples' must be 1, or more with order='random' or 'auto' (got {num_samples}, order={order!r})"
            )
        self.order = order
        self.num_samples = num_samples
        self.add_module(self._operator_name, operator)

    @property
    def operator(self) -> Monoid:
        """The monoid."""
        found = self._modules[self._operator_name]
        assert isinstance(found, Monoid)
        return found

    def reset_parameters(self) -> None:
        """Draw the operator's parameters anew."""
        self.operator.reset_parameters()

    def fold(self, x: Tensor, graph: Graph) -> Tensor:
        """See :meth:`~graphkit.nn.aggr.base.GroupAggregation.fold`."""
        wide = _without_autocast(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._fold(wide, graph)

    def _fold(self, x: Tensor, graph: Graph) -> Tensor:
        samples = [self.operator.aggregate(x, graph, order) for order in self._orders(x, graph)]
        return samples[0] if len(samples) == 1 else torch.stack(samples).mean(0)

    def _orders(self, x: Tensor, graph: Graph) -> list[Tensor | None]:
        """The order of each tree to be averaged; ``None`` is the given one."""
        if self.operator.associative and self.operator.commutative:
            return [None]
        order = self.order
        if order == "auto":
            order = "random" if self.training or self.num_samples > 1 else "given"
        count = 1 if self.order == "auto" and self.training else self.num_samples
        return [leaf_order(x, graph, order) for _ in range(count)]

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.operator}, order={self.order!r})"


def _without_autocast(x: Tensor) -> Tensor:
    """In float32 where autocast made half types: a tree is deep, and its gates add up their rounding."""
    halved = torch.is_autocast_enabled(x.device.type) and x.dtype in (torch.float16, torch.bfloat16)
    return x.float() if halved else x


@torch.no_grad()
def order_sensitivity(
    aggr: Aggregation,
    x: Tensor,
    index: Tensor,
    *,
    dim_size: int | None = None,
    num_samples: int = 8,
    generator: torch.Generator | None = None,
) -> float:
    r"""How much an aggregation depends on the order of its rows: :math:`\max_\pi |\mathrm{AGG}(\pi x) -
    \mathrm{AGG}(x)|` over random permutations, in evaluation mode.

    Args:
        aggr: any PyG aggregation that takes an unsorted index.
        x: ``[E, F]``.
        index: integer ``[E]``.
        dim_size: number of groups.
        num_samples: number of permutations.
        generator: where they are drawn from.

    Example:
        >>> import torch
        >>> from graphkit.nn import MonoidAggregation
        >>> from graphkit.nn.aggr.monoids import Max, SymmetricGRU
        >>> x, index = torch.randn(6, 4), torch.zeros(6, dtype=torch.long)
        >>> order_sensitivity(MonoidAggregation(Max()), x, index)
        0.0
        >>> order_sensitivity(MonoidAggregation(SymmetricGRU(4)), x, index) > 1e-3
        True
    """
    training = aggr.training
    aggr.eval()
    try:
        expected = aggr(x, index, dim_size=dim_size)
        largest = 0.0
        for _ in range(num_samples):
            permutation = torch.randperm(index.numel(), generator=generator).to(index.device)
            moved = aggr(x[permutation], index[permutation], dim_size=dim_size)
            largest = max(largest, float((moved - expected).abs().max()) if moved.numel() else 0.0)
        return largest
    finally:
        aggr.train(training)
