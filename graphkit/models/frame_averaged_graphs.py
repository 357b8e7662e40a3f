"""Frame averaging over permutations of nodes: networks that tell apart what message passing cannot."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GINConv, global_add_pool, global_mean_pool

from graphkit.nn.folding import plain_edges
from graphkit.symmetry.spectral import Ties, sort_graphs


class _Sorted(nn.Module, ABC):
    """Puts the nodes of each graph in order, or several times in random ones, and averages what the network says."""

    def __init__(self, max_nodes: int, ties: Ties, samples: int) -> None:
        super().__init__()
        if max_nodes < 1:
            raise ValueError(f"'max_nodes' must be at least 1, got {max_nodes}")
        if samples < 1 or (samples > 1 and ties != "random"):
            raise ValueError(f"'samples' must be 1, or more with ties='random', got {samples} with ties={ties!r}")
        self.max_nodes, self.ties, self.samples = max_nodes, ties, samples

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        batch: Tensor | None = None,
        batch_size: int | None = None,
        place: Tensor | None = None,
    ) -> Tensor:
        """One row per graph.

        Args:
            x: ``[N, F]``.
            edge_index: ``[2, E]``.
            batch: the graph of each node ``[N]``, ascending.
            batch_size: number of graphs.
            place: the place of each node in its graph ``[N]``, where :func:`graphkit.symmetry.sort_graphs` has been
                called before; made here where None.

        Raises:
            ValueError: if a graph has more nodes than ``max_nodes``.
        """
        edge_index = plain_edges(edge_index)
        if batch is None:
            batch, batch_size = x.new_zeros(x.size(0), dtype=torch.long), 1
        number = (int(batch.max()) + 1 if batch.numel() else 0) if batch_size is None else batch_size
        largest = int(torch.bincount(batch, minlength=1).max())
        if largest > self.max_nodes:
            raise ValueError(f"'max_nodes' is {self.max_nodes}, got a graph of {largest} nodes")
        total = None
        for _ in range(self.samples):
            order = place
            if order is None:
                order = sort_graphs(edge_index, batch, features=x.detach(), num_graphs=number, ties=self.ties).place
            out = self.network(x, edge_index, batch, number, order)
            total = out if total is None else total + out
        assert total is not None
        return total / self.samples

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in self.modules():
            if isinstance(module, GINConv):
                module.initial_eps = float(torch.rand(1))  # as published: eps starts anywhere in [0, 1)
                module.reset_parameters()
            elif isinstance(module, nn.Linear):
                module.reset_parameters()

    @abstractmethod
    def network(self, x: Tensor, edge_index: Tensor, batch: Tensor, number: int, place: Tensor) -> Tensor:
        """What is said of graphs whose nodes have a place."""


class FAGIN(_Sorted):
    r"""FA-GIN+ID: a GIN whose nodes know their place in a canonical order of the graph.

    The place is added to the features as one of ``max_nodes`` indicators. In a fixed numbering this can express any
    function of graphs; in the order of the frame it is invariant as well.

    Args:
        in_channels: width of the features.
        out_channels: width of the result.
        max_nodes: nodes of the largest graph; published: 64.
        hidden_channels: width; published: 64.
        num_layers: GIN layers; published: 3.
        embedding_channels: width of the embedding before the last layer (tanh between); published: 10. None: the
            embedding is the result.
        pool: ``"add"`` or ``"mean"``.
        ties: order of nodes that the spectrum leaves tied: ``"canonical"``, or ``"random"`` as published.
        samples: random orders that the result is averaged over.

    Shapes:
        x ``[N, in_channels]``, edge_index ``[2, E]``, batch ``[N]``, place ``[N]`` -> ``[B, out_channels]``.

    Source: Puny et al., ICLR 2022; github.com/omri1348/Frame-Averaging (graph_separation). Differs: eigenvalues are
    compared within a tolerance (the published frame is not invariant on 96 % of EXP); several samples are averaged
    after the last layer, not pooled into one graph; nodes that are tied come in a canonical order, so that a graph
    gets one answer.

    Example:
        >>> model = FAGIN(1, 4, max_nodes=8)
        >>> cycle = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
        >>> model(torch.ones(4, 1), torch.cat([cycle, cycle.flip(0)], 1)).shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        max_nodes: int = 64,
        *,
        hidden_channels: int = 64,
        num_layers: int = 3,
        embedding_channels: int | None = 10,
        pool: str = "add",
        ties: Ties = "canonical",
        samples: int = 1,
    ) -> None:
        super().__init__(max_nodes, ties, samples)
        if pool not in ("add", "mean"):
            raise ValueError(f"'pool' must be 'add' or 'mean', got {pool!r}")
        self.pool = pool
        widths = [in_channels + max_nodes, *[hidden_channels] * num_layers]
        self.convs = nn.ModuleList(
            GINConv(nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Linear(b, b)), train_eps=True)
            for a, b in itertools.pairwise(widths)
        )
        self.first = nn.Linear(hidden_channels, embedding_channels or out_channels)
        self.last = None if embedding_channels is None else nn.Linear(embedding_channels, out_channels)
        self.reset_parameters()

    def network(self, x: Tensor, edge_index: Tensor, batch: Tensor, number: int, place: Tensor) -> Tensor:
        """GIN on features and places."""
        h = torch.cat([x, F.one_hot(place, self.max_nodes).to(x.dtype)], 1)
        for conv in self.convs:
            h = conv(h, edge_index).relu()
        pool = global_add_pool if self.pool == "add" else global_mean_pool
        out = self.first(pool(h, batch, number)).tanh()
        return out if self.last is None else self.last(out)


class FAMLP(_Sorted):
    r"""FA-MLP: a perceptron on the features and the adjacency matrix of a graph whose nodes are in a canonical order.

    Both are padded with zeros to ``max_nodes`` and laid out in one row.

    Args:
        in_channels: width of the features.
        out_channels: width of the result.
        max_nodes: nodes of the largest graph; published: 64.
        hidden_channels: widths; published: 2048, 4096, 2048.
        embedding_channels: see :class:`FAGIN`.
        ties: see there.
        samples: see there.

    Shapes:
        as :class:`FAGIN`.

    Source: as :class:`FAGIN`; the published transform for this network fails on graphs without ties.

    Example:
        >>> model = FAMLP(1, 4, max_nodes=8, hidden_channels=(16,))
        >>> cycle = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
        >>> model(torch.ones(4, 1), torch.cat([cycle, cycle.flip(0)], 1)).shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        max_nodes: int = 64,
        *,
        hidden_channels: Sequence[int] = (2048, 4096, 2048),
        embedding_channels: int | None = 10,
        ties: Ties = "canonical",
        samples: int = 1,
    ) -> None:
        super().__init__(max_nodes, ties, samples)
        widths = [max_nodes * (in_channels + max_nodes), *hidden_channels, embedding_channels or out_channels]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.last = None if embedding_channels is None else nn.Linear(embedding_channels, out_channels)

    def network(self, x: Tensor, edge_index: Tensor, batch: Tensor, number: int, place: Tensor) -> Tensor:
        """The perceptron on dense rows."""
        width = self.max_nodes
        slot = batch * width + place
        features = x.new_zeros(number * width, x.size(1)).index_copy(0, slot, x).reshape(number, -1)
        source, target = edge_index
        cell = slot[target] * width + place[source]
        matrix = x.new_zeros(number * width * width).index_add(0, cell, x.new_ones(cell.numel())).reshape(number, -1)
        out = torch.cat([features, matrix], 1)
        for layer in list(self.layers)[:-1]:
            out = layer(out).relu()
        out = self.layers[-1](out).tanh()
        return out if self.last is None else self.last(out)
