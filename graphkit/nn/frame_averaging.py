"""Any PyG module made invariant or equivariant by averaging over frames of its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graphkit.nn.folding import FoldedArguments, bind, forward_parameters
from graphkit.symmetry.cloud import Cloud, eigenvalue_gaps, make_cloud
from graphkit.symmetry.frames import EuclideanFrame, damp, flip, from_axes, pca_frame, qr_frame, rows_like, to_axes
from graphkit.symmetry.groups import KINDS, Euclidean
from graphkit.symmetry.mixture import POLICIES, FrameMixture, frame_mixture

Degenerate = Literal["ignore", "weighted", "blend"]


class FrameAveraging(nn.Module):
    r"""Frame averaging: a backbone sees its input in the frames of a group, its outputs are turned back and averaged.

    .. math:: \langle \Phi \rangle(X) = \sum_{g \in F(X)} w_g\, \rho_2(g)\, \Phi(\rho_1(g)^{-1} X)

    With :math:`F(gX) = g F(X)` this is exactly equivariant (invariant for scalars) whatever the backbone, and keeps
    what it can express. Frames come from the cloud alone, cloud by cloud of a ragged batch, so a backbone that is
    equivariant to permutations stays so.

    Principal axes give :math:`2^d` frames (rotations alone: :math:`2^{d-1}`): the cloud is rotated once and axes
    change sign, all frames are one larger batch. They are exact only where eigenvalues differ; the published code is
    off by 0.1 at squares, tetrahedra and collinear positions and jumps there. By default (``degenerate="blend"``)
    clouds whose eigenvalues come close are averaged over more frames, built from their points
    (:mod:`graphkit.symmetry.mixture`), with shares that make the average exact everywhere and continuous (of
    scale-invariant outputs and of tensors: but for clouds that shrink to a point). The backbone sees a cloud of n
    points with a double eigenvalue up to ``8 n`` times, with a triple one up to ``8 n (n - 1)`` times (n counts as 32
    at most); ``"ignore"`` saves that.

    Args:
        backbone: any module whose outputs have a row per node or per graph. It need not take ``batch`` if its rows do
            not depend on each other.
        group: ``"E(3)"``, ``"SE(3)"``, ``"O(3)"``, ``"SO(3)"``, the same of any d, ``"T(d)"`` (translations),
            ``"Scale(d)"``, ``"Sim(d)"``, or a :class:`graphkit.symmetry.Euclidean`. For permutations of nodes see
            :func:`graphkit.symmetry.sort_graphs`.
        inputs: kind of each argument that moves: ``"position"``, ``"vector"``, ``"pseudovector"``, ``"tensor"`` (last
            axes ``[d, d]``); others are invariant.
        output: kind of the output, or of each output: these, or ``"scalar"``.
        method: ``"pca"``: principal axes; ``"weighted"``: weighted frames of points for every cloud; ``"qr"``: one
            frame by Gram-Schmidt on the first points, for points whose order means something.
        degenerate: for ``"pca"`` where axes are not determined: ``"ignore"``, ``"weighted"`` (as the method) or
            ``"blend"``.
        samples: in training, average over this many random frames of each graph; at evaluation over all.
        frame_grad: ``"detach"``: frames are constants in the backward pass, as published: exact gradients of weights,
            but not of positions; ``"full"``: the gradient of the average.
        frame_from: names of the inputs that make the frame; all positions, vectors and pseudovectors where None.
            Where they do not determine axes but other inputs need them, no frame is exact.
        switch: gaps between eigenvalues, in shares of the largest, below which ``"blend"`` does not use principal axes,
            and above which nothing else.
        nodes_per_call: at evaluation, frames are put into one batch up to this many nodes; in training all are.

    Shapes:
        as the backbone's; ``vector``, ``position``, ``pseudovector``: ``[n, ..., d]``, ``tensor``: ``[n, ..., d, d]``.
        Positional arguments are the backbone's; ``batch`` ``[N]`` must ascend.

    Raises:
        ValueError: if an option is unknown, an input is missing or has the wrong shape, or an output has a row neither
            per node nor per graph.

    Source: Puny et al., "Frame Averaging for Invariant and Equivariant Network Design", ICLR 2022; weighted frames
    after Dym et al., ICML 2024; sampling after Duval et al., "FAENet", ICML 2023. Differs from the published code:
    batches of clouds of any size; SO(d) and SE(d); degenerate clouds; velocities take part in the frame, so that
    collinear positions with generic velocities are exact.

    Example:
        >>> from torch_geometric.nn import MLP, global_add_pool
        >>> class Energy(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.mlp = MLP([3, 16, 1], norm=None)
        ...     def forward(self, pos, batch):
        ...         return global_add_pool(self.mlp(pos), batch)
        >>> model = FrameAveraging(Energy(), group="E(3)")
        >>> pos, batch = torch.randn(7, 3).double(), torch.tensor([0, 0, 0, 1, 1, 1, 1])
        >>> energy = model.double()(pos, batch)
        >>> turned = pos[:, [1, 2, 0]] * torch.tensor([1, -1, 1]) + 5
        >>> energy.shape, torch.allclose(model(turned, batch), energy)
        (torch.Size([2, 1]), True)
    """

    def __init__(
        self,
        backbone: nn.Module,
        group: str | Euclidean = "E(3)",
        inputs: Mapping[str, str] | None = None,
        output: str | Sequence[str] = "scalar",
        *,
        method: Literal["pca", "weighted", "qr"] = "pca",
        degenerate: Degenerate = "blend",
        samples: int | None = None,
        frame_grad: Literal["detach", "full"] = "detach",
        frame_from: Sequence[str] | None = None,
        switch: tuple[float, float] = (0.02, 0.1),
        nodes_per_call: int = 2**17,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.group = Euclidean.named(group) if isinstance(group, str) else group
        self.inputs = {"pos": "position"} if inputs is None else dict(inputs)
        self.output = (output,) if isinstance(output, str) else tuple(output)
        for name, kind in [*self.inputs.items(), *(("output", kind) for kind in self.output)]:
            if kind not in KINDS:
                raise ValueError(f"kind of '{name}' must be one of {', '.join(KINDS)}, got {kind!r}")
        for name, value, choices in (
            ("method", method, ("pca", "weighted", "qr")),
            ("degenerate", degenerate, POLICIES),
            ("frame_grad", frame_grad, ("detach", "full")),
        ):
            if value not in choices:
                raise ValueError(f"'{name}' must be one of {', '.join(choices)}, got {value!r}")
        self.method = method
        self.policy: str = {"pca": degenerate, "weighted": "weighted", "qr": "ignore"}[method]
        if self.policy != "ignore" and self.group.rotations and self.group.dim > 3:
            raise ValueError(
                f"degenerate={self.policy!r} is for d <= 3, got {self.group.name}; use degenerate='ignore'"
            )
        if not 0 <= switch[0] < switch[1]:
            raise ValueError(f"'switch' must be (low, high) with 0 <= low < high, got {switch}")
        if samples is not None and samples < 1:
            raise ValueError(f"'samples' must be at least 1, got {samples}")
        if nodes_per_call < 1:
            raise ValueError(f"'nodes_per_call' must be at least 1, got {nodes_per_call}")
        self.samples = samples
        self.full_grad = frame_grad == "full"
        self.frame_from = frame_from
        self.switch = switch
        self.nodes_per_call = nodes_per_call
        self._wants = forward_parameters(backbone)

    def reset_parameters(self) -> None:
        """Draw the backbone's parameters anew, where it can."""
        reset = getattr(self.backbone, "reset_parameters", None)
        if callable(reset):
            reset()

    def frames(self, batch: Tensor | None = None, num_graphs: int | None = None, **values: Tensor) -> EuclideanFrame:
        """The frames of principal axes (or Gram-Schmidt) of some input, given by the names of ``inputs``."""
        return self._frame(self._cloud(values, batch, num_graphs))

    def frame_condition(self, batch: Tensor | None = None, **values: Tensor) -> Tensor:
        """See :func:`graphkit.symmetry.frame_condition`; of all inputs that make the frame, ``[B]``."""
        cloud = self._cloud(values, batch, None)
        gaps = eigenvalue_gaps(pca_frame(self.group, cloud).eigenvalues)
        return gaps.amin(1) if gaps.size(1) else gaps.new_ones(gaps.size(0))

    def _cloud(self, values: Mapping[str, Any], batch: Tensor | None, num_graphs: int | None) -> Cloud:
        if missing := [name for name in self.inputs if name not in values]:
            raise ValueError(f"'inputs' names {missing}, which the call lacks; it has {sorted(values)}")
        data = {name: values[name] for name in self.inputs}
        return make_cloud(
            self.group, data, self.inputs, batch, num_graphs, frame_from=self.frame_from, grad=self.full_grad
        )

    def _frame(self, cloud: Cloud) -> EuclideanFrame:
        build = qr_frame if self.method == "qr" else pca_frame
        return build(self.group, cloud, grad=self.full_grad)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The backbone's arguments, those of ``inputs`` among them; ``batch`` is taken whether it wants it or not."""
        values = bind(self.backbone, args, kwargs)
        cloud = self._cloud(values, values.get("batch"), values.get("batch_size", values.get("num_graphs")))
        frame = self._frame(cloud)
        mixture = frame_mixture(self.group, cloud, frame, self.policy, switch=self.switch, grad=self.full_grad)
        folded = FoldedArguments(values, cloud.batch, cloud.num_graphs, self._wants)
        if self.training and self.samples is not None:
            results = self._sampled(folded, frame, mixture)
        else:
            results = self._averaged(folded, frame, mixture)
        center = frame.center if self.full_grad else frame.center.detach()
        for number, kind in enumerate(self.output):
            if kind == "position":
                value = results[number]
                moved = value.double() + rows_like(center[frame.index(value.size(0))], value)
                results[number] = moved.to(value.dtype)
        return results[0] if len(results) == 1 else tuple(results)

    def _averaged(self, folded: FoldedArguments, frame: EuclideanFrame, mixture: FrameMixture | None) -> list[Tensor]:
        """All frames: those of principal axes as sign changes of one rotated batch, then the weighted ones."""
        if mixture is None or bool((mixture.share > 0).any()):
            results = self._principal(folded, frame)
            if mixture is not None:
                share = mixture.share
                results = [value * rows_like(share[frame.index(value.size(0))], value).to(value) for value in results]
        else:
            results = []
        if mixture is not None:
            for part in self._parts(folded, mixture):
                results = self._add_weighted(results, folded, frame, mixture, part)
        return results

    def _principal(self, folded: FoldedArguments, frame: EuclideanFrame) -> list[Tensor]:
        axes = {
            name: to_axes(value, kind, frame.index(value.size(0)), frame.rotation, frame.center, frame.scale)
            for name, kind, value in self._moved(folded)
        }
        number = frame.signs.size(0)
        at_once = number if self.training else max(1, self.nodes_per_call // max(1, folded.num_nodes))
        sums: list[Tensor] = []
        for signs in frame.signs.split(at_once):
            framed = {name: flip(value[None], self.inputs[name], signs) for name, value in axes.items()}
            outputs = self._call(folded.repeat(len(signs), framed), folded, len(signs))
            turned = [flip(value, kind, signs).sum(0) for value, kind in zip(outputs, self.output, strict=True)]
            sums = [a + b for a, b in zip(sums, turned, strict=True)] if sums else turned
        results = []
        for value, kind in zip(sums, self.output, strict=True):
            index = frame.index(value.size(0))
            mean = damp(value / number, kind, None if frame.damping is None else frame.damping[index])
            results.append(from_axes(mean, kind, frame.rotation[index], frame.scale[index]))
        return results

    def _parts(self, folded: FoldedArguments, mixture: FrameMixture) -> tuple[Tensor, ...]:
        """The weighted frames, cut where a call would have too many nodes."""
        every = torch.arange(mixture.graph.numel(), device=mixture.graph.device)
        if self.training:
            return (every,)
        sizes = torch.bincount(folded.batch, minlength=folded.num_graphs)[mixture.graph]
        calls = (sizes.cumsum(0) - sizes).div(self.nodes_per_call, rounding_mode="floor")
        return every.split(calls.unique_consecutive(return_counts=True)[1].tolist())

    def _add_weighted(
        self, results: list[Tensor], folded: FoldedArguments, frame: EuclideanFrame, mixture: FrameMixture, part: Tensor
    ) -> list[Tensor]:
        graphs, rotation = mixture.graph[part], mixture.rotation[part]
        arguments, rows, copy = folded.take(graphs)
        every = torch.arange(graphs.numel(), device=copy.device)
        center, scale = frame.center[graphs], frame.scale[graphs]
        for name, kind, _ in self._moved(folded):
            index = copy if folded.levels[name] == "node" else every
            arguments[name] = to_axes(arguments[name], kind, index, rotation, center, scale)
        outputs = _outputs(self.backbone(**arguments), len(self.output))
        added = []
        for number, (value, kind) in enumerate(zip(outputs, self.output, strict=True)):
            level = "node" if _rows_of(value, copy.numel(), graphs.numel()) == copy.numel() else "graph"
            index = copy if level == "node" else every
            mean = damp(value, kind, mixture.damping[part][index])
            back = from_axes(mean, kind, rotation[index], scale[index])
            back = back * rows_like(mixture.weight[part][index], back).to(back)
            size = folded.num_nodes if level == "node" else folded.num_graphs
            before = results[number] if results else back.new_zeros(size, *back.shape[1:])
            added.append(before.index_add(0, rows[level], back))
        return added

    def _sampled(self, folded: FoldedArguments, frame: EuclideanFrame, mixture: FrameMixture | None) -> list[Tensor]:
        """The mean over a few random frames of each graph."""
        rotation, damping = self._draw(frame, mixture)
        number = rotation.size(0)
        framed = {}
        for name, kind, value in self._moved(folded):
            index = frame.index(value.size(0))
            framed[name] = torch.stack([to_axes(value, kind, index, r, frame.center, frame.scale) for r in rotation])
        results = []
        outputs = self._call(folded.repeat(number, framed), folded, number)
        for values, kind in zip(outputs, self.output, strict=True):
            index = frame.index(values.size(1))
            scale = frame.scale[index]
            back = [
                from_axes(damp(value, kind, m[index]), kind, r[index], scale)
                for value, r, m in zip(values, rotation, damping, strict=True)
            ]
            results.append(torch.stack(back).mean(0))
        return results

    def _draw(self, frame: EuclideanFrame, mixture: FrameMixture | None) -> tuple[Tensor, Tensor]:
        """Random frames of each graph, as likely as they are weighted, principal axes without replacement:
        ``[k, B, d, d]`` and their damping ``[k, B, d]``."""
        assert self.samples is not None
        device, graphs = frame.rotation.device, frame.rotation.size(0)
        number = min(self.samples, frame.signs.size(0)) if mixture is None else self.samples
        which = torch.rand(graphs, frame.signs.size(0), device=device).argsort(1)
        which = which.repeat(1, -(-number // which.size(1)))[:, :number]
        rotation = frame.rotation * frame.signs[which.T][:, :, None, :]
        damping = torch.ones_like(rotation[..., 0]) if frame.damping is None else frame.damping.expand(number, -1, -1)
        if mixture is None:
            return rotation, damping
        total = mixture.weight.detach().cumsum(0)
        owners = mixture.graph.unique_consecutive()
        first = torch.searchsorted(mixture.graph, owners)
        last = torch.searchsorted(mixture.graph, owners, right=True) - 1
        before = torch.where(first > 0, total[(first - 1).clamp(min=0)], 0.0)
        draw = torch.rand(number, owners.numel(), device=device, dtype=total.dtype) - mixture.share[owners].detach()
        pick = torch.searchsorted(total, (before + draw.clamp(min=0)).contiguous(), right=True)
        pick = pick.clamp(first.expand_as(pick), last.expand_as(pick))
        further = (draw >= 0)[..., None]
        rotation, damping = rotation.clone(), damping.clone()
        rotation[:, owners] = torch.where(further[..., None], mixture.rotation[pick], rotation[:, owners])
        damping[:, owners] = torch.where(further, mixture.damping[pick], damping[:, owners])
        return rotation, damping

    def _moved(self, folded: FoldedArguments) -> list[tuple[str, str, Tensor]]:
        return [(name, kind, folded.values[name]) for name, kind in self.inputs.items() if kind != "scalar"]

    def _call(self, arguments: dict[str, Any], folded: FoldedArguments, times: int) -> list[Tensor]:
        """The backbone's outputs, ``[times, n, ...]``."""
        outputs = _outputs(self.backbone(**arguments), len(self.output))
        for value in outputs:
            _rows_of(value, times * folded.num_nodes, times * folded.num_graphs)
        return [value.reshape(times, value.size(0) // times, *value.shape[1:]) for value in outputs]

    def extra_repr(self) -> str:
        """The group and the kinds."""
        return f"group={self.group.name}, inputs={self.inputs}, output={self.output}"


def _outputs(result: Any, number: int) -> tuple[Tensor, ...]:
    outputs = (result,) if isinstance(result, Tensor) else tuple(result)
    if len(outputs) != number:
        raise ValueError(f"'output' must give the kind of each of the backbone's {len(outputs)} outputs, got {number}")
    return outputs


def _rows_of(value: Tensor, nodes: int, graphs: int) -> int:
    rows = value.size(0) if value.dim() else 1
    if rows not in (nodes, graphs):
        raise ValueError(
            f"the backbone must give a row per node ({nodes}) or per graph ({graphs}) of the batch it is given, got "
            f"shape {list(value.shape)}; a backbone that pools must take 'batch'"
        )
    return rows
