"""Approximate nearest neighbours by faiss's graph index, for many points in many dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.point_sets import PointSets

# Links per point, and the width of the search when points are put in and when they are looked up. Measured
# (`python -m benchmarks --only snowflake`) against inverted lists and pynndescent.
_LINKS, _BUILD, _SEARCH = 16, 80, 64


def approximate(points: Tensor, sets: PointSets, k: int, loop: bool) -> tuple[Tensor, Tensor]:
    """Neighbours and squared distances of sorted points, as :func:`graphkit.ops.nearest_neighbors` describes them.

    Sets that are small, where an index does not pay, are searched exactly by faiss.

    Raises:
        ImportError: if faiss is missing.
    """
    try:
        import faiss
    except ImportError as error:
        raise ImportError("approximate search needs faiss: pip install 'graphkit[search]'") from error
    count, dim = points.shape
    index = torch.full((count, k), -1, dtype=torch.int64)
    flat = (points - points.mean(0)).float().cpu().contiguous()  # float32 has most digits near the origin
    begins = sets.begin.cpu()
    ends = sets.end.cpu()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    first = 0
    while first < count:
        begin, end = int(begins[first]), int(ends[first])
        part = flat[begin:end].numpy()
        asked = min(k + (not loop), end - begin)
        if end - begin > 4096:
            graph = faiss.IndexHNSWFlat(dim, _LINKS)
            graph.hnsw.efConstruction = _BUILD
            graph.hnsw.efSearch = max(_SEARCH, 2 * asked)
        else:
            graph = faiss.IndexFlatL2(dim)
        graph.add(part)
        near = torch.from_numpy(graph.search(part, asked)[1])
        if not loop:
            itself = near == torch.arange(end - begin).unsqueeze(1)
            order = itself.int().argsort(dim=1, stable=True)  # itself goes last, the others stay in order
            near = near.masked_fill(itself, -1).gather(1, order)[:, :k]
        near = torch.where(near < 0, near, near + begin)
        index[begin:end, : near.size(1)] = near
        first = end
    faiss.omp_set_num_threads(threads)
    index = index.to(points.device)
    wide = points.double()
    distance = torch.empty(count, k, dtype=torch.float64, device=points.device)
    for part_index, part_points, out in zip(index.split(65536), wide.split(65536), distance.split(65536), strict=True):
        out.copy_((part_points.unsqueeze(1) - wide[part_index.clamp(min=0)]).square().sum(2))
    distance.masked_fill_(index < 0, float("inf"))
    distance, order = distance.sort(dim=1, stable=True)
    return index.gather(1, order), distance
