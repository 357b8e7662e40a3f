"""A class of tests to subclass: one test for each claim of a layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from torch import nn
from torch_geometric.data import Data, HeteroData

from graphkit.testing.asserts import assert_claim
from graphkit.testing.properties import resolve
from graphkit.testing.report import CannotRun


class LayerContract(ABC):
    """Subclass it in a file of tests, name the layer, and pytest runs one test per claim.

    Attributes:
        claims: Names of claims, or ``"laws"``, ``"all"``.
        lacks: Claims that are not tested, each with the reason.
        options: Further arguments of :class:`~graphkit.testing.Case`: ``edge_dim``, ``inputs``, ``outputs``, ...

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> class TestSAGE(LayerContract):
        ...     claims = ("permutation", "batch", "locality")
        ...     def layer(self):
        ...         return SAGEConv(8, 8)
        >>> for claim in TestSAGE.names():
        ...     TestSAGE().test_claim(claim, 0)
    """

    claims: ClassVar[str | Iterable[str]] = "laws"
    lacks: ClassVar[Mapping[str, str]] = {}
    options: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def layer(self) -> nn.Module:
        """Build a fresh layer."""

    def data(self) -> Data | HeteroData | None:
        """What to test it on; the suite's small awkward graph where None."""
        return None

    @classmethod
    def names(cls) -> list[str]:
        """Names of the claims that are tested.

        Raises:
            ValueError: If a claim of ``claims`` or ``lacks`` is unknown.
        """
        lacks = {prop.name for prop in resolve(cls.lacks)} if cls.lacks else set()
        return [prop.name for prop in resolve(cls.claims) if prop.name not in lacks]

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test per claim; called by pytest."""
        if "claim" in metafunc.fixturenames:
            metafunc.parametrize("claim", self.names())

    def test_claim(self, claim: str, graphkit_seed: int) -> None:
        """The claim holds, or says nothing about this layer."""
        try:
            assert_claim(claim, self.layer, self.data(), seed=graphkit_seed, **self.options)
        except CannotRun as reason:
            if "does not apply" not in str(reason):
                raise
            import pytest

            pytest.skip(str(reason))
