"""GroupAddRev: PyG's values, the plain gradients, untouched inputs, and memory that does not grow with depth."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.nn import GENConv as PyGGENConv
from torch_geometric.nn import GroupAddRev as PyGGroupAddRev

from graphkit import Graph
from graphkit.models import DeeperGCN
from graphkit.nn import GENConv, GroupAddRev
from tests.golden.deepergcn_golden import Golden, assert_close, conv_key


class Block(nn.Module):
    """Norm, ReLU, a given mask, a convolution that drops entries itself."""

    def __init__(self, channels, norm="layer", dropout=0.0, edge_dim=None, aggr="softmax"):
        super().__init__()
        self.norm = nn.BatchNorm1d(channels) if norm == "batch" else nn.LayerNorm(channels)
        self.dropout = dropout
        self.conv = GENConv(
            channels, channels, aggr, learn_t=aggr == "softmax", norm="layer", bias=True, edge_dim=edge_dim,
            edge_encoder=edge_dim is not None, project=False,
        )  # fmt: skip

    def reset_parameters(self):
        self.norm.reset_parameters()
        self.conv.reset_parameters()

    def forward(self, x, edge_index, mask=None, edge_attr=None):
        x = self.norm(x).relu()
        x = x if mask is None else x * mask
        return self.conv(F.dropout(x, self.dropout, self.training), edge_index, edge_attr)


class Stack(nn.Module):
    """Layers that take each other's outputs."""

    def __init__(self, depth=3, groups=2, width=4, disable=False, **options):
        super().__init__()
        layers = (GroupAddRev(Block(width, **options), num_groups=groups, disable=disable) for _ in range(depth))
        self.layers = nn.ModuleList(layers)

    def forward(self, x, *args, **kwargs):
        for layer in self.layers:
            x = layer(x, *args, **kwargs)
        return x

    def plain(self):
        """The same layers, keeping their activations."""
        other = copy.deepcopy(self)
        for layer in other.layers:
            layer.disable = True
        return other


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 8, dtype=torch.float64, generator=generator)
    edge_index = torch.randint(0, 11, (2, 40), generator=generator)
    return x, edge_index, torch.randn(40, 3, dtype=torch.float64, generator=generator)


def gradients(module, x, *args, **kwargs):
    """Output and the gradients to x and all parameters."""
    x = x.clone().requires_grad_()
    out = module(x, *args, **kwargs)
    return [out, *torch.autograd.grad(out.cos().sum(), [x, *module.parameters()], allow_unused=True)]


def assert_same(got, expected, tolerance=1e-10):
    for a, b in zip(got, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_published_layer():
    golden = Golden("rev_group_additive")
    groups = []
    for group in range(2):
        block = Block(4, edge_dim=8, aggr="max")
        state = {}
        for key, value in golden.section(f"param.Fms.{group}.").items():
            part, _, name = key.partition(".")
            state[key if part == "norm" else f"conv.{conv_key(name)}"] = value
        block.double().load_state_dict(state, strict=True)
        groups.append(block)
    layer = GroupAddRev(nn.ModuleList(groups))
    x = golden["x"].clone().requires_grad_()
    # The published layer splits the edge embedding, repeated for each group; ours passes it whole.
    edge_attr = golden["edge_emb_cat"][:, :8].clone().requires_grad_()
    out = layer(x, golden["edge_index"], golden["mask"], edge_attr=edge_attr)
    assert_close(out, golden["out"], "out")
    (out * golden["R"]).sum().backward()
    assert_close(x.grad, golden["grad.x"], "x")
    first, second = golden["grad.edge_emb_cat"].chunk(2, -1)
    assert_close(edge_attr.grad, first + second, "edge_attr")
    for group in range(2):
        parameters = dict(groups[group].named_parameters())
        for key, value in golden.section(f"grad.Fms.{group}.").items():
            part, _, name = key.partition(".")
            assert_close(parameters[key if part == "norm" else f"conv.{conv_key(name)}"].grad, value, key)
    with torch.no_grad():
        back = layer.inverse(out, golden["edge_index"], golden["mask"], edge_attr=edge_attr)
    assert_close(back, golden["x"], "inverse")


@pytest.mark.parametrize("groups", [2, 4])
def test_equals_pyg(data, groups):
    """Values and gradients; PyG's layer consumes its input, so it gets one of its own."""
    x, edge_index, _ = data
    width = 8 // groups
    ours = GroupAddRev(GENConv(width, width, norm="layer"), num_groups=groups).double()
    theirs = PyGGroupAddRev(PyGGENConv(width, width, norm="layer"), num_groups=groups, disable=True).double()
    theirs.load_state_dict(ours.state_dict())
    assert_same(gradients(ours, x, edge_index), gradients(theirs, x, edge_index))


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("topology", ["edge_index", "graph"])
def test_gradients_are_the_plain_ones(data, groups, norm, topology):
    """With dropout inside and outside, edge features that need gradients, and running statistics."""
    x, edge_index, edge_attr = data
    stack = Stack(4, groups, 8 // groups, norm=norm, dropout=0.3, edge_dim=3).double()
    plain = stack.plain()
    mask = F.dropout(torch.ones_like(x), 0.2)
    edges = Graph.from_edge_index(edge_index, 12) if topology == "graph" else edge_index
    results = []
    for module in (stack, plain):
        torch.manual_seed(3)
        leaf = edge_attr.clone().requires_grad_()
        out = gradients(module, x, edges, mask, edge_attr=leaf)
        loss = module(x, edges, mask, edge_attr=leaf).square().sum()
        results.append([*out, *torch.autograd.grad(loss, leaf), *module.buffers()])
    assert_same(*results)
    if norm == "batch":
        assert all(int(b) == 2 for name, b in stack.named_buffers() if name.endswith("num_batches_tracked"))


def test_input_is_left_alone(data):
    """Where PyG's layer frees the storage of its input, forward and without gradients."""
    x, edge_index, _ = data
    stack = Stack().double()
    leaf = x.clone().requires_grad_()
    hidden = leaf * 1.0
    out = stack(hidden, edge_index)
    middle = stack.layers[0](hidden, edge_index)
    assert torch.equal(hidden, x)
    (out.sum() + hidden.sum() + middle.sum()).backward()
    assert torch.equal(hidden, x)
    assert torch.equal(leaf, x)
    with torch.no_grad():
        stack.eval()(x, edge_index)
        assert x.untyped_storage().nbytes() == x.numel() * 8
        assert_same([stack(x, edge_index)], [stack.plain()(x, edge_index)])


def test_inverse(data):
    x, edge_index, edge_attr = data
    layer = GroupAddRev(Block(2, edge_dim=3), num_groups=4).double()
    with torch.no_grad():
        y = layer(x, edge_index, edge_attr=edge_attr)
        torch.testing.assert_close(layer.inverse(y, edge_index, edge_attr=edge_attr), x)


def test_gradcheck_and_second_derivatives(data):
    x, edge_index, _ = data
    stack = Stack(2).double()
    plain = stack.plain()
    small = x[:4].clone().requires_grad_()
    edges = edge_index[:, (edge_index < 4).all(0)]
    assert torch.autograd.gradcheck(lambda h: stack(h, edges), small)
    second = []
    for module in (stack, plain):
        (grad,) = torch.autograd.grad(module(small, edges).cos().sum(), small, create_graph=True)
        second += torch.autograd.grad(grad.square().sum(), small)
    assert_same(second[:1], second[1:])


def test_graphs_with_branches_and_several_backward_passes(data):
    """Every output is used besides by the next layer; the graph is kept and walked twice."""
    x, edge_index, _ = data
    stack = Stack(3).double()
    results = []
    for module in (stack, stack.plain()):
        leaf = x.clone().requires_grad_()
        first = module.layers[0](leaf, edge_index)
        second = module.layers[1](first, edge_index)
        third = module.layers[2](first, edge_index)
        for loss in (first.cos().sum(), second.square().sum() + third.sin().sum(), third.sum(), second.sum()):
            results.append(torch.autograd.grad(loss, leaf, retain_graph=True)[0])
    assert_same(results[:4], results[4:])


def test_only_reached_parameters_get_gradients(data):
    """Frozen parameters and an input without gradients."""
    x, edge_index, _ = data
    stack = Stack().double()
    stack.layers[1].requires_grad_(False)
    plain = stack.plain()
    for module in (stack, plain):
        module(x, edge_index).square().sum().backward()
    assert_same([p.grad for p in stack.parameters()], [p.grad for p in plain.parameters()])
    stack.requires_grad_(False)
    assert not stack(x, edge_index).requires_grad


def test_autocast_is_repeated(data):
    """The backward pass runs outside the block, and its convolutions in bfloat16 all the same."""
    x, edge_index, _ = data
    stack = Stack(2)
    plain = stack.plain()
    results = []
    for module in (stack, plain):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = module(x.bfloat16(), edge_index)
        assert out.dtype == torch.float32
        out.square().mean().backward()
        results.append([p.grad for p in module.parameters()])
    # Rounding may fall otherwise for reconstructed inputs.
    assert_same(*results, tolerance=0.05)


def test_mode_of_the_forward_pass_counts(data):
    """Switching to evaluation between forward and backward changes no gradient."""
    x, edge_index, _ = data
    stack = Stack(dropout=0.5, norm="batch").double()
    results = []
    for module in (stack, stack.plain()):
        torch.manual_seed(1)
        loss = module(x, edge_index).square().sum()
        module.eval()
        results.append(torch.autograd.grad(loss, list(module.parameters())))
        assert not any(part.training for part in module.modules())
    assert_same(*results)


def test_changes_in_place_are_noticed(data):
    x, edge_index, _ = data
    layer = GroupAddRev(GENConv(4, 4), num_groups=2).double()
    out = layer(x, edge_index)
    with torch.no_grad():
        next(layer.parameters()).add_(1.0)
    with pytest.raises(RuntimeError, match="was changed in place between the forward and the backward"):
        out.sum().backward()
    out = layer(x, edge_index)
    out.add_(1.0)
    with pytest.raises(RuntimeError, match="the output of a reversible layer was changed in place"):
        out.sum().backward()


def test_a_convolution_must_do_the_same_each_time(data):
    class Fickle(nn.Linear):
        def forward(self, x, edge_index):
            self.calls = getattr(self, "calls", 0) + 1
            return super().forward(x).sin() if self.calls == 1 else super().forward(x)

    layer = GroupAddRev(Fickle(4, 4), num_groups=2).double()
    with pytest.raises(RuntimeError, match="must do the same each time"):
        layer(data[0], data[1]).sum().backward()


def live_tensors():
    gc.collect()
    return [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]


def kept_numbers(module, x, *args):
    """Numbers alive after a forward pass that were not before: python's tensors and those that autograd holds."""
    held: list[int] = []

    before = live_tensors()  # also what other tests left: held, so that no new tensor gets an old one's id
    known = {id(tensor) for tensor in before}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t.numel()) or t, lambda t: t):
        out = module(x, *args)
    new = [tensor for tensor in live_tensors() if id(tensor) not in known]
    assert out.requires_grad
    return sum(held) + sum({t.untyped_storage().data_ptr(): t.numel() for t in new}.values())


def test_memory_does_not_grow_with_depth(data):
    x, edge_index, _ = data
    graph = Graph.from_edge_index(edge_index, 12)
    Stack(1).double()(x, graph)  # sorts the graph
    kept = {
        (disable, depth): kept_numbers(Stack(depth, disable=disable).double(), x, graph)
        for disable in (False, True)
        for depth in (4, 16)
    }
    assert kept[False, 16] <= kept[False, 4] <= 2 * x.numel()
    assert kept[True, 16] > 3.5 * kept[True, 4] > 10 * x.numel()


def test_nothing_is_left_behind(data):
    """No cycle keeps a graph alive: without the garbage collector, all layers' memory goes with the output."""
    x, edge_index, _ = data
    stack = Stack(4).double()
    graph = Graph.from_edge_index(edge_index, 12)
    stack(x, graph).sum().backward()
    gc.collect()
    gc.disable()
    try:
        number = len(live_tensors())
        loss = stack(x, graph).sum()
        loss.backward()
        del loss
        assert len(live_tensors()) == number
    finally:
        gc.enable()


def test_errors(data):
    with pytest.raises(ValueError, match="'num_groups' must be at least 2"):
        GroupAddRev(GENConv(4, 4))
    with pytest.raises(ValueError, match="'conv' must hold at least 2"):
        GroupAddRev(nn.ModuleList([GENConv(4, 4)]))
    with pytest.raises(ValueError, match="3 groups divide"):
        GroupAddRev(GENConv(4, 4), num_groups=3)(data[0].float(), data[1])
    with pytest.raises(ValueError, match="'reversible' needs block='res\\+'"):
        DeeperGCN(4, 8, 2, 1, reversible=True, virtual_node=True)
    with pytest.raises(ValueError, match="divide 9"):
        DeeperGCN(4, 9, 2, 1, reversible=True)
