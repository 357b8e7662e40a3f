"""LatentGraphNetwork: convolutions on graphs that the network infers itself."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import EdgeConv, GATConv, GCNConv
from torch_geometric.nn.inits import reset

from graphkit.graph import as_graph
from graphkit.nn.latent import Euclidean, GraphReward, Latent, LatentGraph, LatentRun, Metric, Sampler

MakeConv = Callable[[int, int], nn.Module]


class LatentGraphNetwork(nn.Module):
    r"""Graph convolutions, each on the last graph that was inferred before it: the network of `"Differentiable graph
    module" <https://arxiv.org/abs/2002.04999>`_ (Kazi et al.), with any metric.

    .. math:: h = \mathrm{MLP}(x), \qquad G_l = \mathrm{latent}_l(f_l), \qquad h_{l+1} = \mathrm{relu}(\mathrm{conv}_l
        (h_l, G_l)), \qquad f_0 = \bar h_0, \qquad f_{l+1} = [z_l, \bar h_{l+1}]

    where z are the points of the graph and a bar stops the gradient: encoders see points and features so far and, as
    published, learn from the graph loss alone (:class:`~graphkit.nn.GraphReward`, trained by
    :class:`graphkit.train.tasks.LatentGraphClassification`).
    With ``weighted``, the convolutions use the edges' weights, so that the task's loss trains encoders and metric too.
    A layer without points of its own keeps the last graph; before the first inferred one, that is the given graph.

    Args:
        in_channels: width of the features.
        hidden_channels: widths of the convolutions, e.g. ``(32, 16, 8)``.
        out_channels: classes.
        latent_channels: for each convolution the widths of the MLP that makes its points, or None for no new graph;
            default: ``(16, 4)`` for the first. Fewer entries than convolutions stand for None.
        metric: a metric, of which every graph gets a copy, or what makes one, e.g. ``NeuralSnowflake``.
        k: neighbours per point.
        conv: ``"gcn"``, ``"edge"`` (EdgeConv with maximum), ``"gat"``, or a function from widths to a layer with
            ``forward(x, edge_index)``, and ``edge_weight`` third if ``weighted``.
        encoder: of points: ``"mlp"``, or ``"gcn"`` and ``"gat"``, one convolution on the given graph.
        pre_channels: width of the first MLP.
        head_channels: hidden widths of the last MLP.
        dropout: before every convolution.
        weighted: see above.
        sampler: as :class:`~graphkit.nn.LatentGraph`.
        reward: the graph loss, or None.
        **latent: further arguments of :class:`~graphkit.nn.LatentGraph`: ``noise``, ``loop``, ``compat``, ...

    Shapes:
        x ``[N, in_channels]`` -> logits ``[N, out_channels]``

    Raises:
        ValueError: if widths are missing or a name is unknown.

    Unlike the published code, one pass at evaluation, without noise, in the place of ten with it.

    Example:
        >>> import torch
        >>> from graphkit.nn import NeuralSnowflake
        >>> model = LatentGraphNetwork(8, (16, 8), 3, metric=NeuralSnowflake, k=2)
        >>> model(torch.randn(6, 8)).shape
        torch.Size([6, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: Sequence[int],
        out_channels: int,
        latent_channels: Sequence[Sequence[int] | None] = ((16, 4),),
        metric: Metric | Callable[[], Metric] = Euclidean,
        k: int = 5,
        *,
        conv: Literal["gcn", "edge", "gat"] | MakeConv = "gcn",
        encoder: Literal["mlp", "gcn", "gat"] = "mlp",
        pre_channels: int = 32,
        head_channels: Sequence[int] = (8,),
        dropout: float = 0.0,
        weighted: bool = False,
        sampler: str | Callable[[], Sampler] = "ddgm",
        reward: GraphReward | None = None,
        **latent: Any,
    ) -> None:
        super().__init__()
        if not hidden_channels or len(latent_channels) > len(hidden_channels):
            raise ValueError(
                f"'hidden_channels' must name a width per convolution, at least as many as 'latent_channels' "
                f"(got {list(hidden_channels)} and {list(latent_channels)})"
            )
        if weighted and conv in ("edge", "gat"):
            raise ValueError(f"weighted=True needs a convolution with edge weights (got conv={conv!r})")
        self.in_channels = in_channels
        self.dropout = dropout
        self.weighted = weighted
        self.reward = reward
        self.pre = _mlp([in_channels, pre_channels], last=True)
        self.latents = nn.ModuleList()
        self.convs = nn.ModuleList()
        width, seen = pre_channels, pre_channels
        for number, channels in enumerate(hidden_channels):
            points = latent_channels[number] if number < len(latent_channels) else None
            if points is None:
                self.latents.append(nn.Identity())  # keeps the last graph
            else:
                make = _encoder(encoder, [seen, *points])
                own = copy.deepcopy(metric) if isinstance(metric, Metric) else metric()
                drawn = sampler if isinstance(sampler, str) else sampler()
                self.latents.append(LatentGraph(make, own, k, sampler=drawn, **latent))
                seen = points[-1]
            self.convs.append(_conv(conv, width, channels))
            width, seen = channels, seen + channels
        self.head = _mlp([width, *head_channels, out_channels], last=False)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        for module in (self.pre, *self.latents, *self.convs, self.head, self.reward):
            reset(module)

    def run(
        self,
        x: Tensor,
        edge_index: Any = None,
        batch: Tensor | None = None,
        *,
        seed: int | None = None,
        noise: Sequence[Tensor] | None = None,
    ) -> LatentRun:
        """Logits, and the graphs that were inferred.

        Args:
            x: features.
            edge_index: the given graph, where an encoder, a sampler or a first convolution uses one.
            batch: the set of each point.
            seed: of the noise of all graphs.
            noise: ``[N, N]`` for each inferred graph, in the place of draws; for tests.
        """
        if noise is not None and seed is not None:
            raise ValueError("give 'seed' or 'noise', not both")
        given = None if edge_index is None else as_graph(edge_index, (x.size(0), x.size(0))).edge_index
        h = self.pre(x)
        features = h.detach()
        edges, weight = given, None
        latents: list[Latent] = []
        for latent, conv in zip(self.latents, self.convs, strict=True):
            if isinstance(latent, LatentGraph):
                own = None if seed is None else (seed + len(latents)) % 2**64
                injected = None if noise is None else noise[len(latents)]
                found = latent(features, given, batch, seed=own, noise=injected)
                latents.append(found)
                features = found.embedding
                edges, weight = found.graph.edge_index, found.weight.to(h.dtype)
            if edges is None:
                raise ValueError("'edge_index' must be given: the first convolution comes before any inferred graph")
            dropped = F.dropout(h, self.dropout, self.training)
            out = conv(dropped, edges, weight) if self.weighted and weight is not None else conv(dropped, edges)
            h = F.relu(out)
            features = torch.cat([features, h.detach()], 1)
        return LatentRun(self.head(h), tuple(latents))

    def forward(self, x: Tensor, edge_index: Any = None, batch: Tensor | None = None) -> Tensor:
        """Logits; see :meth:`run`."""
        return self.run(x, edge_index, batch).logits


def _mlp(widths: Sequence[int], *, last: bool) -> nn.Sequential:
    """Linear layers with LeakyReLU of slope 0.1 between, and with ``last`` after the last one."""
    modules: list[nn.Module] = []
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        modules.append(nn.Linear(before, after))
        if last or number < len(widths) - 2:
            modules.append(nn.LeakyReLU(0.1))
    return nn.Sequential(*modules)


def _encoder(name: str, widths: Sequence[int]) -> nn.Module:
    if name == "mlp":
        return _mlp(widths, last=False)
    if name not in ("gcn", "gat"):
        raise ValueError(f"unknown encoder (got {name!r}, expected 'mlp', 'gcn' or 'gat')")
    return _conv(name, widths[0], widths[-1])


def _conv(name: str | MakeConv, before: int, after: int) -> nn.Module:
    if not isinstance(name, str):
        return name(before, after)
    if name == "gcn":
        return GCNConv(before, after)
    if name == "gat":
        return GATConv(before, after)
    if name == "edge":
        return EdgeConv(_mlp([2 * before, after], last=False), aggr="max")
    raise ValueError(f"unknown convolution (got {name!r}, expected 'gcn', 'edge', 'gat' or a function)")
