"""The logic of ``graphkit check`` and ``graphkit report``: find a layer by name and check it; or check all of PyG's."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from graphkit.testing.properties import PROPERTIES, SPECIAL
from graphkit.testing.pyg.table import build, known
from graphkit.testing.report import CannotRun
from graphkit.testing.suite import check


def parse_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Constructor arguments as written on a command line; a bare word is a string.

    Raises:
        ValueError: If the text is no list of literals.

    Example:
        >>> parse_arguments("8, (8, 4), aggr=max, bias=False")
        ([8, (8, 4)], {'aggr': 'max', 'bias': False})
    """
    try:
        call = ast.parse(f"layer({text})", mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError("not a list of arguments")
        named = {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords if keyword.arg}
        return [_literal(argument) for argument in call.args], named
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"'args' must be literals such as '8,8' or '8,8,aggr=max', got {text!r} ({error})") from error


def _literal(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def load_target(target: str) -> Any:
    """The object behind ``package.module:Name``.

    Raises:
        ValueError: If the text has no such form, the module does not import or lacks the name.

    Example:
        >>> load_target("torch_geometric.nn:SAGEConv").__name__
        'SAGEConv'
    """
    module, separator, name = target.partition(":")
    if not separator or not module or not name:
        raise ValueError(f"'target' must be 'package.module:Layer', got {target!r}")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"'target' {target!r} cannot be loaded: {error}") from error
    return found


def list_claims(*, stream: TextIO | None = None) -> int:
    """Write every claim with what it says; those that ``check`` tests by default are marked.

    Example:
        >>> import io
        >>> stream = io.StringIO()
        >>> list_claims(stream=stream)
        0
        >>> stream.getvalue().splitlines()[0]
        '* permutation            relabelling the nodes relabels the output'
    """
    out = stream or sys.stdout
    groups = "equivariant under a group: E, SE, O, SO, T, Scale, Sim of any dimension; gradient_E(3): its gradients are"
    lines = [(p.law, p.name, p.description) for p in (*PROPERTIES.values(), *SPECIAL.values())]
    for law, name, description in (*lines, (False, "E(3), SO(2), ...", groups)):
        out.write(f"{'*' if law else ' '} {name:<22} {description}\n")
    out.write("* tested where no claims are named ('laws')\n")
    return 0


def run_check(
    target: str,
    args: str = "",
    claims: Iterable[str] | None = None,
    *,
    seed: int = 0,
    stream: TextIO | None = None,
    **options: Any,
) -> int:
    """Check a layer and write its report.

    Args:
        target: ``package.module:Layer``, a class or a function that builds a module.
        args: Constructor arguments, such as ``8,8`` or ``8,8,aggr=max``. Where empty, required arguments get small
            values by their names (``in_channels``, ``heads``, ...).
        claims: Names of claims; the laws where None or empty.
        seed: Seed of parameters and inputs.
        stream: Where the table goes; standard output where None.
        **options: Further arguments of :class:`~graphkit.testing.Case`.

    Returns:
        0 where every claim holds, 1 where one is broken, 2 where the check could not run.

    Example:
        >>> import io
        >>> run_check("torch_geometric.nn:SAGEConv", "8,8", ["batch", "locality"], stream=io.StringIO())
        0
        >>> run_check("torch_geometric.nn:NoSuchConv", stream=io.StringIO())
        2
    """
    out = stream or sys.stdout
    names = [name for name in claims or [] if name]
    try:
        positional, named = parse_arguments(args)
        found = load_target(target)
        layer = partial(found, *positional, **named)
        data = None
        if not args.strip() and isinstance(found, type):
            name, entry = known(found)
            layer = partial(build, name, found)
            data, options = entry.data() if entry.data else None, {**entry.options, **options}
        report = check(layer, data, claims=names or None, seed=seed, **options)
    except (CannotRun, ValueError, TypeError) as error:
        out.write(f"graphkit check could not run: {error}\n")
        return 2
    out.write(f"{report}\n")
    if report.failures:
        return 1
    return 0 if report.passed else 2


def run_report(names: Iterable[str], output: Path | None, command: str, *, stream: TextIO | None = None) -> int:
    """Check PyG's own convolutions and aggregations and write a Markdown page of what holds.

    Args:
        names: Names of classes; all of them where empty.
        output: The file to write; the stream where None.
        command: What was typed, for the page.
        stream: Where progress goes, and the page without ``output``; standard output where None.

    Returns:
        0 where the page was written, 2 where a name is unknown.
    """
    from graphkit.testing.pyg import page, survey

    out = stream or sys.stdout
    rows = []
    try:
        for row in survey(list(names) or None):
            rows.append(row)
            if output is not None:
                broken = len(row.report.failures) if row.report else row.reason
                out.write(f"{row.name}: {broken if isinstance(broken, str) else f'{broken} broken'}\n")
    except ValueError as error:
        out.write(f"graphkit report could not run: {error}\n")
        return 2
    text = page(rows, command)
    if output is None:
        out.write(text)
    else:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text)
        out.write(f"written: {output}\n")
    return 0
