"""Normalisation of messages, and the norms between layers by name."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Parameter


class MessageNorm(torch.nn.Module):
    r"""Give each aggregated message the length of its node's own features, times a scale.

    .. math:: y_i = s \, \|x_i\|_p \, \frac{a_i}{\max(\|a_i\|_p, 10^{-12})}

    A zero ``a_i`` (a node without neighbours) stays zero, and a zero ``x_i`` gives zero; gradients are finite
    in both cases (0 through the norm of a zero vector). Drop-in for PyG's ``MessageNorm``, same
    ``state_dict``; unlike there, float16 is normalised in float32, where 1e-12 does not underflow.

    Args:
        learn_scale: learn ``s``, which starts at 1.
        device: where ``s`` lives.

    Shapes:
        x ``[N, F]`` and msg ``[N, F']`` -> ``[N, F']``

    Source: Li et al., "DeeperGCN: All You Need to Train Deeper GCNs", arXiv 2006.07739, section 3.4.

    Example:
        >>> import torch
        >>> norm = MessageNorm()
        >>> norm(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]])).tolist()
        [[0.0, 5.0]]
    """

    def __init__(self, learn_scale: bool = False, device: torch.device | None = None) -> None:
        super().__init__()
        self.scale = Parameter(torch.empty(1, device=device), requires_grad=learn_scale)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the scale to 1."""
        torch.nn.init.ones_(self.scale)

    def forward(self, x: Tensor | None, msg: Tensor, p: float = 2.0) -> Tensor:
        """Normalise ``msg``.

        Args:
            x: the nodes' own features; ``None`` (targets without features) counts as length 1.
            msg: the aggregated messages.
            p: which norm.
        """
        dtype = torch.promote_types(msg.dtype, torch.float32)
        out = F.normalize(msg.to(dtype), p=p, dim=-1) * self.scale.to(dtype)
        if x is not None:
            out = out * torch.linalg.vector_norm(x.to(dtype), ord=p, dim=-1, keepdim=True)
        return out.to(msg.dtype)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(learn_scale={self.scale.requires_grad})"


def build_norm(name: str, channels: int) -> torch.nn.Module:
    """The norm of a hidden layer by name.

    ``"batch"`` and ``"layer"`` have affine parameters, ``"instance"`` has none. On ``[N, F]`` features the
    ``InstanceNorm1d`` of PyG's and the published code normalises each row, which is a layer norm.

    Raises:
        ValueError: if the name is unknown.

    Example:
        >>> build_norm("instance", 8).elementwise_affine
        False
    """
    if name == "batch":
        return torch.nn.BatchNorm1d(channels)
    if name in ("layer", "instance"):
        return torch.nn.LayerNorm(channels, elementwise_affine=name == "layer")
    raise ValueError(f"'norm' must be 'batch', 'layer' or 'instance' (got {name!r})")
