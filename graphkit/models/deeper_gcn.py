"""DeeperGCN: deep residual stacks of generalized convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphkit import ops
from graphkit.graph import Graph, as_graph
from graphkit.nn.conv.base import edge_features
from graphkit.nn.conv.gen_conv import GENConv
from graphkit.nn.deepgcn import checkpointed
from graphkit.nn.dropout import dropout
from graphkit.nn.encoder import EncoderSpec, build_encoder
from graphkit.nn.norm import build_norm
from graphkit.nn.norm_dropout import norm_dropout
from graphkit.nn.reversible import GroupAddRev


class DeeperGCN(nn.Module):
    r"""The network of "DeeperGCN: All You Need to Train Deeper GCNs" (Li et al., arXiv 2006.07739).

    An encoder, ``num_layers`` :class:`~graphkit.nn.GENConv` of one width with biases and as many norms, and a linear
    read-out. With ``block="res+"`` (pre-activation, the paper's):

    .. math::
        h^{0} = \mathrm{conv}_0(\mathrm{enc}(x)), \qquad
        h^{l} = h^{l-1} + \mathrm{conv}_l(\mathrm{drop}(\mathrm{relu}(\mathrm{norm}_{l-1}(h^{l-1})))), \qquad
        z = \mathrm{drop}(\mathrm{act}(\mathrm{norm}_{L-1}(h^{L-1})))

    where act is ReLU for node and link tasks and nothing for graph tasks. ``"res"`` is
    :math:`h^l = \mathrm{drop}(\mathrm{relu}(\mathrm{norm}_l(\mathrm{conv}_l(h^{l-1}))) + h^{l-1})`, the first layer
    without the sum; ``"plain"`` never has it, and for graph tasks no ReLU after the last layer.

    A virtual node holds a vector per graph, which starts as one learnt vector added to all nodes. Before each layer
    but the first, with :math:`u` the layer's input,
    :math:`v \leftarrow \mathrm{drop}(\mathrm{MLP}_l(\sum_i u_i + v))` and :math:`u_i \leftarrow u_i + v`.

    ``reversible=True`` is RevGNN ("Training Graph Neural Networks with 1000 Layers", arXiv 2106.07476): layers that are
    computed back in the backward pass, so that memory does not grow with depth. Each is a
    :class:`~graphkit.nn.GroupAddRev` of ``num_groups`` blocks
    :math:`F_i(h) = \mathrm{conv}_i(m_i \odot \mathrm{relu}(\mathrm{norm}_i(h)))` of width
    ``hidden_channels / num_groups``, where the dropout mask :math:`m` is drawn once per forward pass for all layers.
    It is drawn in training only; the published code draws it in evaluation too.

    Parameter counts and values are those of the published models; see ``tests/models``. There, biases are always on,
    and ``softmax`` with a fixed ``t`` is what is called ``"softmax_sg"`` here.

    Args:
        in_channels: what the node features are: their width (or -1); a list with the number of codes of each
            categorical column (molecules); a function from the width to an encoder, such as OGB's ``AtomEncoder``;
            or ``None`` if they have ``hidden_channels`` already.
        hidden_channels: width of every layer.
        num_layers: number of convolutions.
        out_channels: outputs per node or graph; ``None`` returns the embeddings ``z`` (link prediction).
        task: ``"node"``, ``"link"`` or ``"graph"``.
        block: ``"res+"``, ``"res"`` or ``"plain"``.
        aggr: aggregation of the convolutions; see :class:`~graphkit.nn.GENConv`, also for the next eight.
        t: inverse temperature of the softmax family.
        learn_t: learn it, one per layer.
        p: power of the power means.
        learn_p: learn it.
        y: logit of the degree's exponent of the ``_sum`` aggregations.
        learn_y: learn it.
        msg_norm: message normalisation.
        learn_msg_scale: learn its scale.
        norm: ``"batch"``, ``"layer"`` or ``"instance"``, in the blocks and in the MLPs.
        mlp_layers: layers of each convolution's MLP.
        dropout: probability of dropping an entry.
        edge_dim: what the edge features are, as ``in_channels``; ``None`` if there are none or if they have
            ``hidden_channels`` already.
        edge_encoder: where edge features are encoded: ``"shared"``, once before the first layer; ``"layer"``, in each
            layer anew; ``"both"``, once and then by a linear map in each layer (proteins, ppa).
        virtual_node: add a virtual node to each graph (``block="res+"`` only).
        pool: ``"mean"``, ``"sum"`` or ``"max"`` of a graph's nodes, for graph tasks.
        ckpt_grad: recompute convolutions in the backward pass instead of keeping their activations: all, or those of
            the given numbers.
        reversible: reversible layers (``block="res+"`` without virtual node). Edge features are encoded to
            ``hidden_channels / num_groups``, each group's width, but for ``edge_encoder="both"`` (the published form),
            where the shared encoder has width ``hidden_channels``.
        num_groups: groups of channels of a reversible layer.

    Shapes:
        x ``[N, *]``, edge_index ``[2, E]`` or anything a layer takes, edge_attr ``[E, *]``, batch ``[N]`` ->
        ``[N, out_channels]``, for graph tasks ``[G, out_channels]``

    Raises:
        ValueError: if an option is unknown or options contradict each other.

    Example:
        >>> import torch
        >>> model = DeeperGCN(16, 64, num_layers=7, out_channels=3, learn_t=True, dropout=0.1)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> model(torch.randn(5, 16), edge_index).shape
        torch.Size([5, 3])
        >>> model = DeeperGCN([119, 5], 32, 3, 1, task="graph", edge_dim=[5, 6, 2], virtual_node=True)
        >>> atoms, bonds = torch.zeros(5, 2, dtype=torch.long), torch.zeros(3, 3, dtype=torch.long)
        >>> model(atoms, edge_index, bonds, batch=torch.tensor([0, 0, 0, 1, 1])).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        in_channels: EncoderSpec,
        hidden_channels: int,
        num_layers: int,
        out_channels: int | None,
        *,
        task: Literal["node", "link", "graph"] = "node",
        block: Literal["res+", "res", "plain"] = "res+",
        aggr: str | list[str] = "softmax",
        t: float = 1.0,
        learn_t: bool = False,
        p: float = 1.0,
        learn_p: bool = False,
        y: float = 0.0,
        learn_y: bool = False,
        msg_norm: bool = False,
        learn_msg_scale: bool = False,
        norm: str = "batch",
        mlp_layers: int = 1,
        dropout: float = 0.0,
        edge_dim: EncoderSpec = None,
        edge_encoder: Literal["shared", "layer", "both"] = "shared",
        virtual_node: bool = False,
        pool: Literal["mean", "sum", "max"] = "mean",
        ckpt_grad: bool | Sequence[int] = False,
        reversible: bool = False,
        num_groups: int = 2,
    ) -> None:
        super().__init__()
        _check_option("task", task, ("node", "link", "graph"))
        _check_option("block", block, ("res+", "res", "plain"))
        _check_option("edge_encoder", edge_encoder, ("shared", "layer", "both"))
        _check_option("pool", pool, ("mean", "sum", "max"))
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1 (got {num_layers})")
        if virtual_node and block != "res+":
            raise ValueError(f"'virtual_node' needs block='res+' (got block={block!r})")
        if reversible and (block != "res+" or virtual_node or ckpt_grad):
            raise ValueError("'reversible' needs block='res+' and neither 'virtual_node' nor 'ckpt_grad'")
        if reversible and (num_groups < 2 or hidden_channels % num_groups):
            raise ValueError(f"'num_groups' must be at least 2 and divide {hidden_channels} (got {num_groups})")
        self.task = task
        self.block = block
        self.reversible = reversible
        self.dropout = dropout
        self.pool = pool
        every = range(num_layers) if ckpt_grad is True else ckpt_grad or ()
        self.ckpt_layers = frozenset(every)

        width = hidden_channels // num_groups if reversible else hidden_channels
        shared_width = hidden_channels if edge_encoder == "both" else width
        self.encoder = build_encoder(in_channels, hidden_channels)
        self.edge_encoder = build_encoder(None if edge_encoder == "layer" else edge_dim, shared_width)
        per_layer = {"shared": None, "layer": edge_dim, "both": hidden_channels}[edge_encoder]

        def conv() -> GENConv:
            return GENConv(
                width, width, aggr, t=t, learn_t=learn_t, p=p, learn_p=learn_p, y=y, learn_y=learn_y,
                msg_norm=msg_norm, learn_msg_scale=learn_msg_scale, norm=norm, num_layers=mlp_layers, bias=True,
                edge_encoder=False if per_layer is None else build_encoder(per_layer, width),
            )  # fmt: skip

        def coupled() -> GroupAddRev:
            groups = (_PreActivation(build_norm(norm, width), conv()) for _ in range(num_groups))
            return GroupAddRev(nn.ModuleList(groups))

        self.convs = nn.ModuleList(coupled() if reversible else conv() for _ in range(num_layers))
        # Reversible layers have their norms inside and leave the last one.
        norms = 1 if reversible else num_layers
        self.norms = nn.ModuleList(build_norm(norm, hidden_channels) for _ in range(norms))
        self.virtual_node = nn.Parameter(torch.zeros(1, hidden_channels)) if virtual_node else None
        if virtual_node:
            mlps = (_virtual_node_mlp(hidden_channels, norm) for _ in range(num_layers - 1))
            self.virtual_node_mlps = nn.ModuleList(mlps)
        self.head = nn.Identity() if out_channels is None else nn.Linear(hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in self.children():
            reset(module)
        if self.virtual_node is not None:
            nn.init.zeros_(self.virtual_node)

    def forward(
        self,
        x: Tensor,
        edge_index: Any,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        batch_size: int | None = None,
    ) -> Tensor:
        """Run the network.

        Args:
            x: node features.
            edge_index: a :class:`~graphkit.Graph`, or ``edge_index``, ``EdgeIndex`` or transposed sparse adjacency.
            edge_attr: edge features in the user's order.
            batch: the graph of each node, for graph tasks and virtual nodes. ``None`` takes ``node_attrs["batch"]``
                of a ``Graph`` that has it (as :meth:`Graph.batch <graphkit.Graph.batch>` makes), else one graph.
            batch_size: number of graphs; read off ``batch`` if ``None``.
        """
        graph = as_graph(edge_index, (x.size(0), x.size(0)))
        edge_attr = edge_features(graph, edge_index, edge_attr)
        groups = None
        if self.task == "graph" or self.virtual_node is not None:
            groups = _groups(graph, batch, batch_size)

        h = self.encoder(x)
        if edge_attr is not None:
            edge_attr = self.edge_encoder(edge_attr)
        if self.reversible:
            h = self._coupled(h, graph, edge_attr)
        elif self.block == "res+":
            h = self._res_plus(h, graph, edge_attr, groups)
        else:
            h = self._post_activation(h, graph, edge_attr)
        if self.task == "graph" and groups is not None:
            h = ops.gather_reduce(h, groups, reduce=self.pool)
        return self.head(h)

    def _res_plus(self, h: Tensor, graph: Graph, edge_attr: Tensor | None, groups: Graph | None) -> Tensor:
        virtual = None
        if self.virtual_node is not None and groups is not None:
            virtual = self.virtual_node.expand(groups.num_dst, -1)
            h = h + virtual.index_select(0, groups.edge_index[1])
        h = self._conv(0, h, graph, edge_attr)
        for layer in range(1, len(self.convs)):
            u = norm_dropout(self.norms[layer - 1], h, self.dropout, self.training)
            if virtual is not None and groups is not None:
                total = ops.gather_reduce(u, groups, reduce="sum") + virtual
                virtual = self._drop(self.virtual_node_mlps[layer - 1](total))
                u = u + virtual.index_select(0, groups.edge_index[1])
            h = h + self._conv(layer, u, graph, edge_attr)
        return self._finish(h)

    def _coupled(self, h: Tensor, graph: Graph, edge_attr: Tensor | None) -> Tensor:
        mask = self._drop(torch.ones_like(h)) if self.training and self.dropout > 0 else None
        for conv in self.convs:
            h = conv(h, graph, mask, edge_attr=edge_attr)
        return self._finish(h)

    def _finish(self, h: Tensor) -> Tensor:
        return norm_dropout(self.norms[-1], h, self.dropout, self.training, relu=self.task != "graph")

    def _post_activation(self, h: Tensor, graph: Graph, edge_attr: Tensor | None) -> Tensor:
        for layer, norm in enumerate(self.norms):
            out = norm(self._conv(layer, h, graph, edge_attr))
            last = layer == len(self.norms) - 1
            if not (self.block == "plain" and self.task == "graph" and last):
                out = F.relu(out)
            h = self._drop(out + h if self.block == "res" and layer > 0 else out)
        return h

    def _conv(self, layer: int, h: Tensor, graph: Graph, edge_attr: Tensor | None) -> Tensor:
        if layer in self.ckpt_layers and torch.is_grad_enabled():
            return checkpointed(self.convs[layer], h, graph, edge_attr)
        return self.convs[layer](h, graph, edge_attr)

    def _drop(self, h: Tensor) -> Tensor:
        return dropout(h, self.dropout, self.training)


class _PreActivation(nn.Module):
    """One group of a reversible layer: norm, ReLU, the given dropout mask, convolution."""

    def __init__(self, norm: nn.Module, conv: GENConv) -> None:
        super().__init__()
        self.norm = norm
        self.conv = conv

    def reset_parameters(self) -> None:
        reset(self.norm)
        reset(self.conv)

    def forward(self, h: Tensor, graph: Graph, mask: Tensor | None, edge_attr: Tensor | None = None) -> Tensor:
        h = F.relu(self.norm(h))
        return self.conv(h if mask is None else h * mask, graph, edge_attr)


def _virtual_node_mlp(channels: int, norm: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.Linear(channels, channels), build_norm(norm, channels), nn.ReLU()]
    return nn.Sequential(*layers)


def _groups(graph: Graph, batch: Tensor | None, batch_size: int | None) -> Graph:
    """The bipartite graph nodes -> graphs, over which pooling is a reduction like any other."""
    if batch is None:
        batch = graph.node_attrs.get("batch")
    if batch is None:
        batch = torch.zeros(graph.num_nodes, dtype=torch.int64, device=graph.device)
        batch_size = 1 if batch_size is None else batch_size
    if batch.dim() != 1 or batch.numel() != graph.num_nodes:
        raise ValueError(f"'batch' must have shape [{graph.num_nodes}], one graph per node (got {list(batch.shape)})")
    return Graph.from_segments(batch, batch_size)


def _check_option(name: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise ValueError(f"'{name}' must be one of {', '.join(map(repr, options))} (got {value!r})")
