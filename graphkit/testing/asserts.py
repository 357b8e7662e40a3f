"""Assertions for tests: one per property, raising an ``AssertionError`` that names the worst node or edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch_geometric.data import Data, HeteroData

from graphkit.testing.case import Case
from graphkit.testing.groups import Euclidean, Group
from graphkit.testing.properties import Property, resolve
from graphkit.testing.properties.geometry import equivariance, gradient_equivariance
from graphkit.testing.report import CannotRun, NotApplicable

Layer = nn.Module | Callable[[], nn.Module]


def assert_claim(claim: str, layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert one property by name.

    Args:
        claim: Name of the property.
        layer: A module, or a function of no arguments that builds one.
        data: A PyG ``Data``; a small awkward graph where None.
        **options: Further arguments of :class:`~graphkit.testing.Case`, ``seed`` among them.

    Raises:
        BrokenClaim: An ``AssertionError`` naming the property, the worst node, edge or graph and the seed.
        CannotRun: If the layer cannot be called, or the claim says nothing about it.

    Example:
        >>> from torch_geometric.nn import GATConv
        >>> assert_claim("multi_edges", lambda: GATConv(8, 4, heads=2))
    """
    __tracebackhide__ = True
    (prop,) = resolve(claim)
    _assert(prop, Case(layer, data, **options))


def _assert(prop: Property, case: Case) -> None:
    __tracebackhide__ = True
    try:
        prop.run(case)
    except NotApplicable as reason:
        raise CannotRun(f"{prop.name} does not apply: {reason}") from None


def assert_permutation_equivariant(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that relabelling the nodes relabels the output (per graph: leaves it). See :func:`assert_claim`.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> assert_permutation_equivariant(SAGEConv(8, 8))
    """
    __tracebackhide__ = True
    assert_claim("permutation", layer, data, **options)


def assert_edge_permutation_invariant(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that the order of edges and their attributes changes nothing. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("edge_permutation", layer, data, **options)


def assert_batch_consistent(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that a graph alone gives what it gives in a batch. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("batch", layer, data, **options)


def assert_local(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that an unrelated component, even a hub, changes nothing. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("locality", layer, data, **options)


def assert_layout_invariant(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that every form of the same graph gives the same output. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("layouts", layer, data, **options)


def assert_bipartite(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that ``(x_src, x_dst)`` works and agrees with the whole graph. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("bipartite", layer, data, **options)


def assert_gradients(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that gradients agree with finite differences. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("gradcheck", layer, data, **options)


def assert_gradient_equivariant(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that relabelling the nodes relabels the gradients. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("gradient_equivariance", layer, data, **options)


def assert_compiles(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that ``torch.compile(fullgraph=True)`` works and changes nothing. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("compile", layer, data, **options)


def assert_explainable(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that PyG's ``GNNExplainer`` sees the layer's messages. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("explain", layer, data, **options)


def assert_causal(layer: Layer, data: Data | HeteroData | None = None, **options: Any) -> None:
    """Assert that changing a future snapshot changes no past output. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("causality", layer, data, **options)


def assert_gauge_equivariant(layer: Layer, data: Data, *, inputs: Mapping[str, str], **options: Any) -> None:
    """Assert that the bases of a sheaf's stalks carry no meaning. See :func:`assert_claim`.

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> from graphkit.testing import example_data
        >>> class Laplacian(torch.nn.Module):
        ...     def forward(self, x, edge_index, maps):
        ...         return ops.sheaf_laplacian(x, Graph.from_edge_index(edge_index, x.size(0)), maps)
        >>> data = example_data((), undirected=True)
        >>> data.x = torch.randn(12, 2, 3, dtype=torch.float64)
        >>> data.maps = torch.randn(data.num_edges, 2, 2, dtype=torch.float64)
        >>> assert_gauge_equivariant(Laplacian(), data, inputs={"x": "stalk", "maps": "restriction"}, outputs="stalk")
    """
    __tracebackhide__ = True
    assert_claim("gauge", layer, data, inputs=inputs, **options)


def assert_sign_invariant(layer: Layer, data: Data, *, inputs: Mapping[str, str], **options: Any) -> None:
    """Assert that the signs of inputs of kind ``"eigenvectors"`` carry no meaning. See :func:`assert_claim`."""
    __tracebackhide__ = True
    assert_claim("sign_flips", layer, data, inputs=inputs, **options)


def assert_equivariant(
    layer: Layer,
    data: Data | HeteroData | None = None,
    group: str | Group = "E(3)",
    *,
    inputs: Mapping[str, str],
    outputs: str | tuple[str, ...],
    gradients: bool = False,
    **options: Any,
) -> None:
    r"""Assert :math:`f(g \cdot x) = g \cdot f(x)` for random elements g of a geometric group.

    Args:
        layer: A module, or a function of no arguments that builds one.
        data: A PyG ``Data`` with the inputs; one with ``pos`` and ``vel`` [N, 3] is made where None and asked for.
        group: ``"E(3)"``, ``"SO(2)"``, ..., or any object with ``sample`` and ``act``
            (:class:`~graphkit.testing.Group`).
        gradients: Test the gradient instead of the output: that of a function of the outputs that the group moves
            along moves as the inputs do.
        inputs: Geometric kind of the inputs that move: scalar, position, vector, pseudovector, tensor.
        outputs: Geometric kind of each output tensor, in order.
        **options: Further arguments of :class:`~graphkit.testing.Case`.

    Raises:
        BrokenClaim: Naming the group element, the worst node and the error.

    Example:
        >>> import torch
        >>> class Centred(torch.nn.Module):
        ...     def forward(self, pos):
        ...         return pos - pos.mean(dim=0)
        >>> assert_equivariant(Centred(), group="E(3)", inputs={"pos": "position"}, outputs="vector")
    """
    __tracebackhide__ = True
    acting = Euclidean.named(group) if isinstance(group, str) else group
    name = group.upper() if isinstance(group, str) else type(group).__name__
    make = gradient_equivariance if gradients else equivariance
    _assert(make(name, acting), Case(layer, data, inputs=inputs, outputs=outputs, **options))
