"""EvolveGCN's recipes: settings, networks and tables, training by the command line, baselines, pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

from graphkit import cli
from graphkit.graph.temporal import SnapshotSequence, TimeSplit
from graphkit.nn import EvolveGCNO
from graphkit.recipes.evolvegcn import reproduce
from graphkit.recipes.evolvegcn.baselines import GCNGRU, PyGTemporalO, StaticGCN, simple_forecasts
from graphkit.recipes.evolvegcn.prepare import NAMES, Prepared, builder, default_task, open_sequence
from graphkit.recipes.evolvegcn.reproduce import CONTENDERS, DATASETS, METHODS
from graphkit.recipes.evolvegcn.table import RECIPES, SCORES, recipe_for
from graphkit.recipes.evolvegcn.train import EvolveOptions, run_evolve, settings
from graphkit.recipes.method import Job, ReproduceOptions
from graphkit.recipes.reproduce import run_reproduction

SMALL = {"num_nodes": 40, "num_steps": 20, "num_links": 60, "num_blocks": 4}
TINY = {"epochs": 1, "hidden_channels": 4, "head_channels": 4, "negatives": 1.0, "progress": False}


@pytest.fixture
def small() -> Prepared:
    return open_sequence("sbm-stream", None, **SMALL)


def test_every_score_and_data_set_has_settings() -> None:
    assert {model for _, model in SCORES} <= set(NAMES) == {model for _, model, _ in CONTENDERS}
    for name, task in DATASETS.values():
        for model in NAMES:
            assert recipe_for(name, task, model) in RECIPES.values()
        assert default_task(name) in ("link", "regression")
    with pytest.raises(ValueError, match=r"got 'karate' and 'link', expected one of .*bitcoin-otc \(link\)"):
        recipe_for("karate", "link", "gcn")


def test_what_the_user_says_replaces_what_was_published() -> None:
    task, recipe = settings(EvolveOptions(model="evolvegcn-h", lr=0.5, history=2))
    assert (task, recipe.lr, recipe.history, recipe.hidden_channels, recipe.head_channels) == ("link", 0.5, 2, 33, 400)


@pytest.mark.parametrize("baseline", [StaticGCN, GCNGRU, PyGTemporalO])
def test_baselines_take_a_sequence_step_by_step(baseline: type, small: Prepared) -> None:
    torch.manual_seed(0)
    model, data = baseline(small.data.num_features, 5), small.data[:5]
    outs, _ = model.sequence(data)
    (last,), _ = model.sequence(data, last=True)
    torch.testing.assert_close(outs[-1], last)
    state, parts = None, []
    for part in (data[:2], data[2:]):
        more, state = model.sequence(part, state)
        parts += more
    for a, b in zip(outs, parts, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("model", NAMES)
def test_every_model_trains(model: str, small: Prepared, tmp_path: Path) -> None:
    options = EvolveOptions(model=model, dataset="sbm-stream", out=str(tmp_path), history=2, **TINY)
    report = run_evolve(options, small)
    assert report.text == report.table.read_text().strip()
    assert "test/MAP" in report.summary.runs[0].metrics
    assert len(report.curves[0]) == len(small.data) - 1 - int(19 * 0.7)
    assert all(0 < value <= 1 for _, value in report.curves[0])
    assert json.loads(report.records.read_text().splitlines()[0])


def test_train_on_the_command_line_draws_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, small: Prepared
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("graphkit.recipes.evolvegcn.train.open_sequence", lambda *a, **k: small)
    words = "train --model evolvegcn-o --mode stream --cell lstm --dataset sbm-stream --seeds 2 --epochs 1 --history 2"
    words += f" --hidden_channels 4 --head_channels 4 --negatives 1 --out {tmp_path} --figure {tmp_path}/time.png"
    assert cli.main(words.split()) == 0
    first = capsys.readouterr().out
    assert "EvolveGCN-O (stream) on sbm-stream: test MAP" in first
    assert (tmp_path / "time.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main([*words.split(), "--resume", "true"]) == 0

    def scores(text: str) -> list[str]:
        return [line.split("val/MAP")[1] for line in text.splitlines() if "val/MAP" in line]

    assert scores(capsys.readouterr().out) == scores(first)  # nothing is trained again
    assert cli.main(["train", "--model", "evolvegcn-h", "--dataset", "karate"]) == 2
    assert "got 'karate'" in capsys.readouterr().err


def test_help_names_the_temporal_models(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert "--model evolvegcn" in " ".join(capsys.readouterr().out.split())


def test_the_lstm_and_the_mode_reach_the_layers(small: Prepared) -> None:
    recipe = recipe_for("sbm-stream", "link", "evolvegcn-o")
    model = builder("evolvegcn-o", "link", recipe, small.data.num_features, mode="stream", cell="lstm")()
    layer = model.encoder.layers[0]
    assert isinstance(layer, EvolveGCNO)
    assert layer.mode == "stream"
    assert type(layer.cell).__name__ == "MatrixLSTM"


def test_reproduce_prints_published_beside_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Prepared
) -> None:
    monkeypatch.setattr("graphkit.recipes.evolvegcn.reproduce.open_sequence", lambda *a, **k: small)
    lines: list[str] = []
    options = ReproduceOptions(
        dataset="bitcoin-otc", fast_dev_run=True, checkpoint_dir=str(tmp_path), device="cpu", runs=1
    )
    outcomes = run_reproduction("evolvegcn", options, lines.append)["bitcoin-otc"]
    assert [outcome.method for outcome in outcomes[:3]] == ["EvolveGCN-H", "EvolveGCN-O", "EvolveGCN-O, stream"]
    assert {outcome.metric for outcome in outcomes} == {"MAP", "MRR"}
    text = "\n".join(lines)
    assert "UNVERIFIED" in text
    assert "EvolveGCN-H: seed 0: best epoch 1 of 1" in text
    assert "test MRR                      0.0690" in text
    assert outcomes[2].published is None
    assert (tmp_path / "over-time.png").exists() or "No picture" in text


def test_edges_are_scored_by_class_beside_constants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Prepared
) -> None:
    sign = (torch.arange(small.data.num_edges) % 4 > 0).float()
    labelled = Prepared(small.data.with_(edge_attrs={"label": sign}))
    monkeypatch.setattr("graphkit.recipes.evolvegcn.reproduce.open_sequence", lambda *a, **k: labelled)
    lines: list[str] = []
    options = ReproduceOptions(
        dataset="bitcoin-otc-edge", preset="cpu", fast_dev_run=True, checkpoint_dir=str(tmp_path), device="cpu", runs=1
    )
    outcomes = run_reproduction("evolvegcn", options, lines.append)["bitcoin-otc-edge"]
    assert {outcome.metric for outcome in outcomes} == {"F1 class0", "F1 class1", "F1 macro"}
    constant = {(o.method, o.metric): o.test[0] for o in outcomes if o.method.startswith("every edge")}
    share = float((labelled.data.edge_attr("label", 19) == 0).float().mean())
    assert constant["every edge negative", "F1 class0"] == pytest.approx(2 * share / (1 + share), abs=0.03)
    assert constant["every edge negative", "F1 class1"] == 0
    assert constant["every edge positive", "F1 macro"] == constant["every edge positive", "F1 class1"] / 2
    assert "macro F1 chooses the epoch" in "".join(lines)
    with pytest.raises(ValueError, match="select: got 'MAP'"):
        run_evolve(EvolveOptions(dataset="bitcoin-otc", task="edge", select="MAP"), labelled)


def test_series_are_scaled_by_training_steps_alone(real_data: Path) -> None:
    prepared = open_sequence("chickenpox", str(real_data))
    data, scale = prepared.data, prepared.scale
    assert scale is not None
    train = torch.stack([step.y for step in data[:361]])
    torch.testing.assert_close(train.mean(0), torch.zeros(20), atol=1e-4, rtol=0)
    torch.testing.assert_close(train.std(0, correction=0), torch.ones(20))
    torch.testing.assert_close(data[41].x[:, -1], data[40].y)


def test_a_series_whose_level_moves_is_relative_to_its_windows(real_data: Path) -> None:
    prepared = open_sequence("england-covid", str(real_data))
    data, scale = prepared.data, prepared.scale
    assert scale is not None
    torch.testing.assert_close(data[40].x.mean(1), torch.zeros(129), atol=1e-5, rtol=0)
    growth = data[40].y - data[40].x[:, -1]
    torch.testing.assert_close(data[41].x[:, -1] - data[41].x[:, -2], growth)
    cases = growth * scale.scale
    assert cases.round().sub(cases).abs().max() < 1e-2  # infections are counted


def test_reproduce_forecasts_a_series(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphkit.recipes.evolvegcn.reproduce.CONTENDERS", CONTENDERS[::5])
    options = ReproduceOptions(
        dataset="england-covid", fast_dev_run=True, checkpoint_dir=str(tmp_path), device="cpu", root=str(real_data),
        runs=1,
    )  # fmt: skip
    outcomes = run_reproduction("evolvegcn", options, lambda line: None)["england-covid"]
    names = ["EvolveGCN-H", "PyG-Temporal -O", "last value", "mean of the last values", "linear autoregression"]
    assert [outcome.method for outcome in outcomes] == names
    assert all(outcome.lower_is_better and outcome.test[0] > 0 for outcome in outcomes)


def test_simple_forecasts() -> None:
    """A series of period 3: a linear function of two lags knows it, the others do not."""
    wave = torch.tensor([1.0, 0.0, -1.0]).repeat(10)[:, None] * torch.tensor([1.0, 2.0])
    graphs = [
        Data(x=wave[t : t + 2].t(), y=wave[t + 2], edge_index=torch.tensor([[0], [1]])) for t in range(len(wave) - 2)
    ]
    errors = simple_forecasts(
        SnapshotSequence.from_data_list(graphs), TimeSplit(range(18), range(18, 21), range(21, 27))
    )
    assert errors["linear autoregression"] == pytest.approx((0, 0), abs=1e-20)
    assert errors["last value"] == pytest.approx((5, 5))  # changes of 1, 1 and 2, at two scales
    assert errors["mean of the last values"] == pytest.approx((3.75, 3.75))


class EnoughError(Exception):
    """What was asked of the first network is known."""


@pytest.mark.parametrize(("options", "minutes", "epochs"), [
    (ReproduceOptions(), 6 / 3 / 6, 20),
    (ReproduceOptions(dataset="sbm-stream"), None, None),
    (ReproduceOptions(dataset="sbm-stream", preset="cpu"), None, 20),
])  # fmt: skip
def test_everything_at_once_is_bounded_and_says_so(
    options: ReproduceOptions, minutes: float | None, epochs: int | None, small: Prepared,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[EvolveOptions] = []

    def run(options: EvolveOptions, prepared: Prepared) -> None:
        asked.append(options)
        raise EnoughError

    monkeypatch.setattr(reproduce, "run_evolve", run)
    monkeypatch.setattr(reproduce, "open_sequence", lambda *a, **k: small)
    lines: list[str] = []
    with pytest.raises(EnoughError):
        METHODS["evolvegcn"].run(Job("sbm-stream", METHODS["evolvegcn"].runs, None, options, lines.append, ""))
    assert (asked[0].max_minutes, asked[0].epochs, asked[0].seeds) == (minutes and pytest.approx(minutes), epochs, 3)
    assert ("settings for a CPU instead of the full ones" in "".join(lines)) == (epochs is not None)
    assert ("20 seconds for each network and seed" in "".join(lines)) == (minutes is not None)


def test_bitcoin_labels_are_those_of_the_majority(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    rows = [
        f"{a},{b},{rating},{1_000_000 * time}"
        for a, b, rating, time in ((1, 2, 5, 1), (2, 1, -3, 1), (1, 3, -9, 9), (3, 2, 4, 9))
    ]
    (tmp_path / "raw" / "soc-sign-bitcoinotc.csv").write_text("\n".join(rows) + "\n")
    data = open_sequence("bitcoin-otc", str(tmp_path)).data
    assert isinstance(data, SnapshotSequence)
    assert data.edges(0).tolist() == [[0, 1], [1, 0]]
    assert data.edge_attr("label", 0).tolist() == [0.0, 0.0]  # as many for as against: negative
    assert data[0].edge_weight.tolist() == [2.0, 2.0]
    assert sorted(data.edge_attr("label", len(data) - 1).tolist()) == [0.0, 0.0, 1.0, 1.0]


def test_missing_files_are_said() -> None:
    method = METHODS["evolvegcn"]
    assert method.open is not None
    with pytest.raises(FileNotFoundError, match="soc-sign-bitcoinalpha"):
        method.open("bitcoin-alpha", ReproduceOptions(root="/nonexistent"))
    with pytest.raises(ValueError, match="dataset: got 'cora'"):
        open_sequence("cora", None)
