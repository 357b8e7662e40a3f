"""Handwritten digits as a graph: real data that scikit-learn ships, so they are there without a network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.utils import to_undirected


class DigitsKNN(InMemoryDataset):
    r"""The 1,797 handwritten digits of 8 x 8 pixels as nodes, joined to their nearest neighbours.

    Each image is a node with its 64 grey values in [0, 1] as features and its digit as label. Two images are
    joined, in both directions, if one is among the ``k`` nearest neighbours of the other in pixel space
    (Euclidean distance, scikit-learn's ``kneighbors_graph``). Labels play no part in the graph.

    The split is semi-supervised and balanced: per digit ``num_train_per_class`` labels to train with and
    ``num_val_per_class`` to choose the epoch with; all other images are the test set.

    Source: E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
    Repository, 1998 (its test part, as scikit-learn's ``load_digits`` ships it).

    Args:
        k: number of nearest neighbours.
        num_train_per_class: labelled images per digit.
        num_val_per_class: validation images per digit.
        split_seed: which random split.
        transform: applied to the graph whenever it is read.

    Example:
        >>> data = DigitsKNN(k=10)[0]
        >>> data.num_nodes, data.num_features, int(data.train_mask.sum()), int(data.val_mask.sum())
        (1797, 64, 50, 200)
        >>> data.is_undirected(), data.has_self_loops(), data.has_isolated_nodes()
        (True, False, False)
    """

    def __init__(
        self,
        k: int = 10,
        *,
        num_train_per_class: int = 5,
        num_val_per_class: int = 20,
        split_seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__(root=None, transform=transform)
        try:
            from sklearn.datasets import load_digits
            from sklearn.neighbors import kneighbors_graph
        except ImportError as error:
            raise ImportError("dataset 'digits' needs scikit-learn: pip install 'graphkit[datasets]'") from error
        pixels, labels = load_digits(return_X_y=True)
        pixels = pixels / 16.0
        row, column = kneighbors_graph(pixels, n_neighbors=k).nonzero()
        # Entry (i, j) says that j is a neighbour of i; messages flow both ways.
        edge_index = to_undirected(torch.stack([torch.from_numpy(column), torch.from_numpy(row)]).long())
        y = torch.from_numpy(labels).long()
        train, val, test = balanced_split(y, num_train_per_class, num_val_per_class, split_seed)
        self.data, self.slices = self.collate(
            [
                Data(
                    x=torch.from_numpy(pixels).float(),
                    edge_index=edge_index,
                    y=y,
                    train_mask=train,
                    val_mask=val,
                    test_mask=test,
                )
            ]
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def balanced_split(y: Tensor, num_train: int, num_val: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draws ``num_train`` and ``num_val`` nodes of every class; the rest are the test set.

    Args:
        y: labels, ``[N]``.
        num_train: training nodes per class.
        num_val: validation nodes per class.
        seed: of the draw; the global random state is neither read nor changed.

    Returns:
        Three disjoint boolean masks ``[N]`` that cover all nodes.

    Raises:
        ValueError: if a class has too few nodes to leave one for the test set.

    Example:
        >>> masks = balanced_split(torch.tensor([0, 0, 0, 1, 1, 1]), num_train=1, num_val=1, seed=0)
        >>> [int(mask.sum()) for mask in masks]
        [2, 2, 2]
    """
    smallest = int(torch.bincount(y).min())
    if num_train + num_val >= smallest:
        raise ValueError(
            f"num_train + num_val: got {num_train} + {num_val} nodes per class, expected fewer than "
            f"{smallest}, the size of the smallest class"
        )
    order = torch.randperm(y.numel(), generator=torch.Generator().manual_seed(seed))
    train, val = torch.zeros_like(y, dtype=torch.bool), torch.zeros_like(y, dtype=torch.bool)
    for label in y.unique():
        members = order[y[order] == label]
        train[members[:num_train]] = True
        val[members[num_train : num_train + num_val]] = True
    return train, val, ~(train | val)
