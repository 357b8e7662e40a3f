"""Whole networks as published, and the parts that turn a network into a link predictor."""

from graphkit.models.deeper_gcn import DeeperGCN
from graphkit.models.link import LinkModel, LinkPredictor
from graphkit.models.neural_sheaf_diffusion import NeuralSheafDiffusion
from graphkit.models.sheaf_ode import SheafODE
from graphkit.models.sheaf_recommender import SheafRecommender

__all__ = ["DeeperGCN", "LinkModel", "LinkPredictor", "NeuralSheafDiffusion", "SheafODE", "SheafRecommender"]
