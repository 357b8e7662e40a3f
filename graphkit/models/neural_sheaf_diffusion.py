"""Neural sheaf diffusion: a network whose layers diffuse on learned sheaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch_geometric.nn import Linear
from torch_geometric.nn.inits import reset
from torch_geometric.nn.resolver import activation_resolver

from graphkit.graph import Graph, as_graph
from graphkit.models.sheaf_ode import SheafODE
from graphkit.nn.conv.sheaf_conv import SheafConv
from graphkit.nn.dropout import dropout
from graphkit.nn.sheaf import ConnectionMaps, Family, LearnerName, MakeLearner, Sheaf, symmetric


@dataclass(frozen=True)
class SheafState:
    """The network before its first layer, or after one of its layers.

    Args:
        features: stalks ``[N, d, H]``.
        sheaf: the maps of the layer that comes first, or that made the features.
        graph: whose edges the maps belong to.
    """

    features: Tensor
    sheaf: Sheaf
    graph: Graph


class NeuralSheafDiffusion(nn.Module):
    r"""The network of "Neural Sheaf Diffusion" (Bodnar et al., NeurIPS 2022, arXiv 2202.04579), for nodes.

    .. math::
        X_0 = \mathrm{drop}(\sigma(\mathrm{lin}(\mathrm{drop}(x)))), \qquad
        X_{t+1} = (1 + \tanh \epsilon_t) X_t
        - \sigma\big(L_{F(X_t)} (I \otimes W_1^t)\, \mathrm{drop}(X_t)\, W_2^{tT}\big), \qquad z = \mathrm{lin}(X_T)

    with :math:`X_t` ``[N, d, H]``. Each layer is a :class:`~graphkit.nn.SheafConv`; see there for the maps, the edges
    (directed graphs are taken as undirected) and their normalisation. With ``ode``, a continuous model,
    :math:`\dot X = \sigma(L_{F(X)} (I \otimes W_1) (-X) W_2^T)` with one set of weights.

    The graph is an argument: the same weights serve any graph, and batches of graphs give what each graph gives alone.
    Sampled neighbourhoods (:class:`graphkit.loader.NeighborLoader`) train: their edges point to the seeds, and the
    layers take each as undirected, so the network diffuses on the sheaf over the drawn edges, normalised by them
    (``subgraph_type`` "directional" and "bidirectional" are the same). A prediction depends on neighbours of order
    ``2 * num_layers``, as normalisation looks at the neighbours' edges: with ``num_neighbors=[-1] * (2 * num_layers)``
    it is that of the whole graph.

    Results are logits; the published code returns their log-softmax. It holds its graph and does not move it between
    devices. ``compat="official"`` restores where that code departs from its formulas: the sums of
    ``learner="sum"`` and ``normalized="degree"``, both described at :class:`~graphkit.nn.SheafConv`. Not restored are
    its failures: an error with ``left_weights=False`` or ``right_weights=False`` for bundles and general maps, random
    perturbation of general maps in training, NaN gradients where eigenvalues repeat, and gradients of another function
    when maps are shared in a continuous model.

    Args:
        in_channels: width of the features, or -1 to derive it from the first input.
        hidden_channels: H, channels of each stalk row.
        num_layers: number of layers; 1 with ``ode``.
        out_channels: outputs per node.
        stalk_dim: dimension of the learned stalk; ``low_pass`` and ``high_pass`` each add a row to it.
        maps: ``"identity"``, ``"diagonal"``, ``"bundle"``, ``"general"`` or ``"connection"``, whose maps are computed
            once, from the input features.
        orthogonal: parametrisation of ``"bundle"``.
        learner: as for :class:`~graphkit.nn.SheafConv`.
        map_act: activation of the learner.
        edge_weights: learn edge weights (``"bundle"``).
        shared_maps: learn the maps once, from :math:`X_0` (``linear`` in the published code), instead of per layer.
        normalized: ``True``, ``"degree"`` or ``False``.
        low_pass: a fixed stalk row with maps 1 and -1.
        high_pass: a fixed stalk row with maps 1.
        left_weights: learn :math:`W_1`.
        right_weights: learn :math:`W_2`.
        act: :math:`\sigma` by name, or ``None``.
        second_linear: a second linear map before the layers.
        dropout: before the layers, in them, and of the features that later layers learn maps from.
        input_dropout: of the features.
        ode: integrate the continuous model, as this says.
        compat: ``"official"`` or ``None``; see above.

    Shapes:
        x ``[N, in_channels]``, edge_index ``[2, E]`` or anything a layer takes -> ``[N, out_channels]``

    Raises:
        ValueError: if options contradict each other.

    Example:
        >>> import torch
        >>> model = NeuralSheafDiffusion(16, 8, num_layers=2, out_channels=3, maps="bundle", low_pass=True)
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> model(torch.randn(5, 16), edge_index).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int,
        *,
        stalk_dim: int = 3,
        maps: Family = "diagonal",
        orthogonal: str = "householder",
        learner: LearnerName | MakeLearner = "concat",
        map_act: str = "tanh",
        edge_weights: bool = True,
        shared_maps: bool = False,
        normalized: bool | Literal["degree"] = True,
        low_pass: bool = False,
        high_pass: bool = False,
        left_weights: bool = True,
        right_weights: bool = True,
        act: str | None = "elu",
        second_linear: bool = False,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        ode: SheafODE | None = None,
        compat: Literal["official"] | None = None,
    ) -> None:
        super().__init__()
        if num_layers < 1 or (ode is not None and num_layers != 1):
            expected = "at least 1" if ode is None else "1 with 'ode', which has one set of weights"
            raise ValueError(f"'num_layers' must be {expected} (got {num_layers})")
        rows = stalk_dim + low_pass + high_pass
        width = rows * hidden_channels
        self.shared_maps = shared_maps
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.ode = ode
        self.lin_in = Linear(in_channels, width)
        self.act = nn.Identity() if act is None else activation_resolver(act)
        self.lin_second = Linear(width, width) if second_linear else None
        self.connection = ConnectionMaps(stalk_dim) if maps == "connection" else None
        self.convs = nn.ModuleList(
            SheafConv(
                width,
                width,
                stalk_dim,
                # Maps of the features, or of the first layer, are handed to the others.
                None if maps == "connection" or (shared_maps and layer > 0) else maps,
                orthogonal,
                learner=learner,
                map_act=map_act,
                edge_weights=edge_weights,
                normalized=normalized,
                low_pass=low_pass,
                high_pass=high_pass,
                left_weight=left_weights,
                right_weight=right_weights,
                act=act,
                residual=ode is None,
                dropout=0.0 if ode is not None else dropout,
                map_dropout=dropout if layer > 0 else 0.0,
                compat=compat,
            )
            for layer in range(num_layers)
        )
        self.lin_out = Linear(width, out_channels)
        self._reset_continuous()

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in self.children():
            reset(module)
        self._reset_continuous()

    def _reset_continuous(self) -> None:
        """A continuous model's weights start as those of plain linear maps."""
        if self.ode is not None:
            for name in ("left_weight", "right_weight"):
                weight = getattr(self.convs[0], name)
                if weight is not None:
                    nn.init.kaiming_uniform_(weight, a=5**0.5)

    def parameter_groups(self, weight_decay: float, sheaf_decay: float) -> list[dict[str, Any]]:
        """Parameters for an optimiser: the learners of restriction maps have a weight decay of their own.

        Those of edge weights go with the rest, as in the published code.
        """
        learners = {id(p) for name, p in self.named_parameters() if ".maps.learner." in name}
        groups = (
            ([p for p in self.parameters() if id(p) not in learners], weight_decay),
            ([p for p in self.parameters() if id(p) in learners], sheaf_decay),
        )
        return [{"params": params, "weight_decay": decay} for params, decay in groups if params]

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        """Run the network.

        Args:
            x: node features.
            edge_index: a :class:`~graphkit.Graph`, or ``edge_index``, ``EdgeIndex`` or transposed sparse adjacency.
        """
        h, graph, sheaf = self._start(x, edge_index)
        if self.ode is not None:
            return self.lin_out(self._integrate(self.ode, h, graph, sheaf))
        for features, _ in self._steps(h, graph, sheaf):
            h = features
        return self.lin_out(h)

    @torch.no_grad()
    def states(self, x: Tensor, edge_index: Any) -> list[SheafState]:
        """The features and the sheaf before the first layer and after each, for looking at them.

        Raises:
            ValueError: for a continuous model, which has no layers.
        """
        if self.ode is not None:
            raise ValueError("'states' are those between layers; a model with 'ode' has none")
        h, graph, sheaf = self._start(x, edge_index)
        rows = cast(SheafConv, self.convs[0]).rows
        whole, _ = symmetric(graph)
        return [SheafState(h.unflatten(1, (rows, -1)), sheaf, whole) for h, sheaf in self._steps(h, graph, sheaf)]

    def _start(self, x: Tensor, edge_index: Any) -> tuple[Tensor, Graph, Sheaf | None]:
        """``X_0``, the graph with its reverses, and the maps that no layer learns."""
        if self.lin_in.in_channels not in (-1, x.size(1)):  # -1: known at the first call
            raise ValueError(f"'x' must have {self.lin_in.in_channels} channels (got {x.size(1)})")
        graph = as_graph(edge_index, (x.size(0), x.size(0)))
        sheaf = None if self.connection is None else self.connection(x, symmetric(graph)[0])
        h = self.act(self.lin_in(dropout(x, self.input_dropout, self.training)))
        h = dropout(h, self.dropout, self.training)
        h = h if self.lin_second is None else self.lin_second(h)
        return h, graph, sheaf

    def _steps(self, h: Tensor, graph: Graph, sheaf: Sheaf | None) -> Iterator[tuple[Tensor, Sheaf]]:
        for layer, conv in enumerate(cast(list[SheafConv], self.convs)):
            if sheaf is None or conv.maps is not None:
                sheaf = conv.sheaf(h, graph)
            if layer == 0:
                yield h, sheaf
            h = conv(h, graph, sheaf)
            yield h, sheaf

    def _integrate(self, ode: SheafODE, h: Tensor, graph: Graph, sheaf: Sheaf | None) -> Tensor:
        conv = cast(SheafConv, self.convs[0])
        if sheaf is None and self.shared_maps:
            sheaf = conv.sheaf(h, graph)
        return ode.integrate(
            lambda t, state: conv(-state, graph, conv.sheaf(state, graph) if sheaf is None else sheaf), h
        )
