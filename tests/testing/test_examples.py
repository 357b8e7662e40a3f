from __future__ import annotations

import pytest
import torch

from graphkit.testing import example_data, example_edges


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("undirected", [False, True])
def test_example_has_every_awkward_thing(undirected: bool) -> None:
    source, target = example_edges(generator(), 12, undirected)
    loops = source == target
    pairs = list(zip(source[~loops].tolist(), target[~loops].tolist(), strict=True))
    assert int(loops.sum()) == 1
    assert len(set(pairs)) < len(pairs)  # a double edge
    assert 11 not in source.tolist() + target.tolist()  # an isolated node
    assert not any((s < 7) != (t < 7) for s, t in pairs)  # two components
    degree = torch.bincount(target, minlength=12)
    assert int(degree.argmax()) == 0  # a hub
    assert bool((target.diff() < 0).any())  # not sorted
    if undirected:
        assert sorted(pairs) == sorted((t, s) for s, t in pairs)


def test_same_seed_same_data() -> None:
    first, second, other = (example_data(("x", "edge_attr"), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.edge_index, second.edge_index)
    assert not torch.equal(first.x, other.x)


def test_too_small() -> None:
    with pytest.raises(ValueError, match=r"'num_nodes' must be at least 8 .* got 5"):
        example_edges(generator(), 5)
