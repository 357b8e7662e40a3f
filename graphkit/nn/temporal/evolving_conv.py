"""Any convolution with weights that change with time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import UninitializedParameter
from torch_geometric.nn.inits import reset

from graphkit.nn.temporal.cells import CellName, EvolveState, make_cell

State = dict[str, EvolveState]


class EvolvingConv(nn.Module):
    r"""Makes the weight matrices of any PyG layer evolve, as EvolveGCN-O does with that of a GCN.

    Each matrix :math:`W` among the layer's parameters has a recurrent cell of its own, :math:`W_t =
    \mathrm{cell}(W_{t-1})`; at each time step the layer is called with the matrices of that step
    (``torch.func.functional_call``). Its own parameters are where a sequence starts, and are learned. A ``Linear``'s
    weight ``[out, in]`` is taken as ``[in, out]``, so that a cell mixes input channels as in EvolveGCN. Vectors
    (biases, attention) and anything ``evolve`` turns down stay as they are. After "EvolveGCN"
    (https://arxiv.org/abs/1902.10191), whose cells these are; the idea for any layer is ours.

    State is an argument and a return value, a dict from parameter names to
    :class:`~graphkit.nn.temporal.EvolveState`; :meth:`detach` cuts it off from the past.

    Args:
        conv: the layer; its sizes must be known.
        cell: ``"gru"`` or ``"lstm"``.
        evolve: ``evolve(name, parameter) -> bool``, which matrices evolve; default: all.

    Shapes:
        as ``conv``, and the state

    Raises:
        ValueError: if a size is still open, or nothing evolves.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import SAGEConv
        >>> layer = EvolvingConv(SAGEConv(4, 2))
        >>> x, edge_index = torch.randn(3, 4), torch.tensor([[0, 1], [1, 2]])
        >>> out, state = layer(x, edge_index)
        >>> out, state = layer(x, edge_index, state=EvolvingConv.detach(state))
        >>> out.shape, sorted(state)
        (torch.Size([3, 2]), ['lin_l.weight', 'lin_r.weight'])
    """

    def __init__(
        self, conv: nn.Module, cell: CellName = "gru", evolve: Callable[[str, Tensor], bool] | None = None
    ) -> None:
        super().__init__()
        self.conv = conv
        self.in_channels = getattr(conv, "in_channels", None)
        self.out_channels = getattr(conv, "out_channels", None)
        matrices: dict[str, nn.Parameter] = {}
        for name, parameter in conv.named_parameters():
            if isinstance(parameter, UninitializedParameter):
                raise ValueError(f"'conv' must know its sizes (parameter '{name}' is lazy); pass in_channels")
            if parameter.dim() == 2 and (evolve is None or evolve(name, parameter)):
                matrices[name] = parameter
        if not matrices:
            raise ValueError(f"'conv' must have a weight matrix that evolves (got {type(conv).__name__})")
        self._names = {name: name.replace(".", "-") for name in matrices}
        # [out, in] of a Linear is [in, out] of the cell.
        self.cells = nn.ModuleDict(
            {self._names[name]: make_cell(cell, p.size(1), p.size(0)) for name, p in matrices.items()}
        )

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        reset(self.conv)
        reset(self.cells)

    def forward(
        self, x: Any, edge_index: Any, *args: Any, state: Mapping[str, EvolveState] | None = None, **kwargs: Any
    ) -> tuple[Any, State]:
        """One time step: the layer's output, and the state to hand to the next.

        Args:
            x: as the layer takes it.
            edge_index: likewise.
            *args: further arguments of the layer.
            state: that of the step before; ``None`` starts a sequence.
            **kwargs: further arguments of the layer.

        Raises:
            ValueError: if the state is of other parameters.
        """
        if state is not None and state.keys() != self._names.keys():
            raise ValueError(f"'state' must be of {sorted(self._names)} (got {sorted(state)})")
        after: State = {}
        for name, key in self._names.items():
            cell: Any = self.cells[key]
            before = cell.start(self.conv.get_parameter(name).t()[None]) if state is None else state[name]
            (after[name],) = cell(before)
        weights = {name: value.weight[0].t() for name, value in after.items()}
        return functional_call(self.conv, weights, (x, edge_index, *args), kwargs), after

    @staticmethod
    def detach(state: Mapping[str, EvolveState]) -> State:
        """The same values, cut off from the past."""
        return {name: value.detach() for name, value in state.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.conv}, evolves {', '.join(self._names)})"
