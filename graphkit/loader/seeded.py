"""A data loader whose every batch has its own random state, whoever computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from graphkit.graph.sampling.random import check_key, fold_int, new_key


@dataclass(frozen=True)
class Step:
    """What a worker gets for one batch: the items, the key of the batch and that of its epoch."""

    items: Sequence[int]
    key: int
    epoch_key: int


@contextmanager
def random_state(key: int) -> Iterator[None]:
    """torch's CPU generator seeded with ``key`` inside, and as before outside."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(key)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)


class _Positions(Dataset[int]):
    """``0 .. size - 1``; hands a whole step to ``collate_fn`` as it is."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, item: int) -> int:
        return item

    def __getitems__(self, step: Step) -> Step:
        return step


class _Steps:
    """The batches of an epoch with their keys; every pass over it is the loader's next epoch."""

    def __init__(self, loader: SeededLoader, batches: Any) -> None:
        self.loader = loader
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Step]:
        # An epoch begins with its first batch: torch makes iterators that it never asks for one.
        key = fold_int(self.loader.seed, self.loader.epoch)
        self.loader.epoch += 1
        batches = iter(self.batches)
        with random_state(key):  # torch's samplers draw the order, or a seed for it, at their first step
            items = next(batches, None)
        number = 0
        while items is not None:
            yield Step(items, fold_int(key, number), key)
            items = next(batches, None)
            number += 1


class _Collate:
    """``collate_fn`` under the random state of the step; plain items (``loader(items)``) take the caller's."""

    def __init__(self, collate: Callable[[Any], Any], pass_step: bool) -> None:
        # A bound method is pickled as an attribute of its object; a loader's `collate_fn` would then be this wrapper.
        self.collate = partial(collate.__func__, collate.__self__) if isinstance(collate, MethodType) else collate
        self.pass_step = pass_step

    def __call__(self, step: Any) -> Any:
        if not isinstance(step, Step):
            return self.collate(step)
        with random_state(step.key):
            return self.collate(step if self.pass_step else step.items)


class SeededLoader(DataLoader):
    """A :class:`torch.utils.data.DataLoader` with batches that do not depend on the number of workers.

    Epoch ``e`` has the key ``fold(seed, e)``: it seeds the shuffling, and batch ``b`` runs with torch's generator
    seeded by ``fold(fold(seed, e), b)``. Each pass over the loader is the next epoch; :meth:`set_epoch` names it, so a
    resumed run sees the batches it would have seen.

    Written for cooperation: PyG's ``NodeLoader`` and ``LinkLoader`` call it in the place of ``DataLoader``.

    Args:
        dataset: what is counted; items are positions in it.
        collate_fn: from a list of positions to a batch.
        seed: non-negative int; ``None`` takes one from ``generator``.
        generator: where the seed comes from without one; ``None`` is torch's global generator.
        pass_step: whether ``collate_fn`` gets a :class:`Step` instead of its items.
        **kwargs: as torch's.

    Raises:
        TypeError: if ``seed`` is no int.
        ValueError: if both ``seed`` and ``generator`` are given, or batching is switched off.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        collate_fn: Callable[[Any], Any],
        seed: int | None = None,
        generator: torch.Generator | None = None,
        pass_step: bool = False,
        **kwargs: Any,
    ) -> None:
        if seed is not None and generator is not None:
            raise ValueError("'seed' and 'generator' were both given; the seed is taken from one of them")
        if kwargs.get("batch_size", 1) is None and kwargs.get("batch_sampler") is None:
            raise ValueError("'batch_size' must be an int (got None): a sampler works on batches of seeds")
        self.seed = new_key(generator) if seed is None else check_key(seed)
        self.epoch = 0
        super().__init__(
            _Positions(len(dataset)),
            collate_fn=_Collate(collate_fn, pass_step),
            **kwargs,
        )

    def set_epoch(self, epoch: int) -> None:
        """The next pass over the loader is epoch ``epoch``."""
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
            raise ValueError(f"'epoch' must be a non-negative int (got {epoch!r})")
        self.epoch = epoch

    @property
    def _index_sampler(self) -> Any:
        # What torch's iterators draw from; an attribute of every release since 1.2.
        return _Steps(self, super()._index_sampler)
