"""The data sets by name: which PyG class opens each, which raw files it needs and where they may lie."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from typing import Any

import torch
from torch_geometric.data import Data, Dataset
from torch_geometric.datasets import KarateClub, Planetoid, WebKB
from torch_geometric.transforms import BaseTransform, Compose

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.digits import DigitsKNN

Root = str | os.PathLike[str] | None
Transform = Callable[[Data], Data] | None

_PLANETOID_PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")


def _planetoid(name: str) -> Callable[..., Dataset]:
    key = name.lower()

    def load_planetoid(
        root: Root = None,
        *,
        split: str = "public",
        num_train_per_class: int = 20,
        num_val: int = 500,
        num_test: int = 1000,
        transform: Transform = None,
    ) -> Dataset:
        groups = [
            FileGroup(
                tuple(f"ind.{key}.{part}" for part in _PLANETOID_PARTS),
                (f"Planetoid/{name}/raw", f"{name}/raw", "raw", "."),
            )
        ]
        target = f"{name}/raw"
        if split == "geom-gcn":
            groups.append(
                FileGroup(
                    tuple(f"{key}_split_0.6_0.2_{i}.npz" for i in range(10)),
                    (
                        f"Planetoid/{name}/geom-gcn-splits",
                        f"Planetoid/{name}/geom-gcn/raw",
                        f"{name}/geom-gcn/raw",
                    ),
                )
            )
            target = f"{name}/geom-gcn/raw"
        return open_cached(
            key,
            groups,
            root,
            target,
            lambda folder: Planetoid(
                folder,
                name,
                split=split,
                num_train_per_class=num_train_per_class,
                num_val=num_val,
                num_test=num_test,
                transform=transform,
            ),
        )

    return load_planetoid


def _webkb(name: str) -> Callable[..., Dataset]:
    def load_webkb(root: Root = None, *, transform: Transform = None) -> Dataset:
        names = ["out1_node_feature_label.txt", "out1_graph_edges.txt"]
        names += [f"{name}_split_0.6_0.2_{i}.npz" for i in range(10)]
        group = FileGroup(tuple(names), (f"WebKB/{name}/raw", f"{name}/raw", "raw", "."))
        return open_cached(
            name,
            [group],
            root,
            f"{name}/raw",
            lambda folder: WebKB(folder, name, transform=transform),
        )

    return load_webkb


class _HoldOut(BaseTransform):
    """Adds the masks that PyG's karate club lacks: of the unlabelled nodes, in a fixed random order, a third
    is for validation and the rest for testing."""

    def forward(self, data: Data) -> Data:
        unlabelled = (~data.train_mask).nonzero().view(-1)
        order = unlabelled[torch.randperm(unlabelled.numel(), generator=torch.Generator().manual_seed(0))]
        data.val_mask = torch.zeros_like(data.train_mask)
        data.val_mask[order[: order.numel() // 3]] = True
        data.test_mask = ~(data.train_mask | data.val_mask)
        return data


def _karate(root: Root = None, *, transform: Transform = None) -> Dataset:
    return KarateClub(transform=_HoldOut() if transform is None else Compose([_HoldOut(), transform]))


def _digits(root: Root = None, **options: Any) -> Dataset:
    return DigitsKNN(**options)


_CATALOG: dict[str, Callable[..., Dataset]] = {
    "cora": _planetoid("Cora"),
    "citeseer": _planetoid("CiteSeer"),
    "pubmed": _planetoid("PubMed"),
    "cornell": _webkb("cornell"),
    "texas": _webkb("texas"),
    "wisconsin": _webkb("wisconsin"),
    "karate": _karate,
    "digits": _digits,
}


def names() -> list[str]:
    """The names that :func:`load` knows.

    Example:
        >>> "cora" in names()
        True
    """
    return sorted(_CATALOG)


def load(name: str, root: str | os.PathLike[str] | None = None, **options: Any) -> Dataset:
    """Opens a data set by name, through PyG's own class where there is one.

    Raw files are only read: they are copied to the cache folder (environment variable ``GRAPHKIT_CACHE``,
    else ``~/.cache/graphkit``), under a key made from their checksums, and processed there. Nothing is
    downloaded.

    ===================================== ===================================== ==============================
    name                                  class                                 raw files, below ``root``
    ===================================== ===================================== ==============================
    ``cora``, ``citeseer``, ``pubmed``    PyG's ``Planetoid``                   ``Planetoid/Cora/raw/ind.*``
    ``cornell``, ``texas``, ``wisconsin`` PyG's ``WebKB``                       ``WebKB/texas/raw/*``
    ``karate``                            PyG's ``KarateClub``, plus masks      none (PyG ships them)
    ``digits``                            :class:`~graphkit.datasets.DigitsKNN` none (scikit-learn does)
    ===================================== ===================================== ==============================

    Instead of ``Planetoid/Cora/raw``, ``Cora/raw`` and ``raw`` are found too.

    Args:
        name: one of :func:`names`; case does not matter.
        root: the folder with the raw files; default: environment variable ``GRAPHKIT_DATA``, else
            ``../shared/data`` if there is one.
        options: keyword arguments of the class above, e.g. ``split="full"`` for Planetoid, ``transform=...``.

    Returns:
        A PyG data set; ``load(name)[0]`` is its (first) graph.

    Raises:
        ValueError: if the name is unknown (the message lists near ones), or raw files are damaged.
        FileNotFoundError: if raw files are missing (the message says which belong where).

    Example:
        >>> load("karate")[0]
        Data(x=[34, 34], edge_index=[2, 156], y=[34], train_mask=[34], val_mask=[34], test_mask=[34])
    """
    key = name.lower()
    if key not in _CATALOG:
        near = difflib.get_close_matches(key, _CATALOG, n=3, cutoff=0.5) or names()
        raise ValueError(f"name: got unknown dataset '{name}', expected one like {', '.join(near)}")
    return _CATALOG[key](root, **options)
