"""EvolveGCN as published, and what makes predictions of its embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn.inits import reset
from torch_geometric.typing import Adj, OptTensor

from graphkit.graph import Graph
from graphkit.graph.temporal import Snapshot
from graphkit.nn import EvolveGCNH, EvolveGCNO
from graphkit.nn.temporal import CellName, EvolveState, Mode

States = tuple[EvolveState, ...]
_NUMBERS = 2**22
"""Most numbers of the hidden layers of pairs that are held at once: 16 MB, above which memory is slow to come by."""


class EvolveGCN(nn.Module):
    r"""The network of `"EvolveGCN" <https://arxiv.org/abs/1902.10191>`_: graph convolutions whose weights evolve, with
    randomly leaky rectifiers (slopes from 1/8 to 1/3, in evaluation 11/48) after each.

    Its output at a step are embeddings of all nodes, for a head such as :class:`PairClassifier`. State is an argument
    and a return value, one :class:`~graphkit.nn.temporal.EvolveState` per layer. Differs from the published code, where
    slopes stay random in evaluation, parameters cannot be saved, and the state begins anew with every window
    (``mode="window"``).

    Args:
        in_channels: size of each input sample, or -1 to derive it from the first input.
        hidden_channels: width of all layers.
        num_layers: number of layers.
        variant: ``"h"``, weights made from the best nodes of each snapshot, or ``"o"``, from themselves alone.
        cell: ``"gru"`` or ``"lstm"``.
        mode: ``"window"`` or ``"stream"``; see :class:`~graphkit.nn.EvolveGCNO`.
        skip_features: append the features of the step to its embeddings.
        **kwargs: of the layers.

    Shapes:
        as :class:`~graphkit.nn.EvolveGCNO` -> ``[N, hidden_channels]``, states

    Raises:
        ValueError: if an option is unknown.

    Example:
        >>> model = EvolveGCN(4, 8, variant="o")
        >>> out, state = model(torch.randn(3, 4), torch.tensor([[0, 1], [1, 2]]))
        >>> out.shape, len(state)
        (torch.Size([3, 8]), 2)
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int = 2,
        variant: Literal["h", "o"] = "h",
        cell: CellName = "gru",
        mode: Mode = "stream",
        *,
        skip_features: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if variant not in ("h", "o"):
            raise ValueError(f"'variant' must be 'h' or 'o' (got {variant!r})")
        if num_layers < 1:
            raise ValueError(f"'num_layers' must be at least 1 (got {num_layers})")
        if skip_features and in_channels == -1:
            raise ValueError("skip_features=True needs to know in_channels (got -1)")
        layer = EvolveGCNH if variant == "h" else EvolveGCNO
        widths = [in_channels, *[hidden_channels] * num_layers]
        self.in_channels = in_channels
        self.out_channels = hidden_channels + (in_channels if skip_features else 0)
        self.skip_features = skip_features
        self.layers: nn.ModuleList = nn.ModuleList(
            layer(width, hidden_channels, cell, mode, **kwargs) for width in widths[:-1]
        )
        self.act = nn.RReLU(1 / 8, 1 / 3)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        reset(self.layers)

    def forward(
        self,
        x: Tensor,
        edge_index: Adj | Graph,
        edge_weight: OptTensor = None,
        state: States | None = None,
        mask: OptTensor = None,
        batch: OptTensor = None,
        batch_size: int | None = None,
    ) -> tuple[Tensor, States]:
        """One time step; arguments as those of :meth:`graphkit.nn.EvolveGCNO.forward`."""
        h, after = x, []
        for layer, before in zip(self.layers, self._states(state), strict=True):
            h, new = layer(h, edge_index, edge_weight, before, mask, batch, batch_size)
            h = self.act(h)
            after.append(new)
        return self._with_features(h, x), tuple(after)

    def sequence(
        self, snapshots: Iterable[Snapshot], state: States | None = None, *, last: bool = False
    ) -> tuple[list[Tensor], States]:
        """A window of time steps; see :meth:`graphkit.nn.EvolveGCNO.sequence`.

        With ``last=True`` the convolutions that the last output does not depend on are left out: with variant ``"o"``
        those of all steps but the last.
        """
        steps = snapshots if isinstance(snapshots, Sequence) else list(snapshots)
        given, after = list(steps[-1:] if last else steps), []
        if not last:
            window = given
        elif isinstance(self.layers[-1], EvolveGCNH):
            # Of the steps before the last one, only nodes that are there enter the weights.
            window = [*(step.active_only() for step in steps[:-1]), *given]
        else:
            window = given * len(steps)  # -O counts the others, and looks at none
        layer: Any
        for number, (layer, before) in enumerate(zip(self.layers, self._states(state), strict=True)):
            # A further layer of -H makes its weights from the outputs of all steps.
            needed = not last or (isinstance(self.layers[-1], EvolveGCNH) and number < len(self.layers) - 1)
            outs, new = layer.sequence(window, before, last=not needed)
            after.append(new)
            outs = [self.act(out) for out in outs]
            if len(outs) < len(window):
                window = [*window[:-1], window[-1]._replace(x=outs[-1])]
            else:
                window = [step._replace(x=out) for step, out in zip(window, outs, strict=True)]
        outs = outs[-len(given) :]
        return [self._with_features(h, step.x) for h, step in zip(outs, given, strict=True)], tuple(after)

    def _states(self, state: States | None) -> tuple[EvolveState | None, ...]:
        if state is not None and len(state) != len(self.layers):
            raise ValueError(f"'state' must hold one state for each of {len(self.layers)} layers (got {len(state)})")
        return (None,) * len(self.layers) if state is None else state

    def _with_features(self, h: Tensor, x: Tensor) -> Tensor:
        return torch.cat([h, features(x, self.in_channels)], 1) if self.skip_features else h


def features(x: Tensor, width: int) -> Tensor:
    """Node features as a matrix, one-hot ones written out."""
    if x.is_floating_point():
        return x
    return nn.functional.one_hot(x, width).to(torch.get_default_dtype())


class PairClassifier(nn.Module):
    r"""Classes of ordered pairs of nodes, the published head for links and edges.

    .. math:: W_2 \, \mathrm{relu}(W_1 [z_u, z_v] + b_1) + b_2

    Args:
        in_channels: width of the embeddings.
        hidden_channels: width of the hidden layer.
        num_classes: number of classes.

    Shapes:
        z ``[N, in_channels]``, pairs ``[2, B]`` -> logits ``[B, num_classes]``

    Example:
        >>> PairClassifier(8, 16)(torch.randn(5, 8), torch.tensor([[0, 1], [2, 3]])).shape
        torch.Size([2, 2])
    """

    def __init__(self, in_channels: int, hidden_channels: int, num_classes: int = 2) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.hidden = nn.Linear(2 * in_channels, hidden_channels)
        self.out = nn.Linear(hidden_channels, num_classes)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.hidden.reset_parameters()
        self.out.reset_parameters()

    def forward(self, z: Tensor, pairs: Tensor) -> Tensor:
        """Logits of each pair. Where there are more pairs than nodes, nodes are multiplied by their half of the hidden
        layer, not pairs.

        The hidden layers of many pairs are made in parts, and again for the gradient: never all are held.
        """
        if pairs.size(1) <= z.size(0):
            ends = z.index_select(0, pairs.t().flatten()).view(-1, 2 * self.in_channels)
            few: Tensor = self.out(self.hidden(ends).relu())
            return few
        first, second = self._halves(z)
        parts = pairs.split(max(1, _NUMBERS // self.hidden.out_features), 1)
        if len(parts) <= 1 or torch.compiler.is_compiling():
            return self._logits(first, second, pairs)
        if not torch.is_grad_enabled():
            return torch.cat([self._logits(first, second, part) for part in parts])
        return torch.cat(
            [
                checkpoint(self._logits, first, second, part, use_reentrant=False, preserve_rng_state=False)
                for part in parts
            ]
        )

    def _logits(self, first: Tensor, second: Tensor, pairs: Tensor) -> Tensor:
        logits: Tensor = self.out((first[pairs[0]] + second[pairs[1]]).relu())
        return logits

    def margins(self, z: Tensor, sources: Tensor) -> Tensor:
        """How much the last class is ahead of the first, for some sources with all nodes: ``[s] -> [s, N]``.

        In the order of the softmax of two classes, without the ties in which that ends up near 1.
        """
        first, second = self._halves(z)
        weight = self.out.weight[-1] - self.out.weight[0]
        bias = self.out.bias[-1] - self.out.bias[0]
        return torch.stack([(own + second).relu_() @ weight for own in first[sources]]) + bias

    def _halves(self, z: Tensor) -> tuple[Tensor, Tensor]:
        left, right = self.hidden.weight.split(self.in_channels, 1)
        return z @ left.t() + self.hidden.bias, z @ right.t()


class TemporalModel(nn.Module):
    """An encoder of snapshots and a head, together what a task of :mod:`graphkit.train.tasks.temporal` trains.

    Args:
        encoder: has ``sequence(snapshots, state, last=...) -> (embeddings, state)``, as :class:`EvolveGCN`.
        head: from embeddings ``[N, F]`` and pairs or nodes to predictions: a :class:`PairClassifier`, or any module for
            nodes.

    Example:
        >>> model = TemporalModel(EvolveGCN(4, 8), PairClassifier(8, 16))
        >>> step = Snapshot(torch.randn(3, 4), torch.tensor([[0, 1], [1, 2]]))
        >>> (z,), state = model.sequence([step])
        >>> model.head(z, torch.tensor([[0], [2]])).shape
        torch.Size([1, 2])
    """

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        reset(self.encoder)
        reset(self.head)

    def sequence(
        self, snapshots: Iterable[Snapshot], state: Any = None, *, last: bool = False
    ) -> tuple[list[Tensor], Any]:
        """Embeddings of the steps, and the state after the last one."""
        return self.encoder.sequence(snapshots, state, last=last)  # type: ignore[operator]

    def forward(
        self, x: Tensor, edge_index: Adj | Graph, edge_weight: OptTensor = None, state: Any = None
    ) -> tuple[Tensor, Any]:
        """The embeddings of one step, and the state after it."""
        (z,), state = self.sequence([Snapshot(x, edge_index, edge_weight)], state)
        return z, state
