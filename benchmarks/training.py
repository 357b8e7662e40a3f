"""The training table: whole epochs of DeeperGCN, batches included, against the same network on PyG and on DGL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GENConv as PyGGENConv
from torch_geometric.nn import global_mean_pool

from benchmarks.cases import make_graph
from benchmarks.harness import interleave
from graphkit.datasets import load
from graphkit.datasets.root import data_root
from graphkit.loader.packed import graph_batches
from graphkit.models import DeeperGCN
from graphkit.nn import CategoricalEncoder

EPS = 1e-7


class DGLGENConv(nn.Module):
    """Softmax aggregation with a learnt temperature in DGL's own functions; ``graph`` is a DGLGraph."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.t = nn.Parameter(torch.ones(1))
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor, graph: Any, edge_attr: Tensor | None = None) -> Tensor:
        import dgl.function as fn
        from dgl.nn.functional import edge_softmax

        with graph.local_scope():
            graph.ndata["x"] = x
            if edge_attr is None:
                graph.apply_edges(fn.copy_u("x", "m"))
            else:
                graph.edata["e"] = edge_attr
                graph.apply_edges(fn.u_add_e("x", "e", "m"))
            message = graph.edata["m"].relu() + EPS
            graph.edata["m"] = message * edge_softmax(graph, message * self.t)
            graph.update_all(fn.copy_e("m", "m"), fn.sum("m", "a"))
            return self.linear(x + graph.ndata["a"])


class Peer(nn.Module):
    """DeeperGCN ("res+") around another library's convolution: the network of :class:`graphkit.models.DeeperGCN`."""

    def __init__(
        self, conv: Callable[[int], nn.Module], in_channels: int | list[int], channels: int, layers: int, out: int,
        edge_dims: list[int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        codes = isinstance(in_channels, list)
        self.encoder = OGBEncoder(in_channels, channels) if codes else nn.Linear(in_channels, channels)
        self.convs = nn.ModuleList(conv(channels) for _ in range(layers))
        self.edges = nn.ModuleList(OGBEncoder(edge_dims, channels) for _ in range(layers if edge_dims else 0))
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(layers))
        self.head = nn.Linear(channels, out)

    def forward(
        self, x: Tensor, graph: Any, edge_attr: Tensor | None = None, batch: Tensor | None = None, size: int = 1
    ) -> Tensor:
        h = self.encoder(x)
        for layer, conv in enumerate(self.convs):
            u = h if layer == 0 else F.dropout(self.norms[layer - 1](h).relu(), 0.2, self.training)
            edges = () if edge_attr is None else (self.edges[layer](edge_attr),)
            h = conv(u, graph, *edges) if layer == 0 else h + conv(u, graph, *edges)
        h = self.norms[-1](h)
        h = F.dropout(h if batch is not None else h.relu(), 0.2, self.training)
        return self.head(h if batch is None else global_mean_pool(h, batch, size))


class OGBEncoder(nn.Module):
    """A sum of embeddings as OGB's encoders add them, one after the other."""

    def __init__(self, sizes: list[int], channels: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, channels) for size in sizes)

    def forward(self, codes: Tensor) -> Tensor:
        out = 0
        for column, table in enumerate(self.tables):
            out = out + table(codes[:, column])
        return out


def _trainer(model: nn.Module, loss: Callable[[nn.Module, Any], Tensor], batches: Callable[[], Iterable[Any]]) -> Any:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)  # the fastest, for all of them

    def epoch() -> None:
        model.train()
        for batch in batches():
            optimizer.zero_grad(set_to_none=True)
            loss(model, batch).backward()
            optimizer.step()

    return epoch


def _molecules(steps: int, batch_size: int, channels: int) -> tuple[dict[str, Callable[[], None]], int]:
    dataset = load("ogbg-molhiv")
    train = dataset[dataset.get_idx_split()["train"]]
    total = -(-len(train) // batch_size)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    chunks = list(order.split(batch_size))[:steps]
    atoms, bonds = [119, 5, 12, 12, 10, 6, 6, 2, 2], [5, 6, 2]  # ogb.utils.features

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        out = model(batch.x, batch.edge_index, batch.edge_attr, batch.batch, batch.num_graphs)
        return F.binary_cross_entropy_with_logits(out, batch.y.float())

    ours = DeeperGCN(
        atoms, channels, 7, 1, task="graph", edge_dim=bonds, edge_encoder="layer", learn_t=True, dropout=0.2
    )
    assert isinstance(ours.encoder, CategoricalEncoder)
    theirs = Peer(_pyg_conv, atoms, channels, 7, 1, bonds)
    sampler = [chunk.tolist() for chunk in chunks]
    out = {
        "graphkit": _trainer(ours, loss, lambda: graph_batches(train, chunks)),
        "PyG": _trainer(theirs, loss, lambda: DataLoader(train, batch_sampler=sampler)),
    }
    try:
        import dgl
    except ImportError:
        return out, total
    graphs = {}
    for index in order[: steps * batch_size].tolist():
        data = train[index]
        graph = dgl.graph((data.edge_index[0], data.edge_index[1]), num_nodes=data.num_nodes)
        graph.ndata["x"], graph.edata["e"] = data.x, data.edge_attr
        graphs[index] = (graph, data.y)

    def dgl_batches() -> Iterator[tuple[Any, Tensor]]:
        for chunk in sampler:
            yield dgl.batch([graphs[i][0] for i in chunk]), torch.cat([graphs[i][1] for i in chunk])

    def dgl_loss(model: nn.Module, item: tuple[Any, Tensor]) -> Tensor:
        graph, y = item
        batch = torch.repeat_interleave(graph.batch_num_nodes())
        scores = model(graph.ndata["x"], graph, graph.edata["e"], batch, graph.batch_size)
        return F.binary_cross_entropy_with_logits(scores, y.float())

    out["DGL"] = _trainer(Peer(DGLGENConv, atoms, channels, 7, 1, bonds), dgl_loss, dgl_batches)
    return out, total


def _large(channels: int, layers: int, num_nodes: int, num_edges: int) -> dict[str, Callable[[], None]]:
    graph = make_graph("power law", num_nodes, num_edges)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(num_nodes, 128, generator=generator), torch.randint(40, (num_nodes,), generator=generator)
    data = Data(x=x, edge_index=graph.edge_index, y=y)

    def loss(model: nn.Module, item: Data) -> Tensor:
        return F.cross_entropy(model(item.x, item.edge_index), item.y)

    ours = DeeperGCN(128, channels, layers, 40, learn_t=True, dropout=0.2)
    out = {
        "graphkit": _trainer(ours, loss, lambda: [data]),
        "PyG": _trainer(Peer(_pyg_conv, 128, channels, layers, 40), loss, lambda: [data]),
    }
    try:
        import dgl
    except ImportError:
        return out
    other = dgl.graph((graph.edge_index[0], graph.edge_index[1]), num_nodes=num_nodes)
    other.create_formats_()

    def dgl_loss(model: nn.Module, _: Data) -> Tensor:
        return F.cross_entropy(model(x, other), y)

    out["DGL"] = _trainer(Peer(DGLGENConv, 128, channels, layers, 40), dgl_loss, lambda: [data])
    return out


def _pyg_conv(channels: int) -> nn.Module:
    return PyGGENConv(channels, channels, aggr="softmax", learn_t=True, num_layers=1, bias=True)


def training_table(rounds: int, steps: int = 40) -> list[str]:
    """Markdown lines: seconds per epoch of the same network in each library, and theirs over ours."""
    lines = [
        f"Training epochs of DeeperGCN (softmax with learnt temperature), batches included, medians of {rounds} "
        f"interleaved rounds. ogbg-molhiv: 7 layers, an encoder of bonds in each; {steps} steps timed, multiplied up "
        "to the epoch. The large graph: N = 50,000, E = 1,000,000, power law, 7 layers, one step is an epoch.",
        "",
        "| data | width | batch | library | ms/step | epoch s | theirs / ours |",
        "|---|---|---|---|---|---|---|",
    ]

    def rows(name: str, width: int, batch: str, runs: dict[str, Callable[[], None]], timed: int, total: int) -> None:
        results = interleave(runs, rounds)
        ours = results["graphkit"].seconds
        for library, result in results.items():
            step = result.seconds / timed
            lines.append(
                f"| {name} | {width} | {batch} | {library} | {step * 1e3:.1f} | {step * total:.1f} | "
                f"{result.seconds / ours:.2f} |"
            )
            print(lines[-1], flush=True)

    if data_root() is not None:
        for width, batch_size in ((256, 32), (64, 32), (64, 256)):
            runs, total = _molecules(steps, batch_size, width)
            rows("ogbg-molhiv", width, str(batch_size), runs, steps, total)
    rows("50k nodes", 64, "all", _large(64, 7, 50_000, 1_000_000), 1, 1)
    return lines
