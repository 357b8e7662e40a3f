"""The operator table: large graphs, forward and forward + backward, time, ratio, memory, distance to the floor."""

from __future__ import annotations

import itertools
import multiprocessing
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch
from torch import Tensor

from benchmarks.cases import CASES, Case, contenders, floor_bytes, make_graph
from benchmarks.harness import copy_bandwidth, interleave, peak_memory, saved_bytes
from graphkit import Graph


def _step(run: Callable[..., Tensor], leaves: list[Tensor | None], grad: Tensor, backward: bool) -> Callable[[], None]:
    given = [leaf for leaf in leaves if leaf is not None]

    def step() -> None:
        if backward:
            torch.autograd.grad(run(*leaves), given, grad)
        else:
            with torch.no_grad():
                run(*leaves)

    return step


def _leaves(case: Case, graph: Graph, width: int) -> list[Tensor | None]:
    torch.manual_seed(0)
    x = torch.randn(graph.num_src, width, requires_grad=True)
    shape = {None: None, "weight": (graph.num_edges,), "attr": (graph.num_edges, width)}[case.edge]
    edge = None if shape is None else torch.randn(shape, requires_grad=True)
    parameter = None if case.parameter is None else torch.tensor([case.parameter], requires_grad=True)
    return [x, edge, parameter]


def operator_table(
    num_nodes: int, num_edges: int, widths: list[int], rounds: int, graphs: list[str], match: str = ""
) -> list[str]:
    """Markdown lines, one table row per operator (whose name has ``match`` in it), graph, width and contender."""
    bandwidth = copy_bandwidth()
    lines = [
        f"N = {num_nodes:,}, E = {num_edges:,}, float32; copy bandwidth {bandwidth / 1e9:.1f} GB/s (read + written); "
        f"medians of {rounds} interleaved rounds. `x PyG` compares with the faster PyG column of that row's group; "
        "`/ floor` is the time over (compulsory bytes / copy bandwidth); `saved` is what autograd keeps besides "
        "the inputs. PyG with torch_scatter, DGL and our torch backend are measured on the uniform graph with F = 64.",
        "",
        "| operator | graph | F | contender | fwd ms | fwd+bwd ms | x PyG fwd | x PyG fwd+bwd | / floor | peak MB "
        "| saved MB |",
        "|" + "---|" * 11,
    ]
    for kind, width, case in itertools.product(graphs, widths, [c for c in CASES if match in c.name]):
        # A process of its own for each group of rows: its contenders still take turns in one process, and memory that
        # a library keeps (24 GB after ten groups, once) is given back.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            group = pool.submit(
                operator_rows, CASES.index(case), kind, width, num_nodes, num_edges, rounds, bandwidth,
                torch.get_num_threads(),
            ).result()  # fmt: skip
        print("\n".join(group), flush=True)
        lines += group
    return lines


def operator_rows(
    case_index: int, kind: str, width: int, num_nodes: int, num_edges: int, rounds: int, bandwidth: float, threads: int
) -> list[str]:
    """The rows of one operator on one graph, one per contender."""
    warnings.simplefilter("ignore")  # torch's CSR beta notice, DGL's deprecations
    torch.set_num_threads(threads)
    case = CASES[case_index]
    graph = make_graph(kind, num_nodes, num_edges)
    runs = contenders(case, graph)
    if (kind, width) != ("uniform", 64):  # who is not the fastest peer, and the fallback, once
        runs = {n: r for n, r in runs.items() if n not in ("PyG + torch_scatter", "graphkit torch", "DGL")}
    leaves = _leaves(case, graph, width)
    grad = torch.randn(graph.num_dst, width)
    forward = interleave({n: _step(r, leaves, grad, False) for n, r in runs.items()}, rounds)
    steps = {n: _step(r, leaves, grad, True) for n, r in runs.items()}
    both = interleave(steps, rounds)
    shared = [*graph.csc, *graph.csr, graph.edge_index, *(leaf for leaf in leaves if leaf is not None)]
    pyg = [n for n in runs if n.startswith("PyG")]
    best_forward = min(forward[n].seconds for n in pyg)
    best = min(both[n].seconds for n in pyg)
    floor = floor_bytes(case, graph, width, True) / bandwidth
    rows = []
    for name, run in runs.items():
        saved = saved_bytes(partial(run, *leaves), shared)
        peak = peak_memory(steps[name])
        rows.append(
            f"| {case.name} | {kind} | {width} | {name} | {forward[name].seconds * 1e3:.1f} | "
            f"{both[name].seconds * 1e3:.1f} | {best_forward / forward[name].seconds:.1f} | "
            f"{best / both[name].seconds:.1f} | {both[name].seconds / floor:.1f} | "
            f"{'' if peak is None else f'{peak / 2**20:.0f}'} | {saved / 2**20:.0f} |"
        )
    return rows
