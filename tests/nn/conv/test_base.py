"""FusedMessagePassing: when messages are written and when not, and what hooks see."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import OptPairTensor, OptTensor

from graphkit import Graph
from graphkit.nn import FusedMessagePassing, GENConv


class DoubledMessages(GENConv):
    """Overrides the message alone: the fused operator of its parent no longer fits."""

    def message(self, x_j: torch.Tensor, edge_attr: OptTensor) -> torch.Tensor:
        return 2 * super().message(x_j, edge_attr)


class DoubledBoth(DoubledMessages):
    """Brings a fused operator for its messages."""

    def message_and_aggregate(self, edge_index: Graph, x: OptPairTensor, edge_attr: OptTensor) -> torch.Tensor:
        return 2 * super().message_and_aggregate(edge_index, x, edge_attr)


class NoPropagation(GENConv):
    """Has a propagate of its own."""

    def propagate(self, edge_index, size=None, **kwargs):
        return torch.zeros_like(kwargs["x"][1])


class Plain(FusedMessagePassing):
    """No fused operator at all."""

    def forward(self, x, edge_index):
        return self.propagate(self.graph_of(x, edge_index), x=x)


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(0, 8, (2, 30), generator=generator)
    return torch.randn(9, 6, dtype=torch.float64, generator=generator), edge_index


def make(cls=GENConv, **kwargs):
    torch.manual_seed(0)
    return cls(6, 6, **{"aggr": "sum", "norm": "layer", **kwargs}).double()


def count_paths(conv):
    """Register nothing: wrap the two methods."""
    calls = {"message": 0, "fused": 0}
    message, fused = conv.message, conv.message_and_aggregate

    def counted_message(*args, **kwargs):
        calls["message"] += 1
        return message(*args, **kwargs)

    def counted_fused(*args, **kwargs):
        calls["fused"] += 1
        return fused(*args, **kwargs)

    conv.message, conv.message_and_aggregate = counted_message, counted_fused
    return calls


def test_fused_unless_somebody_looks(data):
    conv = make()
    calls = count_paths(conv)
    expected = conv(*data)
    assert calls == {"message": 0, "fused": 1}
    seen = []
    handles = [
        conv.register_message_forward_hook(lambda module, inputs, out: seen.append(out.shape)),
        conv.register_message_forward_pre_hook(lambda module, inputs: seen.append(set(inputs[0]))),
        conv.register_aggregate_forward_hook(lambda module, inputs, out: seen.append(out.shape)),
        conv.register_aggregate_forward_pre_hook(lambda module, inputs: seen.append(set(inputs[0]))),
    ]
    for handle in handles:
        torch.testing.assert_close(conv(*data), expected, rtol=1e-13, atol=1e-13)
        handle.remove()
    assert len(seen) == 4 + 3 + 2 + 1
    assert (30, 6) in seen
    assert {"x_j", "edge_attr"} in seen
    assert calls == {"message": 4, "fused": 1}
    conv(*data)
    assert calls == {"message": 4, "fused": 2}


@pytest.mark.parametrize("switch", ["fuse", "explain"])
def test_messages_on_request(data, switch):
    conv = make()
    expected = conv(*data)
    calls = count_paths(conv)
    if switch == "fuse":
        conv.fuse = False
    else:
        conv.explain = True
        conv._edge_mask, conv._apply_sigmoid = torch.ones(30), False
    torch.testing.assert_close(conv(*data), expected, rtol=1e-13, atol=1e-13)
    assert calls["message"] >= 1
    assert calls["fused"] == 0
    if switch == "explain":
        conv._edge_mask = torch.zeros(30)
        torch.testing.assert_close(conv(*data), conv.mlp(data[0]))  # every message masked
        conv.explain = False
    conv.fuse = True
    torch.testing.assert_close(conv(*data), expected, rtol=0, atol=0)
    assert calls["fused"] == 1


def test_propagate_hooks(data):
    x, edge_index = data
    conv = make()
    seen = []

    def halve(module, inputs):
        given, size, kwargs = inputs
        seen.append((given, size))
        return given, size, {**kwargs, "x": tuple(0.5 * v for v in kwargs["x"])}

    handle = conv.register_propagate_forward_pre_hook(halve)
    out = conv(x, edge_index)
    handle.remove()
    ((given, size),) = seen
    assert torch.equal(given, edge_index)
    assert size == (9, 9)
    aggregate = conv.propagate(edge_index, size=(9, 9), x=(0.5 * x, 0.5 * x), edge_attr=None)
    torch.testing.assert_close(out, conv.mlp(x + aggregate))

    other = edge_index.flip(0)
    handle = conv.register_propagate_forward_pre_hook(lambda module, inputs: (other, *inputs[1:]))
    out = conv(x, edge_index)
    handle.remove()
    torch.testing.assert_close(out, conv(x, other))

    handle = conv.register_propagate_forward_hook(lambda module, inputs, out: 0 * out)
    torch.testing.assert_close(conv(x, edge_index), conv.mlp(x))
    handle.remove()


def test_message_and_aggregate_hooks(data):
    x, edge_index = data
    conv = make()
    seen = []
    empty = Graph.from_edge_index(edge_index[:, :0], 9)
    first = conv.register_message_and_aggregate_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    conv(x, edge_index)
    first.remove()
    ((graph, inputs),) = seen
    assert isinstance(graph, Graph)
    assert set(inputs) == {"x", "edge_attr"}
    second = conv.register_message_and_aggregate_forward_pre_hook(lambda module, inputs: (empty, inputs[1]))
    torch.testing.assert_close(conv(x, edge_index), conv.mlp(x))
    second.remove()
    third = conv.register_message_and_aggregate_forward_hook(lambda module, inputs, out: out + 1)
    torch.testing.assert_close(
        conv(x, edge_index), conv.mlp(x + conv.propagate(edge_index, (9, 9), x=(x, x), edge_attr=None))
    )
    third.remove()


def test_subclasses(data):
    x, _ = data
    base, doubled, both, silent = (make(cls) for cls in (GENConv, DoubledMessages, DoubledBoth, NoPropagation))
    assert (base.fuse, doubled.fuse, both.fuse) == (True, False, True)
    assert not torch.allclose(base(*data), doubled(*data))
    torch.testing.assert_close(doubled(*data), both(*data))
    torch.testing.assert_close(silent(*data), silent.mlp(x))
    torch.testing.assert_close(make()(*data), base(*data), rtol=0, atol=0)  # PyG has not replaced ours meanwhile


def test_without_a_fused_operator(data):
    x, edge_index = data
    plain = Plain("mean")
    assert not plain.fuse
    degree = torch.bincount(edge_index[1], minlength=9).clamp(min=1)
    expected = torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]]) / degree[:, None]
    torch.testing.assert_close(plain(x, edge_index), expected)


def test_feature_decomposition(data):
    for layer in (Plain("mean"), make()):
        expected = layer(*data)
        layer.decomposed_layers = 2
        torch.testing.assert_close(layer(*data), expected)


def test_an_aggregation_that_cannot_be_fused(data):
    conv = make(aggr="median")
    assert not conv.fuse
    assert conv(*data).shape == (9, 6)
    assert make(aggr=["softmax", "median"]).fuse is False


def test_instance_of_pygs_own_base_changes_nothing(data):
    MessagePassing()  # PyG now sets a compiled propagate on its base class
    conv = make()
    expected = conv(*data)
    conv.fuse = False
    torch.testing.assert_close(conv(*data), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda conv: pickle.loads(pickle.dumps(conv))])
def test_copies(data, duplicate):
    conv = make(aggr="softmax", learn_t=True)
    expected = conv(*data)
    again = duplicate(conv)
    assert again._runs_fused()
    torch.testing.assert_close(again(*data), expected, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_sizes(data):
    x, edge_index = data
    conv = make()
    few = edge_index % 5
    sources = edge_index.clone()
    sources[1] = few[1]
    assert conv.graph_of((x, x[:5]), sources).size == (9, 5)
    assert conv.graph_of((x, None), sources).size == (9, 9)
    assert conv.graph_of((x, None), sources, size=(9, 5)).size == (9, 5)
    assert conv.graph_of((x, None), EdgeIndex(sources, sparse_size=(9, 5))).size == (9, 5)
    graph = Graph.from_edge_index(sources, (9, 5))
    assert conv.graph_of((x, None), graph) is graph
    adj_t = torch.sparse_coo_tensor(sources.flip(0), torch.ones(30), (5, 9))
    assert conv.graph_of((x, None), adj_t).size == (5, 9)[::-1]
    assert conv.graph_of(x, edge_index) is conv.graph_of(x, edge_index), "converted once"


def test_errors(data):
    x, edge_index = data
    conv = make()
    with pytest.raises(ValueError, match="'size' is"):
        conv(x, edge_index, size=(4, 9))
    with pytest.raises(ValueError, match="sizes disagree"):
        conv(x, Graph.from_edge_index(edge_index, 20))
    with pytest.raises(ValueError, match=r"\[0, 9\)"):
        conv(x, edge_index + 5)
    with pytest.raises(ValueError, match="integers"):
        conv(x, edge_index.float())
    with pytest.raises(ValueError, match="'flow'"):
        make(flow="target_to_source")


def test_an_edit_of_the_edges_is_noticed(data):
    x, edge_index = data
    conv = make()
    before = conv(x, edge_index)
    edge_index[0] = (edge_index[0] + 1) % 8
    after = conv(x, edge_index)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, conv(x, edge_index.clone()))
