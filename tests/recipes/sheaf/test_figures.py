"""The picture of a sheaf: angles, spectra, energies, and what is too large to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch_geometric.utils import to_undirected

from graphkit import Graph, ops
from graphkit.models import NeuralSheafDiffusion, SheafODE
from graphkit.models.neural_sheaf_diffusion import SheafState
from graphkit.nn.sheaf import FAMILIES, Sheaf, make_maps, orthogonal_matrix
from graphkit.recipes.sheaf import draw_sheaf, figures

N = 20


@pytest.fixture
def graph() -> Graph:
    return Graph.from_edge_index(to_undirected(torch.randint(0, N, (2, 40))), N)


@pytest.fixture
def axes() -> Axes:
    return Figure().add_subplot()


def sheaf_of(family: Any, graph: Graph) -> Sheaf:
    sheaf: Sheaf = make_maps(family, 6, 2)(torch.randn(N, 6), graph)
    return sheaf


@pytest.mark.parametrize("d", [2, 3])
def test_angles_of_rotations_are_theirs(d: int) -> None:
    """One end turned by 30 degrees, the other by -70."""
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
    theta = torch.zeros(2, d * (d - 1) // 2)
    theta[:, 0] = torch.tensor([30.0, -70.0]) / 360
    sheaf = Sheaf(orthogonal_matrix(theta, d, "euler"), orthogonal=True)
    torch.testing.assert_close(figures.transport_angles(sheaf, graph), torch.tensor([100.0, 100.0]).double())


def test_angles_of_diagonal_and_general_maps() -> None:
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
    for maps, angle in [
        ([[1.0, 2.0], [2.0, 4.0]], 0),
        ([[1.0, 2.0], [-1.0, -2.0]], 180),
        ([[0.0, 0.0], [1.0, 1.0]], 90),
    ]:
        for form in (torch.tensor(maps), torch.tensor(maps).diag_embed()):
            found = figures.transport_angles(Sheaf(form), graph)
            torch.testing.assert_close(found, torch.full((2,), float(angle)).double(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["bundle", "general"])
def test_angles_do_not_depend_on_the_basis_of_an_edge(family: Any, graph: Graph) -> None:
    sheaf = sheaf_of(family, graph)
    q = orthogonal_matrix(torch.randn(graph.num_edges, 1), 2)
    q = torch.where((graph.edge_index[0] < graph.edge_index[1])[:, None, None], q, q[graph.reverse])
    angles = figures.transport_angles(sheaf, graph)
    torch.testing.assert_close(angles, angles[graph.reverse])
    turned = sheaf._replace(maps=q @ sheaf.maps)
    torch.testing.assert_close(figures.transport_angles(turned, graph), angles, atol=0.05, rtol=0)


def test_the_spectrum_is_that_of_the_operator(graph: Graph, axes: Axes) -> None:
    sheaf = sheaf_of("general", graph)
    figures.spectrum(axes, sheaf, graph)
    plain, own = (np.asarray(line.get_ydata()) for line in axes.lines)
    assert len(plain) == N
    assert len(own) == 2 * N
    applied = ops.sheaf_laplacian(
        torch.eye(2 * N, dtype=torch.float64).view(N, 2, -1), graph, sheaf.maps.detach().double(), normalized=True
    )
    np.testing.assert_allclose(own.sum(), float(applied.view(2 * N, 2 * N).trace()), rtol=1e-9)
    assert (np.diff(own) >= 0).all()


def test_energies_of_a_section_and_of_features_that_differ(graph: Graph) -> None:
    """For identity maps both are the graph's; constant features have none without normalisation, little with it."""
    identity, x = sheaf_of("identity", graph), torch.randn(N, 3, 4)
    own, plain = figures.energies(SheafState(x, identity, graph))
    assert own == pytest.approx(plain)
    assert 0 < own < 2
    section = ops.sheaf_normalizer(graph, identity.maps.double(), normalized=True)
    assert section is not None
    flat = (1 / section)[..., None].expand(N, 2, 4)  # S^-1 1 is in the kernel of S L S
    assert figures.energies(SheafState(flat, identity, graph))[0] == pytest.approx(0, abs=1e-12)
    assert figures.energies(SheafState(torch.zeros(N, 2, 4), identity, graph)) == (0.0, 0.0)


@pytest.mark.parametrize("maps", FAMILIES)
def test_every_family_is_drawn(maps: Any, graph: Graph, tmp_path: Path) -> None:
    model = NeuralSheafDiffusion(5, 4, 2, 3, stalk_dim=2, maps=maps, low_pass=True, dropout=0.5)
    path = draw_sheaf(model, torch.randn(N, 5), graph.edge_index, tmp_path / "sheaf.svg", y=torch.arange(N) % 3)
    text = path.read_text()
    assert text.count("<path") > N
    assert model.training


def test_a_graph_without_edges_and_labels(tmp_path: Path) -> None:
    model = NeuralSheafDiffusion(5, 4, 1, 3, stalk_dim=2)
    path = draw_sheaf(model, torch.randn(3, 5), torch.empty(2, 0, dtype=torch.long), tmp_path / "empty.png")
    assert path.stat().st_size > 10_000


def test_edges_are_coloured_by_their_angle(graph: Graph, axes: Axes) -> None:
    sheaf = sheaf_of("bundle", graph)
    figures.transport_map(axes, sheaf, graph)
    (lines,) = [c for c in axes.collections if type(c).__name__ == "LineCollection"]
    drawn = np.asarray(lines.get_array())
    once = graph.edge_index[0] < graph.edge_index[1]
    np.testing.assert_allclose(drawn, figures.transport_angles(sheaf, graph)[once].sort().values.numpy())
    assert drawn.max() <= lines.get_clim()[1] <= 180


def test_what_cannot_be_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edge_index, path = torch.tensor([[0], [1]]), tmp_path / "new" / "x.png"
    model = NeuralSheafDiffusion(5, 4, 1, 3, stalk_dim=3)
    with pytest.raises(ValueError, match="with N d = 3,003 rows, at most 3,000; draw a part of the graph"):
        draw_sheaf(model, torch.randn(1001, 5), edge_index, path)
    assert not path.parent.exists()
    with pytest.raises(ValueError, match="a model with 'ode' has none"):
        draw_sheaf(NeuralSheafDiffusion(5, 4, 1, 3, ode=SheafODE()), torch.randn(3, 5), edge_index, path)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'graphkit\[plot\]'"):
        draw_sheaf(model, torch.randn(3, 5), edge_index, path)
