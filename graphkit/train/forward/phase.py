"""A stretch of training that one optimiser per layer goes through: one layer, or all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from graphkit.train.forward.base import GreedyRule, Problem
from graphkit.train.forward.layer import ForwardLayer, ForwardNetwork
from graphkit.train.forward.topdown import Alone, Neighbours, TopDownRule

# Takes a step of the optimiser of one of the phase's layers, on this process's part of a loss; with a number, the loss
# is a sum over so many nodes, else a part of a mean.
Update = Callable[[int, Tensor, int | None], None]
# From inputs' number of nodes and a generator to batches with n_id, edge_index and seeds.
MakeBatches = Callable[[Generator], Iterable[Any]]


class Phase(Protocol):
    """See :class:`GreedyPhase` and :class:`TopDownPhase`."""

    layers: list[ForwardLayer]

    def epoch(self, update: Update, generator: Generator) -> None:
        """One pass over the training data."""

    def votes(self) -> Tensor:
        """Of all layers so far, about the rows that are judged."""

    def state(self) -> list[Tensor]:
        """What a checkpoint must hold besides weights."""

    def set_state(self, state: list[Tensor]) -> None:
        """Puts it back."""


class GreedyPhase:
    """One layer of a greedy rule.

    Args:
        rule: the rule.
        network: the layers.
        number: which of them is trained, from 0.
        setting: the data.
        inputs: what the layer reads.
        below: the summed votes of the layers below; None: there are none.
        batches: makes mini-batches; None: the whole graph.
    """

    def __init__(
        self,
        rule: GreedyRule[Any],
        network: ForwardNetwork,
        number: int,
        setting: Any,
        inputs: Any,
        below: Tensor | None,
        batches: MakeBatches | None = None,
    ) -> None:
        self.rule, self.network, self.number = rule, network, number
        self.setting, self.inputs, self.below, self.batches = setting, inputs, below, batches
        self.layers: list[ForwardLayer] = [network.layers[number]]  # type: ignore[list-item]
        # With batches the whole graph is only ever predicted on.
        whole = setting if batches is None else setting.only_judged()
        self.problem: Problem = rule.problem(self.layers[0], whole, inputs)

    @classmethod
    def first(
        cls, rule: GreedyRule[Any], network: ForwardNetwork, setting: Any, batches: MakeBatches | None = None
    ) -> GreedyPhase:
        """Of the lowest layer."""
        return cls(rule, network, 0, setting, rule.begin(setting), None, batches)

    def following(self) -> GreedyPhase:
        """Of the next layer, this one being trained; this phase gives up what it holds and is done with."""
        self.layers[0].eval()
        below = self._votes_of_all()
        del self.problem
        inputs = self.rule.advance(self.layers[0], self.setting, self.inputs)
        del self.inputs
        return GreedyPhase(self.rule, self.network, self.number + 1, self.setting, inputs, below, self.batches)

    def epoch(self, update: Update, generator: Generator) -> None:
        layer = self.layers[0].train()
        if self.batches is None:
            update(0, self.problem.loss(), None)
            return
        for batch in self.batches(generator):
            setting, inputs = self.rule.restrict(self.setting, self.inputs, batch)
            count = setting.mine.numel()
            loss = self.rule.problem(layer, setting, inputs).loss() if count else _no_loss(layer)
            update(0, loss * count, count)

    def votes(self) -> Tensor:
        return self._votes_of_all() * self.rule.depth_scale(self.number + 1, self.setting)

    def _votes_of_all(self) -> Tensor:
        self.layers[0].eval()
        with torch.no_grad():
            votes = self.problem.votes()
        return votes if self.below is None else self.below + votes

    def state(self) -> list[Tensor]:
        return []

    def set_state(self, state: list[Tensor]) -> None:
        assert not state  # inputs are worked out again from the weights below


class TopDownPhase:
    """All layers of a top-down rule, or those that this process holds.

    Args:
        rule: the rule.
        network: the layers.
        setting: the data.
        held: numbers of the layers that this process holds.
        neighbours: where other layers' states come from.
        add: sums votes over the processes that hold layers.
    """

    def __init__(
        self,
        rule: TopDownRule,
        network: ForwardNetwork,
        setting: Any,
        held: range | None = None,
        neighbours: Neighbours | None = None,
        add: Callable[[Tensor], Tensor] = lambda votes: votes,
    ) -> None:
        total = len(network.layers)
        held = range(total) if held is None else held
        self.rule, self.add, self.total = rule, add, total
        self.layers: list[ForwardLayer] = [network.layers[i] for i in held]  # type: ignore[misc]
        neighbours = Alone() if neighbours is None else neighbours
        self.stack = rule.stack(self.layers, held.start, total, setting, neighbours)
        self.judged = rule.judged(self.stack, setting)
        self.readout = rule.readout(setting)
        self._train(False)
        self.states = rule.begin(self.stack) if setting.training else []

    def _train(self, mode: bool) -> None:
        for layer in self.layers:
            layer.train(mode)

    def epoch(self, update: Update, generator: Generator) -> None:
        self._train(True)
        self.states = self.rule.step(
            self.stack,
            self.states,
            lambda number, z: update(number - self.stack.first, self.readout.loss(z), None),
        )

    def votes(self) -> Tensor:
        self._train(False)
        votes: list[Tensor] = []

        def visit(number: int, z: Tensor) -> None:
            found = self.readout.votes(z)
            votes[:] = [votes[0] + found] if votes else [found]

        count = self.rule.predict(self.judged, visit)
        return self.add(votes[0]) / (count * self.total)

    def state(self) -> list[Tensor]:
        return self.states

    def set_state(self, state: list[Tensor]) -> None:
        self.states = [tensor.to(old.device) for tensor, old in zip(state, self.states, strict=True)]


def _no_loss(layer: nn.Module) -> Tensor:
    """A loss of nothing, so that a process without labels in a batch still takes part in the sum of gradients."""
    return sum(parameter.sum() * 0 for parameter in layer.parameters())  # type: ignore[return-value]
