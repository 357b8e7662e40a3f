"""A layer together with the data it is tested on: what every property is run against."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data, HeteroData

from graphkit.testing.adapter import (
    Call,
    as_if_first,
    call_layer,
    example_inputs,
    forward_names,
    is_lazy,
    takes_edges,
    tensors,
)
from graphkit.testing.compare import require_equal
from graphkit.testing.conditioning import amplification
from graphkit.testing.hetero import HeteroAdapter
from graphkit.testing.report import CannotRun, NotApplicable
from graphkit.testing.transforms import cast_floats, edge_keys, one_graph, sort_by_target, subgraph

Level = Literal["node", "edge", "graph"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's generator inside the block and leave it as it was outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside the block: on graphs this small the others only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Case:
    r"""A layer, and the data it is tested on.

    A factory is called afresh, under the seed, for every property, and its parameters are then moved off
    their initial values by small noise (zero biases and unit scales hide mistakes). A module is deep-copied
    as it is. Everything runs in evaluation mode and float64 unless the property says otherwise.

    Args:
        layer: A module, or a function of no arguments that builds one.
        data: A PyG ``Data`` whose attributes are the layer's arguments (of a ``Batch``, the first graph is
            used), or a ``HeteroData`` for a layer of dictionaries. Where None, a small graph with a hub, a self-loop,
            a double edge, two components and an isolated node is made, with the inputs that ``forward`` names.
        call: ``call(layer, data)``, where calling by attribute names is not right.
        in_channels: Width of the made node features; read off the layer where None.
        edge_dim: Width of the made edge features; read off the layer where None.
        undirected: Make a graph in which every edge has its reverse.
        lazy: Builds the layer with ``in_channels=-1``, for the claim ``lazy``.
        graph_input: Whether a :class:`graphkit.Graph` may stand for ``edge_index``; graphkit's own layers
            take one.
        sparse_input: Whether a sparse tensor may stand for ``edge_index``.
        inputs: Geometric kind of each input (``{"pos": "position"}``), for claims such as ``E(3)``.
        outputs: Geometric kind of each output tensor, in order.
        sequence: ``sequence(layer, snapshots)`` gives one output per snapshot, for the claim ``causality``; a layer
            with an argument ``state`` needs none.
        copies: How many copies of the data, side by side, are enough work for several threads
            (``eval_deterministic``); fewer for layers whose cost grows with the square of the nodes.
        seed: Seeds parameters and inputs.

    Raises:
        CannotRun: If the layer cannot be built or called.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> case = Case(lambda: SAGEConv(8, 4))
        >>> case.levels, case.describe()
        (['node'], 'x [12, 8], edge_index [2, 23]')
    """

    def __init__(
        self,
        layer: nn.Module | Callable[[], nn.Module],
        data: Data | HeteroData | None = None,
        *,
        call: Call | None = None,
        in_channels: int | None = None,
        edge_dim: int | None = None,
        undirected: bool = False,
        lazy: Callable[[], nn.Module] | None = None,
        graph_input: bool | None = None,
        sparse_input: bool = True,
        inputs: Mapping[str, str] | None = None,
        outputs: str | tuple[str, ...] = "scalar",
        sequence: Callable[[nn.Module, Sequence[Data]], Sequence[Any]] | None = None,
        copies: int = 256,
        seed: int = 0,
    ) -> None:
        if not callable(layer):
            raise TypeError(f"'layer' must be a module or a function that builds one, got {type(layer).__name__}")
        self.layer = layer
        if isinstance(data, HeteroData) and call is None:
            call = HeteroAdapter(data)
            data = call.data
        self.call = call or call_layer
        self.lazy = lazy
        self.undirected = undirected
        self.sparse_input = sparse_input
        self.seed = seed
        self.sequence = sequence
        self.copies = copies
        self.inputs = dict(inputs or {})
        self.outputs = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        built = self._build(seed)
        self.repr = repr(built)
        self.graph_input = type(built).__module__.startswith("graphkit.") if graph_input is None else graph_input
        self.takes_batch = call is None and "batch" in forward_names(built)
        self.sorted_only = False
        candidates = (
            [cast_floats(_first_graph(data), torch.float64)]
            if data is not None
            else list(
                example_inputs(built, in_channels=in_channels, edge_dim=edge_dim, undirected=undirected, seed=seed)
            )
        )
        with one_thread():
            self._data, self.levels = self._probe(candidates)
            self.takes_edges = takes_edges(built) if call is None else self._reads_edges()

    @property
    def data(self) -> Data:
        """A fresh copy of the data: a layer that writes to its inputs spoils no other test."""
        return self._data.clone()

    def _build(self, seed: int) -> nn.Module:
        if isinstance(self.layer, nn.Module):
            return as_if_first(copy.deepcopy(self.layer))
        try:
            with seeded(seed):
                module = self.layer()
        except Exception as error:
            raise CannotRun(f"the layer cannot be built: {type(error).__name__}: {error}") from error
        if not isinstance(module, nn.Module):
            raise CannotRun(f"'layer' must build a torch.nn.Module, got {type(module).__name__}")
        return as_if_first(module)

    def _probe(self, candidates: list[Data]) -> tuple[Data, list[Level]]:
        """The first data that the layer accepts, and what each row of each output belongs to."""
        failure: Exception | None = None
        for data in candidates:
            for self.sorted_only in (False, True):
                self._data = data
                try:
                    results = self.run(self.module(), data.clone())
                except Exception as error:
                    failure = error
                    if "sort" not in str(error):
                        break
                else:
                    return data, [self._level(result, data) for result in results]
        raise CannotRun(
            f"the layer cannot be called: {type(failure).__name__}: {failure} (tried {self.describe()}); "
            "pass 'data', 'in_channels', 'edge_dim' or 'call'"
        ) from failure

    def _reads_edges(self) -> bool:
        """Whether the user's call fails on data without edges."""
        data = self.data
        del data.edge_index
        try:
            self.call(self.module(), data)
        except Exception:
            return True
        return False

    def _level(self, output: Tensor, data: Data) -> Level:
        rows = output.size(0) if output.dim() else 1
        levels: dict[int, Level] = {1: "graph", data.num_edges: "edge", int(data.num_nodes or 0): "node"}
        if rows not in levels:
            raise CannotRun(
                f"an output has shape {list(output.shape)}, which is neither per node ({data.num_nodes}), "
                f"per edge ({data.num_edges}) nor per graph (1)"
            )
        return levels[rows]

    def describe(self) -> str:
        """The inputs with their shapes."""
        shapes = [f"{key} {list(value.shape)}" for key, value in self.data.to_dict().items() if hasattr(value, "shape")]
        return ", ".join(sorted(shapes, key=lambda text: (not text.startswith("x "), text.startswith("edge_attr"))))

    def generator(self) -> torch.Generator:
        """A fresh generator for a property's random choices."""
        return torch.Generator().manual_seed(self.seed + 1)

    def module(self, dtype: torch.dtype = torch.float64, *, train: bool = False, seed: int | None = None) -> nn.Module:
        """A fresh layer, the same one each time it is asked for with the same seed."""
        seed = self.seed if seed is None else seed
        module = self._build(seed).double()
        if is_lazy(module):
            self.run(module.eval(), self.data)
        if not isinstance(self.layer, nn.Module):
            perturb(module, seed)
        return module.to(dtype).train(train)

    def run(self, module: nn.Module, data: Data, seed: int | None = None) -> list[Tensor]:
        """Call the layer for its output tensors; rows per edge are in the order of ``data.edge_index``."""
        order = None
        if self.sorted_only and isinstance(data.edge_index, Tensor):
            data, order = sort_by_target(data)
        with seeded(self.seed if seed is None else seed):
            results = tensors(self.call(module, data))
        if not results:
            raise CannotRun("the layer returned no tensor")
        if order is None or not hasattr(self, "levels"):
            return results
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(order.numel())
        return [r[inverse] if level == "edge" else r for r, level in zip(results, self.levels, strict=True)]

    def require_same(
        self,
        claim: str,
        expected: list[Tensor],
        got: list[Tensor],
        *,
        nodes: Tensor | None = None,
        edges: Tensor | None = None,
        graphs: Tensor | None = None,
        tolerance: float | None = None,
        conditioning: Callable[[], float] | None = None,
        context: str = "",
    ) -> None:
        """Require row i of each expected output to be row ``nodes[i]`` (``edges[i]``, ``graphs[i]``) of the
        other.

        Outputs of a level for which no map is given are not compared; if none is, the claim does not apply.
        """
        __tracebackhide__ = True
        maps = {"node": nodes, "edge": edges, "graph": graphs}
        measure = conditioning or self.conditioning
        compared = False
        for level, a, b in zip(self.levels, expected, got, strict=True):
            rows = maps[level]
            if rows is None:
                continue
            compared = True
            if level != "graph" or b.dim():
                if b.size(0) <= int(rows.max() if rows.numel() else -1) or a.size(0) != rows.numel():
                    require_equal(claim, a, b, element=level, context=context)  # sizes differ: names them
                b = b[rows]
            require_equal(claim, a, b, element=level, tolerance=tolerance, conditioning=measure, context=context)
        if not compared:
            raise NotApplicable(f"says nothing about outputs per {' and '.join(sorted(set(self.levels)))}")

    def conditioning(self) -> float:
        """By how much the layer amplifies rounding: :func:`~graphkit.testing.conditioning.amplification`."""
        return amplification(self)

    @cached_property
    def random(self) -> bool:
        """Whether the layer draws random numbers in evaluation: two seeds give two outputs."""
        outputs = [self.run(self.module(), self.data, seed=self.seed + number) for number in (0, 1)]
        return not all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))

    def small(self, num_nodes: int = 6) -> Data:
        """An induced subgraph of the data with few nodes and at least one edge."""
        first = torch.arange(min(num_nodes, int(self.data.num_nodes or 0)))
        small = subgraph(self.data, first)
        return small if small.num_edges else self.data

    def edge_inputs(self) -> list[str]:
        """Names of the inputs with one row per edge."""
        return edge_keys(self.data)


def perturb(module: nn.Module, seed: int) -> None:
    """Add small noise to every floating-point parameter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point() and not nn.parameter.is_lazy(parameter):
                noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
                parameter.add_(0.1 * noise.to(parameter.dtype))


def _first_graph(data: Data) -> Data:
    return one_graph(data.get_example(0)) if isinstance(data, Batch) else one_graph(data)
