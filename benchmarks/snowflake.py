"""The tables of latent graphs: a training step against the dense form, and the search for neighbours by method."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import interleave, peak_memory
from benchmarks.snowflake_peers import (
    DENSE_SNOWFLAKE_TABLES,
    DENSE_TABLES,
    available_memory,
    dense_snowflake_step,
    dense_step,
)
from graphkit import ops
from graphkit.native.nearest import nearest_why_not
from graphkit.nn import GraphReward, LatentGraph, NeuralSnowflake, ProductManifold
from graphkit.nn.latent import Euclidean, Metric
from graphkit.ops.nearest import Method, fastest_exact
from graphkit.ops.point_sets import point_sets

DENSE, DENSE_SNOWFLAKE = "dense, published form", "dense, with a snowflake"
TABLES = {DENSE: DENSE_TABLES, DENSE_SNOWFLAKE: DENSE_SNOWFLAKE_TABLES}  # N^2 numbers that they hold
CONTENDERS = ("Euclidean, no noise", "Euclidean dDGM", "snowflake dDGM", "product dDGM", DENSE, DENSE_SNOWFLAKE)
SHAPES = ((4, 5), (8, 10), (16, 20))
SIZES = (2_000, 10_000, 20_000, 100_000)
DIMS = (2, 4, 6, 8, 16)
LARGE, LARGE_DIMS = 50_000, (4, 8, 16)  # from here on fewer shapes and dimensions
SLOW = 2.0  # seconds from which on a single run is steady enough
LONG = 20.0  # and from which on the run that measures memory, where allocation is slower, does for the time as well
GIGABYTE = 2**30


def _apart(function: Callable[..., Any], *arguments: Any, frugal: bool = False) -> Any:
    """In a process of its own; a frugal one gives freed memory back, so that one step's peak is not another's."""
    if frugal:
        os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()
    finally:
        os.environ.pop("MALLOC_MMAP_THRESHOLD_", None)


# One training step ----------------------------------------------------------------------------------------------


def make_step(name: str, count: int, dim: int, k: int) -> Callable[[], object]:
    """A step of dDGM with the graph loss: neighbours, log-probabilities, backward to points and parameters."""
    generator = torch.Generator().manual_seed(0)
    z = (0.3 * torch.randn(count, dim, generator=generator)).requires_grad_()
    advantage = torch.rand(count, generator=generator) - 0.5
    if name == DENSE:
        temperature = torch.tensor(4.0, requires_grad=True)

        def dense() -> object:
            loss = (advantage * dense_step(z, temperature, k).exp().mean(1)).mean()
            return torch.autograd.grad(loss, [z, temperature])

        return dense
    torch.manual_seed(0)
    blocks = [("euclidean", dim // 2), ("hyperbolic", dim // 4), ("spherical", dim // 4)]
    metric: Metric = Euclidean()
    if "snowflake" in name:
        metric = NeuralSnowflake()
    elif name.startswith("product"):
        metric = ProductManifold(blocks)
    if name == DENSE_SNOWFLAKE:
        temperature = torch.tensor(4.0, requires_grad=True)
        learned = [z, temperature, *metric.parameters()]

        def dense_snowflake() -> object:
            log_prob = dense_snowflake_step(z, temperature, metric, k)  # type: ignore[arg-type]
            return torch.autograd.grad((advantage * log_prob.exp().mean(1)).mean(), learned)

        return dense_snowflake
    noise = "none" if name.endswith("no noise") else "gumbel"
    # The same temperature for all, though a snowflake's costs are no squares.
    latent = LatentGraph(None, metric, k, noise=noise, temperature=4.0, compat="official")  # type: ignore[arg-type]
    reward = GraphReward(count)
    leaves: list[Tensor] = [z, *latent.parameters()]

    def ours() -> object:
        return torch.autograd.grad(reward(0.5 - advantage, [latent(z)]), leaves)

    return ours


Case = tuple[str, int, int]
"""Contender, d and k."""


def _first_runs(cases: list[Case], count: int, threads: int) -> dict[Case, tuple[float, int | None]]:
    """Seconds of one step and by how much it raises the peak of memory."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    found = {}
    for case in cases:
        name, dim, k = case
        make_step(name, 200, dim, k)()  # what the first call of anything allocates once
        step = make_step(name, count, dim, k)
        start = time.perf_counter()
        peak = peak_memory(step)
        found[case] = time.perf_counter() - start, peak
    return found


def _times(first: dict[Case, float], count: int, rounds: int, threads: int) -> dict[Case, float]:
    """Medians over interleaved rounds; of a case that took long the first time, one run."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    times: dict[Case, float] = {}
    for shape in SHAPES:
        quick = {name: make_step(name, count, *shape) for name, *its in first if tuple(its) == shape}
        slow = [name for name in quick if first[name, *shape] > SLOW]
        for name in slow:
            step = quick.pop(name)
            start = time.perf_counter()
            step()
            times[name, *shape] = time.perf_counter() - start
        times |= {(name, *shape): run.seconds for name, run in interleave(quick, rounds).items()}
    return times


def _cases(count: int) -> tuple[list[Case], list[Case]]:
    """Which contenders run on which shapes, and which of them do not fit.

    What a dense step costs hardly depends on d and k: with a snowflake it runs on the first shape alone, as published
    on all of them below N = 20,000.
    """
    run: list[Case] = []
    lacking: list[Case] = []
    for dim, k in SHAPES if count < LARGE else (SHAPES[0], SHAPES[-1]):
        for name in CONTENDERS:
            again = (dim, k) != SHAPES[0]
            if name.startswith("product") and count >= LARGE:
                continue
            if again and (name == DENSE_SNOWFLAKE or (name == DENSE and count >= 20_000)):
                continue
            fits = TABLES.get(name, 0) * 4 * count**2 < 0.7 * available_memory()
            (run if fits else lacking).append((name, dim, k))
    return run, lacking


def step_rows(rounds: int, threads: int, sizes: tuple[int, ...] = SIZES) -> list[str]:
    """One line per size, shape and contender."""
    lines = []
    for count in sizes:
        run, lacking = _cases(count)
        first = _apart(_first_runs, run, count, threads, frugal=True)
        times = {case: seconds for case, (seconds, _) in first.items()}
        again = {case: seconds for case, seconds in times.items() if seconds < LONG}
        times |= _apart(_times, again, count, rounds, threads) if again else {}
        for name, dim, k in sorted(run + lacking, key=lambda case: (case[1], CONTENDERS.index(case[0]))):
            head = f"| {count:,} | {dim} | {k} | {name} |"
            if (name, dim, k) in lacking:
                needed = TABLES[name] * 4 * count**2 / GIGABYTE
                lines.append(f"{head} does not fit: about {needed:,.0f} GB | | |")
            else:
                peer = DENSE_SNOWFLAKE if "snowflake" in name else DENSE
                dense = times.get((peer, dim, k), times.get((peer, *SHAPES[0])))
                seconds, peak = times[name, dim, k], first[name, dim, k][1]
                gain = "" if dense is None else f"{dense / seconds:.1f}"
                shown = "" if peak is None else f"{peak / 2**20:,.0f}"
                lines.append(f"{head} {seconds:.3f} | {gain} | {shown} |")
            print(lines[-1], flush=True)
    return lines


# The search for neighbours --------------------------------------------------------------------------------------


METHODS: tuple[Method, ...] = ("native", "tree", "matmul", "approximate")


def _absent(method: Method, count: int, dim: int) -> bool:
    """Whether a method is missing here, or of no use at this size."""
    absent = {
        "native": bool(nearest_why_not()),
        "tree": not find_spec("scipy") or dim > 8,
        "matmul": count > 20_000,
        "approximate": not find_spec("faiss") or count < 20_000,
    }
    return absent[method]


def _searches(count: int, k: int, rounds: int, threads: int) -> list[str]:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    lines = []
    for dim in DIMS if count < LARGE else LARGE_DIMS:
        x = 0.3 * torch.randn(count, dim, generator=torch.Generator().manual_seed(0))
        cells, recall = [], ""
        for method in METHODS:
            if _absent(method, count, dim):
                cells.append("")
                continue
            ops.nearest_neighbors(x[:100], k, method=method)  # imports
            seconds: list[float] = []
            while len(seconds) < rounds and not (seconds and seconds[0] > SLOW):
                start = time.perf_counter()
                found = ops.nearest_neighbors(x, k, method=method)
                seconds.append(time.perf_counter() - start)
            if method == "approximate":
                recall = f"{ops.neighbor_recall(x, found):.3f}"
            cells.append(f"{statistics.median(seconds):.3f}")
        lines.append(f"| {count:,} | {dim} | {' | '.join(cells)} | {recall} | {fastest_exact(x, point_sets(x))} |")
    return lines


def search_rows(rounds: int, threads: int, sizes: tuple[int, ...] = SIZES, k: int = 10) -> list[str]:
    """One line per size and dimension: seconds by method, and the recall of the approximate one."""
    lines: list[str] = []
    for count in sizes:
        found = _apart(_searches, count, k, rounds, threads)
        print("\n".join(found), flush=True)
        lines += found
    return lines


def snowflake_table(rounds: int, threads: int) -> list[str]:
    """Markdown lines of the two tables."""
    return [
        f"### A training step of dDGM, {threads} threads",
        "",
        "float32 points 0.3 randn [N, d], k neighbours, T = 4 (costs times e^4): neighbours by Gumbel top-k, "
        "log-probabilities, graph loss, gradients to points and parameters. The dense form: `benchmarks/"
        "snowflake_peers.py`. Seconds are medians of interleaved rounds, of what takes more than 2 s of one run; "
        "memory: rise of the peak, where what is freed is given back. `gain`: the dense form, for a snowflake the one "
        "with a snowflake, over this. What it costs hardly depends on d and k: where it takes long it runs for d = 4 "
        "alone, and gains of other shapes are over that. With a snowflake it holds about 320 N^2 numbers, and its time "
        "grows as N^2 at least: at N = 10,000, where it does not fit, by 25 from its row of N = 2,000. A product is "
        "half Euclidean, a quarter hyperbolic and a quarter spherical.",
        "",
        "| N | d | k | contender | s | gain | peak MB |",
        "|" + "---|" * 7,
        *step_rows(rounds, threads),
        "",
        f"### Search for the 10 nearest neighbours, {threads} threads",
        "",
        "Seconds; Gaussian points, which have no structure to use. Empty: not run (missing here, or of no use at this "
        "size). `recall` of the approximate search, on 256 points; `auto`: what is chosen without being told.",
        "",
        "| N | d | native | tree | matmul | approximate | recall | auto |",
        "|" + "---|" * 8,
        *search_rows(rounds, threads),
    ]
