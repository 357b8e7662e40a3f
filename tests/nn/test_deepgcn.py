from __future__ import annotations

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch_geometric.nn import DeepGCNLayer as PyGDeepGCNLayer

from graphkit.nn import DeepGCNLayer, GENConv

BLOCKS = ["res+", "res", "dense", "plain"]


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(9, 6, generator=generator), torch.randint(0, 8, (2, 30), generator=generator)


def make(block="res+", norm="batch", **kwargs):
    torch.manual_seed(0)
    return DeepGCNLayer(GENConv(6, 6, norm=norm, learn_t=True), nn.BatchNorm1d(6), nn.ReLU(), block, **kwargs)


@pytest.mark.parametrize("block", BLOCKS)
def test_equals_pyg(data, block):
    ours = make(block, dropout=0.3)
    theirs = PyGDeepGCNLayer(*copy.deepcopy((ours.conv, ours.norm, ours.act)), block, dropout=0.3)
    results = []
    for layer in (ours, theirs):
        torch.manual_seed(1)
        out = layer(*data)
        results.append((out, *torch.autograd.grad(out.square().sum(), list(layer.parameters()))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert str(ours) == str(theirs)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("needs_grad", [False, True])
def test_checkpointed_is_plain_bit_for_bit(data, block, needs_grad):
    """Also the running statistics and, after two steps, what evaluation gives."""
    x, edge_index = data
    results = []
    for ckpt_grad in (False, True):
        layer = make(block, dropout=0.3, ckpt_grad=ckpt_grad)
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        leaf = x.clone().requires_grad_(needs_grad)
        for _ in range(2):
            optimizer.zero_grad()
            layer(leaf, edge_index).square().mean().backward()
            optimizer.step()
        assert layer.conv.mlp[1].num_batches_tracked.item() == 2
        results.append(
            [*layer.state_dict().values(), layer.eval()(x, edge_index)] + ([leaf.grad] if needs_grad else [])
        )
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_checkpointing_saves_activations(data):
    kept = []
    for ckpt_grad in (False, True):
        layer = make(ckpt_grad=ckpt_grad, norm="layer")
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            layer(*data)
        kept.append(sum(sizes))
    assert kept[1] < 0.6 * kept[0]


def test_no_checkpoint_without_gradients(data):
    layer = make(ckpt_grad=True).eval()
    with torch.no_grad():
        out = layer(*data)
    assert not out.requires_grad
    torch.testing.assert_close(out, layer(*data))


@pytest.mark.parametrize("block", BLOCKS)
def test_parts_may_be_missing(data, block):
    x, edge_index = data
    layer = DeepGCNLayer(None, None, None, block)
    layer.reset_parameters()
    expected = {"res+": 2 * x, "res": 2 * x, "dense": torch.cat([x, x], -1), "plain": x}[block]
    assert torch.equal(layer(x, edge_index), expected)
    only_conv = DeepGCNLayer(GENConv(6, 6), block=block)
    weight = only_conv.conv.mlp[0].weight.clone()
    only_conv.reset_parameters()
    assert not torch.equal(only_conv.conv.mlp[0].weight, weight)


def test_unknown_block():
    with pytest.raises(ValueError, match="'block' must be one of"):
        DeepGCNLayer(block="res++")


@pytest.mark.filterwarnings("ignore:.*barrier.*:UserWarning")
def test_checkpointed_stack_under_ddp(data, tmp_path):
    """PyG's re-entrant checkpoints mark parameters ready twice here when a layer is used twice."""
    x, edge_index = data
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        layers = nn.ModuleList(make(ckpt_grad=True, norm="layer") for _ in range(2))

        class Stack(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = layers

            def forward(self, x, edge_index):
                for layer in (*self.layers, self.layers[0]):
                    x = layer(x, edge_index)
                return x

        plain = copy.deepcopy(Stack())
        for layer in plain.layers:
            layer.ckpt_grad = False
        plain(x, edge_index).sum().backward()
        model = nn.parallel.DistributedDataParallel(Stack(), static_graph=False)
        model(x, edge_index).sum().backward()
    finally:
        dist.destroy_process_group()
    for a, b in zip(layers.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
