"""The counter-based generator: known values, uniformity, keys."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphkit.graph.sampling.random import bounded, check_key, fold, fold_int, new_key
from tests.graph.sampling.checks import assert_equally_likely


def test_fold_is_splitmix64() -> None:
    # The first outputs of the published generator started at 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert fold(1234567, np.arange(4)).tolist() == expected
    assert [fold_int(1234567, n) for n in range(4)] == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 2**31 - 1, 2**32 - 1])
def test_bounded_is_the_high_word_of_the_product(limit: int) -> None:
    bits = fold(3, np.arange(2000))
    edges = np.array([0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1], dtype=np.uint64)
    values = np.concatenate([bits, edges])
    assert bounded(values, limit).tolist() == [value * limit >> 64 for value in values.tolist()]


def test_draws_of_neighbouring_keys_are_independent() -> None:
    keys = fold(fold(0, 0), np.arange(20_000))
    first, second = bounded(fold(keys, 0), 5), bounded(fold(keys, 1), 5)
    assert_equally_likely(zip(first.tolist(), second.tolist(), strict=True), 25)
    assert_equally_likely(zip(first[:-1].tolist(), first[1:].tolist(), strict=True), 25)


def test_new_keys_follow_torchs_random_state() -> None:
    torch.manual_seed(3)
    keys = [new_key(), new_key()]
    torch.manual_seed(3)
    assert [new_key(), check_key(None)] == keys
    assert keys[0] != keys[1]
    assert check_key(np.int64(5)) == 5


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**64, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_bad_seeds_are_refused(seed: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="seed"):
        check_key(seed)
