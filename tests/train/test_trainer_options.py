"""What the options of TrainConfig do to a run: batches, averages, precision, time, and damaged checkpoints."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.train import GraphPrediction, RunResult, TrainConfig, Trainer, load_checkpoint

CONFIG = TrainConfig(epochs=6, lr=0.05, weight_decay=0.0, device="cpu", progress=False, checkpoint_every=1)


class Net(nn.Module):
    """A perceptron on the sum of each graph's features; no dropout, so that a step is a formula."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor, edge_index: Tensor, _: Tensor | None, batch: Tensor, batch_size: int) -> Tensor:
        return self.layers(x.new_zeros(batch_size, x.size(1)).index_add(0, batch, x))


def error(out: Tensor, y: Tensor) -> float:
    return -float((out - y).square().mean())


def graphs(count: int, seed: int) -> list[Data]:
    generator = torch.Generator().manual_seed(seed)
    xs = [torch.randn(2, 3, generator=generator, dtype=torch.float64) for _ in range(count)]
    edge_index = torch.zeros(2, 0, dtype=torch.long)
    return [Data(x=x, edge_index=edge_index, y=x.sum(0)[:1].view(1, 1)) for x in xs]


@pytest.fixture
def data() -> dict[str, list[Data]]:
    return {"train": graphs(24, 0), "val": graphs(10, 1), "test": graphs(10, 2)}


def run(data: Any, config: TrainConfig = CONFIG, batch_size: int = 8, **options: Any) -> tuple[RunResult, Trainer]:
    torch.manual_seed(0)
    task = GraphPrediction(error, "mse", batch_size=batch_size)
    resume = options.pop("resume", False)
    trainer = Trainer(Net().double(), config, task=options.pop("task", task), **options)
    return trainer.fit(data, resume=resume), trainer


def weights(trainer: Trainer) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in trainer.model.parameters()])


def test_accumulated_batches_are_one_large_batch(data: dict[str, list[Data]]) -> None:
    (small, a), (large, b) = run(data, replace(CONFIG, accumulate=3)), run(data, batch_size=24)
    torch.testing.assert_close(weights(a), weights(b), rtol=1e-7, atol=1e-9)
    assert [r.loss for r in small.history] == pytest.approx([r.loss for r in large.history])


def test_clipping_bounds_the_step(data: dict[str, list[Data]]) -> None:
    def first_step(clip: float | None) -> float:
        config = replace(CONFIG, epochs=1, clip_grad=clip)
        torch.manual_seed(0)
        before = torch.cat([p.detach().reshape(-1) for p in Net().double().parameters()])
        _, trainer = run(data, config, batch_size=24, optimizer=lambda p: torch.optim.SGD(p, lr=1.0))
        return float((weights(trainer) - before).norm())

    free = first_step(None)
    assert free > 0.1
    assert first_step(0.1) == pytest.approx(0.1, rel=1e-4)
    assert first_step(1e6) == pytest.approx(free)


def test_the_average_is_what_is_scored_and_kept(data: dict[str, list[Data]], tmp_path: Path) -> None:
    result, trainer = run(data, replace(CONFIG, ema=0.5), checkpoint_dir=tmp_path)
    last = load_checkpoint(tmp_path / "last.pt")
    key = "layers.0.weight"
    assert not last["model"][key].equal(last["ema"][f"module.{key}"])
    if result.best_epoch == result.epochs:
        assert trainer.model.state_dict()[key].equal(last["ema"][f"module.{key}"])
    with torch.no_grad():
        assert trainer.task.scores(trainer.model, data, ("val",))["val"] == result.val


def test_mixed_precision_computes_in_bfloat16(data: dict[str, list[Data]]) -> None:
    seen = []
    for split in data.values():
        for item in split:
            item.x, item.y = item.x.float(), item.y.float()

    class Watched(Net):
        def forward(self, *args: Any, **kwargs: Any) -> Tensor:
            out = super().forward(*args, **kwargs)
            seen.append(out.dtype)
            return out

    trainer = Trainer(Watched(), replace(CONFIG, amp=True, epochs=15), task=GraphPrediction(error, "mse", batch_size=8))
    result = trainer.fit(data)
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    assert result.history[-1].loss < 0.5 * result.history[0].loss


def test_compiled_gives_the_same_numbers(data: dict[str, list[Data]], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    compile_ = nn.Module.compile

    def eager(module: nn.Module) -> None:
        calls.append(module)
        compile_(module, backend="eager")

    monkeypatch.setattr(nn.Module, "compile", eager)
    (_, plain), (_, compiled) = run(data), run(data, replace(CONFIG, compile=True))
    assert calls == [compiled.model]
    torch.testing.assert_close(weights(compiled), weights(plain))
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())


def test_evaluates_every_third_epoch_and_the_last(data: dict[str, list[Data]]) -> None:
    result, _ = run(data, replace(CONFIG, epochs=7, eval_every=3))
    assert [r.epoch for r in result.history if r.val is not None] == [3, 6, 7]
    assert result.best_epoch in (3, 6, 7)


def test_the_test_split_at_every_evaluation_changes_no_choice(data: dict[str, list[Data]]) -> None:
    (quiet, a), (told, b) = run(data), run(data, replace(CONFIG, test_every=True))
    assert weights(a).equal(weights(b))
    assert (told.best_epoch, told.val, told.test) == (quiet.best_epoch, quiet.val, quiet.test)
    assert all(r.test is not None for r in told.history)
    assert all(r.test is None for r in quiet.history)


def test_fewer_batches(data: dict[str, list[Data]]) -> None:
    seen = []

    class Counted(GraphPrediction):
        def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, int]:
            seen.append(batch.num_graphs)
            return super().loss(model, batch)

    run(data, replace(CONFIG, limit_batches=2, epochs=2), task=Counted(error, "mse", batch_size=8))
    assert seen == [8] * 4


def test_stops_when_time_is_up_and_goes_on_when_given_more(data: dict[str, list[Data]], tmp_path: Path) -> None:
    short, _ = run(data, replace(CONFIG, epochs=50, max_minutes=1e-6), checkpoint_dir=tmp_path)
    assert short.epochs == 1
    whole, a = run(data, replace(CONFIG, epochs=5))
    resumed, b = run(data, replace(CONFIG, epochs=5), checkpoint_dir=tmp_path, resume=True)
    assert weights(a).equal(weights(b))
    assert [r.loss for r in resumed.history] == [r.loss for r in whole.history]


def test_the_epoch_that_uses_up_the_time_is_evaluated(data: dict[str, list[Data]]) -> None:
    result, _ = run(data, replace(CONFIG, epochs=50, eval_every=10, max_minutes=1e-6))
    assert result.epochs == result.best_epoch == 1


@pytest.mark.parametrize("place", [0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("how", ["flip", "cut"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    how: str, place: float, data: dict[str, list[Data]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, a = run(data)
    run(data, replace(CONFIG, epochs=4), checkpoint_dir=tmp_path)
    last = tmp_path / "last.pt"
    content = bytearray(last.read_bytes())
    # A byte inside some tensor or header; the zip archive's own alignment padding holds nothing.
    position = next(i for i in range(int(place * len(content)), len(content)) if content[i] not in (0, ord("Z")))
    content[position] ^= 0xFF
    last.write_bytes(content if how == "flip" else content[:position])
    with caplog.at_level(logging.WARNING):
        resumed, b = run(data, checkpoint_dir=tmp_path, resume=True)
    assert weights(a).equal(weights(b))
    assert [r.loss for r in resumed.history] == [r.loss for r in whole.history]
    assert f"checkpoint '{last}' is damaged" in caplog.text
    assert "previous.pt" in caplog.text


def test_two_damaged_checkpoints_are_refused(data: dict[str, list[Data]], tmp_path: Path) -> None:
    run(data, checkpoint_dir=tmp_path)
    for name in ("last.pt", "previous.pt"):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"last\.pt' is damaged"):
        run(data, checkpoint_dir=tmp_path, resume=True)


def test_resume_from_a_path(data: dict[str, list[Data]], tmp_path: Path) -> None:
    run(data, replace(CONFIG, epochs=3), checkpoint_dir=tmp_path)
    _, whole = run(data)
    _, resumed = run(data, resume=tmp_path / "last.pt")
    assert weights(whole).equal(weights(resumed))
    with pytest.raises(FileNotFoundError, match=r"resume: there is no checkpoint '.*absent\.pt'"):
        run(data, resume=tmp_path / "absent.pt")


def test_a_checkpoint_of_another_model_is_refused(data: dict[str, list[Data]], tmp_path: Path) -> None:
    run(data, checkpoint_dir=tmp_path)
    other = Trainer(nn.Linear(3, 1), CONFIG, task=GraphPrediction(error, "mse"), checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"last\.pt' is of another model or optimiser"):
        other.fit(data, resume=True)


def test_checkpoints_name_the_versions(data: dict[str, list[Data]], tmp_path: Path) -> None:
    run(data, checkpoint_dir=tmp_path)
    assert load_checkpoint(tmp_path / "last.pt")["versions"]["torch"] == torch.__version__


def test_nan_stops_with_step_layer_and_checkpoint(data: dict[str, list[Data]], tmp_path: Path) -> None:
    class Later(GraphPrediction):
        """Plants a NaN into the tenth batch: the first of the fourth epoch."""

        def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, int]:
            calls.append(0)
            if len(calls) == 11:
                batch.x[0, 0] = math.nan
            return super().loss(model, batch)

    calls: list[int] = []
    with pytest.raises(FloatingPointError) as caught:
        run(data, task=Later(error, "mse", batch_size=8), checkpoint_dir=tmp_path)
    message = str(caught.value)
    assert "loss: got nan in epoch 4, step 2 with seed 0" in message
    assert "layer 'layers.0' (Linear) gave it out" in message
    assert f"the last good checkpoint is '{tmp_path / 'last.pt'}'" in message
    assert len(load_checkpoint(tmp_path / "last.pt")["history"]) == 3


def test_a_gradient_that_is_not_finite_stops_before_the_step(data: dict[str, list[Data]]) -> None:
    class Steep(Net):
        def forward(self, *args: Any, **kwargs: Any) -> Tensor:
            # sqrt at 0: a finite value with an infinite slope
            return super().forward(*args, **kwargs) + (self.layers[0].bias.sum() * 0).sqrt()

    trainer = Trainer(Steep().double(), CONFIG, task=GraphPrediction(error, "mse"))
    before = weights(trainer)
    with pytest.raises(FloatingPointError, match=r"gradient: got nan in epoch 1, step 1 .*'layers\.0\.bias'"):
        trainer.fit(data)
    assert weights(trainer).equal(before)


def test_no_known_label_is_an_error(data: dict[str, list[Data]]) -> None:
    for item in data["train"]:
        item.y.fill_(math.nan)
    with pytest.raises(ValueError, match="data: got no known training label in epoch 1"):
        run(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accumulate": 0}, "accumulate: got 0"),
        ({"clip_grad": -1.0}, r"clip_grad: got -1\.0"),
        ({"ema": 1.0}, r"ema: got 1\.0, expected a decay"),
        ({"scheduler": "linear"}, "scheduler: got 'linear', expected constant, cosine or plateau"),
        ({"scheduler": "plateau", "warmup": 2}, "warmup: got 2 with scheduler='plateau'"),
        ({"max_minutes": math.inf}, "max_minutes: got inf"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**options)
