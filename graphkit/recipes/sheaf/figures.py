"""A trained sheaf in one picture: transports on the graph, their angles, the spectrum, the energy by depth."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit import ops
from graphkit.graph import Graph
from graphkit.models import NeuralSheafDiffusion
from graphkit.models.neural_sheaf_diffusion import SheafState
from graphkit.nn.sheaf import Sheaf
from graphkit.recipes.figures import new_figure, save_figure

MAX_ROWS = 3000
"""Most rows of a Laplacian whose eigenvalues are all computed: some seconds."""

_SHEAF, _GRAPH = "#2166ac", "#9a9a9a"  # as in the other pictures: ours strong, what it is compared with grey


def draw_sheaf(
    model: NeuralSheafDiffusion,
    x: Tensor,
    edge_index: Any,
    path: str | os.PathLike[str],
    *,
    y: Tensor | None = None,
    title: str = "",
) -> Path:
    """Draws the sheaf of a network's last layer and saves the picture.

    Four panels: the graph, edges coloured by the angle of their transport (at 0 degrees the two ends agree and features
    become equal; at 180 they are opposed and features move apart), nodes by label; the distribution of the angles; the
    spectrum of the normalised sheaf Laplacian beside that of the graph's own; the features' Dirichlet energy by depth.

    Args:
        model: a trained network; it is looked at in evaluation mode.
        x: node features.
        edge_index: the graph, as for the network.
        path: where to save, as PNG, PDF or SVG by its ending; folders are made.
        y: ``[N]``, labels that colour the nodes and part the angles.
        title: the headline.

    Returns:
        The path.

    Raises:
        ValueError: if the graph is larger than can be drawn: N d beyond :data:`MAX_ROWS`.
        ImportError: if matplotlib is missing, or scipy for a graph of 500 nodes or more.

    Example:
        >>> import torch, tempfile
        >>> model = NeuralSheafDiffusion(4, 8, num_layers=2, out_channels=2, stalk_dim=2, maps="bundle")
        >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     draw_sheaf(model, torch.randn(3, 4), edge_index, folder + "/sheaf.png").name
        'sheaf.png'
    """
    figure = new_figure(14, 8)
    training = model.training
    model.eval()
    try:
        states = model.states(x, edge_index)
    finally:
        model.train(training)
    last = states[-1]
    rows = last.graph.num_nodes * last.sheaf.maps.size(1)
    if rows > MAX_ROWS:
        raise ValueError(
            f"'edge_index': the picture needs all eigenvalues of a Laplacian with N d = {rows:,} rows, at most "
            f"{MAX_ROWS:,}; draw a part of the graph, e.g. one of torch_geometric.utils.k_hop_subgraph"
        )
    panels = figure.subplot_mosaic(
        [["map", "angles"], ["map", "spectrum"], ["map", "energy"]],
        width_ratios=[1.75, 1],
        gridspec_kw={"hspace": 0.08},
    )
    labels = None if y is None else y.detach().cpu()
    transport_map(panels["map"], last.sheaf, last.graph, labels)
    angle_histogram(panels["angles"], last.sheaf, last.graph, labels)
    spectrum(panels["spectrum"], last.sheaf, last.graph)
    energy_by_depth(panels["energy"], states)
    for name in ("angles", "spectrum", "energy"):
        panels[name].spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=15)
    return save_figure(figure, path)


def transport_angles(sheaf: Sheaf, graph: Graph) -> Tensor:
    r"""The angle of the transport :math:`F_u^T F_v` of every edge, in degrees from 0 (the ends agree) to 180.

    Of orthogonal maps, the largest angle by which the transport turns; for d = 2 and 3 the angle of rotation. Of other
    maps, that between the two as vectors, :math:`\arccos(\langle F_u, F_v \rangle / \|F_u\| \|F_v\|)`, which is the
    same for rotations of the plane; 90 where a map is zero. Neither depends on the basis of the edge.

    Shapes:
        ``[E]``, in the order of the graph's edges; equal on an edge and its reverse.

    Example:
        >>> graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
        >>> transport_angles(Sheaf(torch.tensor([[1.0, 0.0], [0.0, 2.0]])), graph).tolist()
        [90.0, 90.0]
    """
    own = sheaf.maps.detach().double()
    other = own[graph.reverse]
    if sheaf.orthogonal:
        turns = torch.linalg.eigvals(own.mT @ other).angle().abs()
        return turns.amax(-1).rad2deg()
    own, other = own.flatten(1), other.flatten(1)
    return torch.nn.functional.cosine_similarity(own, other, eps=1e-12).clamp(-1, 1).acos().rad2deg()


def transport_map(axes: Any, sheaf: Sheaf, graph: Graph, y: Tensor | None = None) -> Any:
    """The graph, with edges coloured by their transport's angle, those that turn most on top.

    Args:
        axes: where to draw.
        sheaf: the maps.
        graph: with a reverse for each edge.
        y: labels that colour the nodes.
    """
    from matplotlib.collections import LineCollection

    once, angle = _undirected(sheaf, graph)
    order = angle.argsort()
    place = _layout(graph.num_nodes, once)
    lines = LineCollection(
        list(place[once.T[order]]), array=angle[order].numpy(), cmap="coolwarm", linewidths=1.8, zorder=1
    )
    top = 10 * max(1, math.ceil(float(angle.max()) / 10)) if len(angle) else 180
    lines.set_clim(0, top)
    axes.add_collection(lines)
    colors = {"c": y.numpy(), "cmap": "Set2"} if y is not None else {"c": "#444444"}
    axes.scatter(*place.T, **colors, s=42, edgecolors="black", linewidths=0.6, zorder=2)
    axes.margins(0.03)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title("Transports of the last layer" + (" (nodes: labels)" if y is not None else ""))
    bar = axes.figure.colorbar(lines, ax=axes, location="bottom", shrink=0.6, aspect=40, pad=0.01)
    ticks = np.linspace(0, top, 5)
    names = [f"{tick:g}°" for tick in ticks]
    names[0] += "\nthe ends agree"
    names[-1] += "\nthey are opposed" if top == 180 else ""
    bar.set_ticks(list(ticks), labels=names)
    return axes


def angle_histogram(axes: Any, sheaf: Sheaf, graph: Graph, y: Tensor | None = None) -> Any:
    """The distribution of the transports' angles; with labels, of edges within a class and between classes.

    Args:
        axes: where to draw.
        sheaf: the maps.
        graph: with a reverse for each edge.
        y: labels of the nodes.
    """
    once, angle = _undirected(sheaf, graph)
    bins = np.linspace(0, 180, 25)
    if y is None or not len(angle):
        axes.hist(angle.numpy(), bins=bins, color=_SHEAF)
    else:
        same = y[once[0]] == y[once[1]]
        groups = [
            (f"same label ({int(same.sum())})", angle[same]),
            (f"other label ({int((~same).sum())})", angle[~same]),
        ]
        axes.hist(
            [values.numpy() for _, values in groups],
            bins=bins,
            stacked=True,
            color=[_SHEAF, "#e08214"],
            label=[name for name, _ in groups],
        )
        axes.set_ylim(top=1.35 * axes.get_ylim()[1])  # room for the legend, wherever the bars are
        axes.legend(frameon=False, title="ends of the edge", loc="upper center", ncols=2)
    axes.set(xlim=(0, 180), xticks=[0, 45, 90, 135, 180], xlabel="angle of the transport (degrees)", ylabel="edges")
    axes.set_title("How far stalks are turned")
    return axes


def spectrum(axes: Any, sheaf: Sheaf, graph: Graph) -> Any:
    """All eigenvalues of the normalised sheaf Laplacian, ascending, beside those of the graph's own.

    Args:
        axes: where to draw.
        sheaf: the maps.
        graph: with a reverse for each edge.
    """
    plain = Sheaf(sheaf.maps.new_ones(graph.num_edges, 1))
    for name, one, color in (("graph", plain, _GRAPH), ("sheaf", sheaf, _SHEAF)):
        matrix = ops.sheaf_laplacian_matrix(
            graph, one.maps.detach().double(), normalized=True, edge_weight=_weight(one), orthogonal=one.orthogonal
        )
        values = torch.linalg.eigvalsh(matrix).clamp(min=0).cpu().numpy()
        axes.plot(np.linspace(0, 100, len(values)), values, color=color, linewidth=2, label=f"{name} Laplacian")
    axes.set(xlim=(0, 100), ylim=(0, 2), xlabel="share of eigenvalues below (%)", ylabel="eigenvalue")
    axes.set_title("Spectrum of the normalised Laplacians")
    axes.legend(frameon=False, loc="upper left")
    return axes


def energy_by_depth(axes: Any, states: Sequence[SheafState]) -> Any:
    """The features' normalised Dirichlet energy after each layer: of its sheaf, and of the graph's own Laplacian.

    Features that become equal among neighbours (oversmoothing) would bring the second to zero.

    Args:
        axes: where to draw.
        states: of :meth:`~graphkit.models.NeuralSheafDiffusion.states`.
    """
    curves = np.array([energies(state) for state in states])
    for name, values, color in (("graph", curves[:, 1], _GRAPH), ("sheaf", curves[:, 0], _SHEAF)):
        axes.plot(values, "o-", color=color, linewidth=2, label=f"{name} Laplacian")
    axes.set(xlabel="layers passed", ylabel=r"$\langle X, L X \rangle\, /\, \Vert X \Vert^2$")
    axes.set_title("Dirichlet energy by depth")
    axes.set_ylim(0, max(1.15 * curves.max(), 1e-6))
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False)
    return axes


def energies(state: SheafState) -> tuple[float, float]:
    """Dirichlet energy over squared norm of the learned stalk rows, between 0 and 2: of the sheaf, and of the graph.

    The sheaf before the first layer is that of the first layer, later that of the layer that made the features.
    """
    sheaf, graph = state.sheaf, state.graph
    d = sheaf.maps.size(1)
    x = state.features[:, :d].double()
    norm = float(x.square().sum())
    ones = x.new_ones(graph.num_edges, d)
    own = ops.sheaf_dirichlet_energy(
        x, graph, sheaf.maps.double(), normalized=True, edge_weight=_weight(sheaf), orthogonal=sheaf.orthogonal
    )
    plain = ops.sheaf_dirichlet_energy(x, graph, ones, normalized=True)
    return (float(own) / norm, float(plain) / norm) if norm > 0 else (0.0, 0.0)


def _undirected(sheaf: Sheaf, graph: Graph) -> tuple[Tensor, Tensor]:
    """Every undirected edge once ``[2, E / 2]``, without loops, and the angles of their transports, on the CPU."""
    once = graph.edge_index[0] < graph.edge_index[1]
    return graph.edge_index[:, once].cpu(), transport_angles(sheaf, graph)[once].cpu()


def _weight(sheaf: Sheaf) -> Tensor | None:
    return None if sheaf.weight is None else sheaf.weight.detach().double()


def _layout(num_nodes: int, edges: Tensor) -> np.ndarray:
    """Places ``[N, 2]``, neighbours near each other."""
    import networkx

    network = networkx.Graph()
    network.add_nodes_from(range(num_nodes))
    network.add_edges_from(edges.T.tolist())
    try:
        places = networkx.spring_layout(network, seed=0, iterations=200)
    except ImportError as error:
        raise ImportError("a picture of 500 nodes or more needs scipy: pip install 'graphkit[datasets]'") from error
    return np.array([places[node] for node in range(num_nodes)])
