"""SymBa on right and wrong graphs: positives and negatives are compared with each other, not with a threshold."""

from __future__ import annotations

from torch import Tensor

from graphkit.train.forward.base import NodeSetting
from graphkit.train.forward.ff_vn import FFVirtualNodes
from graphkit.train.forward.losses import symba_loss


class SymBa(FFVirtualNodes):
    r"""The graphs of FF-VN with :math:`\ell = \mathrm{mean}_{i,m}\, \mathrm{softplus}(-\alpha (g_i^+ - g_i^{-,m}))`.

    The ForwardGNN paper has it as a baseline and its code does not; how a positive is paired with several negatives is
    not published, the mean over them is our choice.

    Source: H.-C. Lee and J. Song, arXiv 2303.08418; N. Park et al., ICLR 2024, appendix B.
    """

    def pair_loss(self, good: Tensor, bad: Tensor, setting: NodeSetting) -> Tensor:
        return symba_loss(good, bad, setting.config.alpha)
