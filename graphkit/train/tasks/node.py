"""Labels on the nodes of one graph, trained on the whole graph or on batches of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch_geometric.data import Data

from graphkit.train.distributed import Share, current_share
from graphkit.train.tasks.base import Criterion, accuracy, call_on_graph, summed_loss

# From the graph, the nodes to go through, a generator and this process's share to batches. Where a batch has
# ``batch_size``, its first rows are those nodes; else all its rows count. ``n_id`` are the rows' numbers in the graph.
NodeLoaderFactory = Callable[[Data, Tensor, Generator, Share], Iterable[Data]]


@dataclass(frozen=True)
class NodeClassification:
    """Predicts labels of the nodes of one graph.

    ``data`` holds ``x`` ``[N, F]``, ``edge_index`` ``[2, E]``, ``y`` (``[N]`` or ``[N, 1]`` classes, or ``[N, T]``
    binary labels with ``criterion="bce"``) and the boolean masks ``train_mask``, ``val_mask`` and ``test_mask``, each
    ``[N]`` or, with several splits, ``[N, S]``.

    Args:
        split_index: which column of the masks to use where they have several.
        metric: maps outputs ``[n, C]`` and labels of a split's nodes to a number, higher is better.
            Functions of torchmetrics fit, e.g. ``partial(multiclass_f1_score, num_classes=7)``.
        criterion: ``"cross_entropy"``, ``"bce"``, ``"mse"`` or ``"l1"``.
        forward: maps a model and the data to outputs ``[N, C]``.
        loader: makes the training batches, as :func:`graphkit.train.tasks.loading.neighbor_batches` and
            :func:`~graphkit.train.tasks.loading.cluster_batches` do; None: the whole graph in each step.
        eval_loader: makes the batches to predict with; None: the whole graph at once.
    """

    split_index: int = 0
    metric: Callable[[Tensor, Tensor], Tensor | float] = accuracy
    criterion: Criterion = "cross_entropy"
    forward: Callable[[nn.Module, Data], Tensor] = call_on_graph
    loader: NodeLoaderFactory | None = None
    eval_loader: NodeLoaderFactory | None = None

    def mask(self, data: Data, split: str) -> Tensor:
        """The nodes ``[N]`` of a split: ``"train"``, ``"val"`` or ``"test"``."""
        mask = data[f"{split}_mask"].bool()  # PyG's fixed splits of the Planetoid sets are uint8
        return mask if mask.dim() == 1 else mask[:, self.split_index]

    @property
    def divided(self) -> bool:
        return self.loader is not None  # else every process runs the whole graph and takes its share of the labels

    def check(self, data: Data) -> None:
        for name in ("x", "edge_index", "y", "train_mask", "val_mask", "test_mask"):
            if data.get(name) is None:
                remedy = "; torch_geometric.transforms.RandomNodeSplit adds masks" if "mask" in name else ""
                raise ValueError(f"data: got no '{name}', expected a graph with it{remedy}")
        if data.train_mask.dim() == 2 and not 0 <= self.split_index < data.train_mask.size(1):
            raise ValueError(
                f"split_index: got {self.split_index}, expected 0 to {data.train_mask.size(1) - 1}, "
                "the columns of the masks"
            )
        for split in ("train", "val", "test"):
            if not bool(self.mask(data, split).any()):
                raise ValueError(f"data: got an empty {split}_mask, expected at least one node in it")

    def prepare(self, data: Data, device: torch.device) -> Data:
        self.check(data)
        # Batches are moved one by one; a graph that is needed whole is moved once.
        return data if self.loader is not None else data.to(device)

    def batches(self, data: Data, generator: Generator) -> Iterable[Data]:
        if self.loader is None:
            return [data]
        nodes = self.mask(data, "train").nonzero().view(-1)
        return self.loader(data, nodes, generator, current_share())

    def loss(self, model: nn.Module, batch: Data) -> tuple[Tensor, int]:
        """The summed loss over the training nodes of the batch, and the number of their labels."""
        out = self.forward(model, batch)
        train = self.mask(batch, "train").nonzero().view(-1)
        if self.loader is None:
            train = current_share().of(train)
        elif "batch_size" in batch:
            train = train[train < batch.batch_size]
        return summed_loss(self.criterion, out[train], batch.y[train])

    def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
        out = self.predict(model, data)
        result = {}
        for split in splits:
            mask = self.mask(data, split).to(out.device)
            result[split] = float(self.metric(out[mask], data.y.to(out.device)[mask]))
        return result

    def predict(self, model: nn.Module, data: Data) -> Tensor:
        """The outputs ``[N, C]`` of all nodes.

        With ``eval_loader`` they are on the CPU, the mean over a node's batches, and NaN for a node in none of them.
        """
        device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
        if self.eval_loader is None:
            return self.forward(model, data.to(device))
        out: Tensor | None = None
        counts = torch.zeros(data.num_nodes)
        every_node = torch.arange(data.num_nodes)
        # The same partition and neighbours at every evaluation, so that scores differ by the weights alone.
        for batch in self.eval_loader(data, every_node, torch.Generator().manual_seed(0), Share()):
            rows = self.forward(model, batch.to(device))
            if "batch_size" in batch:
                rows = rows[: batch.batch_size]
            rows = rows.float().cpu()
            nodes = batch.n_id[: rows.size(0)].cpu()
            out = rows.new_zeros((data.num_nodes, *rows.shape[1:])) if out is None else out
            out.index_add_(0, nodes, rows)
            counts.index_add_(0, nodes, torch.ones(nodes.numel()))
        if out is None:
            raise ValueError("eval_loader: got no batch, expected batches over all nodes")
        return out / counts.view(-1, *[1] * (out.dim() - 1)) if bool((counts != 1).any()) else out
