"""Continuous sheaf diffusion: an ordinary differential equation in place of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

FIXED_STEP = ("euler", "midpoint", "heun3", "rk4")


@dataclass(frozen=True)
class SheafODE:
    """How a continuous model is integrated, by torchdiffeq.

    Args:
        method: ``"euler"``, ``"rk4"`` (of fixed steps), ``"dopri5"`` (adaptive) or another of torchdiffeq's.
        time: the end of the interval, which starts at 0.
        step_size: of methods with fixed steps.
        atol, rtol: tolerances of adaptive methods.

    Raises:
        ValueError: if a number is not positive.
    """

    method: str = "euler"
    time: float = 1.0
    step_size: float = 1.0
    atol: float = 1e-7
    rtol: float = 1e-9

    def __post_init__(self) -> None:
        for name in ("time", "step_size", "atol", "rtol"):
            if not getattr(self, name) > 0:
                raise ValueError(f"'{name}' of SheafODE must be positive (got {getattr(self, name)})")

    def integrate(self, derivative: Callable[[Tensor, Tensor], Tensor], start: Tensor) -> Tensor:
        """The state at ``time`` of ``dX/dt = derivative(t, X)``, differentiable through the solver's steps.

        Raises:
            ImportError: if torchdiffeq is not installed.
        """
        try:
            from torchdiffeq import odeint
        except ImportError as error:
            raise ImportError("continuous sheaf diffusion needs torchdiffeq: pip install 'graphkit[ode]'") from error
        ends = torch.tensor([0.0, self.time], dtype=start.dtype, device=start.device)
        options = {"step_size": self.step_size} if self.method in FIXED_STEP else {}
        result: Tensor = odeint(
            derivative, start, ends, method=self.method, options=options, atol=self.atol, rtol=self.rtol
        )
        return result[-1]
