"""Equivariance under a geometric group: claims such as ``E(3)``, ``SO(2)``, ``T(3)``."""

from __future__ import annotations

from functools import partial

import torch
from torch_geometric.data import Data

from graphkit.testing.case import Case
from graphkit.testing.compare import require_equal
from graphkit.testing.conditioning import amplification
from graphkit.testing.groups import Euclidean, Group
from graphkit.testing.properties.base import Property, register_pattern
from graphkit.testing.report import CannotRun, NotApplicable

TRIALS = 3


def equivariance(name: str, group: Group) -> Property:
    r"""The claim :math:`f(g \cdot x) = g \cdot f(x)` for random elements g of a group.

    The case says which inputs move and how (``inputs={"pos": "position"}``) and what the outputs are
    (``outputs="vector"``); everything else stays as it is.
    """

    def test(case: Case) -> None:
        if not case.inputs:
            raise NotApplicable("no input has a geometric kind ('inputs')")
        module = case.module()
        values = case.data.to_dict()
        missing = [key for key in case.inputs if key not in values]
        if missing:
            raise CannotRun(f"'inputs' names {missing}, which the data lacks; it has {sorted(values)}")
        expected = case.run(module, case.data)
        kinds = dict(zip(map(str, range(len(expected))), case.outputs, strict=False))
        if len(kinds) != len(expected):
            raise CannotRun(f"'outputs' must give the kind of each of {len(expected)} outputs, got {case.outputs}")
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


register_pattern(r"(E|SE|O|SO|T)\(\d+\)", lambda name: equivariance(name.upper(), Euclidean.named(name)))
