"""Features, edges and labels as the published scripts make them from OGB's."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch_geometric.data import Batch, Data

from graphkit.datasets import load
from graphkit.recipes.ogb import prepare as module
from graphkit.recipes.ogb.prepare import SpeciesEncoder, prepare
from graphkit.recipes.ogb.table import recipe_for


def opened(ogb_sets, kind):
    name, root = ogb_sets[kind]
    return load(name, root), recipe_for(name)


def test_citations_go_both_ways_and_every_node_has_one_loop(ogb_sets):
    dataset, recipe = opened(ogb_sets, "node")
    data = prepare(dataset, recipe).data
    pairs = set(map(tuple, data.edge_index.t().tolist()))
    assert len(pairs) == data.num_edges
    assert all((b, a) in pairs for a, b in pairs)
    assert sum(a == b for a, b in pairs) == data.num_nodes
    assert set(map(tuple, dataset[0].edge_index.t().tolist())) <= pairs
    split = dataset.get_idx_split()
    for ours, theirs in (("train_mask", "train"), ("val_mask", "valid"), ("test_mask", "test")):
        assert torch.equal(data[ours].nonzero().view(-1), split[theirs].sort().values)
    assert int(data.train_mask.int().add(data.val_mask.int()).add(data.test_mask.int()).max()) == 1


def test_proteins_sum_their_edges_and_know_their_species(ogb_sets):
    dataset, recipe = opened(ogb_sets, "multilabel")
    raw = dataset[0]
    prepared = prepare(dataset, recipe)
    expected = torch.zeros(raw.num_nodes, 8).index_add_(0, raw.edge_index[0], raw.edge_attr)
    torch.testing.assert_close(prepared.data.x[:, :8], expected)
    assert torch.equal(prepared.data.x[:, 8:].argmax(1), raw.node_species.view(-1))
    assert prepared.data.x.size(1) == 8 + 3
    model = prepared.build()
    assert isinstance(model.encoder, SpeciesEncoder)
    assert model(prepared.data.x, prepared.data.edge_index, prepared.data.edge_attr).shape == (raw.num_nodes, 6)


def test_messages_take_training_edges_alone(ogb_sets):
    dataset, recipe = opened(ogb_sets, "link")
    data = prepare(dataset, recipe).data
    edges = dataset.get_edge_split()
    sent = set(map(tuple, data.edge_index.t().tolist()))
    for split in ("valid", "test"):
        assert sent.isdisjoint(map(tuple, edges[split]["edge"].tolist()))
    assert set(map(tuple, edges["train"]["edge"].tolist())) <= sent


def test_nodes_without_features_get_a_learnt_table(ogb_sets, monkeypatch):
    dataset, recipe = opened(ogb_sets, "link")
    dataset._data.x = None
    prepared = prepare(dataset, recipe)
    assert prepared.data.x is None
    assert prepared.build().embedding.weight.shape == (dataset[0].num_nodes, recipe.hidden_channels)


def test_graphs_without_node_features_sum_their_edges():
    edges = torch.tensor([[0, 0, 1], [1, 2, 0]])
    graphs = [Data(edge_index=edges, edge_attr=torch.randn(3, 7), num_nodes=3) for _ in range(2)]
    seen = []

    def model(x, edge_index, edge_attr, batch, batch_size):
        seen.append(x)
        return torch.zeros(batch_size, 1)

    assert module._call_on_batch(model, Batch.from_data_list(graphs)).shape == (2, 1)
    expected = torch.cat([torch.stack([a[0] + a[1], a[2], 0 * a[2]]) for a in (g.edge_attr for g in graphs)])
    torch.testing.assert_close(seen[0], expected)


def test_integer_features_have_as_many_codes_as_occur(ogb_sets):
    dataset, recipe = opened(ogb_sets, "graph")
    model = prepare(dataset, recipe).build()
    assert [e.num_embeddings for e in model.encoder.embeddings] == [2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert [e.num_embeddings for e in model.convs[0].lin_edge.embeddings] == [2, 2, 2]


def test_rebuilt_features_are_found_by_their_checksum(ogb_sets, tmp_path, monkeypatch):
    dataset = SimpleNamespace(name="ogbg-molhiv", root=str(tmp_path))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "node-feat.csv.gz").write_bytes(b"features")
    assert module._is_official(dataset)
    digest = module.sha256_of({"x": tmp_path / "raw" / "node-feat.csv.gz"})["x"]
    monkeypatch.setitem(module._REBUILT, "ogbg-molhiv", digest)
    assert not module._is_official(dataset)
    assert module._is_official(SimpleNamespace(name="ogbn-arxiv", root=str(tmp_path)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"meta_info": {"is hetero": "True"}}, "with several kinds of nodes"),
        ({"task_type": "subtoken prediction"}, "subtoken prediction, expected one of binary classification"),
    ],
)
def test_what_is_refused(changes, message):
    described = {"name": "ogbg-other", "meta_info": {}, "task_type": "regression", "num_tasks": 1, "num_classes": -1}
    with pytest.raises(ValueError, match=message):
        prepare(SimpleNamespace(**(described | changes)), recipe_for("ogbg-other"))


@pytest.mark.parametrize("features", [None, 5, 8])
def test_a_sheaf_recommender_embeds_nodes_with_or_without_features(ogb_sets, features):
    name, root = ogb_sets["link"]
    dataset = load(name, root)
    nodes = dataset[0].num_nodes
    dataset._data.x = None if features is None else torch.randn(nodes, features)
    recipe = replace(recipe_for(name, model="sheaf"), hidden_channels=8, num_layers=2, stalk_dim=2, maps="general")
    prepared = prepare(dataset, recipe)
    model = prepared.build()
    assert (model.embedding is None) == (features is not None)
    z = model.encode(prepared.data.x, prepared.data.edge_index)
    assert z.shape == (nodes, 24)
    assert model.decode(z, torch.tensor([[0], [1]])).shape == (1,)
