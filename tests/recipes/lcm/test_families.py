"""Random graphs of mixed families, before and after toggling."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from graphkit.recipes.lcm.families import FAMILIES, _toggle, draw_graphs


def family(name: str, size: int, seed: int) -> nx.Graph:
    return nx.convert_node_labels_to_integers(FAMILIES[name][1](size, np.random.default_rng(seed)))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("size", [3, 15, 16, 17, 23, 50])
def test_sizes_are_those_asked_for(name: str, size: int) -> None:
    graphs = [family(name, size, seed) for seed in range(4)]
    assert all(graph.number_of_nodes() == size for graph in graphs)
    assert not any(nx.number_of_selfloops(graph) for graph in graphs)


@pytest.mark.parametrize("name", ["power-law tree", "line", "star", "caterpillar", "lobster"])
def test_trees_are_trees(name: str) -> None:
    assert all(nx.is_tree(family(name, size, size)) for size in range(15, 25))


def test_shapes() -> None:
    assert nx.is_isomorphic(family("grid", 20, 0), nx.grid_2d_graph(4, 5))
    assert nx.is_isomorphic(family("ladder", 16, 0), nx.ladder_graph(8))
    odd = family("ladder", 17, 0)
    assert odd.number_of_edges() == nx.ladder_graph(8).number_of_edges() + 1
    assert nx.is_connected(odd)
    assert sorted(map(len, nx.connected_components(family("caveman", 20, 0)))) == [5] * 4
    assert family("star", 9, 0).degree(0) == 8


@pytest.mark.parametrize(("name", "steps"), [("caterpillar", 1), ("lobster", 2)])
def test_without_its_leaves_a_caterpillar_is_a_line_and_a_lobster_a_caterpillar(name: str, steps: int) -> None:
    for seed in range(20):
        graph = family(name, 20, seed)
        for _ in range(steps):
            graph = graph.subgraph([node for node in graph if graph.degree(node) > 1])
        assert max((degree for _, degree in graph.degree), default=0) <= 2


def test_degrees_of_trees_follow_the_power_law() -> None:
    """Shares of degrees 1 and 2 under the density 2 / d**3 from 1 on, rounded, given the mean."""
    degrees = np.concatenate([[d for _, d in family("power-law tree", 24, seed).degree] for seed in range(200)])
    assert np.mean(degrees == 1) == pytest.approx(1 - 1.5**-2, abs=0.04)
    assert np.mean(degrees == 2) == pytest.approx(1.5**-2 - 2.5**-2, abs=0.04)
    assert degrees.max() > 8


def test_toggling_keeps_nine_of_ten_edges_and_their_number() -> None:
    rng = np.random.default_rng(0)
    before = np.tile(nx.to_numpy_array(nx.cycle_graph(40), dtype=bool), (200, 1, 1))
    after = _toggle(before, rng)
    assert (after & before).sum() / before.sum() == pytest.approx(0.9, abs=0.01)
    assert after.sum() / before.sum() == pytest.approx(1.0, abs=0.02)
    assert np.array_equal(after, after.transpose(0, 2, 1))
    assert not after[:, range(40), range(40)].any()
    whole = _toggle(np.tile(~np.eye(6, dtype=bool), (50, 1, 1)), rng)  # nothing is left to appear
    assert 0.8 < whole.sum() / (50 * 30) < 1


def test_draws_are_simple_repeatable_and_without_isolated_nodes() -> None:
    graphs = draw_graphs(100, 17, np.random.default_rng(3))
    assert graphs.shape == (100, 17, 17)
    assert graphs.any(2).all()
    assert np.array_equal(graphs, graphs.transpose(0, 2, 1))
    assert not graphs[:, range(17), range(17)].any()
    assert np.array_equal(graphs, draw_graphs(100, 17, np.random.default_rng(3)))
    assert not np.array_equal(graphs, draw_graphs(100, 17, np.random.default_rng(4)))
    with pytest.raises(ValueError, match="at least 3"):
        draw_graphs(1, 2, np.random.default_rng(0))


def test_shares() -> None:
    assert sum(share for share, _ in FAMILIES.values()) == pytest.approx(1)
    assert {name: share for name, (share, _) in FAMILIES.items() if share >= 0.15} == {
        "Erdos-Renyi": 0.2,
        "Barabasi-Albert": 0.2,
        "power-law tree": 0.15,
    }
