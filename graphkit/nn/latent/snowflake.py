"""NeuralSnowflake, a trainable isotropic metric."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.nn.latent.base import Metric
from graphkit.ops.snowflake import SnowflakeLayer, safe_norm, snowflake, snowflake_slope


class NeuralSnowflake(Metric):
    r"""A small network f of the Euclidean distance that keeps it a metric up to a factor, of `"Neural Snowflakes"
    <https://arxiv.org/abs/2310.15003>`_ (Borde and Kratsios, ICLR 2024).

    .. math:: d(x, y) = f(\|x - y\|), \qquad u_j = B_j\, \psi_{a_j, b_j}(A_j u_{j-1})\, C_j, \qquad
        f = u_J^{1 + |p|}, \qquad \psi_{a, b}(v) = (1 - e^{-v}, v^a, \log(1 + v)^b)

    See :func:`graphkit.ops.snowflake` for the exact form, its safe slope at 0 and its properties: 0 at 0, strictly
    increasing, a metric for p = 0 and :math:`d(x, z) \le 2^{|p|} (d(x, y) + d(y, z))` else (:attr:`relaxation`). It
    increases with the Euclidean distance, so that Euclidean neighbours are its neighbours. Edges cost the distance.

    A, B, C are softplus of free parameters, a and b sigmoids: positive, and never without a gradient. The paper does
    not say how it keeps them non-negative, and there is no published code.

    Args:
        hidden_channels: widths h of the layers.
        num_layers: J.
        width: of what goes from layer to layer.
        p: where the outer exponent starts; it is learned.
        eps: the shift that keeps slopes finite.

    Shapes:
        ``[..., d]``, ``[..., d]`` -> ``[...]``, in float32 at least.

    Raises:
        ValueError: if a size is not positive.

    Example:
        >>> import torch
        >>> from graphkit.nn import NeuralSnowflake
        >>> metric = NeuralSnowflake()
        >>> x = torch.zeros(3, 2)
        >>> metric(x, x)
        tensor([0., 0., 0.], grad_fn=...)
    """

    increasing = True

    def __init__(
        self, hidden_channels: int = 8, num_layers: int = 3, width: int = 8, p: float = 0.05, eps: float = 1e-6
    ) -> None:
        super().__init__()
        if min(hidden_channels, num_layers, width) < 1:
            raise ValueError(
                f"'hidden_channels', 'num_layers' and 'width' must be positive "
                f"(got {hidden_channels}, {num_layers}, {width})"
            )
        widths = [1, *[width] * (num_layers - 1), 1]
        self.A = nn.ParameterList(torch.empty(hidden_channels, before) for before in widths[:-1])
        self.B = nn.ParameterList(torch.empty(after, hidden_channels) for after in widths[1:])
        self.C = nn.Parameter(torch.empty(num_layers, 3))
        self.a = nn.Parameter(torch.empty(num_layers))
        self.b = nn.Parameter(torch.empty(num_layers))
        self.p = nn.Parameter(torch.empty(()))
        self.start = p
        self.eps = eps
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, so that f(t) is of the order of t."""
        with torch.no_grad():
            for A, B in zip(self.A, self.B, strict=True):
                A.copy_(_inverse_softplus(1 / A.size(1)) + 0.3 * torch.randn_like(A))
                B.fill_(_inverse_softplus(1 / B.size(1)))
            self.C.fill_(_inverse_softplus(1 / 3))
            self.a.fill_(1.0)
            self.b.fill_(1.0)
            self.p.fill_(self.start)

    def layers(self) -> list[SnowflakeLayer]:
        """The numbers of the layers, as :func:`graphkit.ops.snowflake` takes them; float32 or float64."""
        A, B = ([F.softplus(_wide(raw)) for raw in raws] for raws in (self.A, self.B))
        C, a, b = F.softplus(_wide(self.C)), torch.sigmoid(_wide(self.a)), torch.sigmoid(_wide(self.b))
        return [SnowflakeLayer(*numbers) for numbers in zip(A, B, C, a, b, strict=True)]

    def of_distance(self, t: Tensor) -> Tensor:
        """f of Euclidean distances, of any shape."""
        with torch.autocast(t.device.type, enabled=False):
            return snowflake(_wide(t), self.layers(), _wide(self.p), self.eps)

    def slope(self, t: Tensor) -> Tensor:
        """The derivative of f at Euclidean distances, positive."""
        with torch.autocast(t.device.type, enabled=False):
            return snowflake_slope(_wide(t), self.layers(), _wide(self.p), self.eps)

    @property
    def relaxation(self) -> float:
        """The constant of the relaxed triangle inequality."""
        return 2.0 ** abs(float(self.p.detach()))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.of_distance(safe_norm(_wide(x) - _wide(y)))

    def cost(self, x: Tensor, y: Tensor) -> Tensor:
        distance: Tensor = self(x, y)
        return distance

    def extra_repr(self) -> str:
        return f"num_layers={len(self.a)}"


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _inverse_softplus(value: float) -> float:
    return math.log(math.expm1(value))
