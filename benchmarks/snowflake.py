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
from graphkit.nn import GraphReward, LatentGraph, NeuralSnowflake
from graphkit.nn.latent import Euclidean

DENSE, DENSE_SNOWFLAKE = "dense, published form", "dense, with a snowflake"
TABLES = {DENSE: DENSE_TABLES, DENSE_SNOWFLAKE: DENSE_SNOWFLAKE_TABLES}  # N^2 numbers that they hold
CONTENDERS = ("Euclidean dDGM", "snowflake dDGM", "Euclidean, no noise", DENSE, DENSE_SNOWFLAKE)
SHAPES = ((4, 5), (8, 10), (16, 20))
SIZES = (2_000, 10_000, 20_000, 100_000)
LARGE = 50_000  # from here on one round, and fewer shapes: a step takes up to half a minute
GIGABYTE = 2**30


def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a process of its own that gives freed memory back, so that one contender's memory is not another's."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()
    finally:
        del os.environ["MALLOC_MMAP_THRESHOLD_"]


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
    metric = NeuralSnowflake() if "snowflake" in name else Euclidean()
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


def _times(names: list[str], count: int, dim: int, k: int, rounds: int, threads: int) -> dict[str, float]:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    steps = {name: make_step(name, count, dim, k) for name in names}
    if count >= LARGE:  # long enough to be steady without a round to warm up
        seconds = {}
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name] = time.perf_counter() - start
        return seconds
    return {name: measured.seconds for name, measured in interleave(steps, rounds).items()}


def _memory(name: str, count: int, dim: int, k: int, threads: int) -> int | None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    make_step(name, 200, dim, k)()  # what the first call of anything allocates once
    return peak_memory(make_step(name, count, dim, k))


def step_rows(rounds: int, threads: int, sizes: tuple[int, ...] = SIZES) -> list[str]:
    """One line per size, shape and contender."""
    lines = []
    for count in sizes:
        for dim, k in SHAPES if count < LARGE else (SHAPES[0], SHAPES[-1]):
            needed = {name: int(tables * 4 * count**2) for name, tables in TABLES.items()}
            most = available_memory() / 2
            names = [name for name in CONTENDERS if needed.get(name, 0) < most]
            few = rounds if count < 20_000 else 1
            times = _apart(_times, names, count, dim, k, few, threads)
            for name in CONTENDERS:
                head = f"| {count:,} | {dim} | {k} | {name} |"
                if name not in times:
                    lines.append(f"{head} does not fit: about {needed[name] / GIGABYTE:.0f} GB | | |")
                else:
                    peak = _apart(_memory, name, count, dim, k, threads)
                    peer = DENSE_SNOWFLAKE if "snowflake" in name else DENSE
                    gain = f"{times[peer] / times[name]:.1f}" if peer in times else ""
                    shown = "" if peak is None else f"{peak / 2**20:,.0f}"
                    lines.append(f"{head} {times[name]:.3f} | {gain} | {shown} |")
                print(lines[-1], flush=True)
    return lines


# The search for neighbours --------------------------------------------------------------------------------------


def _search(method: str, count: int, dim: int, k: int, rounds: int, threads: int) -> tuple[float, float]:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    x = 0.3 * torch.randn(count, dim, generator=torch.Generator().manual_seed(0))
    ops.nearest_neighbors(x[:100], k, method=method)  # type: ignore[arg-type]  # imports
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        found = ops.nearest_neighbors(x, k, method=method)  # type: ignore[arg-type]
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), ops.neighbor_recall(x, found)


def search_rows(rounds: int, threads: int, sizes: tuple[int, ...] = SIZES, k: int = 10) -> list[str]:
    """One line per size and dimension: seconds by method, and the recall of the approximate one."""
    lines = []
    for count in sizes:
        for dim in (2, 4, 6, 8, 16):
            cells = []
            recall = ""
            for method in ("native", "tree", "matmul", "approximate"):
                absent = {
                    "native": bool(nearest_why_not()),
                    "tree": not find_spec("scipy") or (dim > 8 and count > 2_000),
                    "matmul": count > 20_000,
                    "approximate": not find_spec("faiss") or count < 20_000,
                }[method]
                if absent:
                    cells.append("")
                    continue
                few = rounds if count < LARGE else 1
                seconds, share = _apart(_search, method, count, dim, k, few, threads)
                cells.append(f"{seconds:.3f}")
                recall = f"{share:.3f}" if method == "approximate" else recall
            auto = _apart(_chosen, count, dim)
            lines.append(f"| {count:,} | {dim} | {' | '.join(cells)} | {recall} | {auto} |")
            print(lines[-1], flush=True)
    return lines


def _chosen(count: int, dim: int) -> str:
    """Which method ``"auto"`` is, found out on points that are quick to search: all on a line."""
    x = torch.arange(float(count)).unsqueeze(1).repeat(1, dim)
    return ops.nearest_neighbors(x, 1).method


def snowflake_table(rounds: int, threads: int) -> list[str]:
    """Markdown lines of the two tables."""
    return [
        f"### A training step of dDGM, {threads} threads",
        "",
        "float32 points 0.3 randn [N, d], k neighbours, T = 4 (costs times e^4): neighbours by Gumbel top-k, "
        "log-probabilities, graph loss, gradients to points and parameters. The dense form: `benchmarks/"
        "snowflake_peers.py`. Seconds are medians of interleaved rounds (one from N = 20,000 on); `gain`: the dense "
        "form with the same metric over this; memory: rise of the peak, in a process of its own.",
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
