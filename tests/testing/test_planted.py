"""The tester tested: layers that break a property are caught by its name, with the offending element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.edge_index import EdgeIndex
from torch_geometric.nn import GINEConv, GraphConv, PowerMeanAggregation, SAGEConv, SumAggregation, global_add_pool
from torch_geometric.utils import scatter

from graphkit.testing import PROPERTIES, BrokenClaim, assert_claim, check


class Sage(SAGEConv):
    """A good layer; the planted ones change its output."""

    def __init__(self) -> None:
        super().__init__(8, 8)

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        return self.spoil(super().forward(x, edge_index, size), x, edge_index)

    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out


class NumberedNodes(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out + 0.01 * torch.arange(out.size(0), dtype=out.dtype)[:, None]


class NumberedEdges(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        number = torch.arange(edge_index.size(1), dtype=out.dtype)[:, None].expand(-1, out.size(1))
        return out + 0.01 * scatter(number, edge_index[1], dim_size=out.size(0), reduce="mean") ** 2


class SortedEdgesOnly(nn.Module):
    """Takes the edges' order from a sort, and forgets to take their attributes along."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GINEConv(nn.Linear(8, 8))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        return self.conv(x, edge_index[:, edge_index[1].argsort(stable=True)], edge_attr)


class PointersOfUnsorted(Sage):
    """Reads the edges of a target as a slice, which is right for sorted edges alone."""

    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        degree = torch.bincount(edge_index[1], minlength=out.size(0))
        segment = torch.repeat_interleave(torch.arange(out.size(0)), degree)
        return out + scatter(x[edge_index[0]], segment, dim_size=out.size(0), reduce="sum")


class RefusesUnsorted(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        if bool((edge_index[1].diff() < 0).any()):
            raise ValueError("'edge_index' must be sorted")
        return out


class CentredOverBatch(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out - out.mean(dim=0)


class PoolsByBatchSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = SAGEConv(8, 8)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        return global_add_pool(self.conv(x, edge_index), batch, size=batch_size) / x.size(0)


class SumsGraphsBefore(nn.Module):
    """The sum over a graph and all graphs before it in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = SAGEConv(8, 8)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, batch_size: int) -> Tensor:
        return global_add_pool(self.conv(x, edge_index), batch, size=batch_size).cumsum(dim=0)


class ScaledByLargestDegree(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out / torch.bincount(edge_index[1], minlength=out.size(0)).max()


class FirstNodeCounts(Sage):
    """Only wrong where another component comes first."""

    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out + x[0]


class DividesByEdges(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out + x * 0 / edge_index.size(1)


class NeedsEdges(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out + 0 * int(edge_index.max())


class NeedsNodes(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out / x.max()


class DividesByDegree(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out / torch.bincount(edge_index[1], minlength=out.size(0))[:, None]


class MissesLastLoop(Sage):
    """Drops a self-loop at the end of the list, as padding."""

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        if edge_index.size(1) and bool(edge_index[0, -1] == edge_index[1, -1]):
            edge_index = edge_index[:, :-1]
        return super().forward(x, edge_index, size)


class DropsLoops(Sage):
    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        return super().forward(x, edge_index[:, edge_index[0] != edge_index[1]], size)


class Coalesces(Sage):
    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        return super().forward(x, edge_index.unique(dim=1), size)


class ReadsRowsAsColumns(Sage):
    """Takes the pointers of an ``EdgeIndex`` for those of the other side: PyG's ``sort_by`` fault."""

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        if isinstance(edge_index, EdgeIndex) and edge_index.is_sorted_by_row:
            edge_index = edge_index.as_tensor().flip(0)
        return super().forward(x, edge_index, size)


class AnswersForSources(Sage):
    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        return super().forward(x if isinstance(x, Tensor) else x[0], edge_index)


class LosesCentre(Sage):
    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:
        if isinstance(x, tuple):
            x = (x[0], torch.zeros_like(x[1]))
        return super().forward(x, edge_index, size)


class DetachedInput(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out + x.detach()


class DetachedEdge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = GINEConv(nn.Linear(8, 8))

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        last = torch.cat([edge_attr[:-1], edge_attr[-1:].detach()])
        return self.conv(x, edge_index, last)


class _NumberedBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * (1 + torch.arange(grad.size(0), dtype=grad.dtype)[:, None])


class NumberedBackward(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out + _NumberedBackward.apply(x)


class UnusedParameter(Sage):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(8, 8)


class AlwaysFloat32(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out.float()


class Float64Constant(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out @ torch.eye(out.size(1), dtype=torch.float64)


class OverflowsLow(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out + (x[:, :1] * 1e20).square().to(out.dtype) * (torch.finfo(out.dtype).eps > 1e-3) * 1e20


class DrawsNoise(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out + 1e-12 * torch.rand_like(out)


class CountsThreads(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out + 1e-9 * torch.get_num_threads()


class ClampsInput(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        x.data.clamp_(min=0)
        return out


class RewritesEdges(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        edge_index[:, 3] = 0
        return out


class StepsInEvaluation(Sage):
    """Counts its calls, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        self.calls += 1
        return out


class Remembers(Sage):
    """Adds what it gave the last time."""

    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        last = getattr(self, "last", None)
        self.last = out.detach()
        return out if last is None or last.shape != out.shape else out + 0.1 * last


class Branches(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out if out.sum() > 0 else -out


class Addressed(Sage):
    def __repr__(self) -> str:
        return object.__repr__(self)


class Nameless(Sage):
    def __repr__(self) -> str:
        return "layer"


class NoReset(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(8, 8)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.lin(x) + scatter(x[edge_index[0]], edge_index[1], dim_size=x.size(0))


class ForgetsBias(NoReset):
    def reset_parameters(self) -> None:
        nn.init.normal_(self.lin.weight)


class PlainTensor(Sage):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.randn(8, dtype=torch.float64)

    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        return out * self.scale.to(out.dtype)


class HoldsLambda(Sage):
    def __init__(self) -> None:
        super().__init__()
        self.act = lambda x: x


class KeepsOutput(Sage):
    def spoil(self, out: Tensor, x: Any, edge_index: Any) -> Tensor:
        self.last = out
        return out


class SharesParameters(Sage):
    def __deepcopy__(self, memo: dict[int, Any]) -> SharesParameters:
        return self


class StaysLazy(Sage):
    def __init__(self) -> None:
        super().__init__()
        self.open = nn.LazyLinear(8)


class NoMessages(nn.Module):
    """The right sums, but by a matrix product that an explainer's masks do not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = SAGEConv(8, 8)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return scatter(x[edge_index[0]], edge_index[1], dim_size=x.size(0))


Planted = tuple[str, Callable[[], nn.Module], str]

PLANTED: list[Planted] = [
    ("permutation", NumberedNodes, r"node \d+ differs after relabelling: expected \["),
    ("permutation", FirstNodeCounts, r"node \d+ differs after relabelling"),
    ("edge_permutation", NumberedEdges, r"node \d+ differs after shuffling the edges"),
    ("edge_permutation", SortedEdgesOnly, r"node \d+ differs after shuffling the edges"),
    ("unsorted_edges", PointersOfUnsorted, r"node \d+ differs where edges are not sorted"),
    ("unsorted_edges", RefusesUnsorted, "accepts only edges sorted by target"),
    ("batch", CentredOverBatch, r"node \d+ differs of graph 0 in a batch of 5"),
    ("batch", PoolsByBatchSize, r"graph 0 differs of graph \d in a batch"),
    ("batch_order", SumsGraphsBefore, r"graph \d differs of a batch after reordering"),
    ("batch_order", FirstNodeCounts, r"node \d+ differs of a batch after reordering"),
    ("locality", ScaledByLargestDegree, r"node \d+ differs when an unrelated hub follows"),
    ("locality", FirstNodeCounts, r"node \d+ differs when an unrelated hub comes first"),
    ("empty_graph", DividesByEdges, r"node 0 is not finite without edges: got \[nan"),
    ("empty_graph", NeedsEdges, r"the layer raised RuntimeError"),
    ("no_nodes", NeedsNodes, r"the layer raised RuntimeError"),
    ("isolated_nodes", DividesByDegree, r"node \d+ is not finite"),
    ("isolated_nodes", CentredOverBatch, r"node 0 differs from the node alone"),
    (
        "empty_groups",
        lambda: PowerMeanAggregation(p=-1.0),
        r"node \d+ differs though its group is empty.*1000",
    ),
    ("self_loops", MissesLastLoop, r"node \d+ differs when the \d+ added edges are mixed"),
    ("plain_loops", DropsLoops, r"node \d+ differs when a self-loop comes from a twin"),
    ("multi_edges", Coalesces, r"node \d+ differs when a parallel edge comes from a twin"),
    ("multi_edges", NumberedEdges, r"node \d+ differs when the \d+ added edges are mixed"),
    ("layouts", ReadsRowsAsColumns, r"node \d+ differs when the graph is given as EdgeIndex by source"),
    (
        "edge_index_sort",
        lambda: GraphConv(8, 8),
        r"node \d+ differs when the graph is an EdgeIndex sorted by source, then",
    ),
    ("bipartite", AnswersForSources, r"output has 12 rows, expected one for each of 6 targets"),
    ("bipartite", LosesCentre, r"node \d+ differs from the whole graph"),
    ("gradcheck", DetachedInput, r"node \d+ differs in the gradient to 'x' from finite differences"),
    ("gradcheck", DetachedEdge, r"edge \d+ differs in the gradient to 'edge_attr' from finite differences"),
    ("gradient_equivariance", NumberedBackward, r"node \d+ differs in the gradient to 'x' after relabelling"),
    ("ddp", UnusedParameter, r"'unused.weight', 'unused.bias'"),
    ("dtypes", AlwaysFloat32, "torch.float64 inputs give torch.float32 output"),
    ("dtypes", Float64Constant, "the layer raised RuntimeError"),
    ("bfloat16", OverflowsLow, r"node \d+ is not finite in torch.bfloat16"),
    ("eval_deterministic", DrawsNoise, r"node \d+ differs in a second call"),
    ("eval_deterministic", CountsThreads, r"node \d+ differs on two threads"),
    ("inputs_untouched", ClampsInput, r"node \d+ differs in 'x' after the call"),
    ("inputs_untouched", RewritesEdges, r"edge 3 differs in 'edge_index' after the call"),
    ("compile", Branches, "the layer raised Unsupported: Data-dependent branching"),
    ("repr", Addressed, "shows a memory address"),
    ("repr", Nameless, "'layer' does not name the class Nameless"),
    ("reset_parameters", NoReset, "no method 'reset_parameters'"),
    ("reset_parameters", ForgetsBias, "'lin.bias' keeps what it had before"),
    ("train_eval", StepsInEvaluation, "an evaluation changes 'calls'"),
    ("train_eval", Remembers, r"node \d+ differs in a second evaluation"),
    ("state_dict", PlainTensor, r"node \d+ differs after loading the state_dict"),
    ("pickle", HoldsLambda, "the layer raised (AttributeError|PicklingError)"),
    ("deepcopy", KeepsOutput, "the layer raised RuntimeError"),
    ("deepcopy", SharesParameters, r"node \d+ differs after the copy was changed"),
    ("lazy", StaysLazy, r"\['open.weight', 'open.bias'\] have open sizes"),
    ("explain", NoMessages, "the layer raised ValueError: Could not compute gradients for edges"),
]


@pytest.mark.parametrize(("claim", "layer", "message"), PLANTED, ids=[f"{p[0]}-{p[1].__name__}" for p in PLANTED])
def test_planted_fault_is_caught(claim: str, layer: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(BrokenClaim, match=rf"(?s)^{claim}: .*{message}.*; seed=0$"):
        assert_claim(claim, layer)


def test_every_property_has_a_planted_fault() -> None:
    assert {claim for claim, _, _ in PLANTED} == set(PROPERTIES)


@pytest.mark.parametrize("claim", PROPERTIES)
def test_good_layer_passes(claim: str) -> None:
    layer: Callable[[], nn.Module] = SumAggregation if claim == "empty_groups" else lambda: SAGEConv(8, 8)
    report = check(layer, claims=claim, lazy=lambda: SAGEConv(-1, 8))
    assert report[claim].status == "passed", str(report)


def test_error_carries_the_offending_node() -> None:
    with pytest.raises(BrokenClaim) as caught:
        assert_claim("permutation", NumberedNodes, seed=3)
    error = caught.value
    assert error.claim == "permutation"
    assert error.element == "node"
    assert error.index is not None
    assert error.expected is not None
    assert error.got is not None
    assert error.error == pytest.approx(float((error.expected - error.got).abs().max()))
    assert str(error).endswith("seed=3")
