"""``python -m benchmarks``: measure, print and (with ``--write``) record in ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import argparse
import datetime
import sys
import warnings
from pathlib import Path

import torch

from benchmarks.harness import machine
from benchmarks.layers import layer_table
from benchmarks.operators import operator_table
from benchmarks.sampling import sampling_table

RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--nodes", type=int, default=50_000)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--graphs", nargs="+", choices=["uniform", "power law"], default=["uniform", "power law"])
    parser.add_argument("--match", default="", help="only operators whose name contains this")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the operator table; the layer table takes 4x")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=["operators", "layers", "sampling"], help="measure one table")
    parser.add_argument("--write", action="store_true", help=f"record the tables in {RESULTS.name}")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # torch's CSR beta notice, DGL's deprecations
    torch.set_num_threads(args.threads)

    print(machine(), flush=True)
    parts = []
    if args.only in (None, "operators"):
        table = operator_table(args.nodes, args.edges, args.widths, args.rounds, args.graphs, args.match)
        parts += ["## Operators", "", *table, ""]
    if args.only in (None, "layers"):
        parts += ["## Layers on small graphs", "", *layer_table(4 * args.rounds), ""]
    if args.only in (None, "sampling"):
        table = sampling_table(args.nodes, args.edges, args.rounds, args.graphs, args.threads)
        parts += ["## Sampling", "", *table, ""]
    head = [
        "# Benchmark results",
        "",
        f"Made by `python -m benchmarks {' '.join(sys.argv[1:])}` on {datetime.date.today()}: {machine()}.",
        "",
    ]
    text = "\n".join([*head, *parts])
    if args.write:
        RESULTS.write_text(text)
        print(f"written to {RESULTS}")
    else:
        print(text)


if __name__ == "__main__":
    main()
