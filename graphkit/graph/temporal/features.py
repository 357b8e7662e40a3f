"""Features and scales that do not look ahead."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphkit.graph.temporal.sequence import SnapshotSequence
from graphkit.graph.topology import Graph


@dataclass(frozen=True)
class OneHotDegree:
    """One-hot features of a step: the number of a node's distinct neighbours then, over its outgoing edges.

    Given as a column per node, int64 ``[N]``: a layer looks rows of its weight up instead of multiplying by a matrix of
    zeros. The published code takes the width from all steps but the last, so an unseen degree at the last one is an
    index error there; here degrees beyond the width share the last column.

    Args:
        width: number of columns.

    Example:
        >>> import torch
        >>> OneHotDegree(3)(0, Graph.from_edge_index(torch.tensor([[0, 0, 0, 1], [1, 2, 3, 0]]))).tolist()
        [2, 1, 0, 0]
    """

    width: int

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"'width' must be at least 1 (got {self.width})")

    @staticmethod
    def of(sequence: SnapshotSequence) -> OneHotDegree:
        """As wide as the degrees of these steps need: give it the training steps."""
        return OneHotDegree(1 + max((_highest(snapshot.graph) for snapshot in sequence), default=0))

    def __call__(self, step: int, graph: Graph) -> Tensor:
        return graph.out_degree.clamp(max=self.width - 1)


def _highest(graph: Graph) -> int:
    return int(graph.out_degree.max()) if graph.num_edges else 0


@dataclass(frozen=True)
class Standardizer:
    """Shift and scale to mean 0 and standard deviation 1, as measured on training steps, and back.

    Args:
        mean: what to subtract.
        scale: what to divide by; 1 where nothing varies.

    Example:
        >>> import torch
        >>> scale = Standardizer.fit(torch.tensor([[0.0, 5.0], [2.0, 5.0]]))
        >>> scale(torch.tensor([3.0, 6.0])).tolist(), scale.inverse(torch.tensor([2.0, 1.0])).tolist()
        ([2.0, 1.0], [3.0, 6.0])
    """

    mean: Tensor
    scale: Tensor

    @staticmethod
    def fit(values: Tensor) -> Standardizer:
        """Measured over the first dimension (time) of training values."""
        mean = values.mean(0)
        scale = (values - mean).square().mean(0).sqrt()
        return Standardizer(mean, scale.masked_fill(scale == 0, 1.0))

    def __call__(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.scale

    def inverse(self, values: Tensor) -> Tensor:
        """Back to the units of the data."""
        return values * self.scale + self.mean
