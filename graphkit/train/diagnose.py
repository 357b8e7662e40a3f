"""Where a number stopped being finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


def culprit(model: nn.Module, run: Callable[[], object]) -> str:
    """Says which part of ``model`` made the first number that is not finite.

    Looks at the parameters first, then runs the step again and looks at what each module gives out, in the order in
    which they finish, innermost first.

    Args:
        model: the network.
        run: the forward pass that ended in NaN or infinity.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Softmax(dim=-1))
        >>> culprit(model, lambda: model(torch.full((1, 2), float("nan"))))
        "layer '0' (Linear) gave it out; its input was not finite either"
    """
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            return f"parameter '{name}' holds it"
    found: list[str] = []

    def look(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if not found and not _finite(output):
                cause = "" if _finite((args, kwargs)) else "; its input was not finite either"
                found.append(f"layer '{name}' ({type(module).__name__}) gave it out{cause}")

        return hook

    handles = [
        module.register_forward_hook(look(name), with_kwargs=True) for name, module in model.named_modules() if name
    ]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "no layer gave it out: it arose in the loss itself"


def bad_gradient(model: nn.Module) -> str | None:
    """The name of the first parameter whose gradient is not finite, or None.

    Example:
        >>> bad_gradient(nn.Linear(1, 1)) is None
        True
    """
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            return name
    return None


def _finite(value: Any) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in _tensors(value))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.layout == torch.strided:
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
