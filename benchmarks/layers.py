"""The layer table: whole GENConv steps on small graphs, where the cost of a call rules."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.nn import GENConv as PyGGENConv

from benchmarks.harness import interleave
from graphkit import Graph
from graphkit.nn import GENConv


def _cora() -> tuple[Tensor, int]:
    """Cora's edges if the data are there, else a random graph of its size."""
    from graphkit.datasets import load
    from graphkit.datasets.root import data_root

    if data_root() is not None:
        data = load("cora")[0]
        return data.edge_index, data.num_nodes
    return torch.randint(0, 2708, (2, 10556), generator=torch.Generator().manual_seed(0)), 2708


def _molecules(count: int) -> tuple[Tensor, int]:
    """``count`` ring-and-chain graphs with 25 atoms and 54 directed bonds each, as ogbg-molhiv has on average."""
    chain = torch.stack([torch.arange(24), torch.arange(1, 25)])
    rings = torch.tensor([[0, 6, 12], [5, 11, 17]])
    one = torch.cat([chain, chain.flip(0), rings, rings.flip(0)], dim=1)
    return torch.cat([one + 25 * i for i in range(count)], dim=1), 25 * count


def _step(
    conv: torch.nn.Module, x: Tensor, edges: object, edge_attr: Tensor | None, backward: bool
) -> Callable[[], None]:
    def step() -> None:
        if backward:
            for parameter in conv.parameters():
                parameter.grad = None
            conv(x, edges, edge_attr).sum().backward()
        else:
            with torch.no_grad():
                conv(x, edges, edge_attr)

    return step


def layer_table(rounds: int) -> list[str]:
    """Markdown lines: milliseconds of a whole GENConv forward and training step, ours over PyG's."""
    lines = [
        "Whole `GENConv(F, F)` layers with a learnable parameter (norm, MLP and all), float32, medians of "
        f"{rounds} interleaved rounds. `ours / PyG` below 1 is faster. `tensor` passes the plain edge_index "
        "(remembered after the first call), `Graph` a prepared Graph.",
        "",
        "| graph | F | aggr | edge features | input | fwd: PyG ms | ours / PyG | step: PyG ms | ours / PyG |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    graphs = {"Cora": _cora(), "1 molecule": _molecules(1), "32 molecules": _molecules(32)}
    for (name, (edge_index, num_nodes)), width in ((g, w) for g in graphs.items() for w in (16, 64)):
        for aggr, edge_dim in (
            ("softmax", None),
            ("softmax", width),
            ("powermean", None),
            ("mean", None),
            ("max", None),
        ):
            options = {"aggr": aggr, "edge_dim": edge_dim}
            if aggr in ("softmax", "powermean"):
                options[{"softmax": "learn_t", "powermean": "learn_p"}[aggr]] = True
            torch.manual_seed(0)
            theirs, ours = PyGGENConv(width, width, **options), GENConv(width, width, **options)
            ours.load_state_dict(theirs.state_dict())
            x = torch.rand(num_nodes, width, requires_grad=True)
            edge_attr = None if edge_dim is None else torch.rand(edge_index.size(1), edge_dim)
            graph = Graph.from_edge_index(edge_index, num_nodes)
            inner = max(1, 20_000 // num_nodes // 8)
            for kind, edges in (("tensor", edge_index), ("Graph", graph)):
                row = [name, str(width), aggr, "yes" if edge_dim else "no", kind]
                for backward in (False, True):
                    result = interleave(
                        {
                            "PyG": _step(theirs, x, edge_index, edge_attr, backward),
                            "ours": _step(ours, x, edges, edge_attr, backward),
                        },
                        rounds,
                        inner,
                    )
                    row += [
                        f"{result['PyG'].seconds * 1e3:.2f}",
                        f"{result['ours'].seconds / result['PyG'].seconds:.2f}",
                    ]
                lines.append("| " + " | ".join(row) + " |")
                print(lines[-1], flush=True)
    return lines
