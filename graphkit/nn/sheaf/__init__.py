"""Restriction maps of cellular sheaves: families, learners and orthogonal matrices for :class:`graphkit.nn.SheafConv`.

A family is a module from node features and a graph to a :class:`Sheaf`; a learner, the exchangeable part of most
families, is a module from the features at both ends of an edge to the parameters of a map.
"""

from graphkit.nn.sheaf.base import RestrictionMaps, Sheaf
from graphkit.nn.sheaf.bundle import BundleMaps
from graphkit.nn.sheaf.connection import ConnectionMaps
from graphkit.nn.sheaf.diagonal import DiagonalMaps
from graphkit.nn.sheaf.edges import symmetric
from graphkit.nn.sheaf.factory import FAMILIES, Family, LearnerName, make_maps
from graphkit.nn.sheaf.general import GeneralMaps
from graphkit.nn.sheaf.identity import IdentityMaps
from graphkit.nn.sheaf.learner import AttentionLearner, ConcatLearner, MakeLearner, MapLearner, SplitLearner
from graphkit.nn.sheaf.orthogonal import PARAMETRISATIONS, orthogonal_matrix

__all__ = [
    "AttentionLearner",
    "BundleMaps",
    "ConcatLearner",
    "ConnectionMaps",
    "DiagonalMaps",
    "FAMILIES",
    "Family",
    "GeneralMaps",
    "IdentityMaps",
    "LearnerName",
    "MakeLearner",
    "MapLearner",
    "PARAMETRISATIONS",
    "RestrictionMaps",
    "Sheaf",
    "SplitLearner",
    "make_maps",
    "orthogonal_matrix",
    "symmetric",
]
