"""Train one of the networks on a node-classification data set over several seeds: ``graphkit train``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch_geometric.data import Dataset
from torch_geometric.transforms import NormalizeFeatures

from graphkit.datasets import load
from graphkit.models import NeuralSheafDiffusion
from graphkit.recipes.models import ModelConfig
from graphkit.recipes.sheaf import draw_sheaf
from graphkit.train import JSONLTracker, NodeClassification, Summary, TrainConfig, repeat
from graphkit.train.checkpoint import load_checkpoint


@dataclass(frozen=True)
class RunConfig:
    """What to train on and where to write.

    Args:
        dataset: cora, citeseer, pubmed, cornell, texas, wisconsin, karate or digits.
        root: the folder with the raw files; default: environment variable GRAPHKIT_DATA, else
            ../shared/data if there is one.
        seeds: number of runs, with the seeds SEED, SEED + 1, ... Where a data set has several fixed splits,
            run number i uses split i.
        normalize_features: divide each node's features by their sum.
        out: the folder for the table, the records and the checkpoints; default: results/DATASET-MODEL.
        resume: go on from the checkpoints in that folder.
        figure: a file for a picture of the sheaf that the first run learned ("nsd" only).
    """

    dataset: str = "cora"
    root: str | None = None
    seeds: int = 1
    normalize_features: bool = True
    out: str | None = None
    resume: bool = False
    figure: str | None = None


@dataclass(frozen=True)
class RunReport:
    """What :func:`run` did and where it wrote it.

    Args:
        summary: all runs.
        text: the data set, a line per seed, mean and standard deviation.
        table: the file that holds ``text``.
        records: the file of JSON lines, one per epoch and run.
        picture: the picture, if one was asked for.
    """

    summary: Summary
    text: str
    table: Path
    records: Path
    picture: Path | None = None


def run(what: RunConfig, model: ModelConfig, training: TrainConfig) -> RunReport:
    """Trains ``model`` once per seed and writes ``results.txt`` and ``results.jsonl``.

    Raises:
        ValueError: if the data set is unknown, damaged or not for node classification, or there is nothing to draw.
        FileNotFoundError: if raw files are missing.
    """
    if what.figure is not None and model.model != "nsd":
        raise ValueError(
            f"figure: got '{what.figure}' with model='{model.model}', expected model='nsd', which has a sheaf"
        )
    transform = NormalizeFeatures() if what.normalize_features else None
    dataset = load(what.dataset, what.root, transform=transform)
    data = dataset[0]
    splits = data.train_mask.size(1) if data.train_mask.dim() == 2 else 1
    out = Path(what.out or f"results/{what.dataset.lower()}-{model.model}")
    records = out / "results.jsonl"
    first = training.seed
    summary = repeat(
        lambda: model.build(dataset.num_features, dataset.num_classes),
        data,
        training,
        range(first, first + what.seeds),
        name=f"{model.model} on {what.dataset}",
        task=lambda seed: NodeClassification(split_index=(seed - first) % splits),
        trackers=[JSONLTracker(records, model.model)],
        checkpoint_dir=out / "checkpoints",
        resume=what.resume,
    )
    text = f"{_describe(what.dataset, dataset)}\n{summary.table()}"
    table = out / "results.txt"
    table.write_text(text + "\n")
    picture = None
    if what.figure is not None:
        network = model.build(dataset.num_features, dataset.num_classes)
        assert isinstance(network, NeuralSheafDiffusion)  # what "nsd" builds
        network.load_state_dict(load_checkpoint(out / "checkpoints" / f"seed-{first}" / "best.pt")["model"])
        title = f"Neural sheaf diffusion on {what.dataset}: maps={model.maps}, d = {model.stalk_dim}"
        picture = draw_sheaf(network, data.x, data.edge_index, what.figure, y=data.y, title=title)
    return RunReport(summary, text, table, records, picture)


def _describe(name: str, dataset: Dataset) -> str:
    data = dataset[0]
    return (
        f"{name}: {data.num_nodes:,} nodes, {data.num_edges:,} directed edges, "
        f"{dataset.num_features:,} features, {dataset.num_classes} classes"
    )
