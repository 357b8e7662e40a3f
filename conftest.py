"""Where the doctests of optional parts are not collected: their modules cannot be imported."""

from __future__ import annotations

from importlib.util import find_spec

# The kernels import triton, which has wheels for Linux alone; the package that holds them does not.
collect_ignore_glob = [] if find_spec("triton") else ["graphkit/ops/triton/[a-z]*.py"]
