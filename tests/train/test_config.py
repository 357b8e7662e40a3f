"""Numbers out of range are refused by name."""

from __future__ import annotations

import pytest
import torch

from graphkit.train import TrainConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("patience", 0),
        ("checkpoint_every", 0),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("weight_decay", -1.0),
    ],
)
def test_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}: got {value}"):
        TrainConfig(**{name: value})  # type: ignore[arg-type]


def test_device() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert TrainConfig().torch_device() == torch.device(expected)
    assert TrainConfig(device="cuda:1").torch_device() == torch.device("cuda", 1)
