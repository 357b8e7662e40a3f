"""Citation graphs with bags of words: Planetoid's three, and the full graphs of CitationFull."""

from __future__ import annotations

from torch_geometric.data import Dataset
from torch_geometric.datasets import CitationFull, Planetoid

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.families.common import Opener, Root, Transform, one_of

_PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")


def _planetoid(name: str) -> Opener:
    key = name.lower()

    def open_planetoid(
        root: Root = None,
        *,
        download: str = "no",
        split: str = "public",
        num_train_per_class: int = 20,
        num_val: int = 500,
        num_test: int = 1000,
        transform: Transform = None,
    ) -> Dataset:
        one_of("split", split, ("public", "full", "geom-gcn", "random"))
        names = tuple(f"ind.{key}.{part}" for part in _PARTS)
        folders = (f"Planetoid/{name}/raw", f"{name}/raw", "raw", ".")
        groups = [FileGroup(names, folders, urls=tuple(f"{Planetoid.url}/{file}" for file in names))]
        target = f"{name}/raw"
        if split == "geom-gcn":
            splits = tuple(f"{key}_split_0.6_0.2_{i}.npz" for i in range(10))
            places = (f"Planetoid/{name}/geom-gcn-splits", f"Planetoid/{name}/geom-gcn/raw", f"{name}/geom-gcn/raw")
            urls = tuple(f"{Planetoid.geom_gcn_url}/splits/{file}" for file in splits)
            groups.append(FileGroup(splits, places, urls=urls))
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
            download=download,
        )

    return open_planetoid


def _citation_full(name: str) -> Opener:
    def open_citation_full(
        root: Root = None, *, download: str = "no", to_undirected: bool = True, transform: Transform = None
    ) -> Dataset:
        folders = (f"CitationFull/{name}/raw", f"{name}/raw")
        group = FileGroup((f"{name}.npz",), folders, urls=(CitationFull.url.format(name),))
        return open_cached(
            f"citationfull-{name}",
            [group],
            root,
            f"{name}/raw",
            lambda folder: CitationFull(folder, name, transform=transform, to_undirected=to_undirected),
            download=download,
            variant=f"to_undirected={to_undirected}",
        )

    return open_citation_full


ENTRIES: dict[str, Opener] = {
    **{name.lower(): _planetoid(name) for name in ("Cora", "CiteSeer", "PubMed")},
    **{f"citationfull-{name}": _citation_full(name) for name in ("cora", "cora_ml", "citeseer", "dblp", "pubmed")},
}
