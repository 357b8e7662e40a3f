"""`graphkit train --rule`: the table, the options, the messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphkit import cli
from graphkit.train import read_jsonl


def test_a_table_with_back_propagation_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--rule", "sf", "--conv", "gcn", "--layers", "2", "--dataset", "karate", "--split", "fixed"]
    arguments += ["--seeds", "2", "--seed", "3", "--epochs", "4", "--hidden_channels", "8", "--out", str(tmp_path)]
    assert cli.main([*arguments, "--progress", "false"]) == 0
    printed = capsys.readouterr().out
    assert "karate: 34 nodes, 156 directed edges, 34 features, 4 classes; split: fixed" in printed
    assert (tmp_path / "results.txt").read_text() in printed
    for words in ("sf, depth 1: ", "sf, depth 2: ", "back-propagation, depth 2: ", "over 2 seeds"):
        assert words in printed
    rows = read_jsonl(tmp_path / "results.jsonl")
    lines = [line.split() for line in printed.splitlines()]
    assert [line[5] for line in lines if line[:1] == ["sf"]] == ["4", "8", "4", "8"]  # epochs up to a depth
    ends = [(row["name"], row["seed"]) for row in rows if row["event"] == "finish"]
    assert ends == [("sf-gcn-2", 3), ("backprop-gcn-2", 3), ("sf-gcn-2", 4), ("backprop-gcn-2", 4)]
    assert cli.main([*arguments, "--progress", "false", "--resume", "true"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "±" in line] == [
        line for line in printed.splitlines() if "±" in line
    ]


def test_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "train",
        "--rule=link-ff",
        "--layers",
        "2",
        "--dataset",
        "karate",
        "--epochs",
        "2",
        "--baseline",
        "false",
    ]
    assert cli.main([*arguments, "--out", str(tmp_path), "--progress", "false"]) == 0
    printed = capsys.readouterr().out
    assert "test AUC of one seed" in printed
    assert "back-propagation" not in printed


def test_help_of_train_names_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["train", "--help"])
    assert "--rule RULE trains forward-only" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit, match="0"):
        cli.main(["train", "--rule", "sf", "--help"])
    assert "--hidden_channels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rule", "bp", "--dataset", "karate", "--split", "fixed"], "rule: got 'bp', expected one of sf, "),
        (["--rule", "sf", "--layers", "0", "--dataset", "karate"], "layers: got 0"),
        (["--rule", "sf", "--dataset", "karate", "--theta", "-1"], "theta: got -1.0"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
