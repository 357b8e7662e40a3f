"""The protocol: what makes an aggregation is a monoid."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphkit import ops
from graphkit.graph import Graph
from graphkit.ops.check import accumulator


class Monoid(nn.Module):
    r"""States, a way to combine two of them, and the state of nothing.

    .. math:: \mathrm{AGG}\{x_1, \dots, x_n\} = \mathrm{lower}(\mathrm{lift}(x_1) \oplus \dots \oplus
        \mathrm{lift}(x_n))

    A member overrides :meth:`combine` and, where they are not trivial, :meth:`lift`, :meth:`lower` and
    :meth:`identity`; that is all :class:`graphkit.nn.MonoidAggregation` needs, which folds states over a balanced
    tree. One whose fold is known as a kernel overrides :meth:`aggregate` too, with the same result.

    States are ``[M, *S]`` where lifted rows are ``[M, *features]``; a state of several parts stacks them behind the
    rows (``[M, 2, *features]``). ``combine`` works row by row and draws no random numbers (no dropout, no batch
    statistics): it is called again in the backward pass.

    Attributes:
        commutative: :math:`a \oplus b = b \oplus a`.
        associative: :math:`(a \oplus b) \oplus c = a \oplus (b \oplus c)`. With both, the result depends neither on
            the order of the rows nor on the tree.

    Example:
        >>> import torch
        >>> from graphkit.nn import MonoidAggregation
        >>> class SecondMinimum(Monoid):
        ...     commutative = associative = True
        ...
        ...     def lift(self, x):
        ...         return torch.stack([x, torch.full_like(x, torch.inf)], dim=1)
        ...
        ...     def combine(self, a, b):
        ...         return torch.cat([a, b], dim=1).sort(dim=1).values[:, :2]
        ...
        ...     def lower(self, state):
        ...         return state[:, 1]
        >>> aggr = MonoidAggregation(SecondMinimum())
        >>> aggr(torch.tensor([[3.0], [5.0], [3.0], [9.0]]), torch.tensor([0, 0, 0, 0])).item()
        3.0
    """

    commutative: bool = False
    associative: bool = False

    def lift(self, x: Tensor) -> Tensor:
        """The states of single rows: ``[M, *features] -> [M, *S]``."""
        return x

    def combine(self, a: Tensor, b: Tensor) -> Tensor:
        """The states of pairs: ``[M, *S]`` twice ``-> [M, *S]``."""
        raise TypeError(f"'{type(self).__name__}' must override 'combine'")

    def lower(self, state: Tensor) -> Tensor:
        """What states stand for: ``[M, *S] -> [M, *features]``."""
        return state

    def identity(self, state: Tensor) -> Tensor:
        """The state of nothing, ``[*S]``, for states like ``state [M, *S]``."""
        return state.new_zeros(state.shape[1:])

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """:meth:`combine`."""
        return self.combine(a, b)

    def reset_parameters(self) -> None:
        """Draw what is learned anew; nothing here."""

    def pure(self) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
        """:meth:`combine` as a function of its two arguments and of all parameters, and the parameters."""
        named = dict(self.named_parameters())
        if not named:
            return self.combine, ()

        def combine(a: Tensor, b: Tensor, *parameters: Tensor) -> Tensor:
            out: Tensor = torch.func.functional_call(self, dict(zip(named, parameters, strict=True)), (a, b))
            return out

        return combine, tuple(named.values())

    def aggregate(self, x: Tensor, graph: Graph, order: Tensor | None = None) -> Tensor:
        """Fold the rows of each segment.

        Args:
            x: ``[E, *features]``, one row per edge of ``graph`` in the user's order.
            graph: rows -> segments.
            order: order of the leaves, see :func:`graphkit.ops.tree_reduce`.

        Returns:
            ``[num_dst, *features]`` of the dtype of ``x``; half types are folded in float32. A segment without rows
            gets the lowered identity, 0 where that is not finite (as a maximum of nothing).
        """
        wide = accumulator(x.dtype)
        state = self.lift(x.to(wide))
        combine, parameters = self.pure()
        parameters = tuple(p.to(wide) for p in parameters)
        identity = self.identity(state)
        out = self.lower(ops.tree_reduce(state, graph, combine, parameters, order=order, identity=identity))
        return finite_if_empty(out, graph).to(x.dtype)

    def extra_repr(self) -> str:
        return ""


class BinaryOperator(Monoid):
    r"""A learnable :math:`\oplus` on vectors: rows are their own states, and the tree is what computes it.

    A member overrides :meth:`combine`, ``[M, H]`` twice to ``[M, H]``, and says whether it is ``commutative``. None is
    associative, so that its result depends on the order of the rows: see ``order`` of
    :class:`graphkit.nn.MonoidAggregation`. An empty segment gives 0.
    """


def finite_if_empty(out: Tensor, graph: Graph) -> Tensor:
    """Zeros in the rows of empty segments where they are infinite or NaN."""
    empty = (graph.in_degree == 0).view(-1, *[1] * (out.dim() - 1))
    return torch.where(empty & ~out.isfinite(), torch.zeros_like(out), out)


def per_row(count: Tensor, like: Tensor) -> Tensor:
    """A vector ``[M]`` shaped to broadcast over rows ``[M, *features]``."""
    return count.to(like.dtype).view(-1, *[1] * (like.dim() - 1))
