"""Families of restriction maps by name."""

from __future__ import annotations

from functools import partial
from typing import Literal

from graphkit.nn.sheaf.base import RestrictionMaps
from graphkit.nn.sheaf.bundle import BundleMaps
from graphkit.nn.sheaf.connection import ConnectionMaps
from graphkit.nn.sheaf.diagonal import DiagonalMaps
from graphkit.nn.sheaf.general import GeneralMaps
from graphkit.nn.sheaf.identity import IdentityMaps
from graphkit.nn.sheaf.learner import AttentionLearner, ConcatLearner, MakeLearner

LearnerName = Literal["concat", "sum", "attention"]
Family = Literal["identity", "diagonal", "bundle", "general", "connection"]
FAMILIES: tuple[Family, ...] = ("identity", "diagonal", "bundle", "general", "connection")


def make_maps(
    maps: Family,
    in_channels: int,
    stalk_dim: int,
    *,
    orthogonal: str = "householder",
    edge_weights: bool = True,
    learner: LearnerName | MakeLearner = "concat",
    act: str = "tanh",
    rows: int = 1,
    compat: str | None = None,
) -> RestrictionMaps:
    """A family of restriction maps.

    Args:
        maps: ``"identity"``, ``"diagonal"``, ``"bundle"``, ``"general"`` or ``"connection"``.
        in_channels: width of the features that maps are learned from.
        stalk_dim: dimension of the stalks.
        orthogonal: parametrisation of ``"bundle"``.
        edge_weights: learn edge weights (``"bundle"``).
        learner: ``"concat"``, ``"sum"`` (the same from the sum of the stalk rows), ``"attention"`` (``"general"``), or
            a function from ``(in_channels, num_parameters)`` to a module with ``forward(x_src [E, C], x_dst [E, C]) ->
            [E, num_parameters]`` (:class:`~graphkit.nn.sheaf.MapLearner`).
        act: activation of ``"concat"`` and ``"sum"``.
        rows: stalk rows that ``in_channels`` consists of, for ``"sum"``.
        compat: ``"official"``: ``"sum"`` as published (:class:`~graphkit.nn.sheaf.ConcatLearner`).

    Raises:
        ValueError: if a name is unknown or options contradict each other.

    Example:
        >>> make_maps("bundle", 8, 3)
        BundleMaps(
          orthogonal=householder
          (learner): ConcatLearner(8, 3, act=tanh)
          (weight_learner): ConcatLearner(8, 1, act=sigmoid)
        )
    """
    if maps not in FAMILIES:
        raise ValueError(f"'maps' must be one of {', '.join(map(repr, FAMILIES))} (got {maps!r})")
    make: MakeLearner
    if learner == "concat":
        make = partial(ConcatLearner, act=act)
    elif learner == "sum":
        make = partial(ConcatLearner, act=act, stalks=rows, compat=compat)
    elif learner == "attention":
        if maps != "general":
            raise ValueError(f"learner='attention' makes whole matrices and needs maps='general' (got {maps!r})")
        make = AttentionLearner
    elif callable(learner):
        make = learner
    else:
        raise ValueError(
            f"'learner' must be 'concat', 'sum', 'attention' or a function that makes one (got {learner!r})"
        )
    if maps == "identity":
        return IdentityMaps(stalk_dim)
    if maps == "connection":
        return ConnectionMaps(stalk_dim)
    if maps == "diagonal":
        return DiagonalMaps(in_channels, stalk_dim, make)
    if maps == "general":
        return GeneralMaps(in_channels, stalk_dim, make)
    return BundleMaps(in_channels, stalk_dim, make, orthogonal, edge_weights)
