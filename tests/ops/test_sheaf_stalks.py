"""What a sheaf layer does to its stalks: kernels as their plain forms, value, first and second derivative."""

from __future__ import annotations

import pytest
import torch

from graphkit import native
from graphkit.ops import sheaf_stalks as stalks
from tests.ops.test_sheaf_layer import agree, draw

pytestmark = pytest.mark.skipif(not native.available(), reason=f"native kernels: {native.why_not()}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 16, 20, 64])
def test_update(channels: int, dtype: torch.dtype) -> None:
    agree(stalks.sheaf_update, [draw(50, 3, channels), draw(50, 3, channels), draw(3)], dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 16, 20, 70])
@pytest.mark.parametrize("stalk", [1, 3, 6])
def test_mix(stalk: int, channels: int, dtype: torch.dtype) -> None:
    x, left, right = draw(50, stalk, channels), draw(stalk, stalk), draw(channels, channels)
    agree(stalks.sheaf_mix, [x, left, right], dtype)
    agree(lambda x, left: stalks.sheaf_mix(x, left, None), [x, left], dtype)
    agree(lambda x, right: stalks.sheaf_mix(x, None, right), [x, right], dtype)
    assert stalks.sheaf_mix(x, None, None) is x


def test_nothing_to_do() -> None:
    assert stalks.sheaf_update(torch.ones(0, 3, 4), torch.ones(0, 3, 4), torch.ones(3)).shape == (0, 3, 4)
    assert stalks.sheaf_mix(torch.ones(0, 3, 4), torch.ones(3, 3), torch.ones(4, 4)).shape == (0, 3, 4)


def test_second_derivatives() -> None:
    assert torch.autograd.gradgradcheck(stalks.sheaf_update, (draw(3, 2, 2), draw(3, 2, 2), draw(2)))
    assert torch.autograd.gradgradcheck(stalks.sheaf_mix, (draw(3, 2, 3), draw(2, 2), draw(3, 3)))


def test_errors() -> None:
    x = torch.ones(4, 2, 3)
    for left, right in ((torch.ones(3, 3), None), (None, torch.ones(2, 2)), (torch.ones(2), torch.ones(3, 3))):
        with pytest.raises(ValueError, match=r"must have shapes \[N, d, f\], \[d, d\] and \[f, f\]"):
            stalks.sheaf_mix(x, left, right)
    for flow, factor in ((torch.ones(3, 2, 3), torch.ones(2)), (x, torch.ones(3))):
        with pytest.raises(ValueError, match=r"must have shapes \[N, d, f\], \[N, d, f\] and \[d\]"):
            stalks.sheaf_update(x, flow, factor)
