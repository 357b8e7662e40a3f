"""Timing, memory and bandwidth: interleaved rounds in one process, medians, ratios."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

WARM = 2.0  # seconds of a run up to which another goes before each timing


@dataclass(frozen=True)
class Measurement:
    """One contender on one case.

    Attributes:
        seconds: median over the rounds.
        spread: (largest - smallest) / median over the rounds.
        peak: bytes by which the process's peak memory rose over what it held before the step.
        saved: bytes autograd saved for backward, inputs and index arrays not counted.
    """

    seconds: float
    spread: float
    peak: int | None = None
    saved: int | None = None


def interleave(
    contenders: dict[str, Callable[[], object]], rounds: int, inner: int = 1, budget: float = float("inf")
) -> dict[str, Measurement]:
    """Time each contender once per round, in turn, so that a busy machine disturbs all of them alike.

    What is timed is the steady state of a training loop: a contender runs once before all rounds, and once more
    before each timing. One that takes WARM seconds or more is spared the latter, because it frees and allocates its
    memory many times within one run and is no faster the second time. (On a virtual machine that gives freed memory
    back to its host, a fast contender's first run would otherwise measure the host: 417 ms against 115 ms, or 600
    against 350.)

    After ``budget`` seconds no further round begins.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    last: dict[str, float] = {}
    gc.collect()
    began = time.perf_counter()
    for name, run in contenders.items():
        start = time.perf_counter()
        run()
        last[name] = time.perf_counter() - start
    for number in range(rounds):
        if number > 0 and time.perf_counter() - began > budget:
            break
        for name, run in contenders.items():
            if last[name] < WARM:
                run()
            start = time.perf_counter()
            for _ in range(inner):
                run()
            last[name] = (time.perf_counter() - start) / inner
            times[name].append(last[name])
    return {
        name: Measurement(statistics.median(t), (max(t) - min(t)) / statistics.median(t)) for name, t in times.items()
    }


def peak_memory(run: Callable[[], object]) -> int | None:
    """Rise of the peak resident memory during ``run``, in bytes (Linux; ``None`` elsewhere)."""
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():
        return None
    gc.collect()
    try:
        reset.write_text("5")  # sets the peak to what is held now
    except PermissionError:
        return None

    def read(key: str) -> int:
        line = next(line for line in status.read_text().splitlines() if line.startswith(key))
        return int(line.split()[1]) * 1024

    before = read("VmRSS")
    run()
    return max(read("VmHWM") - before, 0)


def saved_bytes(forward: Callable[[], Tensor], shared: list[Tensor]) -> int:
    """Bytes of distinct storages that ``forward`` keeps for backward, without those of ``shared``."""
    known = {t.untyped_storage().data_ptr() for t in shared}  # a sparse matrix is shared too, and has no storage
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout == torch.strided and tensor.untyped_storage().data_ptr() not in known:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = forward()
    del out
    return sum(saved.values())


def copy_bandwidth(size: int = 256 * 2**20, rounds: int = 7) -> float:
    """Bytes per second, read plus written, of a copy larger than the caches."""
    source = torch.rand(size // 4)
    target = torch.empty_like(source)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        target.copy_(source)
        times.append(time.perf_counter() - start)
    return 2 * size / min(times)


def machine() -> str:
    """Processor, threads and versions, for the head of a table."""
    import torch_geometric

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = f"{names[0]}, {len(names)} cores" if names else model
    parts = [model, f"{torch.get_num_threads()} threads", f"Python {platform.python_version()}"]
    parts += [f"torch {torch.__version__}", f"PyG {torch_geometric.__version__}"]
    for name in ("torch_scatter", "dgl"):
        try:
            parts.append(f"{name} {__import__(name).__version__}")
        except ImportError:
            parts.append(f"{name} not installed")
    return ", ".join(parts)
