"""The public suite: does a graph layer have the symmetries it claims?

Works on any layer that is called as PyG's are: convolutions, aggregations, norms, whole models.

Example:
    >>> from torch_geometric.nn import SAGEConv
    >>> report = check(lambda: SAGEConv(8, 8), claims=["permutation", "batch", "locality"])
    >>> report.passed
    True
"""

from graphkit.testing.asserts import (
    assert_batch_consistent,
    assert_bipartite,
    assert_causal,
    assert_claim,
    assert_compiles,
    assert_edge_permutation_invariant,
    assert_equivariant,
    assert_explainable,
    assert_gauge_equivariant,
    assert_gradient_equivariant,
    assert_gradients,
    assert_layout_invariant,
    assert_local,
    assert_permutation_equivariant,
    assert_sign_invariant,
)
from graphkit.testing.case import Case
from graphkit.testing.cli import run_check
from graphkit.testing.contract import LayerContract
from graphkit.testing.examples import example_data, example_edges
from graphkit.testing.groups import Euclidean, Group, Isometry
from graphkit.testing.hetero import example_hetero_data
from graphkit.testing.properties import PROPERTIES, SPECIAL, Property, register, resolve
from graphkit.testing.report import BrokenClaim, CannotRun, NotApplicable, Report, Result
from graphkit.testing.suite import check, verdict

__all__ = [
    "PROPERTIES",
    "SPECIAL",
    "BrokenClaim",
    "CannotRun",
    "Case",
    "Euclidean",
    "Group",
    "Isometry",
    "LayerContract",
    "NotApplicable",
    "Property",
    "Report",
    "Result",
    "assert_batch_consistent",
    "assert_bipartite",
    "assert_causal",
    "assert_claim",
    "assert_compiles",
    "assert_edge_permutation_invariant",
    "assert_equivariant",
    "assert_explainable",
    "assert_gauge_equivariant",
    "assert_gradient_equivariant",
    "assert_gradients",
    "assert_layout_invariant",
    "assert_local",
    "assert_permutation_equivariant",
    "assert_sign_invariant",
    "check",
    "example_data",
    "example_edges",
    "example_hetero_data",
    "register",
    "resolve",
    "run_check",
    "verdict",
]
