"""The functional core: tensors and a :class:`~graphkit.Graph` in, tensors out."""

from graphkit.ops.backend import backend, backend_status
from graphkit.ops.blocks import block_apply, block_inverse_sqrt
from graphkit.ops.gather_reduce import gather_reduce
from graphkit.ops.gumbel import gumbel_noise, gumbel_topk
from graphkit.ops.manifolds import euclidean_sq_distance, hyperbolic_sq_distance, spherical_sq_distance
from graphkit.ops.nearest import Neighbors, nearest_neighbors, neighbor_recall
from graphkit.ops.plackett_luce import log_sum_of_rest, plackett_luce_log_prob
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
from graphkit.ops.snowflake import SnowflakeLayer, safe_norm, snowflake, snowflake_slope
from graphkit.ops.soft_rank import edge_ranks, soft_first_k
from graphkit.ops.softmax import softmax_aggregate
from graphkit.ops.spacetime import partial_order, quasi_metric, two_sided_power
from graphkit.ops.tree import tree_reduce, tree_roots, tree_rows
from graphkit.ops.tree_loss import TreeTerms, tree_associativity, tree_commutativity

__all__ = [
    "Neighbors",
    "SnowflakeLayer",
    "TopK",
    "TreeTerms",
    "backend",
    "backend_status",
    "block_apply",
    "block_inverse_sqrt",
    "edge_ranks",
    "euclidean_sq_distance",
    "gather_reduce",
    "gumbel_noise",
    "gumbel_topk",
    "hyperbolic_sq_distance",
    "log_sum_of_rest",
    "nearest_neighbors",
    "neighbor_recall",
    "partial_order",
    "plackett_luce_log_prob",
    "powermean_aggregate",
    "quasi_metric",
    "safe_norm",
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
    "snowflake",
    "snowflake_slope",
    "soft_first_k",
    "softmax_aggregate",
    "spherical_sq_distance",
    "tree_associativity",
    "tree_commutativity",
    "tree_reduce",
    "tree_roots",
    "tree_rows",
    "two_sided_power",
]
