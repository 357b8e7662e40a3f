"""Graphs that change with time: who trusts whom in Bitcoin, infections by region, a stream of our own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, InMemoryDataset, TemporalData
from torch_geometric.datasets import BitcoinOTC

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.families.common import Opener, Root, Transform, require_whole_lines
from graphkit.datasets.sbm_stream import SBMStream

_TRUST = {"bitcoin-otc": "soc-sign-bitcoinotc.csv", "bitcoin-alpha": "soc-sign-bitcoinalpha.csv"}
_LAGS = {"england-covid": 8, "chickenpox": 4}


class BitcoinTrust(InMemoryDataset):
    """Ratings from -10 to 10 that members of a Bitcoin platform gave each other, as one ``TemporalData``.

    ``src`` rates ``dst`` at ``t`` (seconds); ``msg [E, 1]`` is the rating, ``y`` its sign, 1 or -1. Members are
    numbered without gaps, as EvolveGCN's code does; PyG's ``BitcoinOTC`` keeps the numbers of the file and cuts
    snapshots itself.

    Source: SNAP, soc-sign-bitcoin-otc and -alpha (lines of source, target, rating, time); S. Kumar et al., *Edge Weight
    Prediction in Weighted Signed Networks*, ICDM 2016.

    Args:
        root: a folder with the raw file.
        name: ``"bitcoin-otc"`` or ``"bitcoin-alpha"``.
        transform: applied when the events are read.

    Raises:
        ValueError: if a line does not hold four numbers.
    """

    def __init__(self, root: str, name: str, transform: Transform = None) -> None:
        self.name = name
        super().__init__(root, transform)
        self.load(self.processed_paths[0], data_cls=TemporalData)

    @property
    def raw_file_names(self) -> list[str]:
        """The one raw file."""
        return [_TRUST[self.name]]

    @property
    def processed_file_names(self) -> list[str]:
        """The one processed file."""
        return ["data.pt"]

    def process(self) -> None:
        """Reads the events; their order in the file is kept."""
        table = np.loadtxt(self.raw_paths[0], delimiter=",", ndmin=2)
        if table.shape[1] != 4:
            raise ValueError(f"{self.raw_paths[0]} has {table.shape[1]} columns, expected source, target, rating, time")
        rating = torch.from_numpy(table[:, 2])
        if bool((rating == 0).any()):
            raise ValueError(f"{self.raw_paths[0]} has a rating of 0, expected -10 to 10 without it")
        ends = torch.from_numpy(table[:, :2].T.copy()).long()
        ends = torch.unique(ends, return_inverse=True)[1]
        data = TemporalData(
            src=ends[0],
            dst=ends[1],
            t=torch.from_numpy(table[:, 3]).floor().long(),
            msg=rating.float().view(-1, 1),
            y=rating.sign().float(),
        )
        self.save([data], self.processed_paths[0])


class RegionSeries(InMemoryDataset):
    """A number per region and time step, to be forecast from those of the steps before: one graph per step.

    ``x [N, lags]`` are the values of the last steps, the newest last, ``y [N]`` the value of the next one, in the units
    of the file. ``edge_index`` and ``edge_weight`` are those of the newest step in ``x``; PyG-Temporal's loaders take
    those of the oldest, and standardise by the mean of the whole series, test steps too: standardise on the training
    steps (:class:`graphkit.graph.temporal.Standardizer`).

    Source: B. Rozemberczki et al., *PyTorch Geometric Temporal*, CIKM 2021: ``england_covid.json`` (infections and
    movements between 129 regions on 61 days of 2020), ``chickenpox.json`` (weekly cases in the 20 counties of Hungary,
    centred by its authors).

    Args:
        root: a folder with the raw file.
        name: ``"england-covid"`` or ``"chickenpox"``.
        lags: number of steps in ``x``.
        transform: applied to each graph when it is read.
    """

    def __init__(self, root: str, name: str, lags: int, transform: Transform = None) -> None:
        self.name, self.lags = name, lags
        super().__init__(root, transform)
        self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        """The one raw file."""
        return [f"{self.name.replace('-', '_')}.json"]

    @property
    def processed_file_names(self) -> list[str]:
        """The one processed file."""
        return ["data.pt"]

    def process(self) -> None:
        """Cuts the series into graphs."""
        with open(self.raw_paths[0]) as stream:
            content = json.load(stream)
        values = torch.tensor(content["FX"] if "FX" in content else content["y"], dtype=torch.float)
        graphs = []
        for now in range(self.lags - 1, values.size(0) - 1):
            edge_index, weight = _edges(content, now)
            x = values[now + 1 - self.lags : now + 1].t().contiguous()
            graphs.append(Data(x=x, edge_index=edge_index, edge_weight=weight, y=values[now + 1]))
        self.save(graphs, self.processed_paths[0])


def _edges(content: dict[str, Any], step: int) -> tuple[Tensor, Tensor]:
    """Edges and their weights at a step."""
    if "edges" in content:
        edge_index = torch.tensor(content["edges"]).t().contiguous()
        return edge_index, torch.ones(edge_index.size(1))
    mapping = content["edge_mapping"]
    edge_index = torch.tensor(mapping["edge_index"][str(step)], dtype=torch.long).view(-1, 2).t().contiguous()
    return edge_index, torch.tensor(mapping["edge_weight"][str(step)], dtype=torch.float)


def _trust(name: str) -> Opener:
    def open_trust(root: Root = None, *, download: str = "no", transform: Transform = None) -> Dataset:
        url = BitcoinOTC.url.replace("bitcoinotc", name.replace("-", ""))
        folders = ("BitcoinOTC/raw" if name == "bitcoin-otc" else "BitcoinAlpha/raw", "raw")
        return open_cached(
            name,
            [FileGroup((_TRUST[name],), folders, urls=(url,))],
            root,
            "raw",
            lambda folder: BitcoinTrust(folder, name, transform),
            download=download,
            check=require_whole_lines,
        )

    return open_trust


def _series(name: str) -> Opener:
    def open_series(
        root: Root = None, *, download: str = "no", lags: int = _LAGS[name], transform: Transform = None
    ) -> Dataset:
        if lags < 1:
            raise ValueError(f"lags: got {lags}, expected at least 1")
        group = FileGroup((f"{name.replace('-', '_')}.json",), ("PyGTemporal", "PyGTemporal/raw", "raw"))
        return open_cached(
            name,
            [group],
            root,
            "raw",
            lambda folder: RegionSeries(folder, name, lags, transform),
            download=download,
            variant=f"lags={lags}",
        )

    return open_series


def _sbm_stream(root: Root = None, *, download: str = "no", **options: Any) -> Dataset:
    return SBMStream(**options)


ENTRIES: dict[str, Opener] = {
    **{name: _trust(name) for name in _TRUST},
    **{name: _series(name) for name in _LAGS},
    "sbm-stream": _sbm_stream,
}
