"""Forward-only training: :class:`ForwardTrainer`, its rules, and what they are made of."""

from __future__ import annotations

from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.rules import RULES
from graphkit.train.forward.trainer import ForwardTrainer

__all__ = ["ForwardTrainer", "ForwardConfig", "RULES"]
