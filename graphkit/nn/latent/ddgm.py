"""dDGM: a fixed number of neighbours per point, drawn without replacement."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from graphkit.nn.latent.base import Choice, Metric, Request, Sampler, choose, edge_costs, pairs
from graphkit.ops.plackett_luce import log_sum_of_rest, plackett_luce_log_prob


class DiscreteDGM(Sampler):
    r"""The discrete graph module of `"Differentiable graph module" <https://arxiv.org/abs/2002.04999>`_ (Kazi et al.).

    Neighbours by Gumbel top-k (:func:`graphkit.ops.gumbel_topk`). ``log_prob`` is :math:`-s c_{ij}`, and the weight
    :math:`p_{ij} = \exp(-s c_{ij})`, as published: probabilities of edges one by one, not normalised over a row.

    Args:
        log_prob: ``"edge"``, as above; ``"plackett-luce"``: the log-probability of each choice in the ordered draw,
            given those before, whose gradient is an unbiased estimate with a reward
            (:class:`~graphkit.nn.latent.GraphReward`). It needs the sum over each row: time O(N^2), memory O(N).
    """

    def __init__(self, log_prob: Literal["edge", "plackett-luce"] = "edge") -> None:
        super().__init__()
        if log_prob not in ("edge", "plackett-luce"):
            raise ValueError(f"'log_prob' must be 'edge' or 'plackett-luce' (got {log_prob!r})")
        self.log_prob = log_prob

    def forward(self, z: Tensor, metric: Metric, request: Request) -> Choice:
        index = choose(z, metric, request)
        edge_index = pairs(index)
        log_prob = -request.scale * edge_costs(z, metric, edge_index)
        weight = log_prob.exp()
        if self.log_prob == "plackett-luce":
            log_prob = self._of_draw(z, metric, request, index, log_prob)
        return Choice(edge_index, log_prob, weight)

    def _of_draw(self, z: Tensor, metric: Metric, request: Request, index: Tensor, logits: Tensor) -> Tensor:
        # Without noise the draw is the limit of a small scale; its law is taken at the scale 1.
        scale = request.noise_scale or 1.0
        there = index >= 0
        chosen = torch.full(index.shape, -float("inf"), dtype=logits.dtype, device=logits.device)
        chosen[there] = logits / scale
        rest = log_sum_of_rest(z, index, metric.cost, request.scale / scale, batch=request.batch, loop=request.loop)
        return plackett_luce_log_prob(chosen, rest)[there]

    def extra_repr(self) -> str:
        return f"log_prob={self.log_prob!r}"
