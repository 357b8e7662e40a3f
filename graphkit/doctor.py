"""What is installed, on which devices, and which backends are on: ``graphkit doctor``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from dataclasses import dataclass

import torch

from graphkit import __version__

# Name on PyPI, module, what it is for, what to tell pip, and whether it must be imported to see if it loads.
_OPTIONAL = (
    ("jsonargparse", "jsonargparse", "command line", "'graphkit[cli]'", False),
    ("scipy", "scipy", "data sets", "'graphkit[datasets]'", False),
    ("scikit-learn", "sklearn", "data sets", "'graphkit[datasets]'", False),
    ("matplotlib", "matplotlib", "pictures", "'graphkit[plot]'", False),
    ("triton", "triton", "GPU kernels", "triton", True),
    ("torch-scatter", "torch_scatter", "comparisons", "--no-build-isolation torch-scatter", True),
    ("torch-sparse", "torch_sparse", "SparseTensor inputs", "--no-build-isolation torch-sparse", True),
    ("dgl", "dgl", "DGL graphs", "'graphkit[dgl]'", True),
    ("ogb", "ogb", "OGB data sets", "'graphkit[ogb]'", False),
)
_REQUIRED = ("torch", "torch-geometric", "networkx", "numpy")


@dataclass(frozen=True)
class Report:
    """What :func:`examine` found.

    Args:
        sections: titles and their (name, finding) lines.
        healthy: False if the native kernels did not load.
    """

    sections: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    healthy: bool

    def __str__(self) -> str:
        width = max(len(name) for _, lines in self.sections for name, _ in lines)
        blocks = []
        for title, lines in self.sections:
            blocks.append("\n".join([title, *(f"  {name:<{width}}  {finding}" for name, finding in lines)]))
        return "\n\n".join(blocks)


def examine() -> Report:
    """Looks at this Python, its packages, the devices and the backends.

    Example:
        >>> print(examine())  # doctest: +ELLIPSIS
        versions
          graphkit ...
    """
    from graphkit import ops

    backends = ops.backend_status()
    sections = (
        ("versions", tuple(_versions())),
        ("optional packages", tuple((row[0], optional_package(*row)) for row in _OPTIONAL)),
        ("devices", tuple(_devices())),
        (
            "backends",
            tuple((name, f"{'on ' if on else 'off'}  {reason}") for name, (on, reason) in backends.items()),
        ),
        ("folders", tuple(_folders())),
    )
    return Report(sections, healthy=backends["native"][0])


def _versions() -> list[tuple[str, str]]:
    lines = [
        ("graphkit", f"{__version__} ({os.path.dirname(__file__)})"),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("platform", platform.platform()),
    ]
    return lines + [(name, version(name) or "not installed") for name in _REQUIRED]


def version(distribution: str) -> str | None:
    """The version of an installed distribution, None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def optional_package(distribution: str, module: str, purpose: str, source: str, compiled: bool = False) -> str:
    """The version of a package, or why it cannot be used.

    Args:
        distribution: its name for pip.
        module: its name for Python.
        purpose: what graphkit uses it for.
        source: what to give ``pip install``.
        compiled: import it in a process of its own, to see whether its library fits this torch.
    """
    if importlib.util.find_spec(module) is None:
        return f"not installed ({purpose}): pip install {source}"
    found = version(distribution) or "unknown version"
    if not compiled:
        return found
    # In a process of its own: a library built for another torch may end the process that loads it.
    probe = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        env={**os.environ, "DGLBACKEND": "pytorch"},
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode == 0:
        return found
    reason = probe.stderr.strip().splitlines()[-1] if probe.stderr.strip() else f"exit code {probe.returncode}"
    return f"{found}, does not import: {reason}"


def _devices() -> list[tuple[str, str]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [
        ("cpu", f"{cpu_name()}, {cores} cores usable"),
        (
            "threads",
            f"{torch.get_num_threads()} within an operator, {torch.get_num_interop_threads()} between",
        ),
    ]
    if not torch.backends.cuda.is_built():
        lines.append(("cuda", "none: this torch was built for the CPU"))
    elif not torch.cuda.is_available():
        lines.append(("cuda", f"none: torch is built for CUDA {torch.version.cuda}, but sees no device"))
    else:
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            memory = f"{device.total_memory / 2**30:.0f} GiB"
            capability = f"compute capability {device.major}.{device.minor}"
            lines.append((f"cuda:{index}", f"{device.name}, {memory}, {capability}"))
    return lines


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as stream:
            return next(line.split(":", 1)[1].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _folders() -> list[tuple[str, str]]:
    from graphkit.datasets.root import cache_root, data_root

    root = data_root()
    return [
        ("data", "none: set GRAPHKIT_DATA" if root is None else str(root.resolve())),
        ("cache", str(cache_root())),
    ]
