"""``FusedMessagePassing``: PyG's ``MessagePassing`` on a sorted graph. The one file that knows PyG's
internals."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import OptPairTensor, OptTensor, Size

from graphkit.graph import Graph, as_graph
from graphkit.graph.convert import edge_index_size, is_sparse_adjacency
from graphkit.nn.aggr import can_fuse

# PyG's generic propagate: per-edge messages, every hook, explanations, feature decomposition. PyG replaces
# the attribute on a class whose instance it has built, also on MessagePassing itself, and keeps the generic
# one aside.
_generic_propagate = vars(MessagePassing).get("_orig_propagate", MessagePassing.propagate)


class FusedMessagePassing(MessagePassing):
    """Base of graphkit's layers: message passing without messages wherever nobody looks at them.

    A layer takes a :class:`~graphkit.Graph`, or anything PyG takes, as ``edge_index``: it calls
    :meth:`graph_of` (converted once, then remembered) and then ``self.propagate(graph, ...)``. There,
    ``message_and_aggregate(graph, ...)`` runs the fused operator. PyG's own per-edge path, ``message`` and
    ``aggregate``, runs instead when somebody needs the messages: an explainer, a message or aggregate hook, an
    aggregation that cannot be fused, a subclass that overrides ``message`` or ``aggregate`` but not
    ``message_and_aggregate``, or ``layer.fuse = False``. ``decomposed_layers``, which saves the memory of
    messages by slices, changes that path alone.

    Propagate hooks get the plain ``edge_index`` in the user's order, message-and-aggregate hooks the
    ``Graph``.

    Args:
        aggr: as PyG's ``MessagePassing``.
        **kwargs: as PyG's ``MessagePassing``.

    Raises:
        ValueError: for ``flow="target_to_source"``.
    """

    _messages_are_ours: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # On the first instance of a class PyG compiles a propagate of its own from a template and sets it on
        # the class, over an inherited one, unless the class itself has the attribute
        # (_set_jittable_templates).
        if "propagate" not in vars(cls):
            cls.propagate = cls.propagate  # type: ignore[method-assign]
        # The fused operator stands for the messages of the class that wrote it, not for those of a subclass.
        owner = {
            name: next(i for i, base in enumerate(cls.__mro__) if name in vars(base))
            for name in ("message", "aggregate", "message_and_aggregate")
        }
        cls._messages_are_ours = owner["message_and_aggregate"] <= min(owner["message"], owner["aggregate"])

    def __init__(self, aggr: Any = "sum", **kwargs: Any) -> None:
        super().__init__(aggr, **kwargs)
        if self.flow != "source_to_target":
            raise ValueError(
                f"'flow' of '{type(self).__name__}' must be 'source_to_target' (got {self.flow!r}); "
                f"reverse the edges instead: edge_index.flip(0)"
            )
        implemented = self.inspector.implements("message_and_aggregate")
        self.fuse = implemented and self._messages_are_ours and (self.aggr is None or can_fuse(self.aggr_module))

    def graph_of(self, x: Tensor | OptPairTensor, edge_index: Any, size: Size = None) -> Graph:
        """The topology as a :class:`~graphkit.Graph` whose size agrees with the features.

        Args:
            x: node features, or ``(x_src, x_dst)`` where ``x_dst`` may be ``None``.
            edge_index: a ``Graph``, ``edge_index``, ``EdgeIndex`` or transposed sparse adjacency.
            size: ``(num_src, num_dst)``, needed for ``(x_src, None)`` if the topology does not know its size
                and the number of targets is not that of the sources.

        Raises:
            ValueError: if sizes disagree.
        """
        src, dst = (x, x) if isinstance(x, Tensor) else x
        num_src, num_dst = (None, None) if size is None else size
        if dst is None and num_dst is None:
            num_dst = _num_targets(edge_index)
        known = (
            src.size(self.node_dim) if src is not None else num_src,
            dst.size(self.node_dim) if dst is not None else num_dst,
        )
        if size is not None and any(s is not None and s != k for s, k in zip(size, known, strict=True)):
            raise ValueError(f"'size' is {tuple(size)}, but the node features have sizes {known}; drop 'size'")
        num_src, num_dst = known
        return as_graph(edge_index, (num_src, num_src if num_dst is None else num_dst))  # type: ignore[arg-type]

    def propagate(self, edge_index: Any, size: Size = None, **kwargs: Any) -> Tensor:
        """Run the layer's messages along the edges, fused where possible (see the class).

        Args:
            edge_index: a :class:`~graphkit.Graph`, or anything :func:`~graphkit.graph.as_graph` takes.
            size: ``(num_src, num_dst)`` of a plain ``edge_index``.
            **kwargs: what ``message``, ``message_and_aggregate`` and ``update`` ask for by name.
        """
        graph = as_graph(edge_index, size)
        if not self._runs_fused():
            return _generic_propagate(self, graph.edge_index, size=graph.size, **kwargs)
        hooked = not torch.compiler.is_compiling()  # as in PyG, a compiled layer calls no hooks
        if hooked:
            for hook in self._propagate_forward_pre_hooks.values():
                result = hook(self, (graph.edge_index, graph.size, kwargs))
                if result is not None:
                    edge_index, size, kwargs = result
                    graph = graph if edge_index is graph.edge_index else as_graph(edge_index, size)

        inputs = self.inspector.collect_param_data("message_and_aggregate", kwargs)
        if hooked:
            for hook in self._message_and_aggregate_forward_pre_hooks.values():
                result = hook(self, (graph, inputs))
                if result is not None:
                    graph, inputs = result
        out = self.message_and_aggregate(graph, **inputs)
        if hooked:
            for hook in self._message_and_aggregate_forward_hooks.values():
                result = hook(self, (graph, inputs), out)
                out = out if result is None else result

        out = self.update(out, **self.inspector.collect_param_data("update", kwargs))
        if hooked:
            for hook in self._propagate_forward_hooks.values():
                result = hook(self, (graph.edge_index, graph.size, kwargs), out)
                out = out if result is None else result
        return out

    def _runs_fused(self) -> bool:
        watched = (
            self._message_forward_pre_hooks
            or self._message_forward_hooks
            or self._aggregate_forward_pre_hooks
            or self._aggregate_forward_hooks
        )
        return self.fuse and not self.explain and not watched


def edge_features(graph: Graph, edge_index: Any, edge_attr: OptTensor) -> OptTensor:
    """``edge_attr``, or else the values of a sparse adjacency, which has nowhere else to carry them.

    As in PyG, one scalar per edge is a weight and no feature. A ``Graph``'s ``edge_attrs`` are never taken
    silently.
    """
    if edge_attr is None and not isinstance(edge_index, Graph) and is_sparse_adjacency(edge_index):
        return graph.edge_attrs.get("edge_attr")
    return edge_attr


def _num_targets(edge_index: Any) -> int | None:
    """How many targets the topology itself says there are."""
    if isinstance(edge_index, Graph):
        return edge_index.num_dst
    if is_sparse_adjacency(edge_index):
        return int(edge_index.size(0))
    size = edge_index_size(edge_index)
    return size[1] if isinstance(size, tuple) else None
