"""What all temporal tasks share: windows or a stream, truncated back-propagation, evaluation in the order of time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, overload

import torch
from torch import Generator, Tensor, nn

from graphkit.graph.temporal import Snapshot, SnapshotSequence, TimeSplit, split_by_time
from graphkit.nn.temporal import EvolveState


class Chunk(NamedTuple):
    """The steps of one gradient.

    Attributes:
        snapshots: a view of the whole sequence.
        targets: those of its steps, the last ones, whose embeddings are compared with labels.
        first: whether the state begins anew here.
        seed: of whatever is drawn for it.
    """

    snapshots: SnapshotSequence
    targets: range
    first: bool
    seed: int


@dataclass
class TemporalTask(ABC):
    r"""Base of the temporal tasks; a subclass says what the labels of a step are.

    The model has ``sequence(snapshots, state, last=...) -> (embeddings, state)`` and ``head``, as
    :class:`graphkit.models.TemporalModel` has; the data are a
    :class:`~graphkit.graph.temporal.SnapshotSequence` with node features.

    ``mode="window"``: one step of the optimiser per training step t, on the window :math:`t - h, \ldots, t`, the state
    beginning anew, as in the released code. ``mode="stream"``: the sequence is read once per epoch in chunks of
    ``truncate`` steps; the state is carried from chunk to chunk and cut off from its past there (truncated
    back-propagation through time), so that memory does not grow with the sequence. The state is in the checkpoint: a
    run killed in the middle of a sequence goes on there, with the bits of one that was not.

    Evaluation goes through time in order, with weights that are fixed and a state that has seen no later step. A
    training score is that of the last training steps, as many as there are for validation.

    Args:
        mode: ``"window"`` or ``"stream"``.
        history: h, the number of steps before the last one of a window.
        truncate: length of the chunks of a stream.
        split: shares of the steps for training and validation.
    """

    mode: Literal["window", "stream"] = "window"
    history: int = 10
    truncate: int = 10
    split: tuple[float, float] = (0.7, 0.1)
    _state: Any = field(default=None, repr=False, compare=False)

    horizon: ClassVar[int] = 0

    def __post_init__(self) -> None:
        if self.mode not in ("window", "stream"):
            raise ValueError(f"mode: got {self.mode!r}, expected 'window' or 'stream'")
        if self.history < 0 or self.truncate < 1:
            raise ValueError(
                f"history, truncate: got {self.history} and {self.truncate}, expected at least 0 and at least 1"
            )

    # What a subclass says -----------------------------------------------------------------------------------

    @abstractmethod
    def step_loss(
        self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int, generator: Generator
    ) -> tuple[Tensor, int]:
        """The summed loss of one step's embeddings over its labels, and their number."""

    @abstractmethod
    def measure(self, model: nn.Module, z: Tensor, data: SnapshotSequence, step: int) -> Any:
        """What of one step goes into the score; None if it has no label."""

    @abstractmethod
    def combine(self, measured: list[Any]) -> dict[str, float]:
        """Named scores, higher is better, the one to choose an epoch by first."""

    def embeds_touched_only(self) -> bool:
        """Whether labels are of nodes that touch an edge of their step, so that of a window no others are embedded."""
        return False

    # The protocol of a task ---------------------------------------------------------------------------------

    @property
    def divided(self) -> bool:
        return False  # every process reads the whole sequence

    def check(self, data: Any) -> None:
        if not isinstance(data, SnapshotSequence):
            raise ValueError(f"data: got {type(data).__name__}, expected a SnapshotSequence")
        if data.times != range(len(data)):
            raise ValueError(f"data: got a view of the steps {data.times}, expected a whole sequence")
        self.parts(data)
        if data[0].x is None:
            raise ValueError("data: got snapshots without node features, expected some: sequence.with_(x=...)")

    def parts(self, data: SnapshotSequence) -> TimeSplit:
        """The steps of training, validation and test."""
        return split_by_time(len(data), self.history if self.mode == "window" else 0, *self.split, self.horizon)

    def prepare(self, data: SnapshotSequence, device: torch.device) -> SnapshotSequence:
        self.check(data)
        self._state = None
        return data

    def batches(self, data: SnapshotSequence, generator: Generator) -> Iterator[Chunk]:
        """The chunks of one epoch, in the order of time: windows are not shuffled, as published."""
        train = self.parts(data).train
        length = 1 if self.mode == "window" else self.truncate
        for start in range(train.start, train.stop, length):
            targets = range(start, min(start + length, train.stop))
            seed = int(torch.randint(2**62, (), generator=generator))
            if self.mode == "window":
                yield Chunk(data.history(start, self.history + 1), targets, True, seed)
            else:
                yield Chunk(data[targets.start : targets.stop], targets, start == train.start, seed)

    def loss(self, model: nn.Module, chunk: Chunk) -> tuple[Tensor, int]:
        """The summed loss over all labels of the chunk, and their number; leaves the state for the next chunk."""
        before = None if chunk.first else _to(self._state, _device(model))
        embeddings, after = self._embed(model, chunk.snapshots, before, last=len(chunk.targets) == 1)
        self._state = detach(after) if self.mode == "stream" else None
        generator = torch.Generator().manual_seed(chunk.seed)
        total, count = embeddings[-1].sum() * 0.0, 0
        for z, step in zip(embeddings[-len(chunk.targets) :], chunk.targets, strict=True):
            loss, labels = self.step_loss(model, z, chunk.snapshots, step, generator)
            total, count = total + loss, count + labels
        return total, count

    def scores(self, model: nn.Module, data: SnapshotSequence, splits: tuple[str, ...]) -> dict[str, float]:
        steps = self.parts(data)._asdict()
        steps["train"] = steps["train"][-len(steps["val"]) :]
        wanted = {split: steps[split] for split in splits}
        measured: dict[str, list[Any]] = {split: [] for split in splits}
        for step, z in self.embeddings(model, data, sorted({step for part in wanted.values() for step in part})):
            for split, part in wanted.items():
                if step in part and (value := self.measure(model, z, data, step)) is not None:
                    measured[split].append(value)
        result: dict[str, float] = {}
        for split, values in measured.items():
            if not values:
                raise ValueError(f"data: got no label in the steps {wanted[split]} of '{split}', expected some")
            named = self.combine(values)
            result[split] = next(iter(named.values()))
            result |= {f"{split}/{name}": value for name, value in named.items()}
        return result

    def predict(self, model: nn.Module, data: SnapshotSequence) -> list[Tensor]:
        """The embeddings of the test steps."""
        return [z for _, z in self.embeddings(model, data, list(self.parts(data).test))]

    # Embeddings in the order of time ------------------------------------------------------------------------

    def embeddings(self, model: nn.Module, data: SnapshotSequence, steps: list[int]) -> Iterable[tuple[int, Tensor]]:
        """(step, embeddings of its nodes), from what was known then.

        Args:
            model: the network.
            data: the whole sequence.
            steps: which, in ascending order.
        """
        if self.mode == "window":
            for step in steps:
                yield step, self._embed(model, data.history(step, self.history + 1), None, last=True)[0][-1]
            return
        state, wanted = None, set(steps)
        for step in range(steps[-1] + 1):
            (z,), state = self._embed(model, data[step : step + 1], state, last=True)
            if step in wanted:
                yield step, z

    def _embed(
        self, model: nn.Module, snapshots: SnapshotSequence, state: Any, *, last: bool
    ) -> tuple[list[Tensor], Any]:
        # Nodes that a window never touches change nothing at the others; a state that is carried on may be of all.
        touched = snapshots.touched() if self.mode == "window" and self.embeds_touched_only() else None
        few = snapshots if touched is None else _Among(snapshots, touched)
        device = _device(model)
        there = few if device.type == "cpu" else [snapshot.to(device) for snapshot in few]
        embeddings, state = model.sequence(there, state, last=last)  # type: ignore[operator]
        if touched is None:
            return embeddings, state
        nodes = touched.nonzero().view(-1).to(device)
        return [z.new_zeros(touched.numel(), z.size(1)).index_copy(0, nodes, z) for z in embeddings], state

    # The state in a checkpoint ------------------------------------------------------------------------------

    def memory(self) -> Any:
        """The state after the last chunk, in tensors and plain values."""
        return _pack(self._state)

    def recall(self, memory: Any) -> None:
        """Take back what :meth:`memory` gave."""
        self._state = _unpack(memory)


class _Among(Sequence[Snapshot]):
    """Some nodes of each snapshot, made when it is asked for."""

    def __init__(self, snapshots: Sequence[Snapshot], chosen: Tensor) -> None:
        self.snapshots, self.chosen = snapshots, chosen

    def __len__(self) -> int:
        return len(self.snapshots)

    @overload
    def __getitem__(self, step: int) -> Snapshot: ...

    @overload
    def __getitem__(self, step: slice) -> _Among: ...

    def __getitem__(self, step: int | slice) -> Snapshot | _Among:
        if isinstance(step, slice):
            return _Among(self.snapshots[step], self.chosen)
        return self.snapshots[step].among(self.chosen)


def detach(state: Any) -> Any:
    """A state, whatever it is made of, cut off from the past."""
    return _map(state, lambda tensor: tensor.detach())


def _to(state: Any, device: torch.device) -> Any:
    return _map(state, lambda tensor: tensor.to(device))


def _device(model: nn.Module) -> torch.device:
    return next(iter(model.parameters())).device


def _map(state: Any, fn: Any) -> Any:
    if isinstance(state, Tensor):
        return fn(state)
    if isinstance(state, EvolveState):
        return EvolveState(*(_map(part, fn) for part in state))
    if isinstance(state, tuple):
        return tuple(_map(part, fn) for part in state)
    if isinstance(state, Mapping):
        return {key: _map(part, fn) for key, part in state.items()}
    return state


def _pack(state: Any) -> Any:
    """With names of kinds instead of classes, as a checkpoint holds no code."""
    if isinstance(state, EvolveState):
        return {"kind": "evolve", "parts": [_pack(part) for part in state]}
    if isinstance(state, tuple):
        return {"kind": "tuple", "parts": [_pack(part) for part in state]}
    if isinstance(state, Mapping):
        return {"kind": "dict", "parts": {key: _pack(part) for key, part in state.items()}}
    return state


def _unpack(packed: Any) -> Any:
    if not isinstance(packed, dict):
        return packed
    parts = packed["parts"]
    if packed["kind"] == "dict":
        return {key: _unpack(part) for key, part in parts.items()}
    unpacked = [_unpack(part) for part in parts]
    return EvolveState(*unpacked) if packed["kind"] == "evolve" else tuple(unpacked)
