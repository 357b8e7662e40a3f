"""Charged particles that move: the n-body system of the equivariant networks' papers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data, Dataset, InMemoryDataset

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.families.common import Opener, Root, Transform, one_of
from graphkit.datasets.particles import simulate_charged

_FILE = "nbody_small_5p_seed43.npz"
_FRAMES = (6, 8, 30, 40)
_SPLITS = ("train", "valid", "test")


class NBody(InMemoryDataset):
    r"""Five charged particles: given where they are and how fast at one frame, where are they at a later one?

    Each simulation is a complete directed graph without loops. ``pos`` and ``vel`` are of the first frame, ``y`` are
    the positions at the second, ``charges`` are :math:`\pm 1`, and ``edge_attr`` of an edge is the product of its two
    charges: like charges repel.

    The arrays ``loc_*`` and ``vel_*`` of the file are ``[simulation, frame, 3, particle]``, ``charges_*`` are
    ``[simulation, particle]``, ``frames`` says which frames were kept (6, 8, 30 and 40).

    Source: V. G. Satorras, E. Hoogeboom, M. Welling, *E(n) Equivariant Graph Neural Networks*, ICML 2021 (its
    ``nbody_small``; the task is 30 -> 40). Differs from the published loader: ``edge_attr`` holds the charges'
    product alone, distances are the network's business.

    Args:
        root: a folder with the raw file.
        split: ``"train"``, ``"valid"`` or ``"test"``.
        frame_in: the frame of ``pos`` and ``vel``.
        frame_out: the frame of ``y``.
        transform: applied to each graph when it is read.

    Shapes:
        ``pos, vel, y``: ``[5, 3]``, ``charges``: ``[5, 1]``, ``edge_index``: ``[2, 20]``, ``edge_attr``: ``[20, 1]``.

    Raises:
        ValueError: if the file lacks one of the frames.
    """

    def __init__(
        self, root: str, split: str = "train", frame_in: int = 30, frame_out: int = 40, transform: Transform = None
    ) -> None:
        one_of("split", split, _SPLITS)
        self.frame_in, self.frame_out = frame_in, frame_out
        super().__init__(root, transform)
        self.load(self.processed_paths[_SPLITS.index(split)])

    @property
    def raw_file_names(self) -> list[str]:
        """The one raw file."""
        return [_FILE]

    @property
    def processed_file_names(self) -> list[str]:
        """One processed file per split."""
        return [f"{split}.pt" for split in _SPLITS]

    def process(self) -> None:
        """Makes one graph of each simulation."""
        with np.load(self.raw_paths[0]) as arrays:
            frames = arrays["frames"].tolist()
            one_of("frame_in", self.frame_in, tuple(frames))
            one_of("frame_out", self.frame_out, tuple(frames))
            first, last = frames.index(self.frame_in), frames.index(self.frame_out)
            for split, path in zip(_SPLITS, self.processed_paths, strict=True):
                loc, vel = (torch.from_numpy(arrays[f"{key}_{split}"]).transpose(2, 3) for key in ("loc", "vel"))
                charges = torch.from_numpy(arrays[f"charges_{split}"]).float().unsqueeze(-1)
                self.save(_graphs(loc[:, first], vel[:, first], loc[:, last], charges), path)


class SimulatedNBody(InMemoryDataset):
    r"""The same system from our own simulator (:func:`graphkit.datasets.particles.simulate_charged`): no file needed.

    The three splits are systems 0 to 2,999, 3,000 to 4,999 and 5,000 to 6,999 of a seed; a split takes a quarter of a
    minute. At frame 30, over 7,000 systems of seed 0: standard deviation of a coordinate 1.68, mean speed 0.91, mean
    way to frame 40 0.81; the published task's data agree within 1 %.

    Args:
        split: ``"train"``, ``"valid"`` or ``"test"``.
        frame_in: the frame of ``pos`` and ``vel``.
        frame_out: the frame of ``y``.
        particles: of each system.
        sizes: systems of the three splits.
        seed: of the draws.
        transform: applied to each graph when it is read.

    Shapes:
        as :class:`NBody`.

    Example:
        >>> SimulatedNBody("valid", frame_in=0, frame_out=1, sizes=(5, 3, 2))
        SimulatedNBody(3)
    """

    def __init__(
        self,
        split: str = "train",
        frame_in: int = 30,
        frame_out: int = 40,
        *,
        particles: int = 5,
        sizes: tuple[int, int, int] = (3000, 2000, 2000),
        seed: int = 0,
        transform: Transform = None,
    ) -> None:
        one_of("split", split, _SPLITS)
        if not 0 <= frame_in < frame_out:
            raise ValueError(f"frame_in, frame_out: got {frame_in}, {frame_out}, expected 0 <= frame_in < frame_out")
        super().__init__(None, transform)
        number = _SPLITS.index(split)
        loc, vel, charges = simulate_charged(
            sizes[number], frame_out + 1, first=sum(sizes[:number]), particles=particles, seed=seed
        )
        graphs = _graphs(
            loc[:, frame_in].float(),
            vel[:, frame_in].float(),
            loc[:, frame_out].float(),
            charges.float().unsqueeze(-1),
        )
        self.data, self.slices = self.collate(graphs)


def _graphs(pos: torch.Tensor, vel: torch.Tensor, y: torch.Tensor, charges: torch.Tensor) -> list[Data]:
    particles = pos.size(1)
    edge_index = (1 - torch.eye(particles)).nonzero().t().contiguous()
    product = charges[:, edge_index[0]] * charges[:, edge_index[1]]
    return [
        Data(edge_index=edge_index, pos=pos[i], vel=vel[i], y=y[i], charges=charges[i], edge_attr=product[i])
        for i in range(len(pos))
    ]


def _nbody(
    root: Root = None,
    *,
    download: str = "no",
    split: str = "train",
    frame_in: int = 30,
    frame_out: int = 40,
    transform: Transform = None,
) -> Dataset:
    one_of("split", split, _SPLITS)
    one_of("frame_in", frame_in, _FRAMES)
    one_of("frame_out", frame_out, _FRAMES)
    return open_cached(
        "nbody",
        [FileGroup((_FILE,), ("nbody", "nbody/raw", "raw"))],
        root,
        "raw",
        lambda folder: NBody(folder, split, frame_in, frame_out, transform),
        download=download,
        variant=f"{frame_in}->{frame_out}",
    )


def _simulated(root: Root = None, *, download: str = "no", **options: Any) -> Dataset:
    return SimulatedNBody(**options)


ENTRIES: dict[str, Opener] = {"nbody": _nbody, "nbody-simulated": _simulated}
