"""FF for links: the goodness of a pair is driven above a threshold where there is a link, below it elsewhere."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from graphkit.train.forward.links import GreedyLinkRule, LinkSetting
from graphkit.train.forward.losses import goodness


class LinkFF(GreedyLinkRule):
    r"""The goodness is :math:`g_{uv} = \sum_d (z_{ud} z_{vd})^2`; positives weigh as much as negatives.

    Source: N. Park et al., ICLR 2024 (arXiv 2403.11004), appendix C.
    """

    def logit(self, e: Tensor, setting: LinkSetting) -> Tensor:
        return goodness(e) - setting.config.theta

    def pair_loss(self, good: Tensor, bad: Tensor, setting: LinkSetting) -> Tensor:
        positive = F.softplus(-self.logit(good, setting)).sum() / setting.positives().size(1)
        return positive + F.softplus(self.logit(bad, setting)).sum() / setting.negatives().size(1)
