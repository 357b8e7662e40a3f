# Kernels are Triton code: their arguments have no Python types.
# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""What the kernels share: how rows become programs, messages, and launching.

A program owns at most ``PIECE`` consecutive edges of one row and ``block_f`` channels. Rows up to ``PIECE`` edges are
finished by their program. A longer row (a hub) is cut, counted from its own first edge, into pieces whose partial
states go to a buffer that a second kernel merges in order. So nothing is added atomically, results are bit-equal from
run to run, and a row's rounding does not depend on where other rows lie.

The number of programs must be known without asking the device. ``pieces = (E - 1) // PIECE`` multiples of ``PIECE``
lie strictly inside ``0 .. E``, and a hub that covers ``c`` of them has at most ``c + 1`` pieces. So one program per
row takes the row's first piece, and one per multiple finds the row around it by bisection and takes the next piece,
or nothing. No list of pieces is built and nothing is synchronised.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from graphkit.ops.check import accumulator
from graphkit.ops.triton import interpreted

OptTensor = Tensor | None

PIECE = 256  # edges per program: a hub becomes many programs, and partial states stay below 3% of E x F
TILE = 512  # edge-channels in registers at a time: 16 values of 4 bytes per thread of one warp
WARPS = 1  # a row of some ten edges fills a warp, not more, and a multiprocessor holds many such programs


class Plan(NamedTuple):
    """How one call is cut into programs."""

    rows: int
    pieces: int
    channels: int
    block_e: int
    block_f: int

    @classmethod
    def make(cls, ptr: Tensor, index: Tensor, x: Tensor) -> Plan:
        """A program has all channels up to 128, and as many edges at a time as fill ``TILE``."""
        block_f = min(triton.next_power_of_2(max(x.size(1), 1)), 128)
        block_e = min(max(TILE // block_f, 4), 32)
        return cls(ptr.numel() - 1, max(index.numel() - 1, 0) // PIECE, x.size(1), block_e, block_f)

    @property
    def blocks(self) -> int:
        """Programs per row."""
        return triton.cdiv(self.channels, self.block_f)

    def run(self, program: Any, x: Tensor, *args: Any, **constants: Any) -> None:
        """Launch ``program`` over the first pieces of all rows and the other pieces of hubs."""
        if x.device.type != "cuda" and not interpreted():
            raise ValueError(f"backend 'triton' runs on CUDA (got a tensor on {x.device}); move it or use 'torch'")
        self._launch(program, self.rows + self.pieces, x, args, constants)

    def merge(self, program: Any, x: Tensor, *args: Any, **constants: Any) -> None:
        """Launch ``program`` over the hubs, if there can be any."""
        self._launch(program, self.pieces, x, args, constants)

    def _launch(self, program: Any, count: int, x: Tensor, args: tuple[Any, ...], constants: dict[str, Any]) -> None:
        if self.rows * count * self.channels == 0:
            return
        with torch.cuda.device_of(x):
            program[(count, self.blocks)](
                *args, self.rows, self.pieces,
                F=self.channels, ACC=_TYPES[accumulator(x.dtype)], PIECE=PIECE,
                BLOCK_E=self.block_e, BLOCK_F=self.block_f, num_warps=WARPS, enable_fp_fusion=True, **constants,
            )  # fmt: skip

    def states(self, x: Tensor, number: int) -> Tensor:
        """Room for ``number`` partial values per piece and channel."""
        size = 2 * (self.pieces + 1) if self.pieces > 0 else 0
        return x.new_empty((number, size, self.channels), dtype=accumulator(x.dtype))


# Sizes are not compiled in: mini-batches, each of its own size, would compile again and again.
kernel = triton.jit(do_not_specialize=["rows", "pieces", "slots"])

_TYPES = {torch.float32: tl.float32, torch.float64: tl.float64}


def edge_kind(edge: OptTensor) -> str:
    """How edge data are laid out: ``none``, ``scalar`` per edge, or ``vector`` of channels per edge."""
    if edge is None:
        return "none"
    return "scalar" if edge.dim() == 1 else "vector"


# Rows ---------------------------------------------------------------------------------------------------------------


@triton.jit
def row_around(ptr, slot, rows):
    """The row that owns ``slot``: the last one whose pointer is not beyond it."""
    low = slot * 0
    high = low + rows
    while high - low > 1:
        middle = (low + high) // 2
        inside = tl.load(ptr + middle) <= slot
        low = tl.where(inside, middle, low)
        high = tl.where(inside, high, middle)
    return low


@triton.jit
def locate(ptr, rows, pieces, PIECE: tl.constexpr):
    """The edges of this program: ``(row, begin, end, state)``.

    ``state`` is the number of its partial state, -1 if the program has the whole row, -2 if it has nothing to do.
    """
    program = tl.program_id(0).to(tl.int64)
    if program < pieces:
        # Pieces of hubs come first: they take longest.
        multiple = program + 1
        row = row_around(ptr, multiple * PIECE, rows)
        start = tl.load(ptr + row).to(tl.int64)
        stop = tl.load(ptr + row + 1).to(tl.int64)
        piece = multiple - start // PIECE
        begin = start + piece * PIECE
        state = tl.where((piece > 0) & (begin < stop), multiple, -2)
    else:
        row = program - pieces
        start = tl.load(ptr + row).to(tl.int64)
        stop = tl.load(ptr + row + 1).to(tl.int64)
        begin = start
        # Only one hub can start between two multiples, so this number is its own.
        state = tl.where(stop - start > PIECE, pieces + 1 + start // PIECE, -1)
    return row, begin, tl.minimum(begin + PIECE, stop), state


@triton.jit
def hub(ptr, rows, pieces, PIECE: tl.constexpr):
    """The hub this merging program owns: ``(row, degree, first, rest, count)``, ``count`` 0 if none.

    Its partial states are number ``first`` and the ``count - 1`` from ``rest`` on. Of the multiples inside a hub the
    first one's program merges it.
    """
    multiple = tl.program_id(0).to(tl.int64) + 1
    row = row_around(ptr, multiple * PIECE, rows)
    start = tl.load(ptr + row).to(tl.int64)
    degree = tl.load(ptr + row + 1).to(tl.int64) - start
    number = start // PIECE
    owner = (multiple == number + 1) & (degree > PIECE)
    count = tl.where(owner, (degree + PIECE - 1) // PIECE, 0)
    return row, degree, pieces + 1 + number, multiple, count


@triton.jit
def channels(F: tl.constexpr, BLOCK_F: tl.constexpr):
    """The channels of this program and which of them exist."""
    column = tl.program_id(1) * BLOCK_F + tl.arange(0, BLOCK_F)
    return column, column < F


@triton.jit
def load_slots(index, perm, k, end, keep, BLOCK_E: tl.constexpr):
    """A tile of edges from slot ``k``: ``(live, mask, other node, edge)``."""
    slot = k + tl.arange(0, BLOCK_E)
    live = slot < end
    other = tl.load(index + slot, live, other=0).to(tl.int64)
    edge_id = tl.load(perm + slot, live, other=0).to(tl.int64)
    return live, live[:, None] & keep[None, :], other, edge_id


@triton.jit
def load_states(states, first, rest, k, count, column, keep, F: tl.constexpr, BLOCK_E: tl.constexpr):
    """A block of a hub's partial values, in order, and which are there."""
    number = k + tl.arange(0, BLOCK_E)
    at = tl.where(number == 0, first, rest + number - 1)
    live = (number < count)[:, None] & keep[None, :]
    return tl.load(states + at[:, None] * F + column[None, :], live, other=0.0), live


# Messages -----------------------------------------------------------------------------------------------------------


@triton.jit
def load_rows(x, row, column, mask, F: tl.constexpr, ACC: tl.constexpr):
    """Gather a tile of rows of ``x``, in the accumulation dtype."""
    return tl.load(x + row[:, None] * F + column[None, :], mask, other=0.0).to(ACC)


@triton.jit
def load_edge(edge, edge_id, live, column, mask, F: tl.constexpr, EDGE: tl.constexpr, ACC: tl.constexpr):
    """The edge data of a tile; edge features stream past the cache, which is for node features."""
    if EDGE == "vector":
        at = edge + edge_id[:, None] * F + column[None, :]
        value = tl.load(at, mask, other=0.0, eviction_policy="evict_first").to(ACC)
    elif EDGE == "scalar":
        value = tl.load(edge + edge_id, live, other=0.0).to(ACC)[:, None]
    else:
        value = tl.zeros([1, 1], ACC)
    return value


@triton.jit
def combine(x, edge, MESSAGE: tl.constexpr, EDGE: tl.constexpr):
    """The message before relu, clamp and eps."""
    if EDGE == "none":
        value = x
    elif MESSAGE == "mul":
        value = x * edge
    else:
        value = x + edge
    return value


@triton.jit
def finish(value, MESSAGE: tl.constexpr, EPS: tl.constexpr):
    """relu and eps of ``add_relu``, the clamp from below of ``clamp``. NaN stays NaN under relu."""
    if MESSAGE == "add_relu":
        value = tl.where(value < 0, 0.0, value) + EPS
    elif MESSAGE == "clamp":
        value = tl.where(value > EPS, value, EPS)
    return value


@triton.jit
def through(grad, value, MESSAGE: tl.constexpr, EPS: tl.constexpr):
    """The gradient behind ``finish``, given its input."""
    if MESSAGE == "add_relu":
        grad = tl.where(value > 0, grad, 0.0)
    elif MESSAGE == "clamp":
        grad = tl.where(value > EPS, grad, 0.0)
    return grad


@triton.jit
def store_edge(edge, edge_id, grad, x, live, column, mask, F: tl.constexpr, MESSAGE: tl.constexpr,
               EDGE: tl.constexpr, slots):  # fmt: skip
    """The gradient of the edge data. Of a scalar, each block of channels stores its own share."""
    if MESSAGE == "mul":
        grad = grad * x
    if EDGE == "vector":
        tl.store(edge + edge_id[:, None] * F + column[None, :], grad, mask, eviction_policy="evict_first")
    else:
        tl.store(edge + tl.program_id(1).to(tl.int64) * slots + edge_id, tl.sum(tl.where(mask, grad, 0.0), 1), live)


# Sums over pieces ---------------------------------------------------------------------------------------------------


@kernel
def merge_sums(
    ptr, states, out, rows, pieces,
    MEAN: tl.constexpr, F: tl.constexpr, ACC: tl.constexpr, PIECE: tl.constexpr, BLOCK_E: tl.constexpr,
    BLOCK_F: tl.constexpr,
):  # fmt: skip
    """The rows of hubs whose pieces are sums."""
    row, degree, first, rest, count = hub(ptr, rows, pieces, PIECE)
    if count == 0:
        return
    column, keep = channels(F, BLOCK_F)
    total = tl.zeros([BLOCK_F], ACC)
    for k in range(0, count, BLOCK_E):
        value, _ = load_states(states, first, rest, k, count, column, keep, F, BLOCK_E)
        total += tl.sum(value, 0)
    if MEAN:
        total /= degree.to(ACC)
    tl.store(out + row * F + column, total, keep)


@triton.jit
def store_sum(out, states, row, state, total, column, keep, F: tl.constexpr):
    """A finished row, or a hub's partial sum."""
    if state == -1:
        tl.store(out + row * F + column, total, keep)
    else:
        tl.store(states + state * F + column, total, keep)


def edge_gradient(edge: OptTensor, need_edge: bool, plan: Plan) -> OptTensor:
    """Room for the gradient of the edge data, or ``None`` if nobody wants it.

    That of a scalar is a sum over channels, which lie in several programs if there are more than 128: one row per
    block of channels, for :func:`add_blocks` to add in order.
    """
    if edge is None or not need_edge:
        return None
    if edge.dim() == 1:
        return edge.new_empty((plan.blocks, edge.size(0)), dtype=accumulator(edge.dtype))
    return torch.empty_like(edge)


def add_blocks(gedge: OptTensor, edge: OptTensor) -> OptTensor:
    """The gradient in the shape and dtype of the edge data."""
    if gedge is None or edge is None or edge.dim() > 1:
        return gedge
    return gedge.sum(0).to(edge.dtype)
