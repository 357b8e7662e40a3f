"""Which implementation samples: the native library, or numpy where it is absent."""

from __future__ import annotations

from types import ModuleType

BACKENDS = ("auto", "native", "torch")


def kernels(backend: str = "auto") -> ModuleType:
    """The module with the sampling kernels; both give the same draws.

    Args:
        backend: ``"native"``, ``"torch"`` (the numpy reference on torch's CPU tensors), or ``"auto"``: native where
            available.

    Raises:
        ValueError: if the name is unknown.
        RuntimeError: if ``"native"`` is asked for and not available.
    """
    if backend not in BACKENDS:
        raise ValueError(f"'backend' must be one of {BACKENDS} (got {backend!r})")
    from graphkit.graph.sampling import reference
    from graphkit.native import library, sampling  # the library loads on first use, never at import

    if backend == "torch":
        return reference
    if library.available():
        return sampling
    if backend == "native":
        raise RuntimeError(f"graphkit's native samplers are not available ({library.why_not()}); reinstall graphkit")
    return reference
