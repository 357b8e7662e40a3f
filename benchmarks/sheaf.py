"""The sheaf tables: one operator call, construction and growth with the number of edges; steps: ``sheaf_steps``."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import copy_bandwidth, interleave, peak_memory, saved_bytes
from benchmarks.sheaf_peers import CachedCSR, dictionary_pairs, gather_bmm, gather_transported
from benchmarks.sheaf_steps import (
    LARGE_BYTES,
    ONE_STEP,
    STEP_SECONDS,
    apart,
    fresh,
    large_step_rows,
    make_graph,
    step_rows,
)
from graphkit import Graph, ops
from graphkit.models import NeuralSheafDiffusion
from graphkit.nn.sheaf import symmetric

KINDS = ("diagonal", "bundle", "general")
DETAILED = (3, 20)  # stalk dimension and channels of the rows with memory, and with one contender more


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
    if (d, width) == DETAILED:
        runs["the same, transports first"] = lambda x, maps: gather_transported(graph, x, maps, weight)
    return runs, [x.requires_grad_(), maps.requires_grad_(), torch.randn(x.shape, generator=generator)]


def _call(run: Callable[..., Tensor], leaves: list) -> Callable[[], tuple[Tensor, ...]]:
    x, maps, grad = leaves
    return lambda: torch.autograd.grad(run(x, maps), [x, maps], grad)


SECONDS = 25.0  # after which a case begins no further round


def _operator_times(
    cases: list[tuple[str, int, int]], nodes: int, edges: int, rounds: int, threads: int
) -> Iterator[tuple[str, int, int, str, float, float]]:
    """Case, contender, seconds, and how many times those of graphkit."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    for kind, d, width in cases:
        _same(*_operator(kind, d, width, nodes // 20, edges // 20), f"{kind} maps, d = {d}")
        runs, leaves = _operator(kind, d, width, nodes, edges)
        calls = {name: _call(run, leaves) for name, run in runs.items()}
        # One call more or less is tens of per cent on a machine that is shared: as many as SECONDS has room for.
        measured = interleave(calls, 4 * rounds, budget=SECONDS)
        base = measured["graphkit"].seconds
        for name, m in measured.items():
            yield kind, d, width, name, m.seconds, m.seconds / base


def _same(runs: dict[str, Callable[..., Tensor]], leaves: list, what: str) -> None:
    """The same results and gradients to x, or there is nothing to compare (to orthogonal maps CSR's differ)."""
    found = {name: (run(*leaves[:2]), _call(run, leaves)()[0]) for name, run in runs.items()}
    for name, theirs in found.items():
        if not all(torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in zip(found["graphkit"], theirs, strict=True)):
            raise AssertionError(f"{name}, {what}: computes something else")


def _all(function: Callable[..., Iterator[Any]], *arguments: Any) -> list[Any]:
    return list(function(*arguments))


def _operator_memory(kind: str, d: int, width: int, nodes: int, edges: int) -> dict[str, tuple[int | None, int]]:
    """Rise of the peak, and what is kept for backward."""
    warnings.simplefilter("ignore")
    runs, leaves = _operator(kind, d, width, nodes, edges)
    result = {}
    for name, run in runs.items():
        step = _call(run, leaves)
        if name == "graphkit":
            step()  # what is kept with the graph is made once
        result[name] = (peak_memory(step), saved_bytes(partial(run, *leaves[:2]), leaves[:2]))
    return result


def operator_cases(kinds: list[str], stalks: list[int]) -> list[tuple[str, int, int]]:
    """(kind, stalk dimension, channels): all dimensions with few channels, one with more."""
    cases = [(kind, d, width) for kind in kinds for d, width in (*((d, 20) for d in stalks), (3, 64))]
    return [case for case in cases if case[:2] != ("bundle", 1)]  # an orthogonal 1 x 1 matrix is a sign


def operator_rows(nodes: int, edges: int, rounds: int, threads: int, kinds: list[str], stalks: list[int]) -> list[str]:
    """One line per kind of maps, width, stalk dimension and contender; memory of d = 3."""
    bandwidth = copy_bandwidth()
    lines = []
    for kind in kinds:
        memory = apart(_operator_memory, kind, *DETAILED, nodes, edges)
        cases = operator_cases([kind], stalks)
        for _, d, width, name, seconds, ratio in fresh(_all, _operator_times, cases, nodes, edges, rounds, threads):
            entries = d if kind == "diagonal" else d * d
            # x, the output's gradient and the maps read by both passes; output and gradients written; 4 indices each.
            floor = 4 * (6 * nodes * d * width + 3 * edges * entries + 2 * 4 * edges) / bandwidth
            peak, saved = memory.get(name, (None, None)) if (d, width) == DETAILED else (None, None)
            lines.append(
                f"| {kind} | {width} | {d} | {name} | {seconds * 1e3:.1f} | {ratio:.1f} | {seconds / floor:.1f} | "
                f"{'' if peak is None else f'{peak / 2**20:.0f}'} | {'' if saved is None else f'{saved / 2**20:.0f}'} |"
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
    """Markdown lines of the tables."""
    kinds, stalks = kinds or list(KINDS), stalks or [1, 2, 3, 4, 5]
    return [
        f"### One call of the Laplacian, forward and backward, {threads} threads",
        "",
        f"N = {nodes:,}, E = {edges:,} directed edges, float32, gradients to x and the maps, medians of up to "
        f"{4 * rounds} interleaved rounds after a first run, fewer after {SECONDS:.0f} seconds. `/ floor`: over the "
        "time to copy what must be read and written; `peak`: rise of resident memory in a call, `saved`: what autograd "
        "keeps besides x and the maps (index arrays included). Bundle: with an edge weight; the CSR form then knows "
        "that the degree is a number. Transports first: F_u^T F_v is made before rows are gathered, which then are "
        "those of one end.",
        "",
        "| maps | channels | d | contender | ms | x ours | / floor | peak MB | saved MB |",
        "|" + "---|" * 9,
        *operator_rows(nodes, edges, rounds, threads, kinds, stalks),
        "",
        f"### One training step of neural sheaf diffusion, {threads} threads",
        "",
        "4 layers, d = 3, 20 channels, input 64, 5 classes, Adam, normalised, left and right weights; bundle: "
        "Householder's maps and edge weights. The published form: `benchmarks/sheaf_peers.py`. Medians of four times "
        f"as many rounds, fewer after {STEP_SECONDS:.0f} seconds. Memory is that of a process of its own, in which "
        "freed memory is given back.",
        "",
        "| nodes | directed edges | maps | contender | ms | x ours | peak MB | x ours | saved MB |",
        "|" + "---|" * 9,
        *step_rows(rounds, threads, kinds),
        "",
        f"### The same step, {nodes:,} nodes, {edges:,} directed edges, {threads} threads",
        "",
        f"Medians of the steps after the first; a first step of {ONE_STEP:.0f} s or more is the only one. Where it "
        f"would keep more than {LARGE_BYTES / 1e9:.1f} GB, the published form takes {edges // 4:,} edges; `x ours` is "
        "over ours of as many.",
        "",
        "| maps | d | graphkit ms | peak MB | edges of the published form | ms | x ours | peak MB | x ours |",
        "|" + "---|" * 9,
        *large_step_rows(nodes, edges, rounds, threads, kinds, stalks),
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
