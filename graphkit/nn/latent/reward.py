"""The graph loss: edges of points that did better than usual become likelier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from graphkit.nn.latent.latent_graph import Latent


class GraphReward(nn.Module):
    r"""The graph loss of `"Differentiable graph module" <https://arxiv.org/abs/2002.04999>`_ (Kazi et al.), a policy
    gradient with a baseline.

    .. math:: L = \mathrm{mean}_i\, (b_i - r_i)\, \mathrm{mean}_{j, l}\, g(\log p^{(l)}_{ij}), \qquad
        b_i \leftarrow \beta\, b_i + (1 - \beta)\, r_i

    with the reward r of a point (1 if it was classified rightly) and its running mean b, over the edges j that the
    point drew in each latent graph l. The baseline is a buffer: it moves with the module and is in its checkpoints. It
    is updated by each call in training mode, after the loss.

    Args:
        num_nodes: points of the one graph that is trained on, a baseline for each; None: one for all, for other points
            in every batch.
        beta: how slowly the baseline follows.
        start: of the baseline.
        form: ``"prob"``, g = exp, as the published code; ``"log_prob"``, g the identity, as the paper: the gradient of
            the expected reward where ``log_prob`` is that of the draw
            (``DiscreteDGM(log_prob="plackett-luce")``).

    Example:
        >>> reward = GraphReward(2)
        >>> reward.baseline
        tensor([0.5000, 0.5000])
    """

    baseline: Tensor

    def __init__(
        self,
        num_nodes: int | None = None,
        beta: float = 0.95,
        start: float = 0.5,
        form: Literal["prob", "log_prob"] = "prob",
    ) -> None:
        super().__init__()
        if form not in ("prob", "log_prob"):
            raise ValueError(f"'form' must be 'prob' or 'log_prob' (got {form!r})")
        if not 0 <= beta <= 1:
            raise ValueError(f"'beta' must lie between 0 and 1 (got {beta})")
        self.per_node = num_nodes is not None
        self.beta = beta
        self.start = start
        self.form = form
        self.register_buffer("baseline", torch.full((1 if num_nodes is None else num_nodes,), float(start)))

    def reset_parameters(self) -> None:
        """Set the baseline to its start."""
        self.baseline.fill_(self.start)

    def forward(self, reward: Tensor, latents: Sequence[Latent], nodes: Tensor | None = None) -> Tensor:
        """The loss of some points.

        Args:
            reward: ``[n]``, from 0 to 1.
            latents: the latent graphs of this forward pass.
            nodes: int64 ``[n]``, which points; None: all.

        Returns:
            A number; 0 without latent graphs.

        Raises:
            ValueError: if the number of points is not that of the baselines.
        """
        where: Tensor | slice = slice(None) if nodes is None else nodes
        baseline = self.baseline[where] if self.per_node else self.baseline
        if baseline.numel() not in (1, reward.numel()):
            raise ValueError(
                f"'reward' must hold {baseline.numel()} points, as many as the baseline (got {len(reward)})"
            )
        advantage = (baseline - reward).detach()
        terms = []
        for latent in latents:
            value = latent.log_prob.exp() if self.form == "prob" else latent.log_prob
            target = latent.graph.edge_index[1]
            total = value.new_zeros(latent.graph.num_nodes).index_add(0, target, value)
            terms.append((total / latent.graph.in_degree.clamp(min=1))[where])
        loss = (advantage * torch.stack(terms).mean(0)).mean() if terms else advantage.sum() * 0
        if self.training:
            with torch.no_grad():
                new = reward.to(self.baseline.dtype)
                if self.per_node:
                    self.baseline[where] = self.beta * baseline + (1 - self.beta) * new
                else:
                    self.baseline.lerp_(new.mean().view(1), 1 - self.beta)
        return loss
