"""What a network is trained for: the interface, the losses, and how labels that are not known are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch_geometric.data import Data

Criterion = Literal["cross_entropy", "bce", "mse", "l1"]


class Task(Protocol):
    """The part of training that knows about labels; a :class:`~graphkit.train.Trainer` knows the rest.

    ``split`` is ``"train"``, ``"val"`` or ``"test"``. ``batches`` and ``loss`` may read training labels only. Where
    several processes train together, :func:`~graphkit.train.distributed.current_share` says which part of a batch is
    this one's; every process must yield the same number of batches.
    """

    @property
    def divided(self) -> bool:
        """Whether processes see different rows of a batch, so that batch norms must put them together."""

    def check(self, data: Any) -> None:
        """Raises ValueError if ``data`` lacks something the task needs."""

    def prepare(self, data: Any, device: torch.device) -> Any:
        """Checks the data and returns them where ``batches`` and ``scores`` want them; batches are moved one by one."""

    def batches(self, data: Any, generator: Generator) -> Iterable[Any]:
        """The training batches of one epoch, in an order drawn from ``generator`` (the same in every process)."""

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, int]:
        """The sum of the loss over the labels of the batch, and their number.

        The Trainer divides by the number of labels in all processes and accumulated batches.
        """

    def scores(self, model: nn.Module, data: Any, splits: tuple[str, ...]) -> dict[str, float]:
        """The score of each split, higher is better, by which the best epoch is chosen.

        Further metrics go under keys like ``"val/Hits@50"``. The caller has set evaluation mode and no_grad.
        """

    def predict(self, model: nn.Module, data: Any) -> Any:
        """The model's output for the data, for the user."""


@runtime_checkable
class Remembers(Protocol):
    """A task that carries something from one batch to the next, such as the state of a sequence: it goes into the
    checkpoint."""

    def memory(self) -> Any:
        """What the task carries, in tensors and plain values."""

    def recall(self, memory: Any) -> None:
        """Take it back."""


def summed_loss(criterion: Criterion, prediction: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """The sum of a loss over all known labels, and their number.

    Args:
        criterion: ``"cross_entropy"`` (logits ``[n, C]``, y ``[n]`` or ``[n, 1]``; a label -1 is unknown), ``"bce"``
            (binary cross-entropy of logits ``[n, T]``; y ``[n, T]`` of 0 and 1), ``"mse"`` or ``"l1"`` (values and
            y ``[n, T]``). NaN is an unknown label.
        prediction: the model's output.
        y: the labels; ``[n]`` stands for ``[n, 1]``.

    Raises:
        ValueError: if the shapes do not fit, or the criterion is unknown.

    Example:
        >>> total, known = summed_loss("mse", torch.tensor([[1.0], [5.0]]), torch.tensor([[3.0], [float("nan")]]))
        >>> total.item(), known
        (4.0, 1)
    """
    if criterion == "cross_entropy":
        labels = y.squeeze(-1) if y.dim() == 2 and y.size(1) == 1 else y
        if labels.dim() != 1 or prediction.dim() != 2 or labels.size(0) != prediction.size(0):
            raise ValueError(
                f"y: got shape {list(y.shape)} with predictions {list(prediction.shape)}, expected one class "
                f"[{prediction.size(0)}] per row; for several labels per row use criterion='bce'"
            )
        labels = labels.nan_to_num(-1).long() if labels.is_floating_point() else labels
        known = labels != -1
        total = F.cross_entropy(prediction, labels, ignore_index=-1, reduction="sum")
        return total, int(known.sum())
    losses: dict[str, Callable[..., Tensor]] = {
        "bce": F.binary_cross_entropy_with_logits,
        "mse": F.mse_loss,
        "l1": F.l1_loss,
    }
    if criterion not in losses:
        raise ValueError(f"criterion: got '{criterion}', expected one of cross_entropy, {', '.join(losses)}")
    target = y.view(-1, 1) if y.dim() == 1 else y
    prediction = prediction.view(-1, 1) if prediction.dim() == 1 else prediction
    if target.shape != prediction.shape:
        raise ValueError(f"y: got shape {list(y.shape)}, expected that of the predictions, {list(prediction.shape)}")
    known = ~target.isnan() if target.is_floating_point() else torch.ones_like(target, dtype=torch.bool)
    total = losses[criterion](prediction[known], target[known].to(prediction.dtype), reduction="sum")
    return total, int(known.sum())


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """The share of rows whose largest entry is at the label: logits ``[N, C]``, y ``[N]`` or ``[N, 1]`` -> scalar.

    Example:
        >>> accuracy(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0])).item()
        0.5
    """
    return (logits.argmax(dim=-1) == y.reshape(-1)).float().mean()


def call_on_graph(model: nn.Module, data: Data) -> Tensor:
    """Calls ``model(x, edge_index)``, with ``edge_attr`` as third argument where the data have it."""
    if data.edge_attr is None:
        return model(data.x, data.edge_index)
    return model(data.x, data.edge_index, data.edge_attr)


def call_on_graphs(model: nn.Module, batch: Any) -> Tensor:
    """Calls ``model(x, edge_index, edge_attr, batch=..., batch_size=...)``, for one output per graph."""
    return model(batch.x, batch.edge_index, batch.edge_attr, batch=batch.batch, batch_size=batch.num_graphs)
