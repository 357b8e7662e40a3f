"""Groups, their actions and their frames.

A group draws elements (``sample``), moves named tensors (``act``) and gives the frames of data (``frame``). The same
objects drive :class:`graphkit.nn.FrameAveraging` and the suite of :mod:`graphkit.testing`.
"""

from graphkit.symmetry.cloud import frame_condition
from graphkit.symmetry.eigen import symmetric_eigen
from graphkit.symmetry.frames import EuclideanFrame, pca_frame, qr_frame, sign_set
from graphkit.symmetry.groups import KINDS, Euclidean, Group, Isometry
from graphkit.symmetry.mixture import FrameMixture, frame_mixture
from graphkit.symmetry.names import group_named
from graphkit.symmetry.permutations import GraphPermutation, Permutation
from graphkit.symmetry.spectral import SortedGraphs, sort_graphs, spectral_keys

__all__ = [
    "KINDS",
    "Euclidean",
    "EuclideanFrame",
    "FrameMixture",
    "GraphPermutation",
    "Group",
    "Isometry",
    "Permutation",
    "SortedGraphs",
    "frame_condition",
    "frame_mixture",
    "group_named",
    "pca_frame",
    "qr_frame",
    "sign_set",
    "sort_graphs",
    "spectral_keys",
    "symmetric_eigen",
]
