"""The command line: every command, its options, its exit codes and its messages."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from graphkit import __version__, cli
from graphkit.train import read_jsonl


def test_no_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    width = max(map(len, cli.COMMANDS))
    for name, command in cli.COMMANDS.items():
        assert f"{name:<{width}}  {command.__doc__}" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"graphkit {__version__}\n"


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["trian"])
    assert "invalid choice: 'trian'" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(set(cli.COMMANDS) - {"bench"}))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main([name, "--help"])
    assert f"usage: graphkit {name}" in capsys.readouterr().out


def test_train_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["train", "--model", "pyg-gen", "--dataset", "karate", "--seeds", "2", "--seed", "3"]
    arguments += ["--epochs", "4", "--num_layers", "2", "--hidden_channels", "8", "--out", str(out)]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "karate: 34 nodes, 156 directed edges, 34 features, 4 classes" in printed
    assert (out / "results.txt").read_text() in printed
    assert f"records: {out / 'results.jsonl'}" in printed
    rows = read_jsonl(out / "results.jsonl")
    assert [row["seed"] for row in rows if row["event"] == "finish"] == [3, 4]
    assert {row["name"] for row in rows} == {"pyg-gen"}


def test_train_reads_a_configuration_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"dataset: karate\nmodel: mlp\nepochs: 9\nnum_layers: 2\nout: {tmp_path / 'out'}\n")
    assert cli.main(["train", "--config", str(config), "--epochs", "3"]) == 0
    assert len([row for row in read_jsonl(tmp_path / "out" / "results.jsonl") if row["event"] == "epoch"]) == 3


@pytest.mark.parametrize(
    ("option", "command"),
    [("rule: sf", "train_forward"), ("model: evolvegcn-o", "train_temporal"), ("model: gcn", "train_temporal")],
)
@pytest.mark.parametrize("in_file", [True, False])
def test_train_finds_the_kind_of_training(
    option: str, command: str, in_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(cli, command, lambda arguments: called.append(list(arguments)) or 0)
    config = tmp_path / "run.yaml"
    config.write_text(option)
    arguments = ["--config", str(config)] if in_file else [f"--{option.replace(': ', '=')}"]
    assert cli.main(["train", *arguments]) == 0
    assert called == [arguments]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "citseer"], r"error: name: got unknown dataset 'citseer', expected one like citeseer"),
        (["--dataset", "cora", "--root", "/nowhere"], "8 of 8 raw files are missing in /nowhere/Planetoid/Cora/raw"),
        (["--dataset", "karate", "--epochs", "0"], "epochs: got 0, expected at least 1"),
        (["--dataset", "karate", "--seeds", "0"], "seeds: got none, expected at least one"),
        (["--model", "evolvegcn"], "model: got 'evolvegcn', expected one of deepergcn, pyg-gen, nsd, mlp, evolvegcn-h"),
    ],
)
def test_train_says_what_is_wrong(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_without_jsonargparse_the_remedy_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    assert cli.main(["train"]) == 2
    assert capsys.readouterr().err == "graphkit train: needs jsonargparse: pip install 'graphkit[cli]'\n"


def test_bench_outside_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench"]) == 2
    assert "run it in a checkout" in capsys.readouterr().err


def test_bench_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__main__.py").write_text("import sys; sys.exit(len(sys.argv) - 1)")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "--quick", "--out", "x"]) == 3


@pytest.mark.parametrize(
    ("target", "claims", "code"),
    [
        ("torch_geometric.nn:SAGEConv", "permutation,batch,locality", 0),
        ("torch_geometric.nn:NoSuchConv", "permutation", 2),
    ],
)
def test_check(target: str, claims: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", target, "--args", "8,8", "--claims", claims]) == code
    assert ("could not run" in capsys.readouterr().out) == (code == 2)


def test_doctor_is_wired_to_its_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from graphkit import doctor

    for healthy, code in ((True, 0), (False, 1)):
        report = doctor.Report((("backends", (("native", "?"),)),), healthy)
        monkeypatch.setattr(doctor, "examine", lambda report=report: report)
        assert cli.main(["doctor"]) == code
        assert ("did not load" in capsys.readouterr().out) == (code == 1)
