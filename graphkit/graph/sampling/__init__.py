"""Sampling without compiled extensions: neighbours, random partitions, random walks.

Pure functions on a :class:`~graphkit.graph.Graph`; :mod:`graphkit.loader` makes PyG's loaders of them. Draws are
hashes of ``(seed, place)`` (:mod:`~graphkit.graph.sampling.random`), so a result depends neither on threads nor on
worker processes, and the native kernels and the numpy reference give the same one.
"""

from graphkit.graph.sampling.clusters import Part, RandomPartition
from graphkit.graph.sampling.neighbors import NeighborSample, sample_neighbors
from graphkit.graph.sampling.walks import random_walk

__all__ = ["NeighborSample", "Part", "RandomPartition", "random_walk", "sample_neighbors"]
