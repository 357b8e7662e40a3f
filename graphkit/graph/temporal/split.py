"""Training, validation and test steps, in the order of time."""

from __future__ import annotations

import math
from typing import NamedTuple


class TimeSplit(NamedTuple):
    """Steps of the three parts: each is the last input step of a sample."""

    train: range
    val: range
    test: range


def split_by_time(num_steps: int, history: int, train: float = 0.7, val: float = 0.1, horizon: int = 0) -> TimeSplit:
    r"""The published split: no step of a later part comes before one of an earlier.

    With M the last step, training samples end at the steps :math:`[h, \lfloor M p \rfloor)`, validation at
    :math:`[\lfloor M p \rfloor, \lfloor M (p + q) \rfloor)`, test at the rest. Inputs may reach back into the steps of
    an earlier part, targets (``horizon`` steps ahead) do not reach beyond the sequence.

    Args:
        num_steps: T.
        history: h, number of steps before a sample's last.
        train: p, share of the steps.
        val: q.
        horizon: how many steps ahead the target is: 1 to predict the next step's links, 0 to label a step itself.

    Raises:
        ValueError: if a number is out of range, or a part would be empty.

    Example:
        >>> split_by_time(50, 5, horizon=1)
        TimeSplit(train=range(5, 34), val=range(34, 39), test=range(39, 49))
    """
    if history < 0 or horizon < 0:
        raise ValueError(f"'history' and 'horizon' must not be negative (got {history}, {horizon})")
    if min(train, val) <= 0 or train + val >= 1:
        raise ValueError(f"'train' and 'val' must be shares that leave some for testing (got {train}, {val})")
    last = num_steps - 1
    first, second = math.floor(last * train), math.floor(last * (train + val))
    split = TimeSplit(range(history, first), range(first, second), range(second, last - horizon + 1))
    for name, part in zip(split._fields, split, strict=True):
        if not part:
            raise ValueError(
                f"{num_steps} steps with a history of {history} leave none for '{name}' (it would be {part}); "
                "use more steps or a shorter history"
            )
    return split
