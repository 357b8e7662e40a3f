"""What a ``torch.nn.Module`` owes its user: printing, resetting, saving, copying, building lazily."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import Tensor, nn

from graphkit.testing.adapter import is_lazy
from graphkit.testing.case import Case, perturb, seeded
from graphkit.testing.compare import require_equal
from graphkit.testing.properties.base import register
from graphkit.testing.report import BrokenClaim, NotApplicable


def _require_bits(case: Case, claim: str, expected: list[Tensor], got: list[Tensor], context: str) -> None:
    for level, a, b in zip(case.levels, expected, got, strict=True):
        require_equal(claim, a, b, element=level, tolerance=0.0, context=context)


def _learn(case: Case, module: nn.Module) -> None:
    """One forward and backward pass, after which a module may hold on to what it should not."""
    loss = sum((r.pow(2).sum() for r in case.run(module, case.data)), torch.zeros((), dtype=torch.float64))
    if loss.requires_grad:
        loss.backward()


@register("repr", "prints its class name and no memory address, the same each time")
def repr_(case: Case) -> None:
    module = case.module()
    text = repr(module)
    if type(module).__name__ not in text:
        raise BrokenClaim("repr", f"{text!r} does not name the class {type(module).__name__}")
    if " at 0x" in text:
        raise BrokenClaim("repr", f"{text!r} shows a memory address")
    again = repr(case.module())
    if again != text:
        raise BrokenClaim("repr", f"two layers built alike print {text!r} and {again!r}")


@register("reset_parameters", "reset_parameters() undoes training, and a seed decides its result")
def reset_parameters(case: Case) -> None:
    """Two layers with different parameters and statistics have equal states after a reset under one seed."""
    states = []
    for seed in (case.seed + 1, case.seed + 2):
        module = case.module(train=True)
        reset = getattr(module, "reset_parameters", None)
        if reset is None:
            if not list(module.parameters()):
                raise NotApplicable("the layer has no parameters")
            raise BrokenClaim("reset_parameters", "the layer has parameters and no method 'reset_parameters'")
        perturb(module, seed)
        for _ in range(seed - case.seed):
            case.run(module, case.data)  # moves the running statistics too
        with seeded(case.seed):
            reset()
        states.append(module.state_dict())
    for name, value in states[0].items():
        if isinstance(value, Tensor) and not torch.equal(value, states[1][name]):
            raise BrokenClaim(
                "reset_parameters", f"'{name}' keeps what it had before (or ignores the seed)", element=name
            )


@register("train_eval", "evaluation leaves no trace, and training draws the same under the same seed")
def train_eval(case: Case) -> None:
    """An evaluation changes no parameter and no buffer, and going to training mode and back changes no bit of it.

    Running statistics and dropout are for training: there two copies of the layer agree where the seed is the same.
    """
    module = case.module()
    before = {name: value.clone() for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    expected = case.run(module, case.data)
    for name, value in module.state_dict().items():
        if isinstance(value, Tensor) and name in before and not _same_bits(before[name], value):
            raise BrokenClaim("train_eval", f"an evaluation changes '{name}'", element=name)
    module.train()
    module.eval()
    _require_bits(case, "train_eval", expected, case.run(module, case.data), "in a second evaluation")
    first, second = (case.run(case.module(train=True), case.data) for _ in range(2))
    _require_bits(case, "train_eval", first, second, "in training mode under the same seed")


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | (a != a)).all())


@register("state_dict", "a state_dict carries the whole layer")
def state_dict(case: Case) -> None:
    """Another layer gives equal bits after loading; the keys are the same before and after use."""
    module = case.module()
    other = case.module(seed=case.seed + 1)
    perturb(other, case.seed + 1)
    keys = set(module.state_dict())
    expected = case.run(module, case.data)
    changed = keys.symmetric_difference(module.state_dict())
    if changed:
        raise BrokenClaim("state_dict", f"keys {sorted(changed)} come or go with the first call")
    other.load_state_dict(module.state_dict())
    _require_bits(case, "state_dict", expected, case.run(other, case.data), "after loading the state_dict")


@register("pickle", "pickling keeps the output, also after a training step")
def pickle_(case: Case) -> None:
    module = case.module()
    _learn(case, module)
    copied = pickle.loads(pickle.dumps(module))
    _require_bits(case, "pickle", case.run(module, case.data), case.run(copied, case.data), "after pickling")


@register("deepcopy", "a deep copy gives the same output and shares nothing")
def deepcopy(case: Case) -> None:
    """Copied after a training step; then the copy is changed, which the original must not notice."""
    module = case.module()
    _learn(case, module)
    expected = [result.detach().clone() for result in case.run(module, case.data)]
    copied = copy.deepcopy(module)
    _require_bits(case, "deepcopy", expected, case.run(copied, case.data), "in the copy")
    perturb(copied, case.seed + 1)
    _require_bits(case, "deepcopy", expected, case.run(module, case.data), "after the copy was changed")


@register("lazy", "in_channels=-1 takes its sizes from the first input", law=False)
def lazy(case: Case) -> None:
    """After one call no size is open, and the state_dict of the eager layer loads and gives its output."""
    with seeded(case.seed):
        module = case.lazy() if case.lazy is not None else case._build(case.seed)
    module = module.double().eval()
    if not is_lazy(module):
        if case.lazy is None:
            raise NotApplicable("no lazy builder was given ('lazy')")
        raise BrokenClaim("lazy", "the lazy layer has no open sizes before the first call")
    case.run(module, case.data)
    if is_lazy(module):
        open_ = [name for name, value in module.named_parameters() if nn.parameter.is_lazy(value)]
        raise BrokenClaim("lazy", f"{open_} have open sizes after the first call", element=open_[0])
    eager = case.module()
    module.load_state_dict(eager.state_dict())
    _require_bits(case, "lazy", case.run(eager, case.data), case.run(module, case.data), "of the lazy layer")
