from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from graphkit.models import FrameAveragedGNN
from graphkit.symmetry import Euclidean, EuclideanFrame
from tests.golden.frame_averaging_arrays import arrays


def golden_model() -> tuple[FrameAveragedGNN, dict[str, Tensor]]:
    found = arrays("nbody_fa_gnn")
    model = FrameAveragedGNN(12).double()
    model.load_state_dict({ours(key[2:]): value for key, value in found.items() if key.startswith("w_")})
    return model, found


def ours(name: str) -> str:
    name = name.replace("__", ".").replace("embedding.0", "embedding")
    return f"layers.{name[4:]}" if name.startswith("gcl_") else name


def inputs(found: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        "pos": found["loc"].clone().requires_grad_(),
        "vel": found["vel"].clone().requires_grad_(),
        "edge_index": torch.stack([found["edge_col"], found["edge_row"]]),  # published: summed at the row
        "edge_attr": found["edge_attr"][:, :1],
        "batch": torch.arange(2).repeat_interleave(5),
    }


def test_published_output_loss_and_gradients() -> None:
    model, found = golden_model()
    values = inputs(found)
    out = model(**values)
    torch.testing.assert_close(out, found["out"], rtol=0, atol=1e-12)
    loss = F.mse_loss(out, found["target"])
    torch.testing.assert_close(loss, found["loss"])
    loss.backward()
    grad = torch.cat([values["pos"].grad, values["vel"].grad], 1)
    torch.testing.assert_close(grad, found["grad_nodes"], rtol=0, atol=1e-12)
    gradients = {ours(key[2:]): value for key, value in found.items() if key.startswith("g_")}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[name], rtol=0, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_published_latent_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    model, found = golden_model()
    seen: list[Tensor] = []
    original = EuclideanFrame.restore

    def watched(self: EuclideanFrame, values: Tensor, kind: str) -> Tensor:
        seen.append(original(self, values, kind))
        return seen[-1]

    monkeypatch.setattr(EuclideanFrame, "restore", watched)
    model(**inputs(found))
    latent = torch.stack(seen[:-1]).reshape(found["latent"].shape)
    torch.testing.assert_close(latent, found["latent"], rtol=0, atol=1e-12)


def test_published_size() -> None:
    assert sum(p.numel() for p in FrameAveragedGNN().parameters()) == 92_103


@pytest.mark.parametrize("group", ["E(3)", "SE(3)", "E(2)"])
def test_equivariant_with_systems_of_any_size(group: str) -> None:
    torch.manual_seed(0)
    dim = Euclidean.named(group).dim
    model = FrameAveragedGNN(6 * dim // 2, 3, group=group).double()
    sizes = [4, 7]
    pos, vel = torch.randn(2, 11, dim, dtype=torch.float64)
    parts = [(1 - torch.eye(n)).nonzero().T for n in sizes]
    edge_index = torch.cat([parts[0], parts[1] + 4], 1)
    edge_attr = torch.randn(edge_index.size(1), 1, dtype=torch.float64)
    batch = torch.arange(2).repeat_interleave(torch.tensor(sizes))
    out = model(pos, vel, edge_index, edge_attr, batch)
    element = Euclidean.named(group).sample(torch.Generator().manual_seed(3))
    kinds = {"pos": "position", "vel": "vector", "out": "position"}
    moved = Euclidean.named(group).act({"pos": pos, "vel": vel, "out": out}, element, kinds)
    torch.testing.assert_close(model(moved["pos"], moved["vel"], edge_index, edge_attr, batch), moved["out"])
    alone = model(pos[:4], vel[:4], parts[0], edge_attr[:12])
    torch.testing.assert_close(alone, out[:4])


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"'hidden_channels' must be a multiple of 3.*got 10"):
        FrameAveragedGNN(10)
    with pytest.raises(ValueError, match="'group' must be E"):
        FrameAveragedGNN(group="O(3)")
    with pytest.raises(ValueError, match="'num_layers' must be at least 1"):
        FrameAveragedGNN(num_layers=0)
