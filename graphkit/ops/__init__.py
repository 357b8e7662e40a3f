"""The functional core: tensors and a :class:`~graphkit.Graph` in, tensors out."""

from graphkit.ops.backend import backend, backend_status
from graphkit.ops.blocks import block_apply, block_inverse_sqrt
from graphkit.ops.gather_reduce import gather_reduce
from graphkit.ops.powermean import powermean_aggregate
from graphkit.ops.scatter import (
    TopK,
    scatter,
    segment,
    segment_argmax,
    segment_logsumexp,
    segment_softmax,
    segment_topk,
)
from graphkit.ops.sheaf import sheaf_degree, sheaf_dirichlet_energy, sheaf_laplacian, sheaf_normalizer
from graphkit.ops.sheaf_matrix import sheaf_fixed_maps, sheaf_laplacian_matrix
from graphkit.ops.softmax import softmax_aggregate
from graphkit.ops.tree import tree_reduce, tree_roots, tree_rows
from graphkit.ops.tree_loss import TreeTerms, tree_associativity, tree_commutativity

__all__ = [
    "TopK",
    "TreeTerms",
    "backend",
    "backend_status",
    "block_apply",
    "block_inverse_sqrt",
    "gather_reduce",
    "powermean_aggregate",
    "scatter",
    "segment",
    "segment_argmax",
    "segment_logsumexp",
    "segment_softmax",
    "segment_topk",
    "sheaf_degree",
    "sheaf_dirichlet_energy",
    "sheaf_fixed_maps",
    "sheaf_laplacian",
    "sheaf_laplacian_matrix",
    "sheaf_normalizer",
    "softmax_aggregate",
    "tree_associativity",
    "tree_commutativity",
    "tree_reduce",
    "tree_roots",
    "tree_rows",
]
