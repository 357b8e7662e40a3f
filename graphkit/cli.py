"""The command ``graphkit``: one line per subcommand in :data:`COMMANDS`, each loaded when it is called.

Arguments are read by jsonargparse from the dataclasses and functions that do the work, so there is no second
list of options, and every command with options also takes ``--config FILE`` (YAML).
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from graphkit import __version__


def doctor(arguments: Sequence[str]) -> int:
    """Show versions, devices and backends; exit code 1 if the native kernels did not load."""
    argparse.ArgumentParser(prog="graphkit doctor", description=doctor.__doc__).parse_args(arguments)
    from graphkit.doctor import examine

    report = examine()
    print(report)
    if not report.healthy:
        print("\nThe native kernels did not load (see backends): operators run on the slower torch backend.")
        return 1
    return 0


def demo(arguments: Sequence[str]) -> int:
    """Train on handwritten digits in under a minute; leave a picture and a table."""
    from graphkit.recipes.demo import DemoConfig, run_demo

    parser = _parser("demo", demo)
    parser.add_class_arguments(DemoConfig, None)
    report = run_demo(_pick(DemoConfig, parser.parse_args(arguments)))
    print(report.text)
    print(f"\ntable:   {report.table}\nrecords: {report.records}\npicture: {report.picture}")
    return 0


def train(arguments: Sequence[str]) -> int:
    """Train a model on a data set over some seeds; report every seed, mean and standard deviation."""
    from typing import get_args, get_type_hints

    from graphkit.recipes.models import ModelConfig

    rule, model = _peek(arguments, "rule", "model")
    if rule is not None:
        return train_forward(arguments)
    known = get_args(get_type_hints(ModelConfig)["model"])
    if model is not None and model not in known:
        from graphkit.recipes.evolvegcn.prepare import NAMES

        if model in NAMES:
            return train_temporal(arguments)
        raise ValueError(f"model: got {model!r}, expected one of {', '.join((*known, *NAMES))}")
    from graphkit.recipes.node_classification import RunConfig, run
    from graphkit.train import TrainConfig

    parser = _parser("train", train)
    parser.description = f"{train.__doc__} {OTHER_TRAINING}"
    for config in (RunConfig, ModelConfig, TrainConfig):
        parser.add_class_arguments(config, None)
    values = parser.parse_args(arguments)
    report = run(_pick(RunConfig, values), _pick(ModelConfig, values), _pick(TrainConfig, values))
    print(report.text)
    print(f"\ntable:   {report.table}\nrecords: {report.records}")
    if report.picture is not None:
        print(f"picture: {report.picture}")
    return 0


# What `graphkit train` does besides; each has options of its own.
OTHER_TRAINING = (
    "With options of their own (add --help): --rule RULE trains forward-only, layer by layer; --model evolvegcn-h, "
    "evolvegcn-o and their baselines gcn, gcn-gru and pyg-temporal-o train on a graph that changes with time."
)


def train_temporal(arguments: Sequence[str]) -> int:
    """Train EvolveGCN, or what it is compared with, on a graph that changes with time."""
    from graphkit.recipes.evolvegcn.train import EvolveOptions, run_evolve

    parser = _parser("train", train_temporal)
    parser.add_class_arguments(EvolveOptions, None)
    report = run_evolve(_pick(EvolveOptions, parser.parse_args(arguments)))
    print(report.text)
    print(f"\ntable:   {report.table}\nrecords: {report.records}")
    if report.picture is not None:
        print(f"picture: {report.picture}")
    return 0


def train_forward(arguments: Sequence[str]) -> int:
    """Train convolutions layer by layer without back-propagation through others, and by back-propagation beside it."""
    from graphkit.recipes.forward.train import ForwardOptions, run_forward
    from graphkit.train import ForwardConfig

    parser = _parser("train", train_forward)
    for config in (ForwardOptions, ForwardConfig):
        parser.add_class_arguments(config, None)
    values = parser.parse_args(arguments)
    report = run_forward(_pick(ForwardOptions, values), _pick(ForwardConfig, values))
    _say(report.text)
    _say(f"\ntable:   {report.table}\nrecords: {report.records}")
    return 0


def ogb(arguments: Sequence[str]) -> int:
    """Train DeeperGCN, or a sheaf recommender, on a data set of OGB, with OGB's flags, Evaluator and output."""
    from graphkit.recipes.ogb import OgbOptions, canonical, run_ogb

    parser = _parser("ogb", ogb)
    parser.add_class_arguments(OgbOptions, None)
    options = _pick(OgbOptions, parser.parse_args(canonical(arguments)))
    run_ogb(options, _say, f"graphkit ogb {shlex.join(arguments)}")
    return 0


def reproduce(arguments: Sequence[str]) -> int:
    """Train a published method with its published settings; print published against measured scores."""
    from graphkit.recipes.ogb import canonical
    from graphkit.recipes.reproduce import METHODS, ReproduceOptions, run_reproduction

    parser = _parser("reproduce", reproduce)
    parser.add_argument("method", choices=list(METHODS), help="the method")
    parser.add_class_arguments(ReproduceOptions, None)
    values = parser.parse_args(canonical(arguments))
    run_reproduction(
        values.method, _pick(ReproduceOptions, values), _say, f"graphkit reproduce {shlex.join(arguments)}"
    )
    return 0


def check(arguments: Sequence[str]) -> int:
    """Test any layer against the contract: permutation, batch consistency, locality and more."""
    parser = argparse.ArgumentParser(prog="graphkit check", description=check.__doc__)
    parser.add_argument("target", nargs="?", help="package.module:Layer, a class or a function that builds a module")
    parser.add_argument(
        "--args", default="", help="its arguments, e.g. 8,8 or 8,8,aggr=max; by their names if not given"
    )
    parser.add_argument(
        "--claims", default="", help="what to check, e.g. permutation,batch,locality; all laws if not given"
    )
    parser.add_argument("--seed", type=int, default=0, help="of parameters and inputs")
    parser.add_argument("--list", action="store_true", help="print the claims there are, and what each says")
    values = parser.parse_args(arguments)
    if values.target is None and not values.list:
        parser.error("the following arguments are required: target (or --list)")
    from graphkit.testing.cli import list_claims, run_check

    if values.list:
        return list_claims()
    return run_check(values.target, values.args, values.claims.split(","), seed=values.seed)


def report(arguments: Sequence[str]) -> int:
    """Run the contract over PyG's own convolutions and aggregations; write a table of what holds."""
    parser = argparse.ArgumentParser(prog="graphkit report", description=report.__doc__)
    parser.add_argument("names", nargs="*", help="classes of torch_geometric.nn, e.g. GCNConv; all where none is given")
    parser.add_argument("--output", type=Path, help="a Markdown file; standard output where not given")
    values = parser.parse_args(arguments)
    from graphkit.testing.cli import run_report

    return run_report(values.names, values.output, f"graphkit report {shlex.join(arguments)}".strip())


def bench(arguments: Sequence[str]) -> int:
    """Time graphkit against PyG, torch_scatter and DGL; in a checkout, where benchmarks/ is."""
    if not Path("benchmarks", "__main__.py").is_file():
        print("graphkit bench: no folder 'benchmarks' here; run it in a checkout of graphkit", file=sys.stderr)
        return 2
    import subprocess

    return subprocess.run([sys.executable, "-m", "benchmarks", *arguments], check=False).returncode


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "doctor": doctor,
    "demo": demo,
    "train": train,
    "ogb": ogb,
    "reproduce": reproduce,
    "check": check,
    "report": report,
    "bench": bench,
}


def _say(line: str) -> None:
    if os.environ.get("RANK", "0") == "0":  # of the processes that torchrun starts, the first one speaks
        print(line, flush=True)


def _parser(name: str, command: Callable[..., int]) -> Any:
    import jsonargparse

    parser = jsonargparse.ArgumentParser(prog=f"graphkit {name}", description=command.__doc__)
    parser.add_argument("--config", action="config", help="a YAML file with values for these options")
    return parser


def _peek(arguments: Sequence[str], *names: str) -> list[str | None]:
    """The values of these options, or None, on the command line or in the file of ``--config``, before all are read."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name in ("config", *names):
        parser.add_argument(f"--{name}")
    given = vars(parser.parse_known_args(arguments)[0])
    if "config" in given and Path(given["config"]).is_file():
        import jsonargparse  # noqa: F401  (brings PyYAML; its parser reports a file that is missing or no YAML)
        import yaml

        with Path(given["config"]).open() as file:
            try:
                values = yaml.safe_load(file)
            except yaml.YAMLError:
                values = None
        given = {**(values if isinstance(values, dict) else {}), **given}
    return [given.get(name) for name in names]


def _pick(config: type[Any], values: Any) -> Any:
    """The dataclass made from its fields among the parsed values."""
    return config(**{field.name: values[field.name] for field in fields(config)})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``graphkit COMMAND ...`` and returns the exit code: 0 done, 1 found wanting, 2 could not run."""
    width = max(map(len, COMMANDS))
    overview = "\n".join(f"  {name:<{width}}  {command.__doc__}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="graphkit",
        description="Graph learning on PyTorch Geometric.",
        epilog=f"commands (graphkit COMMAND --help says more):\n{overview}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"graphkit {__version__}")
    parser.add_argument("command", nargs="?", choices=list(COMMANDS), metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its options")
    values = parser.parse_args(arguments)
    if values.command is None:
        parser.print_help()
        return 0
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return COMMANDS[values.command](values.arguments)
    except ModuleNotFoundError as error:
        if error.name != "jsonargparse":
            raise
        remedy = "needs jsonargparse: pip install 'graphkit[cli]'"
    except (FileNotFoundError, ImportError, ValueError, FloatingPointError) as error:
        remedy = f"error: {error}"
    print(f"graphkit {values.command}: {remedy}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
