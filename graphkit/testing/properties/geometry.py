"""Equivariance under a geometric group: claims such as ``E(3)``, ``SO(2)``, ``T(3)``, ``gradient_SE(3)``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.testing.case import Case
from graphkit.testing.compare import require_equal
from graphkit.testing.conditioning import amplification
from graphkit.testing.groups import Euclidean, Group
from graphkit.testing.properties.base import Property, register_pattern
from graphkit.testing.report import CannotRun, NotApplicable

TRIALS = 3

_GROUP = r"(E|SE|O|SO|T|Scale|Sim)\(\d+\)"


def equivariance(name: str, group: Group) -> Property:
    r"""The claim :math:`f(g \cdot x) = g \cdot f(x)` for random elements g of a group.

    The case says which inputs move and how (``inputs={"pos": "position"}``) and what the outputs are
    (``outputs="vector"``); everything else stays as it is.
    """

    def test(case: Case) -> None:
        module = case.module()
        values = _values(case)
        expected = case.run(module, case.data)
        kinds = _kinds(case, expected)
        generator = case.generator()
        for _ in range(TRIALS):
            element = group.sample(generator)
            moved = group.act({key: values[key] for key in case.inputs}, element, case.inputs)
            changed = Data.from_dict({**values, **moved})
            got = case.run(module, changed)
            want = group.act({str(i): value for i, value in enumerate(expected)}, element, kinds)
            for level, key, result in zip(case.levels, want, got, strict=True):
                context = f"under the {name} element {format_element(element)}"
                measure = partial(amplification, case, data=changed)
                require_equal(name, want[key], result, element=level, conditioning=measure, context=context)

    return Property(name, f"equivariant under {name}", test, law=False)


def gradient_equivariance(name: str, group: Group) -> Property:
    r"""The claim that gradients move with the group: forces of an invariant energy turn with the molecule.

    For random weights w the scalar :math:`\langle w, f(x) \rangle` equals :math:`\langle g w, f(g \cdot x) \rangle`
    (positions among the outputs are taken as vectors: their shift adds a constant), so that its gradients are vectors:
    :math:`\nabla_{gx} = g \nabla_x`, for tensors and pseudovectors accordingly.
    """
    claim = f"gradient_{name}"

    def test(case: Case) -> None:
        module = case.module()
        values = _values(case)
        outputs = case.run(module, case.data)
        kinds = {key: _as_vector(kind) for key, kind in _kinds(case, outputs).items()}
        input_kinds = {key: _as_vector(kind) for key, kind in case.inputs.items()}
        generator = case.generator()
        weights = {str(i): torch.randn(v.shape, dtype=v.dtype, generator=generator) for i, v in enumerate(outputs)}

        def gradients(module: nn.Module, data: Data, weights: Mapping[str, Tensor] = weights) -> list[Tensor]:
            leaves = {key: data[key].detach().requires_grad_() for key in case.inputs}
            results = case.run(module, Data.from_dict({**data.to_dict(), **leaves}))
            value = torch.stack([(weights[str(i)] * v).sum() for i, v in enumerate(results)]).sum()
            if not value.requires_grad:
                raise NotApplicable("the output does not depend on the inputs that move")
            found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
            return [torch.zeros_like(v) if g is None else g for g, v in zip(found, leaves.values(), strict=True)]

        expected = dict(zip(case.inputs, gradients(module, case.data), strict=True))
        for _ in range(TRIALS):
            element = group.sample(generator)
            changed = Data.from_dict({**values, **group.act({k: values[k] for k in case.inputs}, element, case.inputs)})
            turned = group.act(weights, element, kinds)
            want = group.act(expected, element, input_kinds)
            got = gradients(module, changed, turned)
            for key, result in zip(case.inputs, got, strict=True):
                context = f"in the gradient to '{key}' under the {name} element {format_element(element)}"
                measure = partial(amplification, case, gradients, changed)
                require_equal(claim, want[key], result, conditioning=measure, context=context)

    return Property(claim, f"gradients are equivariant under {name}", test, law=False)


def _values(case: Case) -> dict[str, Any]:
    """The data's attributes, those that move among them."""
    if not case.inputs:
        raise NotApplicable("no input has a geometric kind ('inputs')")
    values = case.data.to_dict()
    missing = [key for key in case.inputs if key not in values]
    if missing:
        raise CannotRun(f"'inputs' names {missing}, which the data lacks; it has {sorted(values)}")
    return values


def _kinds(case: Case, outputs: list[Tensor]) -> dict[str, str]:
    """The kind of each output, by its number."""
    kinds = dict(zip(map(str, range(len(outputs))), case.outputs, strict=False))
    if len(kinds) != len(outputs):
        raise CannotRun(f"'outputs' must give the kind of each of {len(outputs)} outputs, got {case.outputs}")
    return kinds


def _as_vector(kind: str) -> str:
    return "vector" if kind == "position" else kind


def format_element(element: object) -> str:
    """A group element on one line, to three digits.

    Example:
        >>> format_element(torch.eye(2))
        '[[1.0, 0.0], [0.0, 1.0]]'
    """
    if isinstance(element, torch.Tensor):
        return str(element.detach().double().round(decimals=3).tolist())
    if hasattr(element, "__dict__"):
        return f"({', '.join(f'{key}={format_element(value)}' for key, value in vars(element).items())})"
    return str(element)


register_pattern(_GROUP, lambda name: equivariance(name.upper(), Euclidean.named(name)))
register_pattern(
    rf"gradient_{_GROUP}",
    lambda name: gradient_equivariance(name[9:].upper(), Euclidean.named(name[9:])),
)
