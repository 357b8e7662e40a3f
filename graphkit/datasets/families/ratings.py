"""People and what they rate: MovieLens, and who trusts whom in Bitcoin OTC."""

from __future__ import annotations

import importlib.util

from torch_geometric.data import Dataset
from torch_geometric.datasets import BitcoinOTC, MovieLens1M, MovieLens100K

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.families.common import Opener, Root, Transform, require_whole_lines


def _movielens(cls: type[MovieLens100K] | type[MovieLens1M], names: tuple[str, ...], archive: str) -> Opener:
    def open_movielens(root: Root = None, *, download: str = "no", transform: Transform = None) -> Dataset:
        folders = (f"{cls.__name__}/raw", archive, "raw")
        if importlib.util.find_spec("pandas") is None:
            raise ImportError(f"PyG's {cls.__name__} needs pandas: pip install 'graphkit[datasets]'")
        return open_cached(
            cls.__name__.lower(),
            [FileGroup(names, folders, urls=(cls.url,))],
            root,
            "raw",
            lambda folder: cls(folder, transform=transform),
            download=download,
        )

    return open_movielens


def _bitcoin_otc(
    root: Root = None, *, download: str = "no", edge_window_size: int = 10, transform: Transform = None
) -> Dataset:
    group = FileGroup(("soc-sign-bitcoinotc.csv",), ("BitcoinOTC/raw", "raw"), urls=(BitcoinOTC.url,))
    return open_cached(
        "bitcoinotc",
        [group],
        root,
        "raw",
        lambda folder: BitcoinOTC(folder, edge_window_size, transform=transform),
        download=download,
        variant=f"edge_window_size={edge_window_size}",
        check=require_whole_lines,
    )


ENTRIES: dict[str, Opener] = {
    "movielens100k": _movielens(MovieLens100K, ("u.item", "u.user", "u1.base", "u1.test"), "ml-100k"),
    "movielens1m": _movielens(MovieLens1M, ("movies.dat", "users.dat", "ratings.dat"), "ml-1m"),
    "bitcoinotc": _bitcoin_otc,
}
