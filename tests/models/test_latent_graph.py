"""LatentGraphNetwork: three training steps of the published network, entry by entry, and its options."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from graphkit.models import LatentGraphNetwork
from graphkit.nn import GraphReward, NeuralSnowflake
from graphkit.nn.latent import Euclidean, PoincareBall
from tests.golden.snowflake_golden import golden, our_name, section

NETWORKS: dict[str, dict[str, Any]] = {
    "gcn_gcn_1dgm_keops": {"encoder": "gcn", "conv": "gcn", "latent_channels": ((3,),)},
    "mlp_edgeconv_2dgm_keops": {"encoder": "mlp", "conv": "edge", "latent_channels": ((5, 3), (5, 3))},
    "gat_gat_1dgm_hyper_keops": {
        "encoder": "gat",
        "conv": "gat",
        "latent_channels": ((3,),),
        "metric": PoincareBall(legacy=True),
    },
}


@pytest.mark.parametrize("name", NETWORKS)
def test_golden_training(name: str) -> None:
    z = golden(f"dgm_model_{name}")
    x, labels, mask = z["X"][0], z["y"][0].argmax(1), z["mask"][0].bool()
    nodes = mask.nonzero().view(-1)
    options = {"metric": Euclidean(), **NETWORKS[name]}
    model = LatentGraphNetwork(
        5, (6, 4), 3, k=3, pre_channels=6, head_channels=(4,), loop=True, compat="official", reward=GraphReward(14),
        **options,
    ).double()  # fmt: skip
    missing = model.load_state_dict(
        {our_name(key): value for key, value in section(z, "param0/").items()}, strict=False
    )
    assert all("noise_scale" in key or "baseline" in key for key in missing.missing_keys)
    assert not missing.unexpected_keys
    assert model.reward is not None
    model.reward.float()  # the published baseline is rounded to float32, also where all else is float64
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    tolerance = 1e-10
    for step in range(3):
        wanted = section(z, f"step{step}/")
        optimizer.zero_grad()
        run = model.run(x, z["edge_index"].long(), noise=list(z["gumbel"][step, :, 0]))
        for number, latent in enumerate(run.latents):
            assert torch.equal(latent.graph.edge_index, wanted[f"edges{number}"].long())
            ours, theirs = latent.embedding, wanted[f"embed{number}"][0]
            if isinstance(options["metric"], Euclidean):  # all points together may move, see below
                ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
            expected = wanted["logprobs"][0, :, :, number]
            torch.testing.assert_close(latent.log_prob.view(14, 3), expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(run.logits, wanted["pred"][0], rtol=tolerance, atol=tolerance)
        loss = F.binary_cross_entropy_with_logits(run.logits[mask], z["y"][0][mask].double())
        correct = (run.logits[mask].argmax(1) == labels[mask]).float()
        graph_loss = model.reward(correct, run.latents, nodes)
        torch.testing.assert_close(loss, wanted["loss"], rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(graph_loss, wanted["graph_loss"].double(), rtol=tolerance, atol=tolerance)
        assert torch.equal(model.reward.baseline[nodes], wanted["avg_accuracy"][0].float())
        (loss + graph_loss).backward()
        gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
        for key, value in section(wanted, "grad/").items():
            torch.testing.assert_close(gradients[our_name(key)], value, rtol=tolerance, atol=tolerance)
        optimizer.step()
    state = model.state_dict()
    for key, value in section(z, "param_final/").items():
        # What the loss does not depend on, such as a shift of all points, has gradients of rounding alone; Adam divides
        # them by themselves and 1e-8.
        idle = max(float(z[f"step{step}/grad/{key}"].abs().max()) for step in range(3)) < 1e-14
        tolerance = 1e-8 if idle else 1e-10
        torch.testing.assert_close(state[our_name(key)], value, rtol=tolerance, atol=tolerance)


def test_layers_without_points_keep_the_last_graph() -> None:
    torch.manual_seed(0)
    model = LatentGraphNetwork(8, (16, 12, 8), 3, ((5, 3), None, (4,)), NeuralSnowflake, k=2)
    run = model.run(torch.randn(9, 8), seed=1)
    assert run.logits.shape == (9, 3)
    assert [latent.embedding.size(1) for latent in run.latents] == [3, 4]
    again = model.run(torch.randn(9, 8), seed=1)
    assert len(again.latents) == 2


def test_the_task_trains_everything_if_weighted() -> None:
    torch.manual_seed(0)
    model = LatentGraphNetwork(8, (6, 4), 3, metric=NeuralSnowflake, k=3, weighted=True, temperature=-1.0)
    model(torch.randn(20, 8)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    plain = LatentGraphNetwork(8, (6, 4), 3, metric=NeuralSnowflake, k=3)
    plain(torch.randn(20, 8)).square().sum().backward()
    assert all(parameter.grad is None for parameter in plain.latents.parameters())  # as published


def test_any_convolution_on_a_given_graph() -> None:
    class Mean(nn.Linear):
        def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
            return super().forward(x)

    model = LatentGraphNetwork(4, (6,), 2, (), conv=Mean)
    assert model(torch.randn(5, 4), torch.tensor([[0], [1]])).shape == (5, 2)
    with pytest.raises(ValueError, match="'edge_index' must be given"):
        model(torch.randn(5, 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_channels": ()}, "'hidden_channels' must name"),
        ({"latent_channels": ((3,), (3,), (3,))}, "'hidden_channels' must name"),
        ({"conv": "edge", "weighted": True}, "needs a convolution with edge weights"),
        ({"conv": "cheb"}, "unknown convolution"),
        ({"encoder": "cheb"}, "unknown encoder"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatentGraphNetwork(**{"in_channels": 4, "hidden_channels": (4, 4), "out_channels": 2, **options})
