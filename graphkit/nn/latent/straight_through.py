"""Straight-through: drawn edges with weights that are 1 forward and their probability backward."""

from __future__ import annotations

from torch import Tensor

from graphkit.nn.latent.base import Choice, Metric, Request, Sampler, choose, edge_costs, pairs


class StraightThrough(Sampler):
    """Neighbours as :class:`~graphkit.nn.latent.DiscreteDGM` draws them; weights are 1 forward and p backward.

    So the task's loss trains the metric directly, with no graph loss: biased, as only drawn edges get a gradient
    (Bengio et al., "Estimating or propagating gradients through stochastic neurons", arXiv 1308.3432).
    """

    def forward(self, z: Tensor, metric: Metric, request: Request) -> Choice:
        edge_index = pairs(choose(z, metric, request))
        log_prob = -request.scale * edge_costs(z, metric, edge_index)
        p = log_prob.exp()
        return Choice(edge_index, log_prob, 1 + (p - p.detach()))
