"""Time: the past does not depend on the future, and nothing is remembered between sequences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.testing.adapter import call_layer, forward_names, tensors
from graphkit.testing.case import Case, seeded
from graphkit.testing.compare import require_equal
from graphkit.testing.properties.base import register
from graphkit.testing.report import BrokenClaim, NotApplicable
from graphkit.testing.transforms import take_edges

SNAPSHOTS = 4


@register("causality", "changing a future snapshot changes no past output", special=True)
def causality(case: Case) -> None:
    """A sequence of snapshots, again with other features and edges from each time on, and cut off there.

    A layer with an argument ``state`` is called snapshot by snapshot and returns ``(output, state)``; any other is
    called as the case's ``sequence`` says. The outputs of the last sequence are compared with those of the first again:
    a state that is kept between calls breaks the claim too.
    """
    module = case.module()
    generator = case.generator()
    snapshots = [_snapshot(case, generator) for _ in range(SNAPSHOTS)]
    other = [_snapshot(case, generator) for _ in range(SNAPSHOTS)]
    expected = _outputs(case, module, snapshots)
    for now in range(1, SNAPSHOTS):
        for future, context in ((other[now:], "has other data"), ([], "is cut off")):
            got = _outputs(case, module, [*snapshots[:now], *future])
            for time in range(now):
                _require_same(case, expected[time], got[time], f"at time {time} when time {now} and after {context}")
    again = _outputs(case, module, snapshots)
    for time in range(SNAPSHOTS):
        _require_same(case, expected[time], again[time], f"at time {time} when the sequence comes again")
    changed = _outputs(case, module, [*snapshots[:-1], other[-1]])
    if all(torch.equal(a, b) for a, b in zip(expected[-1], changed[-1], strict=True)):
        raise BrokenClaim("causality", "the last output does not depend on the last snapshot: outputs are not in order")


def _snapshot(case: Case, generator: torch.Generator) -> Data:
    """The case's nodes with new features, and all but a few of its edges."""
    data = case.data
    for key, value in data.to_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point():
            data[key] = value + torch.randn(value.shape, dtype=value.dtype, generator=generator).abs()
    kept = torch.rand(data.num_edges, generator=generator) < 0.8
    return take_edges(data, kept)


def _outputs(case: Case, module: nn.Module, snapshots: list[Data]) -> list[list[Tensor]]:
    """The output tensors at each time."""
    with seeded(case.seed):
        if case.sequence is not None:
            outputs = list(case.sequence(module, snapshots))
        else:
            outputs = list(_steps(module, snapshots))
    if len(outputs) != len(snapshots):
        raise BrokenClaim("causality", f"{len(snapshots)} snapshots give {len(outputs)} outputs")
    return [tensors(output) for output in outputs]


def _steps(module: nn.Module, snapshots: list[Data]) -> list[Any]:
    if "state" not in forward_names(module):
        raise NotApplicable("'forward' has no argument 'state'; pass 'sequence' to say how to call it over time")
    outputs, state = [], None
    for snapshot in snapshots:
        snapshot = snapshot.clone()
        if state is not None:
            snapshot["state"] = state
        output, state = call_layer(module, snapshot)
        outputs.append(output)
    return outputs


def _require_same(case: Case, expected: list[Tensor], got: list[Tensor], context: str) -> None:
    for level, a, b in zip(case.levels, expected, got, strict=False):
        require_equal("causality", a, b, element=level, conditioning=case.conditioning, context=context)
