"""A training step of neural sheaf diffusion, ours and in the published form: time and memory."""

from __future__ import annotations

import copy
import ctypes
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import Measurement, interleave, peak_memory, saved_bytes
from benchmarks.sheaf_peers import Published
from graphkit import Graph
from graphkit.models import NeuralSheafDiffusion

STEP_SECONDS = 8.0  # after which a case begins no further round
ONE_STEP = 25.0  # seconds of a first step of the published form after which it makes no second
LARGE_BYTES = 6.5e9  # kept for backward: where the published form would keep more, it takes a quarter of the edges

Losses = dict[str, Callable[[], Tensor]]
Steps = dict[str, Callable[[], None]]


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


def fresh(function: Callable[..., Any], *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own that gives freed memory back, so that one contender's memory is not another's."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    try:
        return fresh(function, *arguments)
    finally:
        del os.environ["MALLOC_MMAP_THRESHOLD_"]


def _step(kind: str, nodes: int, edges: int, d: int = 3) -> tuple[Losses, Steps]:
    """The loss, and a step, of each contender."""
    graph = make_graph(nodes, edges)
    torch.manual_seed(0)
    x, y = torch.randn(nodes, 64), torch.randint(5, (nodes,))
    ours = NeuralSheafDiffusion(64, 20, 4, 5, stalk_dim=d, maps=kind)  # type: ignore[arg-type]
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
    return interleave(steps, rounds, budget=STEP_SECONDS)


def _step_memory(kind: str, nodes: int, edges: int) -> dict[str, tuple[int | None, int]]:
    losses, steps = _step(kind, nodes, edges)
    result = {}
    for name, step in steps.items():
        step()
        result[name] = (peak_memory(step), saved_bytes(losses[name], []))
    return result


SIZES = ((183, 558), (10_000, 100_000), (10_000, 200_000))  # nodes and directed edges


def _all_step_times(kind: str, rounds: int, threads: int) -> list[dict[str, Measurement]]:
    # One step more or less is tens of per cent on a machine that is shared: as many as STEP_SECONDS has room for.
    return [_step_times(kind, *size, (4 if size[0] > 1000 else 20) * rounds, threads) for size in SIZES]


def step_rows(rounds: int, threads: int, kinds: list[str]) -> list[str]:
    """One line per kind of maps, size and contender; memory of the middle size."""
    lines = []
    for kind in kinds:
        memory = apart(_step_memory, kind, *SIZES[1])
        for size, times in zip(SIZES, fresh(_all_step_times, kind, rounds, threads), strict=True):
            ours, least = times["graphkit"].seconds, memory["graphkit"][0]
            for name, measured in times.items():
                peak, saved = memory[name] if size == SIZES[1] else (None, None)
                shown = "" if peak is None else f"{peak / 2**20:.1f}"
                factor = "" if peak is None or not least else f"{peak / least:.1f}"
                lines.append(
                    f"| {size[0]:,} | {size[1]:,} | {kind} | {name} | {measured.seconds * 1e3:.1f} | "
                    f"{measured.seconds / ours:.1f} | {shown} | {factor} | "
                    f"{'' if saved is None else f'{saved / 2**20:.1f}'} |"
                )
                print(lines[-1], flush=True)
    return lines


Row = tuple[int, int, float, int, float, int, float, int]


def _large(kind: str, stalks: list[int], nodes: int, edges: int, rounds: int, threads: int) -> list[Row]:
    """Per stalk dimension: edges of the published form, and seconds and peaks: ours, ours on those edges, theirs."""
    torch.set_num_threads(threads)
    rows = []
    for d in stalks:
        entries = (edges + nodes) * (d if kind == "diagonal" else d * d)
        kept = 4 * 2 * entries * 20 * 4  # layers, the gathered rows and their products, channels, bytes
        few = edges if kept <= LARGE_BYTES else edges // 4
        ours = _measure(_step(kind, nodes, edges, d)[1]["graphkit"], rounds)
        steps = _step(kind, nodes, few, d)[1]
        same = ours if few == edges else _measure(steps["graphkit"], rounds)
        rows.append((d, few, *ours, *same, *_measure(steps["published form"], 1)))
    return rows


def _measure(step: Callable[[], None], rounds: int) -> tuple[float, int]:
    """Seconds of a step, the median after the first, and the peak of the first; one of ONE_STEP seconds is the only."""
    times = []
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's: what was freed before is given back
    if trim is not None:
        trim(0)
    start = time.perf_counter()
    peak = peak_memory(step) or 0
    times.append(time.perf_counter() - start)
    for _ in range(rounds if times[0] < ONE_STEP else 0):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:] or times), peak


def large_step_rows(
    nodes: int, edges: int, rounds: int, threads: int, kinds: list[str], stalks: list[int]
) -> list[str]:
    """A line per kind and stalk dimension."""
    lines = []
    for kind in kinds:
        some = [d for d in stalks if kind != "bundle" or d > 1]
        for d, few, ours, our_peak, same, same_peak, theirs, peak in fresh(
            _large, kind, some, nodes, edges, rounds, threads
        ):
            lines.append(
                f"| {kind} | {d} | {ours * 1e3:.0f} | {our_peak / 2**20:.0f} | {few:,} | {theirs * 1e3:.0f} | "
                f"{theirs / same:.1f} | {peak / 2**20:.0f} | {peak / max(same_peak, 1):.1f} |"
            )
            print(lines[-1], flush=True)
    return lines
