"""Layers whose weights change with time."""

from graphkit.nn.temporal.cells import EvolveState, MatrixGRU, MatrixLSTM, make_cell
from graphkit.nn.temporal.evolve_gcn import EvolveGCNH, EvolveGCNO
from graphkit.nn.temporal.evolving_conv import EvolvingConv
from graphkit.nn.temporal.summary import summarize

__all__ = [
    "EvolveGCNH",
    "EvolveGCNO",
    "EvolveState",
    "EvolvingConv",
    "MatrixGRU",
    "MatrixLSTM",
    "make_cell",
    "summarize",
]
