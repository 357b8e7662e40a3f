"""EvolveGCN: graph convolutions whose weight is the state of a recurrent cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch_geometric.typing import Adj, OptTensor

from graphkit.graph import Graph
from graphkit.graph.convert import is_sparse_adjacency
from graphkit.graph.temporal import Snapshot
from graphkit.nn.conv.base import FusedMessagePassing
from graphkit.nn.temporal.adjacency import SelfLoops, added_loops, normalized_adjacency
from graphkit.nn.temporal.cells import CellName, EvolveState, lazy_parameter, make_cell
from graphkit.nn.temporal.summary import summarize_steps
from graphkit.ops import gather_reduce

Mode = Literal["stream", "window"]


class EvolveGCNO(FusedMessagePassing):
    r"""The layer of `"EvolveGCN: Evolving Graph Convolutional Networks for Dynamic Graphs"
    <https://arxiv.org/abs/1902.10191>`_ (Pareja et al., AAAI 2020), version -O: the weight of a time step is made from
    that of the step before alone.

    .. math::
        W_t = \mathrm{cell}(W_{t-1}), \qquad Y_t = \hat A_t X_t W_t, \qquad
        \hat A = D^{-1/2} (A + I) D^{-1/2}

    The weight evolves before it is used, at the first step too; no node has a state, so nodes may come and go. State is
    an argument and a return value: nothing is kept between calls, ``state.detach()`` truncates back-propagation, and a
    state is tensors, to be saved with a checkpoint.

    *Mode.* With ``"stream"``, as the paper describes it, the state is carried over consecutive steps for as long as the
    user hands it on. With ``"window"``, as the released code does it, every window starts from the initial weight; the
    weights of -O then depend on the length of the window alone and its last output on the last snapshot alone, so that
    :meth:`sequence` with ``last=True`` looks at no other.

    Differences from the published code: parameters are in ``state_dict``; no scorer that is never used; messages flow
    from source to target and degrees count incoming edges, as everywhere in PyG (the same on symmetric graphs; flip
    ``edge_index`` otherwise). From PyG-Temporal's layer: the published cell (products from the left, biases that are
    matrices), any widths, explicit state. Degrees must not be negative, as for ``GCNConv``.

    Args:
        in_channels: size of each input sample, or -1 to derive it from the first input.
        out_channels: size of each output sample.
        cell: ``"gru"``, the cell of the released code, or ``"lstm"``, that of the paper.
        mode: ``"stream"`` or ``"window"``; see above.
        self_loops: ``"add"``: every node gets one more, of weight 1; ``"remaining"``: those that have none, as in PyG;
            ``None``: none.
        normalize: divide by the roots of the degrees at both ends.
        **kwargs: of PyG's ``MessagePassing``.

    Shapes:
        x ``[N, in_channels]``, or int64 ``[N]``, the column of the one in each row of a one-hot matrix; edge_index
        ``[2, E]``, ``Graph``, ``EdgeIndex`` or transposed sparse adjacency; edge_weight ``[E]``; state
        ``[B, in_channels, out_channels]`` -> ``[N, out_channels]``, state

    Raises:
        ValueError: if an option is unknown, sizes disagree, or a state is given with ``mode="window"``.

    Example:
        >>> import torch
        >>> from graphkit.nn import EvolveGCNO
        >>> layer = EvolveGCNO(4, 2)
        >>> x, edge_index = torch.randn(3, 4), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> out, state = layer(x, edge_index)
        >>> out, state = layer(x, edge_index, state=state.detach())
        >>> out.shape, state.weight.shape
        (torch.Size([3, 2]), torch.Size([1, 4, 2]))
    """

    _looks_at_all = False  # for the weights of a step

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cell: CellName = "gru",
        mode: Mode = "stream",
        *,
        self_loops: SelfLoops | None = "add",
        normalize: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__("sum", node_dim=0, **kwargs)
        if out_channels < 1 or (in_channels < 1 and in_channels != -1):
            raise ValueError(f"'in_channels' and 'out_channels' must be positive (got {in_channels}, {out_channels})")
        if mode not in ("stream", "window"):
            raise ValueError(f"'mode' must be 'stream' or 'window' (got {mode!r})")
        if self_loops not in ("add", "remaining", None):
            raise ValueError(f"'self_loops' must be 'add', 'remaining' or None (got {self_loops!r})")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.mode = mode
        self.self_loops = self_loops
        self.normalize = normalize
        self.cell = make_cell(cell, in_channels, out_channels)
        self.weight = lazy_parameter(in_channels, out_channels)
        self._reset()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from the distributions of the published code."""
        super().reset_parameters()
        self._reset()

    def _reset(self) -> None:
        self.cell.reset_parameters()
        if not isinstance(self.weight, UninitializedParameter):
            bound = 1 / math.sqrt(self.out_channels)
            nn.init.uniform_(self.weight, -bound, bound)

    def _materialize(self, x: Tensor) -> None:
        if isinstance(self.weight, UninitializedParameter):
            if not x.is_floating_point():
                raise ValueError("in_channels=-1 cannot be told from one-hot features given as columns; pass it")
            self.in_channels = x.size(1)
            self.weight.materialize((self.in_channels, self.out_channels))
            self.cell.materialize(self.in_channels)
            self._reset()

    # One step, or many --------------------------------------------------------------------------------------

    def forward(
        self,
        x: Tensor,
        edge_index: Adj | Graph,
        edge_weight: OptTensor = None,
        state: EvolveState | None = None,
        mask: OptTensor = None,
        batch: OptTensor = None,
        batch_size: int | None = None,
    ) -> tuple[Tensor, EvolveState]:
        """One time step.

        Args:
            x: node features.
            edge_index: the graph of this step; see the class.
            edge_weight: weights of its edges.
            state: that of the step before; ``None`` starts a sequence.
            mask: bool ``[N]``, the nodes that are there (of use to -H); default: those that touch an edge.
            batch: which of several independent sequences each node belongs to.
            batch_size: their number.
        """
        self._check_start(state)
        graph = self._check(x, edge_index)
        number = 1
        if batch is not None:
            number = batch_size if batch_size is not None else (int(batch.max()) + 1 if batch.numel() else 1)
        state = self._start(state, number)
        snapshot = Snapshot(x, graph, _weight(graph, edge_index, edge_weight), mask)
        (state,) = self._evolve(state, [snapshot], batch, 1)
        return self._convolve(snapshot, state.weight, batch), state

    def sequence(
        self, snapshots: Iterable[Snapshot], state: EvolveState | None = None, *, last: bool = False
    ) -> tuple[list[Tensor], EvolveState]:
        """A window of time steps at once: what :meth:`forward` gives step after step, with less work.

        Args:
            snapshots: in the order of time, at least one.
            state: that of the step before; ``None`` starts a sequence.
            last: give the output of the last step alone, and compute no other.

        Returns:
            Outputs, one per step or one, and the state after the last step.

        Raises:
            ValueError: if there is no snapshot, or sizes disagree.
        """
        steps = snapshots if isinstance(snapshots, Sequence) else list(snapshots)
        if not steps:
            raise ValueError("'snapshots' must hold at least one (got none)")
        self._check_start(state)
        # Steps that nothing is asked of are not even made.
        window = [self._prepare(step) for step in (steps[-1:] if last and not self._looks_at_all else steps)]
        states = self._evolve(self._start(state, 1), window, None, len(steps), last)
        wanted = window[-1:] if last else window
        outs = [self._convolve(step, after.weight, None) for step, after in zip(wanted, states, strict=True)]
        return outs, states[-1]

    def _prepare(self, snapshot: Snapshot) -> Snapshot:
        graph = self._check(snapshot.x, snapshot.graph)
        return snapshot._replace(graph=graph, edge_weight=_weight(graph, snapshot.graph, snapshot.edge_weight))

    def _check(self, x: Tensor, edge_index: Any) -> Graph:
        if not isinstance(x, Tensor) or x.dim() != (2 if x.is_floating_point() else 1):
            got = f"{x.dtype} {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"'x' must be floating point [N, {self.in_channels}] or int64 [N] (got {got})")
        self._materialize(x)
        if x.is_floating_point() and x.size(1) != self.in_channels:
            raise ValueError(f"'x' must have {self.in_channels} channels (got {x.size(1)})")
        return self.graph_of(x, edge_index)

    def _check_start(self, state: EvolveState | None) -> None:
        if state is not None and self.mode == "window":
            raise ValueError(
                "'state' must be None with mode='window', where every window starts from the initial weight; "
                "mode='stream' carries it on"
            )

    def _start(self, state: EvolveState | None, batch: int) -> EvolveState:
        if state is None:
            weight = self.weight[None]
            return self.cell.start(weight if batch == 1 else weight.expand(batch, -1, -1))
        wanted = (batch, self.in_channels, self.out_channels)
        if tuple(state.weight.shape) != wanted:
            raise ValueError(f"'state' must hold weights of shape {list(wanted)} (got {list(state.weight.shape)})")
        return state

    def _evolve(
        self, state: EvolveState, window: list[Snapshot], batch: OptTensor, steps: int, last: bool = False
    ) -> list[EvolveState]:
        return self.cell(state, steps=steps, last=last)

    # The convolution ----------------------------------------------------------------------------------------

    def _convolve(self, snapshot: Snapshot, weight: Tensor, batch: OptTensor) -> Tensor:
        # The narrower of X and X W is what is sent along the edges; X first has nothing to send back for the gradient.
        x = snapshot.x
        if x.is_floating_point() and self.in_channels <= self.out_channels:
            return _transform(self._aggregate(snapshot, x), weight, batch)
        return self._aggregate(snapshot, _transform(x, weight, batch))

    def _aggregate(self, snapshot: Snapshot, h: Tensor) -> Tensor:
        graph, edge_weight = snapshot.graph, snapshot.edge_weight
        if self.normalize:
            edge_weight, loops = normalized_adjacency(
                graph, edge_weight, snapshot.degree, self_loops=self.self_loops, dtype=h.dtype
            )
        else:
            loops = added_loops(graph, self.self_loops, h.dtype)
            edge_weight = None if edge_weight is None else edge_weight.to(h.dtype)
        # propagate_type: (x: Tensor, edge_weight: OptTensor)
        out = self.propagate(graph, x=h, edge_weight=edge_weight)
        if loops is None:
            return out
        return out + h if isinstance(loops, float) else torch.addcmul(out, loops[:, None], h)

    def message_and_aggregate(self, edge_index: Graph, x: Tensor, edge_weight: OptTensor) -> Tensor:
        """All messages at once, none of them written."""
        return gather_reduce(x, edge_index, edge_weight=edge_weight)

    def message(self, x_j: Tensor, edge_weight: OptTensor) -> Tensor:
        """What flows along every edge to its target, for those who want to see it."""
        return x_j if edge_weight is None else edge_weight[:, None] * x_j

    def __repr__(self) -> str:
        cell = "gru" if type(self.cell).__name__ == "MatrixGRU" else "lstm"
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, cell={cell}, mode={self.mode})"


class EvolveGCNH(EvolveGCNO):
    r"""The layer of `"EvolveGCN" <https://arxiv.org/abs/1902.10191>`_, version -H: the weight of a time step is made
    from that of the step before and from the k best nodes of this one.

    .. math::
        W_t = \mathrm{cell}(W_{t-1}, \mathrm{summarize}(X_t, k)), \qquad Y_t = \hat A_t X_t W_t

    with k the number of columns of W (:func:`~graphkit.nn.temporal.summarize`). The k best are chosen among all nodes
    that are there, so the output of a node depends on the whole snapshot; ``batch`` keeps several sequences apart. All
    else as for :class:`EvolveGCNO`; where the published code fails (no node there, fewer nodes than k) this layer does
    not.

    Args:
        in_channels: size of each input sample, or -1 to derive it from the first input.
        out_channels: size of each output sample.
        cell: ``"gru"`` or ``"lstm"``.
        mode: ``"stream"`` or ``"window"``.
        **kwargs: of :class:`EvolveGCNO`.

    Example:
        >>> import torch
        >>> from graphkit.nn import EvolveGCNH
        >>> layer = EvolveGCNH(8, 16)
        >>> out, state = layer(torch.randn(5, 8), torch.tensor([[0, 1], [1, 0]]), edge_weight=torch.ones(2))
        >>> out.shape
        torch.Size([5, 16])
    """

    _looks_at_all = True

    def __init__(
        self, in_channels: int, out_channels: int, cell: CellName = "gru", mode: Mode = "stream", **kwargs: Any
    ) -> None:
        super().__init__(in_channels, out_channels, cell, mode, **kwargs)
        self.score_vector = lazy_parameter(in_channels)
        self._reset_scores()

    def reset_parameters(self) -> None:
        """Draw all parameters anew, from the distributions of the published code."""
        super().reset_parameters()
        self._reset_scores()

    def _reset_scores(self) -> None:
        if not isinstance(self.score_vector, UninitializedParameter):
            bound = 1 / math.sqrt(self.in_channels)
            nn.init.uniform_(self.score_vector, -bound, bound)

    def _materialize(self, x: Tensor) -> None:
        super()._materialize(x)
        if isinstance(self.score_vector, UninitializedParameter):
            self.score_vector.materialize((self.in_channels,))
            self._reset_scores()

    def _evolve(
        self, state: EvolveState, window: list[Snapshot], batch: OptTensor, steps: int, last: bool = False
    ) -> list[EvolveState]:
        masks = [_active(step.graph) if step.mask is None else step.mask for step in window]
        features = [step.x for step in window]
        inputs = summarize_steps(features, self.score_vector, self.out_channels, masks, batch, state.weight.size(0))
        return self.cell(state, inputs, last=last)


def _transform(x: Tensor, weight: Tensor, batch: OptTensor) -> Tensor:
    """``X W``, with the weight of each node's sequence; a row of W where x is a column of one-hot features."""
    if weight.size(0) == 1:
        return x @ weight[0] if x.is_floating_point() else torch.nn.functional.embedding(x, weight[0])
    assert batch is not None  # only a batch has several weights
    if not x.is_floating_point():
        return weight[batch, x]
    order = torch.sort(batch, stable=True).indices
    sizes = torch.bincount(batch, minlength=weight.size(0)).tolist()
    parts = [rows @ own for rows, own in zip(x[order].split(sizes), weight, strict=True)]
    return torch.cat(parts)[torch.argsort(order)]


def _weight(graph: Graph, edge_index: Any, edge_weight: OptTensor) -> OptTensor:
    """The weights given, or else the values of a sparse adjacency, which has nowhere else to carry them."""
    if edge_weight is None and not isinstance(edge_index, Graph) and is_sparse_adjacency(edge_index):
        return graph.edge_attrs.get("edge_weight")
    if edge_weight is not None and edge_weight.shape != (graph.num_edges,):
        raise ValueError(f"'edge_weight' must have shape [{graph.num_edges}] (got {list(edge_weight.shape)})")
    return edge_weight


def _active(graph: Graph) -> Tensor:
    """The nodes that touch an edge."""
    ends = graph.edge_index.reshape(-1)
    touched = torch.zeros(graph.num_dst, dtype=torch.long, device=ends.device).index_add(0, ends, torch.ones_like(ends))
    return touched > 0
