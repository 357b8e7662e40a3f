"""LatentGraph: features in, a graph with edge probabilities out."""

from __future__ import annotations

import inspect
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn.inits import reset

from graphkit import ops
from graphkit.graph import Graph, as_graph
from graphkit.nn.latent.base import Metric, Request, Sampler
from graphkit.nn.latent.cdgm import ContinuousDGM
from graphkit.nn.latent.ddgm import DiscreteDGM
from graphkit.nn.latent.dgg import DGG
from graphkit.nn.latent.euclidean import Euclidean
from graphkit.nn.latent.straight_through import StraightThrough
from graphkit.ops.point_sets import check_points

_SAMPLERS = {"ddgm": DiscreteDGM, "cdgm": ContinuousDGM, "straight-through": StraightThrough, "dgg": DGG}


class Latent(NamedTuple):
    """An inferred graph.

    Attributes:
        graph: every edge leads from a chosen neighbour to the point that chose it; edges of a point lie together, best
            first. ``graph.edge_attrs`` holds the next two as ``"edge_weight"`` and ``"log_prob"``.
        log_prob: ``[E]``, log-probability of each edge, differentiable.
        weight: ``[E]``, the edge's weight or probability, differentiable.
        embedding: ``[N, d]``, the latent points.
        recall: where the neighbours were searched for approximately, in evaluation: the share that was found, on a
            sample; else None.
    """

    graph: Graph
    log_prob: Tensor
    weight: Tensor
    embedding: Tensor
    recall: float | None = None


class LatentRun(NamedTuple):
    """One forward pass of a network that infers graphs.

    Attributes:
        logits: ``[N, out_channels]``.
        latents: the graphs that were inferred, first to last.
    """

    logits: Tensor
    latents: tuple[Latent, ...]


def make_sampler(sampler: str | Sampler) -> Sampler:
    """A sampler by its name: ``"ddgm"``, ``"cdgm"``, ``"straight-through"`` or ``"dgg"``; a sampler itself.

    Raises:
        ValueError: if the name is unknown.
    """
    if isinstance(sampler, Sampler):
        return sampler
    if sampler not in _SAMPLERS:
        raise ValueError(f"unknown sampler (got {sampler!r}, expected one of {', '.join(_SAMPLERS)} or a module)")
    return _SAMPLERS[sampler]()


class LatentGraph(nn.Module):
    r"""Infers a graph from features: encode, measure distances, choose neighbours.

    Points :math:`z = \mathrm{encoder}(x)` are joined with probabilities :math:`p_{ij} = \exp(-s\, c(z_i, z_j))` of a
    metric's cost c and a learned scale :math:`s = e^T`. In training, neighbours are drawn (dDGM) or chosen softly; in
    evaluation the choice is deterministic. Nothing of size N x N is ever made: see :func:`graphkit.ops.gumbel_topk`.

    One line feeds any layer::

        out = SheafConv(16, 32)(x, latent(x).graph)
        g = latent(x); out = GCNConv(16, 32)(x, g.graph.edge_index, g.weight)

    The gradient reaches encoder, metric and scale through ``weight`` (the task's loss), ``log_prob`` (the graph loss,
    :class:`~graphkit.nn.latent.GraphReward`), or both. Several sets of points go through one call with ``batch``; no
    edge joins two sets. Copies of a point are neighbours at distance 0, of which the smaller number comes first; a set
    with fewer than k other points gives fewer edges.

    Differences from the published code (github.com/lcosmo/DGM_pytorch): noise is subtracted from the costs in every
    form and decided by the seed; evaluation is deterministic (there, a mean of 10 draws); a point does not spend a slot
    on itself unless ``loop``; the scale is :math:`\exp(5 \tanh(T / 5))`, which has a gradient everywhere, where the
    published clamp of T to [-5, 5] has none outside (``compat="official"`` restores it). Noise explores, and
    may cost accuracy: ``noise="none"``, or a ``noise_scale`` that falls in training (:meth:`set_noise_scale`), is worth
    a try.

    Args:
        encoder: a module from x to points ``[N, d]``; one whose ``forward`` takes ``edge_index`` gets the given graph.
            None: x itself.
        metric: a :class:`~graphkit.nn.latent.Metric`; None: Euclidean.
        k: neighbours per point.
        sampler: ``"ddgm"``, ``"cdgm"``, ``"straight-through"``, ``"dgg"`` or a module.
        noise: ``"gumbel"`` in training, or ``"none"``.
        noise_scale: of the noise; a buffer.
        temperature: T at the start; None: 4 for the Euclidean metric, else 1.
        learn_temperature: learn it.
        loop: a point may choose itself.
        approximate_above: with more points than this in a call, search by a library that may miss some
            (``pip install 'graphkit[search]'``, :func:`graphkit.ops.nearest_neighbors`); None: always exact. It pays
            from about 50,000 points in more than 6 dimensions (:mod:`graphkit.ops.approximate`). The recall is in
            :attr:`Latent.recall`.
        compat: ``"official"`` or None.

    Shapes:
        x ``[N, ...]`` -> :class:`Latent` with up to N k edges

    Raises:
        TypeError: if encoder or metric is none.
        ValueError: if points are not finite, or an argument is out of range.

    Source: Kazi et al., arXiv 2002.04999; Borde and Kratsios, arXiv 2310.15003.

    Example:
        >>> import torch
        >>> from graphkit.nn import LatentGraph, NeuralSnowflake
        >>> latent = LatentGraph(encoder=torch.nn.Linear(8, 3), metric=NeuralSnowflake(), k=2)
        >>> latent(torch.randn(5, 8)).graph
        Graph(num_nodes=5, num_edges=10)
    """

    temperature: Tensor
    noise_scale: Tensor

    def __init__(
        self,
        encoder: nn.Module | None = None,
        metric: Metric | None = None,
        k: int = 10,
        *,
        sampler: str | Sampler = "ddgm",
        noise: Literal["gumbel", "none"] = "gumbel",
        noise_scale: float = 1.0,
        temperature: float | None = None,
        learn_temperature: bool = True,
        loop: bool = False,
        approximate_above: int | None = None,
        compat: Literal["official"] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f"'k' must be a positive int (got {k!r})")
        _check_module("encoder", encoder, nn.Module, "torch.nn.Linear(16, 4)")
        _check_module("metric", metric, Metric, "NeuralSnowflake()")
        if noise not in ("gumbel", "none"):
            raise ValueError(f"'noise' must be 'gumbel' or 'none' (got {noise!r})")
        if compat not in (None, "official"):
            raise ValueError(f"'compat' must be None or 'official' (got {compat!r})")
        self.encoder = encoder
        self.metric = Euclidean() if metric is None else metric
        self.sampler = make_sampler(sampler)
        self.k = k
        self.noise = noise
        self.loop = loop
        self.approximate_above = approximate_above
        self.compat = compat
        self.start = self.metric.temperature if temperature is None else temperature
        self._takes_graph = encoder is not None and "edge_index" in inspect.signature(encoder.forward).parameters
        value = torch.tensor(float(self.start))
        if learn_temperature:
            self.temperature = nn.Parameter(value)
        else:
            self.register_buffer("temperature", value)
        self.register_buffer("noise_scale", torch.tensor(0.0))
        self.set_noise_scale(noise_scale)

    def reset_parameters(self) -> None:
        """Draw all parameters anew; the scale of the noise stays."""
        for module in (self.encoder, self.metric, self.sampler):
            reset(module)
        with torch.no_grad():
            self.temperature.fill_(self.start)

    def set_noise_scale(self, value: float) -> None:
        """Sets the scale of the noise, e.g. lower after each epoch; it is kept in checkpoints.

        Raises:
            ValueError: if it is negative.
        """
        if not value >= 0:
            raise ValueError(f"'noise_scale' must not be negative (got {value})")
        self.noise_scale.fill_(float(value))

    @property
    def scale(self) -> Tensor:
        """The factor s of the costs."""
        t = self.temperature if self.temperature.dtype == torch.float64 else self.temperature.float()
        return t.clamp(-5, 5).exp() if self.compat == "official" else (5 * torch.tanh(t / 5)).exp()

    def forward(
        self,
        x: Tensor,
        edge_index: Any = None,
        batch: Tensor | None = None,
        *,
        seed: int | None = None,
        noise: Tensor | None = None,
    ) -> Latent:
        """Infer the graph.

        Args:
            x: features.
            edge_index: a given graph, for encoders and samplers (``"dgg"``) that use one.
            batch: integer ``[N]``, the set of each point.
            seed: of the noise; None takes a number from torch's random state.
            noise: ``[N, N]``, noise to use in the place of draws; for tests.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"'x' must be a torch.Tensor (got {type(x).__name__})")
        graph = None if edge_index is None else as_graph(edge_index, (x.size(0), x.size(0)))
        z: Tensor = self._encode(x, graph)
        if z.dim() != 2 or z.size(0) != x.size(0):
            raise ValueError(f"the encoder must give points [{x.size(0)}, d] (got {list(z.shape)})")
        points = z if z.dtype == torch.float64 else z.float()
        draws = self.training and self.noise == "gumbel"
        approximate = self.approximate_above is not None and x.size(0) > self.approximate_above
        request = Request(
            self.k,
            self.scale,
            batch,
            graph,
            self.loop,
            float(self.noise_scale) if draws or noise is not None else 0.0,
            seed,
            noise,
            approximate,
        )
        with torch.autocast(x.device.type, enabled=False):
            edge_index, log_prob, weight = self.sampler(check_points(points, "points"), self.metric, request)
        recall = None
        if approximate and not self.training and self.metric.increasing:
            found = ops.nearest_neighbors(points, self.k, batch=batch, method="approximate")
            recall = ops.neighbor_recall(points, found, batch=batch)
        attrs = {"edge_weight": weight, "log_prob": log_prob}
        inferred = Graph.from_edge_index(edge_index, x.size(0), edge_attrs=attrs, copy=False)
        return Latent(inferred, log_prob, weight, z, recall)

    def _encode(self, x: Tensor, graph: Graph | None) -> Tensor:
        if self.encoder is None:
            return x
        if not self._takes_graph:
            out: Tensor = self.encoder(x)
            return out
        if graph is None:
            raise ValueError("'edge_index' must be given: the encoder takes a graph (got None)")
        ours = type(self.encoder).__module__.startswith("graphkit.")
        given: Tensor = self.encoder(x, graph if ours else graph.edge_index)
        return given

    def extra_repr(self) -> str:
        return f"k={self.k}, noise={self.noise!r}"


def _check_module(name: str, module: object, kind: type, example: str) -> None:
    if module is not None and not isinstance(module, kind):
        got = f"the class {module.__name__}; make one" if isinstance(module, type) else type(module).__name__
        raise TypeError(f"'{name}' must be None or a {kind.__name__} such as {example} (got {got})")
