"""Recommending items to users: pairwise ranking in training, all items ranked in evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch_geometric.data import Data
from torch_geometric.metrics import (
    LinkPredMetricCollection,
    LinkPredMRR,
    LinkPredNDCG,
    LinkPredPrecision,
    LinkPredRecall,
)

from graphkit.train.distributed import current_share


class Interactions(NamedTuple):
    """Who took what in training, each pair once, sorted by user and then by item.

    Attributes:
        ptr: ``[U + 1]``, where each user's items begin.
        item: ``[P]``, counted from 0.
        key: ``[P]``, ``user * M + item - rank``, with the rank of an item among its user's: see :func:`draw`.
        users: those one can draw for: with an item, and without another.
        num_items: M.
    """

    ptr: Tensor
    item: Tensor
    key: Tensor
    users: Tensor
    num_items: int


def interactions(edge: Tensor, num_users: int, num_items: int) -> Interactions:
    """Sorts training pairs ``[P, 2]`` of nodes, items counted from ``num_users``, into :class:`Interactions`.

    Raises:
        ValueError: if there is no user to draw for.
    """
    unique = (edge[:, 0] * num_items + edge[:, 1] - num_users).unique()
    user, item = unique // num_items, unique % num_items
    degree = torch.bincount(user, minlength=num_users)
    ptr = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
    rank = torch.arange(unique.numel(), device=edge.device) - ptr[user]
    users = ((degree > 0) & (degree < num_items)).nonzero().view(-1)
    if users.numel() == 0:
        raise ValueError("data: got no user with an item and without another, expected at least one to learn from")
    return Interactions(ptr, item, unique - rank, users, num_items)


def draw(seen: Interactions, size: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draws users with replacement and, for each, one of his items and one of the others, all uniformly.

    Nothing is rejected: of the M - n items that a user has not, the r-th is r + k, with k the number of his items
    whose place, counted without his own before it, is at most r.

    Args:
        seen: the training pairs.
        size: number of draws.
        generator: of random numbers, on the CPU.

    Returns:
        Users, their items and the others, ``[size]`` each, items counted from 0.

    Example:
        >>> seen = interactions(torch.tensor([[0, 2], [0, 3], [1, 4]]), 2, 3)  # user 0 has items 0 and 1, user 1 item 2
        >>> user, has, other = draw(seen, 100, torch.Generator().manual_seed(0))
        >>> other[user == 0].unique().tolist(), other[user == 1].unique().tolist()
        ([2], [0, 1])
    """
    device = seen.item.device
    u, a, b = torch.rand(3, size, generator=generator, dtype=torch.float64).to(device)
    user = seen.users[_pick(u, seen.users.numel())]
    start, degree = seen.ptr[user], seen.ptr[user + 1] - seen.ptr[user]
    other = _pick(b, seen.num_items - degree)
    before = torch.searchsorted(seen.key, user * seen.num_items + other, right=True) - start
    return user, seen.item[start + _pick(a, degree)], other + before


def _pick(uniform: Tensor, count: Tensor | int) -> Tensor:
    """An integer below ``count`` from a number in [0, 1)."""
    return (uniform * count).long()


@dataclass(frozen=True)
class Recommendation:
    r"""Ranks items for users, by Bayesian personalised ranking (Rendle et al. 2009).

    .. math::
        L = \frac{1}{B} \sum_{(u, i, j)} \mathrm{softplus}(s_{uj} - s_{ui})
        + \frac{\lambda}{2 B} \sum_{(u, i, j)} \lVert x_u \rVert^2 + \lVert x_i \rVert^2 + \lVert x_j \rVert^2,
        \qquad s_{ui} = \langle z_u, z_i \rangle

    over B users drawn uniformly with replacement, with one of the items they have in training and one of those they
    have not (:func:`draw`; seeded). z is ``model.get_embedding(edge_index)``, computed on the whole graph at each step,
    and x the table ``model.embedding``: :class:`graphkit.models.SheafRecommender` and PyG's ``LightGCN`` have both.

    *Data.* Users are nodes 0 to ``num_users - 1``, items the others. ``edge_index`` holds the training interactions as
    the model wants them, ``split_edge`` pairs (user, item) in OGB's layout: ``{"train": {"edge": [P, 2]}, "valid": ...,
    "test": ...}``.

    *Scores.* Every item is ranked for every user with a held-out item, and the scores of PyG's ``LinkPred`` metrics are
    averaged over these users: ``Precision@k``, ``Recall@k``, ``NDCG@k`` and ``MRR@k`` (the first hit). ``F1@k`` is the
    harmonic mean of the mean precision and the mean recall, as published with Sheaf4Rec, not the mean of users' F1.
    Items a user is known to have are left out: those of training when validating, those of training and validation when
    testing; the training score ranks training items with nothing left out.

    Differs from the published code of Sheaf4Rec: it draws users without a seed, leaves training items out by
    *multiplying* their scores by 0, so that they stand before all others with negative scores, does not leave
    validation items out of the test, and never selects. ``compat="official"`` ranks its way (the first two of these
    three); its "MRR", a sum over all hits, is not offered.

    Args:
        k: lengths of the lists to score.
        select: the score that chooses the best epoch; default: F1 at the first of ``k``.
        batch_size: B, over all processes together.
        l2: :math:`\lambda`; 1 as published for Sheaf4Rec.
        steps: steps per epoch; default: the number of training pairs over ``batch_size``, rounded down.
        compat: ``"official"`` or ``None``; see above.

    Raises:
        ValueError: if a number is out of range, or ``select`` or ``compat`` is unknown.

    Example:
        >>> from torch_geometric.nn import LightGCN
        >>> from graphkit.train import TrainConfig, Trainer
        >>> pairs = torch.tensor([[0, 3], [0, 4], [1, 4], [1, 5], [2, 6]])
        >>> split = {"train": {"edge": pairs}, "valid": {"edge": pairs[:1] + 1}, "test": {"edge": pairs[1:2] + 1}}
        >>> edge_index = torch.cat([pairs, pairs.flip(1)]).t().contiguous()
        >>> data = Data(edge_index=edge_index, num_nodes=7, num_users=3, split_edge=split)
        >>> task = Recommendation(k=(2,), batch_size=4)
        >>> result = Trainer(LightGCN(7, 8, 2), TrainConfig(epochs=2), task=task).fit(data)
        >>> sorted(result.metrics)[:3]
        ['test/F1@2', 'test/MRR@2', 'test/NDCG@2']
    """

    k: tuple[int, ...] = (10, 20)
    select: str | None = None
    batch_size: int = 1024
    l2: float = 1.0
    steps: int | None = None
    compat: Literal["official"] | None = None

    def __post_init__(self) -> None:
        for name, value in (("batch_size", self.batch_size), ("steps", self.steps), *(("k", k) for k in self.k)):
            if value is not None and value < 1:
                raise ValueError(f"{name}: got {value}, expected at least 1")
        if not self.k or not self.l2 >= 0:
            raise ValueError(f"k, l2: got {self.k} and {self.l2}, expected a length of list and a number from 0")
        if self.compat not in (None, "official"):
            raise ValueError(f"compat: got {self.compat!r}, expected None or 'official'")
        known = [f"{name}@{k}" for k in self.k for name in ("F1", *_METRICS)]
        if self.select is not None and self.select not in known:
            raise ValueError(f"select: got '{self.select}', expected one of {', '.join(known)}")

    @property
    def divided(self) -> bool:
        return False  # every process propagates over the whole graph

    def check(self, data: Data) -> None:
        users, nodes = data.get("num_users"), data.num_nodes
        if data.get("edge_index") is None or users is None or not 0 < users < nodes:
            raise ValueError(
                f"data: got num_users={users}, {nodes} nodes and edge_index={data.get('edge_index')}, expected the "
                "training interactions of users and, numbered after them, items"
            )
        for split in ("train", "valid", "test"):
            edge = (data.get("split_edge") or {}).get(split, {}).get("edge")
            if edge is None or edge.dim() != 2 or edge.size(1) != 2 or edge.size(0) == 0:
                got = None if edge is None else list(edge.shape)
                raise ValueError(f"data: got split_edge['{split}']['edge'] = {got}, expected pairs [P, 2]")
            low, high = edge.min(0).values.tolist(), edge.max(0).values.tolist()
            if low[0] < 0 or high[0] >= users or low[1] < users or high[1] >= nodes:
                raise ValueError(
                    f"data: got users {low[0]} to {high[0]} and items {low[1]} to {high[1]} in split_edge['{split}'], "
                    f"expected users 0 to {users - 1} and items {users} to {nodes - 1}"
                )

    def prepare(self, data: Data, device: torch.device) -> Data:
        self.check(data)
        return data.to(device)

    def batches(self, data: Data, generator: Generator) -> Iterable[tuple[Data, Tensor]]:
        """(the graph, users, their items and others ``[3, B]``), of which this process takes its share."""
        edge, share = data.split_edge["train"]["edge"], current_share()
        seen = interactions(edge, data.num_users, data.num_nodes - data.num_users)
        for _ in range(self.steps or max(1, edge.size(0) // self.batch_size)):
            user, has, other = draw(seen, self.batch_size, generator)
            triples = torch.stack([user, has + data.num_users, other + data.num_users])
            yield data, share.of(triples.t()).t()

    def loss(self, model: nn.Module, batch: tuple[Data, Tensor]) -> tuple[Tensor, int]:
        """The summed loss over the draws, and their number."""
        data, triples = batch
        user, has, other = model.get_embedding(data.edge_index)[triples]  # type: ignore[operator]
        ranking = F.softplus((user * (other - has)).sum(-1)).sum()
        return ranking + self.l2 / 2 * model.embedding(triples).square().sum(), triples.size(1)  # type: ignore[operator]

    def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
        z = self.predict(model, data)
        edges = {ours: data.split_edge["valid" if ours == "val" else ours]["edge"] for ours in ("train", "val", "test")}
        known = {"train": [], "val": ["train"], "test": ["train"] if self.compat else ["train", "val"]}
        select = self.select or f"F1@{self.k[0]}"
        result: dict[str, float] = {}
        for split in splits:
            out = edges["train"][:0] if not known[split] else torch.cat([edges[name] for name in known[split]])
            named = self._ranking(z, data.num_users, edges[split], out)
            result[split] = named[select]
            result |= {f"{split}/{name}": value for name, value in named.items()}
        return result

    def predict(self, model: nn.Module, data: Data) -> Tensor:
        """The representations ``[N, F]`` of users and items; products of their rows are the scores."""
        return model.get_embedding(data.edge_index)  # type: ignore[operator]

    def _ranking(self, z: Tensor, num_users: int, edge: Tensor, known: Tensor) -> dict[str, float]:
        """The metrics of one split, with the ``known`` pairs left out."""
        metrics = LinkPredMetricCollection(
            {f"{name}@{k}": metric(k=k) for k in self.k for name, metric in _METRICS.items()}
        ).to(z.device)
        items = z[num_users:].t()
        longest = min(max(self.k), items.size(1))
        for users in edge[:, 0].unique().split(1024):
            score = z[users] @ items
            row, column = _rows(known, users, num_users)
            score[row, column] = score[row, column] * 0 if self.compat else -torch.inf
            metrics.update(score.topk(longest, dim=1).indices, torch.stack(_rows(edge, users, num_users)))
        named = {name: float(value) for name, value in metrics.compute().items()}
        for k in self.k:
            precision, recall = named[f"Precision@{k}"], named[f"Recall@{k}"]
            named[f"F1@{k}"] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        return named


_METRICS = {"Precision": LinkPredPrecision, "Recall": LinkPredRecall, "NDCG": LinkPredNDCG, "MRR": LinkPredMRR}


def _rows(edge: Tensor, users: Tensor, num_users: int) -> tuple[Tensor, Tensor]:
    """The pairs of some users, sorted, as rows of ``users`` and items from 0."""
    user, item = edge.t().contiguous()
    row = torch.searchsorted(users, user).clamp(max=users.numel() - 1)
    mine = users[row] == user
    return row[mine], item[mine] - num_users
