"""Graphs for the tests of this folder: hand-made edge cases and hypothesis strategies."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

# name -> (edges as (source, target), size)
CASES: dict[str, tuple[list[tuple[int, int]], tuple[int, int]]] = {
    "no nodes": ([], (0, 0)),
    "no edges": ([], (4, 4)),
    "one loop": ([(0, 0)], (1, 1)),
    "path": ([(0, 1), (1, 2), (2, 3)], (4, 4)),
    "unsorted with isolated nodes": ([(5, 2), (0, 2), (2, 5), (2, 0), (4, 2)], (8, 8)),
    "multi-edges": ([(0, 1), (0, 1), (1, 0), (0, 1), (2, 1)], (3, 3)),
    "many loops": ([(1, 1), (0, 1), (1, 1), (2, 2), (1, 0)], (3, 3)),
    "bipartite": ([(4, 0), (0, 2), (3, 2), (4, 0), (1, 1)], (5, 3)),
    "bipartite, no targets": ([], (3, 0)),
}


def edge_tensor(edges: list[tuple[int, int]], dtype: torch.dtype = torch.int64) -> Tensor:
    """``[2, E]`` from pairs."""
    return torch.tensor(edges, dtype=dtype).reshape(-1, 2).t()


def random_edges(num_nodes: int, num_edges: int, seed: int = 0) -> Tensor:
    """Random directed multigraph with loops."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, num_nodes, (2, num_edges), generator=generator)


@st.composite
def edge_lists(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int]:
    """Small directed multigraphs with loops and isolated nodes."""
    num_nodes = draw(st.integers(1, 6))
    node = st.integers(0, num_nodes - 1)
    return draw(st.lists(st.tuples(node, node), max_size=14)), num_nodes
