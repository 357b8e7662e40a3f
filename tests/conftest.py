"""Fixtures for every test: one seed, few threads, and where the real data lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from graphkit.datasets.root import data_root


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


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets; the test is skipped where there is none."""
    root = data_root()
    if root is None:
        pytest.skip("no data folder: set GRAPHKIT_DATA or put the data at ../shared/data")
    return root
