"""The sampling table: neighbours, random partitions and random walks against DGL and PyG."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import RandomNodeLoader
from torch_geometric.sampler import NodeSamplerInput
from torch_geometric.utils import subgraph

from benchmarks.cases import make_graph
from benchmarks.harness import interleave
from graphkit import Graph
from graphkit.graph.sampling import RandomPartition, random_walk
from graphkit.loader import NeighborSampler, RandomClusterLoader

try:
    import dgl
except ImportError:
    dgl = None

Run = Callable[[], object]
_FANOUTS = ([15, 10, 5], [10, 10])
_BATCH = 1024
_PARTS = 10
_WALKS, _LENGTH = 10_000, 20


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """DGL has an OpenMP runtime of its own."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    if dgl is not None:
        dgl.utils.set_num_threads(number)
    yield
    torch.set_num_threads(before)
    if dgl is not None:
        dgl.utils.set_num_threads(before)


def _cases(graph: Graph) -> Iterator[tuple[str, str, dict[str, Run]]]:
    """Task, the contender that ratios are to, and the contenders."""
    num_nodes, edge_index = graph.num_nodes, graph.edge_index
    theirs = None if dgl is None else dgl.graph(tuple(edge_index), num_nodes=num_nodes).formats(["csr", "csc"])
    if theirs is not None:
        theirs.create_formats_()
    data = Data(x=torch.randn(num_nodes, 64), edge_index=edge_index)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(num_nodes, generator=generator)
    seeds, many = order[:_BATCH].contiguous(), order[: min(20_000, num_nodes)].contiguous()
    start = torch.randint(num_nodes, (_WALKS,), generator=generator)

    def ours(fanouts: list[int], replace: bool, nodes: Tensor, backend: str = "native") -> Run:
        sampler = NeighborSampler(data, fanouts, replace=replace, backend=backend)
        inputs = NodeSamplerInput(None, nodes)
        return lambda: sampler.sample_from_nodes(inputs)

    for replace in (False, True):
        how = "with replacement" if replace else "without replacement"
        for fanouts in _FANOUTS:
            runs: dict[str, Run] = {"graphkit": ours(fanouts, replace, seeds)}
            if not replace:
                runs["graphkit torch"] = ours(fanouts, replace, seeds, "torch")
            if theirs is not None:
                blocks = dgl.dataloading.NeighborSampler(fanouts[::-1], replace=replace)
                runs["DGL"] = lambda sampler=blocks: sampler.sample_blocks(theirs, seeds)
            yield f"{fanouts} of {len(seeds)} seeds {how}", "DGL", runs
        runs = {"graphkit": ours([10], replace, many)}
        if theirs is not None:
            runs["DGL sample_neighbors"] = lambda r=replace: dgl.sampling.sample_neighbors(theirs, many, 10, replace=r)
            hop = dgl.dataloading.NeighborSampler([10], replace=replace)
            runs["DGL"] = lambda sampler=hop: sampler.sample_blocks(theirs, many)
        yield f"[10] of {len(many)} seeds {how}", "DGL", runs

    def pyg_parts() -> None:
        for nodes in torch.randperm(num_nodes).chunk(_PARTS):
            subgraph(nodes, edge_index, relabel_nodes=True, num_nodes=num_nodes)

    yield (
        f"{_PARTS} random parts, edges alone",
        "PyG subgraph",
        {"graphkit": lambda: list(RandomPartition(graph, _PARTS)), "PyG subgraph": pyg_parts},
    )
    loader = RandomClusterLoader(data, _PARTS)
    peer = RandomNodeLoader(data, _PARTS, shuffle=True)
    yield (
        f"{_PARTS} random parts, an epoch of batches with 64 features",
        "PyG RandomNodeLoader",
        {"graphkit": lambda: list(loader), "PyG RandomNodeLoader": lambda: list(peer)},
    )
    _ = graph.csr
    walks: dict[str, Run] = {"graphkit": lambda: random_walk(graph, start, _LENGTH)}
    if theirs is not None:
        walks["DGL"] = lambda: dgl.sampling.random_walk(theirs, start, length=_LENGTH)
    yield f"{_WALKS} random walks of {_LENGTH} steps", "DGL", walks


def sampling_table(num_nodes: int, num_edges: int, rounds: int, graphs: list[str], threads: int) -> list[str]:
    """Markdown lines, one table row per task, graph, number of threads (1 and ``threads``) and contender."""
    lines = [
        f"N = {num_nodes:,}, E = {num_edges:,}, graphs sorted beforehand for all; medians of {rounds} interleaved "
        "rounds. `x` is the time of the peer (DGL, or PyG's form) over that of the row. DGL's `NeighborSampler` makes "
        "its blocks, ours one subgraph with numbers of nodes and edges by hop.",
        "",
        "| task | graph | threads | contender | ms | spread | x |",
        "|" + "---|" * 7,
    ]
    for kind in graphs:
        graph = make_graph(kind, num_nodes, num_edges)
        for number in dict.fromkeys((1, threads)):
            with _threads(number):
                for task, peer, runs in _cases(graph):
                    lines += _rows(f"| {task} | {kind} | {number} |", peer, interleave(runs, rounds))
    return lines


def _rows(head: str, peer: str, found: dict[str, Any]) -> list[str]:
    rows = []
    for name, measured in found.items():
        ratio = f"{found[peer].seconds / measured.seconds:.1f}" if peer in found else ""
        rows.append(f"{head} {name} | {measured.seconds * 1e3:.2f} | {measured.spread:.1f} | {ratio} |")
        print(rows[-1], flush=True)
    return rows
