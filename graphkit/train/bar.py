"""What a run shows while it trains: a bar on a terminal, a logged line now and then elsewhere."""

from __future__ import annotations

import logging
import time

from tqdm import tqdm

from graphkit.train.config import TrainConfig
from graphkit.train.results import EpochRecord

_log = logging.getLogger(__name__)
_SILENCE = 30.0  # seconds between two lines


class EpochBar:
    """A progress bar over epochs; where no terminal shows it, the epoch is logged once half a minute has gone by.

    Args:
        name: what is trained.
        config: ``epochs`` is the length; ``progress`` true: the bar; false: nothing; None: a bar on a terminal, lines
            elsewhere.
        done: epochs that lie behind.
        first: whether this process is the one that speaks.

    Example:
        >>> with EpochBar("GCN, seed 0", TrainConfig(epochs=2, progress=False), 0, first=True) as bar:
        ...     bar.update(EpochRecord(seed=0, epoch=1, loss=0.5, train=0.9, val=0.8, seconds=0.1))
    """

    def __init__(self, name: str, config: TrainConfig, done: int, *, first: bool) -> None:
        hidden = None if config.progress is None else not config.progress
        self._bar = tqdm(
            total=config.epochs,
            initial=done,
            desc=name,
            unit="epoch",
            disable=hidden if first else True,
            dynamic_ncols=True,
        )
        self._name = name
        self._epochs = config.epochs
        self._speaks = first and hidden is None and self._bar.disable
        self._spoke = time.monotonic()

    def __enter__(self) -> EpochBar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def update(self, record: EpochRecord) -> None:
        """An epoch is over."""
        val = "" if record.val is None else f"{record.val:.3f}"
        self._bar.set_postfix(loss=f"{record.loss:.3f}", val=val, refresh=False)
        self._bar.update()
        if self._speaks and time.monotonic() - self._spoke >= _SILENCE:
            self._spoke = time.monotonic()
            score = val and f", val {val}"
            spent = f"{record.seconds:.1f} s per epoch"
            _log.info(
                "%s: epoch %d of %d, loss %.3f%s, %s", self._name, record.epoch, self._epochs, record.loss, score, spent
            )
