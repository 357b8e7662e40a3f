"""The sheaf Laplacian, matrix-free: restriction maps on the edges, signals on the nodes, nothing assembled."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.ops.autograd import OptTensor
from graphkit.ops.blocks import block_apply, block_inverse_sqrt, inverse_sqrt
from graphkit.ops.check import accumulator, check_features, check_graph
from graphkit.ops.sheaf_autograd import Unpaired, laplacian
from graphkit.ops.sheaf_autograd import degree as degree_of

Normalized = bool | Literal["degree"]


def sheaf_laplacian(
    x: Tensor,
    graph: Graph,
    maps: Tensor,
    *,
    normalized: Normalized = False,
    edge_weight: Tensor | None = None,
    augmented: bool = True,
    orthogonal: bool = False,
    unpaired: Unpaired = "error",
    normalizer: Tensor | None = None,
    compat: bool = False,
) -> Tensor:
    r"""Apply the Laplacian of a cellular sheaf to a signal, without assembling it.

    .. math:: (L x)_u = \sum_{\{u, v\}} w_{uv} F_u^\top (F_u x_u - F_v x_v), \qquad
        \text{normalised: } S L S, \quad S_u = (D_u + I)^{-1/2}, \quad D_u = \sum_{\{u, v\}} w_{uv} F_u^\top F_u

    Each undirected edge ``{u, v}`` is a pair of columns ``(u, v)`` and ``(v, u)`` of ``edge_index``; the map of a
    column takes the stalk of its *first* node (its source) into the edge. L is symmetric and positive semidefinite,
    and normalised (``True``) its spectrum lies in [0, 2].

    * *Diagonal* sheaf: ``maps [E, d]``. *General* sheaf: ``maps [E, d, d]``. *Bundle*: orthogonal ``maps [E, d, d]``
      and ``orthogonal=True``, which spares the eigendecompositions: the degree is then a number, the weighted degree.
    * Copies of an edge pair up in the given order and count each on its own. A self loop has no coboundary
      (F_u x_u - F_u x_u) and contributes nothing, neither here nor to the degree.
    * ``edge_weight`` is the weight of the undirected edge, the mean of its two columns' entries. The published code
      multiplies *maps* by its edge weights: give their squares here.

    Args:
        x: signal ``[N, d, *features]``, floating point.
        graph: the topology, both directions of every edge.
        maps: restriction maps in the user's edge order, ``[E, d]`` or ``[E, d, d]``.
        normalized: ``False``: L itself. ``True``: by the block degree. ``"degree"``: by a number per node that bounds
            the block degree if every entry of the maps lies in [-1, 1]: the degree for diagonal and orthogonal maps,
            ``d^2`` times it for general ones (see ``compat``).
        edge_weight: ``[E]``, not negative.
        augmented: whether to add I to the degree before its root. Without it, the (pseudo-)inverse root: zero at
            isolated nodes and in directions that no map sees.
        orthogonal: a promise that every map is orthogonal; ``[E, d, d]`` only.
        unpaired: an edge without its reverse has no map at its other end: ``"error"``, or ``"ignore"`` to leave such
            edges out, of the degree too.
        normalizer: the result of :func:`sheaf_normalizer`, where one sheaf is applied many times; replaces
            ``normalized``, ``augmented``, ``orthogonal`` and ``compat``.
        compat: for ``normalized="degree"`` and general maps, divide as the published code does, by ``d * degree + 1``
            whatever ``augmented`` says; that is no bound, the spectrum can exceed 2.

    Shapes:
        ``[N, d, *features] -> [N, d, *features]``

    Returns:
        A tensor of the dtype of ``x``; half types are accumulated in float32. No tensor of size E x d x f is made,
        forward or backward; saved for backward are the inputs and node-sized tensors. Differentiable (twice) in
        ``x``, ``maps`` and ``edge_weight``.

    Raises:
        TypeError: if ``graph`` is no :class:`~graphkit.Graph`.
        ValueError: if shapes, dtypes or devices disagree, the graph is bipartite, an edge lacks its reverse, or (on
            the CPU, outside ``torch.compile``) a map is not finite or a weight negative.

    Differs from the published code (Bodnar et al. 2022, https://arxiv.org/abs/2202.04579): gradients are finite at
    singular and repeated eigenvalues, without random perturbation; not augmented, isolated nodes of a diagonal sheaf
    give 0 where it gives NaN.

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> g = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> x = torch.tensor([[[1.0]], [[3.0]]])
        >>> ops.sheaf_laplacian(x, g, torch.ones(2, 1)).flatten().tolist()  # the graph's Laplacian
        [-2.0, 2.0]
        >>> ops.sheaf_laplacian(x, g, torch.tensor([[3.0], [1.0]])).flatten().tolist()  # 3 * 1 = 1 * 3: no energy
        [0.0, 0.0]
    """
    graph, maps, weight = _check_sheaf(graph, maps, edge_weight, unpaired)
    x = check_features(x, graph.num_src, "x", "node", graph.device)
    d = maps.size(1)
    if x.dim() < 2 or x.size(1) != d:
        divides = x.dim() != 2 or x.size(1) % d == 0
        raise ValueError(
            f"'x' must have shape [N, d, *features] with the stalk dimension d of 'maps', {d} (got {list(x.shape)}); "
            + (f"reshape it, e.g. x.view(N, {d}, -1)" if divides else f"{d} does not divide its {x.size(1)} channels")
        )
    if normalizer is None:
        normalizer = _normalizer(graph, maps, weight, normalized, augmented, orthogonal, unpaired, compat)
    elif normalizer.dim() > 3 or normalizer.shape != (graph.num_src, d, d)[: normalizer.dim()]:
        raise ValueError(
            f"'normalizer' must have shape [N], [N, d] or [N, d, d] with N = {graph.num_src}, d = {d} "
            f"(got {list(normalizer.shape)}); make it with sheaf_normalizer of this graph and these maps"
        )
    z = x.reshape(x.size(0), d, math.prod(x.shape[2:]))
    if normalizer is None:
        out = laplacian(z, graph, maps, weight, unpaired)
        _check_finite(out, maps)
    elif normalizer.dim() == maps.dim() == 2 and normalizer.dtype == maps.dtype and graph.num_edges < z[:, 0].numel():
        # S L S is the Laplacian of the maps F S: numbers of edges instead of stalks are scaled where they are fewer.
        out = laplacian(z, graph, maps * normalizer.index_select(0, graph.edge_index[0]), weight, unpaired)
    else:
        out = block_apply(normalizer, laplacian(block_apply(normalizer, z), graph, maps, weight, unpaired))
    return out.reshape(x.shape)


def sheaf_degree(
    graph: Graph, maps: Tensor, *, edge_weight: Tensor | None = None, unpaired: Unpaired = "error"
) -> Tensor:
    r"""The block degree :math:`D_u = \sum_{\{u, v\}} w_{uv} F_u^\top F_u`, the diagonal of the sheaf Laplacian.

    Args:
        graph, maps, edge_weight, unpaired: as for :func:`sheaf_laplacian`.

    Shapes:
        ``maps [E, d] -> [N, d]``, ``maps [E, d, d] -> [N, d, d]``, float32 or float64.

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> g = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]), 3)
        >>> ops.sheaf_degree(g, torch.tensor([[2.0], [1.0]])).flatten().tolist()
        [4.0, 1.0, 0.0]
    """
    graph, maps, weight = _check_sheaf(graph, maps, edge_weight, unpaired)
    return degree_of(graph, maps, weight, unpaired)


def sheaf_normalizer(
    graph: Graph,
    maps: Tensor,
    *,
    normalized: Normalized = True,
    edge_weight: Tensor | None = None,
    augmented: bool = True,
    orthogonal: bool = False,
    unpaired: Unpaired = "error",
    compat: bool = False,
) -> Tensor | None:
    """The blocks S of the normalised Laplacian S L S, to be made once where one sheaf is applied many times.

    Args:
        graph, maps, normalized, edge_weight, augmented, orthogonal, unpaired, compat: as for :func:`sheaf_laplacian`.

    Returns:
        ``[N]`` (one number per node), ``[N, d]`` (diagonal blocks) or ``[N, d, d]``, float32 or float64; ``None`` if
        not ``normalized``.

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> g = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]), 3)
        >>> ops.sheaf_normalizer(g, torch.full((2, 1), 3.0**0.5)).flatten()
        tensor([0.5000, 0.5000, 1.0000])
    """
    graph, maps, weight = _check_sheaf(graph, maps, edge_weight, unpaired)
    return _normalizer(graph, maps, weight, normalized, augmented, orthogonal, unpaired, compat)


def sheaf_dirichlet_energy(x: Tensor, graph: Graph, maps: Tensor, **options: Any) -> Tensor:
    r"""The Dirichlet energy :math:`x^\top L x = \sum_{\{u, v\}} w_{uv} \lVert F_u x_u - F_v x_v \rVert^2`.

    How far a signal is from a global section (a signal that agrees along every edge has energy 0). With
    ``normalized``, of the normalised Laplacian.

    Args:
        x, graph, maps: as for :func:`sheaf_laplacian`.
        options: its keyword arguments.

    Shapes:
        ``[N, d, *features] -> []``, float32 or float64.

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> g = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> ops.sheaf_dirichlet_energy(torch.tensor([[[1.0]], [[3.0]]]), g, torch.ones(2, 1)).item()
        4.0
    """
    x = x.to(accumulator(x.dtype)) if isinstance(x, Tensor) and x.is_floating_point() else x
    return (x * sheaf_laplacian(x, graph, maps, **options)).sum()


def _check_sheaf(graph: object, maps: object, edge_weight: object, unpaired: str) -> tuple[Graph, Tensor, OptTensor]:
    graph = check_graph(graph)
    if graph.num_src != graph.num_dst:
        raise ValueError(
            f"'graph' must be homogeneous (got size {graph.size}); number both kinds of nodes in one range"
        )
    if unpaired not in ("error", "ignore"):
        raise ValueError(f"unknown unpaired (got {unpaired!r}, expected 'error' or 'ignore')")
    maps = check_features(maps, graph.num_edges, "maps", "edge", graph.device)
    if maps.dim() not in (2, 3) or maps.shape[1] == 0 or maps.shape[1] != maps.shape[-1]:
        raise ValueError(
            f"'maps' must have shape [E, d] (diagonal) or [E, d, d] (got {list(maps.shape)}); "
            f"one number per edge is maps[:, None]"
        )
    if edge_weight is None:
        return graph, maps, None
    weight = check_features(edge_weight, graph.num_edges, "edge_weight", "edge", graph.device)
    if weight.dim() != 1:
        raise ValueError(f"'edge_weight' must have shape [E] (got {list(weight.shape)}); use edge_weight.squeeze(-1)")
    if _looks_at_values(weight) and weight.numel() and not bool(weight.detach().min() >= 0):
        raise ValueError(
            f"'edge_weight' must not be negative or NaN (got {weight.detach().min().item()}): the Laplacian would not "
            f"be positive semidefinite; put signs into the maps"
        )
    return graph, maps, weight.to(maps.dtype)


def _looks_at_values(t: Tensor) -> bool:
    """Whether reading a value is cheap: on the CPU, and not while tracing."""
    return (
        t.device.type == "cpu" and not torch.compiler.is_compiling() and not torch._C._are_functorch_transforms_active()
    )


def _check_finite(result: Tensor, maps: Tensor) -> None:
    """Blame the maps for a result that is not finite, if they are to blame; the sum of a node table is cheap."""
    if not _looks_at_values(result) or bool(result.detach().sum().isfinite()):
        return
    bad = torch.nonzero(~maps.detach().flatten(1).isfinite().all(1)).flatten()
    if bad.numel():
        raise ValueError(
            f"'maps' must be finite (got {bad.numel()} of {maps.size(0)} maps that are not, the first at edge "
            f"{int(bad[0])}); look for a diverged learner or a division by zero"
        )


def _normalizer(
    graph: Graph,
    maps: Tensor,
    weight: OptTensor,
    normalized: Normalized,
    augmented: bool,
    orthogonal: bool,
    unpaired: Unpaired,
    compat: bool,
) -> Tensor | None:
    if normalized not in (True, False, "degree"):
        raise ValueError(f"unknown normalized (got {normalized!r}, expected True, False or 'degree')")
    if orthogonal and maps.dim() != 3:
        raise ValueError(f"orthogonal=True needs 'maps' of shape [E, d, d] (got {list(maps.shape)})")
    if not normalized:
        return None
    general = maps.dim() == 3 and not orthogonal
    if normalized is True and not orthogonal:
        degree = degree_of(graph, maps, weight, unpaired)
        _check_finite(degree, maps)
        if general and degree.size(1) > 1:
            eye = torch.eye(degree.size(1), dtype=degree.dtype, device=degree.device)
            return block_inverse_sqrt(degree + eye if augmented else degree)
        return inverse_sqrt(degree + 1 if augmented else degree)
    ones = maps.detach().new_ones(maps.size(0), 1)
    degree = degree_of(graph, ones, weight, unpaired)[:, 0]
    if general:
        degree = degree * (maps.size(1) if compat else maps.size(1) ** 2)
        augmented = augmented or compat
    return inverse_sqrt(degree + 1 if augmented else degree)
