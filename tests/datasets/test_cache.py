"""The cache: raw files are only read, processes do not race, and errors say what to do."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset

from graphkit.datasets.cache import FileGroup, checksum, locate, open_cached

GROUP = FileGroup(("edges.txt",), ("Tiny/raw", "raw"))


class Tiny(InMemoryDataset):
    """A data set as PyG users write them: one raw file with an edge per line."""

    processed_runs: ClassVar[list[str]] = []

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        return ["edges.txt"]

    @property
    def processed_file_names(self) -> list[str]:
        return ["data.pt"]

    def download(self) -> None:
        raise AssertionError("nothing may be downloaded")

    def process(self) -> None:
        self.processed_runs.append(self.root)
        pairs = [[int(node) for node in line.split()] for line in Path(self.raw_paths[0]).read_text().splitlines()]
        self.save([Data(edge_index=torch.tensor(pairs).t(), num_nodes=3)], self.processed_paths[0])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    raw = tmp_path / "data" / "Tiny" / "raw"
    raw.mkdir(parents=True)
    (raw / "edges.txt").write_text("0 1\n1 2\n")
    return tmp_path / "data"


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_processes_once_and_leaves_the_raw_folder_alone(root: Path, cache_dir: Path) -> None:
    Tiny.processed_runs.clear()
    before = tree(root)
    first = open_cached("tiny", [GROUP], root, "raw", Tiny)
    second = open_cached("tiny", [GROUP], root, "raw", Tiny)
    assert first[0].edge_index.tolist() == second[0].edge_index.tolist() == [[0, 1], [1, 2]]
    assert len(Tiny.processed_runs) == 1
    assert tree(root) == before
    entries = [path.name for path in (cache_dir / "tiny").iterdir()]
    assert sorted(entries) == sorted([checksum(locate("tiny", [GROUP], root)), f"{entries[0].split('.')[0]}.lock"])


def test_read_only_root(root: Path) -> None:
    raw = root / "Tiny" / "raw"
    (raw / "edges.txt").chmod(stat.S_IRUSR)
    raw.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert open_cached("tiny", [GROUP], root, "raw", Tiny)[0].num_edges == 2


def test_changed_raw_files_are_processed_anew(root: Path) -> None:
    assert open_cached("tiny", [GROUP], root, "raw", Tiny)[0].num_edges == 2
    (root / "Tiny" / "raw" / "edges.txt").write_text("0 1\n1 2\n2 0\n")
    assert open_cached("tiny", [GROUP], root, "raw", Tiny)[0].num_edges == 3


def test_moved_raw_files_are_not_processed_again(root: Path) -> None:
    Tiny.processed_runs.clear()
    open_cached("tiny", [GROUP], root, "raw", Tiny)
    shutil.move(root / "Tiny" / "raw", root / "raw")
    assert open_cached("tiny", [GROUP], root, "raw", Tiny)[0].num_edges == 2
    assert len(Tiny.processed_runs) == 1


def test_damaged_raw_files_are_named_and_leave_nothing_behind(root: Path, cache_dir: Path) -> None:
    (root / "Tiny" / "raw" / "edges.txt").write_text("zero one\n")
    with pytest.raises(ValueError, match=r"'tiny': PyG cannot read the raw files in .*Tiny/raw .*fresh copies"):
        open_cached("tiny", [GROUP], root, "raw", Tiny)
    assert [path for path in (cache_dir / "tiny").iterdir() if path.suffix != ".lock"] == []


def test_damaged_processed_file_is_named(root: Path, cache_dir: Path) -> None:
    open_cached("tiny", [GROUP], root, "raw", Tiny)
    path = next(cache_dir.rglob("data.pt"))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=rf"{path} is not a whole zip archive.*delete {path.parent.parent} to have"):
        open_cached("tiny", [GROUP], root, "raw", Tiny)


def test_raw_files_are_linked_and_not_copied(root: Path, cache_dir: Path) -> None:
    open_cached("tiny", [GROUP], root, "raw", Tiny)
    assert next(cache_dir.rglob("edges.txt")).resolve() == root / "Tiny" / "raw" / "edges.txt"


def test_without_links_raw_files_are_copied(root: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError("no privilege")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    for _ in range(2):
        assert open_cached("tiny", [GROUP], root, "raw", Tiny)[0].num_edges == 2
    assert not next(cache_dir.rglob("edges.txt")).is_symlink()


def test_what_a_killed_process_left_is_cleared_away(root: Path, cache_dir: Path) -> None:
    key = checksum(locate("tiny", [GROUP], root))
    left = cache_dir / "tiny" / f".{key}-abcdef" / "processed"
    left.mkdir(parents=True)
    (left / "data.pt").write_bytes(b"half")
    assert open_cached("tiny", [GROUP], root, "raw", Tiny)[0].num_edges == 2
    assert sorted(path.name for path in (cache_dir / "tiny").iterdir()) == [key, f"{key}.lock"]


def test_variants_are_kept_apart(root: Path) -> None:
    Tiny.processed_runs.clear()
    for variant in ("a", "b", "a"):
        open_cached("tiny", [GROUP], root, "raw", Tiny, variant=variant)
    assert len(Tiny.processed_runs) == 2


def test_errors_that_are_not_the_files_fault_are_passed_on(root: Path) -> None:
    def build(folder: str) -> Tiny:
        raise ImportError("pip install something")

    with pytest.raises(ImportError, match="pip install something"):
        open_cached("tiny", [GROUP], root, "raw", build)


def test_files_that_contradict_each_other_are_refused_before_they_are_read(root: Path) -> None:
    def check(files: Mapping[str, Path]) -> None:
        raise ValueError(f"{files['edges.txt']} has 2 rows, expected 3")

    Tiny.processed_runs.clear()
    with pytest.raises(ValueError, match=r"edges\.txt has 2 rows, expected 3"):
        open_cached("tiny", [GROUP], root, "raw", Tiny, check=check)
    assert Tiny.processed_runs == []


def test_missing_files_say_which_belong_where(root: Path) -> None:
    (root / "Tiny" / "raw" / "edges.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 1 raw files are missing in .*Tiny/raw: edges\.txt"):
        locate("tiny", [GROUP], root)


def test_missing_data_root_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GRAPHKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"ROOT/Tiny/raw: edges\.txt \(there is no data root\)"):
        locate("tiny", [GROUP], None)


def test_files_of_a_group_are_never_mixed_from_two_folders(tmp_path: Path) -> None:
    group = FileGroup(("x", "y"), ("a", "b"))
    for folder, name in (("a", "x"), ("b", "y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 raw files are missing in .*a: y"):
        locate("two", [group], tmp_path)
    (tmp_path / "b" / "x").touch()
    assert locate("two", [group], tmp_path) == {"x": tmp_path / "b" / "x", "y": tmp_path / "b" / "y"}


@pytest.mark.slow
def test_processes_that_start_together_process_once(real_data: Path, cache_dir: Path) -> None:
    script = "from graphkit.datasets import load; print(load('cora')[0].num_edges)"
    environment = {**os.environ, "GRAPHKIT_DATA": str(real_data.resolve()), "GRAPHKIT_CACHE": str(cache_dir)}
    environment.pop("PYTEST_CURRENT_TEST")  # else PyG does not say "Processing..."
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    results = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0], results
    assert [out for out, _ in results] == ["10556\n"] * 3
    assert sum(err.count("Processing...") for _, err in results) == 1
