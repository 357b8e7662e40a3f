"""DeeperGCN against the published models: outputs, all gradients, batch-norm statistics, evaluation mode."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphkit import Graph, ops
from graphkit.models import DeeperGCN
from tests.golden.deepergcn_golden import Golden, assert_close, conv_key, names

BACKENDS = [name for name, (on, _) in ops.backend_status().items() if on and name != "triton"]
ATOMS = [119, 5, 12, 12, 10, 6, 6, 2, 2]  # codes per column in OGB 1.3.6
BONDS = [5, 6, 2]


class ProteinEncoder(nn.Module):
    """ogbn-proteins: summed edge features and an encoded one-hot species, side by side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one_hot = nn.Linear(8, 8)
        self.features = nn.Linear(16, channels)

    def forward(self, x):
        features, one_hot = x.split(8, dim=-1)
        return self.features(torch.cat([features, self.one_hot(one_hot)], dim=-1))


class LinkPredictor(nn.Module):
    """ogbl-collab: an MLP on the product of two embeddings."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lins = nn.ModuleList(
            [nn.Linear(channels, channels), nn.Linear(channels, channels), nn.Linear(channels, 1)]
        )

    def forward(self, h, pairs):
        out = h[pairs[0]] * h[pairs[1]]
        for lin in self.lins[:-1]:
            out = lin(out).relu()
        return self.lins[-1](out).sigmoid()


class Collab(nn.Module):
    """The two modules under the file's names."""

    def __init__(self) -> None:
        super().__init__()
        self.gnn = DeeperGCN(None, 5, 3, None, task="link", learn_t=True)
        self.lp = LinkPredictor(5)

    def forward(self, x, edge_index, pairs):
        return self.lp(self.gnn(x, edge_index), pairs)


def build(name: str) -> nn.Module:
    if name == "model_collab_resplus":
        return Collab()
    if name.startswith("model_arxiv"):
        detailed = "msgnorm" in name
        return DeeperGCN(
            5,
            6,
            3,
            3,
            block="res+" if "resplus" in name else "res",
            learn_t=True,
            msg_norm=detailed,
            learn_msg_scale=detailed,
            mlp_layers=2 if detailed else 1,
            norm="layer" if detailed else "batch",
        )
    if name.startswith("model_mol"):
        outer = "outer" in name
        return DeeperGCN(
            ATOMS,
            6,
            3,
            2,
            task="graph",
            aggr="softmax_sg" if outer else "softmax",
            t=0.1 if outer else 1.0,
            learn_t=not outer,
            mlp_layers=2,
            edge_dim=BONDS,
            edge_encoder="shared" if outer else "layer",
            virtual_node=True,
        )
    if name == "model_proteins_resplus":
        return DeeperGCN(
            ProteinEncoder, 6, 3, 4, learn_t=True, norm="layer", mlp_layers=2, edge_dim=8, edge_encoder="both"
        )
    assert name == "model_ppa_resplus"
    return DeeperGCN(
        7,
        6,
        3,
        4,
        task="graph",
        aggr="softmax_sg",
        t=0.01,
        norm="layer",
        mlp_layers=2,
        edge_dim=7,
        edge_encoder="both",
    )


_PREFIXES = {
    "layer_norms.": "norms.",
    "virtualnode_embedding.weight": "virtual_node",
    "mlp_virtualnode_list.": "virtual_node_mlps.",
    "atom_encoder.atom_embedding_list.": "encoder.embeddings.",
    "bond_encoder.bond_embedding_list.": "edge_encoder.embeddings.",
    "node_one_hot_encoder.": "encoder.one_hot.",
    "node_pred_linear.": "head.",
    "graph_pred_linear.": "head.",
    "gnn.": "gnn.",
}


def model_key(key: str, *, proteins: bool) -> str:
    """Our name of a parameter of a published model."""
    if key.startswith("gnn."):
        return "gnn." + model_key(key[4:], proteins=proteins)
    if key.startswith("gcns."):
        _, layer, rest = key.split(".", 2)
        return f"convs.{layer}.{conv_key(rest)}"
    if key.startswith("node_features_encoder."):
        return key.replace("node_features_encoder.", "encoder.features." if proteins else "encoder.")
    for theirs, ours in _PREFIXES.items():
        if key.startswith(theirs):
            return ours + key[len(theirs) :]
    return key


def inputs_of(golden: Golden, x: torch.Tensor, as_graph: bool) -> tuple:
    graph = Graph.from_edge_index(golden["edge_index"], len(x)) if as_graph else golden["edge_index"]
    if "pairs" in golden:
        return x, graph, golden["pairs"]
    return x, graph, golden.get("edge_attr"), golden.get("batch")


def loaded(name: str) -> tuple[Golden, nn.Module]:
    golden = Golden(name)
    model = build(name).double()
    proteins = "proteins" in name
    state = {model_key(key, proteins=proteins): value for key, value in golden.section("param.").items()}
    model.load_state_dict(state, strict=True)
    return golden, model


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", names("model"))
def test_model(name, backend):
    golden, model = loaded(name)
    proteins = "proteins" in name
    if proteins:
        x = torch.cat([golden["node_features"][golden["node_index"]], golden["onehot"]], dim=1)
    else:
        x = golden["x"].clone()
    if "grad.x" in golden:
        x.requires_grad_()
    log_softmax = nn.LogSoftmax(-1) if "arxiv" in name else nn.Identity()

    with ops.backend(backend):
        out = log_softmax(model(*inputs_of(golden, x, as_graph=False)))
        (out * golden["R"]).sum().backward()
        after = {key: value.clone() for key, value in model.named_buffers()}
        model.eval()
        out_eval = log_softmax(model(*inputs_of(golden, x, as_graph=True)))

    assert_close(out, golden["out_train"], "out_train")
    assert_close(out_eval, golden["out_eval"], "out_eval")
    parameters = dict(model.named_parameters())
    grads = golden.section("grad.")
    assert len(parameters) == len(grads.keys() - {"x"})
    for key, expected in grads.items():
        tensor = x if key == "x" else parameters[model_key(key, proteins=proteins)]
        assert_close(tensor.grad, expected, f"grad.{key}")
    for key, expected in golden.section("after.").items():
        assert_close(after[model_key(key, proteins=proteins)], expected, f"after.{key}")


@pytest.mark.parametrize("name", [name for name in names("model") if "resplus" in name or "mol" in name])
def test_checkpointed_model(name):
    """Every convolution recomputed: same gradients and statistics."""
    golden, model = loaded(name)
    gnn = model.gnn if hasattr(model, "gnn") else model
    gnn.ckpt_layers = frozenset(range(3))
    if "proteins" in name:
        x = torch.cat([golden["node_features"][golden["node_index"]], golden["onehot"]], dim=1)
    else:
        x = golden["x"]
    out = model(*inputs_of(golden, x, as_graph=False))
    if "arxiv" in name:
        out = out.log_softmax(-1)
    (out * golden["R"]).sum().backward()
    parameters, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    for key, expected in golden.section("grad.").items():
        if key != "x":
            assert_close(parameters[model_key(key, proteins="proteins" in name)].grad, expected, f"grad.{key}")
    for key, expected in golden.section("after.").items():
        assert_close(buffers[model_key(key, proteins="proteins" in name)], expected, f"after.{key}")
