"""PyG's loaders on any install: no pyg-lib, torch-sparse or torch-cluster, the same batches for the same seed."""

from graphkit.loader.cluster import RandomClusterLoader
from graphkit.loader.neighbor import LinkNeighborLoader, NeighborLoader
from graphkit.loader.saint import GraphSAINTNodeSampler, GraphSAINTRandomWalkSampler
from graphkit.loader.sampler import NeighborSampler

__all__ = [
    "GraphSAINTNodeSampler",
    "GraphSAINTRandomWalkSampler",
    "LinkNeighborLoader",
    "NeighborLoader",
    "NeighborSampler",
    "RandomClusterLoader",
]
