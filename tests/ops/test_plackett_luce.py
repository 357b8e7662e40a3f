"""The log-probability of an ordered draw: exact probabilities, gradients, and the sum over a row in blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit import ops
from tests.golden.snowflake_golden import golden


def rest_of(phi: Tensor, drawn: Tensor) -> Tensor:
    """Log of the sum over what is not drawn, in one go."""
    hidden = torch.zeros(drawn.size(0), phi.size(-1), dtype=torch.bool).scatter_(1, drawn, True)
    return phi.expand(drawn.size(0), -1).masked_fill(hidden, -float("inf")).logsumexp(1)


def test_golden() -> None:
    z = golden("gumbel_topk_distribution")
    phi, perms = -z["cost"], z["perms"].long()
    log_prob = ops.plackett_luce_log_prob(phi[perms], rest_of(phi, perms)).sum(1)
    torch.testing.assert_close(log_prob, z["perm_logprob"], rtol=1e-12, atol=0)
    torch.testing.assert_close(log_prob.exp().sum(), torch.tensor(1.0).double())


def test_no_digits_are_lost_where_the_chosen_hold_all_the_mass() -> None:
    phi = torch.tensor([[0.0, -50.0]], dtype=torch.float64)
    log_prob = ops.plackett_luce_log_prob(phi, torch.tensor([-60.0], dtype=torch.float64))
    expected = -torch.log1p(torch.tensor([-10.0], dtype=torch.float64).exp())
    torch.testing.assert_close(log_prob[:, 1], expected, rtol=1e-10, atol=0)


def test_missing_choices_count_nothing() -> None:
    phi = torch.tensor([[0.3, -float("inf")]], requires_grad=True)
    log_prob = ops.plackett_luce_log_prob(phi, torch.tensor([-float("inf")]))
    torch.testing.assert_close(log_prob, torch.zeros(1, 2))


@pytest.mark.parametrize("rows", [256, 3])
def test_sum_of_the_rest_in_blocks(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphkit.ops.point_sets._ROWS", rows)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    batch = torch.tensor([0, 1] * 6)
    index = ops.nearest_neighbors(x, 3, batch=batch).indices

    def blocks(x: Tensor, scale: Tensor) -> Tensor:
        return ops.log_sum_of_rest(x, index, ops.euclidean_sq_distance, scale, batch=batch)

    def dense(x: Tensor, scale: Tensor) -> Tensor:
        cost = (x.unsqueeze(1) - x.unsqueeze(0)).square().sum(-1)
        hidden = (batch.unsqueeze(1) != batch.unsqueeze(0)) | torch.eye(12, dtype=torch.bool)
        hidden = hidden.scatter(1, index, True)
        return (-scale * cost).masked_fill(hidden, -float("inf")).logsumexp(1)

    torch.testing.assert_close(blocks(x, scale), dense(x, scale))
    found = torch.autograd.grad(blocks(x, scale).sum(), (x, scale))
    wanted = torch.autograd.grad(dense(x, scale).sum(), (x, scale))
    torch.testing.assert_close(found, wanted)


def test_all_drawn() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    index = ops.nearest_neighbors(x, 4).indices
    rest = ops.log_sum_of_rest(x, index, ops.euclidean_sq_distance)
    assert rest.tolist() == [-float("inf")] * 3
