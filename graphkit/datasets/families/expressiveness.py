"""Graphs that message passing cannot tell apart: EXP, circular skip links (CSL), and all graphs on eight nodes."""

from __future__ import annotations

import networkx as nx
import numpy as np
import torch
from torch_geometric.data import Data, Dataset, InMemoryDataset
from torch_geometric.datasets import GNNBenchmarkDataset

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.families.common import Opener, Root, Transform


class EXP(InMemoryDataset):
    r"""600 pairs of planar graphs, one satisfiable and one not, that the 1-WL test cannot tell apart.

    Graphs ``2k`` and ``2k + 1`` are a pair; ``x`` is 0 for a literal and 1 for a clause; ``y`` is the class.

    Read from plain arrays, ``exp_graphs.npz`` (``x, edge_index, y, node_ptr, edge_ptr``; the ids in ``edge_index``
    count from 0 in each graph). The published file is a pickle of PyG 1 objects: unpickling can run any code, and
    these objects do not work with today's PyG.

    Source: R. Abboud et al., *The Surprising Power of Graph Neural Networks with Random Node Initialization*,
    IJCAI 2021.

    Args:
        root: a folder with ``raw/exp_graphs.npz``.
        transform: applied to each graph when it is read.

    Shapes:
        ``x``: ``[n, 1]`` int64, ``edge_index``: ``[2, e]``, ``y``: ``[1]``.
    """

    def __init__(self, root: str, transform: Transform = None) -> None:
        super().__init__(root, transform)
        self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        """The one raw file."""
        return ["exp_graphs.npz"]

    @property
    def processed_file_names(self) -> list[str]:
        """The one processed file."""
        return ["data.pt"]

    def process(self) -> None:
        """Cuts the arrays into graphs."""
        with np.load(self.raw_paths[0]) as arrays:
            x, edge_index, y = (torch.from_numpy(arrays[key]).long() for key in ("x", "edge_index", "y"))
            nodes, edges = arrays["node_ptr"], arrays["edge_ptr"]
        if nodes[-1] != len(x) or edges[-1] != edge_index.size(1) or not len(nodes) == len(edges) == len(y) + 1:
            raise ValueError("the lengths of x, edge_index, y, node_ptr and edge_ptr do not fit together")
        graphs = [
            Data(x=x[nodes[i] : nodes[i + 1]], edge_index=edge_index[:, edges[i] : edges[i + 1]], y=y[i : i + 1])
            for i in range(len(y))
        ]
        self.save(graphs, self.processed_paths[0])


class Graph8c(InMemoryDataset):
    r"""All 11,117 connected graphs on 8 nodes, no two of them isomorphic; ``x`` is 1 everywhere.

    Source: the file ``graph8c.g6`` of B. D. McKay's collection, in the graph6 format that networkx reads; as a test
    of expressive power: M. Balcilar et al., *Breaking the Limits of Message Passing Graph Neural Networks*, ICML 2021.

    Args:
        root: a folder with ``raw/graph8c.g6``.
        transform: applied to each graph when it is read.

    Shapes:
        ``x``: ``[8, 1]``, ``edge_index``: ``[2, e]``, both directions of each edge.
    """

    def __init__(self, root: str, transform: Transform = None) -> None:
        super().__init__(root, transform)
        self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        """The one raw file."""
        return ["graph8c.g6"]

    @property
    def processed_file_names(self) -> list[str]:
        """The one processed file."""
        return ["data.pt"]

    def process(self) -> None:
        """Reads the graphs with networkx."""
        graphs = []
        for graph in nx.read_graph6(self.raw_paths[0]):
            one_way = torch.tensor(list(graph.edges)).t()
            graphs.append(Data(x=torch.ones(graph.number_of_nodes(), 1), edge_index=_both_ways(one_way)))
        self.save(graphs, self.processed_paths[0])


def _both_ways(one_way: torch.Tensor) -> torch.Tensor:
    return torch.cat([one_way, one_way.flip(0)], dim=1)


def _exp(root: Root = None, *, download: str = "no", transform: Transform = None) -> Dataset:
    group = FileGroup(("exp_graphs.npz",), ("EXP", "EXP/raw", "raw"))
    return open_cached("exp", [group], root, "raw", lambda folder: EXP(folder, transform), download=download)


def _graph8c(root: Root = None, *, download: str = "no", transform: Transform = None) -> Dataset:
    group = FileGroup(("graph8c.g6",), ("graph8c/raw", "graph8c", "raw"))
    return open_cached("graph8c", [group], root, "raw", lambda folder: Graph8c(folder, transform), download=download)


def _csl(root: Root = None, *, download: str = "no", transform: Transform = None) -> Dataset:
    names = ("graphs_Kary_Deterministic_Graphs.pkl", "y_Kary_Deterministic_Graphs.pt")
    folders = ("CSL/raw", "GNNBenchmarkDataset/CSL/raw", "raw")
    group = FileGroup(names, folders, urls=(GNNBenchmarkDataset.urls["CSL"],))
    return open_cached(
        "csl",
        [group],
        root,
        "CSL/raw",
        lambda folder: GNNBenchmarkDataset(folder, "CSL", transform=transform),
        download=download,
    )


ENTRIES: dict[str, Opener] = {"exp": _exp, "csl": _csl, "graph8c": _graph8c}
