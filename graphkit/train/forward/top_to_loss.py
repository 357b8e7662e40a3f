"""SF top-to-loss: each layer is asked for the mean of its own output and the states of all layers above it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphkit.train.forward.base import NodeSetting
from graphkit.train.forward.layer import ForwardLayer
from graphkit.train.forward.linear import Features
from graphkit.train.forward.losses import row_normalize
from graphkit.train.forward.sf import augmented
from graphkit.train.forward.top_to_input import PrototypeReadout
from graphkit.train.forward.topdown import Neighbours, Readout, Stack, TopDownRule, Visit


class SingleForwardTopToLoss(TopDownRule):
    r"""All layers step at once on the states of the step before, :math:`S_l = \mathrm{rn}(z_l)`.

    .. math:: M_l = \frac{1}{L - l + 1} \Big(z_l + \sum_{k > l} S_k\Big), \qquad
              \ell_l = -\frac{1}{T} \sum_i \log \mathrm{softmax}(M_i M_C^T / \tau)_{y_i}

    Deep networks of this rule learn badly: the states above swamp a layer's own output. The published code scores on
    a pass without normalisation, which training never sees; we do so with ``compat="official"`` only.

    Source: N. Park et al., ICLR 2024 (arXiv 2403.11004), section 3.4.
    """

    clip_grad = 1.0

    def stack(
        self, layers: Sequence[ForwardLayer], first: int, total: int, setting: NodeSetting, neighbours: Neighbours
    ) -> Stack:
        bottom = Features(setting.x, setting.virtual)
        return Stack(layers, first, total, bottom, None, augmented(setting), setting.config, neighbours)

    def judged(self, stack: Stack, setting: NodeSetting) -> Stack:
        return stack

    def readout(self, setting: NodeSetting) -> Readout:
        return PrototypeReadout(setting)

    def begin(self, stack: Stack) -> list[Tensor]:
        states = []
        state, official = stack.neighbours.from_below(), stack.config.official
        with torch.no_grad():
            for place, layer in enumerate(stack.layers):
                if official:  # features as they are, also those of the bottom
                    if stack.first + place == 0:
                        bottom = stack.bottom
                        state = Features(bottom.real, bottom.classes, normalize=False).dense()
                    assert state is not None
                    state = layer(state, stack.topology.edge_index)
                else:
                    state = row_normalize(stack.run(place, [None if stack.first + place == 0 else state]))
                states.append(row_normalize(state) if official else state)
        assert state is not None
        stack.neighbours.to_above(state)
        return states

    def step(self, stack: Stack, states: list[Tensor], visit: Visit) -> list[Tensor]:
        above = stack.neighbours.from_above()
        total = above
        for state in reversed(states):
            total = state if total is None else state + total
        assert total is not None
        stack.neighbours.to_below(total)
        below, _ = stack.neighbours.exchange(states[0], states[-1])
        # From the top down: once a layer is done, nobody reads its old state any more but the sum.
        for place in reversed(range(len(stack.layers))):
            number = stack.first + place
            z = stack.run(place, [states[place - 1] if place else below])
            visit(number, z if above is None else (z + above) / (stack.total - number))
            above = states[place] if above is None else states[place] + above
            states[place] = row_normalize(z.detach())
        return states

    def predict(self, stack: Stack, visit: Visit) -> int:
        with torch.no_grad():
            self.step(stack, self.begin(stack), visit)
        return 1
