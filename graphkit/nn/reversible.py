"""Reversible couplings: deep stacks whose activations are computed back from the last layer's output."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch_geometric.nn.inits import reset

from graphkit.nn.deepgcn import lent_buffers

Block = Callable[[Tensor], Tensor]
"""One group's function, from and to ``[..., F / C]``."""

_MADE_BY = "graphkit.reversible"  # where the graph node of an output says which coupling made it


def couple(blocks: Sequence[Block], x: Tensor, dim: int = -1) -> Tensor:
    r"""The grouped additive coupling.

    .. math:: y'_0 = \sum_{i \ge 1} x_i, \qquad y_i = x_i + F_i(y_{i-1}) \quad (y_{-1} := y'_0)

    Args:
        blocks: the functions :math:`F_i`, one per group.
        x: what to couple; ``dim`` is split into as many groups.
        dim: the dimension to split.

    Example:
        >>> couple([torch.sin, torch.cos], torch.tensor([[1.0, 0.0]]))
        tensor([[1.0000, 0.5403]])
    """
    xs = _split(x, len(blocks), dim)
    y = _total(xs[1:])
    ys = []
    for block, part in zip(blocks, xs, strict=True):
        y = part + block(y)
        ys.append(y)
    return torch.cat(ys, dim)


def uncouple(blocks: Sequence[Block], y: Tensor, dim: int = -1) -> Tensor:
    r"""The inverse of :func:`couple`: :math:`x_i = y_i - F_i(y_{i-1})`, the last group first.

    Example:
        >>> x = torch.tensor([[1.0, 0.0]])
        >>> bool(torch.allclose(uncouple([torch.sin, torch.cos], couple([torch.sin, torch.cos], x)), x, atol=1e-6))
        True
    """
    ys = _split(y, len(blocks), dim)
    xs = list(ys)
    for group in range(len(blocks) - 1, 0, -1):
        xs[group] = ys[group] - blocks[group](ys[group - 1])
    xs[0] = ys[0] - blocks[0](_total(xs[1:]))
    return torch.cat(xs, dim)


class GroupAddRev(nn.Module):
    r"""A reversible layer of grouped convolutions: a stack of them keeps the activations of none.

    .. math:: x = [x_0, \dots, x_{C-1}], \qquad y_i = x_i + F_i(y_{i-1}), \qquad y_{-1} = \sum_{i \ge 1} x_i

    Nothing that the :math:`F_i` would save for the backward pass is kept. There, :math:`F_i(y_{i-1})` is computed
    again, once, which gives what the gradients need and :math:`x_i = y_i - F_i(y_{i-1})`, the output of the layer
    before. In a stack whose layers take each other's outputs as they are, only the last output is kept: memory does
    not grow with depth. Gradients are those of the plain computation, up to rounding in the reconstructed inputs.

    Drop-in for PyG's ``GroupAddRev``: same arguments, ``state_dict`` keys and values. Unlike there (and in the
    published code), no tensor's storage is freed or resized: the caller's input stays what it was. Any number and
    order of backward passes works, second derivatives too; random numbers drawn inside a convolution, autocast, modes
    and running statistics (updated once) are those of the forward pass; under ``torch.no_grad()`` nothing is kept, and
    compiled code (``torch.compile``) is the plain computation. Under autocast the sum is float32, in which the inverse
    is accurate.

    Args:
        conv: a convolution from and to ``F / C`` channels, copied for each group and reset there (the published code
            starts all groups with equal weights); or a ``ModuleList`` of one per group.
        split_dim: the dimension to split into groups.
        num_groups: number of groups ``C``, if ``conv`` is no list.
        disable: keep activations, as other layers do.
        num_bwd_passes: as in PyG, where it limits the number of backward passes; here there is no limit.

    Shapes:
        x ``[N, F]``, edge_index as the convolution takes it -> ``[N, F]``

    Raises:
        ValueError: if there are fewer than two groups or they do not divide the channels.

    Source: Li et al., "Training Graph Neural Networks with 1000 Layers", arXiv 2106.07476.

    Example:
        >>> from graphkit.nn import GENConv
        >>> layer = GroupAddRev(GENConv(4, 4, norm="layer"), num_groups=2)
        >>> layer(torch.randn(3, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        conv: nn.Module | nn.ModuleList,
        split_dim: int = -1,
        num_groups: int | None = None,
        disable: bool = False,
        num_bwd_passes: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(conv, nn.ModuleList):
            if num_groups is None or num_groups < 2:
                raise ValueError(f"'num_groups' must be at least 2 where 'conv' is no ModuleList (got {num_groups})")
            copies = [copy.deepcopy(conv) for _ in range(num_groups - 1)]
            for module in copies:
                reset(module)
            conv = nn.ModuleList([conv, *copies])
        elif len(conv) < 2:
            raise ValueError(f"'conv' must hold at least 2 convolutions, one per group (got {len(conv)})")
        self.convs = conv
        self.split_dim = split_dim
        self.disable = disable
        self.num_bwd_passes = num_bwd_passes

    @property
    def num_groups(self) -> int:
        """Number of groups."""
        return len(self.convs)

    def reset_parameters(self) -> None:
        """Draw the parameters of all convolutions anew."""
        for conv in self.convs:
            reset(conv)

    def forward(self, x: Tensor, edge_index: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Run the layer.

        Args:
            x: node features.
            edge_index: goes to each convolution.
            *args: further arguments; as in PyG, a tensor as wide as ``x`` along ``split_dim`` (a dropout mask) is
                split into groups, and anything else goes to each convolution.
            **kwargs: go to each convolution whole, whatever their width.
        """
        if torch.is_autocast_enabled(x.device.type) and x.dtype in (torch.bfloat16, torch.float16):
            x = x.float()  # y - F(y) in bfloat16 would be far from x
        blocks = self._blocks(x, edge_index, args, kwargs)
        if self.disable or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return couple(blocks, x, self.split_dim)
        inputs = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        return _Coupling(blocks, list(self.convs), inputs, self.split_dim).run(x)

    def inverse(self, y: Tensor, edge_index: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The input that :meth:`forward` maps to ``y``; the other arguments as there."""
        return uncouple(self._blocks(y, edge_index, args, kwargs), y, self.split_dim)

    def _blocks(self, x: Tensor, edge_index: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Block]:
        channels = x.size(self.split_dim)
        if channels % self.num_groups:
            raise ValueError(f"'x' must have channels that {self.num_groups} groups divide (got {channels})")
        parts = zip(*(self._parts(value, channels) for value in args), strict=True) if args else [()] * self.num_groups
        return [_block(conv, edge_index, part, kwargs) for conv, part in zip(self.convs, parts, strict=True)]

    def _parts(self, value: Any, channels: int) -> Sequence[Any]:
        splits = isinstance(value, Tensor) and -value.dim() <= self.split_dim < value.dim()
        if splits and value.size(self.split_dim) == channels:
            return _split(value, self.num_groups, self.split_dim)
        return [value] * self.num_groups

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.convs[0]}, num_groups={self.num_groups})"


class _Coupling:
    """One recorded :func:`couple`: hands autograd what the blocks saved by computing them again.

    Autograd's graph holds it, through what :meth:`_pack` returns. It holds its output until the next coupling takes
    that as its input; from then on the output is what the next one's inverse gives.
    """

    def __init__(self, blocks: Sequence[Block], modules: Sequence[nn.Module], inputs: list[Tensor], dim: int) -> None:
        self.blocks = blocks
        self.dim = dim
        self.calls = [_Call(module, inputs) for module in modules]
        self.saved: list[dict[int, Tensor]] = [{} for _ in blocks]
        self.results: list[Tensor | None] = [None] * len(blocks)
        self.output: Tensor | None = None
        self.version = 0
        self.next: _Coupling | None = None

    def run(self, x: Tensor) -> Tensor:
        y = couple([self._recorded(group) for group in range(len(self.blocks))], x, self.dim)
        if y.grad_fn is not None:
            self.output, self.version = y.detach(), y._version
            _notes(y)[_MADE_BY] = self
            previous = _notes(x).get(_MADE_BY)
            if previous is not None and previous.next is None and x._version == previous.version:
                previous.next, previous.output = self, None
        return y

    def _recorded(self, group: int) -> Block:
        def run(y: Tensor) -> Tensor:
            call = self.calls[group]
            with saved_tensors_hooks(lambda tensor: self._pack(group), _unpack), call.recorded(y):
                return self.blocks[group](y)

        return run

    def _pack(self, group: int) -> tuple[_Coupling, int, int]:
        self.calls[group].count += 1
        return self, group, self.calls[group].count - 1

    def take(self, group: int, number: int) -> Tensor:
        if number not in self.saved[group]:
            self._rerun(group)
        return self.saved[group].pop(number)

    def _rerun(self, group: int) -> Tensor:
        call = self.calls[group]
        ys = self._ys()
        y = ys[group - 1] if group else _total([self._input(i) for i in range(1, len(ys))])
        values: list[Tensor] = []

        def keep(tensor: Tensor) -> None:
            values.append(tensor.detach())

        with saved_tensors_hooks(keep, _unpack), call.repeated():
            result = self.blocks[group](y.detach().requires_grad_(call.needs_grad)).detach()
        if len(values) != call.count:
            raise RuntimeError(
                f"a reversible layer saved {call.count} tensors in the forward pass and {len(values)} when it was "
                "computed again: its convolutions must do the same each time"
            )
        self.saved[group], self.results[group] = dict(enumerate(values)), result
        return result

    def _ys(self) -> tuple[Tensor, ...]:
        if self.output is None:
            assert self.next is not None, "an output is given up only to a next coupling"
            with torch.no_grad():
                self.output = self.next._inverse()
        elif self.next is None and self.output._version != self.version:
            raise RuntimeError("the output of a reversible layer was changed in place before the backward pass")
        return _split(self.output, len(self.blocks), self.dim)

    def _input(self, group: int) -> Tensor:
        result = self.results[group]
        with torch.no_grad():
            return self._ys()[group] - (self._rerun(group) if result is None else result)

    def _inverse(self) -> Tensor:
        x = torch.cat([self._input(group) for group in reversed(range(len(self.blocks)))][::-1], self.dim)
        self.results = [None] * len(self.blocks)
        if self.next is not None:
            self.output = None
        return x


class _Call:
    """The surroundings of one block's call: what must be the same when it is repeated."""

    def __init__(self, module: nn.Module, inputs: list[Tensor]) -> None:
        self.module = module
        self.fixed = [*module.parameters(), *inputs]
        self.versions = self._versions()
        self.training = [part.training for part in module.modules()]
        self.count = 0
        self.needs_grad = False
        self.device = torch.device("cpu")
        self.random: list[Tensor] | None = None

    def _versions(self) -> list[int]:
        return [0 if tensor.is_inference() else tensor._version for tensor in self.fixed]

    @contextmanager
    def recorded(self, y: Tensor) -> Iterator[None]:
        self.needs_grad, self.device = y.requires_grad, y.device
        kind = y.device.type
        self.autocast = torch.autocast(kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
        before = _random(y.device) if self.module.training else []
        yield
        drawn = any(not torch.equal(a, b) for a, b in zip(before, _random(y.device), strict=False))
        self.random = before if drawn else None

    @contextmanager
    def repeated(self) -> Iterator[None]:
        if self._versions() != self.versions:
            raise RuntimeError(
                "a parameter or input of a reversible layer was changed in place between the forward and the backward "
                "pass, which computes the layer again; step the optimizer after the backward pass"
            )
        parts = list(self.module.modules())
        modes = [part.training for part in parts]
        cuda = [self.device] if self.device.type == "cuda" else []
        _set_modes(parts, self.training)
        try:
            with (
                torch.random.fork_rng(cuda, enabled=self.random is not None),
                lent_buffers(self.module),
                self.autocast,
                torch.enable_grad(),
            ):
                if self.random is not None:
                    torch.set_rng_state(self.random[0])
                    for state in self.random[1:]:
                        torch.cuda.set_rng_state(state, self.device)
                yield
        finally:
            _set_modes(parts, modes)


def _notes(tensor: Tensor) -> dict[str, Any]:
    """What autograd lets us note at the graph node that made a tensor."""
    node: Any = tensor.grad_fn
    return {} if node is None else node.metadata


def _unpack(handle: Any) -> Tensor:
    coupling, group, number = handle
    return coupling.take(group, number)


def _set_modes(parts: list[nn.Module], modes: list[bool]) -> None:
    for part, mode in zip(parts, modes, strict=True):
        part.training = mode


def _random(device: torch.device) -> list[Tensor]:
    """The states of the generators that a module on ``device`` may draw from."""
    cuda = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *cuda]


def _block(conv: nn.Module, edge_index: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Block:
    return lambda y: conv(y, edge_index, *args, **kwargs)


def _split(x: Tensor, groups: int, dim: int) -> tuple[Tensor, ...]:
    return torch.chunk(x, groups, dim)


def _total(xs: Sequence[Tensor]) -> Tensor:
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    return total
