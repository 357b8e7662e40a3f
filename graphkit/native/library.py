"""Finding, checking and loading the shared library of native kernels.

Nothing here raises at import: a missing or stale library leaves :func:`available` false and :func:`why_not` says why.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch  # noqa: F401  (first: the library then shares torch's OpenMP runtime and its threads)

__all__ = ["ABI_VERSION", "LIBRARY_VARIABLE", "available", "build_info", "load", "why_not"]

#: Version of the interface in ``src/abi.h`` that :mod:`graphkit.native.kernels` speaks.
ABI_VERSION = 5

#: Environment variable with the path of a library to use instead of the installed one.
LIBRARY_VARIABLE = "GRAPHKIT_NATIVE_LIBRARY"

_FILE_NAMES = ("libgraphkit_native.so", "libgraphkit_native.dylib", "graphkit_native.dll")


@dataclass(frozen=True)
class _Loaded:
    library: ctypes.CDLL | None
    path: Path | None
    reason: str


def _candidates() -> list[Path]:
    """Where the library can be: the named file, or beside this module, or where an editable install puts it."""
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        return [Path(named)]
    # In an editable install the modules stay in the source tree and the compiled files go to site-packages.
    installed = Path(sysconfig.get_path("platlib"), *__name__.split(".")[:-1])
    folders = dict.fromkeys((Path(__file__).parent, installed))
    return [folder / name for folder in folders for name in _FILE_NAMES]


def _open(path: Path) -> _Loaded:
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return _Loaded(None, path, f"{path} does not load: {error}")
    try:
        version = int(library.graphkit_abi_version())
    except AttributeError:
        return _Loaded(None, path, f"{path} is not a library of graphkit kernels")
    if version != ABI_VERSION:
        reason = (
            f"{path} has interface version {version}, this package needs {ABI_VERSION}: "
            "reinstall graphkit so that the kernels are compiled again"
        )
        return _Loaded(None, path, reason)
    library.graphkit_run.argtypes = [ctypes.c_int64, ctypes.c_char_p]
    library.graphkit_isa.restype = ctypes.c_char_p
    library.graphkit_compiler.restype = ctypes.c_char_p
    return _Loaded(library, path, "")


@functools.cache
def _loaded() -> _Loaded:
    candidates = _candidates()
    present = [path for path in candidates if path.is_file()]
    if not present:
        places = ", ".join(str(folder) for folder in dict.fromkeys(path.parent for path in candidates))
        reason = f"no compiled kernels in {places}: install graphkit with a C++17 compiler present"
        return _Loaded(None, None, reason)
    results = [_open(path) for path in present]
    return next((result for result in results if result.library is not None), results[0])


def load() -> ctypes.CDLL:
    """The loaded library.

    Raises:
        RuntimeError: it could not be loaded; the message is :func:`why_not`.
    """
    loaded = _loaded()
    if loaded.library is None:
        raise RuntimeError(f"graphkit's native kernels are not available: {loaded.reason}")
    return loaded.library


def available() -> bool:
    """Whether the native kernels are loaded and speak this package's interface version."""
    return _loaded().library is not None


def why_not() -> str:
    """The reason why the kernels are not available, or an empty string."""
    return _loaded().reason


def build_info() -> str:
    """Instruction set in use, compiler, interface version and file of the loaded library; empty without one."""
    loaded = _loaded()
    if loaded.library is None:
        return ""
    isa, compiler = loaded.library.graphkit_isa().decode(), loaded.library.graphkit_compiler().decode()
    return f"{isa}, {compiler}, interface {ABI_VERSION}, {loaded.path}"
