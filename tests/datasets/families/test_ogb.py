"""Sets of OGB come out as OGB's classes: without a prompt, a network, a global switch or a change to the raw files."""

from __future__ import annotations

import builtins
import gzip
import hashlib
import importlib.util
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from graphkit.datasets import load, names
from graphkit.datasets.families.ogb import master
from graphkit.datasets.families.ogb_scope import import_ogb
from tests.datasets import ogb_fixtures
from tests.datasets.ogb_layout import EDGES, write, write_arxiv, write_mag, write_proteins

nodeproppred = import_ogb("ogb.nodeproppred")
linkproppred = import_ogb("ogb.linkproppred")
graphproppred = import_ogb("ogb.graphproppred")


@pytest.fixture(autouse=True)
def no_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> str:
        pytest.fail(f"asked on standard input: {args}")

    monkeypatch.setattr(builtins, "input", refuse)


@pytest.fixture
def arxiv(tmp_path: Path) -> Path:
    return write_arxiv(tmp_path / "data" / "ogbn_arxiv")


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file below a folder: its contents and when it was changed."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_node_set_by_datasetsaver(tmp_path: Path) -> None:
    dataset = load(*ogb_fixtures.make_node(tmp_path))
    assert isinstance(dataset, nodeproppred.PygNodePropPredDataset)
    assert (dataset.num_tasks, dataset.num_classes, dataset.eval_metric) == (1, 4, "acc")
    assert dataset.task_type == "multiclass classification"
    assert dataset.meta_info["split"] == "time"
    data, split = dataset[0], dataset.get_idx_split()
    assert (data.x.shape, data.y.shape, data.node_year.shape) == ((300, 8), (300, 1), (300, 1))
    assert torch.cat([split["train"], split["valid"], split["test"]]).sort().values.equal(torch.arange(300))


def test_multilabel_node_set_by_datasetsaver(tmp_path: Path) -> None:
    dataset = load(*ogb_fixtures.make_multilabel_node(tmp_path))
    assert (dataset.num_tasks, dataset.eval_metric) == (6, "rocauc")
    data = dataset[0]
    assert data.x is None
    assert (data.edge_attr.shape, data.y.shape) == ((data.num_edges, 8), (300, 6))
    assert data.node_species.shape == (300, 1)


def test_link_set_by_datasetsaver(tmp_path: Path) -> None:
    dataset = load(*ogb_fixtures.make_link(tmp_path))
    assert isinstance(dataset, linkproppred.PygLinkPropPredDataset)
    split = dataset.get_edge_split()
    assert all(isinstance(edges, torch.Tensor) for part in split.values() for edges in part.values())
    evaluator = linkproppred.Evaluator("ogbl-ddi")
    scores = {"y_pred_pos": torch.ones(len(split["valid"]["edge"])), "y_pred_neg": torch.zeros(200)}
    assert evaluator.eval(scores)["hits@20"] == 1.0


@pytest.mark.parametrize(("make", "tasks"), [(ogb_fixtures.make_graph, 1), (ogb_fixtures.make_multitask_graph, 3)])
def test_graph_sets_by_datasetsaver(make: Any, tasks: int, tmp_path: Path) -> None:
    dataset = load(*make(tmp_path))
    assert isinstance(dataset, graphproppred.PygGraphPropPredDataset)
    split = dataset.get_idx_split()
    batch = next(iter(DataLoader(dataset[split["train"]], batch_size=8)))
    assert (len(dataset), dataset.num_tasks, batch.y.shape) == (120, tasks, (8, tasks))
    assert dataset._data.y.isnan().any() == (tasks > 1)


def test_meta_dict_as_ogb_takes_it(tmp_path: Path) -> None:
    name, root = ogb_fixtures.make_node(tmp_path)
    meta_dict = torch.load(root / "submission_ogbn_mine" / "meta_dict.pt", weights_only=True)
    assert load(name, meta_dict=meta_dict)[0].num_nodes == 300


def test_what_meta_dict_says_is_part_of_the_cache_key(tmp_path: Path) -> None:
    name, root = ogb_fixtures.make_node(tmp_path)
    meta_dict = torch.load(root / "submission_ogbn_mine" / "meta_dict.pt", weights_only=True)
    assert "node_year" in load(name, root)[0]
    assert "node_year" not in load(name, meta_dict=meta_dict | {"additional node files": "None"})[0]


def test_a_meta_dict_that_lacks_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"meta_dict: lacks add_inverse_edge, .*version; expected what DatasetSaver"):
        load("ogbn-mine", meta_dict={"dir_path": tmp_path, "split": "time"})


@pytest.mark.parametrize("name", ["OGBN-Arxiv", "ogbn-ARXIV"])
def test_case_does_not_matter(name: str, arxiv: Path) -> None:
    assert load(name, arxiv.parent).name == "ogbn-arxiv"


def test_the_savers_own_folder_is_a_root_too_and_may_have_moved(tmp_path: Path) -> None:
    name, root = ogb_fixtures.make_node(tmp_path / "a")
    moved = shutil.move(root / "submission_ogbn_mine", tmp_path / "other_ogbn_mine")
    assert load(name, moved)[0].num_nodes == load(name, tmp_path)[0].num_nodes == 300


def test_the_savers_archive_is_enough(tmp_path: Path) -> None:
    name, root = ogb_fixtures.make_node(tmp_path / "data")
    folder = root / "submission_ogbn_mine" / "mine"
    shutil.make_archive(os.fspath(folder), "zip", folder)  # as `saver.zip()` does
    shutil.rmtree(folder)
    for _ in range(2):
        dataset = load(name, root)
        assert (dataset[0].num_nodes, len(dataset.get_idx_split()["train"])) == (300, 150)
    folder.with_suffix(".zip").write_bytes(b"PK, cut off")
    with pytest.raises(ConnectionError, match=r"mine\.zip is not a whole archive"):
        load(name, root)


@pytest.mark.parametrize("place", ["ogbn_arxiv", "ogb/ogbn_arxiv", "dataset/ogbn_arxiv", "ogb/ogbn_arxiv_pyg"])
def test_layouts_of_ogbs_scripts(place: str, tmp_path: Path) -> None:
    write_arxiv(tmp_path / place)
    data = load("ogbn-arxiv", tmp_path)[0]
    assert data.edge_index.t().tolist() == [list(edge) for edge in EDGES]
    assert data.node_year.view(-1).tolist() == [2010, 2011, 2012, 2013, 2014, 2015]
    assert load("ogbn-arxiv", tmp_path / place)[0].y.equal(data.y)


def test_a_root_of_another_name_is_not_taken_for_the_set(tmp_path: Path) -> None:
    # All sets of OGB have files of the same names: what lies here may be any of them.
    write_arxiv(tmp_path / "unknown")
    with pytest.raises(FileNotFoundError):
        load("ogbn-arxiv", tmp_path / "unknown")


def test_split_of_several_node_types_is_tensors_throughout(tmp_path: Path) -> None:
    write_mag(tmp_path / "ogbn_mag")
    dataset = load("ogbn-mag", tmp_path)
    assert dataset[0].edge_index_dict["author", "writes", "paper"].tolist() == [[0, 1, 2], [0, 2, 3]]
    split = dataset.get_idx_split()
    assert {kind: ids.tolist() for kind, ids in split["valid"].items()} == {"author": [1], "paper": [1]}


@pytest.mark.parametrize("write_set", [write_arxiv, write_proteins, write_mag])
def test_raw_files_stay_as_they_are(write_set: Any, tmp_path: Path) -> None:
    name = {write_arxiv: "ogbn-arxiv", write_proteins: "ogbn-proteins", write_mag: "ogbn-mag"}[write_set]
    folder = write_set(tmp_path / "data" / name.replace("-", "_"))
    before = fingerprint(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(stat.S_IRUSR | (stat.S_IXUSR if path.is_dir() else 0))
    for _ in range(2):
        load(name, folder.parent).get_idx_split()
    assert fingerprint(folder) == before


def test_species_are_found_under_the_name_in_ogbs_zip(tmp_path: Path) -> None:
    write_proteins(tmp_path / "ogbn_proteins")
    data = load("ogbn-proteins", tmp_path)[0]
    assert data.node_species.view(-1).tolist() == [3702] * 6
    assert data.num_edges == 2 * len(EDGES)  # add_inverse_edge


def test_safe_globals_are_as_before(arxiv: Path, tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    dataset = load("ogbn-arxiv", arxiv.parent)
    dataset.get_idx_split()
    load(*ogb_fixtures.make_link(tmp_path)).get_edge_split()
    assert set(torch.serialization.get_safe_globals()) == before
    with torch.serialization.safe_globals([np.ndarray]):
        load("ogbn-arxiv", arxiv.parent)
        assert np.ndarray in torch.serialization.get_safe_globals()
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ


def test_safe_globals_are_as_before_after_an_error(arxiv: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    (arxiv / "raw" / "edge.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(ValueError, match="edge"):
        load("ogbn-arxiv", arxiv.parent)
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_split_with_code_in_it_is_refused(arxiv: Path, tmp_path: Path) -> None:
    marker = tmp_path / "code-was-run"

    class Harmful:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(marker),)

    torch.save({"train": Harmful()}, arxiv / "split" / "time" / "split_dict.pt")
    with pytest.raises(ValueError, match=r"cannot read the split in .*time \(UnpicklingError"):
        load("ogbn-arxiv", arxiv.parent).get_idx_split()
    assert not marker.exists()


@pytest.mark.slow
def test_import_asks_no_server_and_changes_no_environment(arxiv: Path, cache_dir: Path) -> None:
    script = """
import os, socket, sys, threading
started = []
start = threading.Thread.start
threading.Thread.start = lambda self: (started.append(self), start(self))
socket.socket.connect = lambda *args: sys.exit("connected")
import graphkit.datasets
assert "ogb" not in sys.modules, "imported for nothing"
graphkit.datasets.names()
assert "ogb" not in sys.modules, "imported for the sake of names"
environment = dict(os.environ)
graphkit.datasets.load("ogbn-arxiv", sys.argv[1]).get_idx_split()
assert "ogb" in sys.modules and "outdated" not in sys.modules, "asked for the newest version"
assert [thread for thread in started if "ogb" in getattr(thread._target, "__module__", "")] == []
assert {k: v for k, v in os.environ.items() if environment.get(k) != v and "DGL" not in k} == {}
print("done")
"""
    environment = {**os.environ, "GRAPHKIT_CACHE": str(cache_dir)}
    result = subprocess.run(
        [sys.executable, "-c", script, str(arxiv.parent)], env=environment, capture_output=True, text=True, timeout=120
    )
    # What OGB prints while it reads goes to stderr: a script's standard output is its own.
    assert (result.returncode, result.stdout) == (0, "done\n"), result.stderr


def test_a_set_survives_pickling_as_loaders_with_workers_do_it(arxiv: Path) -> None:
    dataset = load("ogbn-arxiv", arxiv.parent)
    again = pickle.loads(pickle.dumps(dataset))
    assert again[0].edge_index.equal(dataset[0].edge_index)
    assert again.get_idx_split()["train"].tolist() == [0, 1, 2, 3]


@pytest.mark.slow
def test_processes_that_start_together_process_once(arxiv: Path, cache_dir: Path) -> None:
    script = """
import sys
from graphkit.datasets import load
dataset = load("ogbn-arxiv", sys.argv[1])
print(dataset[0].num_edges, dataset.get_idx_split()["train"].tolist())
"""
    environment = {**os.environ, "GRAPHKIT_CACHE": str(cache_dir)}
    environment.pop("PYTEST_CURRENT_TEST")  # else PyG does not say "Processing..."
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(arxiv.parent)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    results = [worker.communicate(timeout=120) for worker in workers]
    assert [out for out, _ in results] == ["5 [0, 1, 2, 3]\n"] * 2, results
    assert sum(err.count("Processing...\n") for _, err in results) == 1
    assert sum(path.suffix != ".lock" for path in (cache_dir / "ogbn-arxiv").iterdir()) == 1


def test_truncated_table_is_named(arxiv: Path) -> None:
    path = arxiv / "raw" / "node-feat.csv.gz"
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(ValueError, match=r"'ogbn-arxiv'.*node-feat\.csv\.gz the gzip stream ends too early"):
        load("ogbn-arxiv", arxiv.parent)


@pytest.mark.parametrize("table", ["edge", "node-feat", "node-label", "node_year"])
def test_table_with_too_few_rows_is_named(table: str, arxiv: Path) -> None:
    # A whole gzip file with fewer rows: OGB would cut a smaller graph out of it without a word.
    path = arxiv / "raw" / f"{table}.csv.gz"
    with gzip.open(path, "rt") as stream:
        rows = stream.readlines()
    write(path, [row.strip().split(",") for row in rows[:-1]])
    with pytest.raises(ValueError, match=rf"{table}\.csv\.gz has {len(rows) - 1} rows, expected {len(rows)}"):
        load("ogbn-arxiv", arxiv.parent)


def test_binary_set_with_too_few_labels_is_named(tmp_path: Path) -> None:
    name, root = ogb_fixtures.make_graph(tmp_path)
    path = next(root.rglob("graph-label.npz"))
    with np.load(path) as arrays:
        labels = arrays["graph_label"]
    np.savez_compressed(path, graph_label=labels[:-1])
    with pytest.raises(ValueError, match=r"graph-label\.npz has 119 rows, expected 120"):
        load(name, root)


def test_binary_set_without_a_split_is_refused(tmp_path: Path) -> None:
    name, root = ogb_fixtures.make_graph(tmp_path)
    next(root.rglob("split_dict.pt")).unlink()
    with pytest.raises(ValueError, match=r"there is neither split/scaffold/split_dict\.pt nor split/scaffold/train"):
        load(name, root)


def test_truncated_binary_set_is_named(tmp_path: Path) -> None:
    name, root = ogb_fixtures.make_graph(tmp_path)
    path = next(root.rglob("data.npz"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"data\.npz is not a whole zip archive"):
        load(name, root)


@pytest.mark.parametrize("kind", ["csv.gz", "pt"])
def test_damaged_split_is_named_when_it_is_read(kind: str, arxiv: Path) -> None:
    if kind == "csv.gz":
        path = arxiv / "split" / "time" / "valid.csv.gz"
    else:
        path = arxiv / "split" / "time" / "split_dict.pt"
        torch.save({"train": np.arange(4), "valid": np.arange(1), "test": np.arange(1)}, path)
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(ValueError, match=rf"cannot read the split in .*{path.name} (the gzip stream|is not a whole)"):
        load("ogbn-arxiv", arxiv.parent).get_idx_split()


def test_unknown_split_type_is_refused_with_those_there_are(arxiv: Path) -> None:
    with pytest.raises(ValueError, match="split_type: got 'random', expected one of time"):
        load("ogbn-arxiv", arxiv.parent).get_idx_split("random")


def test_missing_files_say_which_belong_where(arxiv: Path) -> None:
    (arxiv / "raw" / "edge.csv.gz").unlink()
    (arxiv / "split" / "time" / "test.csv.gz").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load("ogbn-arxiv", arxiv.parent)
    message = str(caught.value)
    assert f"2 of 10 raw files are missing in {arxiv}: raw/edge.csv.gz, split/time/test.csv.gz" in message
    assert "ogb/ogbn_arxiv" in message
    assert "download='yes' fetches 1 file from snap.stanford.edu" in message


def test_a_set_without_release_note_is_missing_it_and_nobody_is_asked(arxiv: Path) -> None:
    (arxiv / "RELEASE_v1.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 10 raw files are missing in .*: RELEASE_v1\.txt"):
        load("ogbn-arxiv", arxiv.parent)


def test_another_release_is_refused_and_nobody_is_asked(arxiv: Path) -> None:
    (arxiv / "RELEASE_v1.txt").rename(arxiv / "RELEASE_v0.txt")
    with pytest.raises(ValueError, match=r"holds RELEASE_v0\.txt, but this OGB reads release 1"):
        load("ogbn-arxiv", arxiv.parent)
    assert (arxiv / "raw" / "edge.csv.gz").is_file()


def test_unknown_names_get_the_near_ones() -> None:
    with pytest.raises(ValueError, match=r"got unknown dataset 'ogbn-arxvi', expected one like .*ogbn-arxiv"):
        load("ogbn-arxvi")
    with pytest.raises(ValueError, match=r"expected one like .*ogbg-molhiv.*no folder \*_ogbg_molhvi with"):
        load("ogbg-molhvi")


def test_names_are_all_of_ogbs_tables() -> None:
    assert {"ogbn-papers100M", "ogbl-vessel", "ogbg-code2"} <= set(names())
    assert [len(master(prefix)) for prefix in ("ogbn", "ogbl", "ogbg")] == [5, 7, 15]


def test_without_ogb_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, arxiv: Path) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ogb" else find_spec(name))
    master.cache_clear()
    monkeypatch.delitem(sys.modules, "graphkit.datasets.families.ogb_classes", raising=False)
    try:
        assert not any(name.startswith("ogb") for name in names())
        with pytest.raises(ImportError, match=r"pip install 'graphkit\[ogb\]'"):
            load("ogbn-arxiv", arxiv.parent)
    finally:
        master.cache_clear()


def test_ogbg_molhiv(real_data: Path, cache_dir: Path) -> None:
    before = fingerprint(real_data / "ogb" / "ogbg_molhiv")
    dataset = load("ogbg-molhiv", real_data)
    split = dataset.get_idx_split()
    assert len(dataset) == 41_127
    assert {part: len(ids) for part, ids in split.items()} == {"train": 32_901, "valid": 4_113, "test": 4_113}
    assert [int(dataset._data.y[ids].sum()) for ids in split.values()] == [1_232, 81, 130]
    assert (dataset._data.num_nodes, dataset._data.edge_index.size(1)) == (1_049_163, 2_259_376)
    assert (dataset.num_tasks, dataset.eval_metric, dataset.meta_info["data type"]) == (1, "rocauc", "mol")
    assert fingerprint(real_data / "ogb" / "ogbg_molhiv") == before
    assert len(json.loads((cache_dir / "digests.json").read_text())) == len(before)


def test_ogbl_ddi(real_data: Path) -> None:
    dataset = load("ogbl-ddi", real_data)
    split = dataset.get_edge_split()
    assert (dataset[0].num_nodes, dataset[0].num_edges) == (4_267, 2_135_822)
    counts = {part: {key: len(edges) for key, edges in edges.items()} for part, edges in split.items()}
    assert counts == {
        "train": {"edge": 1_067_911},
        "valid": {"edge": 133_489, "edge_neg": 101_882},
        "test": {"edge": 133_489, "edge_neg": 95_599},
    }
