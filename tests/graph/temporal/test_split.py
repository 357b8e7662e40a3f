"""Splits by time: those of the published code, and what cannot be split."""

from __future__ import annotations

import numpy as np
import pytest

from graphkit.graph.temporal import split_by_time
from tests.golden.evolvegcn_golden import FOLDER


def test_published_splits() -> None:
    with np.load(FOLDER / "splits.npz") as arrays:
        for name, task, last, history, train, val, expected in zip(
            *(
                arrays[key]
                for key in ("names", "task", "max_time", "num_hist_steps", "train_prop", "dev_prop", "ranges")
            ),
            strict=True,
        ):
            horizon = 1 if task == "link_pred" else 0
            split = split_by_time(int(last) + 1, int(history), float(train), float(val), horizon)
            assert [end for part in split for end in (part.start, part.stop)] == expected.tolist(), name


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((50, -1), "must not be negative"),
        ((50, 5, 0.0), "must be shares"),
        ((50, 5, 0.9, 0.2), "must be shares"),
        ((50, 40), "leave none for 'train'"),
        ((3, 0), "leave none for 'val'"),
    ],
)
def test_what_cannot_be_split(arguments, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        split_by_time(*arguments)
