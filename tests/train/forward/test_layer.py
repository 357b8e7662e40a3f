"""A layer that knows its input channels, and one that learns them when its turn comes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.parameter import is_lazy
from torch_geometric.nn import GCNConv

from graphkit.recipes.forward.memory import peak_bytes
from graphkit.train.forward import RULES, ForwardTrainer
from graphkit.train.forward.layer import ForwardLayer
from tests.train.forward.cases import CONVS, convs, data_for, graph, trainer
from tests.train.forward.test_loop import KilledError, kill_at

GREEDY = [rule for rule in RULES if "top" not in rule]
KINDS = [kind for kind in CONVS if kind != "deeper-gcn"]  # its later layers know their width from the norm


@pytest.mark.parametrize("kind", [*KINDS, "gen"])
def test_a_lazy_layer_gets_weights_of_its_own_seed(kind: str) -> None:
    make = CONVS["deeper-gcn" if kind == "gen" else kind]
    layers = []
    for before in (0, 3):
        torch.manual_seed(7)
        layer = ForwardLayer(make(-1, 8).double(), "convs[1]", seed=5)
        assert layer.lazy
        assert layer.in_channels is None
        torch.rand(before)
        state = torch.random.get_rng_state()
        layer.match_channels([2, 4])
        assert torch.random.get_rng_state().equal(state)
        assert layer.training
        assert not layer.lazy
        assert layer.in_channels == 6
        layers.append(layer)
    for mine, other in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        assert mine.dtype == torch.float64
        assert mine.equal(other)
    with pytest.raises(ValueError, match=r"convs\[1\]: got a .* of 6 input channels, expected 7 \(3 \+ 4\)"):
        layers[0].match_channels([3, 4])


def test_no_two_lazy_layers_start_alike() -> None:
    weights = []
    for seed in (0, 1):
        t = trainer("sf", lazy=True, epochs=1, lr=1e-12, weight_decay=0.0, seed=seed)
        t.fit(graph())
        weights += [t.state_dict()[f"layers.{number}.conv.lin.weight"] for number in (1, 2)]
    for i, mine in enumerate(weights):
        assert all((mine - other).abs().max() > 0.1 for other in weights[:i])


@pytest.mark.parametrize("rule", GREEDY)
def test_lazy_layers_train_as_layers_with_the_same_first_weights(rule: str) -> None:
    data, lazy = data_for(rule), trainer(rule, lazy=True)
    result = lazy.fit(data)
    first = trainer(rule, lazy=True)
    for number, layer in enumerate(first.network.layers):
        if number:
            layer.match_channels([8])  # type: ignore[operator]
    eager = trainer(rule)
    eager.load_state_dict({k: v for k, v in first.state_dict().items() if k.startswith("layers")})
    assert [r.loss for r in eager.fit(data).history] == [r.loss for r in result.history]
    assert all(value.equal(eager.state_dict()[key]) for key, value in lazy.state_dict().items())


@pytest.mark.parametrize("kind", ["gcn", "gat", "sage"])
def test_killed_before_a_layer_has_weights_and_resumed(kind: str, tmp_path: Path) -> None:
    whole = trainer("sf", kind, lazy=True)
    result = whole.fit(graph())
    for epoch in (4, 6, 9):  # in the first layer, at its end, in the second
        folder = tmp_path / str(epoch)
        dead = trainer("sf", kind, lazy=True, checkpoint_dir=folder, checkpoint_every=2, callbacks=[kill_at(epoch)])
        with pytest.raises(KilledError):
            dead.fit(graph())
        assert any(is_lazy(value) for value in dead.state_dict().values())
        again = trainer("sf", kind, lazy=True, checkpoint_dir=folder)
        torch.manual_seed(99)
        assert [r.loss for r in again.fit(graph(), resume=True).history] == [r.loss for r in result.history]
        assert all(value.equal(again.state_dict()[key]) for key, value in whole.state_dict().items())


def test_a_lazy_network_takes_in_a_saved_one(tmp_path: Path) -> None:
    data, t = graph(), trainer("sf", "gat", lazy=True)
    t.fit(data)
    torch.save(t.state_dict(), tmp_path / "network.pt")
    other = trainer("sf", "gat", lazy=True)
    other.load_state_dict(torch.load(tmp_path / "network.pt", weights_only=True))
    assert other.predict_scores(data).equal(t.predict_scores(data))


def test_the_peak_of_lazy_layers_does_not_grow_with_their_number() -> None:
    data = graph(features=600)

    def peak(layers: int, lazy: bool) -> int:
        def run() -> None:
            made = [GCNConv(600, 64)] + [GCNConv(-1 if lazy else 64, 64) for _ in range(layers - 1)]
            ForwardTrainer("sf", [conv.double() for conv in made], 3, epochs=2, progress=False, device="cpu").fit(data)

        return peak_bytes(run)

    assert peak(10, lazy=True) < 1.1 * peak(2, lazy=True)
    assert peak(10, lazy=False) - peak(2, lazy=False) > 7 * 64 * 64 * 8  # what the other layers weigh


def test_channels_that_only_part_of_a_layer_knows() -> None:
    assert [conv.in_channels for conv in convs("sf", lazy=True)] == [6, -1, -1]  # type: ignore[union-attr]
