"""SymBa for links: the goodness of each positive is driven above that of a negative."""

from __future__ import annotations

from torch import Tensor

from graphkit.train.forward.link_ff import LinkFF
from graphkit.train.forward.links import LinkSetting
from graphkit.train.forward.losses import goodness, symba_loss


class LinkSymBa(LinkFF):
    r""":math:`\mathrm{softplus}(-\alpha (g^+ - g^-))` of the i-th positive and the i-th negative.

    In the paper and not in its code; pairing by order is our choice.

    Source: H.-C. Lee and J. Song, arXiv 2303.08418; N. Park et al., ICLR 2024, appendix B.
    """

    def pair_loss(self, good: Tensor, bad: Tensor, setting: LinkSetting) -> Tensor:
        count = setting.positives().size(1)
        if count != setting.negatives().size(1):
            raise ValueError(
                f"edge_label: got {count} positives and {setting.negatives().size(1)} negatives, expected as many; "
                "RandomLinkSplit(neg_sampling_ratio=1.0) draws as many"
            )
        return symba_loss(goodness(good), goodness(bad)[None], setting.config.alpha).sum() / count
