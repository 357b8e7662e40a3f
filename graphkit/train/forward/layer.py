"""One layer of a network that is trained layer by layer: a convolution and a rectifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from graphkit.train.forward.augment import virtual_features


class ForwardLayer(nn.Module):
    """``relu(conv(x, edge_index))``: no dropout, norm or residual beyond what the convolution itself has.

    A lazy convolution (``GCNConv(-1, 64)``) gets its weights when its turn comes, so that a deep network that is
    trained from below takes no memory for layers it has not come to.

    Args:
        conv: any layer called as ``conv(x, edge_index)`` that returns one tensor ``[n, H]``.
        name: what messages call it.
        seed: of the weights of a lazy convolution, whatever was drawn before.

    Raises:
        ValueError: if the layer keeps its first graph (``cached=True``), has nothing to train, or returns something
            else.
    """

    def __init__(self, conv: nn.Module, name: str = "convs[0]", seed: int = 0) -> None:
        super().__init__()
        if getattr(conv, "cached", False):
            raise ValueError(
                f"{name}: got {type(conv).__name__}(cached=True), which answers for the graph of its first call "
                "whatever the graph; expected cached=False (graphkit keeps what does not change, by input and graph)"
            )
        if not any(parameter.requires_grad for parameter in conv.parameters()):
            raise ValueError(f"{name}: got a {type(conv).__name__} with nothing to train, expected parameters")
        self.conv = conv
        self.name = name
        self.seed = seed
        self._found_channels: int | None = None

    @property
    def in_channels(self) -> int | None:
        """Of the convolution, if it says or has been found out."""
        found = getattr(self.conv, "in_channels", None)
        return found if isinstance(found, int) and found > 0 else self._found_channels

    @property
    def lazy(self) -> bool:
        """Whether weights are still to be made."""
        return any(is_lazy(parameter) for parameter in self.conv.parameters())

    def match_channels(self, blocks: Sequence[int], partial: bool = False) -> None:
        """Raises ValueError unless the convolution reads as many channels as its input has; a lazy one now gets them.

        Args:
            blocks: how many columns each part of the input has.
            partial: whether the convolution may read more.
        """
        have, need = self.in_channels, sum(blocks)
        if self.lazy:
            self._make_weights(need)
        if have is None or have == need or (partial and have > need):
            return
        parts = f" ({' + '.join(map(str, blocks))})" if len(blocks) > 1 else ""
        raise ValueError(
            f"{self.name}: got a {type(self.conv).__name__} of {have} input channels, expected "
            f"{'at least ' if partial else ''}{need}{parts}: the first layer reads the features (ff-la: and one column "
            "per class), others the output of the layer below, and with top-to-input rules that of the layer above too"
        )

    def _make_weights(self, channels: int) -> None:
        """Calls the convolution on one node without edges, with a random state of its own."""
        like = next(self.conv.parameters())
        x = torch.zeros(1, channels, dtype=like.dtype, device=like.device)
        training = self.conv.training
        self.conv.eval()  # in training a batch norm would refuse, or count, a single row
        with torch.random.fork_rng(devices=[] if like.device.type == "cpu" else [like.device]), torch.no_grad():
            torch.manual_seed(self.seed)
            self.conv(x, torch.empty(2, 0, dtype=torch.long, device=like.device))
        self.conv.train(training)
        self._found_channels = channels

    def forward(self, x: Tensor, edge_index: Any) -> Tensor:
        out = self.conv(x, edge_index)
        if not isinstance(out, Tensor):
            raise ValueError(
                f"{self.name}: {type(self.conv).__name__} returned a {type(out).__name__}, expected one tensor [n, H]; "
                "wrap it in a module that picks the features"
            )
        if out.dim() != 2 or out.size(0) != x.size(0):
            raise ValueError(
                f"{self.name}: {type(self.conv).__name__} returned shape {list(out.shape)}, expected [{x.size(0)}, H]"
            )
        return out.relu()


class ForwardNetwork(nn.Module):
    """The layers, and the features of the virtual class nodes as a buffer, so that a saved network predicts alone.

    Args:
        convs: from the input to the top.
        seed: of the weights of lazy convolutions.
    """

    virtual: Tensor | None

    def __init__(self, convs: list[nn.Module], seed: int = 0) -> None:
        super().__init__()
        if not convs:
            raise ValueError("convs: got none, expected at least one layer")
        self.layers = nn.ModuleList(
            ForwardLayer(conv, f"convs[{i}]", seed * 1_000_003 + i) for i, conv in enumerate(convs)
        )
        self.register_buffer("virtual", None)

    def draw_virtual(self, num_classes: int, like: Tensor, seed: int) -> None:
        """Draws the class nodes' features, unless they are there already."""
        if self.virtual is None:
            generator = torch.Generator().manual_seed(seed)
            self.virtual = virtual_features(num_classes, like.size(1), generator, like.dtype).to(like.device)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        found = state_dict.get(f"{prefix}virtual")
        if found is not None:
            self.virtual = torch.empty_like(found)
        super()._load_from_state_dict(state_dict, prefix, *args)
