"""GENConv, the convolution of DeeperGCN."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch_geometric.nn import Linear
from torch_geometric.nn.aggr import Aggregation, MultiAggregation
from torch_geometric.nn.inits import reset
from torch_geometric.typing import Adj, OptPairTensor, OptTensor, Size

from graphkit.graph import Graph
from graphkit.nn.aggr import aggregate, resolve_aggregation
from graphkit.nn.conv.base import FusedMessagePassing, edge_features
from graphkit.nn.norm import MessageNorm, build_norm


class GENConv(FusedMessagePassing):
    r"""The GENeralized graph convolution of `"DeeperGCN: All You Need to Train Deeper GCNs"
    <https://arxiv.org/abs/2006.07739>`_, section 3.

    .. math::
        m_{ji} = \mathrm{relu}(W_{src} x_j + W_{edge} e_{ji}) + \epsilon, \qquad
        a_i = \mathrm{AGG}_{j \in N(i)}\, m_{ji}, \qquad
        y_i = \mathrm{MLP}\big(W_{dst} x_i + [\mathrm{MsgNorm}](a_i)\big)

    Messages are aggregated in one pass over the edges and never stored (see
    :class:`~graphkit.nn.conv.base.FusedMessagePassing` for when they are). No self loops are added; parallel
    edges are separate messages; a node without neighbours has :math:`a_i = 0`.

    Drop-in for PyG's ``GENConv``: arguments, defaults, ``state_dict`` keys and values are the same for the
    softmax family, sum, mean, min and max. Beyond PyG's: exact power means; ``softmax_sum`` and
    ``power_sum``; a list of aggregations gets its parameters; an edge encoder also where ``edge_dim ==
    out_channels``; MsgNorm for ``(x_src, None)``; the published layer's form (``project=False``); a
    :class:`~graphkit.Graph` as topology.

    Differences from the published code: with fixed ``t``, ``"softmax"`` has the full gradient (theirs is
    ``"softmax_sg"``), power means have no clamps (theirs: ``aggr_kwargs=dict(compat="official")``), and
    biases are off unless ``bias=True``.

    Args:
        in_channels: size of each input sample, a pair for sources and targets, or :obj:`-1` to derive the
            size from the first input(s) to the forward method.
        out_channels: size of each output sample.
        aggr: ``"softmax"``, ``"softmax_sg"`` (weights constant in backward), ``"powermean"`` (``"power"``),
            ``"softmax_sum"``, ``"softmax_sum_sg"``, ``"power_sum"`` (times :math:`n_i^{\sigma(y)}`), any
            aggregation of PyG by name or as a module, or a list of these.
        t: initial inverse temperature of the softmax family.
        learn_t: learn it, one per layer (``aggr_kwargs=dict(learn=True, channels=F)``: one per channel).
        p: initial power of the power means.
        learn_p: learn it.
        msg_norm: give the aggregated message the length of the node's features
            (:class:`~graphkit.nn.MessageNorm`). Targets without features, ``(x_src, None)``, count as length
            1.
        learn_msg_scale: learn the scale of ``msg_norm``.
        norm: ``"batch"``, ``"layer"``, ``"instance"`` or ``None``, after each hidden layer of the MLP.
        num_layers: layers of the MLP; 1 is a single linear map.
        expansion: width of the MLP's hidden layers, in multiples of its input's width.
        eps: the constant in the messages. It must be positive for power means.
        bias: whether the linear maps learn an additive bias. The default is ``False``, as in PyG's code (its
            documentation says ``True``); the published models use ``True``.
        edge_dim: width of the edge features, or -1. ``None``: they already have the width of the messages. A
            linear map, ``lin_edge``, is learnt if ``edge_dim`` differs from that width.
        y: initial logit of the degree's exponent in the ``_sum`` aggregations; 0 means :math:`\sqrt{n_i}`.
        learn_y: learn it.
        edge_encoder: ``True`` learns ``lin_edge`` for an ``edge_dim`` of any width, as the published models
            do. A module maps edge features (of any dtype) to the width of the messages; it becomes
            ``lin_edge`` as it is, and :meth:`reset_parameters` resets it.
        project: ``True`` (PyG's form): where widths differ, nodes are mapped to ``out_channels`` before
            aggregation, sources and targets by different maps. ``False`` (the published form): aggregation
            has the width of the input, and the MLP maps it to ``out_channels``; sources and targets must then
            have the same width.
        **kwargs: ``aggr_kwargs``, ``node_dim`` and ``decomposed_layers`` of PyG's ``MessagePassing``.

    Shapes:
        x ``[N, F_in]`` or ``([N_src, F_src], [N_dst, F_dst])``; edge_index ``[2, E]``, ``Graph``,
        ``EdgeIndex`` or transposed sparse adjacency; edge_attr ``[E, edge_dim]`` -> ``[N, F_out]`` or
        ``[N_dst, F_out]``

    Raises:
        ValueError: if options contradict each other, or sizes or widths disagree.

    Example:
        >>> import torch
        >>> from graphkit.nn import GENConv
        >>> conv = GENConv(16, 32, aggr="softmax", learn_t=True, edge_dim=8)
        >>> conv
        GENConv(16, 32, aggr=softmax)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> conv(torch.randn(4, 16), edge_index, torch.randn(3, 8)).shape
        torch.Size([4, 32])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        aggr: str | list[str] | Aggregation | None = "softmax",
        t: float = 1.0,
        learn_t: bool = False,
        p: float = 1.0,
        learn_p: bool = False,
        msg_norm: bool = False,
        learn_msg_scale: bool = False,
        norm: str | None = "batch",
        num_layers: int = 2,
        expansion: int = 2,
        eps: float = 1e-7,
        bias: bool = False,
        edge_dim: int | None = None,
        *,
        y: float = 0.0,
        learn_y: bool = False,
        edge_encoder: bool | nn.Module = False,
        project: bool = True,
        **kwargs: Any,
    ) -> None:
        module = resolve_aggregation(
            aggr, t=t, learn_t=learn_t, p=p, learn_p=learn_p, y=y, learn_y=learn_y, eps=eps,
            aggr_kwargs=kwargs.pop("aggr_kwargs", None),
        )  # fmt: skip
        super().__init__(module, **kwargs)
        if aggr is not None:
            self.aggr = [str(a) for a in aggr] if isinstance(aggr, (list, tuple)) else str(aggr)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.eps = eps

        src, dst = in_channels if isinstance(in_channels, (tuple, list)) else (in_channels, in_channels)
        if not project and (src != dst or src < 0):
            raise ValueError(f"'in_channels' must be one known width with project=False (got {in_channels})")
        width = out_channels if project else src
        self._width = width

        # The order of the submodules is PyG's, and so are their names.
        if src != width:
            self.lin_src = Linear(src, width, bias=bias)
        if isinstance(edge_encoder, nn.Module):
            edge_dim = None
        if edge_dim is not None and (edge_encoder or edge_dim != width):
            self.lin_edge: nn.Module = Linear(edge_dim, width, bias=bias)
        elif edge_encoder is True:
            raise ValueError("'edge_dim' must be given with edge_encoder=True (got None)")
        aggr_width = module.get_out_channels(width) if isinstance(module, MultiAggregation) else width
        if aggr_width != width:
            self.lin_aggr_out = Linear(aggr_width, width, bias=bias)
        if dst != width:
            self.lin_dst = Linear(dst, width, bias=bias)
        self.mlp = _mlp([width, *[width * expansion] * (num_layers - 1), out_channels], norm, bias)
        if msg_norm:
            self.msg_norm = MessageNorm(learn_msg_scale)
        self.reset_parameters()
        if isinstance(edge_encoder, nn.Module):  # after the reset: it keeps the weights it came with
            self.lin_edge = edge_encoder

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        super().reset_parameters()
        for name in ("lin_src", "lin_edge", "lin_aggr_out", "lin_dst", "mlp", "msg_norm"):
            reset(getattr(self, name, None))

    def forward(
        self,
        x: Tensor | OptPairTensor,
        edge_index: Adj | Graph,
        edge_attr: OptTensor = None,
        size: Size = None,
    ) -> Tensor:
        """Run the layer; arguments and shapes as in the class."""
        graph = self.graph_of(x, edge_index, size)
        edge_attr = edge_features(graph, edge_index, edge_attr)
        src, dst = (x, x) if isinstance(x, Tensor) else x
        if hasattr(self, "lin_src"):
            src = self.lin_src(src)
        if edge_attr is not None:
            edge_attr = self._encode(edge_attr)

        # propagate_type: (x: OptPairTensor, edge_attr: OptTensor)
        out = self.propagate(graph, x=(src, dst), edge_attr=edge_attr)

        if hasattr(self, "lin_aggr_out"):
            out = self.lin_aggr_out(out)
        if hasattr(self, "msg_norm"):
            out = self.msg_norm(dst, out)
        if dst is not None:
            out = out + (self.lin_dst(dst) if hasattr(self, "lin_dst") else dst)
        return self.mlp(out)

    def _encode(self, edge_attr: Tensor) -> Tensor:
        edge_attr = edge_attr[:, None] if edge_attr.dim() == 1 else edge_attr
        if hasattr(self, "lin_edge"):
            edge_attr = self.lin_edge(edge_attr)
        if edge_attr.size(-1) != self._width:
            raise ValueError(
                f"'edge_attr' must have {self._width} channels, as the messages (got {edge_attr.size(-1)}); "
                f"pass edge_dim={edge_attr.size(-1)} to learn a map"
            )
        return edge_attr

    def message(self, x_j: Tensor, edge_attr: OptTensor) -> Tensor:
        """The message of every edge, for those who want to see it."""
        return (x_j if edge_attr is None else x_j + edge_attr).relu() + self.eps

    def message_and_aggregate(self, edge_index: Graph, x: OptPairTensor, edge_attr: OptTensor) -> Tensor:
        """The same messages, aggregated in one pass without being written."""
        # Operators have nodes and edges first. Edge features are shared by the batch dimensions of static
        # nodes.
        src = x[0].movedim(self.node_dim, 0)
        if edge_attr is not None and src.dim() > 2:
            edge_attr = edge_attr.movedim(self.node_dim, 0)
            edge_attr = edge_attr.reshape(edge_attr.size(0), *[1] * (src.dim() - edge_attr.dim()), *edge_attr.shape[1:])
            edge_attr = edge_attr.expand(-1, *src.shape[1:])
        out = aggregate(self.aggr_module, src, edge_index, edge_attr, message="add_relu", eps=self.eps)
        return out.movedim(0, self.node_dim)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, aggr={self.aggr})"


def _mlp(channels: list[int], norm: str | None, bias: bool) -> nn.Sequential:
    """Linear maps with norm and ReLU between them; positions of the parts as in PyG's ``state_dict``."""
    layers: list[nn.Module] = []
    for i in range(1, len(channels)):
        layers.append(Linear(channels[i - 1], channels[i], bias=bias))
        if i < len(channels) - 1:
            if norm is not None:
                layers.append(build_norm(norm, channels[i]))
            layers += [nn.ReLU(), nn.Dropout(0.0)]
    return nn.Sequential(*layers)
