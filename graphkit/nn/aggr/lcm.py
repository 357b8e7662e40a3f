"""The learnable commutative monoid aggregation."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import Linear, Parameter

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.aggr.monoid import MonoidAggregation
from graphkit.nn.aggr.monoids import BinaryOperator, SymmetricGRU
from graphkit.ops.check import accumulator


class LCMAggregation(MonoidAggregation):
    r"""Learnable commutative monoid: a learned binary operator folded over a balanced tree per group.

    .. math:: y_i = h_1 \oplus \dots \oplus h_n, \qquad h_j = \mathrm{relu}(W x_j + b)

    PyG's arguments come first and its ``state_dict`` loads. Equal to PyG's on a group alone; in a batch, PyG pads all
    groups with zeros to the longest and folds the zeros in, so that a result depends on other groups, an empty group
    gives noise, and time and memory grow as groups times longest group. Here nothing is padded, rows need no sorting,
    and ``ptr``, batch dimensions and empty inputs are taken.

    Args:
        in_channels: width of the rows.
        out_channels: width of the result.
        project: apply a linear layer and a relu first; needed if the widths differ.
        operator: the operator, commutative or not, on rows of ``out_channels``; ``None`` is
            :class:`~graphkit.nn.aggr.monoids.SymmetricGRU`, the paper's.
        identity: what an empty group gives: ``"zeros"``, or ``"learn"`` for a parameter that starts there.
        order: see :class:`~graphkit.nn.MonoidAggregation`; PyG's is ``"given"``.
        num_samples: see there.
        assoc_weight: weight :math:`\lambda` of the associativity loss.
        comm_weight: weight of the commutativity loss, for operators that are not commutative by construction.
        assoc_fraction: share of the tree's nodes, drawn at every call, at which associativity is measured.

    Shapes:
        x ``[..., E, in_channels]`` and index ``[E]`` or ptr -> ``[..., groups, out_channels]``. A group of one row
        gives that row, projected.

    Raises:
        TypeError: if ``operator`` is no :class:`~graphkit.nn.aggr.monoids.BinaryOperator`.
        ValueError: if ``in_channels != out_channels`` without ``project``, or an option is out of range.

    Source: Ong and Velickovic, "Learnable Commutative Monoids for Graph Neural Networks", LoG 2022 (arXiv 2212.08541).

    Example:
        >>> import torch
        >>> aggr = LCMAggregation(8, 16, assoc_weight=0.1)
        >>> out = aggr(torch.randn(5, 8), torch.tensor([2, 0, 2, 2, 0]), dim_size=4)
        >>> out.shape, aggr.regularization_loss() > 0
        (torch.Size([4, 16]), tensor(True))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        project: bool = True,
        *,
        operator: BinaryOperator | None = None,
        identity: str = "zeros",
        order: str = "auto",
        num_samples: int = 1,
        assoc_weight: float = 0.0,
        comm_weight: float = 0.0,
        assoc_fraction: float = 1.0,
    ) -> None:
        if in_channels != out_channels and not project:
            raise ValueError(
                f"Inputs of 'LCMAggregation' must be projected if `in_channels != out_channels` "
                f"(got {in_channels} and {out_channels}); set project=True"
            )
        if operator is not None and not isinstance(operator, BinaryOperator):
            raise TypeError(
                f"'operator' must be a graphkit.nn.BinaryOperator (got {type(operator).__name__}); other monoids go "
                f"into MonoidAggregation, other modules into Symmetrized"
            )
        if identity not in ("zeros", "learn"):
            raise ValueError(f"'identity' must be 'zeros' or 'learn' (got {identity!r})")
        for name, weight in (("assoc_weight", assoc_weight), ("comm_weight", comm_weight)):
            if not 0 <= weight < math.inf:
                raise ValueError(f"'{name}' must be a finite number, at least 0 (got {weight})")
        if not 0 < assoc_fraction <= 1:
            raise ValueError(f"'assoc_fraction' must lie in (0, 1] (got {assoc_fraction})")
        if operator is None:
            self._operator_name = "gru_cell"  # PyG's name: its weights load
        super().__init__(operator or SymmetricGRU(out_channels), order=order, num_samples=num_samples)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.project = project
        self.assoc_weight = assoc_weight
        self.comm_weight = comm_weight
        self.assoc_fraction = assoc_fraction
        self.lin = Linear(in_channels, out_channels) if project else None
        self.identity = Parameter(torch.zeros(out_channels)) if identity == "learn" else None
        self._loss: Tensor | None = None

    def reset_parameters(self) -> None:
        """Draw projection and operator anew; the identity starts at 0."""
        if self.lin is not None:
            self.lin.reset_parameters()
        self.operator.reset_parameters()
        if self.identity is not None:
            torch.nn.init.zeros_(self.identity)

    def regularization_loss(self) -> Tensor:
        r"""The losses of the last forward pass, weighted: to be added to the loss of the task.

        .. math:: \lambda_a\, \mathrm{mean}\, |x \oplus (y \oplus z) - (x \oplus y) \oplus z|^2 + \lambda_c\,
            \mathrm{mean}\, |x \oplus y - y \oplus x|^2

        Means over the nodes of a tree, then over the trees that have one. 0 in evaluation mode, or without weights.
        Where a layer is called several times in a step, read it after each call.
        """
        if self._loss is not None:
            return self._loss
        parameter = next(self.parameters(), None)
        return torch.zeros(()) if parameter is None else parameter.new_zeros(())

    def fold(self, x: Tensor, graph: Graph) -> Tensor:
        """See :meth:`MonoidAggregation.fold`."""
        return super().fold(x if self.lin is None else self.lin(x).relu(), graph)

    def _fold(self, x: Tensor, graph: Graph) -> Tensor:
        self._loss = None
        wide = x.to(accumulator(x.dtype))
        combine, parameters = self.operator.pure()
        parameters = tuple(p.to(wide.dtype) for p in parameters)
        identity = None if self.identity is None else self.identity.to(wide.dtype)
        orders = self._orders(wide, graph)
        commutes = self.operator.commutative
        if self.training and (self.assoc_weight > 0 or (self.comm_weight > 0 and not commutes)):
            out, losses = [], []
            for order in orders:
                rows = ops.tree_rows(wide, graph, combine, parameters, order=order)
                out.append(ops.tree_roots(rows, graph, identity=identity))
                loss = rows.new_zeros(())
                if self.assoc_weight > 0:
                    terms = ops.tree_associativity(rows, graph, combine, parameters, fraction=self.assoc_fraction)
                    loss = loss + self.assoc_weight * terms.mean()
                if self.comm_weight > 0 and not commutes:
                    loss = loss + self.comm_weight * ops.tree_commutativity(rows, graph, combine, parameters).mean()
                losses.append(loss)
            self._loss = torch.stack(losses).mean()
        else:
            out = [
                ops.tree_reduce(wide, graph, combine, parameters, order=order, identity=identity) for order in orders
            ]
        return (out[0] if len(out) == 1 else torch.stack(out).mean(0)).to(x.dtype)

    def __getstate__(self) -> dict[str, object]:
        # The loss belongs to one forward pass and hangs on its graph, which can be neither copied nor pickled.
        return {**self.__dict__, "_loss": None}

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, project={self.project})"
