"""`graphkit reproduce forwardgnn`: published, measured, difference; absent sets; a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphkit import cli
from graphkit.recipes.forward.figures import draw_depth
from graphkit.recipes.forward.reproduce import METHODS, NODE_RULES, cells
from graphkit.recipes.forward.table import ACCURACY, AUC


def test_the_table_on_cora(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["reproduce", "forwardgnn-sf", "--root", str(real_data), "--fast-dev-run", "--runs", "1"]
    assert cli.main([*command, "--checkpoint-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for words in (
        "backprop              published          none            none",
        "sf                    published          none            none",
        "larger            87.75           87.95",
        "Nothing is published on cora; larger: what is published on citationfull-cora_ml",
        "differs: fast-dev-run, the scores mean nothing",
        "not run: citationfull-pubmed: ",
    ):
        assert words in out
    picture = tmp_path / "cora-forward-gcn.png"
    assert f"Scores and memory against depth: {picture}" in out
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_every_rule_of_a_method_has_published_scores_of_four_depths() -> None:
    for conv in ("gcn", "sage", "gat"):
        for rule in ("backprop", *NODE_RULES):
            assert all(len(scores) == 4 for scores in ACCURACY[rule, conv].values())
    assert ("link-ce-top-to-input", "gcn") in AUC
    assert {"forwardgnn", "forwardgnn-sage", "forwardgnn-gat", "forwardgnn-links"} < set(METHODS)


def test_a_cell_that_was_not_measured_is_empty() -> None:
    lines = cells("citationfull-cora_ml", "gcn", {"sf": {4: [0.9, 0.8]}}, ACCURACY, 4)
    published, measured, difference = (line.split() for line in lines[2:5])
    assert published == ["sf", "published", "87.75", "87.95", "88.15", "88.48"]
    assert measured == ["measured", "85.00", "±", "7.07"]
    assert difference == ["difference", "-3.48"]


def test_a_picture_needs_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'graphkit\[plot\]'"):
        draw_depth({"sf": {1: [0.5]}}, {"sf": {1: 100}}, tmp_path / "x.png", title="")
