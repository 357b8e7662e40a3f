"""``python -m benchmarks``: measure, print and (with ``--write``) record in ``benchmarks/RESULTS.md``."""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.evolvegcn import evolvegcn_table
from benchmarks.forward import forward_table
from benchmarks.frame_averaging import frame_averaging_table
from benchmarks.harness import machine
from benchmarks.layers import layer_table
from benchmarks.lcm import lcm_table
from benchmarks.operators import operator_table
from benchmarks.sampling import sampling_table
from benchmarks.sheaf import sheaf_table
from benchmarks.snowflake import snowflake_table
from benchmarks.training import training_table

RESULTS = Path(__file__).parent / "RESULTS.md"

# What --only takes: the title in RESULTS.md, and how to measure it.
TABLES: dict[str, tuple[str, Callable[[Namespace], list[str]]]] = {
    "operators": (
        "Operators",
        lambda args: operator_table(args.nodes, args.edges, args.widths, args.rounds, args.graphs, args.match),
    ),
    "layers": ("Layers on small graphs", lambda args: layer_table(4 * args.rounds)),
    "sampling": (
        "Sampling",
        lambda args: sampling_table(args.nodes, args.edges, args.rounds, args.graphs, args.threads),
    ),
    "sheaf": ("Sheaves", lambda args: sheaf_table(args.nodes, args.edges, args.rounds, args.threads)),
    "lcm": ("Learned aggregations", lambda args: lcm_table(args.rounds, args.threads)),
    "evolvegcn": ("Graphs that change with time", lambda args: evolvegcn_table(args.rounds)),
    "snowflake": ("Latent graphs", lambda args: snowflake_table(args.rounds, args.threads)),
    "frame-averaging": ("Frame averaging", lambda args: frame_averaging_table(args.rounds)),
    "forward": ("Forward-only training", lambda args: forward_table(args.rounds, args.threads)),
    "training": ("Training", lambda args: training_table(args.rounds)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--nodes", type=int, default=50_000)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--graphs", nargs="+", choices=["uniform", "power law"], default=["uniform", "power law"])
    parser.add_argument("--match", default="", help="only operators whose name contains this")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the operator table; the layer table takes 4x")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES), help="measure these tables")
    parser.add_argument("--write", action="store_true", help=f"record the tables in {RESULTS.name}, leave the others")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # torch's CSR beta notice, DGL's deprecations
    torch.set_num_threads(args.threads)

    print(machine(), flush=True)
    for name in args.only:
        title, measure = TABLES[name]
        command = " ".join(f'"{word}"' if " " in word else word for word in sys.argv[1:])
        made = f"Made by `python -m benchmarks {command}`, {datetime.date.today()}: {machine()}."
        section = "\n".join([f"## {title}", "", made, "", *measure(args), ""])
        print(section)
        if args.write:
            record(title, section)
            print(f"written to {RESULTS}")


def record(title: str, section: str) -> None:
    """Puts a section in the place of the one with this title, or at the end."""
    text = RESULTS.read_text() if RESULTS.exists() else "# Benchmark results\n"
    old = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", flags=re.MULTILINE | re.DOTALL)
    if old.search(text):
        text = old.sub(lambda _: section + "\n", text)
    else:
        text = text.rstrip("\n") + "\n\n" + section
    RESULTS.write_text(text.rstrip("\n") + "\n")


if __name__ == "__main__":
    main()
