"""DGG: each point chooses its neighbours, and how many."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import Linear

from graphkit.graph import Graph
from graphkit.graph.sampling.random import check_key
from graphkit.nn.latent.base import Choice, Metric, Request, Sampler, choose, edge_costs, pairs
from graphkit.ops.gumbel import gumbel_noise
from graphkit.ops.soft_rank import edge_ranks, soft_first_k

_CUT = 6.0  # beyond k + 6 w an edge weighs less than 1e-5 of its score


class DGG(Sampler):
    r"""The differentiable graph generator of `"Learning adaptive neighborhoods for graph neural networks"
    <https://arxiv.org/abs/2307.09065>`_ (Saha et al., ICCV 2023).

    Candidates are the edges of the given graph and a loop at each point, or, without a graph, the ``4 k`` cheapest
    pairs of each point. With scores :math:`p_{ij} = \exp(-s c_{ij})` and ranks r among the candidates of a point,

    .. math:: a_{ij} = p_{ij}\, f(r_{ij}; k_i), \qquad f(r; k) = 1 - \tfrac12 \big(1 + \tanh \tfrac{r - k}{w}\big),
        \qquad k_i = \mathrm{relu}(\sigma\, n_i + \mu) + 1

    where n is a small network of the point and of its degree: in the given graph, else the sum of its scores. Degrees
    are standardised by their mean :math:`\mu` and deviation :math:`\sigma` in the set; without a graph by k and k / 2.
    In training, noise lifts the scores that rank: :math:`p_{ij} e^{\tau g}`. Edges of rank beyond k + 6 w, which weigh
    nothing, are left out. Ranks are one sort of the edge list.

    Differences from the published code (read, not copied: its licence is CC BY-NC): sparse throughout; a hard choice
    that stays on the candidates; noise on the ranks, not off the graph.

    Args:
        hidden_channels: width of the network of degrees.
        width: w.
        hard: weights are 1 where f is above 1/2 and 0 elsewhere (such edges are left out), with the soft gradient.
    """

    def __init__(self, hidden_channels: int = 8, width: float = 1.0, *, hard: bool = False) -> None:
        super().__init__()
        if not width > 0:
            raise ValueError(f"'width' must be positive (got {width})")
        self.width = width
        self.hard = hard
        self.lin_point = Linear(-1, hidden_channels)
        self.lin_degree = Linear(hidden_channels + 1, 1)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.lin_point.reset_parameters()
        self.lin_degree.reset_parameters()

    def forward(self, z: Tensor, metric: Metric, request: Request) -> Choice:
        graph = self._candidates(z, metric, request)
        source, target = graph.edge_index
        log_score = -request.scale * edge_costs(z, metric, graph.edge_index)
        score = log_score.exp()
        k = self.degree(z, score, graph, request)
        lifted = log_score
        if request.noise_scale > 0:
            noise = gumbel_noise(check_key(request.seed), target, source)
            lifted = log_score + request.noise_scale * noise.to(score.dtype)
        share = soft_first_k(lifted, k, graph, self.width)
        soft = lifted.exp() * share if self.hard else score * share
        rank = edge_ranks(lifted, graph)
        kept = share > 0.5 if self.hard else rank <= k[target] + _CUT * self.width
        weight = 1 + (soft - soft.detach()) if self.hard else soft
        # Edges of a point together, best first, as of every sampler.
        order = (target * (graph.num_edges + 1) + rank).argsort()
        order = order[kept[order]]
        return Choice(graph.edge_index[:, order], log_score[order], weight[order])

    def degree(self, z: Tensor, score: Tensor, graph: Graph, request: Request) -> Tensor:
        """``[N]``: how many neighbours each point asks for, at least 1."""
        if request.graph is None:
            mean = z.new_full((z.size(0),), float(request.k))
            deviation = mean / 2
            own = z.new_zeros(z.size(0)).index_add(0, graph.edge_index[1], score.to(z.dtype))
        else:
            own = request.graph.in_degree.to(z.dtype)
            which = torch.zeros_like(graph.in_degree) if request.batch is None else request.batch
            sets = int(which.max()) + 1 if which.numel() else 0
            count = z.new_zeros(sets).index_add(0, which, torch.ones_like(own)).clamp(min=1)
            average = z.new_zeros(sets).index_add(0, which, own) / count
            mean = average[which]
            variance = z.new_zeros(sets).index_add(0, which, (own - mean).square()) / count
            deviation = variance.sqrt()[which].clamp(min=0.5)
        own_dtype = self.lin_degree.weight.dtype  # half, where the module is
        hidden = F.leaky_relu(self.lin_point(z.to(own_dtype)))
        standard = ((own - mean) / deviation).unsqueeze(1).to(own_dtype)
        n = self.lin_degree(torch.cat([hidden, standard], 1)).squeeze(1).to(z.dtype)
        return F.relu(deviation * n + mean) + 1

    def _candidates(self, z: Tensor, metric: Metric, request: Request) -> Graph:
        if request.graph is not None:
            if request.graph.num_nodes != z.size(0):
                raise ValueError(f"'edge_index' has {request.graph.num_nodes} nodes, but there are {z.size(0)} points")
            return request.graph.with_self_loops()
        nearest = Request(request.k, request.scale, request.batch, None, request.loop, approximate=request.approximate)
        index = choose(z, metric, nearest, min(4 * request.k, max(z.size(0), 1)))
        return Graph.from_edge_index(pairs(index), z.size(0), copy=False)
