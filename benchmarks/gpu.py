"""``python -m benchmarks.gpu``: the operator table on CUDA, against PyG, plain torch and the copy bandwidth.

Where there is no CUDA device it says so and measures nothing. ``--sweep`` times the Triton kernels under other tile
sizes, warps and hub lengths instead (the constants of :mod:`graphkit.ops.triton.common`).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.cases import CASES, Case, floor_bytes, make_graph
from graphkit import Graph, ops

Run = Callable[..., Tensor]
_FLUSH = 2**30  # bytes written between runs: no cache holds them, and the host queues the run meanwhile


def contenders(case: Case, graph: Graph) -> dict[str, Run]:
    """Ours on Triton and on torch, PyG's best form, and cuSPARSE's product where it is the same operator."""
    source, target = graph.edge_index.unbind()

    def forced(name: str) -> Run:
        def run(x: Tensor, edge: Tensor | None, parameter: Tensor | None) -> Tensor:
            with ops.backend(name):
                return case.ours(x, graph, edge, parameter)

        return run

    def pyg(x: Tensor, edge: Tensor | None, parameter: Tensor | None) -> Tensor:
        return case.aggregate(case.message(x.index_select(0, source), edge), target, graph.num_dst, parameter)

    out = {"graphkit triton": forced("triton"), "graphkit torch": forced("torch"), "PyG": pyg}
    if case.name == "gather + sum":
        ones = torch.ones(graph.num_edges, device=graph.device)
        ptr, index, _ = graph.csc
        csr = torch.sparse_csr_tensor(ptr, index, ones, size=graph.size[::-1], check_invariants=False)
        out["torch CSR product"] = lambda x, edge, parameter: csr @ x
    return out


def leaves(case: Case, graph: Graph, width: int) -> list[Tensor | None]:
    """``x``, the edge operand and the parameter, asking for gradients."""
    torch.manual_seed(0)
    device = graph.device
    x = torch.randn(graph.num_src, width, device=device)
    shape = {None: None, "weight": (graph.num_edges,), "attr": (graph.num_edges, width)}[case.edge]
    edge = None if shape is None else torch.randn(shape, device=device)
    parameter = None if case.parameter is None else torch.tensor([case.parameter], device=device)
    return [None if v is None else v.requires_grad_() for v in (x, edge, parameter)]


def step(run: Run, values: list[Tensor | None], grad: Tensor, backward: bool) -> Callable[[], None]:
    """One forward, or forward and backward."""
    given = [v for v in values if v is not None]

    def call() -> None:
        if backward:
            torch.autograd.grad(run(*values), given, grad)
        else:
            with torch.no_grad():
                run(*values)

    return call


def interleave(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each call, taken in turn with cold caches, by the device's clock."""
    flush = torch.empty(_FLUSH // 4, device="cuda")
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():  # compiles
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            flush.zero_()
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            stop.record()
            stop.synchronize()
            times[name].append(start.elapsed_time(stop) / 1e3)
    return {name: statistics.median(t) for name, t in times.items()}


def copy_bandwidth(size: int = 2**30, rounds: int = 20) -> float:
    """Bytes per second, read plus written, of a copy larger than the caches."""
    source = torch.rand(size // 4, device="cuda")
    target = torch.empty_like(source)
    return 2 * size / interleave({"copy": lambda: target.copy_(source)}, rounds)["copy"]


def peak_memory(call: Callable[[], None]) -> int:
    """Bytes by which a step's peak exceeds what was held before it."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    call()
    return torch.cuda.max_memory_allocated() - before


def error(case: Case, graph: Graph, values: list[Tensor | None]) -> float:
    """Largest difference of the Triton result from the reference in float64, over the largest value."""
    with torch.no_grad():
        with ops.backend("triton"):
            got = case.ours(values[0], graph, values[1], values[2])  # type: ignore[arg-type]
        exact = [None if v is None else v.double() for v in values]
        with ops.backend("reference"):
            expected = case.ours(exact[0], graph, exact[1], exact[2])  # type: ignore[arg-type]
    return ((got - expected).abs().max() / expected.abs().max()).item()


def table(num_nodes: int, num_edges: int, widths: list[int], rounds: int) -> list[str]:
    """Markdown lines, one table row per operator, graph, width and contender."""
    bandwidth = copy_bandwidth()
    lines = [
        f"N = {num_nodes:,}, E = {num_edges:,}, float32, {torch.cuda.get_device_name()}, torch {torch.__version__}; "
        f"copy bandwidth {bandwidth / 1e9:.0f} GB/s (read + written); medians of {rounds} interleaved rounds with cold "
        "caches. `of copy` is the time that the compulsory bytes would take at copy bandwidth, over the time taken.",
        "",
        "| operator | graph | F | contender | fwd ms | fwd+bwd ms | x PyG fwd | x PyG fwd+bwd | of copy fwd "
        "| of copy fwd+bwd | peak MB | error |",
        "|" + "---|" * 12,
    ]
    for kind, width, case in itertools.product(("uniform", "power law"), widths, CASES):
        graph = make_graph(kind, num_nodes, num_edges).to("cuda")
        values = leaves(case, graph, width)
        grad = torch.randn(graph.num_dst, width, device="cuda")
        runs = contenders(case, graph)
        steps = {name: step(run, values, grad, True) for name, run in runs.items()}
        forward = interleave({name: step(run, values, grad, False) for name, run in runs.items()}, rounds)
        both = interleave(steps, rounds)
        for name in runs:
            floors = [floor_bytes(case, graph, width, backward) / bandwidth for backward in (False, True)]
            accuracy = f"{error(case, graph, values):.0e}" if name == "graphkit triton" else ""
            lines.append(
                f"| {case.name} | {kind} | {width} | {name} | {forward[name] * 1e3:.3f} | {both[name] * 1e3:.3f} | "
                f"{forward['PyG'] / forward[name]:.1f} | {both['PyG'] / both[name]:.1f} | "
                f"{floors[0] / forward[name]:.0%} | {floors[1] / both[name]:.0%} | "
                f"{peak_memory(steps[name]) / 2**20:.0f} | {accuracy} |"
            )
            print(lines[-1], flush=True)
    return lines


def sweep(num_nodes: int, num_edges: int, widths: list[int], rounds: int) -> list[str]:
    """Markdown lines: milliseconds of the Triton kernels for other constants."""
    from graphkit.ops.triton import common

    kept = common.TILE, common.WARPS, common.PIECE
    lines = ["| operator | graph | F | tile | warps | piece | fwd ms | fwd+bwd ms |", "|" + "---|" * 8]
    try:
        for kind, width, case in itertools.product(("uniform", "power law"), widths, CASES[:4]):
            graph = make_graph(kind, num_nodes, num_edges).to("cuda")
            values = leaves(case, graph, width)
            grad = torch.randn(graph.num_dst, width, device="cuda")
            run = contenders(case, graph)["graphkit triton"]
            for tile, warps, piece in itertools.product((256, 512, 1024, 2048), (1, 2, 4), (128, 256, 1024)):
                if piece != kept[2] and (tile, warps) != kept[:2]:
                    continue  # the hub length matters little to the others
                common.TILE, common.WARPS, common.PIECE = tile, warps, piece
                calls = {str(backward): step(run, values, grad, backward) for backward in (False, True)}
                times = interleave(calls, rounds)
                lines.append(
                    f"| {case.name} | {kind} | {width} | {tile} | {warps} | {piece} | "
                    f"{times['False'] * 1e3:.3f} | {times['True'] * 1e3:.3f} |"
                )
                print(lines[-1], flush=True)
    finally:
        common.TILE, common.WARPS, common.PIECE = kept
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--nodes", type=int, default=50_000)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sweep", action="store_true", help="try other constants of the kernels")
    parser.add_argument("--out", type=Path, help="write the table to this file too")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing measured")
        return
    warnings.simplefilter("ignore")  # torch's CSR beta notice
    measure = sweep if args.sweep else table
    lines = measure(args.nodes, args.edges, args.widths, args.rounds)
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out is not None:
        args.out.write_text(text)


if __name__ == "__main__":
    main()
