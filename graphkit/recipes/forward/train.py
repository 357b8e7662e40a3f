"""Train a stack of convolutions layer by layer, and the same convolutions by back-propagation: ``graphkit train``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from graphkit.recipes.forward.experiment import (
    Network,
    epochs_to,
    open_graph,
    run_backprop,
    run_rule,
    scores_by_depth,
    split_links,
    split_nodes,
    with_unit_rows,
)
from graphkit.recipes.forward.networks import ConvName
from graphkit.train import ForwardConfig, RunResult, distributed
from graphkit.train.results import plus_minus


@dataclass(frozen=True)
class ForwardOptions:
    """What to train forward-only, and on what.

    Args:
        rule: "sf", "sf-top-to-loss", "sf-top-to-input", "ff-la", "ff-vn" or "symba"; for links "link-ce", "link-ff",
            "link-symba" or "link-ce-top-to-input".
        conv: "gcn", "sage", "gat", "gen" (graphkit's GENConv) or "sheaf" (graphkit's SheafConv).
        layers: number of convolutions.
        hidden_channels: their width.
        dataset: cora, citeseer, pubmed, citationfull-cora_ml, karate, ...
        root: the folder with the raw files; default: environment variable GRAPHKIT_DATA, else ../shared/data if there
            is one.
        split: "random", the paper's 64/16/20 % (run i on split i), or "fixed", the masks of the data set.
        seeds: number of runs, with the seeds SEED, SEED + 1, ...
        parallel: what processes that torchrun started share: "data", or "layers" (top-down rules; process r holds the
            r-th part of the layers).
        baseline: train the same convolutions by back-propagation too, on the same input.
        out: the folder for the table, the records and the checkpoints; default: results/DATASET-RULE-CONV.
        resume: go on from the checkpoints in that folder.
    """

    rule: str = "sf"
    conv: ConvName = "gcn"
    layers: int = 4
    hidden_channels: int = 128
    dataset: str = "cora"
    root: str | None = None
    split: Literal["random", "fixed"] = "random"
    seeds: int = 1
    parallel: Literal["data", "layers"] = "data"
    baseline: bool = True
    out: str | None = None
    resume: bool = False


@dataclass(frozen=True)
class ForwardReport:
    """What was trained and where it is written.

    Args:
        text: a line per seed and depth, means and standard deviations.
        table: the file that holds ``text``.
        records: the file of JSON lines, one per epoch and run.
        runs: of the rule.
        baseline: of back-propagation.
    """

    text: str
    table: Path
    records: Path
    runs: tuple[RunResult, ...]
    baseline: tuple[RunResult, ...]


def run_forward(options: ForwardOptions, config: ForwardConfig) -> ForwardReport:
    """Trains once per seed and writes ``results.txt`` and ``results.jsonl``.

    Raises:
        ValueError: if an option is out of range or unknown, or the data set does not fit.
        FileNotFoundError: if raw files are missing.
    """
    if options.layers < 1 or options.seeds < 1:
        raise ValueError(f"layers: got {options.layers} and seeds {options.seeds}, expected at least one of each")
    dataset = open_graph(options.dataset, options.root)
    data, classes = dataset[0], dataset.num_classes
    out = Path(options.out or f"results/{options.dataset.lower()}-{options.rule}-{options.conv}")
    network = Network(options.conv, options.layers, options.hidden_channels)
    runs: list[RunResult] = []
    baseline: list[RunResult] = []
    with distributed() as share:
        for number in range(options.seeds):
            seeded = replace(config, seed=config.seed + number)
            split = _split(options, data, number)
            runs.append(
                run_rule(
                    options.rule, network, split, classes, seeded, out,
                    resume=options.resume, parallel=options.parallel,
                )
            )  # fmt: skip
            if options.baseline:
                unit = with_unit_rows(split)
                baseline.append(run_backprop(network, unit, classes, seeded, out, resume=options.resume))
    head = (
        f"{options.dataset}: {data.num_nodes:,} nodes, {data.num_edges:,} directed edges, {dataset.num_features:,} "
        f"features, {classes} classes; split: {options.split}"
    )
    text = "\n".join([head, *_table(options, runs, baseline)])
    table = out / "results.txt"
    if share.first:
        table.write_text(text + "\n")
    return ForwardReport(text, table, out / "results.jsonl", tuple(runs), tuple(baseline))


def _split(options: ForwardOptions, data: Any, number: int) -> Any:
    if options.rule.startswith("link"):
        return split_links(data, number)
    if options.split == "random":
        return split_nodes(data, number)
    if data.get("train_mask") is None:
        raise ValueError(f"split: got 'fixed', but {options.dataset} has no masks; use 'random'")
    if data.train_mask.dim() == 2:
        data = data.clone()
        for name in ("train_mask", "val_mask", "test_mask"):
            data[name] = data[name][:, number % data[name].size(1)]
    return data


def _table(options: ForwardOptions, runs: Sequence[RunResult], baseline: Sequence[RunResult]) -> list[str]:
    metric = "AUC" if options.rule.startswith("link") else "accuracy"
    lines = [f"{'trained by':<24}{'depth':>6}{'seed':>7}{'val':>9}{'test':>9}{'epochs':>8}{'ms/epoch':>10}"]
    several = f", mean ± unbiased standard deviation over {len(runs)} seeds" if len(runs) > 1 else " of one seed"
    summary = [f"test {metric}{several}:"]
    for name, results in ((options.rule, runs), ("back-propagation", baseline)):
        depths: dict[int, list[float]] = {}
        for result in results:
            val = scores_by_depth(result, options.layers, "val")
            for depth, score in scores_by_depth(result, options.layers, "test").items():
                depths.setdefault(depth, []).append(score)
                lines.append(
                    f"{name:<24}{depth:>6}{result.seed:>7}{100 * val[depth]:>9.2f}{100 * score:>9.2f}"
                    f"{epochs_to(result, depth):>8}{1000 * result.epoch_seconds:>10.1f}"
                )
        summary += [f"  {name}, depth {depth}: {plus_minus(scores)}" for depth, scores in depths.items()]
    if baseline:
        summary.append(
            "Back-propagation: the same convolutions, input rows of length 1 as the rule sees them. An epoch of a "
            "greedy rule trains one layer; those of all layers up to a depth are counted."
        )
    return [*lines, *summary]
