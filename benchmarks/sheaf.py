"""The sheaf tables: one operator call, one training step, construction, and growth with the number of edges."""

from __future__ import annotations

import copy
import itertools
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import Measurement, copy_bandwidth, interleave, peak_memory, saved_bytes
from benchmarks.sheaf_peers import CachedCSR, Published, dictionary_pairs, gather_bmm
from graphkit import Graph, ops
from graphkit.models import NeuralSheafDiffusion
from graphkit.nn.sheaf import symmetric

KINDS = ("diagonal", "bundle", "general")


def make_graph(num_nodes: int, num_edges: int) -> Graph:
    """A simple random graph with ``num_edges`` directed edges, both directions, sorted by source."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.empty(0, dtype=torch.long)
    while keys.numel() < num_edges // 2:
        u, v = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
        drawn = (torch.minimum(u, v) * num_nodes + torch.maximum(u, v))[u != v]
        keys = torch.unique(torch.cat([keys, drawn]))
    keys = keys[torch.randperm(keys.numel(), generator=generator)[: num_edges // 2]]
    u, v = keys // num_nodes, keys % num_nodes
    row, col = torch.cat([u, v]), torch.cat([v, u])
    order = torch.argsort(row * num_nodes + col)
    return Graph.from_edge_index(torch.stack([row[order], col[order]]), num_nodes)


def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own that gives freed memory back, so that one contender's memory is not another's."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()
    finally:
        del os.environ["MALLOC_MMAP_THRESHOLD_"]


# One operator call ----------------------------------------------------------------------------------------------


def _operator(kind: str, d: int, width: int, nodes: int, edges: int) -> tuple[dict[str, Callable[..., Tensor]], list]:
    graph = make_graph(nodes, edges)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(nodes, d, width, generator=generator)
    maps = torch.rand(edges, *((d,) if kind == "diagonal" else (d, d)), generator=generator) * 2 - 1
    weight = None
    if kind == "bundle":
        maps = torch.linalg.qr(maps).Q.contiguous()
        weight = torch.rand(edges, generator=generator)
        weight = (weight + weight[graph.reverse]) / 2
    csr = CachedCSR(graph, d, kind)
    runs: dict[str, Callable[..., Tensor]] = {
        "graphkit": lambda x, maps: ops.sheaf_laplacian(x, graph, maps, edge_weight=weight),
        "cached CSR": lambda x, maps: csr(x, maps, weight),
        "gather + bmm + index_add": lambda x, maps: gather_bmm(graph, x, maps, weight),
    }
    return runs, [x.requires_grad_(), maps.requires_grad_(), torch.randn(x.shape, generator=generator)]


def _call(run: Callable[..., Tensor], leaves: list) -> Callable[[], object]:
    x, maps, grad = leaves
    return lambda: torch.autograd.grad(run(x, maps), [x, maps], grad)


def _operator_times(
    kind: str, d: int, width: int, nodes: int, edges: int, rounds: int, threads: int
) -> dict[str, Measurement]:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    runs, leaves = _operator(kind, d, width, nodes, edges)
    ours = torch.autograd.grad(runs["graphkit"](*leaves[:2]), leaves[0], leaves[2])[0]
    for name, run in runs.items():  # the same operator, or there is nothing to compare
        other = torch.autograd.grad(run(*leaves[:2]), leaves[0], leaves[2])[0]
        if not torch.allclose(ours, other, rtol=1e-3, atol=1e-2):
            raise AssertionError(f"{name} computes something else for {kind} maps, d = {d}")
    return interleave({name: _call(run, leaves) for name, run in runs.items()}, rounds)


def _operator_memory(name: str, *case: Any) -> tuple[int | None, int]:
    warnings.simplefilter("ignore")
    runs, leaves = _operator(*case)
    step = _call(runs[name], leaves)
    step()
    peak = peak_memory(step)
    return peak, saved_bytes(lambda: runs[name](*leaves[:2]), leaves[:2])


def operator_rows(nodes: int, edges: int, rounds: int, threads: int, kinds: list[str], stalks: list[int]) -> list[str]:
    """One line per kind of maps, width and stalk dimension."""
    bandwidth = copy_bandwidth()
    lines = []
    for kind, width, d in itertools.product(kinds, (20, 64), stalks):
        if kind == "bundle" and d == 1:
            continue  # an orthogonal 1 x 1 matrix is a sign
        case = (kind, d, width, nodes, edges)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            times = pool.submit(_operator_times, *case, rounds, threads).result()
        ours = times["graphkit"].seconds
        entries = d if kind == "diagonal" else d * d
        # x, the output's gradient and the maps read by both passes; output and gradients written; 4 indices per edge.
        floor = 4 * (6 * nodes * d * width + 3 * edges * entries + 2 * 4 * edges) / bandwidth
        for name, measured in times.items():
            peak, saved = _apart(_operator_memory, name, *case)
            lines.append(
                f"| {kind} | {width} | {d} | {name} | {measured.seconds * 1e3:.1f} | {measured.seconds / ours:.1f} | "
                f"{measured.seconds / floor:.1f} | {'' if peak is None else f'{peak / 2**20:.0f}'} | "
                f"{saved / 2**20:.0f} |"
            )
            print(lines[-1], flush=True)
    return lines


# One training step ----------------------------------------------------------------------------------------------


def _step(kind: str, nodes: int, edges: int) -> tuple[dict[str, Callable[[], Tensor]], dict[str, Callable[[], None]]]:
    """The loss, and a step, of each contender."""
    graph = make_graph(nodes, edges)
    torch.manual_seed(0)
    x, y = torch.randn(nodes, 64), torch.randint(5, (nodes,))
    ours = NeuralSheafDiffusion(64, 20, 4, 5, stalk_dim=3, maps=kind)  # type: ignore[arg-type]
    theirs = Published(copy.deepcopy(ours), graph)
    losses: dict[str, Callable[[], Tensor]] = {
        "graphkit": lambda: F.cross_entropy(ours(x, graph), y),
        "published form": lambda: F.cross_entropy(theirs(x), y),
    }
    steps = {}
    for name, model in (("graphkit", ours), ("published form", theirs)):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)  # the fastest, for both

        def step(name: str = name, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.zero_grad(set_to_none=True)
            losses[name]().backward()
            optimizer.step()

        steps[name] = step
    return losses, steps


def _step_times(kind: str, nodes: int, edges: int, rounds: int, threads: int) -> dict[str, Measurement]:
    torch.set_num_threads(threads)
    losses, steps = _step(kind, nodes, edges)
    a, b = (loss().item() for loss in losses.values())
    if abs(a - b) > (1e-3 if kind == "general" else 1e-5):  # of general maps, the published form perturbs
        raise AssertionError(f"the losses differ: {a} and {b}")
    return interleave(steps, rounds)


def _step_memory(name: str, kind: str, nodes: int, edges: int) -> tuple[int | None, int]:
    losses, steps = _step(kind, nodes, edges)
    for _ in range(2):
        steps[name]()
    return peak_memory(steps[name]), saved_bytes(losses[name], [])


def step_rows(rounds: int, threads: int, kinds: list[str]) -> list[str]:
    """One line per kind of maps, size and contender."""
    lines = []
    for (nodes, edges), kind in itertools.product(((183, 558), (10_000, 100_000), (10_000, 200_000)), kinds):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            many = rounds if nodes > 1000 else 20 * rounds
            times = pool.submit(_step_times, kind, nodes, edges, many, threads).result()
        memory = {name: _apart(_step_memory, name, kind, nodes, edges) for name in times}
        ours, (least, _) = times["graphkit"].seconds, memory["graphkit"]
        for name, measured in times.items():
            peak, saved = memory[name]
            shown = "" if peak is None else f"{peak / 2**20:.1f}"
            factor = "" if peak is None or not least else f"{peak / least:.1f}"
            lines.append(
                f"| {nodes:,} | {edges:,} | {kind} | {name} | {measured.seconds * 1e3:.1f} | "
                f"{measured.seconds / ours:.1f} | {shown} | {factor} | {saved / 2**20:.1f} |"
            )
            print(lines[-1], flush=True)
    return lines


# Construction and growth ----------------------------------------------------------------------------------------


def _milliseconds(run: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[rounds // 2] * 1e3


def construction_rows(rounds: int) -> list[str]:
    """What is done once: the layers, and the structure of the graph."""
    edge_index = make_graph(10_000, 100_000).edge_index

    def structure() -> None:
        graph = Graph.from_edge_index(edge_index, 10_000)
        _ = graph.csr, symmetric(graph)

    model = _milliseconds(lambda: NeuralSheafDiffusion(64, 20, 4, 5, maps="bundle"), rounds)
    pairs = _milliseconds(structure, rounds)
    loop = _milliseconds(lambda: dictionary_pairs(edge_index), 1)
    return [
        f"| the network, 4 layers of bundle maps | {model:.1f} |",
        f"| a Graph: sorted, checked, edges paired with their reverses | {pairs:.1f} |",
        f"| pairing by a Python dictionary, as published, once (4 layers of bundle maps need 6) | {loop:.0f} |",
    ]


def _normalised(graph: Graph, x: Tensor, maps: Tensor) -> Tensor:
    return ops.sheaf_laplacian(x, graph, maps, normalized=True)


def growth_rows(rounds: int, nodes: int, edges: int) -> list[str]:
    """Ours, d = 3, 20 channels, general maps, normalised: cost per edge."""
    lines = []
    for count in (edges // 8, edges // 4, edges // 2, edges):
        _, leaves = _operator("general", 3, 20, nodes, count)
        graph = make_graph(nodes, count)
        step = _call(partial(_normalised, graph), leaves)
        seconds = interleave({"graphkit": step}, rounds)["graphkit"].seconds
        lines.append(f"| {count:,} | {seconds * 1e3:.1f} | {seconds / count * 1e9:.0f} |")
        print(lines[-1], flush=True)
    return lines


def sheaf_table(
    nodes: int, edges: int, rounds: int, threads: int, kinds: list[str] | None = None, stalks: list[int] | None = None
) -> list[str]:
    """Markdown lines of the four tables."""
    kinds = kinds or list(KINDS)
    return [
        f"### One call of the Laplacian, forward and backward, {threads} threads",
        "",
        f"N = {nodes:,}, E = {edges:,} directed edges, float32, gradients to x and the maps, medians of {rounds} "
        "interleaved rounds. `x ours`: time over graphkit's; `/ floor`: over the time to copy what must be read and "
        "written; `peak`: rise of resident memory in a call, `saved`: what autograd keeps besides x and the maps "
        "(index arrays included). Bundle: with an edge weight; the CSR form then knows that the degree is a number.",
        "",
        "| maps | channels | d | contender | ms | x ours | / floor | peak MB | saved MB |",
        "|" + "---|" * 9,
        *operator_rows(nodes, edges, rounds, threads, kinds, stalks or [1, 2, 3, 4, 5]),
        "",
        f"### One training step of neural sheaf diffusion, {threads} threads",
        "",
        "4 layers, d = 3, 20 channels, input 64, 5 classes, Adam, normalised, left and right weights; bundle: "
        "Householder's maps and edge weights. The published form: `benchmarks/sheaf_peers.py`. Memory is that of "
        "processes of their own, in which freed memory is given back.",
        "",
        "| nodes | directed edges | maps | contender | ms | x ours | peak MB | x ours | saved MB |",
        "|" + "---|" * 9,
        *step_rows(rounds, threads, kinds),
        "",
        "### Construction, 10,000 nodes, 100,000 directed edges",
        "",
        "| what | ms |",
        "|---|---|",
        *construction_rows(rounds),
        "",
        f"### Growth with the number of edges, {nodes:,} nodes, {threads} threads",
        "",
        "Forward and backward of the normalised Laplacian, general maps, d = 3, 20 channels.",
        "",
        "| directed edges | ms | ns per edge |",
        "|---|---|---|",
        *growth_rows(rounds, nodes, edges),
    ]
