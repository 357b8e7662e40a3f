"""Groups of permutations: of rows, and of the nodes of a graph given by its adjacency matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.symmetry.groups import KINDS
from graphkit.symmetry.spectral import SortedGraphs, sort_graphs


@dataclass(frozen=True)
class Permutation:
    r"""The symmetric group :math:`S_n` on rows. An element ``label`` ``[n]`` gives row i the place ``label[i]``.

    Kinds: a ``"tensor"`` is a matrix over pairs of rows, :math:`A \mapsto P A P^\top` along its first two axes; a
    ``"vector"``, ``"pseudovector"`` or ``"position"`` has one row per place, :math:`x \mapsto P x`; a ``"scalar"``
    stays.

    Args:
        num_rows: n.

    Example:
        >>> group = Permutation(3)
        >>> moved = group.act({"x": torch.tensor([[1], [2], [3]])}, torch.tensor([1, 2, 0]), {"x": "vector"})
        >>> moved["x"].flatten().tolist()
        [3, 1, 2]
    """

    num_rows: int

    def __post_init__(self) -> None:
        if self.num_rows < 1:
            raise ValueError(f"'num_rows' must be at least 1, got {self.num_rows}")

    def sample(self, generator: torch.Generator) -> Tensor:
        """A uniform permutation."""
        return torch.randperm(self.num_rows, generator=generator)

    def act(self, data: Mapping[str, Tensor], element: Tensor, kinds: Mapping[str, str]) -> dict[str, Tensor]:
        """Move each value as its kind says.

        Raises:
            ValueError: If a kind is unknown or a value has not n rows.
        """
        old = torch.empty_like(element)
        old[element] = torch.arange(element.numel(), device=element.device)
        moved = {}
        for key, value in data.items():
            kind = kinds.get(key, "scalar")
            if kind not in KINDS:
                raise ValueError(f"kind of '{key}' must be one of {', '.join(KINDS)}, got {kind!r}")
            axes = 0 if kind == "scalar" else 2 if kind == "tensor" else 1
            if value.shape[:axes] != (self.num_rows,) * axes:
                raise ValueError(f"'{key}' is a {kind} over {self.num_rows} rows, got shape {list(value.shape)}")
            for axis in range(axes):
                value = value.index_select(axis, old)
            moved[key] = value
        return moved

    def frame(self, data: Tensor | Mapping[str, Tensor], kinds: Mapping[str, str] | None = None) -> Tensor:
        """A permutation that sorts the rows (of all values of one row per place, side by side): ``[n]``, such that
        ``act`` with it gives rows in ascending order, the first column first. Rows that are equal may be exchanged:
        all such permutations are the frame, and give the same sorted rows.

        Raises:
            ValueError: If there is nothing to sort by.
        """
        if isinstance(data, Tensor):
            data, kinds = {"x": data}, {"x": "vector"}
        rows = [
            value.reshape(self.num_rows, -1).double()
            for key, value in data.items()
            if (kinds or {}).get(key, "scalar") not in ("scalar", "tensor")
        ]
        if not rows:
            raise ValueError(f"a frame needs a value with a row per place, got kinds {dict(kinds or {})}")
        order = torch.arange(self.num_rows)
        for column in torch.cat(rows, 1).cpu().unbind(1)[::-1]:
            order = order[column[order].argsort(stable=True)]
        label = torch.empty_like(order)
        label[order] = torch.arange(self.num_rows)
        return label


class GraphPermutation(Permutation):
    """The symmetric group on the nodes of graphs: acts as :class:`Permutation`, adjacency matrices being tensors; its
    frame orders nodes by the graph alone (:func:`~graphkit.symmetry.sort_graphs`).

    Example:
        >>> path = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])
        >>> group = GraphPermutation(3)
        >>> label = group.frame({"A": path}, {"A": "tensor"})
        >>> group.act({"A": path}, label, {"A": "tensor"})["A"].tolist()
        [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """

    def frame(self, data: Tensor | Mapping[str, Tensor], kinds: Mapping[str, str] | None = None) -> Tensor:
        """A permutation to a canonical order of the nodes: ``[n]``.

        Args:
            data: an adjacency matrix ``[n, n]``, or named values of which one is a ``"tensor"``; values of kind
                ``"vector"`` are features that tell nodes apart.
            kinds: their kinds.
        """
        if isinstance(data, Tensor):
            data, kinds = {"A": data}, {"A": "tensor"}
        kinds = kinds or {}
        matrices = [value for key, value in data.items() if kinds.get(key) == "tensor"]
        if len(matrices) != 1 or matrices[0].shape != (self.num_rows,) * 2:
            raise ValueError(
                f"a frame needs one adjacency matrix [{self.num_rows}, {self.num_rows}], got {dict(kinds)}"
            )
        features = [
            value.reshape(self.num_rows, -1).double() for key, value in data.items() if kinds.get(key) == "vector"
        ]
        sorted_graphs: SortedGraphs = sort_graphs(
            matrices[0].nonzero().t(), features=torch.cat(features, 1) if features else None, num_nodes=self.num_rows
        )
        return sorted_graphs.place
