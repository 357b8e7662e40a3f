"""Fixtures for every test and docstring example: one seed, few threads, no traces, and where the real data lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch_geometric.nn import MessagePassing

import graphkit
from graphkit.datasets.root import data_root

# The kernels import triton, which has wheels for Linux alone; the package that holds them does not. Likewise the
# subclasses of OGB's data sets.
collect_ignore_glob = [
    pattern
    for needed, pattern in (
        ("triton", "graphkit/ops/triton/[a-z]*.py"),
        ("ogb", "graphkit/datasets/families/ogb_classes.py"),
    )
    if not find_spec(needed)
]

# pytest loads a module with docstring examples a second time if nothing has imported it before, and the copy takes
# the place of what its package exports under the same name (`ops.scatter` is a function).
for _name in graphkit.__all__:
    getattr(graphkit, _name)


def pytest_configure(config: pytest.Config) -> None:
    # Under pytest-xdist every worker would otherwise start one thread per core.
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed() -> int:
    """Every test starts from the same random state."""
    torch.manual_seed(0)
    return 0


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's cache."""
    cache = tmp_path / "graphkit-cache"
    monkeypatch.setenv("GRAPHKIT_CACHE", str(cache))
    return cache


@pytest.fixture(autouse=True)
def pyg_base_class() -> Iterator[None]:
    """PyG writes compiled methods on the class of each layer that is made. Made from its base class itself, they
    would break the explanations of all layers first made afterwards."""
    before = dict(vars(MessagePassing))
    yield
    for name in vars(MessagePassing).keys() - before.keys():
        delattr(MessagePassing, name)
    for name in ("propagate", "collect", "edge_updater", "edge_collect"):
        if name in before and vars(MessagePassing)[name] is not before[name]:
            setattr(MessagePassing, name, before[name])


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets; the test is skipped where there is none."""
    root = data_root()
    if root is None:
        pytest.skip("no data folder: set GRAPHKIT_DATA or put the data at ../shared/data")
    return root
