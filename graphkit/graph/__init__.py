"""The graph data layer: a sorted topology with an inverse, and the doors into it."""

from graphkit.graph.cache import as_graph
from graphkit.graph.compressed import Compressed
from graphkit.graph.topology import Graph

__all__ = ["Compressed", "Graph", "as_graph"]
