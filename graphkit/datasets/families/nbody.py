"""Charged particles that move: the n-body system of the equivariant networks' papers."""

from __future__ import annotations

import numpy as np
import torch
from torch_geometric.data import Data, Dataset, InMemoryDataset

from graphkit.datasets.cache import FileGroup, open_cached
from graphkit.datasets.families.common import Opener, Root, Transform, one_of

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


ENTRIES: dict[str, Opener] = {"nbody": _nbody}
