"""The README's example runs, and the commands it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from graphkit.cli import COMMANDS
from graphkit.datasets import names
from graphkit.datasets.families.tu import tu_name

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


def test_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(example.strip().splitlines()) == 8
    exec(example, {})
    printed = capsys.readouterr().out
    assert printed.startswith("GENConv(34, 16, aggr=")
    assert "torch.Size([34, 16])" in printed


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    pairs = re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", TEXT, flags=re.MULTILINE)
    named = {first or second for first, second in pairs}
    assert {"demo", "test", "test-interop", "bench", "install"} <= named <= targets


def test_commands_exist() -> None:
    assert set(re.findall(r"^graphkit ([a-z]+)", TEXT, flags=re.MULTILINE)) == set(COMMANDS)


def test_extras_and_data_sets_are_all_named() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    section = project.split("[project.optional-dependencies]")[1].split("[project.scripts]")[0]
    extras = re.findall(r"^([a-z]+) = \[", section, flags=re.MULTILINE)
    # The sets of OGB and TUDataset are many: the README names some, and where the names come from.
    several = {"ogbn", "ogbl", "ogbg"}
    data_sets = [n for n in names() if n.split("-")[0] not in several and tu_name(n, "absent") is None]
    missing = [name for name in [*extras, *data_sets] if f"`{name}`" not in TEXT]
    assert missing == []


def test_linked_files_exist() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / link).is_file(), link
