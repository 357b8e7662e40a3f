"""The table of EvolveGCN: a window, data preparation, metrics, memory over the length of a stream."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.evolvegcn_peers import (
    Published,
    PyGTemporal,
    negatives_in_a_loop,
    published_ranking,
    window_of_scans,
)
from benchmarks.harness import interleave, peak_memory
from graphkit.graph.temporal import OneHotDegree, SnapshotSequence, random_negatives
from graphkit.models import EvolveGCN, PairClassifier, TemporalModel
from graphkit.nn import EvolveGCNH, EvolveGCNO
from graphkit.train.ranking import rank_all_pairs
from graphkit.train.tasks.temporal import TemporalLinkPrediction

STEPS, NODES, EDGES, WIDTH = 20, 2000, 10_000, 64
SECONDS = 600


def _events(steps: int, nodes: int, edges: int) -> Tensor:
    """``[steps * edges, 3]``: source, target, step."""
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(nodes, (steps * edges, 2), generator=generator)
    return torch.cat([ends, torch.arange(steps).repeat_interleave(edges)[:, None]], 1)


def _sequence(events: Tensor, nodes: int, **options: Any) -> SnapshotSequence:
    return SnapshotSequence.from_events(events[:, 0], events[:, 1], events[:, 2], num_nodes=nodes, **options)


def _window(rounds: int) -> list[str]:
    events = _events(STEPS, NODES, EDGES)
    x = torch.randn(STEPS, NODES, WIDTH)
    ours = _sequence(events, NODES, x=x)
    plain = [(step.x, step.graph.edge_index) for step in ours]
    scanned = [
        (x[t], adjacency, mask) for t, (adjacency, mask) in enumerate(window_of_scans(events, range(STEPS), NODES))
    ]
    lines = []
    for variant in ("h", "o"):
        layer = (EvolveGCNH if variant == "h" else EvolveGCNO)(WIDTH, WIDTH, mode="window")
        theirs, published = PyGTemporal(WIDTH, variant), Published(WIDTH, variant)
        for last in (True, False):

            def step(module: torch.nn.Module, outs: Callable[[], list[Tensor]]) -> Callable[[], None]:
                def run() -> None:
                    module.zero_grad()
                    torch.stack([out.sum() for out in outs()]).sum().backward()

                return run

            def mine(layer: Any = layer, last: bool = last) -> list[Tensor]:
                outs: list[Tensor] = layer.sequence(ours, last=last)[0]
                return outs

            found = interleave(
                {
                    "graphkit": step(layer, mine),
                    "PyG-Temporal's form": step(theirs, lambda p=theirs, last=last: p(plain, last)),
                    "published form": step(published, lambda p=published, last=last: p(scanned, last)),
                },
                rounds,
            )
            base = found["graphkit"].seconds
            cells = " | ".join(f"{m.seconds * 1e3:.1f} ({m.seconds / base:.1f}x)" for m in found.values())
            lines.append(f"| -{variant.upper()}, {'the last output' if last else 'all outputs'} | {cells} |")
            print(lines[-1], flush=True)
    return lines


def _pipeline(rounds: int) -> list[str]:
    """Preparing windows, drawing negatives, scoring all pairs of a step."""
    steps, history = 50, 20
    events = _events(steps, NODES, EDGES)

    def ours() -> int:
        seq = _sequence(events, NODES)
        return sum(len([step.graph.csc for step in window]) for window in seq.windows(history))

    def theirs() -> int:
        return sum(len(window_of_scans(events, range(t, t + history), NODES)) for t in range(steps - history + 1))

    positive = torch.unique(events[:10_000, :2].t(), dim=1)
    score = torch.rand(NODES, NODES)
    rows = []
    for name, mine, peer in (
        (f"all {steps - history + 1} windows of {history} of {steps} steps, once", ours, theirs),
        (
            "499,500 negatives of one step",
            lambda: random_negatives(positive, NODES, 499_500, torch.Generator().manual_seed(0)),
            lambda: negatives_in_a_loop(positive, NODES, 499_500),
        ),
        (
            "MAP and MRR of one step, 4,000,000 pairs",
            lambda: rank_all_pairs(lambda rows: score[int(rows[0]) : int(rows[-1]) + 1], positive, NODES),
            lambda: published_ranking(score.numpy(), positive, NODES),
        ),
    ):
        found = interleave({"ours": mine, "theirs": peer}, rounds)
        a, b = found["ours"].seconds, found["theirs"].seconds
        rows.append(f"| {name} | {a * 1e3:.0f} | {b * 1e3:.0f} | {b / a:.1f}x |")
        print(rows[-1], flush=True)
    return rows


def _model(width: int, mode: str) -> TemporalModel:
    return TemporalModel(EvolveGCN(width, 32, variant="h", mode=mode), PairClassifier(32, 32))  # type: ignore[arg-type]


def _in_process(work: Callable[..., None], *arguments: Any) -> Any:
    """The answer of a process of its own, which holds no freed memory."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    worker = context.Process(target=work, args=(*arguments, answer))
    worker.start()
    found = answer.get(timeout=SECONDS)
    worker.join()
    return found


def _peak_of_length(steps: int, truncate: int, answer: Any) -> None:
    """The peak of one pass over a stream."""
    torch.set_num_threads(1)
    seq = _sequence(_events(steps, 500, 1000), 500, cache_size=2).with_(x=OneHotDegree(16))
    task = TemporalLinkPrediction(mode="stream", truncate=truncate, negatives=1, sampling="uniform", split=(0.8, 0.1))
    model = _model(16, "stream")

    def read() -> None:
        for chunk in task.batches(seq, torch.Generator().manual_seed(0)):
            loss, count = task.loss(model, chunk)
            (loss / count).backward()

    chunk = next(iter(task.batches(seq[:], torch.Generator().manual_seed(0))))
    task.loss(model, chunk._replace(snapshots=seq[:2], targets=range(2)))[0].backward()  # libraries are loaded now
    answer.put(peak_memory(read) or 0)


def _long_stream(folder: str, answer: Any) -> None:
    """A training epoch and an evaluation of a stream that is mapped into memory."""
    torch.set_num_threads(1)
    seq = SnapshotSequence.open(folder, cache_size=4)
    task = TemporalLinkPrediction(mode="stream", truncate=10, negatives=1, sampling="uniform")
    model = _model(seq.num_features, "stream")
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    start = time.perf_counter()

    def epoch() -> None:
        for chunk in task.batches(seq, torch.Generator().manual_seed(0)):
            loss, count = task.loss(model, chunk)
            (loss / count).backward()
            optimizer.step()
            optimizer.zero_grad()

    peak = peak_memory(epoch) or 0
    answer.put((time.perf_counter() - start, peak))


def evolvegcn_table(rounds: int) -> list[str]:
    """Markdown lines."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    lines = [
        f"A window of {STEPS} snapshots, N = {NODES}, E = {EDGES} each, F = {WIDTH}, one layer, float32, 1 thread: "
        f"milliseconds of forward and backward, medians of {4 * rounds} interleaved rounds. "
        "The peers are their forms written from descriptions (`benchmarks/evolvegcn_peers.py`); the published one gets "
        "its adjacency normalised beforehand.",
        "",
        "| window | graphkit | PyG-Temporal's form | published form |",
        "|" + "---|" * 4,
        *_window(4 * rounds),
        "",
        "Data and metrics, milliseconds:",
        "",
        "| work | graphkit | published form | ratio |",
        "|" + "---|" * 4,
        *_pipeline(rounds),
        "",
        "Peak memory in MB of one pass over a stream (500 nodes, 1,000 edges a step), EvolveGCN-H, by its length:",
        "",
        "| steps | truncated every 10 steps | not truncated |",
        "|" + "---|" * 3,
    ]
    for steps in (50, 100, 200, 400):
        cells = [f"{_in_process(_peak_of_length, steps, t) / 2**20:.1f}" for t in (10, steps)]
        lines.append(f"| {steps} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    found = {}
    for steps in (100, 1000):
        with tempfile.TemporaryDirectory() as folder:
            _sequence(_events(steps, 20_000, 1000), 20_000).with_(x=OneHotDegree(16)).save(folder)
            size = sum(path.stat().st_size for path in Path(folder).iterdir())
            found[steps] = _in_process(_long_stream, folder)
    seconds, peak = found[1000]
    line = (
        "A stream of 1,000 snapshots with 1,000,000 events over 20,000 nodes, mapped into memory "
        f"({size / 2**20:.0f} MB of files): a training epoch of EvolveGCN-H, truncated every 10 steps, took "
        f"{seconds:.0f} s and {peak / 2**20:.0f} MB above what the process held before; one of 100 such snapshots "
        f"{found[100][0]:.0f} s and {found[100][1] / 2**20:.0f} MB."
    )
    print(line, flush=True)
    torch.set_num_threads(threads)
    return [*lines, "", line]
