"""Losses against arrays of the published code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphkit.train.forward.losses import (
    ff_loss,
    goodness,
    pair_features,
    prototype_loss,
    roc_auc,
    row_normalize,
    symba_loss,
)
from tests.golden.forwardgnn_golden import arrays


def close(mine: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def test_row_normalisation_and_its_gradient() -> None:
    found = arrays("row_norm")
    x = found["x"].clone().requires_grad_()
    out = row_normalize(x)
    close(out, found["out"])
    (out * found["cotangent"]).sum().backward()
    assert x.grad is not None
    close(x.grad, found["grad_x"])


def test_forward_forward() -> None:
    found = arrays("ff_loss")
    y, theta = found["y"].clone().requires_grad_(), float(found["theta"])
    g = goodness(y)
    close(g, found["goodness"])
    close(goodness(y, "mean"), found["goodness"] / 4)
    far = torch.full_like(g, -1e3).detach()
    close(ff_loss(g, far[None], theta).mean(), found["loss_pos"])
    close(ff_loss(-far, g[None], theta).mean(), found["loss_neg"])
    (grad,) = torch.autograd.grad(ff_loss(g, far[None], theta).mean(), y, retain_graph=True)
    close(grad, found["grad_pos"])
    (grad,) = torch.autograd.grad(ff_loss(-far, g[None], theta).mean(), y)
    close(grad, found["grad_neg"])


def test_more_negatives_weigh_no_more() -> None:
    good, bad = torch.rand(5), torch.rand(1, 5)
    torch.testing.assert_close(ff_loss(good, bad.repeat(4, 1)), ff_loss(good, bad))


def test_symba() -> None:
    found = arrays("symba_loss_NOT_OFFICIAL")
    pos, neg = (found[key].clone().requires_grad_() for key in ("y_pos", "y_neg"))
    loss = symba_loss(goodness(pos), goodness(neg)[None], float(found["alpha"])).mean()
    close(loss, found["loss"])
    loss.backward()
    for mine, key in ((pos.grad, "grad_pos"), (neg.grad, "grad_neg")):
        assert mine is not None
        close(mine, found[key])


def test_prototypes_get_a_gradient_too() -> None:
    z, c = torch.rand(4, 3, requires_grad=True), torch.rand(2, 3, requires_grad=True)
    loss = prototype_loss(z, c, torch.tensor([0, 1, 1, 0]), 0.5)
    by_hand = -(z @ c.t() / 0.5).log_softmax(1)[torch.arange(4), torch.tensor([0, 1, 1, 0])]
    torch.testing.assert_close(loss, by_hand)
    loss.sum().backward()
    assert z.grad is not None
    assert c.grad is not None
    assert float(c.grad.abs().sum()) > 0


def test_pairs() -> None:
    z = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert pair_features(z, torch.tensor([[0], [1]])).tolist() == [[3.0, 8.0]]


def test_area_under_the_curve_is_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    score, label = (torch.rand(200) * 20).round(), (torch.rand(200) < 0.3).float()
    assert roc_auc(score, label) == pytest.approx(metrics.roc_auc_score(label, score), abs=1e-12)
    with pytest.raises(ValueError, match="got 0 positives and 3 negatives"):
        roc_auc(torch.rand(3), torch.zeros(3))
