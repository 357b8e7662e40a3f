"""Which implementation samples."""

from __future__ import annotations

import pytest

from graphkit.graph.sampling import reference
from graphkit.graph.sampling.backend import kernels
from graphkit.native import library, sampling


def test_auto_takes_the_native_samplers_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "available", lambda: True)
    assert kernels("auto") is sampling
    assert kernels("torch") is reference
    monkeypatch.setattr(library, "available", lambda: False)
    assert kernels("auto") is reference
    with pytest.raises(RuntimeError, match="reinstall graphkit"):
        kernels("native")
    with pytest.raises(ValueError, match="'backend' must be one of"):
        kernels("pyg-lib")
