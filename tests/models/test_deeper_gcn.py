"""DeeperGCN: sizes of the published models, tasks, batches. Values: test_deeper_gcn_golden.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphkit import Graph
from graphkit.models import DeeperGCN

ATOMS = [119, 5, 12, 12, 10, 6, 6, 2, 2]  # codes per column in OGB 1.3.6
BONDS = [5, 6, 2]


def protein_encoder(channels):
    encoder = nn.Module()
    encoder.one_hot, encoder.features = nn.Linear(8, 8), nn.Linear(16, channels)
    return encoder


PUBLISHED = {
    "ogbn-arxiv": ((128, 128, 28, 40), {"aggr": "softmax_sg", "t": 0.1}, 491_176),
    "ogbn-products": ((100, 128, 14, 47), {"aggr": "softmax_sg", "t": 0.1}, 253_743),
    "ogbn-proteins": (
        (protein_encoder, 64, 112, 112),
        {"learn_t": True, "norm": "layer", "mlp_layers": 2, "edge_dim": 8, "edge_encoder": "both"},
        2_374_568,
    ),
    "ogbg-ppa": (
        (7, 128, 28, 37),
        {
            "task": "graph",
            "aggr": "softmax_sg",
            "t": 0.01,
            "norm": "layer",
            "mlp_layers": 2,
            "edge_dim": 7,
            "edge_encoder": "both",
        },
        2_336_421,
    ),
    "ogbl-collab": ((None, 128, 7, None), {"task": "link", "learn_t": True}, 117_383),
    "ogbg-molhiv": (
        (ATOMS, 256, 7, 1),
        {"task": "graph", "learn_t": True, "edge_dim": BONDS, "edge_encoder": "layer"},
        532_232,
    ),
    "ogbg-molpcba": (
        (ATOMS, 256, 14, 128),
        {
            "task": "graph",
            "aggr": "softmax_sg",
            "mlp_layers": 2,
            "edge_dim": BONDS,
            "edge_encoder": "layer",
            "virtual_node": True,
        },
        5_550_464,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts(name):
    args, kwargs, expected = PUBLISHED[name]
    model = DeeperGCN(*args, **kwargs)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.interop
def test_parameter_count_with_ogbs_encoders():
    encoders = pytest.importorskip("ogb.graphproppred.mol_encoder")
    args, kwargs, expected = PUBLISHED["ogbg-molhiv"]
    model = DeeperGCN(encoders.AtomEncoder, *args[1:], **{**kwargs, "edge_dim": encoders.BondEncoder})
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.fixture
def graphs():
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(n, 5, generator=generator),
            torch.randint(0, n, (2, 3 * n), generator=generator),
            torch.randn(3 * n, 4, generator=generator),
        )
        for n in (6, 4, 9)
    ]


def collate(graphs):
    x = torch.cat([x for x, _, _ in graphs])
    starts = torch.tensor([0, *[len(x) for x, _, _ in graphs]]).cumsum(0)
    edge_index = torch.cat([e + s for (_, e, _), s in zip(graphs, starts, strict=False)], dim=1)
    batch = torch.repeat_interleave(torch.arange(len(graphs)), starts.diff())
    return x, edge_index, torch.cat([a for _, _, a in graphs]), batch


@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
@pytest.mark.parametrize("block", ["res+", "res", "plain"])
def test_graph_tasks_in_batches(graphs, pool, block):
    model = DeeperGCN(
        5, 8, 3, 2, task="graph", block=block, pool=pool, norm="layer", edge_dim=4, virtual_node=block == "res+"
    )
    if model.virtual_node is not None:
        with torch.no_grad():
            model.virtual_node.normal_()
    x, edge_index, edge_attr, batch = collate(graphs)
    out = model(x, edge_index, edge_attr, batch)
    assert out.shape == (3, 2)
    alone = torch.cat([model(*graph) for graph in graphs])
    torch.testing.assert_close(out, alone, rtol=1e-4, atol=1e-5)

    joined = Graph.batch([Graph.from_edge_index(e, len(x)) for x, e, _ in graphs])
    torch.testing.assert_close(
        model(x, joined, edge_attr), out, rtol=1e-6, atol=1e-6
    )  # the batch travels with the graph
    more = model(x, edge_index, edge_attr, batch, batch_size=4)
    torch.testing.assert_close(more[:3], out)
    assert more[3].isfinite().all()


def test_virtual_node_connects_components(graphs):
    x, _, _ = graphs[0]
    other = x.clone()
    other[5] += 1.0
    loops = torch.arange(6).repeat(2, 1)  # no edge between nodes
    for virtual_node, connected in ((False, False), (True, True)):
        model = DeeperGCN(5, 8, 3, 2, norm="layer", virtual_node=virtual_node)
        assert model(x, loops).shape == (6, 2)
        assert torch.allclose(model(x, loops)[0], model(other, loops)[0], atol=1e-6) != connected


def test_ends_of_the_tasks(graphs):
    x, edge_index, _ = graphs[0]
    for task, negative in (("node", False), ("link", False), ("graph", True)):
        torch.manual_seed(0)
        model = DeeperGCN(5, 16, 2, None, task=task, norm="layer")
        assert bool((model(x, edge_index) < 0).any()) == negative
    torch.manual_seed(0)
    plain = {
        task: DeeperGCN(5, 16, 2, None, task=task, block="plain", norm="layer", pool="max")
        for task in ("node", "graph")
    }
    assert (plain["node"](x, edge_index) >= 0).all()


def test_dropout_acts_in_training_alone(graphs):
    x, edge_index, _ = graphs[0]
    for block in ("res+", "res", "plain"):
        model = DeeperGCN(5, 16, 3, 2, block=block, dropout=0.5, norm="layer")
        assert not torch.equal(model(x, edge_index), model(x, edge_index))
        model.eval()
        assert torch.equal(model(x, edge_index), model(x, edge_index))


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_topologies(graphs):
    x, edge_index, edge_attr = graphs[0]
    edge_index = edge_index.unique(dim=1)
    edge_attr = edge_attr[: edge_index.size(1)]
    model = DeeperGCN(5, 8, 3, 2, norm="layer", edge_dim=4)
    expected = model(x, edge_index, edge_attr)
    torch.testing.assert_close(model(x, Graph.from_edge_index(edge_index, 6), edge_attr), expected)
    adj_t = torch.sparse_coo_tensor(edge_index.flip(0), edge_attr, (6, 6, 4))
    torch.testing.assert_close(model(x, adj_t), expected)


@pytest.mark.parametrize("ckpt_grad", [True, [1, 2]])
def test_checkpointing(graphs, ckpt_grad):
    x, edge_index, edge_attr, batch = collate(graphs)
    results = []
    for option in (False, ckpt_grad):
        torch.manual_seed(0)
        model = DeeperGCN(
            5, 8, 4, 2, task="graph", mlp_layers=2, dropout=0.2, edge_dim=4, virtual_node=True, ckpt_grad=option
        )
        torch.manual_seed(1)
        model(x, edge_index, edge_attr, batch).square().sum().backward()
        results.append([*(parameter.grad for parameter in model.parameters()), *model.buffers()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_reset_parameters():
    model = DeeperGCN(
        [3, 4], 8, 2, 2, learn_t=True, t=0.5, mlp_layers=2, msg_norm=True, learn_msg_scale=True,
        edge_dim=[3, 3], edge_encoder="both", virtual_node=True,
    )  # fmt: skip
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    model.reset_parameters()
    for key, value in model.state_dict().items():
        assert not (value == 7).any(), key
        assert value.shape == fresh[key].shape
    assert model.convs[0].aggr_module.t.item() == 0.5
    assert (model.virtual_node == 0).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"task": "edge"}, "'task' must be one of"),
        ({"block": "dense"}, "'block' must be one of"),
        ({"pool": "min"}, "'pool' must be one of"),
        ({"edge_encoder": "none"}, "'edge_encoder' must be one of"),
        ({"norm": "pair"}, "'norm' must be"),
        ({"virtual_node": True, "block": "res"}, "'virtual_node' needs"),
    ],
    ids=str,
)
def test_bad_options(kwargs, message):
    with pytest.raises(ValueError, match=message):
        DeeperGCN(5, 8, 2, 2, **kwargs)
    with pytest.raises(ValueError, match="'num_layers'"):
        DeeperGCN(5, 8, 0, 2)


def test_bad_inputs(graphs):
    x, edge_index, edge_attr = graphs[0]
    model = DeeperGCN(5, 8, 2, 2, task="graph", norm="layer")
    with pytest.raises(ValueError, match=r"'batch' must have shape \[6\]"):
        model(x, edge_index, batch=torch.zeros(5, dtype=torch.long))
    with pytest.raises(ValueError, match="edge_dim=4"):
        model(x, edge_index, edge_attr)
    with pytest.raises(ValueError, match="sizes disagree"):
        model(x, Graph.from_edge_index(edge_index, 7))


def test_learns_its_training_labels(graphs):
    x, edge_index, _ = graphs[2]
    labels = torch.arange(9) % 3
    model = DeeperGCN(5, 32, 3, 3, learn_t=True, norm="layer")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x, edge_index), labels)
        loss.backward()
        optimizer.step()
    assert (model(x, edge_index).argmax(-1) == labels).all()
    assert model.convs[1].aggr_module.t.item() != 1.0
