"""New graphs from old: self loops, reverse edges, GCN's weights, subgraphs and batches.

Pure functions. Existing edges keep their order and new ones are appended, so that a user's own edge tensors
extend by one ``torch.cat``. All of them are also methods of :class:`Graph`. They belong before the model, not
into a compiled forward pass: how many edges they make depends on the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphkit.graph.compressed import Compressed, index_dtype
from graphkit.graph.topology import Graph
from graphkit.graph.validate import check_attr, check_index_dtype, check_range


def with_self_loops(graph: Graph, fill_value: float = 1.0) -> Graph:
    """Append a self loop for every node that has none, in node order.

    PyG's ``add_remaining_self_loops`` moves existing loops to the end and keeps one per node; here they stay
    where and as many as they are.

    Args:
        graph: a homogeneous graph.
        fill_value: value of every edge attribute of the new loops.

    Raises:
        ValueError: if the graph is bipartite, or an edge attribute's dtype cannot hold ``fill_value``.

    Example:
        >>> edge_index, w = torch.tensor([[0, 1], [0, 2]]), torch.tensor([5, 6])
        >>> graph = Graph.from_edge_index(edge_index, edge_attrs={"w": w})
        >>> out = with_self_loops(graph)
        >>> out.edge_index.tolist(), out.edge_attrs["w"].tolist()
        ([[0, 1, 1, 2], [0, 2, 1, 2]], [5, 6, 1, 1])
    """
    num_nodes = graph.num_nodes
    source, target = graph.edge_index
    lacking = torch.ones(num_nodes, dtype=torch.bool, device=graph.device)
    lacking[source[source == target]] = False
    loops = torch.nonzero(lacking).view(-1)

    def fill(name: str, value: Tensor) -> Tensor:
        exact = value.dtype.is_floating_point or value.dtype.is_complex or float(fill_value).is_integer()
        if not exact:
            raise ValueError(
                f"'fill_value' must be an integer for edge attribute '{name}' of {value.dtype} "
                f"(got {fill_value}); convert the attribute to floating point first"
            )
        return value.new_full((loops.numel(), *value.shape[1:]), fill_value)

    return _append(graph, torch.stack([loops, loops]), fill)


def to_undirected(graph: Graph) -> Graph:
    """Append the missing reverse of each edge, with a copy of its attributes.

    ``k`` copies of ``i -> j`` facing ``l`` copies of ``j -> i`` become ``max(k, l)`` of each, so a graph that
    is undirected already comes back with the same edges. PyG's ``to_undirected`` instead merges multi-edges.

    Raises:
        ValueError: if the graph is bipartite.

    Example:
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1, 1], [1, 0, 2]]))
        >>> to_undirected(graph).edge_index.tolist()
        [[0, 1, 1, 2], [1, 0, 2, 1]]
    """
    single = torch.nonzero(graph.reverse < 0).view(-1)
    return _append(graph, graph.edge_index[:, single].flip(0), lambda _, value: value[single])


def _append(graph: Graph, edges: Tensor, values: Callable[[str, Tensor], Tensor]) -> Graph:
    edge_attrs = {name: torch.cat([value, values(name, value)]) for name, value in graph.edge_attrs.items()}
    edge_index = torch.cat([graph.edge_index, edges], dim=1)
    return Graph(edge_index, graph.size, node_attrs=graph.node_attrs, edge_attrs=edge_attrs)


def gcn_norm(graph: Graph, edge_weight: Tensor | None = None, *, self_loops: bool = True) -> tuple[Graph, Tensor]:
    r"""The symmetrically normalised adjacency of GCN.

    .. math:: \hat w_{ji} = d_j^{-1/2} \, w_{ji} \, d_i^{-1/2}, \qquad d_i = \sum_{k \to i} w_{ki}

    with self loops of weight 1 added where there are none; a node of degree 0 gets weight 0. From
    "Semi-Supervised Classification with Graph Convolutional Networks" (https://arxiv.org/abs/1609.02907),
    section 2.2, and equal to PyG's ``gcn_norm`` up to the order of edges; of a node with several self loops
    PyG keeps the last alone, here all count. Gradients are finite for zero weights too, where PyG's are NaN.

    Args:
        graph: a homogeneous graph.
        edge_weight: ``[E]`` floating point, differentiable; ones if ``None``.
        self_loops: whether to add them.

    Returns:
        The graph with self loops, and its weights ``[E']``: the user's edges first, then the new loops.

    Raises:
        ValueError: if the graph is bipartite, or ``edge_weight`` is not ``[E]`` and floating point.

    Example:
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> normalised, weight = gcn_norm(graph)
        >>> weight.round(decimals=3).tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    num_nodes, num_edges = graph.num_nodes, graph.num_edges
    if edge_weight is None:
        edge_weight = torch.ones(num_edges, device=graph.device)
    check_attr(edge_weight, num_edges, graph.device, "'edge_weight'", "edge")
    if edge_weight.dim() != 1 or not edge_weight.is_floating_point():
        raise ValueError(
            f"'edge_weight' must be floating point of shape [{num_edges}] "
            f"(got {edge_weight.dtype}, {list(edge_weight.shape)})"
        )
    if self_loops:
        graph = with_self_loops(graph)
        edge_weight = torch.cat([edge_weight, edge_weight.new_ones(graph.num_edges - num_edges)])
    source, target = graph.edge_index
    degree = edge_weight.new_zeros(num_nodes).index_put((target,), edge_weight, accumulate=True)
    empty = degree == 0
    # The inner masked_fill keeps the infinite slope of x**-0.5 at 0 out of the gradient.
    scale = degree.masked_fill(empty, 1.0).pow(-0.5).masked_fill(empty, 0.0)
    return graph, scale[source] * edge_weight * scale[target]


def subgraph(graph: Graph, nodes: Tensor) -> Graph:
    """The subgraph that ``nodes`` induce: they are renumbered in the given order, and edges keep theirs.

    Args:
        graph: a homogeneous graph.
        nodes: integer ``[n]``, distinct nodes in the wanted order, or bool ``[num_nodes]``.

    Returns:
        The subgraph, with ``node_attrs["n_id"]`` and ``edge_attrs["e_id"]``: each node's and edge's position
        in ``graph`` (these replace attributes of that name).

    Raises:
        TypeError: if ``nodes`` is no tensor.
        ValueError: if the graph is bipartite, or ``nodes`` has a wrong shape or dtype, repeats or leaves the
            range.

    Example:
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 0]]))
        >>> part = subgraph(graph, torch.tensor([2, 0]))
        >>> part.edge_index.tolist(), part.edge_attrs["e_id"].tolist()
        ([[0], [1]], [2])
    """
    num_nodes = graph.num_nodes
    if not isinstance(nodes, Tensor):
        raise TypeError(f"'nodes' must be a torch.Tensor (got {type(nodes).__name__})")
    if nodes.dim() != 1:
        raise ValueError(f"'nodes' must have one dimension (got shape {list(nodes.shape)})")
    if nodes.device != graph.device:
        raise ValueError(f"'nodes' must be on {graph.device} as the graph is (got {nodes.device})")
    if nodes.dtype == torch.bool:
        if nodes.numel() != num_nodes:
            raise ValueError(f"'nodes' as a mask must have shape [{num_nodes}] (got {list(nodes.shape)})")
        nodes = torch.nonzero(nodes).view(-1)
    else:
        nodes = check_index_dtype(nodes, "nodes").clone()
        check_range(nodes, num_nodes, "nodes")
    number = torch.full((num_nodes,), -1, dtype=torch.int64, device=graph.device)
    positions = torch.arange(nodes.numel(), device=graph.device)
    number[nodes] = positions
    if not torch.equal(number[nodes], positions):
        raise ValueError("'nodes' must be distinct (got a node more than once); use torch.unique")
    ends = number[graph.edge_index]
    edges = torch.nonzero((ends >= 0).all(dim=0)).view(-1)
    node_attrs = {name: value[nodes] for name, value in graph.node_attrs.items()} | {"n_id": nodes}
    edge_attrs = {name: value[edges] for name, value in graph.edge_attrs.items()} | {"e_id": edges}
    size = (nodes.numel(), nodes.numel())
    return Graph(ends[:, edges], size, node_attrs=node_attrs, edge_attrs=edge_attrs)


def batch(graphs: Sequence[Graph]) -> Graph:
    """The disjoint union of graphs, as PyG's ``Batch``: in the order of the sequence.

    Forms that every graph has sorted already are joined without sorting again.

    Args:
        graphs: at least one; all on one device and with the same attributes.

    Returns:
        The union; ``node_attrs["batch"]`` holds the graph each node belongs to (homogeneous graphs only).

    Raises:
        TypeError: if ``graphs`` holds anything but graphs.
        ValueError: if it is empty, or devices or attributes differ.

    Example:
        >>> graph = Graph.from_edge_index(torch.tensor([[0], [1]]))
        >>> both = batch([graph, graph])
        >>> both.edge_index.tolist(), both.node_attrs["batch"].tolist()
        ([[0, 2], [1, 3]], [0, 0, 1, 1])
    """
    graphs = list(graphs)
    _check_batch(graphs)
    device = graphs[0].device
    sizes = torch.tensor([(*g.size, g.num_edges) for g in graphs], dtype=torch.int64).to(device)
    starts = sizes.cumsum(0) - sizes
    num_src, num_dst = sum(g.num_src for g in graphs), sum(g.num_dst for g in graphs)
    num_edges = sum(g.num_edges for g in graphs)
    shift = torch.repeat_interleave(starts, sizes[:, 2], dim=0, output_size=num_edges)  # of each edge: [E, 3]
    edge_index = torch.cat([g.edge_index for g in graphs], dim=1) + shift[:, :2].t()
    dtype = index_dtype(num_edges, num_src, num_dst)

    def join(forms: list[Compressed | None], other: int) -> Compressed | None:
        ready = [form for form in forms if form is not None]
        if len(ready) < len(forms):
            return None
        degree = torch.cat([form.ptr.diff() for form in ready])
        ptr = torch.zeros(degree.numel() + 1, dtype=torch.int64, device=device)
        torch.cumsum(degree, 0, out=ptr[1:])
        index = torch.cat([form.index for form in ready]) + shift[:, other]
        perm = torch.cat([form.perm for form in ready]) + shift[:, 2]
        return Compressed(ptr.to(dtype), index.to(dtype), perm.to(dtype))

    node_attrs = {name: torch.cat([g.node_attrs[name] for g in graphs]) for name in graphs[0].node_attrs}
    edge_attrs = {name: torch.cat([g.edge_attrs[name] for g in graphs]) for name in graphs[0].edge_attrs}
    if all(g.num_src == g.num_dst for g in graphs):
        number = torch.arange(len(graphs), device=device)
        node_attrs["batch"] = torch.repeat_interleave(number, sizes[:, 0], output_size=num_src)
    csc = join([g._csc for g in graphs], other=0)
    csr = join([g._csr for g in graphs], other=1)
    return Graph(edge_index, (num_src, num_dst), node_attrs=node_attrs, edge_attrs=edge_attrs, csc=csc, csr=csr)


def _check_batch(graphs: list[Graph]) -> None:
    if not graphs:
        raise ValueError("'graphs' must hold at least one Graph (got an empty sequence)")
    for i, graph in enumerate(graphs):
        if not isinstance(graph, Graph):
            raise TypeError(f"'graphs' must hold Graph objects (got {type(graph).__name__} at position {i})")
        if graph.device != graphs[0].device:
            raise ValueError(f"'graphs' must share a device (got {graphs[0].device} and, at {i}, {graph.device})")
        for kind in ("node_attrs", "edge_attrs"):
            first = {name: (v.shape[1:], v.dtype) for name, v in getattr(graphs[0], kind).items()}
            here = {name: (v.shape[1:], v.dtype) for name, v in getattr(graph, kind).items()}
            if here != first:
                raise ValueError(
                    f"'graphs' must have the same {kind}, shapes and dtypes (got {first} at position 0 "
                    f"and {here} at position {i})"
                )
