"""Sheaf networks as methods of `graphkit reproduce`: one set, the whole table, the ablation."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphkit import cli
from graphkit.recipes.reproduce import METHODS
from graphkit.recipes.sheaf import RECIPES, SCORES


def reproduce(capsys: pytest.CaptureFixture[str], root: Path, out: Path, *arguments: str) -> str:
    command = ["reproduce", *arguments, "--root", str(root), "--fast-dev-run", "--checkpoint-dir", str(out)]
    assert cli.main(command) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(("method", "maps"), [("sheaf", "bundle"), ("sheaf-connection", "connection")])
def test_a_sheaf_network_on_texas(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str, maps: str
) -> None:
    out = reproduce(capsys, real_data, tmp_path, method, "--dataset", "texas", "--runs", "2")
    mean, std = SCORES[maps, "texas"]  # type: ignore[index]
    assert f"test accuracy {mean / 100:.4f} ± {std / 100:.4f} 0." in " ".join(out.split())
    assert "differs: 2 of the 10 splits" in out
    assert (tmp_path / f"texas-sheaf-{maps}" / "checkpoints" / "seed-1" / "best.pt").exists()
    other_settings = "differs: settings are those published for O(d)-NSD on this set"
    assert (other_settings in out) == (maps != "bundle")


def test_the_ablation_has_no_published_score(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = reproduce(capsys, real_data, tmp_path, "sheaf-identity", "--dataset", "cornell", "--runs", "1")
    assert "differs: an ablation: the same network without a sheaf" in out
    assert "No published score: test accuracy 0." in out


def test_without_a_data_set_the_whole_table(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sets whose raw files are there are trained on; the others are named with the reason."""
    data = tmp_path / "data"
    (data / "WebKB").mkdir(parents=True)
    for name in ("texas", "cornell"):
        (data / "WebKB" / name).symlink_to((real_data / "WebKB" / name).resolve())
    out = reproduce(capsys, data, tmp_path / "out", "sheaf", "--runs", "1")
    table = out[out.index("data set    ") :].splitlines()
    assert [line.split()[0] for line in table[1:3]] == ["texas", "cornell"]
    assert "O(d)-NSD" in table[1]
    assert "Diag-NSD" in table[2]
    absent = [line for line in table if line.startswith("not run: ")]
    assert len(absent) == len(RECIPES) - 2
    assert any(line.startswith("not run: film: dataset") and "raw files are missing" in line for line in absent)


def test_every_family_on_a_set(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("sheaf-all", "--dataset", "texas", "--runs", "1", "--budget", "5")
    out = " ".join(reproduce(capsys, real_data, tmp_path, *arguments).split())
    for name, (mean, std) in {
        "Diag-NSD": SCORES["diagonal", "texas"],
        "O(d)-NSD": SCORES["bundle", "texas"],
        "Gen-NSD": SCORES["general", "texas"],
        "Conn-NSD": SCORES["connection", "texas"],
    }.items():
        assert f"{name} on texas published measured test accuracy {mean / 100:.4f} ± {std / 100:.4f} 0." in out
    assert "identity maps on texas published measured test accuracy none 0." in out


def test_no_data_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reproduce", "sheaf", "--root", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "sheaf: none of its data sets (texas, wisconsin, cornell, " in said
    assert "dataset 'texas': 12 of 12 raw files are missing" in said


def test_sheaves_run_on_every_split_unless_told_otherwise() -> None:
    families = ("diagonal", "bundle", "general", "connection", "identity", "all")
    for name in ("sheaf", *(f"sheaf-{maps}" for maps in families)):
        assert METHODS[name].runs == 10
        assert METHODS[name].default is None
        assert set(METHODS[name].datasets) == set(RECIPES)
