"""Labels on nodes, predicted by a network that infers its own graph."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.graph import Graph
from graphkit.nn.latent import LatentRun
from graphkit.train.tasks.base import summed_loss
from graphkit.train.tasks.node import NodeClassification


@dataclass(frozen=True)
class LatentGraphClassification(NodeClassification):
    """Node classification by a :class:`~graphkit.models.LatentGraphNetwork`, with the graph loss of its ``reward``.

    The loss is the task's plus ``graph_weight`` times the graph loss of the training nodes; the reward of a node is 1
    if it was classified rightly. Scores hold ``"homophily"`` besides: the share of the last graph's edges that join two
    nodes of one class. It looks at all labels, and is reported only: nothing is chosen by it.

    Args:
        graph_weight: see above.
    """

    graph_weight: float = 1.0

    def loss(self, model: nn.Module, batch: Data) -> tuple[Tensor, int]:
        """The summed loss over the training nodes, and the number of their labels."""
        run = _run(model, batch)
        train = self.mask(batch, "train").nonzero().view(-1)
        out, y = run.logits[train], batch.y[train]
        total, known = summed_loss(self.criterion, out, y)
        reward = getattr(model, "reward", None)
        if reward is not None and run.latents and self.graph_weight != 0:
            correct = (out.argmax(1) == y.view(-1)).to(out.dtype)
            total = total + self.graph_weight * known * reward(correct, run.latents, train)
        return total, known

    def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
        data = data.to(next(model.parameters()).device)
        run = _run(model, data)
        result = {}
        for split in splits:
            mask = self.mask(data, split)
            result[split] = float(self.metric(run.logits[mask], data.y[mask]))
        graph = run.latents[-1].graph if run.latents else Graph.from_edge_index(data.edge_index, data.num_nodes)
        source, target = graph.edge_index
        labels = data.y.view(-1)
        others = source != target
        result["homophily"] = float((labels[source] == labels[target])[others].float().mean()) if others.any() else 0.0
        return result


def _run(model: nn.Module, data: Data) -> LatentRun:
    run = getattr(model, "run", None)
    if run is None:
        raise TypeError(
            f"'model' must have run(x, edge_index) that gives a LatentRun, as graphkit.models.LatentGraphNetwork has "
            f"(got {type(model).__name__})"
        )
    result: LatentRun = run(data.x, data.edge_index)
    return result
