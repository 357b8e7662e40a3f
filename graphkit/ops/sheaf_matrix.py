"""The sheaf Laplacian as a matrix, for spectra and tests, and the fixed stalk dimensions of published models."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.graph import Graph
from graphkit.ops.check import check_graph
from graphkit.ops.sheaf import Normalized, sheaf_degree, sheaf_normalizer
from graphkit.ops.sheaf_autograd import Unpaired


def sheaf_laplacian_matrix(
    graph: Graph,
    maps: Tensor,
    *,
    normalized: Normalized = False,
    edge_weight: Tensor | None = None,
    augmented: bool = True,
    orthogonal: bool = False,
    unpaired: Unpaired = "error",
    compat: bool = False,
    layout: torch.layout = torch.strided,
) -> Tensor:
    """The matrix that :func:`~graphkit.ops.sheaf_laplacian` applies.

    Entry ``i`` of node ``v``'s stalk is row ``v * d + i``. The network layers never need it; spectra and tests do.

    Args:
        graph, maps, normalized, edge_weight, augmented, orthogonal, unpaired, compat: as for
            :func:`~graphkit.ops.sheaf_laplacian`.
        layout: ``torch.strided``, ``torch.sparse_coo`` (coalesced) or ``torch.sparse_csr``.

    Shapes:
        ``[N d, N d]``, float32 or float64, differentiable.

    Raises:
        ValueError: as :func:`~graphkit.ops.sheaf_laplacian`, or for another layout.

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> g = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> ops.sheaf_laplacian_matrix(g, torch.tensor([[1.0], [2.0]])).tolist()
        [[1.0, -2.0], [-2.0, 4.0]]
    """
    if layout not in (torch.strided, torch.sparse_coo, torch.sparse_csr):
        raise ValueError(f"unknown layout (got {layout}, expected torch.strided, torch.sparse_coo or torch.sparse_csr)")
    degree = sheaf_degree(graph, maps, edge_weight=edge_weight, unpaired=unpaired)
    scale = sheaf_normalizer(
        graph, maps, normalized=normalized, edge_weight=edge_weight, augmented=augmented, orthogonal=orthogonal,
        unpaired=unpaired, compat=compat,
    )  # fmt: skip
    row, col = graph.edge_index
    # A self loop has no coboundary: it is in neither the degree nor the off-diagonal blocks.
    edge = torch.nonzero((graph.reverse >= 0) & (row != col)).flatten()
    row, col, partner = row[edge], col[edge], graph.reverse[edge]
    maps = (maps.diag_embed() if maps.dim() == 2 else maps).to(degree.dtype)
    blocks = -maps[edge].transpose(1, 2) @ maps[partner]
    if edge_weight is not None:
        weight = edge_weight.to(degree.dtype)
        blocks = blocks * ((weight[edge] + weight[partner]) / 2)[:, None, None]
    node = torch.arange(graph.num_nodes, device=graph.device)
    blocks = torch.cat([degree.diag_embed() if degree.dim() == 2 else degree, blocks])
    row, col = torch.cat([node, row]), torch.cat([node, col])
    d = maps.size(1)
    if scale is not None:
        scale = scale[:, None].expand(-1, d) if scale.dim() == 1 else scale
        scale = scale.diag_embed() if scale.dim() == 2 else scale
        blocks = scale[row] @ blocks @ scale[col]
    stalk = torch.arange(d, device=graph.device)
    index = torch.stack(
        [
            (row[:, None, None] * d + stalk[:, None]).expand_as(blocks).flatten(),
            (col[:, None, None] * d + stalk).expand_as(blocks).flatten(),
        ]
    )
    size = (graph.num_nodes * d,) * 2
    if layout == torch.strided:
        return blocks.new_zeros(size).index_put((index[0], index[1]), blocks.flatten(), accumulate=True)
    matrix = torch.sparse_coo_tensor(index, blocks.flatten(), size, check_invariants=False).coalesce()
    return matrix if layout == torch.sparse_coo else matrix.to_sparse_csr()


def sheaf_fixed_maps(graph: Graph, *, low_pass: bool = False, high_pass: bool = False, like: Tensor) -> Tensor:
    """Diagonal maps of the stalk dimensions that published models add and do not learn.

    The high-pass dimension has the map 1 at both ends, its Laplacian is D - A; the low-pass dimension has opposite
    signs at the two ends, its Laplacian is the signless D + A. They interact with no other stalk dimension: append
    them to diagonal maps, or apply :func:`~graphkit.ops.sheaf_laplacian` to their rows of the signal alone.

    Args:
        graph: the topology.
        low_pass: whether there is a low-pass dimension; it comes first.
        high_pass: whether there is a high-pass dimension.
        like: a tensor whose dtype and device the maps take, e.g. the learned maps.

    Shapes:
        ``[E, low_pass + high_pass]``

    Example:
        >>> import torch
        >>> from graphkit import Graph, ops
        >>> g = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> maps = ops.sheaf_fixed_maps(g, low_pass=True, high_pass=True, like=torch.empty(0))
        >>> maps.tolist()
        [[1.0, 1.0], [-1.0, 1.0]]
        >>> ops.sheaf_laplacian_matrix(g, maps[:, :1]).tolist()
        [[1.0, 1.0], [1.0, 1.0]]
    """
    row, col = check_graph(graph).edge_index
    sign = torch.where(row < col, 1.0, -1.0).to(like.dtype)
    columns = [sign] * low_pass + [torch.ones_like(sign)] * high_pass
    return torch.stack(columns, dim=1) if columns else sign.new_empty(graph.num_edges, 0)
