"""Which links the next step will have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn

from graphkit.graph.temporal import SnapshotSequence, historical_negatives, random_negatives, target_negatives
from graphkit.train.ranking import PairRanking, mrr_against, rank_all_pairs
from graphkit.train.tasks.temporal.base import TemporalTask
from graphkit.train.tasks.temporal.labels import weighted_cross_entropy


@dataclass
class TemporalLinkPrediction(TemporalTask):
    r"""Tells the edges of step t + 1 from other pairs, by the embeddings of step t.

    The loss is the cross entropy of two classes, each sample times the weight of its class, averaged over samples (not
    over weights). Training negatives, ``negatives`` times as many as edges:

    - ``"smart"``, as published: sources drawn from the sources of the label edges (which tells which nodes will be
      active: training sees it, evaluation does not), targets from the nodes active in the window.
    - ``"uniform"``: both from all nodes.
    - ``"historical"``: hard ones, pairs that were connected before and are not at t + 1.

    Evaluation ranks *all* ordered pairs, nodes with themselves and nodes never seen among them, in chunks: "MAP",
    average precision over all pairs of a step, and "MRR"; both are means over the steps that have an edge
    (:func:`graphkit.train.ranking.rank_all_pairs`). Nodes with equal embeddings, such as all that are inactive, are
    scored once.

    Args:
        negatives: per positive.
        sampling: ``"smart"``, ``"uniform"`` or ``"historical"``.
        class_weights: of no edge and edge.
        select: which score chooses the epoch, ``"MAP"`` or ``"MRR"``.
        ranked_against: rank each link against so many other targets of its source, too, half of them past ones, as the
            Temporal Graph Benchmark does: "MRR against k" (:func:`~graphkit.graph.temporal.target_negatives`).
    """

    negatives: float = 100.0
    sampling: Literal["smart", "uniform", "historical"] = "smart"
    class_weights: tuple[float, float] = (0.1, 0.9)
    select: Literal["MAP", "MRR"] = "MAP"
    ranked_against: int | None = None

    horizon: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling not in ("smart", "uniform", "historical"):
            raise ValueError(f"sampling: got {self.sampling!r}, expected 'smart', 'uniform' or 'historical'")
        if self.select not in ("MAP", "MRR"):
            raise ValueError(f"select: got {self.select!r}, expected 'MAP' or 'MRR'")
        if not self.negatives > 0:
            raise ValueError(f"negatives: got {self.negatives}, expected a positive number per edge")

    def step_loss(
        self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int, generator: Generator
    ) -> tuple[Tensor, int]:
        positive = data.edges(step + 1)
        negative = self._negatives(data, step, positive, generator)
        pairs = torch.cat([positive, negative], 1).to(z.device)
        label = torch.zeros(pairs.size(1), dtype=torch.long, device=z.device)
        label[: positive.size(1)] = 1
        return weighted_cross_entropy(model.head(z, pairs), label, self.class_weights)  # type: ignore[operator]

    def _negatives(self, data: SnapshotSequence, step: int, positive: Tensor, generator: Generator) -> Tensor:
        count = int(self.negatives * positive.size(1))
        if self.sampling == "historical":
            return historical_negatives(data.edges_between(0, step + 1), positive, data.num_nodes, count, generator)
        if self.sampling == "uniform":
            return random_negatives(positive, data.num_nodes, count, generator)
        window = data.history(step, min(self.history, step) + 1)
        active = torch.cat([data.edges(t).unique() for t in window.times])
        return random_negatives(positive, data.num_nodes, count, generator, sources=positive[0], targets=active)

    def measure(self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int) -> _Measured | None:
        positive = data.edges(step + 1).to(z.device)
        if positive.size(1) == 0:
            return None
        # Multigraphs are possible: a pair counts once.
        positive = torch.unique(positive, dim=1)
        alike, node, copies = torch.unique(z, dim=0, return_inverse=True, return_counts=True)
        head: Any = model.head
        ranking = rank_all_pairs(
            lambda rows: head.margins(alike, rows), positive, data.num_nodes, copies=copies, node=node
        )
        if self.ranked_against is None:
            return _Measured(ranking, positive.size(1), 0.0)
        # The same negatives at every evaluation of a step.
        generator = torch.Generator().manual_seed(step)
        past = data.edges_between(0, step + 1).to(z.device)
        target = target_negatives(past, positive, data.num_nodes, self.ranked_against, generator)
        pairs = torch.stack([positive[0].repeat_interleave(self.ranked_against), target.flatten()])
        true, false = (_margin(head(z, both)) for both in (positive, pairs))
        return _Measured(ranking, positive.size(1), mrr_against(true, false.view(target.shape)))

    def combine(self, measured: list[_Measured]) -> dict[str, float]:
        pairs = sum(part.ranking.pairs for part in measured)
        named = {
            "MAP": sum(part.ranking.map * part.ranking.pairs for part in measured) / pairs,
            "MRR": sum(part.ranking.mrr * part.ranking.pairs for part in measured) / pairs,
        }
        if self.ranked_against is not None:
            links = sum(part.links for part in measured)
            named[f"MRR against {self.ranked_against}"] = sum(part.against * part.links for part in measured) / links
        return {self.select: named[self.select]} | named


class _Measured(NamedTuple):
    """Of one step: the ranks among all pairs, the number of links, and their mean reciprocal rank among negatives."""

    ranking: PairRanking
    links: int
    against: float


def _margin(logits: Tensor) -> Tensor:
    return logits[:, -1] - logits[:, 0]
