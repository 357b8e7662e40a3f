"""CE for links: cross-entropy of the dot product of two nodes' outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphkit.train.forward.links import GreedyLinkRule, LinkSetting


class LinkCE(GreedyLinkRule):
    r"""The logit is :math:`z_u \cdot z_v`; the loss is the mean over positives and negatives together.

    Source: N. Park et al., ICLR 2024 (arXiv 2403.11004), appendix C.
    """

    def logit(self, e: Tensor, setting: LinkSetting) -> Tensor:
        return e.sum(-1)

    def pair_loss(self, good: Tensor, bad: Tensor, setting: LinkSetting) -> Tensor:
        return cross_entropy(good.sum(-1), bad.sum(-1), setting)


def cross_entropy(good: Tensor, bad: Tensor, setting: LinkSetting) -> Tensor:
    """This process's part of the mean binary cross-entropy of the logits of positives and negatives."""
    # One sum, in the published order: Adam makes much of roundings where gradients are nearly zero.
    label = torch.cat([torch.ones_like(good), torch.zeros_like(bad)])
    return F.binary_cross_entropy_with_logits(torch.cat([good, bad]), label, reduction="sum") / setting.pairs.size(1)
