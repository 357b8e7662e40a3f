"""The native samplers against the numpy reference, bit for bit, and independence of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from graphkit import native
from graphkit.graph.sampling import RandomPartition, random_walk, sample_neighbors
from tests.graph.sampling.checks import random_graph

pytestmark = pytest.mark.skipif(not native.available(), reason="no native samplers")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def assert_same(first: object, second: object) -> None:
    for name in ("node", "row", "col", "edge"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("induced", [False, True])
@pytest.mark.parametrize("fanouts", [[25, 30], [-1, 3], [40, 100], [1]])
@pytest.mark.usefixtures("two_threads")
def test_neighbours(threads: int, wide: bool, replace: bool, induced: bool, fanouts: list[int]) -> None:
    torch.set_num_threads(threads)
    graph = random_graph(3000, 100_000, wide=wide)  # large enough for the second thread to work
    seeds = torch.randint(0, 3000, (1500,))
    seeds[:2] = 0

    def run(backend: str) -> object:
        return sample_neighbors(graph, seeds, fanouts, replace=replace, induced=induced, seed=9, backend=backend)

    assert_same(run("native"), run("torch"))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("two_threads")
def test_partitions_walks_and_many_seeds(threads: int) -> None:
    torch.set_num_threads(threads)
    graph = random_graph(40_000, 100_000)
    for num_parts in (1, 3, 50):
        parts = (RandomPartition(graph, num_parts, seed=6, backend=name) for name in ("native", "torch"))
        for first, second in zip(*parts, strict=True):
            assert_same(first, second)
    nodes = torch.arange(40_000)
    walks = [random_walk(graph, nodes, 9, seed=6, backend=name) for name in ("native", "torch")]
    assert torch.equal(*walks)
    assert_same(*(sample_neighbors(graph, nodes, [2], seed=6, backend=name) for name in ("native", "torch")))
