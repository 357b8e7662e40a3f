"""SF top-to-input: each layer also reads what the layer above it said in the step before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphkit.train.forward.augment import label_context
from graphkit.train.forward.base import NodeSetting
from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Features
from graphkit.train.forward.losses import prototype_logits, prototype_loss, row_normalize
from graphkit.train.forward.sf import augmented
from graphkit.train.forward.topdown import Neighbours, Readout, Stack, TopDownRule, Visit


class PrototypeReadout:
    """The loss and the votes of the single-forward rule."""

    def __init__(self, setting: NodeSetting) -> None:
        self.setting = setting

    def loss(self, z: Tensor) -> Tensor:
        s = self.setting
        return s.mean(prototype_loss(z[s.mine], z[s.class_nodes], s.labels[s.mine], s.config.temperature))

    def votes(self, z: Tensor) -> Tensor:
        s = self.setting
        return prototype_logits(z[s.judged], z[s.class_nodes], s.config.temperature).softmax(-1)


class TopToInput(TopDownRule):
    """The schedule, for nodes and for links: odd layers take a step, then even ones on the new states of the odd ones.

    Layer l reads ``[rn(state below) | rn(state above)]``: its convolution has as many input channels as the two have
    together. The first pass goes from the bottom to the top with zeros for what is above.
    """

    def begin(self, stack: Stack) -> list[Tensor]:
        states: list[Tensor] = []
        state = stack.neighbours.from_below()
        with torch.no_grad():
            for place in range(len(stack.layers)):
                below = None if stack.first + place == 0 else row_normalize(_known(state))
                state = stack.run(place, [below], partial=True)
                states.append(state)
        stack.neighbours.to_above(_known(state))
        return states

    def step(self, stack: Stack, states: list[Tensor], visit: Visit) -> list[Tensor]:
        turns = ((0,), (1,)) if stack.config.alternate else ((0, 1),)
        for parities in turns:
            below, above = stack.neighbours.exchange(states[0], states[-1])
            around = [below, *states, above]  # as they were when the turn began
            normalized: dict[int, Tensor] = {}

            def normal(place: int, around: Any = around, normalized: dict[int, Tensor] = normalized) -> Tensor:
                if place not in normalized:
                    normalized[place] = row_normalize(around[place])
                return normalized[place]

            for place in range(len(stack.layers)):
                number = stack.first + place
                if number % 2 not in parities:
                    continue
                lower = None if number == 0 else normal(place)
                highest = number + 1 == stack.total
                upper = ([] if stack.top is None else [stack.top]) if highest else [normal(place + 2)]
                z = stack.run(place, [lower, *upper])
                visit(number, z)
                states[place] = z.detach()
        return states

    def predict(self, stack: Stack, visit: Visit) -> int:
        config = stack.config
        with torch.no_grad():
            states = self.begin(stack)
            for step in range(config.steps):
                states = self.step(stack, states, visit if step >= 2 else _nothing)
        return config.steps - 2


class SingleForwardTopToInput(TopToInput):
    """The single-forward rule with states fed back; the top layer reads the labels of the training nodes from above.

    The top layer could copy those labels, which nodes that are predicted do not have; the paper does not mention it.

    Source: N. Park et al., ICLR 2024 (arXiv 2403.11004), section 3.4.
    """

    def stack(
        self, layers: Sequence[ForwardLayer], first: int, total: int, setting: NodeSetting, neighbours: Neighbours
    ) -> Stack:
        context = label_context(setting.labels, setting.known, setting.num_classes, setting.x.dtype)
        top = torch.cat([context, torch.eye(setting.num_classes, dtype=context.dtype, device=context.device)])
        bottom = Features(setting.x, setting.virtual)
        return Stack(layers, first, total, bottom, row_normalize(top), augmented(setting), setting.config, neighbours)

    def judged(self, stack: Stack, setting: NodeSetting) -> Stack:
        return stack

    def readout(self, setting: NodeSetting) -> Readout:
        return PrototypeReadout(setting)


def _known(state: Tensor | None) -> Tensor:
    assert state is not None
    return state


def _nothing(number: int, z: Tensor) -> None:
    """The first steps of a prediction do not vote."""
