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
from benchmarks.sheaf_peers import CachedCSR, dictionary_pairs, gather_bmm
from benchmarks.sheaf_steps import LARGE_BYTES, STEP_SECONDS, apart, fresh, large_step_rows, make_graph, step_rows
from graphkit import Graph, ops
from graphkit.models import NeuralSheafDiffusion
from graphkit.nn.sheaf import symmetric

KINDS = ("diagonal", "bundle", "general")


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


def _call(run: Callable[..., Tensor], leaves: list) -> Callable[[], tuple[Tensor, ...]]:
    x, maps, grad = leaves
    return lambda: torch.autograd.grad(run(x, maps), [x, maps], grad)


GATHER = "gather + bmm + index_add"
SECONDS = 4.0  # after which a case begins no further round


def _operator_times(
    cases: list[tuple[str, int, int]], nodes: int, edges: int, rounds: int, threads: int
) -> Iterator[tuple[str, int, int, str, int, float, float]]:
    """Case, contender, edges, seconds, and how many times those of graphkit on as many edges."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    for kind, d, width in cases:
        few = edges // 4
        runs, leaves = _operator(kind, d, width, nodes, few)
        calls = {name: _call(run, leaves) for name, run in runs.items()}
        ours = calls["graphkit"]()[0]
        _same(ours, calls["cached CSR"]()[0], f"cached CSR, {kind} maps, d = {d}")
        start = time.perf_counter()
        theirs = calls[GATHER]()[0]
        seconds = time.perf_counter() - start
        _same(ours, theirs, f"{GATHER}, {kind} maps, d = {d}")
        ratio = seconds / interleave({"graphkit": calls["graphkit"]}, rounds)["graphkit"].seconds

        runs, leaves = _operator(kind, d, width, nodes, edges)
        del runs[GATHER]
        measured = interleave({name: _call(run, leaves) for name, run in runs.items()}, rounds, budget=SECONDS)
        base = measured["graphkit"].seconds
        for name, m in measured.items():
            yield kind, d, width, name, edges, m.seconds, m.seconds / base
        yield kind, d, width, GATHER, few, seconds, ratio


def _same(ours: Tensor, theirs: Tensor, what: str) -> None:
    """The same operator, or there is nothing to compare."""
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-2):
        raise AssertionError(f"{what}: computes something else")


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
        memory = apart(_operator_memory, kind, 3, 20, nodes, edges)
        cases = operator_cases([kind], stalks)
        for _, d, width, name, count, seconds, ratio in fresh(
            _all, _operator_times, cases, nodes, edges, rounds, threads
        ):
            entries = d if kind == "diagonal" else d * d
            # x, the output's gradient and the maps read by both passes; output and gradients written; 4 indices each.
            floor = 4 * (6 * nodes * d * width + 3 * count * entries + 2 * 4 * count) / bandwidth
            peak, saved = memory.get(name, (None, None)) if (d, width) == (3, 20) else (None, None)
            where = name if count == edges else f"{name}, {count:,} edges"
            lines.append(
                f"| {kind} | {width} | {d} | {where} | {seconds * 1e3:.1f} | {ratio:.1f} | {seconds / floor:.1f} | "
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
        f"N = {nodes:,}, E = {edges:,} directed edges, float32, gradients to x and the maps, medians of {rounds} "
        f"interleaved rounds, fewer after {SECONDS:.0f} seconds. Gathering runs once, on a quarter of the edges; its "
        "`x ours` is the time over graphkit's on as many. `/ floor`: over the time to copy what must be read and "
        "written; `peak` (all edges): rise of resident memory in a call, `saved`: what autograd keeps besides x and "
        "the maps (index arrays included). Bundle: with an edge weight; the CSR form then knows that the degree is a "
        "number.",
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
        "The published form makes one step, the first; ours, a median of the steps after the first. Where it would "
        f"keep more than {LARGE_BYTES / 1e9:.1f} GB, the published form takes {edges // 4:,} edges; `x ours` is over "
        "ours of as many.",
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
