"""GENConv against PyG's, and beyond it. Against the published code: test_gen_conv_golden.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch_geometric.data import HeteroData
from torch_geometric.nn import GENConv as PyGGENConv
from torch_geometric.nn import to_hetero

from graphkit import Graph
from graphkit.nn import CategoricalEncoder, GENConv, SoftmaxAggregation

LIKE_PYG = [
    {},
    {"learn_t": True, "t": 0.7},
    {"aggr": "softmax_sg", "t": 0.3},
    {"aggr": "max"},
    {"aggr": "min"},
    {"aggr": "mean"},
    {"aggr": "add"},
    {"aggr": ["softmax", "mean", "max"]},
    {"aggr": "std", "num_layers": 1},
    {"aggr": "softmax", "aggr_kwargs": {"learn": True, "channels": 16}},
    {"msg_norm": True, "learn_msg_scale": True, "norm": "layer"},
    {"norm": "instance", "num_layers": 3, "expansion": 3},
    {"edge_dim": 5, "bias": True},
    {"aggr": "powermean", "p": 1.0, "eps": 1e-3},
]


@pytest.fixture
def edges():
    generator = torch.Generator().manual_seed(0)
    return torch.stack(
        [torch.randint(0, 20, (60,), generator=generator), torch.randint(0, 17, (60,), generator=generator)]
    )


@pytest.mark.filterwarnings("ignore:input's size at dim=0")  # of the instance norm in PyG's MLP
@pytest.mark.parametrize("in_channels", [8, 16, (8, 12)], ids=str)
@pytest.mark.parametrize("options", LIKE_PYG, ids=str)
def test_equals_pyg_with_its_weights(edges, options, in_channels):
    theirs, ours = PyGGENConv(in_channels, 16, **options).double(), GENConv(in_channels, 16, **options).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert (
        str(ours) == str(theirs).replace("aggr=softmax", f"aggr={ours.aggr}")
        if ours.aggr == "softmax_sg"
        else str(theirs)
    )
    x = torch.randn(20, 16 if in_channels == 16 else 8, dtype=torch.float64)
    x_dst = torch.randn(20, 12, dtype=torch.float64)
    edge_attr = torch.randn(60, options.get("edge_dim", 16), dtype=torch.float64)
    results = []
    for conv in (theirs, ours):
        leaves = [x.clone().requires_grad_(), edge_attr.clone().requires_grad_()]
        nodes = (leaves[0], x_dst) if isinstance(in_channels, tuple) else leaves[0]
        out = conv(nodes, edges, leaves[1])
        wanted = [*leaves, *(p for p in conv.parameters() if p.requires_grad)]
        results.append((out, *torch.autograd.grad(out.sin().sum(), wanted), *conv.buffers()))
    assert len(results[0]) == len(results[1])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


def test_equals_pyg_in_float32(edges):
    theirs, ours = PyGGENConv(8, 16, learn_t=True), GENConv(8, 16, learn_t=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(20, 8)
    torch.testing.assert_close(ours(x, edges), theirs(x, edges), rtol=1e-5, atol=1e-6)


def test_clamped_power_mean_equals_pyg(edges):
    options = {"aggr": "powermean", "p": 2.0, "learn_p": True}
    theirs = PyGGENConv(8, 16, **options).double()
    ours = GENConv(8, 16, **options, aggr_kwargs={"p": 2.0, "learn": True, "compat": "pyg"}).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(20, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(x, edges), theirs(x, edges), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [*LIKE_PYG, {"in_channels": (-1, -1), "edge_dim": -1}], ids=str)
def test_initial_values_are_distributed_as_pygs(options):
    """Uniform within the same bounds, and constants equal. The draws themselves come from one seed."""
    options = {"in_channels": 8, "bias": True, **options}
    lazy = options["in_channels"] == (-1, -1)
    values = {}
    for cls in (PyGGENConv, GENConv):
        torch.manual_seed(0)
        copies = [cls(out_channels=16, **options) for _ in range(8)]
        if lazy:
            for conv in copies:
                conv((torch.randn(3, 40), torch.randn(2, 50)), torch.tensor([[0, 1], [1, 0]]), torch.randn(2, 5))
        values[cls] = {
            key: torch.stack([dict(c.named_parameters())[key].detach() for c in copies])
            for key, _ in copies[0].named_parameters()
        }
    assert values[GENConv].keys() == values[PyGGENConv].keys()
    for key, theirs in values[PyGGENConv].items():
        ours = values[GENConv][key]
        assert ours.shape == theirs.shape
        if theirs.std() == 0:
            assert torch.equal(ours, theirs)
        else:
            assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.15), key
            assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.15), key


def test_reset_parameters_changes_every_weight(edges):
    conv = GENConv(
        (8, 12), 16, learn_t=True, msg_norm=True, learn_msg_scale=True, edge_dim=4, bias=True, aggr=["softmax", "mean"]
    )
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.fill_(7.0)
    conv.reset_parameters()
    assert not any((parameter == 7).any() for parameter in conv.parameters())
    assert conv.msg_norm.scale.item() == 1.0
    assert conv.aggr_module.aggrs[0].t.item() == 1.0


def test_list_of_aggregations_gets_its_parameters(edges):
    conv = GENConv(8, 16, ["softmax", "powermean"], t=0.2, learn_t=True, p=3.0, learn_p=True, norm="layer")
    assert conv.fuse
    x = torch.randn(20, 8)
    out = conv(x, edges)
    conv.fuse = False
    torch.testing.assert_close(conv(x, edges), out, rtol=1e-4, atol=1e-5)
    out.sum().backward()
    for name in ("aggr_module.aggrs.0.t", "aggr_module.aggrs.1.p"):
        assert dict(conv.named_parameters())[name].grad.abs() > 0
    assert str(conv) == "GENConv(8, 16, aggr=['softmax', 'powermean'])"


@pytest.mark.parametrize(
    "aggr", ["softmax", "softmax_sg", "softmax_sum", "powermean", "power_sum", "max", "min", "mean", "sum"]
)
def test_both_paths_agree(edges, aggr):
    conv = GENConv(8, 16, aggr, norm="layer", edge_dim=4, p=1.7).double()
    x, edge_attr = torch.randn(20, 8, dtype=torch.float64), torch.randn(60, 4, dtype=torch.float64)
    results = []
    for conv.fuse in (True, False):
        leaves = [x.clone().requires_grad_(), edge_attr.clone().requires_grad_()]
        out = conv(leaves[0], edges, leaves[1])
        results.append((out, *torch.autograd.grad(out.cos().sum(), [*leaves, *conv.parameters()])))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("aggr", ["softmax", "softmax_sum", "powermean", "power_sum", "max", "min", "mean", "sum"])
@pytest.mark.parametrize("p", [-1.0, 0.0, 5.0])
def test_isolated_nodes_get_nothing(edges, aggr, p):
    conv = GENConv(8, 8, aggr, p=p, norm="layer", learn_p=True, learn_t=True, learn_y=True)
    x = torch.randn(20, 8, requires_grad=True)
    out = conv(x, edges)
    torch.testing.assert_close(out[17:], conv.mlp(x[17:]))
    out.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in conv.parameters())


@pytest.mark.parametrize("aggr", ["softmax", "powermean", "mean", "max"])
def test_copies_of_all_edges_change_no_mean(edges, aggr):
    conv = GENConv(8, 16, aggr, p=2.0, norm="layer").double()
    x = torch.randn(20, 8, dtype=torch.float64)
    torch.testing.assert_close(conv(x, edges.repeat(1, 3)), conv(x, edges))


def test_edge_encoder_of_equal_width(edges):
    assert not hasattr(GENConv(8, 16, edge_dim=16), "lin_edge")
    conv = GENConv(8, 16, edge_dim=16, edge_encoder=True, norm="layer")
    edge_attr = torch.randn(60, 16)
    with torch.no_grad():
        conv.lin_edge.weight.zero_()
    torch.testing.assert_close(conv(torch.ones(20, 8), edges, edge_attr), conv(torch.ones(20, 8), edges))
    with pytest.raises(ValueError, match="'edge_dim' must be given"):
        GENConv(8, 16, edge_encoder=True)


def test_edge_encoder_of_the_users(edges):
    encoder = CategoricalEncoder([5, 6, 2], 16)
    weight = encoder.embeddings[0].weight.clone()
    conv = GENConv(8, 16, edge_encoder=encoder, norm="layer")
    assert torch.equal(conv.lin_edge.embeddings[0].weight, weight), "handed in trained, kept as it is"
    codes = torch.stack([torch.randint(0, n, (60,)) for n in (5, 6, 2)], dim=1)
    x = torch.randn(20, 8)
    torch.testing.assert_close(conv(x, edges, codes), _without_encoder(conv)(x, edges, encoder(codes)))
    conv.lin_edge = encoder
    conv.reset_parameters()
    assert not torch.equal(conv.lin_edge.embeddings[0].weight, weight)


def _without_encoder(conv):
    del conv.lin_edge
    return conv


def test_edge_features_of_one_dimension(edges):
    conv = GENConv(8, 16, edge_dim=1, norm="layer")
    weight = torch.randn(60)
    torch.testing.assert_close(conv(torch.ones(20, 8), edges, weight), conv(torch.ones(20, 8), edges, weight[:, None]))


def test_bipartite(edges):
    conv = GENConv((8, 12), 16, norm="layer", msg_norm=True)
    x, x_dst = torch.randn(20, 8), torch.randn(17, 12)
    out = conv((x, x_dst), edges)
    assert out.shape == (17, 16)
    graph = Graph.from_edge_index(edges, (20, 17))
    torch.testing.assert_close(conv((x, x_dst), graph), out, rtol=0, atol=0)
    torch.testing.assert_close(conv((x, x_dst), edges, size=(20, 17)), out, rtol=0, atol=0)


def test_targets_without_features(edges):
    """PyG takes the norm of the sources here, whose number is another."""
    conv = GENConv(8, 16, norm="layer", msg_norm=True, bias=True)
    x = torch.randn(20, 8)
    out = conv((x, None), edges, size=(20, 17))
    aggregate = conv.propagate(edges, (20, 17), x=(conv.lin_src(x), None), edge_attr=None)
    torch.testing.assert_close(out, conv.mlp(torch.nn.functional.normalize(aggregate)))


def test_static_nodes_share_edges(edges):
    conv = GENConv(8, 16, norm="layer", edge_dim=4, learn_t=True)
    x, edge_attr = torch.randn(3, 20, 8), torch.randn(60, 4)
    out = conv(x, edges, edge_attr)
    torch.testing.assert_close(out, torch.stack([conv(part, edges, edge_attr) for part in x]))
    conv.fuse = False
    torch.testing.assert_close(conv(x, edges, edge_attr), out)


def test_published_form_keeps_its_width(edges):
    conv = GENConv(8, 16, project=False, bias=True, edge_dim=4)
    shapes = {key: tuple(value.shape) for key, value in conv.named_parameters() if value.dim() == 2}
    assert shapes == {"lin_edge.weight": (8, 4), "mlp.0.weight": (16, 8), "mlp.4.weight": (16, 16)}
    assert conv(torch.randn(20, 8), edges, torch.randn(60, 4)).shape == (20, 16)
    for in_channels in (-1, (8, 9)):
        with pytest.raises(ValueError, match="project=False"):
            GENConv(in_channels, 16, project=False)


def test_values_of_a_sparse_matrix_are_edge_features():
    edge_index = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 2]])
    edge_attr = torch.randn(4, 3, requires_grad=True)
    conv = GENConv(8, 16, norm="layer", edge_dim=3)
    x = torch.randn(3, 8)
    adj_t = torch.sparse_coo_tensor(edge_index.flip(0), edge_attr, (3, 3, 3))
    expected, out = conv(x, edge_index, edge_attr), conv(x, adj_t)
    torch.testing.assert_close(out, expected)
    for a, b in zip(*(torch.autograd.grad(y.sum(), [edge_attr]) for y in (out, expected)), strict=True):
        torch.testing.assert_close(a, b)
    weighted = torch.sparse_coo_tensor(edge_index.flip(0), torch.rand(4), (3, 3))
    torch.testing.assert_close(conv(x, weighted), conv(x, edge_index))  # one scalar per edge: a weight, not a feature
    graph = Graph.from_edge_index(edge_index, 3, edge_attrs={"edge_attr": edge_attr})
    torch.testing.assert_close(conv(x, graph), conv(x, edge_index))  # a Graph's attributes are given explicitly


def test_aggregation_as_a_module(edges):
    aggr = SoftmaxAggregation(t=0.5, learn=True)
    conv = GENConv(8, 16, aggr, norm="layer")
    assert conv.aggr_module is aggr
    assert conv.fuse
    assert str(conv) == "GENConv(8, 16, aggr=SoftmaxAggregation(learn=True))"


def test_errors(edges):
    conv = GENConv(8, 16)
    with pytest.raises(ValueError, match="edge_dim=3"):
        conv(torch.randn(20, 8), edges, torch.randn(60, 3))
    with pytest.raises(ValueError, match="'norm' must be"):
        GENConv(8, 16, norm="pair")
    with pytest.raises(ValueError, match="learnable"):
        GENConv(8, 16, aggr="softmax_sg", learn_t=True)
    with pytest.raises(ValueError, match="'eps' must be positive"):
        GENConv(8, 16, aggr="powermean", eps=0.0)(torch.randn(20, 8), edges)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = GENConv((-1, -1), 16, edge_dim=-1, learn_t=True)
        self.second = GENConv((-1, -1), 4, aggr="powermean", msg_norm=True)

    def forward(self, x, edge_index, edge_attr):
        return self.second(self.first(x, edge_index, edge_attr).relu(), edge_index)


def test_to_hetero():
    data = HeteroData()
    data["a"].x, data["b"].x = torch.randn(5, 3), torch.randn(7, 6)
    for source, target, sizes in (("a", "b", (5, 7)), ("b", "a", (7, 5))):
        data[source, "to", target].edge_index = torch.stack([torch.randint(0, n, (9,)) for n in sizes])
        data[source, "to", target].edge_attr = torch.randn(9, 2)
    model = to_hetero(Net(), data.metadata())
    out = model(data.x_dict, data.edge_index_dict, data.edge_attr_dict)
    assert {key: tuple(value.shape) for key, value in out.items()} == {"a": (5, 4), "b": (7, 4)}


@pytest.mark.parametrize("aggr", ["softmax", "powermean", "softmax_sum"])
def test_gradients(aggr):
    edge_index = torch.tensor([[0, 1, 2, 0, 0], [1, 1, 1, 0, 1]])
    conv = GENConv(
        2, 3, aggr, learn_t=True, learn_p=True, learn_y=True, norm="layer", num_layers=1, edge_dim=2
    ).double()
    parameters = {key: value.detach().clone().requires_grad_() for key, value in conv.named_parameters()}

    def function(x, edge_attr, *values):
        return torch.func.functional_call(conv, dict(zip(parameters, values, strict=True)), (x, edge_index, edge_attr))

    leaves = tuple(torch.randn(n, 2, dtype=torch.float64, requires_grad=True) for n in (3, 5))
    assert gradcheck(function, (*leaves, *parameters.values()))
    assert gradgradcheck(function, (*leaves, *parameters.values()))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("aggr", ["softmax", "median"])
def test_compiles_with_a_graph(edges, aggr):
    torch.compiler.reset()
    conv = GENConv(8, 16, aggr, norm="layer")
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    x, graph = torch.randn(20, 8), Graph.from_edge_index(edges, 20)
    torch.testing.assert_close(compiled(x, graph), conv(x, graph))
    torch.testing.assert_close(compiled(x, edges), conv(x, edges))
    torch.compiler.reset()


def test_mixed_precision(edges):
    conv = GENConv(8, 16, norm="layer", learn_t=True, msg_norm=True, edge_dim=4)
    x, edge_attr = torch.randn(20, 8), torch.randn(60, 4)
    expected = conv(x, edges, edge_attr)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x, edges, edge_attr)
    torch.testing.assert_close(out.float(), expected, rtol=0.1, atol=0.1)
    out.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in conv.parameters() if parameter.requires_grad)
