"""Skip connections for deep stacks of convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn.inits import reset

_BLOCKS = ("res+", "res", "dense", "plain")


class DeepGCNLayer(nn.Module):
    r"""A convolution with norm, activation, dropout and a skip connection.

    ======== ==========================================================================================
    block    output
    ======== ==========================================================================================
    res+     :math:`x + \mathrm{conv}(\mathrm{dropout}(\mathrm{act}(\mathrm{norm}(x))))`
    res      :math:`\mathrm{dropout}(x + \mathrm{act}(\mathrm{norm}(\mathrm{conv}(x))))`
    dense    :math:`\mathrm{dropout}([x, \mathrm{act}(\mathrm{norm}(\mathrm{conv}(x)))])`
    plain    :math:`\mathrm{dropout}(\mathrm{act}(\mathrm{norm}(\mathrm{conv}(x))))`
    ======== ==========================================================================================

    Drop-in for PyG's ``DeepGCNLayer``. Unlike there, ``reset_parameters`` works where a part is ``None``, and
    checkpointing is not re-entrant (it works under ``DistributedDataParallel`` and with inputs that need no
    gradient) and updates the running statistics of batch norms once per step, so a checkpointed layer is the
    plain layer bit for bit.

    Args:
        conv: the convolution, called as ``conv(h, *args, **kwargs)``; ``None`` leaves ``h`` as it is.
        norm: the normalisation, or ``None``.
        act: the activation, or ``None``.
        block: ``"res+"``, ``"res"``, ``"dense"`` or ``"plain"``.
        dropout: probability of dropping an entry.
        ckpt_grad: recompute the convolution in the backward pass instead of keeping its activations.

    Shapes:
        x ``[N, F]`` -> ``[N, F]``; ``[N, F + F_out]`` for ``"dense"``; ``[N, F_out]`` for ``"plain"``.

    Raises:
        ValueError: if ``block`` is unknown.

    Source: Li et al., arXiv 1904.03751 and arXiv 2006.07739, section 3.3.

    Example:
        >>> import torch
        >>> from graphkit.nn import DeepGCNLayer, GENConv
        >>> layer = DeepGCNLayer(GENConv(8, 8), torch.nn.LayerNorm(8), torch.nn.ReLU(), ckpt_grad=True)
        >>> layer(torch.randn(3, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        conv: nn.Module | None = None,
        norm: nn.Module | None = None,
        act: nn.Module | None = None,
        block: str = "res+",
        dropout: float = 0.0,
        ckpt_grad: bool = False,
    ) -> None:
        super().__init__()
        if block.lower() not in _BLOCKS:
            raise ValueError(f"'block' must be one of {', '.join(map(repr, _BLOCKS))} (got {block!r})")
        self.conv = conv
        self.norm = norm
        self.act = act
        self.block = block.lower()
        self.dropout = dropout
        self.ckpt_grad = ckpt_grad

    def reset_parameters(self) -> None:
        """Draw the parameters of the convolution and the norm anew."""
        reset(self.conv)
        reset(self.norm)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the block; further arguments go to the convolution."""
        if self.block == "res+":
            h = F.dropout(self._activate(x), p=self.dropout, training=self.training)
            return x + self._convolve(h, *args, **kwargs)
        h = self._activate(self._convolve(x, *args, **kwargs))
        if self.block == "res":
            h = x + h
        elif self.block == "dense":
            h = torch.cat([x, h], dim=-1)
        return F.dropout(h, p=self.dropout, training=self.training)

    def _activate(self, h: Tensor) -> Tensor:
        h = h if self.norm is None else self.norm(h)
        return h if self.act is None else self.act(h)

    def _convolve(self, h: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.conv is None:
            return h
        if self.ckpt_grad and torch.is_grad_enabled():
            return checkpointed(self.conv, h, *args, **kwargs)
        return self.conv(h, *args, **kwargs)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(block={self.block})"


def checkpointed(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Call ``module`` without keeping its activations; the recomputation leaves its buffers alone."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), lent_buffers(module)

    if torch.compiler.is_compiling():  # compiled, buffers are written once, after everything else
        return checkpoint(module, *args, use_reentrant=False, **kwargs)
    return checkpoint(module, *args, use_reentrant=False, context_fn=contexts, **kwargs)


@contextmanager
def lent_buffers(module: nn.Module) -> Iterator[None]:
    """Let ``module`` update copies of its buffers: a batch norm must not count one batch twice."""
    own = [(part, name, buffer) for part in module.modules() for name, buffer in part.named_buffers(recurse=False)]
    for part, name, buffer in own:
        setattr(part, name, buffer.clone())
    try:
        yield
    finally:
        for part, name, buffer in own:
            setattr(part, name, buffer)
