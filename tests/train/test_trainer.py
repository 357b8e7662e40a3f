"""The Trainer: what it learns from, what it selects, and that a seed and a checkpoint fix everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric import seed_everything
from torch_geometric.data import Data
from torch_geometric.nn.models import GCN

from graphkit.datasets import load
from graphkit.train import NodeClassification, TrainConfig, Trainer, load_checkpoint, repeat
from graphkit.train.results import EpochRecord, RunResult

CONFIG = TrainConfig(epochs=12, lr=0.05, device="cpu", progress=False, checkpoint_every=4)


@pytest.fixture
def data() -> Data:
    return load("karate")[0]


def network() -> nn.Module:
    return GCN(34, 8, num_layers=2, out_channels=4, dropout=0.5)


def trained(data: Data, config: TrainConfig = CONFIG, **options: Any) -> tuple[RunResult, dict[str, Tensor]]:
    seed_everything(config.seed)
    trainer = Trainer(network(), config, **options)
    result = trainer.fit(data)
    return result, trainer.model.state_dict()


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(first[key].equal(second[key]) for key in first)


def without_time(result: RunResult) -> RunResult:
    return replace(result, seconds=0.0, history=tuple(replace(record, seconds=0.0) for record in result.history))


class StopAfter:
    """A tracker that ends the process of training after some epochs, as a crash would."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def start(self, config: Any, epoch: int) -> None:
        self.started = epoch

    def log(self, record: EpochRecord) -> None:
        if record.epoch == self.epoch:
            raise KeyboardInterrupt

    def finish(self, result: RunResult) -> None:
        self.finished = True


def test_learns_the_karate_club(data: Data) -> None:
    result, _ = trained(data, TrainConfig(epochs=60, lr=0.05, progress=False))
    assert result.train == 1.0
    assert result.test > 0.5
    assert result.history[-1].loss < result.history[0].loss / 2


def test_same_seed_same_weights_other_seed_other_weights(data: Data) -> None:
    (first, weights), (again, weights_again), (_, others) = (
        trained(data, replace(CONFIG, seed=seed)) for seed in (0, 0, 1)
    )
    assert same(weights, weights_again)
    assert without_time(first) == without_time(again)
    assert not same(weights, others)


def test_labels_outside_the_training_set_never_reach_the_weights(data: Data) -> None:
    class Last(NodeClassification):
        """Scores later epochs higher, so that the last weights are kept whatever the labels say."""

        def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
            calls.append(splits)
            return dict.fromkeys(splits, float(len(calls)))

    calls: list[tuple[str, ...]] = []
    _, weights = trained(data, task=Last())
    wrong = data.clone()
    wrong.y = torch.where(data.train_mask, data.y, (data.y + 1) % 4)
    _, weights_wrong = trained(wrong, task=Last())
    assert same(weights, weights_wrong)


def test_test_labels_change_the_test_score_alone(data: Data) -> None:
    result, weights = trained(data)
    wrong = data.clone()
    wrong.y = torch.where(data.test_mask, (data.y + 1) % 4, data.y)
    result_wrong, weights_wrong = trained(wrong)
    assert same(weights, weights_wrong)
    assert result_wrong.test != result.test
    assert without_time(replace(result_wrong, test=result.test)) == without_time(result)


def test_the_test_set_is_scored_once_with_the_weights_of_the_best_validation_epoch(data: Data) -> None:
    class Planted(NodeClassification):
        def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
            weights = {key: value.clone() for key, value in model.state_dict().items()}
            seen.append((splits, weights))
            return dict.fromkeys(splits, [0.1, 0.5, 0.3, 0.5, 0.2, 0.9][len(seen) - 1])

    seen: list[tuple[tuple[str, ...], dict[str, Tensor]]] = []
    result, weights = trained(data, replace(CONFIG, epochs=5), task=Planted())
    assert [splits for splits, _ in seen] == [("train", "val")] * 5 + [("test",)]
    assert (result.best_epoch, result.val, result.test) == (2, 0.5, 0.9)
    assert same(weights, seen[1][1])
    assert same(seen[5][1], seen[1][1])


def test_patience_stops_early(data: Data) -> None:
    class Falling(NodeClassification):
        def scores(self, model: nn.Module, data: Data, splits: tuple[str, ...]) -> dict[str, float]:
            scores.append(-float(len(scores)))
            return dict.fromkeys(splits, scores[-1])

    scores: list[float] = []
    result, _ = trained(data, replace(CONFIG, patience=3), task=Falling())
    assert (result.epochs, result.best_epoch) == (4, 1)


@pytest.mark.parametrize("stop", [1, 4, 7, 11])
def test_a_resumed_run_is_the_same_run(stop: int, data: Data, tmp_path: Path) -> None:
    config = replace(CONFIG, checkpoint_every=1)
    whole, weights = trained(data, config)
    # The epoch is told to the trackers before its checkpoint is written: it is repeated.
    with pytest.raises(KeyboardInterrupt):
        trained(data, config, trackers=[StopAfter(stop)], checkpoint_dir=tmp_path)
    # Stopped in the first epoch, a run has no checkpoint: then its weights depend on the seed alone.
    torch.manual_seed(0 if stop == 1 else 99)
    tracker = StopAfter(99)
    trainer = Trainer(network(), config, trackers=[tracker], checkpoint_dir=tmp_path)
    resumed = trainer.fit(data, resume=True)
    assert tracker.started == stop - 1
    assert same(trainer.model.state_dict(), weights)
    assert without_time(resumed) == without_time(whole)


def test_a_finished_run_is_not_run_again(data: Data, tmp_path: Path) -> None:
    first, weights = trained(data, checkpoint_dir=tmp_path)
    trainer = Trainer(network(), CONFIG, trackers=[StopAfter(CONFIG.epochs)], checkpoint_dir=tmp_path)
    assert trainer.fit(data, resume=True) == first
    assert same(trainer.model.state_dict(), weights)


def test_a_longer_run_goes_on_from_a_finished_one(data: Data, tmp_path: Path) -> None:
    trained(data, replace(CONFIG, epochs=6), checkpoint_dir=tmp_path)
    trainer = Trainer(network(), CONFIG, checkpoint_dir=tmp_path)
    longer = trainer.fit(data, resume=True)
    whole, weights = trained(data)
    assert without_time(longer) == without_time(whole)
    assert same(trainer.model.state_dict(), weights)


def test_without_resume_a_run_starts_anew(data: Data, tmp_path: Path) -> None:
    trained(data, replace(CONFIG, epochs=6), checkpoint_dir=tmp_path)
    tracker = StopAfter(99)
    trained(data, trackers=[tracker], checkpoint_dir=tmp_path)
    assert tracker.started == 0


def test_best_checkpoint_holds_the_weights_of_the_model(data: Data, tmp_path: Path) -> None:
    result, weights = trained(data, checkpoint_dir=tmp_path)
    best = load_checkpoint(tmp_path / "best.pt")
    assert same(best["model"], weights)
    assert (best["epoch"], best["val"]) == (result.best_epoch, result.val)


def test_a_checkpoint_of_another_configuration_is_refused(data: Data, tmp_path: Path) -> None:
    trained(data, checkpoint_dir=tmp_path)
    other = Trainer(network(), replace(CONFIG, lr=0.1), checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"last\.pt' was made with lr=0\.05, this run has lr=0\.1"):
        other.fit(data, resume=True)


def test_a_loss_that_is_not_finite_stops_before_the_step(data: Data) -> None:
    trainer = Trainer(network(), CONFIG)
    data.x[0, 0] = float("nan")
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    with pytest.raises(FloatingPointError, match=r"loss: got nan in epoch 1, step 1 with seed 0"):
        trainer.fit(data)
    assert same(trainer.model.state_dict(), before)


def test_another_optimizer(data: Data) -> None:
    _, still = trained(data, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    seed_everything(0)
    assert same(still, network().state_dict())


def test_predict_scores(data: Data) -> None:
    trainer = Trainer(network(), CONFIG)
    result = trainer.fit(data)
    logits = trainer.predict_scores(data)
    hits = logits.argmax(dim=1) == data.y
    assert logits.shape == (34, 4)
    assert not logits.requires_grad
    assert hits[data.test_mask].float().mean().item() == result.test


@pytest.mark.parametrize("shown", [True, False])
def test_progress_bar(shown: bool, data: Data, capfd: pytest.CaptureFixture[str]) -> None:
    trained(data, replace(CONFIG, progress=shown))
    assert ("12/12" in capfd.readouterr().err) == shown


def test_repeat_reports_every_seed(data: Data, tmp_path: Path) -> None:
    summary = repeat(network, data, CONFIG, range(3), name="GCN", checkpoint_dir=tmp_path)
    assert [run.seed for run in summary.runs] == [0, 1, 2]
    alone, _ = trained(data, replace(CONFIG, seed=1))
    assert without_time(summary.runs[1]) == without_time(alone)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed-0", "seed-1", "seed-2"]


def test_repeat_can_give_each_seed_its_split(data: Data) -> None:
    for split in ("train", "val", "test"):
        mask = data[f"{split}_mask"]
        data[f"{split}_mask"] = torch.stack([mask, mask.flip(0)], dim=1)
    tasks: list[NodeClassification] = []

    def task(seed: int) -> NodeClassification:
        tasks.append(NodeClassification(split_index=seed))
        return tasks[-1]

    summary = repeat(network, data, CONFIG, range(2), task=task)
    assert [task.split_index for task in tasks] == [0, 1]
    assert summary.runs[0].train != summary.runs[1].train or summary.runs[0].test != summary.runs[1].test


def test_repeat_wants_a_seed(data: Data) -> None:
    with pytest.raises(ValueError, match="seeds: got none"):
        repeat(network, data, CONFIG, [])
