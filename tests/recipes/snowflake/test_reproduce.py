"""The experiments end to end, the acceptance of the synthetic one, and the pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphkit.recipes.method import ReproduceOptions
from graphkit.recipes.reproduce import run_reproduction
from graphkit.recipes.snowflake.embedding import MODELS, TARGETS, embed
from graphkit.recipes.snowflake.graphs import open_data, prepare
from tests.golden.snowflake_golden import golden


def options(tmp_path: Path, dataset: str, **more: object) -> ReproduceOptions:
    return ReproduceOptions(dataset, runs=1, device="cpu", fast_dev_run=True, checkpoint_dir=str(tmp_path), **more)  # type: ignore[arg-type]


def test_target_metrics_are_the_published_ones() -> None:
    z = golden("snowflake_v1")
    names = ["type1", "type2", "type3", "type4", "type5", "extra_1-1/(1+e)^0.2"]
    for name, target in zip(names, TARGETS.values(), strict=True):
        torch.testing.assert_close(target(z["targets/e"]), z[f"targets/{name}"], rtol=1e-10, atol=1e-14)


def test_a_snowflake_embeds_what_a_euclidean_network_cannot() -> None:
    """The acceptance of the synthetic table on one target, with a fifth of the steps."""
    target = "1 - 1/(1+e^.5)"
    ours, theirs = (embed(model, target, 0, steps=300, num_points=40) for model in ("snowflake", "Euclidean MLP"))
    assert ours.test < 1e-4
    assert theirs.test > 5e-3
    assert ours.parameters == 288
    assert theirs.parameters == 4482


def test_the_embedding_table(tmp_path: Path) -> None:
    said: list[str] = []
    outcomes = run_reproduction("snowflake", options(tmp_path, "metric-embedding"), said.append)["metric-embedding"]
    assert [outcome.method for outcome in outcomes] == list(MODELS)
    assert all(outcome.lower_is_better and outcome.published is None for outcome in outcomes)
    assert sum(line.startswith(tuple(TARGETS)) for line in said) == 6
    assert (tmp_path / "metric-embedding.png").exists() or any("matplotlib" in line for line in said)


def test_latent_graphs_beside_their_baselines(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    said: list[str] = []
    outcomes = run_reproduction("snowflake", options(tmp_path, "wine"), said.append)["wine"]
    expected = ["snowflake dDGM", "Euclidean dDGM", "product dDGM", "kNN graph", "MLP"]
    assert [outcome.method for outcome in outcomes] == expected
    assert all(0 <= outcome.test[0] <= 1 for outcome in outcomes)
    assert (tmp_path / "wine-latent.png").exists() or any("matplotlib" in line for line in said)


def test_resume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train in one go"):
        run_reproduction("snowflake", options(tmp_path, "wine", resume="last"), lambda line: None)


def test_splits_share_no_node_and_take_twenty_labels_per_class() -> None:
    pytest.importorskip("sklearn")
    data = open_data("breast-cancer", 3, ReproduceOptions())
    masks = torch.stack([data.train_mask, data.val_mask, data.test_mask]).int()
    assert bool((masks.sum(0) == 1).all())
    assert data.y[data.train_mask].bincount().tolist() == [20, 20]
    other = open_data("breast-cancer", 4, ReproduceOptions())
    assert not torch.equal(data.train_mask, other.train_mask)


@pytest.mark.parametrize("name", ["texas", "wisconsin", "cornell"])
def test_pages_have_their_fixed_splits(name: str, real_data: Path) -> None:
    first, second = (open_data(name, seed, ReproduceOptions(root=str(real_data))) for seed in (0, 1))
    masks = torch.stack([first.train_mask, first.val_mask, first.test_mask]).int()
    assert masks.shape == (3, first.num_nodes)
    assert bool((masks.sum(0) <= 1).all())
    assert not torch.equal(first.test_mask, second.test_mask)


@pytest.mark.parametrize("name", ["snowflake dDGM", "given graph", "MLP"])
def test_cora_sees_its_graph_where_it_should(name: str, real_data: Path) -> None:
    data = open_data("cora", 0, ReproduceOptions(root=str(real_data)))
    model, seen = prepare(name, "cora", data)
    assert seen.edge_index.size(1) == data.edge_index.size(1)
    if name == "MLP":
        with torch.no_grad():
            model.eval()
            torch.testing.assert_close(model(seen.x, seen.edge_index), model(seen.x, seen.edge_index[:, :1]))
