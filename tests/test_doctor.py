"""The doctor's report is about this machine, and its health is the native kernels'."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch
import torch_geometric

from graphkit import __version__, doctor, ops


@pytest.fixture(scope="module")
def sections() -> dict[str, dict[str, str]]:
    return {title: dict(lines) for title, lines in doctor.examine().sections}


def test_versions_are_those_of_this_python(sections: dict[str, dict[str, str]]) -> None:
    versions = sections["versions"]
    assert versions["graphkit"].startswith(__version__)
    assert versions["python"].startswith(platform.python_version())
    assert versions["torch"] == torch.__version__
    assert versions["torch-geometric"] == torch_geometric.__version__


def test_backends_are_those_of_ops(sections: dict[str, dict[str, str]]) -> None:
    status = ops.backend_status()
    assert sections["backends"].keys() == status.keys()
    for name, (on, _) in status.items():
        assert sections["backends"][name].split()[0] == ("on" if on else "off")


@pytest.mark.parametrize("healthy", [True, False])
def test_health_is_that_of_the_native_kernels(healthy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_OPTIONAL", ())
    monkeypatch.setattr(ops, "backend_status", lambda: {"torch": (True, "pure torch"), "native": (healthy, "why")})
    report = doctor.examine()
    assert report.healthy == healthy
    assert f"native           {'on ' if healthy else 'off'}  why" in str(report)


def test_threads_and_devices(sections: dict[str, dict[str, str]]) -> None:
    assert sections["devices"]["threads"].startswith(f"{torch.get_num_threads()} within")
    assert any(name.startswith("cuda") for name in sections["devices"])


def test_an_absent_package_is_said_to_be_with_the_command_that_gets_it() -> None:
    finding = doctor.optional_package("no-such-package", "no_such_module", "nothing", "none")
    assert finding == "not installed (nothing): pip install none"


def test_a_package_that_does_not_import_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch_broken.py").write_text("raise ImportError('undefined symbol: _ZN3c10')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = doctor.optional_package("torch-broken", "torch_broken", "x", "y", compiled=True)
    assert finding == "unknown version, does not import: ImportError: undefined symbol: _ZN3c10"


def test_a_package_that_imports_is_there() -> None:
    assert doctor.optional_package("numpy", "numpy", "x", "y", compiled=True) == doctor.version("numpy")
