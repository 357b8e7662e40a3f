"""Predicting missing edges of one graph: the whole graph is encoded in each step, pairs come in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch_geometric.data import Data

from graphkit.train.distributed import current_share

# From the logits of a split's true and false pairs to named numbers, higher is better.
RankMetric = Callable[[Tensor, Tensor], Mapping[str, float]]


def hits(k: int) -> RankMetric:
    r"""Hits@K: the share of true pairs that score above the K-th highest of the false ones.

    Args:
        k: a positive number; with fewer than ``k`` false pairs every true one counts.

    Example:
        >>> hits(2)(torch.tensor([3.0, 0.5]), torch.tensor([2.0, 1.0, 0.0]))
        {'Hits@2': 0.5}
    """
    if k < 1:
        raise ValueError(f"k: got {k}, expected at least 1")

    def metric(positive: Tensor, negative: Tensor) -> dict[str, float]:
        if negative.numel() < k:
            return {f"Hits@{k}": 1.0}
        threshold = negative.topk(k).values[-1]
        return {f"Hits@{k}": float((positive > threshold).double().mean())}

    return metric


@dataclass(frozen=True)
class LinkPrediction:
    r"""Tells the edges of a graph from random pairs.

    .. math::
        L = -\frac{1}{B} \sum_{(u, v)} \log \sigma(s_{uv}) - \frac{1}{B} \sum_{(u', v')} \log(1 - \sigma(s_{u'v'}))

    over a batch of true pairs and as many pairs drawn uniformly (not filtered, as the published code does).

    The model has ``encode(x, edge_index, edge_attr) -> z`` and ``decode(z, pairs [2, B]) -> logits [B]``, as
    :class:`graphkit.models.LinkModel` has. ``data`` holds ``edge_index``, the edges that messages take (training edges
    only), ``x`` (or None, if the model has a table of its own), ``num_nodes`` and ``split_edge``, in OGB's layout:
    ``{"train": {"edge": [P, 2]}, "valid": {"edge", "edge_neg"}, "test": {"edge", "edge_neg"}}``.

    Args:
        metric: from the logits of true and false pairs to named scores, e.g. :func:`hits`. The training score compares
            as many training pairs as there are validation pairs with the validation set's false ones, as OGB does.
        select: the name of the score that chooses the best epoch; default: the first one.
        batch_size: true pairs per step, over all processes together.
        eval_batch_size: pairs scored at once in an evaluation.
    """

    metric: RankMetric = field(default_factory=lambda: hits(50))
    select: str | None = None
    batch_size: int = 65536
    eval_batch_size: int = 2**18

    def __post_init__(self) -> None:
        for name in ("batch_size", "eval_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected at least 1")

    @property
    def divided(self) -> bool:
        return False  # every process encodes the whole graph

    def check(self, data: Data) -> None:
        if data.get("edge_index") is None:
            raise ValueError("data: got no 'edge_index', expected the training edges that messages take")
        splits = data.get("split_edge")
        needed = {"train": ("edge",), "valid": ("edge", "edge_neg"), "test": ("edge", "edge_neg")}
        for split, names in needed.items():
            for name in names:
                pairs = None if splits is None else splits.get(split, {}).get(name)
                if pairs is None or pairs.dim() != 2 or pairs.size(1) != 2 or pairs.size(0) == 0:
                    got = None if pairs is None else list(pairs.shape)
                    raise ValueError(f"data: got split_edge['{split}']['{name}'] = {got}, expected pairs [P, 2]")
                if int(pairs.min()) < 0 or int(pairs.max()) >= data.num_nodes:
                    raise ValueError(
                        f"data: got nodes {int(pairs.min())} to {int(pairs.max())} in split_edge['{split}']['{name}'], "
                        f"expected 0 to {data.num_nodes - 1}"
                    )

    def prepare(self, data: Data, device: torch.device) -> Data:
        self.check(data)
        return data.to(device)

    def batches(self, data: Data, generator: Generator) -> Iterable[tuple[Data, Tensor, Tensor]]:
        """(the graph, true pairs ``[2, B]``, false pairs ``[2, B]``), of which this process takes its share."""
        pairs = data.split_edge["train"]["edge"]
        share = current_share()
        for chunk in torch.randperm(pairs.size(0), generator=generator).split(self.batch_size):
            false = torch.randint(data.num_nodes, (chunk.numel(), 2), generator=generator)
            true = pairs[share.of(chunk).to(pairs.device)]
            yield data, true.t(), share.of(false).to(pairs.device).t()

    def loss(self, model: nn.Module, batch: tuple[Data, Tensor, Tensor]) -> tuple[Tensor, int]:
        """The summed loss over the true and the false pairs, and the number of true ones."""
        data, true, false = batch
        z = self._encode(model, data)
        logits = model.decode(z, torch.cat([true, false], dim=1))  # type: ignore[operator]
        positive, negative = logits.split([true.size(1), false.size(1)])
        return F.softplus(-positive).sum() + F.softplus(negative).sum(), true.size(1)

    def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
        z = self._encode(model, data)
        edges = data.split_edge
        valid_false = self._logits(model, z, edges["valid"]["edge_neg"])
        result: dict[str, float] = {}
        for split in splits:
            if split == "train":
                # The same pairs at each evaluation, as many as the validation set has.
                order = torch.randperm(edges["train"]["edge"].size(0), generator=torch.Generator().manual_seed(12345))
                some = order[: edges["valid"]["edge"].size(0)].to(z.device)
                true, false = edges["train"]["edge"][some], valid_false
            else:
                part = edges["valid" if split == "val" else "test"]
                true = part["edge"]
                false = valid_false if split == "val" else self._logits(model, z, part["edge_neg"])
            named = self.metric(self._logits(model, z, true), false)
            select = next(iter(named)) if self.select is None else self.select
            if select not in named:
                raise ValueError(f"select: got '{select}', expected one of {', '.join(named)}")
            result[split] = float(named[select])
            result |= {f"{split}/{name}": float(value) for name, value in named.items()}
        return result

    def predict(self, model: nn.Module, data: Data) -> Tensor:
        """The embeddings ``[N, F]`` of all nodes; ``model.decode(z, pairs)`` scores pairs of them."""
        return self._encode(model, data)

    def _encode(self, model: nn.Module, data: Data) -> Tensor:
        return model.encode(data.x, data.edge_index, data.edge_attr)  # type: ignore[operator]

    def _logits(self, model: nn.Module, z: Tensor, pairs: Tensor) -> Tensor:
        parts = [model.decode(z, part.t()) for part in pairs.split(self.eval_batch_size)]  # type: ignore[operator]
        return torch.cat(parts).float().cpu()
