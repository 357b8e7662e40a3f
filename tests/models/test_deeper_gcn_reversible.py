"""RevGNN, ``DeeperGCN(reversible=True)``: sizes, the plain gradients, the shared mask, and memory on the real Cora."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from graphkit.models import DeeperGCN

PROTEINS = {"aggr": "max", "norm": "layer", "mlp_layers": 2, "edge_dim": 8, "edge_encoder": "both", "reversible": True}


def protein_encoder(channels):
    encoder = nn.Module()
    encoder.one_hot, encoder.features = nn.Linear(8, 8), nn.Linear(16, channels)
    return encoder


@pytest.mark.parametrize(
    ("layers", "width", "expected"), [(1001, 80, 20_031_384), (448, 224, 68_471_608)], ids=["Deep", "Wide"]
)
def test_published_parameter_counts(layers, width, expected):
    with torch.device("meta"):
        model = DeeperGCN(protein_encoder, width, layers, 112, **PROTEINS)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 5, dtype=torch.float64, generator=generator)
    return x, torch.randint(0, 11, (2, 40), generator=generator), torch.randn(40, 3, generator=generator).double()


@pytest.mark.parametrize("edge_encoder", ["shared", "layer", "both"])
@pytest.mark.parametrize("task", ["node", "graph"])
def test_gradients_are_the_plain_ones(data, edge_encoder, task):
    torch.manual_seed(0)
    model = DeeperGCN(
        5, 12, 6, 4, task=task, reversible=True, num_groups=3, edge_dim=3, edge_encoder=edge_encoder, dropout=0.2
    ).double()
    plain = copy.deepcopy(model)
    for conv in plain.convs:
        conv.disable = True
    results = []
    for each in (model, plain):
        torch.manual_seed(1)
        x = data[0].clone().requires_grad_()
        out = each(x, *data[1:])
        out.square().sum().backward()
        results.append([out, x.grad, *(p.grad for p in each.parameters()), *each.buffers(), each.eval()(x, *data[1:])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_one_mask_for_all_layers_in_training_only(data):
    model = DeeperGCN(5, 8, 5, 2, reversible=True, dropout=0.5, norm="layer").double()
    masks = []
    for conv in model.convs:
        conv.register_forward_pre_hook(lambda module, inputs: masks.append(inputs[2]))
    model(data[0], data[1])
    assert all(mask is masks[0] for mask in masks)
    assert set(masks[0].unique().tolist()) == {0.0, 2.0}
    masks.clear()
    model.eval()
    torch.testing.assert_close(model(data[0], data[1]), model(data[0], data[1]), rtol=0, atol=0)
    assert masks == [None] * 10


CORA = """
import json, resource, sys, torch
from graphkit.datasets import load
from graphkit.models import DeeperGCN
torch.set_num_threads(1)  # two would wait for each other where other tests run beside them
layers, reversible = int(sys.argv[1]), sys.argv[2] == "True"
torch.manual_seed(0)
data = load("cora")[0]
model = DeeperGCN(1433, 128, layers, 7, aggr="max", norm="layer", mlp_layers=2, dropout=0.1, reversible=reversible)
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
losses = []
for _ in range(int(sys.argv[3])):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    losses.append(loss.item())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"losses": losses, "peak_gb": peak / 2**20, "grown_gb": (peak - before) / 2**20}))
"""


def on_cora(real_data, layers, reversible, steps):
    # From this size on, glibc gives blocks back to the system when they are freed: the peak is what was in use.
    environment = {**os.environ, "GRAPHKIT_DATA": str(real_data), "MALLOC_MMAP_THRESHOLD_": "262144"}
    command = [sys.executable, "-c", CORA, str(layers), str(reversible), str(steps)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_112_layers_train_on_cora_within_4_gb(real_data):
    deep = on_cora(real_data, 112, True, 4)
    assert deep["peak_gb"] < 4.0
    assert deep["losses"][-1] < deep["losses"][0]
    shallow = on_cora(real_data, 28, True, 1)
    # Parameters, gradients and Adam's moments grow with depth, activations (2 MB per layer and tensor) do not.
    parameters_gb = 84 * 2 * (64 * 128 * 2 + 64 * 8) * 4 * 4 / 2**30
    assert deep["grown_gb"] - shallow["grown_gb"] < 1.5 * parameters_gb
