"""The native CPU kernels: C++ behind a C interface, loaded with :mod:`ctypes`.

The library has no dependency on torch's or Python's headers, so one binary serves every version of both.  It holds
the kernels for several instruction sets and picks the best one at run time; ``GRAPHKIT_NATIVE_ISA=avx2`` or
``baseline`` forces a lower one, ``GRAPHKIT_NATIVE_LIBRARY`` names another library file.

>>> from graphkit import native
>>> native.available() or native.why_not() != ""
True
"""

from graphkit.native.kernels import (
    gather_reduce,
    gather_reduce_backward,
    powermean_aggregate,
    powermean_aggregate_backward,
    softmax_aggregate,
    softmax_aggregate_backward,
)
from graphkit.native.library import ABI_VERSION, available, build_info, why_not
from graphkit.native.sheaf import (
    block_apply,
    block_inverse_sqrt,
    block_inverse_sqrt_backward,
    block_outer,
    sheaf_degree,
    sheaf_degree_backward,
    sheaf_laplacian,
    sheaf_laplacian_backward,
)
from graphkit.native.sorting import IndexOutOfRange, sort_edges

__all__ = [
    "ABI_VERSION",
    "available",
    "build_info",
    "why_not",
    "gather_reduce",
    "gather_reduce_backward",
    "powermean_aggregate",
    "powermean_aggregate_backward",
    "block_apply",
    "block_inverse_sqrt",
    "block_inverse_sqrt_backward",
    "block_outer",
    "sheaf_degree",
    "sheaf_degree_backward",
    "sheaf_laplacian",
    "sheaf_laplacian_backward",
    "softmax_aggregate",
    "softmax_aggregate_backward",
    "IndexOutOfRange",
    "sort_edges",
]
