"""NeighborLoader and LinkNeighborLoader: PyG's fields, the same batches whoever computes them, and what is refused."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader
from torch_geometric.nn import SAGEConv
from torch_geometric.sampler import NegativeSampling
from torch_geometric.utils import coalesce, trim_to_layer

from graphkit.graph.sampling.neighbors import EDGE
from graphkit.loader import LinkNeighborLoader, NeighborLoader, NeighborSampler
from tests.graph.sampling.checks import BACKENDS
from tests.loader.cases import check_fields, equal, fingerprint, graph_data, hetero_data


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("replace", [False, True])
def test_batches_have_pygs_fields(backend: str, replace: bool) -> None:
    data = graph_data()
    mask = torch.zeros(200, dtype=torch.bool)
    mask[50:130] = True
    loader = NeighborLoader(data, [4, 3], mask, replace=replace, backend=backend, batch_size=32, shuffle=True)
    assert len(loader) == 3
    seen = []
    for batch in loader:
        check_fields(batch, data)
        assert batch.batch_size == batch.input_id.numel() == batch.num_sampled_nodes[0]
        assert torch.equal(batch.n_id[: batch.batch_size], batch.input_id)  # PyG numbers a mask's inputs by node
        assert sum(batch.num_sampled_nodes) == batch.num_nodes == batch.n_id.unique().numel()
        assert sum(batch.num_sampled_edges) == batch.num_edges
        seen.append(batch.input_id)
    assert torch.cat(seen).sort().values.tolist() == list(range(50, 130))


def test_input_ids_are_positions_in_the_given_nodes() -> None:
    nodes = torch.tensor([7, 3, 7, 100])
    batch = next(iter(NeighborLoader(graph_data(), [2], nodes, batch_size=4)))
    assert batch.input_id.tolist() == [0, 1, 2, 3]
    assert batch.n_id[:4].tolist() == nodes.tolist()


def test_trimmed_layers_compute_what_the_whole_batch_does() -> None:
    data = graph_data()
    first, second = SAGEConv(3, 8), SAGEConv(8, 8)
    batch = next(iter(NeighborLoader(data, [5, 4], batch_size=16, seed=0)))
    expected = second(first(batch.x, batch.edge_index).relu(), batch.edge_index)[:16]
    x, edge_index = batch.x, batch.edge_index
    for layer, conv in enumerate((first, second)):
        x, edge_index, _ = trim_to_layer(layer, batch.num_sampled_nodes, batch.num_sampled_edges, x, edge_index)
        x = conv(x, edge_index)
        x = x.relu() if layer == 0 else x
    assert x.size(0) < batch.num_nodes
    torch.testing.assert_close(x[:16], expected)


def test_all_neighbours_give_the_full_graphs_result() -> None:
    data = graph_data()
    first, second = SAGEConv(3, 8), SAGEConv(8, 8)
    expected = second(first(data.x, data.edge_index).relu(), data.edge_index)
    for batch in NeighborLoader(data, [-1, -1], batch_size=64):
        out = second(first(batch.x, batch.edge_index).relu(), batch.edge_index)[: batch.batch_size]
        torch.testing.assert_close(out, expected[batch.n_id[: batch.batch_size]])


def test_subgraph_types() -> None:
    data = graph_data()
    drawn, both, induced = (
        next(iter(NeighborLoader(data, [3, 3], batch_size=8, subgraph_type=kind, seed=1)))
        for kind in ("directional", "bidirectional", "induced")
    )
    assert torch.equal(drawn.n_id, both.n_id)
    assert torch.equal(drawn.n_id, induced.n_id)
    expected = coalesce(torch.cat([drawn.edge_index, drawn.edge_index.flip(0)], dim=1), sort_by_row=False)
    assert torch.equal(both.edge_index, expected)
    check_fields(induced, data)
    inside = torch.isin(data.edge_index, induced.n_id).all(dim=0)
    assert induced.e_id.sort().values.tolist() == inside.nonzero().flatten().tolist()
    assert "num_sampled_nodes" not in both
    assert "num_sampled_nodes" not in induced


def _loaders(**kwargs: Any) -> list[Any]:
    data = graph_data()
    return [
        NeighborLoader(data, [4, 3], batch_size=64, shuffle=True, seed=3, **kwargs),
        LinkNeighborLoader(data, [3], neg_sampling="binary", batch_size=512, shuffle=True, seed=3, **kwargs),
    ]


@pytest.mark.parametrize("options", [{}, {"persistent_workers": True}, {"filter_per_worker": True}], ids=str)
def test_batches_do_not_depend_on_workers(options: dict[str, Any]) -> None:
    for alone, helped in zip(_loaders(), _loaders(num_workers=2, **options), strict=True):
        epochs = [fingerprint(alone) for _ in range(2)]
        assert not equal(*epochs)
        for epoch in epochs:
            assert equal(fingerprint(helped), epoch)


@pytest.mark.slow
def test_spawned_workers() -> None:
    for alone, helped in zip(_loaders(), _loaders(num_workers=1, multiprocessing_context="spawn"), strict=True):
        assert equal(fingerprint(helped), fingerprint(alone))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's memory maps")
def test_forked_workers_share_the_graph() -> None:
    data = graph_data(500_000, 6_000_000)
    loader = NeighborLoader(data, [5], torch.arange(2048), batch_size=1024, num_workers=2, filter_per_worker=False)
    before = multiprocessing.active_children()  # of other tests, whose loaders are not collected yet
    iterator = iter(loader)
    next(iterator)
    form = loader.node_sampler.topology.forms[EDGE]
    graph = sum(tensor.nbytes for tensor in (data.edge_index, *form))
    workers = [worker for worker in multiprocessing.active_children() if worker not in before]
    assert len(workers) == 2
    for worker in workers:
        lines = Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()
        own = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_Dirty"))
        assert 0 < own < graph / 2


def test_an_epoch_can_be_named() -> None:
    for loader in _loaders():
        epochs = [fingerprint(loader) for _ in range(3)]
        loader.set_epoch(1)
        assert equal(fingerprint(loader), epochs[1])
        assert equal(fingerprint(loader), epochs[2])
        with pytest.raises(ValueError, match="epoch"):
            loader.set_epoch(-1)


def test_batches_leave_torchs_random_state_alone() -> None:
    loader = _loaders()[1]
    torch.manual_seed(5)
    expected = torch.rand(3)
    iterator = iter(loader)  # here torch draws the seeds of workers
    torch.manual_seed(5)
    next(iterator)
    assert torch.equal(torch.rand(3), expected)


def test_seeds_come_from_torch_without_one() -> None:
    def run(**kwargs: Any) -> list[list[Tensor]]:
        return fingerprint(NeighborLoader(graph_data(), [2, 2], batch_size=64, **kwargs))

    torch.manual_seed(0)
    first, second = run(), run()
    torch.manual_seed(0)
    assert equal(run(), first)
    assert not equal(first, second)
    assert equal(*(run(generator=torch.Generator().manual_seed(4)) for _ in range(2)))
    with pytest.raises(ValueError, match="both given"):
        run(seed=1, generator=torch.Generator())


def test_two_iterators_at_once_are_two_epochs() -> None:
    loader, again = _loaders()[0], _loaders()[0]
    pairs = list(zip(loader, loader, strict=True))
    assert equal(fingerprint(a for a, _ in pairs), fingerprint(again))
    assert equal(fingerprint(b for _, b in pairs), fingerprint(again))


def test_the_same_batch_twice_in_an_epoch_is_drawn_anew() -> None:
    batches = list(NeighborLoader(graph_data(), [1, 1], torch.zeros(20, dtype=torch.int64), batch_size=1, seed=0))
    assert len({tuple(batch.e_id.tolist()) for batch in batches}) > 1


def test_pinned_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = NeighborLoader(graph_data(), [2], batch_size=64, filter_per_worker=False)
    loader.pin_memory = True
    pinned = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(Data, "pin_memory", lambda self: pinned.append(self) or self)
    batch = loader(list(range(8)))
    assert pinned[0] is batch


def test_the_sampler_runs_in_pygs_loader() -> None:
    data = graph_data()
    sampler = NeighborSampler(data, [3, 2])
    assert repr(sampler) == "NeighborSampler([3, 2], replace=False, subgraph_type='directional')"
    for batch in NodeLoader(data, sampler, batch_size=100):
        check_fields(batch, data)


# Links --------------------------------------------------------------------------------------------------------


def test_links_with_binary_negatives() -> None:
    data = graph_data()
    chosen = torch.arange(100, 400)
    label = torch.arange(300) % 3
    loader = LinkNeighborLoader(
        data, [3, 2], data.edge_index[:, chosen], label, neg_sampling=NegativeSampling("binary", 2), batch_size=60
    )
    for batch in loader:
        check_fields(batch, data)
        pairs = batch.n_id[batch.edge_label_index]
        assert torch.equal(pairs[:, :60], data.edge_index[:, chosen[batch.input_id]])
        assert torch.equal(batch.edge_label[:60], label[batch.input_id] + 1)
        assert batch.edge_label[60:].tolist() == [0] * 120
        assert batch.num_sampled_nodes[0] == pairs.unique().numel()


def test_links_with_triplets() -> None:
    data = graph_data()
    for batch in LinkNeighborLoader(data, [3], neg_sampling=NegativeSampling("triplet", 2), batch_size=500):
        source, target = data.edge_index[:, batch.input_id]
        assert torch.equal(batch.n_id[batch.src_index], source)
        assert torch.equal(batch.n_id[batch.dst_pos_index], target)
        assert batch.dst_neg_index.shape == (500, 2)


def test_links_without_negatives() -> None:
    data = graph_data()
    batch = next(iter(LinkNeighborLoader(data, [3], batch_size=9)))
    assert torch.equal(batch.n_id[batch.edge_label_index], data.edge_index[:, :9])


# HeteroData ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_hetero_batches(backend: str) -> None:
    data = hetero_data()
    fanouts = {edge_type: [3, 2] for edge_type in data.edge_types}
    fanouts["item", "rev_buys", "user"] = [0, 4]
    loader = NeighborLoader(data, fanouts, ("user", torch.arange(30)), batch_size=10, backend=backend)
    for batch in loader:
        assert batch["user"].batch_size == 10
        assert torch.equal(batch["user"].n_id[:10], batch["user"].input_id)
        for node_type in data.node_types:
            assert torch.equal(batch[node_type].x, data[node_type].x[batch[node_type].n_id])
            assert sum(batch[node_type].num_sampled_nodes) == batch[node_type].num_nodes
        for edge_type in data.edge_types:
            source, _, target = edge_type
            store = batch[edge_type]
            ends = torch.stack([batch[source].n_id[store.edge_index[0]], batch[target].n_id[store.edge_index[1]]])
            assert torch.equal(ends, data[edge_type].edge_index[:, store.e_id])
            assert sum(store.num_sampled_edges) == store.num_edges
        buys = batch["user", "buys", "item"]
        assert torch.equal(buys.edge_attr, data["user", "buys", "item"].edge_attr[buys.e_id])
        # The first hop reaches users alone, so items are reached, and have in-edges, from the second on.
        assert batch["item", "rev_buys", "user"].num_sampled_edges[0] == 0
        assert batch["item"].num_sampled_nodes[:2] == [0, 0]
        assert batch["item"].num_sampled_nodes[2] > 0
        assert buys.num_edges == 0


def test_hetero_all_neighbours_are_all_edges_of_the_seeds() -> None:
    data = hetero_data()
    batch = next(iter(NeighborLoader(data, [-1], ("item", torch.tensor([3, 8])), batch_size=2)))
    edge_index = data["user", "buys", "item"].edge_index
    expected = torch.isin(edge_index[1], torch.tensor([3, 8])).nonzero().flatten()
    assert batch["user", "buys", "item"].e_id.sort().values.tolist() == expected.tolist()


def test_hetero_links() -> None:
    data = hetero_data()
    kind = ("user", "buys", "item")
    loader = LinkNeighborLoader(data, [3, 2], (kind, data[kind].edge_index), neg_sampling="binary", batch_size=50)
    for batch in loader:
        label_index = batch[kind].edge_label_index
        ends = torch.stack([batch["user"].n_id[label_index[0]], batch["item"].n_id[label_index[1]]])
        assert torch.equal(ends[:, :50], data[kind].edge_index[:, batch[kind].input_id])


# Refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_neighbors": [0]}, ValueError, "'num_neighbors' must be positive, or -1"),
        ({"num_neighbors": [-3]}, ValueError, "got -3"),
        ({"num_neighbors": {("a", "b", "c"): [1]}}, TypeError, "HeteroData"),
        ({"input_nodes": torch.tensor([5, 200])}, ValueError, r"'input_nodes' must lie in \[0, 200\)"),
        ({"input_nodes": torch.tensor([-1])}, ValueError, "got -1"),
        ({"subgraph_type": "everything"}, ValueError, "everything"),
        ({"disjoint": True}, ValueError, "'disjoint'.*pyg-lib"),
        ({"time_attr": "time", "weight_attr": "w"}, ValueError, "'time_attr', 'weight_attr'.*pyg-lib"),
        ({"backend": "dgl"}, ValueError, "'backend' must be one of"),
        ({"batch_size": None}, ValueError, "'batch_size' must be an int"),
        ({"data": [1]}, TypeError, "Data, HeteroData or Graph"),
        ({"data": Data(x=torch.zeros(3, 1))}, ValueError, "edge_index"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        NeighborLoader(**{"data": graph_data(), "num_neighbors": [2], "backend": "torch", **arguments})


def test_bad_links_are_named() -> None:
    data = graph_data()
    with pytest.raises(ValueError, match=r"'edge_label_index\[1\]' must lie in \[0, 200\)"):
        LinkNeighborLoader(data, [2], torch.tensor([[0], [200]]))


def test_bad_hetero_fanouts_are_named() -> None:
    data = hetero_data()
    with pytest.raises(ValueError, match="name every edge type once"):
        NeighborLoader(data, {("user", "buys", "item"): [1]}, "user")
    fanouts = {t: [1] for t in data.edge_types} | {("user", "buys", "item"): [1, 2]}
    with pytest.raises(ValueError, match="as many hops"):
        NeighborLoader(data, fanouts, "user")
