"""The table of layers: every public layer and model, how to build a small one, and what it claims.

The contract tests (``tests/test_contract.py``) test every entry on every property of :mod:`graphkit.testing`.
Each method has a file of entries here. To add a layer, add one block to its method's file; to add a method, add a file
and name it in the first import of this one::

    register(
        "GENConv",                                        # unique; variants as "GENConv/powermean"
        "graphkit.nn:GENConv",                            # what it covers: module:Class
        args=(8, 8),
        kwargs={"aggr": "softmax", "learn_t": True, "edge_dim": 4},
        kind="conv",
        lazy_args=(-1, 8),                                # for the claim `lazy`
        lacks={"bfloat16": "why it cannot be had"},       # properties it does not claim, each with the reason
    )

``Build("graphkit.nn:GENConv", 8, 8)`` stands for a module inside ``args`` or ``kwargs`` and is built afresh
with it. An entry claims all properties but those it ``lacks``; groups (``"E(3)"``) are claimed besides by
``groups``, with ``inputs`` and ``outputs`` giving the kinds. ``options`` are further arguments of
:class:`graphkit.testing.Case` (``edge_dim``, ``undirected``, ``call``, ``data``, ...). Importing this package
imports no layer.
"""

from graphkit.registry import deepergcn, evolvegcn, frame_averaging, latent, monoids, sheaf  # noqa: F401  # the entries
from graphkit.registry.table import BASES, Build, Kind, LayerSpec, get, register, specs

__all__ = ["BASES", "Build", "Kind", "LayerSpec", "get", "register", "specs"]
