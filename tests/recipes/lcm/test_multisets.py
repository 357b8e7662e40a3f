from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import SumAggregation

from graphkit.nn import LCMAggregation
from graphkit.recipes.lcm.multisets import Multisets, SecondMinimumNet, draw_multisets, to_bits


def by_hand(sets: Multisets) -> list[int]:
    return [sorted(part.tolist())[1] for part in sets.values.split(sets.lengths.tolist())]


def test_targets_sizes_and_numbers():
    sets = draw_multisets(500, (2, 9), 4, torch.Generator().manual_seed(0))
    assert sets.targets.tolist() == by_hand(sets)
    assert sets.lengths.unique().tolist() == list(range(2, 10))
    assert sets.values.unique().tolist() == list(range(16))
    again = draw_multisets(500, (2, 9), 4, torch.Generator().manual_seed(0))
    assert torch.equal(again.values, sets.values)
    with pytest.raises(ValueError, match="no second minimum"):
        draw_multisets(5, (1, 9), 4, torch.Generator())


def test_duplicates_count_twice():
    sets = Multisets(torch.tensor([3, 5, 3]), torch.tensor([3]), torch.tensor([3]))
    assert by_hand(sets) == [3]


def test_taking_some():
    sets = draw_multisets(50, (2, 9), 6, torch.Generator().manual_seed(0))
    which = torch.tensor([7, 0, 49, 7])
    taken = sets.take(which)
    parts = sets.values.split(sets.lengths.tolist())
    assert torch.equal(taken.values, torch.cat([parts[i] for i in which.tolist()]))
    assert taken.targets.tolist() == by_hand(taken)


def test_shuffling_moves_numbers_inside_their_multiset():
    sets = draw_multisets(50, (2, 9), 6, torch.Generator().manual_seed(0))
    moved = sets.shuffled(torch.Generator().manual_seed(1))
    assert not torch.equal(moved.values, sets.values)
    lengths = sets.lengths.tolist()
    pairs = zip(moved.values.split(lengths), sets.values.split(lengths), strict=True)
    assert all(torch.equal(a.sort().values, b.sort().values) for a, b in pairs)
    assert moved.targets.tolist() == by_hand(moved)


def test_bits_count_back():
    values = torch.arange(64)
    assert torch.equal((to_bits(values, 6) * 2.0 ** torch.arange(5, -1, -1)).sum(1), values.float())


@pytest.mark.parametrize("aggr", [LCMAggregation(8, 8), SumAggregation()])
def test_the_answer_depends_on_the_set_alone(aggr):
    sets = draw_multisets(20, (2, 6), 5, torch.Generator().manual_seed(0))
    net = SecondMinimumNet(5, 8, aggr).eval()
    together = net(sets)
    assert together.shape == (20, 5)
    torch.testing.assert_close(net(sets.take(torch.tensor([4]))), together[4:5])
    right = ((together > 0) == (to_bits(sets.targets, 5) > 0)).all(1).float().mean().item()
    assert net.train().accuracy(sets) == pytest.approx(right)
    assert net.training
