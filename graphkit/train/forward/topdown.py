"""Layers that learn at the same time: each holds a state, the output of its last step, and reads its neighbours'."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.train.forward.attention import AttentionForm, Neighbourhood, attention_form
from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Aggregated, Features, Kind, LinearForm, Topology, linear_form
from graphkit.train.forward.view import is_attention

# Called with the number of a layer among all and its output, once per step and layer.
Visit = Callable[[int, Tensor], None]


class Neighbours(Protocol):
    """Where the states of layers below and above this process's come from."""

    def exchange(self, bottom: Tensor, top: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Hands out this process's lowest and highest state; the next lower and the next higher one, if any."""

    def from_below(self) -> Tensor | None:
        """Waits for what the process below sends up; None at the bottom."""

    def to_above(self, state: Tensor) -> None:
        """Sends up."""

    def from_above(self) -> Tensor | None:
        """Waits for what the process above sends down; None at the top."""

    def to_below(self, state: Tensor) -> None:
        """Sends down."""


class Alone:
    """All layers in this process."""

    def exchange(self, bottom: Tensor, top: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return None, None

    def from_below(self) -> Tensor | None:
        return None

    def to_above(self, state: Tensor) -> None:
        return None

    def from_above(self) -> Tensor | None:
        return None

    def to_below(self, state: Tensor) -> None:
        return None


@dataclass
class Stack:
    """This process's layers and what never changes while they learn.

    Args:
        layers: from the lower to the upper.
        first: the number of the lowest among all layers, from 0.
        total: the number of all layers.
        bottom: what the lowest of all layers reads.
        top: what the highest of all reads from above, ``[n, K]``, or None.
        topology: the graph.
        config: hyper-parameters.
        neighbours: where other layers' states come from.
    """

    layers: Sequence[ForwardLayer]
    first: int
    total: int
    bottom: Features
    top: Tensor | None
    topology: Topology
    config: ForwardConfig
    neighbours: Neighbours = field(default_factory=Alone)
    _frozen: dict[Any, Any] = field(default_factory=dict, repr=False)

    def run(self, place: int, inputs: Sequence[Tensor | None], partial: bool = False) -> Tensor:
        """The output of this process's layer at ``place`` for inputs side by side.

        Args:
            place: number among this process's layers.
            inputs: blocks of columns: a tensor ``[n, d]``, or None for the frozen features of the bottom.
            partial: whether blocks may be missing at the end, in place of which are zeros.
        """
        layer = self.layers[place]
        layer.match_channels([(self.bottom.real if block is None else block).size(1) for block in inputs], partial)
        form = linear_form(layer.conv) if self.config.fast else None
        if form is not None:
            return self._linear(layer, form, inputs).relu()
        attention = attention_form(layer.conv) if is_attention(layer, self.config) else None
        if attention is not None:
            return self._attended(layer, attention, inputs).relu()
        return layer(self._columns(layer, inputs), self.topology.edge_index)

    def _attended(self, layer: ForwardLayer, form: AttentionForm, inputs: Sequence[Tensor | None]) -> Tensor:
        if "hood" not in self._frozen:
            every = torch.arange(self.topology.num_nodes, device=self.bottom.real.device)
            self._frozen["hood"] = Neighbourhood(self.topology, every)
        h, scores = (
            self._linear(layer, LinearForm(((("root",), weight),), None), inputs)
            for weight in (form.weight, form.scores)
        )
        out, _ = self._frozen["hood"].attend(form, h, scores)
        return out if form.bias is None else out + form.bias

    def _columns(self, layer: ForwardLayer, inputs: Sequence[Tensor | None]) -> Tensor:
        blocks = [self._bottom() if block is None else block for block in inputs]
        width, expected = sum(block.size(1) for block in blocks), layer.in_channels
        if expected is not None and expected > width:
            blocks.append(blocks[0].new_zeros(blocks[0].size(0), expected - width))
        return torch.cat(blocks, 1) if len(blocks) > 1 else blocks[0]

    def _bottom(self) -> Tensor:
        if "dense" not in self._frozen:
            self._frozen["dense"] = self.bottom.dense()
        return self._frozen["dense"]

    def _linear(self, layer: ForwardLayer, form: LinearForm, inputs: Sequence[Tensor | None]) -> Tensor:
        out: Tensor | None = None
        for kind, weight in form.terms:
            start = 0
            for block in inputs:
                width = (self.bottom.real if block is None else block).size(1)
                part = weight[:, start : start + width]
                product = self._frozen_product(kind, part) if block is None else self._product(kind, block, part)
                out = product if out is None else out + product
                start += width
        assert out is not None
        return out if form.bias is None else out + form.bias

    def _frozen_product(self, kind: Kind, weight: Tensor) -> Tensor:
        if kind not in self._frozen:
            rows = torch.arange(self.topology.num_nodes, device=self.bottom.real.device)
            self._frozen[kind] = Aggregated(self.topology, kind, self.bottom, rows)
        return self._frozen[kind].times(weight)

    def _product(self, kind: Kind, block: Tensor, weight: Tensor) -> Tensor:
        if block is self.top:  # constant: aggregated once
            if (kind, "top") not in self._frozen:
                self._frozen[kind, "top"] = self.topology.aggregate(kind, block)
            return F.linear(self._frozen[kind, "top"], weight)
        return F.linear(self.topology.aggregate(kind, block), weight)


class Readout(Protocol):
    """What is asked of a layer's output, and of the sum of all answers."""

    def loss(self, z: Tensor) -> Tensor:
        """This process's part of the loss."""

    def votes(self, z: Tensor) -> Tensor:
        """What the layer says about the evaluated rows."""


class TopDownRule(ABC):
    """Advances all layers by one step at a time, each by a loss of its own."""

    links = False
    batched = False
    published_leak = False  # whether the published code tests this rule with validation labels
    weight_decay = 5e-4
    clip_grad: float | None = None

    @abstractmethod
    def stack(
        self, layers: Sequence[ForwardLayer], first: int, total: int, setting: Any, neighbours: Neighbours
    ) -> Stack:
        """The stack to train."""

    @abstractmethod
    def judged(self, stack: Stack, setting: Any) -> Stack:
        """The stack to predict with: the same, unless it predicts on another graph."""

    @abstractmethod
    def readout(self, setting: Any) -> Readout:
        """What each layer is asked."""

    @abstractmethod
    def begin(self, stack: Stack) -> list[Tensor]:
        """The states of this process's layers after one pass from the bottom to the top."""

    @abstractmethod
    def step(self, stack: Stack, states: list[Tensor], visit: Visit) -> list[Tensor]:
        """One step of all layers.

        Args:
            stack: the layers.
            states: theirs; the list is changed, so that an old state is freed as soon as nobody reads it.
            visit: called with each layer's number and output, with its autograd history; may change the layer's
                weights.

        Returns:
            The new states.
        """

    @abstractmethod
    def predict(self, stack: Stack, visit: Visit) -> int:
        """Runs without learning and calls ``visit`` with each output that votes; how many votes each layer has."""
