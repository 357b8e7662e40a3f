"""Negative pairs: never true, never twice, drawn from where they should be."""

from __future__ import annotations

import pytest
import torch

from graphkit.graph.temporal import complement_size, historical_negatives, random_negatives, target_negatives

POSITIVE = torch.tensor([[0, 0, 3, 5], [1, 2, 4, 5]])


def keys(pairs: torch.Tensor, n: int) -> set[int]:
    return set((pairs[0] * n + pairs[1]).tolist())


def test_uniform_pairs_are_new_distinct_and_enough() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = random_negatives(POSITIVE, 60, 500, generator)
    assert pairs.size(1) == 500 == len(keys(pairs, 60))
    assert not keys(pairs, 60) & keys(POSITIVE, 60)
    assert pairs[0].ne(pairs[1]).all()
    again = random_negatives(POSITIVE, 60, 500, torch.Generator().manual_seed(0))
    assert again.equal(pairs)


def test_the_first_good_candidates_are_kept_in_their_order() -> None:
    """As the published loop does, which looks at one candidate after the other."""
    source = torch.randint(7, (4 * 12,), generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    torch.randint(7, (4 * 12,), generator=generator)
    target = torch.randint(7, (4 * 12,), generator=generator)
    seen, expected = keys(POSITIVE, 7), []
    for i, j in zip(source.tolist(), target.tolist(), strict=True):
        if i != j and i * 7 + j not in seen and len(expected) < 12:
            seen.add(i * 7 + j)
            expected.append([i, j])
    assert random_negatives(POSITIVE, 7, 12, torch.Generator().manual_seed(3)).t().tolist() == expected


def test_a_small_graph_runs_out_of_pairs() -> None:
    pairs = random_negatives(torch.tensor([[0], [1]]), 2, 10)
    assert pairs.tolist() == [[1], [0]]
    assert complement_size(POSITIVE, 6) == 32
    assert complement_size(torch.tensor([[0, 0], [1, 1]]), 2) == 3


def test_pools_decide_where_pairs_come_from() -> None:
    pairs = random_negatives(POSITIVE, 50, 40, sources=torch.tensor([7, 8]), targets=torch.arange(20, 50))
    assert set(pairs[0].tolist()) == {7, 8}
    assert pairs[1].min() >= 20
    assert random_negatives(POSITIVE, 50, 40, sources=torch.tensor([], dtype=torch.long)).size(1) == 0


def test_hard_ones_were_edges_once() -> None:
    history = torch.randint(30, (2, 200))
    now = history[:, :50]
    pairs = historical_negatives(history, now, 30, 20, torch.Generator().manual_seed(0))
    assert pairs.size(1) == 20 == len(keys(pairs, 30))
    assert keys(pairs, 30) <= keys(history, 30) - keys(now, 30)
    more = historical_negatives(history[:, :60], now, 30, 100, torch.Generator().manual_seed(0))
    assert more.size(1) == 100 == len(keys(more, 30))
    assert not keys(more, 30) & keys(now, 30)
    none = historical_negatives(history[:, :0], now, 30, 5)
    assert none.size(1) == 5


def test_a_negative_count_is_refused() -> None:
    for draw in (lambda: random_negatives(POSITIVE, 6, -1), lambda: historical_negatives(POSITIVE, POSITIVE, 6, -1)):
        with pytest.raises(ValueError, match="must not be negative"):
            draw()


def test_targets_of_the_same_source_half_of_them_past() -> None:
    history = torch.randint(30, (2, 300))
    now = torch.unique(history[:, :40], dim=1)
    targets = target_negatives(history, now, 30, 8, torch.Generator().manual_seed(0))
    true, past = keys(now, 30), keys(history, 30)
    for source, row in zip(now[0].tolist(), targets.tolist(), strict=True):
        assert len(set(row)) == 8
        assert not {source * 30 + j for j in row} & true
        known = sum(source * 30 + j in past for j in range(30) if source * 30 + j not in true)
        assert sum(source * 30 + j in past for j in row) >= min(4, known)
    with pytest.raises(ValueError, match="nodes a source is not connected to"):
        target_negatives(history, torch.stack([torch.zeros(28, dtype=torch.long), torch.arange(28)]), 30, 8)
    with pytest.raises(ValueError, match=r"must lie in \[1, 30\)"):
        target_negatives(history, now, 30, 30)
    assert target_negatives(history, now[:, :0], 30, 8).shape == (0, 8)
