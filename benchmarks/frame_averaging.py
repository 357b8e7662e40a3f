"""The table of frame averaging: what it costs beside the bare backbone, and beside other layouts."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch_geometric.nn import global_add_pool

from benchmarks.harness import Measurement, interleave, peak_memory
from graphkit import ops
from graphkit.nn import FrameAveraging
from graphkit.nn.frame_averaging import NODES_PER_CALL
from graphkit.symmetry import Euclidean, frame_condition, pca_frame, sign_set, symmetric_eigen
from graphkit.symmetry.cloud import make_cloud

CLOUDS = 10_000
WIDTH = 64
NEIGHBOURS = 6


class Backbone(nn.Module):
    """Two message-passing layers on positions and differences, and a sum over the cloud: an energy."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(3, WIDTH), nn.SiLU())
        self.edges = nn.ModuleList(nn.Linear(3, WIDTH) for _ in range(2))
        self.nodes = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU()) for _ in range(2))
        self.last = nn.Linear(WIDTH, 1)

    def forward(self, pos: Tensor, edge_index: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        source, target = edge_index
        h, apart = self.embed(pos), pos[source] - pos[target]
        for edges, nodes in zip(self.edges, self.nodes, strict=True):
            h = h + nodes(ops.scatter(h[source] * edges(apart), target, h.size(0), "sum"))
        return self.last(global_add_pool(h, batch, batch_size))


class Clouds:
    """Random clouds of 4 to 28 points, each point with edges to some others of its cloud."""

    def __init__(self, number: int) -> None:
        generator = torch.Generator().manual_seed(0)
        sizes = torch.randint(4, 29, (number,), generator=generator)
        self.number = number
        self.batch = torch.arange(number).repeat_interleave(sizes)
        first = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        self.pos = torch.randn(self.batch.numel(), 3, generator=generator)
        size = sizes.repeat_interleave(sizes)[:, None]
        draw = torch.rand(self.batch.numel(), NEIGHBOURS, generator=generator)
        source = (first[:, None] + (draw * size).long()).flatten()
        target = torch.arange(self.batch.numel()).repeat_interleave(NEIGHBOURS)
        self.edge_index = torch.stack([source, target])


def in_parts(backbone: nn.Module, parts: list[tuple[Tensor, Tensor, Tensor, int]]) -> Tensor:
    """The bare backbone on parts of the batch that fit the cache, made beforehand."""
    return torch.cat([backbone(*part) for part in parts])


def parts_of(clouds: Clouds, most_nodes: int) -> list[tuple[Tensor, Tensor, Tensor, int]]:
    """The arguments of the backbone, in parts of whole clouds."""
    sizes = torch.bincount(clouds.batch)
    owner = (sizes.cumsum(0) - sizes) // most_nodes
    parts, first = [], 0
    for number in owner.unique_consecutive(return_counts=True)[1].tolist():
        start, stop = (int(sizes[:last].sum()) for last in (first, first + number))
        edges = clouds.edge_index[:, NEIGHBOURS * start : NEIGHBOURS * stop] - start
        parts.append((clouds.pos[start:stop], edges, clouds.batch[start:stop] - first, number))
        first += number
    return parts


def published_layout(backbone: nn.Module, clouds: Clouds, group: Euclidean) -> Tensor:
    """Dense padded batches, covariance by matrix products, LAPACK, every frame a rotation of its own and every argument
    copied: the layout of the published code, made to work for clouds of several sizes. Written for this comparison."""
    counts = torch.bincount(clouds.batch, minlength=clouds.number)
    center = torch.zeros(clouds.number, 3).index_add_(0, clouds.batch, clouds.pos) / counts[:, None]
    local = clouds.pos - center[clouds.batch]
    outer = local[:, :, None] * local[:, None, :]
    covariance = torch.zeros(clouds.number, 3, 3).index_add_(0, clouds.batch, outer)
    _, axes = torch.linalg.eigh(covariance, UPLO="U")
    signs = sign_set(group).float()
    frames = axes[:, None] * signs[:, None]
    rotated = torch.einsum("nd,nsde->sne", local, frames[clouds.batch])
    number = signs.size(0)
    edge_index = torch.cat([clouds.edge_index + copy * clouds.pos.size(0) for copy in range(number)], 1)
    batch = torch.cat([clouds.batch + copy * clouds.number for copy in range(number)])
    out = backbone(rotated.reshape(-1, 3), edge_index, batch, number * clouds.number)
    return out.reshape(number, clouds.number, -1).mean(0)


def one_frame(backbone: nn.Module, clouds: Clouds, group: Euclidean) -> Tensor:
    """One random frame per cloud, as FAENet trains. Written for this comparison."""
    counts = torch.bincount(clouds.batch, minlength=clouds.number)
    center = torch.zeros(clouds.number, 3).index_add_(0, clouds.batch, clouds.pos) / counts[:, None]
    local = clouds.pos - center[clouds.batch]
    covariance = torch.zeros(clouds.number, 3, 3).index_add_(0, clouds.batch, local[:, :, None] * local[:, None, :])
    _, axes = torch.linalg.eigh(covariance)
    signs = sign_set(group).float()
    frames = axes * signs[torch.randint(len(signs), (clouds.number,))][:, None]
    turned = (local[:, None] @ frames[clouds.batch]).squeeze(1)
    return backbone(turned, clouds.edge_index, clouds.batch, clouds.number)


def frame_averaging_table(rounds: int, number: int = CLOUDS) -> list[str]:
    """Markdown lines: milliseconds, ratios to the backbone, and peak memory."""
    clouds = Clouds(number)
    torch.manual_seed(0)
    backbone = Backbone().eval()
    values = (clouds.pos, clouds.edge_index, clouds.batch, clouds.number)
    parts = parts_of(clouds, NODES_PER_CALL)
    groups = {name: Euclidean.named(name) for name in ("E(3)", "SE(3)")}

    def build(name: str) -> object:
        cloud = make_cloud(groups[name], {"pos": clouds.pos}, {"pos": "position"}, clouds.batch, clouds.number)
        return pca_frame(groups[name], cloud)

    models = {
        "graphkit, 8 frames": FrameAveraging(backbone, "E(3)", degenerate="ignore").eval(),
        "graphkit, 4 frames (SE(3))": FrameAveraging(backbone, "SE(3)", degenerate="ignore").eval(),
        "graphkit, the default (exact and continuous, E(3))": FrameAveraging(backbone, "E(3)").eval(),
        "graphkit, 8 frames, whole batch in a call": FrameAveraging(
            backbone, "E(3)", degenerate="ignore", nodes_per_call=clouds.pos.size(0)
        ).eval(),
        # Training mode is the backbone's too: with a copy, the others stay in evaluation.
        "graphkit, 1 frame (samples=1)": FrameAveraging(
            copy.deepcopy(backbone), "E(3)", degenerate="ignore", samples=1
        ).train(),
    }
    runs: dict[str, Callable[[], object]] = {
        "backbone": lambda: backbone(*values),
        "backbone, in parts made beforehand": lambda: in_parts(backbone, parts),
        "frames alone (E(3))": lambda: build("E(3)"),
        **{name: lambda model=model: model(*values) for name, model in models.items()},
        "published layout, 8 frames": lambda: published_layout(backbone, clouds, groups["E(3)"]),
        "FAENet-like, 1 frame": lambda: one_frame(backbone, clouds, groups["E(3)"]),
    }
    with torch.no_grad():
        ours, theirs = runs["graphkit, 8 frames"](), runs["published layout, 8 frames"]()
        apart = (frame_condition(clouds.pos, clouds.batch) > 1e-2)[:, None]
        assert isinstance(ours, Tensor)
        assert isinstance(theirs, Tensor)
        error = float(((ours - theirs).abs() * apart).max() / ours.abs().max())
        times: dict[str, Measurement] = interleave(runs, rounds)
        peaks = {name: peak_memory(run) for name, run in runs.items()}
        calls = _rows_seen(models["graphkit, the default (exact and continuous, E(3))"], values) / clouds.pos.size(0)
    base = times["backbone"].seconds
    lines = [
        f"{number:,} random clouds of 4 to 28 points ({clouds.pos.size(0):,} points, {clouds.edge_index.size(1):,} "
        f"edges), backbone of two message-passing layers of width {WIDTH} with one number per cloud, float32, without "
        f"gradients, medians of {rounds} interleaved rounds. `x` is the time over that of one call of the backbone. "
        f"Ours and the published layout agree to {error:.0e} where axes are determined.",
        "",
        "| | ms | x | peak MB |",
        "|" + "---|" * 4,
    ]
    for name, time in times.items():
        peak = peaks[name]
        lines.append(
            f"| {name} | {time.seconds * 1e3:.0f} | {time.seconds / base:.2f} | "
            f"{'' if peak is None else f'{peak / 2**20:.0f}'} |"
        )
    close = float((frame_condition(clouds.pos, clouds.batch) < 0.1).float().mean())
    lines += [
        "",
        f"At evaluation the frames are seen in parts of whole clouds of about {NODES_PER_CALL:,} nodes, which stay in "
        f"the cache, as the bare backbone can be run too (second row). {100 * close:.0f} % of these random clouds have "
        f"two eigenvalues within 10 % of the largest; exactness and continuity there cost the default further frames: "
        f"its backbone sees {calls:.1f} times the nodes, where 8 frames are 8 times.",
    ]
    return [*lines, "", _eigen_times(rounds)]


def _rows_seen(model: FrameAveraging, values: tuple[object, ...]) -> int:
    """How many nodes the backbone sees in a call of the model."""
    seen: list[int] = []

    def count(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, Tensor]) -> None:
        seen.append(len(kwargs["pos"]))

    hook = model.backbone.register_forward_pre_hook(count, with_kwargs=True)
    model(*values)
    hook.remove()
    return sum(seen)


def _eigen_times(rounds: int) -> str:
    half = torch.randn(CLOUDS, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrices = half @ half.mT
    times = interleave(
        {"closed": lambda: symmetric_eigen(matrices), "lapack": lambda: torch.linalg.eigh(matrices)}, rounds
    )
    return (
        f"Eigenvectors of {CLOUDS:,} matrices 3 x 3 in float64: closed form {times['closed'].seconds * 1e3:.1f} ms, "
        f"`torch.linalg.eigh` {times['lapack'].seconds * 1e3:.1f} ms."
    )
