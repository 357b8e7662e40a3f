"""Commutative monoids: what aggregations are made of, one per file."""

from graphkit.nn.aggr.monoids.base import BinaryOperator, Monoid
from graphkit.nn.aggr.monoids.conjugate import Conjugate
from graphkit.nn.aggr.monoids.extremum import Max, Min
from graphkit.nn.aggr.monoids.gru import SymmetricGRU
from graphkit.nn.aggr.monoids.logsumexp import LogSumExp
from graphkit.nn.aggr.monoids.mean import Mean
from graphkit.nn.aggr.monoids.mlp import SymmetricMLP
from graphkit.nn.aggr.monoids.powermean import PowerMean
from graphkit.nn.aggr.monoids.product import Product
from graphkit.nn.aggr.monoids.softmax import Softmax
from graphkit.nn.aggr.monoids.sum import Sum
from graphkit.nn.aggr.monoids.symmetrized import Symmetrized
from graphkit.nn.aggr.monoids.variance import Variance

__all__ = [
    "BinaryOperator",
    "Conjugate",
    "LogSumExp",
    "Max",
    "Mean",
    "Min",
    "Monoid",
    "PowerMean",
    "Product",
    "Softmax",
    "Sum",
    "SymmetricGRU",
    "SymmetricMLP",
    "Symmetrized",
    "Variance",
]
