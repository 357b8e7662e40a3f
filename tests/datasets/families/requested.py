"""What a family asks the cache for."""

from __future__ import annotations

from types import ModuleType

import pytest

from graphkit.datasets import load
from graphkit.datasets.cache import FileGroup


def requested(
    monkeypatch: pytest.MonkeyPatch, family: ModuleType, name: str, **options: object
) -> tuple[set[str], str, list[str]]:
    """The raw files that ``load`` asks the cache for, the folder it puts them in, and where they are downloaded."""
    asked: list[tuple[set[str], str, list[str]]] = []

    def record(
        dataset: str, groups: list[FileGroup], root: object, target: str, build: object, **further: object
    ) -> None:
        files = {file for group in groups for file in group.names}
        asked.append((files, target, [url for group in groups for url in group.urls]))

    monkeypatch.setattr(family, "open_cached", record)
    load(name, **options)
    return asked[0]
