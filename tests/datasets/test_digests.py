"""Files are hashed once, and again when they have changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from graphkit.datasets.digests import sha256_of


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were really read."""
    names: list[str] = []
    file_digest = hashlib.file_digest

    def record(stream, algorithm):  # type: ignore[no-untyped-def]
        names.append(Path(stream.name).name)
        return file_digest(stream, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", record)
    return names


def test_sums_are_those_of_the_contents_and_remembered(tmp_path: Path, hashed: list[str]) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    expected = {"key": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    assert sha256_of({"key": tmp_path / "a"}) == sha256_of({"key": tmp_path / "a"}) == expected
    assert hashed == ["a"]


def test_a_changed_file_is_hashed_again(tmp_path: Path, hashed: list[str]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    first = sha256_of({"a": path})
    path.write_bytes(b"abd")
    os.utime(path, ns=(0, 1))
    assert sha256_of({"a": path}) != first
    assert hashed == ["a", "a"]


def test_a_file_that_took_anothers_place_is_hashed_again(tmp_path: Path, hashed: list[str]) -> None:
    # Same path, size and time: the inode tells them apart.
    for name, content in (("a", b"abc"), ("b", b"xyz")):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, ns=(5, 5))
    first = sha256_of({"a": tmp_path / "a"})
    os.replace(tmp_path / "b", tmp_path / "a")
    assert sha256_of({"a": tmp_path / "a"}) != first
    assert len(hashed) == 2


@pytest.mark.parametrize("rubbish", ["{", "[]", '{"PATH": 3}', '{"PATH": ["stamp"]}'])
def test_a_broken_memory_is_forgotten(rubbish: str, tmp_path: Path, cache_dir: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    good = sha256_of({"a": path})
    (cache_dir / "digests.json").write_text(rubbish.replace("PATH", str(path)))
    assert sha256_of({"a": path}) == good
