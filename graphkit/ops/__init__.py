"""The functional core: tensors and a :class:`~graphkit.Graph` in, tensors out."""

from graphkit.ops.backend import backend, backend_status
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
from graphkit.ops.softmax import softmax_aggregate

__all__ = [
    "TopK",
    "backend",
    "backend_status",
    "gather_reduce",
    "powermean_aggregate",
    "scatter",
    "segment",
    "segment_argmax",
    "segment_logsumexp",
    "segment_softmax",
    "segment_topk",
    "softmax_aggregate",
]
