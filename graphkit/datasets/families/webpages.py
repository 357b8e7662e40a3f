"""Graphs on which neighbours often differ: WebKB, Wikipedia, Actor in Geom-GCN's form, and the heterophilous five."""

from __future__ import annotations

from collections.abc import Callable

from torch_geometric.data import Dataset
from torch_geometric.datasets import Actor, HeterophilousGraphDataset, WebKB, WikipediaNetwork

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.families.common import Opener, Root, Transform, require_whole_lines


def _geom_gcn(
    name: str, source: str, folders: tuple[str, ...], target: str, build: Callable[[str, Transform], Dataset], url: str
) -> Opener:
    """A graph with Geom-GCN's two text files and ten splits; ``source`` is its name there."""
    tables = ("out1_node_feature_label.txt", "out1_graph_edges.txt")
    splits = tuple(f"{source}_split_0.6_0.2_{i}.npz" for i in range(10))

    def open_geom_gcn(root: Root = None, *, download: str = "no", transform: Transform = None) -> Dataset:
        urls = [f"{url}/new_data/{source}/{file}" for file in tables] + [f"{url}/splits/{file}" for file in splits]
        return open_cached(
            name,
            [FileGroup(tables + splits, folders, urls=tuple(urls))],
            root,
            target,
            lambda folder: build(folder, transform),
            download=download,
            check=require_whole_lines,
        )

    return open_geom_gcn


def _webkb(name: str) -> Opener:
    return _geom_gcn(
        name,
        name,
        (f"WebKB/{name}/raw", f"{name}/raw", "raw", "."),
        f"{name}/raw",
        lambda folder, transform: WebKB(folder, name, transform=transform),
        WebKB.url,
    )


def _wikipedia(name: str) -> Opener:
    return _geom_gcn(
        name,
        name,
        (f"WikipediaNetwork/{name}/geom_gcn/raw", f"{name}/geom_gcn/raw", f"{name}/raw"),
        f"{name}/geom_gcn/raw",
        lambda folder, transform: WikipediaNetwork(folder, name, transform=transform),
        WikipediaNetwork.processed_url,
    )


_ACTOR = _geom_gcn(
    "actor",
    "film",
    ("Actor/raw", "actor/raw", "film/raw"),
    "raw",
    lambda folder, transform: Actor(folder, transform=transform),
    Actor.url,
)


def _heterophilous(name: str) -> Opener:
    key = name.replace("-", "_")

    def open_heterophilous(root: Root = None, *, download: str = "no", transform: Transform = None) -> Dataset:
        folders = (f"HeterophilousGraphDataset/{key}/raw", f"{key}/raw")
        group = FileGroup((f"{key}.npz",), folders, urls=(f"{HeterophilousGraphDataset.url}/{key}.npz",))
        return open_cached(
            name,
            [group],
            root,
            f"{key}/raw",
            lambda folder: HeterophilousGraphDataset(folder, name, transform=transform),
            download=download,
        )

    return open_heterophilous


_FIVE = ("roman-empire", "amazon-ratings", "minesweeper", "tolokers", "questions")
ENTRIES: dict[str, Opener] = {
    **{name: _webkb(name) for name in ("cornell", "texas", "wisconsin")},
    **{name: _wikipedia(name) for name in ("chameleon", "squirrel")},
    "actor": _ACTOR,
    "film": _ACTOR,
    **{name: _heterophilous(name) for name in _FIVE},
}
