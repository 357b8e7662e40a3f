"""Layers whose weights change with time."""

from graphkit.nn.temporal.adjacency import SelfLoops
from graphkit.nn.temporal.cells import CellName, EvolveState, MatrixGRU, MatrixLSTM, make_cell
from graphkit.nn.temporal.evolve_gcn import EvolveGCNH, EvolveGCNO, Mode
from graphkit.nn.temporal.evolving_conv import EvolvingConv
from graphkit.nn.temporal.summary import summarize

__all__ = [
    "CellName",
    "EvolveGCNH",
    "EvolveGCNO",
    "EvolveState",
    "EvolvingConv",
    "MatrixGRU",
    "MatrixLSTM",
    "Mode",
    "SelfLoops",
    "make_cell",
    "summarize",
]
