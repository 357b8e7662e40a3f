"""What the published ForwardGNN code does in an epoch of one layer, in our words: to time against, with its habits.

Each epoch normalises the frozen input again, calls the convolution on the whole graph (for positives and each
negative), keeps all activations until one backward pass, and steps an Adam that is not fused. The published cached
convolutions are left out: they give positives and negatives the same features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Step = Callable[[], None]


def normalized(h: Tensor) -> Tensor:
    return h / (h.norm(dim=1, keepdim=True) + 1e-8)


def single_forward(conv: nn.Module, h: Tensor, edge_index: Tensor, train: Tensor, y: Tensor, classes: int) -> Step:
    """An SF epoch: ``h`` ``[N + K, d]`` with the class nodes last, ``edge_index`` with their edges."""
    optimizer = torch.optim.Adam(conv.parameters(), lr=1e-3, weight_decay=5e-4)
    prototypes = slice(h.size(0) - classes, h.size(0))

    def step() -> None:
        z = conv(normalized(h), edge_index).relu()
        loss = F.cross_entropy(z[train] @ z[prototypes].t(), y[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def forward_forward(conv: nn.Module, inputs: Sequence[tuple[Tensor, Tensor]], train: Tensor) -> Step:
    """An FF-LA or FF-VN epoch: features and graph of the positives, then of each negative."""
    optimizer = torch.optim.Adam(conv.parameters(), lr=1e-3, weight_decay=5e-4)

    def step() -> None:
        losses = []
        for number, (h, edge_index) in enumerate(inputs):
            y = conv(normalized(h), edge_index).relu()
            logit = y.pow(2).sum(1)[train] - 2.0
            target = torch.ones_like(logit) if number == 0 else torch.zeros_like(logit)
            losses.append(F.binary_cross_entropy_with_logits(logit, target))
        loss = losses[0] + torch.stack(losses[1:]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def back_propagation(model: nn.Module, x: Tensor, edge_index: Tensor, train: Tensor, y: Tensor) -> Step:
    """An epoch of the same convolutions trained end to end, with the fused Adam that graphkit uses too."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4, fused=True)

    def step() -> None:
        loss = F.cross_entropy(model(x, edge_index)[train], y[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
