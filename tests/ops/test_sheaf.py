"""The sheaf Laplacian: its formula, spectrum, symmetries, gradients, odd graphs and errors, on every backend."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit import Graph, ops
from tests.ops.sheaf_cases import (
    BACKENDS,
    KINDS,
    NORMALIZATIONS,
    assert_near,
    dense_laplacian,
    draw,
    draw_maps,
    edge_by_edge,
    gradients,
    options,
    run_all,
    simple,
    undirected,
)

TOLERANCE = {torch.float64: 1e-11, torch.float32: 5e-5, torch.bfloat16: 6e-2, torch.float16: 8e-3}
kinds = pytest.mark.parametrize("kind", KINDS)
backends = pytest.mark.parametrize("backend", BACKENDS)
fast_backends = pytest.mark.parametrize("backend", BACKENDS[1:])
normalizations = pytest.mark.parametrize("name", NORMALIZATIONS)

# Values ------------------------------------------------------------------------------------------------------


@backends
@kinds
@pytest.mark.parametrize("weighted", [False, True])
def test_is_the_coboundary_times_its_transpose(backend: str, kind: str, weighted: bool) -> None:
    graph, d = undirected(), 3
    maps, x = draw_maps(kind, graph, d), draw(12, d, 4)
    weight = draw(graph.num_edges, seed=3).abs() if weighted else None
    expected = dense_laplacian(graph, maps, weight) @ x.flatten(0, 1)
    with ops.backend(backend):
        got = ops.sheaf_laplacian(x, graph, maps, edge_weight=weight)
    torch.testing.assert_close(got.flatten(0, 1), expected)


@fast_backends
@kinds
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 6, 11])  # the native kernels hold up to 5 rows, the rest goes in pieces
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_reference(backend: str, kind: str, d: int, dtype: torch.dtype) -> None:
    graph = undirected(40, 120)
    for features in ((1,), (5,), (17,), (20,), (70,)):  # 17 and 20: whole vectors and a tail
        for weighted in (False, True):
            with ops.backend("reference"):
                expected = run_all(graph, kind, d, features, dtype, weighted)
            with ops.backend(backend):
                got = run_all(graph, kind, d, features, dtype, weighted)
            assert all(a.dtype == dtype for a in got)
            assert_near(got, expected, TOLERANCE[dtype])


@fast_backends
@pytest.mark.parametrize("kind", ["diagonal", "general"])
@pytest.mark.parametrize(
    ("num_nodes", "num_edges"),
    [(9_000, 6_000), (28_000, 90_000)],  # stalks beyond the second cache; then stalks and maps beyond known pages
)
def test_equals_reference_on_large_tables(backend: str, kind: str, num_nodes: int, num_edges: int) -> None:
    graph = undirected(num_nodes, num_edges)
    d = 6 if kind == "diagonal" else 3
    with ops.backend("reference"):
        expected = run_all(graph, kind, d, (10,), torch.float64, True)
    with ops.backend(backend):
        got = run_all(graph, kind, d, (10,), torch.float64, True)
    assert_near(got, expected, 1e-9)


@fast_backends
@kinds
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@normalizations
def test_narrow_types(backend: str, kind: str, dtype: torch.dtype, name: str) -> None:
    """Sums are held in float32: what is lost is the rounding of inputs and results."""
    graph = simple()
    with ops.backend("reference"):
        expected = run_all(graph, kind, 3, (8,), torch.float64, True, **options(kind, name))
    with ops.backend(backend):
        got = run_all(graph, kind, 3, (8,), dtype, True, **options(kind, name))
    assert all(a.dtype == dtype for a in got)
    # Without the identity the roots of near-singular blocks magnify what the rounding of the maps changes.
    assert_near(got[:2] if name == "not augmented" else got, expected[: 2 if name == "not augmented" else None],
                TOLERANCE[dtype] * (10 if name == "not augmented" else 1))  # fmt: skip


@backends
@pytest.mark.parametrize("features", [(), (4,), (2, 3), (0,)])
def test_feature_shapes(backend: str, features: tuple[int, ...]) -> None:
    graph = undirected()
    maps = draw_maps("general", graph, 2).requires_grad_()
    x = draw(12, 2, *features).requires_grad_()
    with ops.backend(backend):
        out = ops.sheaf_laplacian(x, graph, maps, normalized=True)
        flat = ops.sheaf_laplacian(x.reshape(12, 2, -1) if x.numel() else x, graph, maps, normalized=True)
        gx, gmaps = gradients(out, [x, maps])
    assert out.shape == x.shape == gx.shape
    assert gmaps.shape == maps.shape
    torch.testing.assert_close(out.reshape(flat.shape), flat)
    assert features != (0,) or not gmaps.any()


def test_the_normalizer_can_be_made_once() -> None:
    graph = undirected()
    x = draw(12, 3, 2)
    for kind in KINDS:
        maps = draw_maps(kind, graph, 3)
        for name in NORMALIZATIONS:
            chosen = options(kind, name)
            made = ops.sheaf_normalizer(graph, maps, **chosen)
            once = ops.sheaf_laplacian(x, graph, maps, normalizer=made)
            torch.testing.assert_close(once, ops.sheaf_laplacian(x, graph, maps, **chosen), rtol=0, atol=0)
            assert (made is None) == (name == "plain")


# What a sheaf Laplacian is -----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(KINDS),
    d=st.integers(1, 4),
    name=st.sampled_from(list(NORMALIZATIONS)),
    rank=st.integers(0, 4),
    weighted=st.booleans(),
    backend=st.sampled_from(BACKENDS),
)
def test_symmetric_semidefinite_and_bounded(
    seed: int, kind: str, d: int, name: str, rank: int, weighted: bool, backend: str
) -> None:
    graph = undirected(seed=seed)
    maps = draw_maps(kind, graph, d, seed=seed)
    if kind != "bundle":
        maps = maps * (torch.arange(d) < rank)  # columns: the directions of a stalk that no edge sees
    weight = draw(graph.num_edges, seed=seed).abs() if weighted else None
    with ops.backend(backend):
        eye = torch.eye(12 * d, dtype=torch.float64).view(12, d, 12 * d)
        chosen = {**options(kind, name), "edge_weight": weight}
        matrix = ops.sheaf_laplacian(eye, graph, maps, **chosen).flatten(0, 1)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(matrix, ops.sheaf_laplacian_matrix(graph, maps, **chosen), rtol=0, atol=1e-11)
    values = torch.linalg.eigvalsh(matrix)
    assert values[0] >= -1e-12 * max(1.0, float(values[-1]))
    if name != "plain":
        assert values[-1] <= 2 + 1e-12
    if name == "normalized":
        assert values[-1] < 2
    alone = torch.tensor([10, 11])  # isolated nodes
    assert not matrix.view(12, d, 12, d)[alone].any()
    assert not matrix.view(12, d, 12, d)[:, :, alone].any()


@kinds
def test_energy_is_the_sum_over_the_edges(kind: str) -> None:
    graph = undirected()
    maps, x = draw_maps(kind, graph, 3), draw(12, 3, 2)
    weight = draw(graph.num_edges, seed=3).abs()
    expected = sum((own @ x[u] - other @ x[v]).square().sum() for u, v, own, other in edge_by_edge(graph, maps, weight))
    torch.testing.assert_close(ops.sheaf_dirichlet_energy(x, graph, maps, edge_weight=weight), expected)
    normalized = ops.sheaf_dirichlet_energy(x, graph, maps, normalized=True, orthogonal=kind == "bundle")
    matrix = ops.sheaf_laplacian_matrix(graph, maps, normalized=True, orthogonal=kind == "bundle")
    flat = x.flatten(0, 1)
    torch.testing.assert_close(normalized, (flat * (matrix @ flat)).sum())
    half = ops.sheaf_dirichlet_energy(x.bfloat16(), graph, maps.bfloat16(), edge_weight=weight.bfloat16())
    assert half.dtype == torch.float32


@backends
def test_constant_maps_give_the_laplacian_of_the_graph(backend: str) -> None:
    graph = simple()
    row, col = graph.edge_index
    adjacency = torch.zeros(10, 10, dtype=torch.float64).index_put((row, col), torch.ones(len(row)).double())
    degree = adjacency.sum(1)
    scale = (degree + 1).rsqrt()
    x = draw(10, 1, 3)
    with ops.backend(backend):
        plain = ops.sheaf_laplacian(x, graph, torch.ones(graph.num_edges, 1).double())
        augmented = ops.sheaf_laplacian(x, graph, torch.ones(graph.num_edges, 1).double(), normalized=True)
        reflected = ops.sheaf_laplacian(
            x.expand(10, 3, 3), graph, -torch.eye(3).double().expand(graph.num_edges, 3, 3), normalized=True,
            orthogonal=True,
        )  # fmt: skip
    expected = torch.diag(degree) - adjacency
    torch.testing.assert_close(plain[:, 0], expected @ x[:, 0])
    torch.testing.assert_close(augmented[:, 0], scale[:, None] * expected * scale @ x[:, 0])
    torch.testing.assert_close(reflected, augmented.expand(10, 3, 3))


@backends
def test_a_global_section_has_no_energy(backend: str) -> None:
    graph = undirected()
    basis = draw(12, 3, 3) + 2 * torch.eye(3)
    maps = torch.linalg.inv(basis)[graph.edge_index[0]]
    section = basis @ draw(3, 5)
    with ops.backend(backend):
        # What cancels is of this size: the bases are far from orthogonal.
        size = (ops.sheaf_degree(graph, maps).abs() @ section.abs()).max()
        assert ops.sheaf_laplacian(section, graph, maps).abs().max() < 1e-14 * size
        assert ops.sheaf_dirichlet_energy(section, graph, maps).abs() < 1e-13 * size * section.abs().max()


@backends
@pytest.mark.parametrize("name", ["plain", "normalized", "not augmented"])
def test_gauge(backend: str, name: str) -> None:
    """An orthogonal matrix after both maps of an edge changes nothing; new bases of the stalks move x along."""
    graph = undirected()
    maps, x = draw_maps("general", graph, 3), draw(12, 3, 4)
    turn = torch.linalg.qr(draw(graph.num_edges, 3, 3, seed=5)).Q
    turn = torch.where((torch.arange(graph.num_edges) <= graph.reverse)[:, None, None], turn, turn[graph.reverse])
    basis = torch.linalg.qr(draw(12, 3, 3, seed=6)).Q
    with ops.backend(backend):
        expected = ops.sheaf_laplacian(x, graph, maps, **NORMALIZATIONS[name])
        edges = ops.sheaf_laplacian(x, graph, turn @ maps, **NORMALIZATIONS[name])
        moved = maps @ basis[graph.edge_index[0]].mT
        nodes = ops.sheaf_laplacian(basis @ x, graph, moved, **NORMALIZATIONS[name])
    torch.testing.assert_close(edges, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(nodes, basis @ expected, rtol=1e-9, atol=1e-9)


@fast_backends
@kinds
def test_order_of_edges_and_nodes(backend: str, kind: str) -> None:
    """Edges in another order: the native kernels give the same bits. Nodes in another order: they permute."""
    graph = simple()
    order = torch.randperm(graph.num_edges, generator=torch.Generator().manual_seed(0))
    nodes = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    shuffled = Graph.from_edge_index(graph.edge_index[:, order], 10)
    renamed = Graph.from_edge_index(nodes[graph.edge_index], 10)
    x, maps = draw(10, 3, 5).requires_grad_(), draw_maps(kind, graph, 3).requires_grad_()
    moved = torch.empty_like(x).index_copy(0, nodes, x)
    chosen = options(kind, "normalized")
    with ops.backend(backend):
        out = ops.sheaf_laplacian(x, graph, maps, **chosen)
        other = ops.sheaf_laplacian(x, shuffled, maps[order], **chosen)
        third = ops.sheaf_laplacian(moved, renamed, maps, **chosen)
        expected, got = gradients(out, [x, maps]), gradients(other, [x, maps])
    if backend == "native":
        assert torch.equal(out, other)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert_near([other, *got, third[nodes]], [out, *expected, out], 1e-12)


@kinds
@pytest.mark.parametrize("features", [(1,), (17,), (80,)])
def test_bits_do_not_depend_on_the_number_of_threads(kind: str, features: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    half = torch.randint(0, 300, (2, 9_000), generator=generator)
    half[0, :5_000] = 7  # a hub of more edges than a task of the kernels takes
    graph = Graph.from_edge_index(torch.cat([half, half.flip(0)], 1), 300)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            with ops.backend("native"):
                results.append(run_all(graph, kind, 3, features, torch.float32, True, normalized=True))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    with ops.backend("reference"):
        expected = run_all(graph, kind, 3, features, torch.float64, True, normalized=True)
    assert_near(results[0], expected, 2e-4)


# Odd graphs --------------------------------------------------------------------------------------------------


@backends
@kinds
@pytest.mark.parametrize("num_nodes", [0, 1, 3])
@normalizations
def test_without_edges(backend: str, kind: str, num_nodes: int, name: str) -> None:
    graph = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.long), num_nodes)
    with ops.backend(backend):
        out, gx, gmaps, gweight = run_all(graph, kind, 2, (3,), torch.float32, True, **options(kind, name))
    assert out.shape == gx.shape == (num_nodes, 2, 3)
    assert gmaps.size(0) == gweight.size(0) == 0
    assert not out.any()
    assert not gx.any()


@backends
@kinds
@normalizations
def test_self_loops_change_nothing(backend: str, kind: str, name: str) -> None:
    graph = undirected()
    keep = graph.edge_index[0] != graph.edge_index[1]
    without = Graph.from_edge_index(graph.edge_index[:, keep], 12)
    assert without.num_edges < graph.num_edges
    x, maps = draw(12, 3, 2).requires_grad_(), draw_maps(kind, graph, 3).requires_grad_()
    with ops.backend(backend):
        out = ops.sheaf_laplacian(x, graph, maps, **options(kind, name))
        expected = ops.sheaf_laplacian(x, without, maps[keep], **options(kind, name))
        got, wanted = gradients(out, [x, maps]), gradients(expected, [x, maps])
    assert_near([out, *got], [expected, *wanted], 1e-12)
    assert got[1][~keep].abs().max() < 1e-12


@backends
def test_copies_count_each(backend: str) -> None:
    """Copies of an edge pair up in the order given: two equal copies are one edge of twice the weight."""
    once = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    twice = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2, 0, 1], [1, 0, 2, 1, 1, 0]]))
    x, maps = draw(3, 2, 4), draw_maps("general", once, 2)
    weight = torch.tensor([2.0, 2.0, 1.0, 1.0]).double()
    with ops.backend(backend):
        expected = ops.sheaf_laplacian(x, once, maps, edge_weight=weight, normalized=True)
        got = ops.sheaf_laplacian(x, twice, torch.cat([maps, maps[:2]]), normalized=True)
    torch.testing.assert_close(got, expected)


@backends
@kinds
@normalizations
def test_edges_without_a_reverse(backend: str, kind: str, name: str) -> None:
    graph = undirected()
    extra = torch.tensor([[0, 3, 10], [10, 11, 11]])
    more = Graph.from_edge_index(torch.cat([extra, graph.edge_index], 1), 12)
    x = draw(12, 3, 2).requires_grad_()
    maps = draw_maps(kind, more, 3).requires_grad_()
    weight = draw(more.num_edges, seed=3).abs().requires_grad_()
    chosen = options(kind, name)
    with ops.backend(backend):
        with pytest.raises(ValueError, match=r"needs its reverse.*3 of .* the first at position 0"):
            ops.sheaf_laplacian(x, more, maps, **chosen)
        out = ops.sheaf_laplacian(x, more, maps, edge_weight=weight, unpaired="ignore", **chosen)
        expected = ops.sheaf_laplacian(x, graph, maps[3:], edge_weight=weight[3:], **chosen)
        leaves = [x, maps, weight]
        got, wanted = gradients(out, leaves), gradients(expected, leaves)
    assert_near([out, *got], [expected, *wanted], 1e-12)
    assert not got[1][:3].any()
    assert not got[2][:3].any()
    matrix = ops.sheaf_laplacian_matrix(more, maps, edge_weight=weight, unpaired="ignore", **chosen)
    torch.testing.assert_close(matrix @ x.flatten(0, 1), out.flatten(0, 1))


# Errors ------------------------------------------------------------------------------------------------------

_G = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 4)
_X, _MAPS = torch.ones(4, 2, 3), torch.ones(4, 2)


@pytest.mark.parametrize(
    ("arguments", "given_options", "message"),
    [
        ((_X[:3], _G, _MAPS), {}, "'x' must have one row per node of the graph, 4"),
        ((_X, _G, _MAPS[:3]), {}, "'maps' must have one row per edge of the graph, 4"),
        ((_X, _G, torch.ones(4, 3)), {}, r"'x' must have shape \[N, d, \*features\] .* 3 \(got \[4, 2, 3\]\)"),
        ((torch.ones(4, 6), _G, torch.ones(4, 3)), {}, r"3 \(got \[4, 6\]\); reshape it, e.g. x.view\(N, 3"),
        ((torch.ones(4, 6), _G, torch.ones(4, 4)), {}, "4 does not divide its 6 channels"),
        ((_X, _G, torch.ones(4, 2, 3)), {}, r"'maps' must have shape \[E, d\] .* \(got \[4, 2, 3\]\)"),
        ((_X, _G, torch.ones(4)), {}, "'maps' must have shape"),
        ((_X, _G, torch.ones(4, 0)), {}, "'maps' must have shape"),
        ((_X[:, :, 0].flatten(), _G, _MAPS), {}, "'x' must have one row per node"),
        ((_X.long(), _G, _MAPS), {}, "'x' must be floating point"),
        ((_X, _G, _MAPS.fill_diagonal_(float("nan"))), {}, "'maps' must be finite .*2 of 4 maps .* first at edge 0"),
        ((_X, _G, _MAPS * float("inf")), {"normalized": True}, "'maps' must be finite"),
        ((_X, _G, torch.ones(4, 2)), {"normalized": "block"}, "unknown normalized .*'block'"),
        ((_X, _G, torch.ones(4, 2)), {"unpaired": "drop"}, "unknown unpaired .*'drop'"),
        ((_X, _G, torch.ones(4, 2)), {"normalized": True, "orthogonal": True}, "orthogonal=True needs 'maps'"),
        ((_X, _G, torch.ones(4, 2)), {"edge_weight": -torch.ones(4)}, "'edge_weight' must not be negative or NaN"),
        ((_X, _G, torch.ones(4, 2)), {"edge_weight": torch.ones(4, 1)}, "'edge_weight' must have shape"),
        ((_X, _G, torch.ones(4, 2)), {"edge_weight": torch.ones(3)}, "'edge_weight' must have one row per edge"),
        ((_X, _G, torch.ones(4, 2)), {"normalizer": torch.ones(4, 3)}, "'normalizer' must have shape"),
        ((_X, Graph(torch.tensor([[0], [1]]), (4, 2)), torch.ones(1, 2)), {}, "'graph' must be homogeneous"),
    ],
)
def test_errors(arguments: tuple, given_options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.sheaf_laplacian(*arguments, **given_options)


def test_errors_of_type() -> None:
    with pytest.raises(TypeError, match=r"'graph' must be a graphkit\.Graph"):
        ops.sheaf_laplacian(_X, _G.edge_index, torch.ones(4, 2))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"'maps' must be a torch\.Tensor"):
        ops.sheaf_laplacian(_X, _G, None)  # type: ignore[arg-type]
