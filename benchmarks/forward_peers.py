"""What the published ForwardGNN code does in an epoch, in our words: to time against, with its habits.

Each epoch normalises frozen inputs again, calls the convolution on the whole graph (for positives and each negative),
keeps all activations until one backward pass, and steps an Adam that is not fused. The published cached
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
    (optimizer,) = _optimizers([conv])

    def step() -> None:
        z = conv(normalized(h), edge_index).relu()
        optimizer.zero_grad()
        _prototype_loss(z, train, y, classes).backward()
        optimizer.step()

    return step


def forward_forward(conv: nn.Module, inputs: Sequence[tuple[Tensor, Tensor]], train: Tensor) -> Step:
    """An FF-LA or FF-VN epoch: features and graph of the positives, then of each negative."""
    (optimizer,) = _optimizers([conv])

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


def top_to_loss(
    convs: Sequence[nn.Module], bottom: Tensor, states: list[Tensor], edge_index: Tensor, train: Tensor, y: Tensor
) -> Step:
    """A time step of SF top-to-loss; ``states``: rows of length 1 of every layer, class nodes last."""
    optimizers = _optimizers(convs)
    states = [normalized(bottom), *states]

    def step() -> None:
        new = [states[0]]
        for number, (conv, optimizer) in enumerate(zip(convs, optimizers, strict=True), start=1):
            z = conv(states[number - 1], edge_index).relu()
            mean = torch.stack([z, *states[number + 1 :]]).mean(0)
            optimizer.zero_grad()
            _prototype_loss(mean, train, y, bottom.size(0) - y.numel()).backward()
            nn.utils.clip_grad_norm_(conv.parameters(), 1.0)
            optimizer.step()
            new.append(normalized(z.detach()))
        states[:] = new

    return step


def top_to_input(
    convs: Sequence[nn.Module],
    bottom: Tensor,
    states: list[Tensor],
    top: Tensor,
    edge_index: Tensor,
    train: Tensor,
    y: Tensor,
) -> Step:
    """A time step of SF top-to-input: first the odd layers, then the even ones; ``states`` are not normalised."""
    optimizers = _optimizers(convs)
    states = [bottom, *states, top]

    def step() -> None:
        for first in (1, 2):
            for number in range(first, len(convs) + 1, 2):
                conv, optimizer = convs[number - 1], optimizers[number - 1]
                h = torch.cat([normalized(states[number - 1]), normalized(states[number + 1])], 1)
                z = conv(h, edge_index).relu()
                optimizer.zero_grad()
                _prototype_loss(z, train, y, bottom.size(0) - y.numel()).backward()
                optimizer.step()
                states[number] = z.detach()

    return step


def _optimizers(convs: Sequence[nn.Module]) -> list[torch.optim.Adam]:
    return [torch.optim.Adam(conv.parameters(), lr=1e-3, weight_decay=5e-4) for conv in convs]


def _prototype_loss(z: Tensor, train: Tensor, y: Tensor, classes: int) -> Tensor:
    return F.cross_entropy(z[train] @ z[-classes:].t(), y[train])


def back_propagation(model: nn.Module, x: Tensor, edge_index: Tensor, train: Tensor, y: Tensor) -> Step:
    """An epoch of the same convolutions trained end to end, with the fused Adam that graphkit uses too."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4, fused=True)

    def step() -> None:
        loss = F.cross_entropy(model(x, edge_index)[train], y[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step
