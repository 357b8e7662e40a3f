"""NeuralSheafDiffusion beyond the published arrays: other graphs, batches, samples, options."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_undirected

from graphkit import Graph, ops
from graphkit.loader import NeighborLoader
from graphkit.models import NeuralSheafDiffusion, SheafODE
from graphkit.nn.sheaf import FAMILIES, symmetric

N = 30


def random_graph(num_nodes: int, num_edges: int) -> Data:
    return Data(
        x=torch.randn(num_nodes, 8, dtype=torch.float64), edge_index=torch.randint(0, num_nodes, (2, num_edges))
    )


def model(maps: Any = "bundle", layers: int = 2, **options: Any) -> NeuralSheafDiffusion:
    """A small network in which no term is trivial."""
    net = NeuralSheafDiffusion(8, 4, layers, 3, stalk_dim=2, maps=maps, low_pass=True, **options)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net.double().eval()


@pytest.mark.parametrize("maps", FAMILIES)
def test_graphs_in_a_batch_are_as_alone(maps) -> None:
    graphs = [random_graph(n, e) for n, e in ((9, 20), (4, 0), (15, 60))]
    net = model(maps)
    batch = Batch.from_data_list(graphs)
    together = net(batch.x, batch.edge_index)
    torch.testing.assert_close(together, torch.cat([net(g.x, g.edge_index) for g in graphs]))


@pytest.mark.parametrize("maps", FAMILIES)
def test_training_on_a_batch_is_training_on_its_graphs(maps) -> None:
    """The gradients of a batch of graphs are the sums of those of each graph alone, and so are the steps."""
    graphs = [random_graph(n, e) for n, e in ((9, 20), (4, 0), (15, 60))]
    for graph in graphs:
        graph.y = torch.randint(0, 3, (graph.num_nodes,))
    batched, alone = model(maps), model(maps)
    alone.load_state_dict(batched.state_dict())
    for net, parts in ((batched, [Batch.from_data_list(graphs)]), (alone, graphs)):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            for part in parts:
                logits = net(part.x, part.edge_index)
                torch.nn.functional.cross_entropy(logits, part.y, reduction="sum").backward()
            optimizer.step()
    for ours, theirs in zip(batched.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("maps", ["diagonal", "bundle", "general"])
def test_trained_on_one_graph_applied_to_another(maps) -> None:
    """What is learned is no property of the graph: nothing in the model has its size."""
    net, first, second = model(maps), random_graph(12, 40), random_graph(20, 70)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    target = torch.randint(0, 3, (12,))
    losses = []
    for _ in range(20):
        loss = torch.nn.functional.cross_entropy(net(first.x, first.edge_index), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    fresh = model(maps)
    fresh.load_state_dict(net.state_dict())
    torch.testing.assert_close(net(second.x, second.edge_index), fresh(second.x, second.edge_index))
    assert not list(net.buffers())


@pytest.mark.parametrize("maps", FAMILIES)
def test_whole_neighbourhoods_give_what_the_whole_graph_gives(maps) -> None:
    """A layer looks at neighbours of order two, so batches of all neighbours need twice as many hops as layers."""
    data, net = random_graph(N, 50), model(maps, layers=1)
    data.edge_index = torch.cat([data.edge_index, data.edge_index.flip(0)], 1)
    whole = net(data.x, data.edge_index)
    seeds = torch.tensor([3, 17, 8])
    batch = next(iter(NeighborLoader(data, [-1, -1], input_nodes=seeds, batch_size=3)))
    assert batch.num_nodes < N
    torch.testing.assert_close(net(batch.x, batch.edge_index)[:3], whole[seeds])


@pytest.mark.parametrize("maps", FAMILIES)
def test_a_sampled_neighbourhood_is_the_undirected_graph_of_the_drawn_edges(maps) -> None:
    """However the sample says it: edges towards the seeds alone, or their reverses too."""
    data, net = random_graph(N, 120), model(maps)
    data.edge_index = to_undirected(data.edge_index)
    outputs = []
    for subgraph_type in ("directional", "bidirectional"):
        loader = NeighborLoader(data, [3, 2], batch_size=5, seed=0, subgraph_type=subgraph_type, backend="torch")
        batch = next(iter(loader))
        outputs.append(net(batch.x, batch.edge_index))
        outputs.append(net(batch.x, to_undirected(batch.edge_index, num_nodes=batch.num_nodes)))
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0])


def test_sampled_batches_train() -> None:
    data, net = random_graph(N, 200), model("bundle").train()
    for batch in NeighborLoader(data, [3, 2], batch_size=10, seed=0):
        net(batch.x, batch.edge_index)[: batch.batch_size].square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


def test_shared_maps_are_learned_once() -> None:
    net, data = model("bundle", layers=3, shared_maps=True), random_graph(N, 100)
    states = net.states(data.x, data.edge_index)
    assert len(states) == 4
    assert all(state.sheaf.maps is states[0].sheaf.maps for state in states)
    assert sum(".maps.learner" in name for name, _ in net.named_parameters()) == 1


def test_states_are_those_of_the_forward_pass() -> None:
    net, data = model("bundle", layers=2), random_graph(N, 100)
    states = net.states(data.x, data.edge_index)
    last = states[-1]
    assert last.features.shape == (N, 3, 4)
    torch.testing.assert_close(net.lin_out(last.features.flatten(1)), net(data.x, data.edge_index))
    assert last.graph is symmetric(net_graph(data))[0]
    assert ops.sheaf_dirichlet_energy(last.features[:, :2], last.graph, last.sheaf.maps) > 0


def net_graph(data: Data) -> Graph:
    from graphkit.graph import as_graph

    return as_graph(data.edge_index, N)


def test_gradients_of_connection_maps_are_not_taken() -> None:
    net, data = model("connection"), random_graph(N, 100)
    assert not any("maps" in name for name, _ in net.named_parameters())
    net(data.x, data.edge_index).sum().backward()
    assert net.lin_in.weight.grad is not None


def test_parameter_groups_hold_every_parameter_once() -> None:
    net = model("bundle")
    rest, sheaf = net.parameter_groups(0.1, 0.2)
    assert (rest["weight_decay"], sheaf["weight_decay"]) == (0.1, 0.2)
    assert len(rest["params"]) + len(sheaf["params"]) == len(list(net.parameters()))
    assert {p.shape for p in sheaf["params"]} == {(1, 24)}  # the maps', not those of the edge weights
    (only,) = model("identity").parameter_groups(0.1, 0.2)
    assert only["weight_decay"] == 0.1


def test_number_of_parameters() -> None:
    """Per layer 2 d H p + d^2 + H^2 + d, and 2 d H for edge weights; d counts the fixed rows."""
    net = NeuralSheafDiffusion(10, 5, 3, 2, stalk_dim=3, maps="bundle", high_pass=True)
    per_layer = 2 * 20 * 3 + 2 * 20 + 16 + 25 + 4
    assert sum(p.numel() for p in net.parameters()) == 10 * 20 + 20 + 3 * per_layer + 20 * 2 + 2


def test_reset_parameters() -> None:
    net = model("general")
    before = {name: p.clone() for name, p in net.named_parameters()}
    net.reset_parameters()
    assert all(not p.equal(before[name]) for name, p in net.named_parameters())
    assert net.get_parameter("convs.0.left_weight").equal(torch.eye(3, dtype=torch.float64))


# Continuous -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maps", ["diagonal", "bundle"])
def test_one_step_of_euler_is_one_layer_without_epsilon(maps) -> None:
    pytest.importorskip("torchdiffeq")
    data = random_graph(N, 100)
    continuous = model(maps, layers=1, ode=SheafODE("euler", time=1.0, step_size=1.0), act=None)
    discrete = model(maps, layers=1, act=None)
    state = continuous.state_dict() | {"convs.0.epsilon": torch.zeros(3, 1)}
    discrete.load_state_dict(state)
    torch.testing.assert_close(continuous(data.x, data.edge_index), discrete(data.x, data.edge_index))


def test_continuous_models_have_one_layer_and_no_states() -> None:
    with pytest.raises(ValueError, match="'num_layers' must be 1 with 'ode'"):
        NeuralSheafDiffusion(8, 4, 2, 3, ode=SheafODE())
    data = random_graph(N, 10)
    with pytest.raises(ValueError, match="a model with 'ode' has none"):
        NeuralSheafDiffusion(8, 4, 1, 3, ode=SheafODE()).states(data.x.float(), data.edge_index)
    with pytest.raises(ValueError, match="'step_size' of SheafODE must be positive"):
        SheafODE(step_size=0)


def test_torchdiffeq_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchdiffeq", None)
    data = random_graph(N, 10)
    with pytest.raises(ImportError, match=r"pip install 'graphkit\[ode\]'"):
        model(layers=1, ode=SheafODE())(data.x, data.edge_index)


@pytest.mark.parametrize("maps", FAMILIES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_short_types_follow_float64(maps, dtype: torch.dtype, tolerance: float) -> None:
    if (maps, dtype) == ("connection", torch.bfloat16):
        pytest.skip("which directions are the main ones depends on the last digits")
    net, data = model(maps), random_graph(N, 100)
    exact: Tensor = net(data.x, data.edge_index)
    short = net.to(dtype)(data.x.to(dtype), data.edge_index)
    assert short.dtype == dtype
    assert torch.dist(short.double(), exact) < tolerance * exact.norm()


def test_bad_input() -> None:
    net, data = model("diagonal"), random_graph(N, 100)
    larger = Graph.from_edge_index(data.edge_index, N + 1)
    with pytest.raises(ValueError, match="31"):  # a graph with other nodes
        net(data.x, larger)
    with pytest.raises(ValueError, match=r"edge_index.*30|30.*edge_index"):
        net(data.x, torch.tensor([[0, N], [N, 0]]))
    with pytest.raises(ValueError, match=r"'x' must have .* channels \(got 1\)"):
        net(data.x[:, :1], data.edge_index)
    data.x[4, 2] = float("inf")
    with pytest.raises(ValueError, match="'maps' must be finite"):
        net(data.x, data.edge_index)
