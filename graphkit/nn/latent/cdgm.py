"""cDGM: soft edges by a threshold on the distance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.nn.latent.base import Choice, Metric, Request, Sampler, choose, edge_costs, pairs
from graphkit.ops.point_sets import point_sets
from graphkit.ops.snowflake import safe_norm


class ContinuousDGM(Sampler):
    r"""The continuous graph module of `"Differentiable graph module" <https://arxiv.org/abs/2002.04999>`_ (Kazi
    et al.).

    .. math:: A_{ij} = \mathrm{sigmoid}\big(s\, (|\theta| - c(\tilde z_i, \tilde z_j))\big), \qquad
        \tilde z = 0.9\, (z - \bar z) / \max_i \|z_i - \bar z\|

    over the k cheapest pairs of each point (which have the largest A), not all N^2; with k = N it is the whole matrix.
    Without noise; s is the scale of the layer. The published code takes the mean and the scale of the points from the
    first batch it sees and keeps them; here they are those of each set of points, so that nothing depends on what came
    before, and gradients flow through them.

    Args:
        threshold: :math:`\theta` at the start; learned.
    """

    def __init__(self, threshold: float = 0.5) -> None:
        super().__init__()
        self.start = threshold
        self.threshold = nn.Parameter(torch.tensor(float(threshold)))

    def reset_parameters(self) -> None:
        """Set the threshold to its start."""
        nn.init.constant_(self.threshold, self.start)

    def forward(self, z: Tensor, metric: Metric, request: Request) -> Choice:
        points = self.normalized(z, request.batch)
        nearest = Request(request.k, request.scale, request.batch, None, request.loop, approximate=request.approximate)
        edge_index = pairs(choose(points, metric, nearest))
        logit = request.scale * (self.threshold.abs() - edge_costs(points, metric, edge_index))
        return Choice(edge_index, F.logsigmoid(logit), torch.sigmoid(logit))

    @staticmethod
    def normalized(z: Tensor, batch: Tensor | None = None) -> Tensor:
        """Points about the mean of their set, the farthest at distance 0.9; ``[N, d] -> [N, d]``."""
        if z.size(0) == 0:
            return z
        which = torch.zeros(z.size(0), dtype=torch.int64, device=z.device)
        if batch is not None:
            sets = point_sets(z, batch)
            which[sets.users(torch.arange(z.size(0), device=z.device))] = sets.begin  # a number for each set
        count = torch.zeros_like(z[:, 0]).index_add(0, which, torch.ones_like(z[:, 0])).clamp(min=1)
        mean = torch.zeros_like(z).index_add(0, which, z) / count.unsqueeze(1)
        centred = z - mean[which]
        norm = safe_norm(centred)
        largest = torch.zeros_like(norm).scatter_reduce(0, which, norm, "amax")[which]
        return centred * (0.9 / torch.where(largest > 0, largest, 1.0)).unsqueeze(1)
