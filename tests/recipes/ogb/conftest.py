"""Small sets in OGB's format, made once per process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets import ogb_fixtures


@pytest.fixture(scope="session")
def ogb_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Path]]:
    """Name and root of a set of each kind."""
    makers = {
        "node": ogb_fixtures.make_node,
        "multilabel": ogb_fixtures.make_multilabel_node,
        "link": ogb_fixtures.make_link,
        "graph": ogb_fixtures.make_graph,
        "multitask": ogb_fixtures.make_multitask_graph,
    }
    return {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in makers.items()}
