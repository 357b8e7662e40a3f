"""Any PyG module made invariant or equivariant by averaging over frames of its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from graphkit.nn.folding import FoldedArguments, OutputSums, bind, forward_parameters
from graphkit.symmetry.cloud import Cloud, eigenvalue_gaps, make_cloud
from graphkit.symmetry.frames import EuclideanFrame, damp, flip, from_axes, pca_frame, qr_frame, rows_like, to_axes
from graphkit.symmetry.groups import KINDS, Euclidean
from graphkit.symmetry.mixture import POLICIES, FrameMixture, frame_mixture

Degenerate = Literal["ignore", "weighted", "blend"]
NODES_PER_CALL = 2**12
"""What a message-passing layer makes of so many nodes stays in the cache of a CPU core."""
NODES_PER_CALL_CUDA = 2**17
"""Enough to keep a GPU busy."""


class FrameAveraging(nn.Module):
    r"""Frame averaging: a backbone sees its input in the frames of a group, its outputs are turned back and averaged.

    .. math:: \langle \Phi \rangle(X) = \sum_{g \in F(X)} w_g\, \rho_2(g)\, \Phi(\rho_1(g)^{-1} X)

    With :math:`F(gX) = g F(X)` this is exactly equivariant (invariant for scalars) whatever the backbone, and keeps
    what it can express. Frames come from the cloud alone, cloud by cloud of a ragged batch, so a backbone that is
    equivariant to permutations stays so.

    Principal axes give :math:`2^d` frames (rotations alone: :math:`2^{d-1}`): the cloud is rotated once and axes
    change sign, frames are folded into the batch. They are exact only where eigenvalues differ; the published code is
    off by 0.1 at squares, tetrahedra and collinear positions and jumps there. By default (``degenerate="blend"``)
    clouds whose eigenvalues come close are averaged over more frames, built from other moments and from their points
    (:mod:`graphkit.symmetry.mixture`), with shares that make the average exact and continuous everywhere. (One
    exception that nothing can lift: what does not change with scale, f(aX) = f(X), has no continuous value at a single
    point unless f is constant, since f is constant on each line to it.) The backbone sees a cloud whose eigenvalues
    are close by chance 16 times instead of 8, one of n points whose symmetry makes two equal ``8 n`` times, with
    three ``8 n (n - 1)`` times (n counts as 32 at most, or as the points that are about as far out as the 32nd); where
    an output is a tensor, three times that. ``"ignore"`` saves all this.

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
        nodes_per_call: the backbone is called on parts of the batch, whole graphs seen in some of their frames, of
            about this many nodes: less memory, which stays in the cache. None: 4,096 nodes (GPU: 131,072) at
            evaluation, when a graph's rows depend on that graph alone; all graphs and frames at once while any module
            is in training mode, so that batch statistics are those of all. A number holds in training, too.

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
        nodes_per_call: int | None = None,
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
        if nodes_per_call is not None and nodes_per_call < 1:
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
        turns = "tensor" in self.output
        mixture = frame_mixture(
            self.group, cloud, frame, self.policy, switch=self.switch, grad=self.full_grad, turns=turns
        )
        folded = FoldedArguments(values, cloud.batch, cloud.num_graphs, self._wants)
        average = self._sampled if self.training and self.samples is not None else self._averaged
        results = average(folded, frame, mixture)
        center = frame.center if self.full_grad else frame.center.detach()
        for number, kind in enumerate(self.output):
            if kind == "position":
                value = results[number]
                moved = value.double() + rows_like(center[frame.index(value.size(0))], value)
                results[number] = moved.to(value.dtype)
        return results[0] if len(results) == 1 else tuple(results)

    def _averaged(self, folded: FoldedArguments, frame: EuclideanFrame, mixture: FrameMixture) -> list[Tensor]:
        """All frames, part by part: graphs are rotated once for all changes of sign."""
        limit = self._most_nodes(folded.batch.is_cuda)
        sums = OutputSums(folded.num_nodes, folded.num_graphs, len(self.output))
        for part in folded.parts(mixture.graph, limit):
            graphs, rotation = mixture.graph[part], mixture.rotation[part]
            whole = mixture.plain and part.numel() == folded.num_graphs
            copies, rows = (folded, None) if whole else folded.take(graphs)
            scale = frame.scale[graphs]
            axes = {
                name: to_axes(
                    value, kind, copies.graph_of_rows(copies.levels[name]), rotation, frame.center[graphs], scale
                )
                for name, kind, value in self._moved(copies)
            }
            signs = mixture.signs
            at_once = len(signs) if limit is None else max(1, limit // max(1, copies.num_nodes))
            means: list[Tensor] = []
            for some in signs.split(at_once):
                framed = {name: flip(value[None], self.inputs[name], some) for name, value in axes.items()}
                outputs = self._call(copies, framed, len(some))
                turned = [flip(value, kind, some).sum(0) for value, kind in zip(outputs, self.output, strict=True)]
                means = [a + b for a, b in zip(means, turned, strict=True)] if means else turned
            for number, (total, kind) in enumerate(zip(means, self.output, strict=True)):
                level = sums.level(number, total, copies)
                index = copies.graph_of_rows(level)
                back = damp(total / len(signs), kind, mixture.damping[part][index])
                back = from_axes(back, kind, rotation[index], scale[index])
                if not mixture.plain:
                    back = back * rows_like(mixture.weight[part][index], back).to(back)
                sums.add(number, level, back, rows)
        return sums.values

    def _most_nodes(self, cuda: bool) -> int | None:
        if self.nodes_per_call is not None or any(module.training for module in self.modules()):
            return self.nodes_per_call
        return NODES_PER_CALL_CUDA if cuda else NODES_PER_CALL

    def _sampled(self, folded: FoldedArguments, frame: EuclideanFrame, mixture: FrameMixture) -> list[Tensor]:
        """The mean over a few random frames of each graph."""
        assert self.samples is not None
        rotation, damping = mixture.draw(self.samples, folded.num_graphs)
        framed = {}
        for name, kind, value in self._moved(folded):
            index = frame.index(value.size(0))
            framed[name] = torch.stack([to_axes(value, kind, index, r, frame.center, frame.scale) for r in rotation])
        results = []
        outputs = self._call(folded, framed, rotation.size(0))
        for values, kind in zip(outputs, self.output, strict=True):
            index = frame.index(values.size(1))
            scale = frame.scale[index]
            back = [
                from_axes(damp(value, kind, m[index]), kind, r[index], scale)
                for value, r, m in zip(values, rotation, damping, strict=True)
            ]
            results.append(torch.stack(back).mean(0))
        return results

    def _moved(self, folded: FoldedArguments) -> list[tuple[str, str, Tensor]]:
        return [(name, kind, folded.values[name]) for name, kind in self.inputs.items() if kind != "scalar"]

    def _call(self, copies: FoldedArguments, framed: dict[str, Tensor], times: int) -> list[Tensor]:
        """The backbone's outputs, ``[times, n, ...]``."""
        result = self.backbone(**copies.repeat(times, framed))
        outputs = (result,) if isinstance(result, Tensor) else tuple(result)
        if len(outputs) != len(self.output):
            raise ValueError(
                f"'output' must give the kind of each of the backbone's {len(outputs)} outputs, got {len(self.output)}"
            )
        for value in outputs:
            if value.dim() == 0 or value.size(0) not in (times * copies.num_nodes, times * copies.num_graphs):
                raise ValueError(
                    f"the backbone must give a row per node ({times * copies.num_nodes}) or per graph "
                    f"({times * copies.num_graphs}) of the batch it is given, got shape {list(value.shape)}; a "
                    f"backbone that pools must take 'batch'"
                )
        return [value.reshape(times, value.size(0) // times, *value.shape[1:]) for value in outputs]

    def extra_repr(self) -> str:
        """The group and the kinds."""
        return f"group={self.group.name}, inputs={self.inputs}, output={self.output}"
