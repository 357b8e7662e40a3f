"""The main job: read handwritten digits from a few labels, with and without a graph: ``graphkit demo``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_geometric import seed_everything
from torch_geometric.data import Data

from graphkit.datasets import load
from graphkit.recipes.models import ModelConfig
from graphkit.train import JSONLTracker, RunResult, Summary, TrainConfig, Trainer
from graphkit.train.results import plus_minus

# The networks in the order of the table; the embedding in the picture is the last one's.
_TITLES = {
    "mlp": "MLP (no graph)",
    "pyg-gen": "DeeperGCN (PyG's GENConv)",
    "deepergcn": "DeeperGCN (graphkit)",
}


@dataclass(frozen=True)
class DemoConfig:
    """What the demonstration does; the defaults take well under a minute on two cores.

    Args:
        seeds: runs per network, with the seeds 0, 1, ...
        epochs: epochs of each run.
        labels: labelled images per digit.
        neighbors: nearest neighbours that each image is joined to.
        out: the folder for the table, the records and the picture.
        progress: show a progress bar for each run.
    """

    seeds: int = 3
    epochs: int = 60
    labels: int = 10
    neighbors: int = 10
    out: str = "results/demo"
    progress: bool = True


@dataclass(frozen=True)
class DemoReport:
    """What :func:`run_demo` did and where it wrote it.

    Args:
        summaries: all runs of each network.
        text: the table.
        table: the file that holds ``text``.
        records: the file of JSON lines: one per epoch and run of each network.
        picture: validation curves, test accuracies, epoch times and the embedding.
    """

    summaries: tuple[Summary, ...]
    text: str
    table: Path
    records: Path
    picture: Path


def run_demo(config: DemoConfig) -> DemoReport:
    """Trains the three networks on the digits' nearest-neighbour graph and writes table, records, picture.

    All see the same 64 grey values per image and the same few labels; the validation labels choose the
    epoch, and the test labels are read once per run, for the final score.

    Raises:
        ImportError: if scikit-learn or matplotlib is not installed (the message says how to install them).
    """
    from graphkit.recipes.figures import demo_figure

    data = load("digits", k=config.neighbors, num_train_per_class=config.labels)[0]
    out = Path(config.out)
    records = out / "results.jsonl"
    summaries = []
    for name, title in _TITLES.items():
        runs, model = _train(name, data, config, JSONLTracker(records, name))
        summaries.append(Summary(title, runs))

    text = "\n\n".join([_headline(data), _overview(summaries), *(summary.table() for summary in summaries)])
    table = out / "results.txt"
    table.write_text(text + "\n")
    picture = out / "demo.png"
    demo_figure(summaries, data, last_hidden(model, data)).savefig(picture, dpi=150)
    return DemoReport(tuple(summaries), text, table, records, picture)


def _train(name: str, data: Data, config: DemoConfig, tracker: JSONLTracker) -> tuple[tuple[RunResult, ...], nn.Module]:
    """All runs of one network, and the network of the first run."""
    model_config = ModelConfig(model=name, num_layers=2, norm="batch")  # type: ignore[arg-type]
    training = TrainConfig(epochs=config.epochs, weight_decay=5e-4, progress=config.progress)
    runs, models = [], []
    for seed in range(config.seeds):
        seed_everything(seed)
        models.append(model_config.build(data.num_features, int(data.y.max()) + 1))
        runs.append(Trainer(models[-1], replace(training, seed=seed), trackers=[tracker]).fit(data))
    return tuple(runs), models[0]


@torch.no_grad()
def last_hidden(model: nn.Module, data: Data) -> Tensor:
    """What the read-out ``model.head`` reads, ``[N, hidden_channels]``, in evaluation mode."""
    inputs: list[Tensor] = []
    handle = model.get_submodule("head").register_forward_pre_hook(
        lambda module, arguments: inputs.append(arguments[0])
    )
    try:
        model.eval()
        model(data.x, data.edge_index)
    finally:
        handle.remove()
    return inputs[-1]


def _headline(data: Data) -> str:
    labels, val, test = (int(data[f"{split}_mask"].sum()) for split in ("train", "val", "test"))
    return (
        f"Handwritten digits: {data.num_nodes:,} images of 8 x 8 pixels, joined to their nearest neighbours "
        f"({data.num_edges:,} directed edges).\n"
        f"{labels} labels to train with, {val} to choose the epoch with, {test:,} images to test on."
    )


def _overview(summaries: list[Summary]) -> str:
    lines = [f"{'network':<28}{'test accuracy':>16}{'ms per epoch':>14}{'parameters':>12}"]
    for summary in summaries:
        first = summary.runs[0]
        score = plus_minus(run.test for run in summary.runs)
        lines.append(f"{summary.name:<28}{score:>16}{1000 * summary.epoch_seconds:>14.1f}{first.num_parameters:>12,}")
    return "\n".join(lines)
