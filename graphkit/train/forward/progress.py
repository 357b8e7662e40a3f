"""How far a run has come, to be saved and put back whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from graphkit.train.checkpoint import random_state, set_random_state
from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.layer import ForwardNetwork
from graphkit.train.forward.stopping import Stopper
from graphkit.train.results import EpochRecord
from graphkit.train.state import versions

_MAY_DIFFER = frozenset({"device", "progress", "checkpoint_every", "max_minutes"})


@dataclass
class ForwardProgress:
    """Everything about a run that is not in the weights, the optimisers or the states of layers.

    Args:
        phase: number of the phase, from 0 (of the layer, with a greedy rule).
        epoch: epochs of this phase so far.
        stopper: its best weights.
        done: whether it has stopped.
        history: all epochs of all phases.
    """

    stopper: Stopper
    phase: int = 0
    epoch: int = 0
    done: bool = False
    history: list[EpochRecord] = field(default_factory=list)

    def next_phase(self, patience: int | None) -> None:
        self.phase, self.epoch, self.done, self.stopper = self.phase + 1, 0, False, Stopper(patience)


def to_checkpoint(
    progress: ForwardProgress,
    config: ForwardConfig,
    rule: str,
    network: ForwardNetwork,
    optimizers: Sequence[Optimizer],
    states: Sequence[Any],
) -> dict[str, Any]:
    """Tensors and plain values that hold a run."""
    return {
        "config": asdict(config),
        "rule": rule,
        "versions": versions(),
        "model": {name: value for name, value in network.state_dict().items() if not is_lazy(value)},
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "states": list(states),
        "random": random_state(),
        "phase": progress.phase,
        "epoch": progress.epoch,
        "done": progress.done,
        "stopper": progress.stopper.to_checkpoint(),
        "history": [asdict(record) for record in progress.history],
    }


def weights_from_checkpoint(
    content: dict[str, Any], path: Path, config: ForwardConfig, rule: str, network: ForwardNetwork
) -> ForwardProgress:
    """Puts the weights back; optimisers and states follow when their phase is there (:func:`rest_from_checkpoint`).

    Raises:
        ValueError: if the checkpoint is of another configuration, rule or network.
    """
    ours, theirs = {**asdict(config), "rule": rule}, {**content.get("config", {}), "rule": content.get("rule")}
    changed = [key for key in ours if key not in _MAY_DIFFER and theirs.get(key) != ours[key]]
    if changed:
        there = ", ".join(f"{key}={theirs.get(key)!r}" for key in changed)
        here = ", ".join(f"{key}={ours[key]!r}" for key in changed)
        raise ValueError(
            f"checkpoint '{path}' was made with {there}, this run has {here}: use the same values, or delete the file "
            "to start anew"
        )
    try:
        _load(network, content["model"])
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint '{path}' is of another network ({error}): build the same one, or delete the file to start anew"
        ) from error
    stopper = Stopper(config.patience)
    stopper.from_checkpoint(content["stopper"])
    history = [EpochRecord(**record) for record in content["history"]]
    return ForwardProgress(stopper, content["phase"], content["epoch"], content["done"], history)


def _load(network: ForwardNetwork, weights: dict[str, Any]) -> None:
    """Loads strictly, but for the weights of lazy layers, which no checkpoint holds before their turn has come."""
    lazy = {name for name, value in network.state_dict().items() if is_lazy(value)}
    missing, unexpected = network.load_state_dict(weights, strict=False)
    wrong = [*(set(missing) - lazy), *unexpected]
    if wrong:
        raise RuntimeError(f"it differs in {', '.join(sorted(wrong))}")


def rest_from_checkpoint(content: dict[str, Any], optimizers: Sequence[Optimizer], phase: Any) -> None:
    """Puts back the optimisers, the states of layers and the random states."""
    for optimizer, state in zip(optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    phase.set_state(content["states"])
    set_random_state(content["random"])
