"""The graph classification sets of the TU Dortmund collection: any of its names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch_geometric.data import Dataset
from torch_geometric.datasets import TUDataset

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.families.common import Opener, Root, Transform, require_whole_lines
from graphkit.datasets.root import data_root

_PREFIX = "tu/"
# Those known by their bare name. Every other is `tu/NAME`, or its bare name if `TUDataset/NAME` is below the root.
_COMMON = (
    *("AIDS", "BZR", "COX2", "DHFR", "DD", "ENZYMES", "MUTAG", "Mutagenicity", "NCI1", "NCI109", "PROTEINS"),
    *("PROTEINS_full", "PTC_FM", "PTC_FR", "PTC_MM", "PTC_MR", "COLLAB", "IMDB-BINARY", "IMDB-MULTI"),
    *("REDDIT-BINARY", "REDDIT-MULTI-5K", "REDDIT-MULTI-12K", "github_stargazers", "deezer_ego_nets", "SYNTHETIC"),
)
_OPTIONAL = ("node_labels", "node_attributes", "edge_labels", "edge_attributes", "graph_attributes")


def tu_name(name: str, root: Root) -> str | None:
    """The collection's spelling if ``name`` is meant as a set of it, else None.

    Example:
        >>> tu_name("tu/FIRSTMM_DB", None), tu_name("mutag", None)
        ('FIRSTMM_DB', 'MUTAG')
    """
    if name.lower().startswith(_PREFIX):
        return name[len(_PREFIX) :]
    for common in _COMMON:
        if common.lower() == name.lower():
            return common
    base = data_root(root)
    return name if base is not None and (base / "TUDataset" / name / "raw" / f"{name}_A.txt").is_file() else None


def load_tu(
    name: str,
    root: Root = None,
    *,
    download: str = "no",
    use_node_attr: bool = False,
    use_edge_attr: bool = False,
    transform: Transform = None,
) -> Dataset:
    """Opens a set of the collection as PyG's ``TUDataset``; the arguments are those of this class."""
    group = FileGroup(
        tuple(f"{name}_{part}.txt" for part in ("A", "graph_indicator", "graph_labels")),
        (f"TUDataset/{name}/raw", f"{name}/raw", f"TUDataset/{name}", name),
        optional=tuple(f"{name}_{part}.txt" for part in _OPTIONAL),
        urls=(f"{TUDataset.url}/{name}.zip",),
    )

    def build(folder: str) -> TUDataset:
        return TUDataset(folder, name, transform=transform, use_node_attr=use_node_attr, use_edge_attr=use_edge_attr)

    return open_cached(
        f"tu-{name}", [group], root, f"{name}/raw", build, download=download, check=lambda files: _check(name, files)
    )


def _check(name: str, files: Mapping[str, Path]) -> None:
    """PyG takes a table that lost its end for a smaller data set; the tables' lengths must agree."""
    require_whole_lines(files)
    indicator = files[f"{name}_graph_indicator.txt"]
    with indicator.open() as stream:
        graph_of_node = [int(line) for line in stream if line.strip()]
    expected = {"graph_labels": len(set(graph_of_node)), "graph_attributes": len(set(graph_of_node))}
    expected |= dict.fromkeys(("node_labels", "node_attributes"), len(graph_of_node))
    expected |= dict.fromkeys(("edge_labels", "edge_attributes"), _rows(files[f"{name}_A.txt"]))
    for part, count in expected.items():
        path = files.get(f"{name}_{part}.txt")
        if path is not None and _rows(path) != count:
            against = f"{name}_A.txt" if part.startswith("edge") else indicator.name
            raise ValueError(f"{path} has {_rows(path)} rows, expected {count} as of {against}")


def _rows(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for line in stream if line.strip())


def _opener(name: str) -> Opener:
    def open_tu(root: Root = None, **options: object) -> Dataset:
        return load_tu(name, root, **options)  # type: ignore[arg-type]

    return open_tu


ENTRIES: dict[str, Opener] = {name.lower(): _opener(name) for name in _COMMON}
