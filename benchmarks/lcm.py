"""The table of learned aggregations: ours and PyG's LCM, GRU and LSTM on regular and on skewed groups."""

from __future__ import annotations

import multiprocessing
import queue
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch_geometric.nn as pyg
from torch import Tensor

import graphkit.nn as ours
from benchmarks.cases import make_graph
from benchmarks.harness import interleave, peak_memory, saved_bytes

WIDTH = 64
PADDED_ROWS = 500_000
"""Above this number of rows, groups times longest group, PyG needs too much memory to be timed among the others."""
LIMIT = 12 * 2**30
"""Bytes of address space of the processes in which peaks are measured."""
SECONDS = 120
"""After which such a process is given up."""

CONTENDERS: dict[str, Callable[[], torch.nn.Module]] = {
    "graphkit LCM": lambda: ours.LCMAggregation(WIDTH, WIDTH, project=False, order="given"),
    "PyG LCM": lambda: pyg.LCMAggregation(WIDTH, WIDTH, project=False),
    "graphkit GRU": lambda: ours.GRUAggregation(WIDTH, WIDTH),
    "PyG GRU": lambda: pyg.GRUAggregation(WIDTH, WIDTH),
    "graphkit LSTM": lambda: ours.LSTMAggregation(WIDTH, WIDTH),
    "PyG LSTM": lambda: pyg.LSTMAggregation(WIDTH, WIDTH),
    "PyG sum": pyg.SumAggregation,
}


@dataclass(frozen=True)
class Groups:
    """Rows in groups, sorted.

    Attributes:
        name: what the table calls them.
        lengths: int64 ``[N]``.
    """

    name: str
    lengths: Tensor

    @property
    def index(self) -> Tensor:
        return torch.arange(self.lengths.numel()).repeat_interleave(self.lengths)

    @property
    def padded(self) -> int:
        return self.lengths.numel() * int(self.lengths.max())


def power_law(num_groups: int, num_rows: int, longest: int) -> Groups:
    """Lengths ``longest / (i + 1)^a``, at least 1, with the ``a`` that makes about ``num_rows`` rows."""
    low, high = 0.0, 5.0
    rank = torch.arange(1, num_groups + 1, dtype=torch.float64)
    lengths = torch.ones(num_groups)
    for _ in range(50):
        middle = (low + high) / 2
        lengths = (longest * rank**-middle).round().clamp(min=1)
        low, high = (middle, high) if lengths.sum() > num_rows else (low, middle)
    return Groups(f"power law, N = {num_groups:,}, E = {int(lengths.sum()):,}, longest {longest:,}", lengths.long())


_Runs: TypeAlias = tuple[Callable[[], Tensor], Callable[[], None], Callable[[], None], list[Tensor]]


def _runs(name: str, groups: Groups) -> _Runs:
    """Forward with a graph, forward without, and a whole step; and the tensors that are there anyway."""
    torch.manual_seed(0)
    aggr, index, size = CONTENDERS[name](), groups.index, groups.lengths.numel()
    x = torch.randn(index.numel(), WIDTH, requires_grad=True)

    def forward() -> Tensor:
        out: Tensor = aggr(x, index, dim_size=size)
        return out

    def inference() -> None:
        with torch.no_grad():
            forward()

    def step() -> None:
        for tensor in (x, *aggr.parameters()):
            tensor.grad = None
        forward().sum().backward()

    return forward, inference, step, [x, index, *aggr.parameters()]


def _guarded(name: str, groups: Groups, limit: int, answer: Any) -> None:
    """In a process of its own, which holds no freed memory yet: the seconds and the peak of one step under a limit of
    memory, or why there is none."""
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    torch.set_num_threads(1)
    _runs(name, Groups("warm-up", torch.ones(2, dtype=torch.long)))[2]()
    step = _runs(name, groups)[2]
    start = time.perf_counter()
    try:
        peak = peak_memory(step)
    except (RuntimeError, MemoryError):
        answer.put(f"does not fit in {limit / 2**30:.0f} GB")
    else:
        answer.put((time.perf_counter() - start, peak or 0))


def _bounded(name: str, groups: Groups) -> str | tuple[float, int]:
    """Run :func:`_guarded`, and give up after some minutes."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    worker = context.Process(target=_guarded, args=(name, groups, LIMIT, answer))
    worker.start()
    found: str | tuple[float, int]
    try:
        found = answer.get(timeout=SECONDS)
    except queue.Empty:
        found = f"not done after {SECONDS} s"
        worker.kill()
    worker.join()
    return found


def _rows(groups: Groups, rounds: int, threads: int) -> list[str]:
    torch.set_num_threads(threads)
    small = [name for name in CONTENDERS if "graphkit" in name or "sum" in name or groups.padded <= PADDED_ROWS]
    runs = {name: _runs(name, groups) for name in small}
    forward = interleave({name: run[1] for name, run in runs.items()}, rounds)
    step = interleave({name: run[2] for name, run in runs.items()}, rounds)
    mine, mine_once = step["graphkit LCM"].seconds, 0.0
    lines = []
    for name in CONTENDERS:
        found = _bounded(name, groups) if threads == 1 else ""
        if name == "graphkit LCM" and not isinstance(found, str):
            mine_once = found[0]  # a first step is compared with a first step
        once, peak = (found, "") if isinstance(found, str) else (f"{found[0] * 1e3:.0f}", f"{found[1] / 2**20:.0f}")
        if name in runs:
            saved = saved_bytes(runs[name][0], runs[name][3])
            times = [f"{forward[name].seconds * 1e3:.0f}", f"{step[name].seconds * 1e3:.0f}"]
            cells = [*times, f"{step[name].seconds / mine:.2f}", peak, f"{saved / 2**20:.0f}"]
        else:
            cells = ["", once, "" if isinstance(found, str) else f"{found[0] / mine_once:.2f}", peak, ""]
        lines.append(f"| {groups.name} | {threads} | {name} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    return lines


def _large(answer: Any) -> None:
    """In a process of its own: a training step of a convolution over a million edges."""
    torch.set_num_threads(1)
    graph = make_graph("power law", 50_000, 1_000_000)
    conv = pyg.SAGEConv(WIDTH, WIDTH, aggr=ours.LCMAggregation(WIDTH, WIDTH, assoc_weight=0.1, assoc_fraction=0.1))
    x = torch.randn(graph.num_nodes, WIDTH, requires_grad=True)

    def step() -> None:
        out = conv(x, graph.edge_index)
        (out.square().mean() + conv.aggr_module.regularization_loss()).backward()

    start = time.perf_counter()
    peak = peak_memory(step) or 0
    answer.put((time.perf_counter() - start, peak, int(graph.in_degree.max())))


def _million() -> str:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    worker = context.Process(target=_large, args=(answer,))
    worker.start()
    seconds, peak, degree = answer.get(timeout=SECONDS)
    worker.join()
    return (
        f"One training step of `SAGEConv({WIDTH}, {WIDTH}, aggr=LCMAggregation(..., assoc_weight=0.1, "
        f"assoc_fraction=0.1))` on a power-law graph, N = 50,000, E = 1,000,000, largest degree {degree:,}, 1 thread, "
        f"plan of the trees and all: {seconds:.1f} s, peak memory {peak / 2**30:.1f} GB."
    )


def lcm_table(rounds: int, threads: int) -> list[str]:
    """Markdown lines: milliseconds and memory of each aggregation on each kind of groups, and one large step.

    Args:
        rounds: of the timings.
        threads: besides 1, on regular groups.
    """
    lines = [
        f"Aggregations with {WIDTH} channels, float32, rows sorted by group, medians of {rounds} interleaved rounds. "
        "`x` is the time of a step over that of `graphkit LCM`; `saved` is what autograd keeps besides rows and "
        f"weights; `peak` is that of one step in a fresh process with at most {LIMIT / 2**30:.0f} GB of address space. "
        f"Where PyG pads to more than {PADDED_ROWS:,} rows, that one step ({SECONDS} s at most) is all it gets, "
        "compared with one of ours. Steps in processes of their own run on 1 thread.",
        "",
        "| groups | threads | aggregation | fwd ms | fwd+bwd ms | x | peak MB | saved MB |",
        "|" + "---|" * 8,
    ]
    regular = Groups("regular, N = 5,000, 16 each", torch.full((5000,), 16))
    cases = [(regular, count) for count in sorted({1, threads})]
    cases += [(power_law(1000 * k, 10_000 * k, 200 * k), 1) for k in (1, 2, 5)]
    for groups, count in cases:
        lines += _rows(groups, rounds, count)
    torch.set_num_threads(threads)
    large = _million()
    print(large, flush=True)
    return [*lines, "", large]
