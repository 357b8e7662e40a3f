"""SheafConv, one step of neural sheaf diffusion."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear
from torch_geometric.nn.inits import reset
from torch_geometric.nn.resolver import activation_resolver
from torch_geometric.typing import Adj, OptTensor

from graphkit import ops
from graphkit.graph import Graph
from graphkit.nn.conv.base import FusedMessagePassing
from graphkit.nn.dropout import dropout
from graphkit.nn.sheaf import Family, LearnerName, MakeLearner, Sheaf, make_maps, symmetric
from graphkit.ops.blocks import block_apply
from graphkit.ops.sheaf_layer import sheaf_scaled_maps
from graphkit.ops.sheaf_stalks import sheaf_mix, sheaf_update


class SheafConv(FusedMessagePassing):
    r"""A step of diffusion on a learned sheaf, the layer of `"Neural Sheaf Diffusion"
    <https://arxiv.org/abs/2202.04579>`_ (Bodnar et al., NeurIPS 2022).

    Each node has a stalk of ``d`` rows of ``H`` channels, :math:`X_v \in R^{d \times H}`. Restriction maps
    :math:`F_{v \to e}`, learned from the features at both ends of an edge, take a node's stalk into the edge; where
    the two ends agree there, nothing flows:

    .. math::
        X' = (1 + \tanh \epsilon)\, X - \sigma\big(L_F\, (I \otimes W_1)\, X\, W_2^T\big), \qquad
        (L_F Y)_u = S_u \sum_{v \sim u} F_{u \to e}^T (F_{u \to e} S_u Y_u - F_{v \to e} S_v Y_v)

    with :math:`S_u = (\sum_e F_{u \to e}^T F_{u \to e} + I)^{-1/2}`. A linear map before and one after give the layer
    the widths that are asked for; where ``in_channels`` is ``d * H``, and likewise ``out_channels``, features are
    read as stalks row by row, ``x.view(N, d, H)``, and there is no map. ``SheafConv(d * H, d * H, d)`` is the published
    layer. So ``stalk_dim`` need not divide the widths here; where nothing is mapped before, it must, and it is an error
    if it does not: :func:`graphkit.ops.sheaf_laplacian`, :class:`graphkit.models.SheafRecommender`.

    *Edges.* A sheaf lives on undirected edges. Each pair of columns ``(u, v)`` and ``(v, u)`` is one; copies pair up
    and count each; a column without its reverse is an undirected edge as if it had one (a compiled layer raises
    ``ValueError`` instead); a self loop has no coboundary and changes nothing. So a directed graph gives what its
    undirected one gives. As :math:`S_v` depends on all edges at v, a node's output depends on its neighbours of order
    two (of three with learned maps' features at them).

    Nothing is assembled, and nothing of size E x d x H is made (:func:`graphkit.ops.sheaf_laplacian`); learned maps are
    linear on nodes first, not on edges. Messages one by one, for explainers and hooks, are
    :math:`S_u F_u^T (F_u S_u Y_u - F_v S_v Y_v)`.

    Differences from the published code: the graph is an argument, not part of the layer; d parameters per map fewer
    for Cayley's map and the exponential, which cancel there; general maps without random perturbation, clamps and NaN
    gradients. ``compat="official"`` restores three places where it departs from its paper: with
    ``normalized="degree"``, general maps are divided by ``d * degree + 1`` (no bound) and the fixed rows not at all;
    ``learner="sum"`` sums pieces that mix both ends of an edge (:class:`~graphkit.nn.sheaf.ConcatLearner`).

    Args:
        in_channels: size of each input sample, or -1 to derive it from the first input.
        out_channels: size of each output sample.
        stalk_dim: dimension of the learned stalk.
        maps: ``"identity"`` (no sheaf: the control), ``"diagonal"``, ``"bundle"`` (orthogonal matrices and a weight per
            edge), ``"general"``, or ``"connection"`` (orthogonal, computed from the features by local PCA); ``None``:
            the layer has no maps of its own and is given some at each call.
        orthogonal: parametrisation of ``"bundle"``: ``"householder"``, ``"cayley"``, ``"matrix_exp"`` or ``"euler"``.
        stalk_channels: H; default: the least with which stalks hold ``out_channels``.
        learner: ``"concat"``; ``"sum"``, from the sum of the stalk rows, with ``1 / d`` of its parameters;
            ``"attention"`` (``"general"``); or your own: a function from ``(in_channels, num_parameters)`` to a module
            with ``forward(x_src [E, C], x_dst [E, C]) -> [E, num_parameters]``.
        map_act: activation of ``"concat"`` and ``"sum"``: ``"tanh"``, ``"elu"`` or ``"id"``.
        edge_weights: learn a weight per edge (``"bundle"``).
        normalized: ``True``, as above; ``"degree"``, by a number per node; ``False``, not at all.
        low_pass: add a stalk row whose maps are 1 and -1 at the two ends, below the learned ones.
        high_pass: add a row whose maps are 1 at both ends, below these.
        left_weight: learn :math:`W_1` ``[d, d]``, which starts as the identity.
        right_weight: learn :math:`W_2` ``[H, H]``, which starts orthogonal.
        act: :math:`\sigma` by name, or ``None``.
        residual: ``False`` returns :math:`\sigma(\ldots)` alone and learns no :math:`\epsilon` ``[d, 1]``.
        dropout: of X inside :math:`\sigma(\ldots)`.
        map_dropout: of the features that maps are learned from.
        compat: ``"official"`` or ``None``; see above.
        **kwargs: of PyG's ``MessagePassing``.

    Shapes:
        x ``[N, in_channels]``; edge_index ``[2, E]``, ``Graph``, ``EdgeIndex`` or transposed sparse adjacency ->
        ``[N, out_channels]``

    Raises:
        ValueError: if options contradict each other, or sizes disagree.

    Example:
        >>> import torch
        >>> from graphkit.nn import SheafConv
        >>> conv = SheafConv(16, 32, stalk_dim=3, maps="bundle", orthogonal="householder")
        >>> conv
        SheafConv(16, 32, stalk_dim=3, maps=bundle)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> conv(torch.randn(4, 16), edge_index).shape
        torch.Size([4, 32])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stalk_dim: int = 3,
        maps: Family | None = "diagonal",
        orthogonal: str = "householder",
        *,
        stalk_channels: int | None = None,
        learner: LearnerName | MakeLearner = "concat",
        map_act: str = "tanh",
        edge_weights: bool = True,
        normalized: bool | Literal["degree"] = True,
        low_pass: bool = False,
        high_pass: bool = False,
        left_weight: bool = True,
        right_weight: bool = True,
        act: str | None = "elu",
        residual: bool = True,
        dropout: float = 0.0,
        map_dropout: float = 0.0,
        compat: Literal["official"] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__("sum", node_dim=0, **kwargs)
        if stalk_dim < 1:
            raise ValueError(f"'stalk_dim' must be at least 1 (got {stalk_dim})")
        if normalized not in (True, False, "degree"):
            raise ValueError(f"'normalized' must be True, False or 'degree' (got {normalized!r})")
        if normalized == "degree" and maps == "bundle":
            raise ValueError("normalized='degree' is for other maps: the blocks of maps='bundle' are numbers already")
        if compat not in (None, "official"):
            raise ValueError(f"'compat' must be None or 'official' (got {compat!r})")
        rows = stalk_dim + low_pass + high_pass
        channels = -(-out_channels // rows) if stalk_channels is None else stalk_channels
        if out_channels < 1 or channels < 1:
            raise ValueError(f"'out_channels' and 'stalk_channels' must be positive (got {out_channels}, {channels})")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.stalk_dim = stalk_dim
        self.rows = rows
        self.stalk_channels = channels
        self.family = maps
        self.normalized: bool | Literal["degree"] = normalized
        self.low_pass = low_pass
        self.high_pass = high_pass
        self.dropout = dropout
        self.map_dropout = map_dropout
        self.compat = compat
        self._origin: Tensor | None = None  # of the edges of the last call, for explainers

        width = rows * channels
        self.lin_in = Linear(in_channels, width) if in_channels != width else None
        self.maps = None
        if maps is not None:
            self.maps = make_maps(
                maps,
                width,
                stalk_dim,
                orthogonal=orthogonal,
                edge_weights=edge_weights,
                learner=learner,
                act=map_act,
                rows=rows,
                compat=compat,
            )
        self.left_weight = nn.Parameter(torch.empty(rows, rows)) if left_weight else None
        self.right_weight = nn.Parameter(torch.empty(channels, channels)) if right_weight else None
        self.epsilon = nn.Parameter(torch.empty(rows, 1)) if residual else None
        self.act = nn.Identity() if act is None else activation_resolver(act)
        self.lin_out = Linear(width, out_channels) if out_channels != width else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        super().reset_parameters()
        for module in (self.lin_in, self.maps, self.lin_out):
            reset(module)
        if self.left_weight is not None:
            nn.init.eye_(self.left_weight)
        if self.right_weight is not None:
            nn.init.orthogonal_(self.right_weight)
        if self.epsilon is not None:
            nn.init.zeros_(self.epsilon)

    def forward(self, x: Tensor, edge_index: Adj | Graph, sheaf: Sheaf | None = None) -> Tensor:
        """Run the layer.

        Args:
            x: node features.
            edge_index: the graph; see the class.
            sheaf: maps to use instead of the layer's own, for the edges of ``symmetric(graph)``
                (:func:`graphkit.nn.sheaf.symmetric`), as :meth:`sheaf` of this or another layer gives.
        """
        h, graph = self._stalks(x, edge_index)
        if sheaf is None:
            sheaf = self._learn(h, graph)
        flow = self._flow(dropout(h, self.dropout, self.training), graph, sheaf)
        if self.epsilon is None:
            out = self.act(flow)
        elif isinstance(self.act, nn.ELU) and self.act.alpha == 1.0:
            out = sheaf_update(h, flow, 1 + self.epsilon.tanh().view(-1))
        else:
            out = (1 + self.epsilon.tanh()) * h - self.act(flow)
        out = out.flatten(1)
        return out if self.lin_out is None else self.lin_out(out)

    def sheaf(self, x: Tensor, edge_index: Adj | Graph) -> Sheaf:
        """The sheaf that the layer learns from ``x``: see :meth:`forward` for its edges."""
        return self._learn(*self._stalks(x, edge_index))

    def diffuse(self, h: Tensor, graph: Graph, sheaf: Sheaf) -> Tensor:
        r""":math:`\sigma(L_F (I \otimes W_1) H W_2^T)` of stalks ``[N, d, H]``, on a graph with all its reverses."""
        return self.act(self._flow(h, graph, sheaf))

    def _flow(self, h: Tensor, graph: Graph, sheaf: Sheaf) -> Tensor:
        h = sheaf_mix(h, self.left_weight, self.right_weight)
        if sheaf.maps.dim() == 3 and sheaf.maps.size(1) == 1 and not sheaf.orthogonal:
            sheaf = sheaf._replace(maps=sheaf.maps.flatten(1))  # 1 x 1 matrices are diagonal
        maps, fixed = sheaf.maps, self._fixed_maps(graph, sheaf.maps.dtype)
        apart = fixed is not None and (maps.dim() == 3 or sheaf.weight is not None or self._raw_fixed_rows())
        if fixed is not None and not apart:
            maps = torch.cat([maps, fixed], 1)
        rows = h if maps.size(1) == h.size(1) else h[:, : maps.size(1)]  # a slice, even of all, copies in backward
        learned = self._laplacian(rows, graph, sheaf._replace(maps=maps), self.normalized)
        if fixed is not None and apart:
            normalized = False if self._raw_fixed_rows() else self.normalized
            learned = torch.cat([learned, self._laplacian(h[:, self.stalk_dim :], graph, Sheaf(fixed), normalized)], 1)
        return learned

    def _stalks(self, x: Tensor, edge_index: Any) -> tuple[Tensor, Graph]:
        if not isinstance(x, Tensor) or x.dim() != 2:
            got = list(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"'x' must have shape [N, {self.in_channels}], one set of nodes (got {got})")
        graph = self.graph_of(x, edge_index)
        graph, self._origin = symmetric(graph)
        width = self.rows * self.stalk_channels if self.lin_in is None else self.in_channels
        if width not in (-1, x.size(1)):  # -1: known at the first call
            rows = f", {self.rows} stalk rows of {self.stalk_channels}" if self.lin_in is None else ""
            raise ValueError(f"'x' must have {width} channels{rows} (got {x.size(1)})")
        h = x if self.lin_in is None else self.lin_in(x)
        return h.unflatten(1, (self.rows, self.stalk_channels)), graph

    def _learn(self, h: Tensor, graph: Graph) -> Sheaf:
        if self.maps is None:
            raise ValueError("a layer with maps=None needs 'sheaf' at each call (got None)")
        return self.maps(dropout(h.flatten(1), self.map_dropout, self.training), graph)

    def _fixed_maps(self, graph: Graph, dtype: torch.dtype) -> Tensor | None:
        """``[E, k]``: the maps of the fixed rows. Which end has the minus sign is of no account."""
        if not (self.low_pass or self.high_pass):
            return None
        source, target = graph.edge_index
        one = torch.ones(graph.num_edges, dtype=dtype, device=graph.device)
        low = [torch.where(source < target, one, -one)] if self.low_pass else []
        return torch.stack(low + ([one] if self.high_pass else []), 1)

    def _raw_fixed_rows(self) -> bool:
        return self.compat is not None and self.normalized == "degree"

    def _laplacian(self, h: Tensor, graph: Graph, sheaf: Sheaf, normalized: bool | Literal["degree"]) -> Tensor:
        maps, normalizer = sheaf.maps, None
        if normalized is True and maps.dim() == 2 and sheaf.weight is None:
            maps = sheaf_scaled_maps(maps, graph)
        else:
            normalizer = self._normalizer(graph, sheaf, normalized)
        # propagate_type: (x: Tensor, maps: Tensor, weight: OptTensor, normalizer: OptTensor, reverse: Tensor)
        return self.propagate(graph, x=h, maps=maps, weight=sheaf.weight, normalizer=normalizer, reverse=graph.reverse)

    def _normalizer(self, graph: Graph, sheaf: Sheaf, normalized: bool | Literal["degree"]) -> OptTensor:
        return ops.sheaf_normalizer(
            graph,
            sheaf.maps,
            normalized=normalized,
            edge_weight=sheaf.weight,
            orthogonal=sheaf.orthogonal,
            compat=self.compat is not None,
        )

    def message_and_aggregate(
        self, edge_index: Graph, x: Tensor, maps: Tensor, weight: OptTensor, normalizer: OptTensor
    ) -> Tensor:
        """All messages at once, none of them written."""
        return ops.sheaf_laplacian(x, edge_index, maps, edge_weight=weight, normalizer=normalizer)

    def message(
        self,
        x_i: Tensor,
        x_j: Tensor,
        maps: Tensor,
        weight: OptTensor,
        normalizer_i: OptTensor,
        normalizer_j: OptTensor,
        reverse: Tensor,
    ) -> Tensor:
        """What flows along every edge to its target, for those who want to see it."""
        own = maps[reverse]
        if normalizer_i is not None and normalizer_j is not None:
            x_i, x_j = block_apply(normalizer_i, x_i), block_apply(normalizer_j, x_j)
        out = block_apply(own.mT if own.dim() == 3 else own, block_apply(own, x_i) - block_apply(maps, x_j))
        if weight is not None:
            out = out * ((weight + weight[reverse]) / 2)[:, None, None]
        return out if normalizer_i is None else block_apply(normalizer_i, out)

    def explain_message(self, inputs: Tensor, dim_size: int | None) -> Tensor:
        """PyG's hook for explainers: a reverse that the layer added goes by the mask of the edge it completes."""
        mask = self._edge_mask
        if mask is None:
            raise ValueError("there is no edge mask to explain with; an explainer sets it before the call")
        mask = mask.sigmoid() if self._apply_sigmoid else mask
        mask = mask if self._origin is None else mask[self._origin]
        return inputs * mask.view(-1, 1, 1)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, stalk_dim={self.stalk_dim}, "
            f"maps={self.family})"
        )
