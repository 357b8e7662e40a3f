"""Latent graphs: metrics of points, samplers of edges, and the layer that joins them."""

from graphkit.nn.latent.base import Choice, Metric, Request, Sampler
from graphkit.nn.latent.cdgm import ContinuousDGM
from graphkit.nn.latent.ddgm import DiscreteDGM
from graphkit.nn.latent.dgg import DGG
from graphkit.nn.latent.euclidean import Euclidean, PoincareBall
from graphkit.nn.latent.latent_graph import Latent, LatentGraph, LatentRun, make_sampler
from graphkit.nn.latent.product import ProductManifold
from graphkit.nn.latent.reward import GraphReward
from graphkit.nn.latent.snowflake import NeuralSnowflake
from graphkit.nn.latent.spacetime import NeuralSpacetime
from graphkit.nn.latent.straight_through import StraightThrough

__all__ = [
    "Choice",
    "ContinuousDGM",
    "DGG",
    "DiscreteDGM",
    "Euclidean",
    "GraphReward",
    "Latent",
    "LatentGraph",
    "LatentRun",
    "Metric",
    "NeuralSnowflake",
    "NeuralSpacetime",
    "PoincareBall",
    "ProductManifold",
    "Request",
    "Sampler",
    "StraightThrough",
    "make_sampler",
]
