"""One door to the data sets: :func:`load` finds the family that a name belongs to."""

from __future__ import annotations

import difflib
import os
from typing import Any

from torch_geometric.data import Dataset

from graphkit.datasets.download import check_policy
from graphkit.datasets.families import (
    bundled,
    expressiveness,
    made,
    molecules,
    nbody,
    planetoid,
    ratings,
    temporal,
    tu,
    webpages,
)
from graphkit.datasets.families.common import Opener
from graphkit.datasets.families.ogb import UnknownSetError, is_ogb, load_ogb, ogb_names
from graphkit.datasets.families.tu import load_tu, tu_name

_FAMILIES = (bundled, expressiveness, made, molecules, nbody, planetoid, ratings, temporal, tu, webpages)
_CATALOG: dict[str, Opener] = {name: opener for family in _FAMILIES for name, opener in family.ENTRIES.items()}


def names() -> list[str]:
    """The names that :func:`load` knows; those of OGB are among them where OGB is installed.

    Any other set of the TU collection is called ``tu/NAME``.

    Example:
        >>> "cora" in names()
        True
    """
    return sorted([*_CATALOG, *ogb_names()])


def load(name: str, root: str | os.PathLike[str] | None = None, *, download: str = "no", **options: Any) -> Dataset:
    """Opens a data set by name, through PyG's or OGB's own class where there is one.

    Raw files are only read: links to them are put into the cache folder (environment variable ``GRAPHKIT_CACHE``,
    else ``~/.cache/graphkit``), under a key made from their checksums, and processed there. Nothing is downloaded
    unless you say so, and then into the cache folder.

    ======================================== ========================================= ============================
    name                                     class                                     raw files, below ``root``
    ======================================== ========================================= ============================
    ``ogbn-...``, ``ogbl-...``, ``ogbg-...`` OGB's, e.g. ``PygNodePropPredDataset``    ``ogb/ogbg_molhiv/raw/*``
    ``cora``, ``citeseer``, ``pubmed``       ``Planetoid``                             ``Planetoid/Cora/raw/ind.*``
    ``citationfull-cora``, ``-dblp``, ...    ``CitationFull``                          ``CitationFull/cora/raw/*``
    ``cornell``, ``texas``, ``wisconsin``    ``WebKB``                                 ``WebKB/texas/raw/*``
    ``chameleon``, ``squirrel``              ``WikipediaNetwork``                      ``chameleon/geom_gcn/raw/*``
    ``actor`` (or ``film``)                  ``Actor``                                 ``Actor/raw/*``
    ``roman-empire``, ``minesweeper``, ...   ``HeterophilousGraphDataset``             ``roman_empire/raw/*``
    ``movielens100k``, ``movielens1m``       ``MovieLens100K``, ``MovieLens1M``        ``MovieLens100K/raw/*``
    ``bitcoinotc``                           ``BitcoinOTC``                            ``BitcoinOTC/raw/*``
    ``bitcoin-otc``, ``bitcoin-alpha``       ours, one ``TemporalData``                ``BitcoinOTC/raw/*.csv``
    ``england-covid``, ``chickenpox``        ours; ``lags=8``, ``4``                   ``PyGTemporal/*.json``
    ``sbm-stream``                           ours, one ``TemporalData``; ``seed=0``    none (drawn)
    ``aids``, ``mutag``, ...; ``tu/NAME``    ``TUDataset``                             ``TUDataset/AIDS/raw/*``
    ``csl``                                  ``GNNBenchmarkDataset``                   ``CSL/raw/*``
    ``exp``                                  ours                                      ``EXP/exp_graphs.npz``
    ``graph8c``                              ours                                      ``graph8c/raw/graph8c.g6``
    ``nbody``                                ours; ``split="train"``                   ``nbody/*.npz``
    ``nbody-simulated``                      ours; ``split="train"``, ``seed=0``       none (simulated)
    ``surfaces``                             ours; ``split="train"``, ``seed=0``       none (made)
    ``molecule-csv``                         ours; ``file=``, ``smiles=``, ``labels=`` any CSV file with SMILES
    ``karate``, ``digits``                   ``KarateClub`` and masks; ``DigitsKNN``   none (packages ship them)
    ======================================== ========================================= ============================

    Shorter layouts (``Cora/raw``, ``ogbg_molhiv``, ``dataset/ogbg_molhiv``) are found too, and so is a set that OGB's
    ``DatasetSaver`` wrote below ``root``.

    Args:
        name: one of :func:`names`; case does not matter.
        root: the folder with the raw files; default: environment variable ``GRAPHKIT_DATA``, else
            ``../shared/data`` if there is one.
        download: what to do if raw files are missing: ``"no"``: say which belong where; ``"yes"``: download them if
            they fit on the disk; ``"ask"``: show the size and ask on the terminal, without one as ``"no"``.
        options: keyword arguments of the class above, e.g. ``split="full"`` for Planetoid, ``transform=...``.

    Returns:
        A PyG data set; ``load(name)[0]`` is its (first) graph. Sets of OGB are instances of OGB's own classes, with
        ``get_idx_split()``, ``num_tasks``, ``eval_metric``, ``meta_info``.

    Raises:
        ValueError: if the name is unknown (the message lists near ones), or raw files are damaged (it names them).
        FileNotFoundError: if raw files are missing (the message says which belong where).
        ImportError: if an optional package is missing (the message says how to install it).
        ConnectionError: if a download fails or ends early.

    Example:
        >>> load("karate")[0]
        Data(x=[34, 34], edge_index=[2, 156], y=[34], train_mask=[34], val_mask=[34], test_mask=[34])
    """
    check_policy(download)
    key, reason = name.lower(), ""
    if key in _CATALOG:
        return _CATALOG[key](root, download=download, **options)
    if (graphs := tu_name(name, root)) is not None:
        return load_tu(graphs, root, download=download, **options)
    if is_ogb(name):
        try:
            spelling = {known.lower(): known for known in ogb_names()}
            return load_ogb(spelling.get(key, name), root, download=download, **options)
        except UnknownSetError as error:
            reason = f" ({error})"
    near = difflib.get_close_matches(key, names(), n=3, cutoff=0.5) or names()
    raise ValueError(f"name: got unknown dataset '{name}', expected one like {', '.join(near)}{reason}")
