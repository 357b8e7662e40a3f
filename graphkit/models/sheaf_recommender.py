"""The sheaf recommender: embeddings of users and items, diffused on a learned sheaf over who took what."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphkit.graph import as_graph
from graphkit.nn.conv.sheaf_conv import SheafConv
from graphkit.nn.sheaf import Family, LearnerName, MakeLearner


class SheafRecommender(nn.Module):
    r"""Sheaf4Rec, collaborative filtering by sheaf diffusion (Purificato et al., arXiv 2304.09097).

    .. math::
        X_{l+1} = X_l - \tau\, L_{F(X_l)} (X_l W_l^T + b_l), \qquad Z = [X_0 \| \ldots \| X_L], \qquad
        s_{ui} = \langle z_u, z_i \rangle

    Users and items are the nodes of one graph, items numbered after the users, and an interaction is an edge between
    them; :math:`X_0` is a table of embeddings. Each layer learns the maps of its sheaf from the features at both ends
    of an edge and applies that sheaf's normalised Laplacian (:class:`~graphkit.nn.SheafConv` without its weights and
    activation; the graph may hold one or both directions of an edge).

    With ``stalk_dim=1``, the default, this is the published network: a map is a number,
    :math:`F_{u \to e} = \tanh(w^T [x_u \| x_e])`, so that diffusion is on a signed, weighted graph. The vector-valued
    stalks of the paper's text are ``stalk_dim > 1``: a row of X is then read as ``stalk_dim`` rows of
    ``embedding_dim / stalk_dim`` channels, and the maps are of the family ``maps``.

    Differs from the published code: its loop over edges in Python pairs copies of an interaction with the last copy of
    the reverse, ours pair one by one. As copies have equal maps, the results are the same, and there is no ``compat``
    option. Training, ranking and where the published evaluation errs: see :class:`graphkit.train.Recommendation`,
    which trains ``torch_geometric.nn.LightGCN`` as well: this class has its ``embedding`` and ``get_embedding``.

    Args:
        num_nodes: users and items together; ``None``: there is no table and every call is given ``x``.
        embedding_dim: width of the embeddings; results are ``num_layers + 1`` times as wide.
        num_layers: number of layers.
        stalk_dim: dimension of the stalks, a divisor of ``embedding_dim``.
        maps: ``"diagonal"``, ``"bundle"`` or ``"general"`` (the same for stalks of dimension 1, where only
            ``"diagonal"`` is accepted), or ``"identity"``: nothing learned, the graph's own Laplacian.
        orthogonal: parametrisation of ``"bundle"``.
        learner: of the maps, as for :class:`~graphkit.nn.SheafConv`.
        step: :math:`\tau`.
        concat: ``False`` returns the mean of :math:`X_0, \ldots, X_L` instead, as LightGCN does.

    Shapes:
        x ``[N, embedding_dim]`` or None, edge_index ``[2, E]`` or anything a layer takes ->
        ``[N, (num_layers + 1) * embedding_dim]``

    Raises:
        ValueError: if sizes disagree or options contradict each other.

    Example:
        >>> import torch
        >>> from graphkit.models import SheafRecommender
        >>> model = SheafRecommender(5, embedding_dim=8, num_layers=2)  # users 0 and 1, items 2 to 4
        >>> z = model(None, torch.tensor([[0, 0, 1], [2, 3, 4]]))
        >>> z.shape, (z[:2] @ z[2:].t()).shape
        (torch.Size([5, 24]), torch.Size([2, 3]))
    """

    def __init__(
        self,
        num_nodes: int | None,
        embedding_dim: int = 64,
        num_layers: int = 3,
        *,
        stalk_dim: int = 1,
        maps: Family = "diagonal",
        orthogonal: str = "householder",
        learner: LearnerName | MakeLearner = "concat",
        step: float = 1.0,
        concat: bool = True,
    ) -> None:
        super().__init__()
        if num_nodes is not None and num_nodes < 1:
            raise ValueError(f"'num_nodes' must be at least 1, users and items together (got {num_nodes})")
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1 (got {num_layers})")
        if stalk_dim < 1 or embedding_dim < 1 or embedding_dim % stalk_dim:
            raise ValueError(
                f"'stalk_dim' must be a divisor of 'embedding_dim' (got {stalk_dim} and {embedding_dim}); "
                f"a stalk is a node's embedding cut into equal rows"
            )
        if stalk_dim == 1 and maps not in ("diagonal", "identity"):
            raise ValueError(f"maps={maps!r} needs 'stalk_dim' of at least 2 (got 1); use maps='diagonal'")
        self.num_nodes = num_nodes
        self.embedding_dim = embedding_dim
        self.stalk_dim = stalk_dim
        self.family = maps
        self.step = step
        self.concat = concat
        self.embedding = None if num_nodes is None else nn.Embedding(num_nodes, embedding_dim)
        self.lins = nn.ModuleList(nn.Linear(embedding_dim, embedding_dim) for _ in range(num_layers))
        self.convs = nn.ModuleList(
            SheafConv(
                embedding_dim,
                embedding_dim,
                stalk_dim,
                maps,
                orthogonal,
                learner=learner,
                left_weight=False,
                right_weight=False,
                act=None,
                residual=False,
            )
            for _ in range(num_layers)
        )
        self._reset_table()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in (self.lins, self.convs):
            reset(module)
        self._reset_table()

    def _reset_table(self) -> None:
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(self, x: Tensor | None, edge_index: Any) -> Tensor:
        """The representation ``Z`` of all nodes.

        Args:
            x: embeddings, or features, to start from; ``None``: the table.
            edge_index: the interactions: a :class:`~graphkit.Graph`, or ``edge_index``, ``EdgeIndex`` or transposed
                sparse adjacency.
        """
        if x is None:
            if self.embedding is None:
                raise ValueError("'x' must be given (got None) to a model without 'num_nodes', which has no table")
            x = self.embedding.weight
        if x.dim() != 2 or x.size(1) != self.embedding_dim:
            raise ValueError(f"'x' must have shape [N, {self.embedding_dim}] (got {list(x.shape)})")
        graph = as_graph(edge_index, (x.size(0), x.size(0)))
        states = [x]
        for lin, conv in zip(self.lins, cast(list[SheafConv], self.convs), strict=True):
            x = x - self.step * conv(lin(x), graph, conv.sheaf(x, graph))
            states.append(x)
        return torch.cat(states, dim=1) if self.concat else torch.stack(states).mean(0)

    def get_embedding(self, edge_index: Any) -> Tensor:
        """``forward(None, edge_index)``, under the name that it has in PyG's ``LightGCN``."""
        return self(None, edge_index)

    def extra_repr(self) -> str:
        return f"stalk_dim={self.stalk_dim}, maps={self.family}, step={self.step:g}"
