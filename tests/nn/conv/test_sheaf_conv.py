"""SheafConv: the formula, any graph, gauge equivariance, messages, errors. The contract tests do the rest."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.explain import Explainer, GNNExplainer

from graphkit import Graph, ops
from graphkit.nn import SheafConv
from graphkit.nn.sheaf import Sheaf, orthogonal_matrix, symmetric

EDGES = torch.tensor(
    [[0, 1, 1, 2, 2, 3, 0, 3, 4, 2, 5], [1, 0, 2, 1, 3, 2, 3, 0, 4, 5, 2]]
)  # a loop at 4, node 6 alone
N = 7


def perturbed(conv: SheafConv) -> SheafConv:
    """The layer in float64 with no parameter at its special initial value."""
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return conv.double()


def dense_step(conv: SheafConv, x: Tensor, graph: Graph) -> Tensor:
    """The published formula with an assembled Laplacian, edge by edge."""
    d, rows = conv.stalk_dim, conv.rows
    sheaf = conv.sheaf(x, graph)
    maps = torch.diag_embed(sheaf.maps) if sheaf.maps.dim() == 2 else sheaf.maps
    weight = x.new_ones(graph.num_edges) if sheaf.weight is None else sheaf.weight
    laplacian = x.new_zeros(N, N, rows, rows)
    scale = torch.eye(rows, dtype=x.dtype).repeat(N, 1, 1)
    for e, (u, v) in enumerate(graph.edge_index.T.tolist()):
        if u == v:
            continue
        own, other = torch.eye(rows, dtype=x.dtype), torch.eye(rows, dtype=x.dtype)
        own[:d, :d], other[:d, :d] = weight[e].sqrt() * maps[e], weight[e].sqrt() * maps[graph.reverse[e]]
        if conv.low_pass:
            other[d, d] = -1
        laplacian[u, u] += own.T @ own
        laplacian[u, v] -= own.T @ other
        scale[u] += own.T @ own
    values, vectors = torch.linalg.eigh(scale)
    root = vectors @ torch.diag_embed(values.rsqrt()) @ vectors.mT
    laplacian = torch.einsum("uij,uvjk,vkl->uvil", root, laplacian, root)
    h = x.view(N, rows, -1)
    assert conv.left_weight is not None
    assert conv.right_weight is not None
    assert conv.epsilon is not None
    y = torch.einsum("ij,njh,gh->nig", conv.left_weight, h, conv.right_weight)
    flow = nn.functional.elu(torch.einsum("uvij,vjh->uih", laplacian, y))
    return ((1 + conv.epsilon.tanh()) * h - flow).flatten(1)


@pytest.mark.parametrize(
    "options",
    [
        {"maps": "identity"},
        {"maps": "diagonal", "low_pass": True},
        {"maps": "bundle", "low_pass": True, "high_pass": True},
        {"maps": "bundle", "orthogonal": "cayley", "edge_weights": False},
        {"maps": "general", "high_pass": True},
    ],
)
def test_the_published_formula(options: dict) -> None:
    width = 4 * (2 + len({"low_pass", "high_pass"} & options.keys()))
    conv = perturbed(SheafConv(width, width, stalk_dim=2, **options))
    assert conv.lin_in is None
    assert conv.lin_out is None
    x = torch.randn(N, width, dtype=torch.float64)
    graph = Graph.from_edge_index(EDGES, N)
    torch.testing.assert_close(conv(x, graph), dense_step(conv, x, graph))


@pytest.mark.parametrize("normalized", [True, False, "degree"])
def test_general_maps_of_one_number_are_diagonal(normalized) -> None:
    conv = perturbed(SheafConv(6, 6, 1, "general", normalized=normalized))
    x = torch.randn(N, 6, dtype=torch.float64, requires_grad=True)
    graph = Graph.from_edge_index(EDGES, N)
    maps = conv.sheaf(x, graph).maps
    assert maps.shape == (EDGES.size(1), 1, 1)
    h = x.view(N, 1, 6)
    mixed = conv.left_weight * h @ conv.right_weight.T
    flow = ops.sheaf_laplacian(mixed, graph, maps, normalized=normalized)
    expected = ((1 + conv.epsilon.tanh()) * h - nn.functional.elu(flow)).flatten(1)
    out = conv(x, graph)
    torch.testing.assert_close(out, expected)
    leaves, grad = [x, *conv.parameters()], torch.randn_like(out)
    torch.testing.assert_close(torch.autograd.grad(out, leaves, grad), torch.autograd.grad(expected, leaves, grad))


@pytest.mark.parametrize("maps", ["diagonal", "bundle", "general"])
@pytest.mark.parametrize("normalized", [True, False])
def test_messages_one_by_one_are_the_fused_ones(maps, normalized) -> None:
    conv = perturbed(SheafConv(5, 6, 2, maps, normalized=normalized, low_pass=True))
    x = torch.randn(N, 5, dtype=torch.float64)
    fused = conv(x, EDGES)
    conv.fuse = False
    torch.testing.assert_close(conv(x, EDGES), fused)


# Directed graphs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maps", ["diagonal", "bundle", "general", "connection"])
def test_a_directed_graph_is_taken_as_undirected(maps) -> None:
    conv = perturbed(SheafConv(5, 6, 2, maps, low_pass=True))
    x = torch.randn(N, 5, dtype=torch.float64)
    source, target = EDGES
    one_way = EDGES[:, source < target]
    both = torch.cat([one_way, one_way.flip(0)], 1)
    torch.testing.assert_close(conv(x, one_way), conv(x, both))
    torch.testing.assert_close(conv(x, one_way), conv(x, one_way.flip(0)))
    some_back = torch.cat([one_way, one_way[:, :2].flip(0)], 1)
    torch.testing.assert_close(conv(x, some_back), conv(x, both))


def test_self_loops_change_nothing_and_copies_count() -> None:
    conv = perturbed(SheafConv(5, 6, 2, "bundle", low_pass=True, high_pass=True))
    x = torch.randn(N, 5, dtype=torch.float64)
    loops = torch.arange(N).expand(2, -1)
    out = conv(x, EDGES)
    torch.testing.assert_close(conv(x, torch.cat([EDGES, loops, loops], 1)), out)
    assert torch.dist(conv(x, torch.cat([EDGES, EDGES[:, :2]], 1)), out) > 1e-3


@pytest.mark.filterwarnings("ignore")  # the compiler's, about its own doings
def test_a_compiled_layer_refuses_an_edge_without_its_reverse() -> None:
    conv = SheafConv(6, 6, 2)
    torch._dynamo.reset()
    conv.compile(fullgraph=True, backend="eager")
    with pytest.raises(ValueError, match="every edge of a sheaf needs its reverse"):
        conv(torch.randn(3, 6), torch.tensor([[0], [1]]))
    torch._dynamo.reset()


def test_explainers_see_the_edges_of_a_directed_graph() -> None:
    conv = SheafConv(4, 3, 2)
    explainer = Explainer(
        conv,
        GNNExplainer(epochs=3),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    edge_index = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 2]])
    mask = explainer(torch.randn(5, 4), edge_index).edge_mask
    assert mask.shape == (4,)
    assert (mask > 0).all()


# Gauge ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bundle", "general"])
def test_gauge_equivariance(family) -> None:
    """Another orthonormal basis in every stalk: maps and features change along, and so do the outputs.

    For the linear part of the layer, whose channels mix and stalk rows do not; the activation and W_1 act in the
    given basis.
    """
    d, channels = 3, 4
    conv = SheafConv(12, 12, d, family, act=None, left_weight=False)
    conv = perturbed(conv)
    assert conv.epsilon is not None
    nn.init.constant_(conv.epsilon, 0.2)  # one number for all rows
    x = torch.randn(N, d * channels, dtype=torch.float64)
    graph = Graph.from_edge_index(EDGES, N)
    sheaf = conv.sheaf(x, graph)
    gauge = orthogonal_matrix(torch.randn(N, d, dtype=torch.float64), d)
    turned = sheaf._replace(maps=sheaf.maps @ gauge[EDGES[0]].mT)

    def turn(features: Tensor) -> Tensor:
        return (gauge @ features.view(N, d, channels)).flatten(1)

    torch.testing.assert_close(conv(turn(x), graph, turned), turn(conv(x, graph, sheaf)))
    assert torch.dist(conv(turn(x), graph, sheaf), turn(conv(x, graph, sheaf))) > 0.1


def test_an_orthogonal_matrix_at_both_ends_of_an_edge_changes_nothing() -> None:
    conv = perturbed(SheafConv(12, 12, 3, "general"))
    x = torch.randn(N, 12, dtype=torch.float64)
    graph = Graph.from_edge_index(EDGES, N)
    sheaf = conv.sheaf(x, graph)
    q = orthogonal_matrix(torch.randn(graph.num_edges, 3, dtype=torch.float64), 3)
    q = torch.where((EDGES[0] < EDGES[1])[:, None, None], q, q[graph.reverse])
    torch.testing.assert_close(conv(x, graph, sheaf._replace(maps=q @ sheaf.maps)), conv(x, graph, sheaf))


def test_a_global_section_does_not_flow() -> None:
    conv = SheafConv(4, 4, 2, maps=None, normalized=False, left_weight=False, right_weight=False).double()
    edge_index = torch.tensor([[0, 1], [1, 0]])
    maps = torch.tensor([[2.0, 1.0], [1.0, 3.0]]).double()
    x = torch.tensor([[1.0, 1.0, 3.0, 3.0], [2.0, 2.0, 1.0, 1.0]]).double()  # 2 * 1 = 1 * 2 and 1 * 3 = 3 * 1
    assert conv(x, edge_index, Sheaf(maps)).equal(x)


# Options ----------------------------------------------------------------------------------------------------


def test_the_sheaf_of_one_layer_serves_another() -> None:
    first, second = perturbed(SheafConv(6, 6, 2, "bundle")), perturbed(SheafConv(6, 6, 2, maps=None))
    x = torch.randn(N, 6, dtype=torch.float64)
    one_way = torch.tensor([[0, 1], [1, 2]])
    sheaf = first.sheaf(x, one_way)
    assert sheaf.maps.size(0) == symmetric(Graph.from_edge_index(one_way, N))[0].num_edges == 4
    second.load_state_dict({k: v for k, v in first.state_dict().items() if not k.startswith("maps.")})
    torch.testing.assert_close(second(x, one_way, sheaf), first(x, one_way))


def test_dropout_draws_in_training_only() -> None:
    conv = SheafConv(6, 6, 2, dropout=0.5, map_dropout=0.5)
    x = torch.randn(N, 6)
    assert torch.dist(conv(x, EDGES), conv(x, EDGES)) > 1e-3
    conv.eval()
    assert conv(x, EDGES).equal(conv(x, EDGES))


def test_residual_off_is_the_flow_alone() -> None:
    conv = perturbed(SheafConv(6, 6, 2, residual=False, act=None, left_weight=False, right_weight=False))
    x = torch.randn(N, 6, dtype=torch.float64)
    graph = Graph.from_edge_index(EDGES, N)
    maps = conv.sheaf(x, graph).maps
    expected = ops.sheaf_laplacian(x.view(N, 2, 3), graph, maps, normalized=True).flatten(1)
    torch.testing.assert_close(conv(x, graph), expected)
    assert conv.epsilon is None


def test_compat_restores_the_published_degree_normalisation() -> None:
    x = torch.randn(N, 12, dtype=torch.float64)
    graph = Graph.from_edge_index(EDGES, N)
    conv = perturbed(SheafConv(12, 12, 2, "diagonal", normalized="degree", low_pass=True, compat="official"))
    ours = perturbed(SheafConv(12, 12, 2, "diagonal", normalized="degree", low_pass=True))
    ours.load_state_dict(conv.state_dict())
    theirs, bounded = conv(x, graph).view(N, 3, 4), ours(x, graph).view(N, 3, 4)
    torch.testing.assert_close(theirs[:, :2], bounded[:, :2])
    assert torch.dist(theirs[:, 2], bounded[:, 2]) > 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stalk_dim": 0}, "'stalk_dim' must be at least 1"),
        ({"normalized": "sym"}, "'normalized' must be True, False or 'degree'"),
        ({"maps": "bundle", "normalized": "degree"}, "for other maps"),
        ({"compat": "v1"}, "'compat' must be None or 'official'"),
        ({"stalk_channels": 0}, "'out_channels' and 'stalk_channels' must be positive"),
        ({"flow": "target_to_source"}, "'flow' of 'SheafConv'"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SheafConv(6, 6, **options)


def test_bad_input() -> None:
    conv = SheafConv(6, 6, stalk_dim=2, maps=None)
    x = torch.randn(N, 6)
    with pytest.raises(ValueError, match="needs 'sheaf' at each call"):
        conv(x, EDGES)
    with pytest.raises(ValueError, match=r"'x' must have 6 channels, 2 stalk rows of 3 \(got 8\)"):
        conv(torch.randn(N, 8), EDGES)
    with pytest.raises(ValueError, match=r"'x' must have 5 channels \(got 8\)"):
        SheafConv(5, 7, stalk_dim=2)(torch.randn(N, 8), EDGES)
    with pytest.raises(ValueError, match=r"'x' must have shape \[N, 6\], one set of nodes \(got tuple\)"):
        conv((x, x), EDGES)
    sheaf = Sheaf(torch.ones(EDGES.size(1), 2))
    with pytest.raises(ValueError, match="sizes disagree"):
        conv(x, Graph.from_edge_index(EDGES, N + 1), sheaf)
    with pytest.raises(ValueError, match="'maps' must have one row per edge of the graph, 2"):
        conv(x, EDGES[:, :2], sheaf)  # maps of another graph
    with pytest.raises(ValueError, match="'maps' must be finite"):
        conv(x, EDGES, Sheaf(sheaf.maps.clone().fill_(float("nan"))))
