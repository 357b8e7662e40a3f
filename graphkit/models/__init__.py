"""Whole networks as published, and the parts that turn a network into a link predictor."""

from graphkit.models.deeper_gcn import DeeperGCN
from graphkit.models.evolve_gcn import EvolveGCN, PairClassifier, TemporalModel
from graphkit.models.frame_averaged_gnn import FrameAveragedGNN
from graphkit.models.frame_averaged_graphs import FAGIN, FAMLP
from graphkit.models.frame_averaged_points import FADGCNN, FAPointNet
from graphkit.models.latent_graph import LatentGraphNetwork
from graphkit.models.link import LinkModel, LinkPredictor
from graphkit.models.neural_sheaf_diffusion import NeuralSheafDiffusion
from graphkit.models.sheaf_ode import SheafODE
from graphkit.models.sheaf_recommender import SheafRecommender

__all__ = [
    "DeeperGCN",
    "EvolveGCN",
    "FADGCNN",
    "FAGIN",
    "FAMLP",
    "FAPointNet",
    "FrameAveragedGNN",
    "LatentGraphNetwork",
    "LinkModel",
    "LinkPredictor",
    "NeuralSheafDiffusion",
    "PairClassifier",
    "SheafODE",
    "SheafRecommender",
    "TemporalModel",
]
