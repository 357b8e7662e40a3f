"""Backend ``torch``: pure PyTorch on any device, without an E x F tensor.

Where the message depends on the source alone, the result is a ratio of sparse matrix products on node-sized tensors.
Otherwise edges are taken in blocks that stay in cache, the backward recomputes the messages, and only node-sized
tensors are kept. The contract of the functions is that of :mod:`graphkit.ops.kernels`.
"""

from graphkit.ops.torch_backend.gather_reduce import gather_reduce, gather_reduce_backward
from graphkit.ops.torch_backend.powermean import powermean_aggregate, powermean_aggregate_backward
from graphkit.ops.torch_backend.sheaf import (
    sheaf_degree,
    sheaf_degree_backward,
    sheaf_laplacian,
    sheaf_laplacian_backward,
)
from graphkit.ops.torch_backend.small_blocks import (
    block_apply,
    block_inverse_sqrt,
    block_inverse_sqrt_backward,
    block_outer,
)
from graphkit.ops.torch_backend.softmax import softmax_aggregate, softmax_aggregate_backward

__all__ = [
    "block_apply",
    "block_inverse_sqrt",
    "block_inverse_sqrt_backward",
    "block_outer",
    "gather_reduce",
    "gather_reduce_backward",
    "powermean_aggregate",
    "powermean_aggregate_backward",
    "sheaf_degree",
    "sheaf_degree_backward",
    "sheaf_laplacian",
    "sheaf_laplacian_backward",
    "softmax_aggregate",
    "softmax_aggregate_backward",
]
