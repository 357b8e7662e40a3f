"""Link prediction: an encoder of nodes and a scorer of pairs."""

from __future__ import annotations

import itertools
from typing import Any

from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphkit.nn.dropout import relu_dropout


class LinkPredictor(nn.Module):
    r"""Scores pairs of nodes by an MLP on the product of their embeddings.

    .. math:: s_{uv} = \mathrm{MLP}(z_u \odot z_v)

    with ReLU and dropout between the layers; symmetric in ``u`` and ``v``. The published predictor of DeeperGCN on
    ogbl-collab (Li et al., arXiv 2006.07739) is this one with three layers and a sigmoid; here the logit is returned,
    so that the loss does not saturate.

    Args:
        in_channels: width of the embeddings.
        hidden_channels: width of the hidden layers.
        num_layers: number of linear layers.
        dropout: probability of dropping a hidden entry.

    Shapes:
        z ``[N, in_channels]``, pairs ``[2, B]`` -> ``[B]``

    Raises:
        ValueError: if ``num_layers`` is below 1.

    Example:
        >>> import torch
        >>> LinkPredictor(16, 32)(torch.randn(5, 16), torch.tensor([[0, 1, 2], [3, 4, 0]])).shape
        torch.Size([3])
    """

    def __init__(self, in_channels: int, hidden_channels: int, num_layers: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers: got {num_layers}, expected at least 1")
        self.dropout = dropout
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), 1]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        reset(self.layers)

    def forward(self, z: Tensor, pairs: Tensor) -> Tensor:
        """Score each pair of nodes."""
        h = z.index_select(0, pairs[0]) * z.index_select(0, pairs[1])
        for layer in self.layers[:-1]:
            h = relu_dropout(layer(h), self.dropout, self.training)
        return self.layers[-1](h).squeeze(-1)


class LinkModel(nn.Module):
    """An encoder of the nodes and a scorer of pairs, as :class:`graphkit.train.LinkPrediction` wants them.

    Args:
        encoder: called as ``encoder(x, edge_index)``, with ``edge_attr`` as third argument where there are edge
            features; returns embeddings ``[N, F]``.
        predictor: maps embeddings and pairs ``[2, B]`` to logits ``[B]``.
        num_nodes: give each of so many nodes a learnt vector as input, for graphs without features.
        embedding_dim: its width.

    Raises:
        ValueError: if only one of ``num_nodes`` and ``embedding_dim`` is given.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GraphConv
        >>> model = LinkModel(GraphConv(8, 8), LinkPredictor(8, 8), num_nodes=4, embedding_dim=8)
        >>> z = model.encode(None, torch.tensor([[0, 1], [1, 2]]))
        >>> model.decode(z, torch.tensor([[0], [3]])).shape
        torch.Size([1])
    """

    def __init__(
        self,
        encoder: nn.Module,
        predictor: nn.Module,
        *,
        num_nodes: int | None = None,
        embedding_dim: int | None = None,
    ) -> None:
        super().__init__()
        if (num_nodes is None) != (embedding_dim is None):
            raise ValueError(
                f"num_nodes, embedding_dim: got {num_nodes} and {embedding_dim}, expected both (a table of node "
                "vectors) or neither (the data have features)"
            )
        self.encoder = encoder
        self.predictor = predictor
        self.embedding = None if num_nodes is None or embedding_dim is None else nn.Embedding(num_nodes, embedding_dim)
        if self.embedding is not None:
            nn.init.xavier_uniform_(self.embedding.weight)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        reset(self.encoder)
        reset(self.predictor)
        if self.embedding is not None:
            nn.init.xavier_uniform_(self.embedding.weight)

    def encode(self, x: Tensor | None, edge_index: Any, edge_attr: Tensor | None = None) -> Tensor:
        """The embeddings ``[N, F]`` of all nodes."""
        if x is None:
            if self.embedding is None:
                raise ValueError("x: got None, expected node features; or give the model num_nodes and embedding_dim")
            x = self.embedding.weight
        return self.encoder(x, edge_index) if edge_attr is None else self.encoder(x, edge_index, edge_attr)

    def decode(self, z: Tensor, pairs: Tensor) -> Tensor:
        """The logits ``[B]`` of pairs ``[2, B]`` of nodes."""
        return self.predictor(z, pairs)

    def forward(self, x: Tensor | None, edge_index: Any, pairs: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        """Encode, then score the pairs."""
        return self.decode(self.encode(x, edge_index, edge_attr), pairs)
