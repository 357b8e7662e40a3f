"""Groups by name."""

from __future__ import annotations

import re

from graphkit.symmetry.groups import Euclidean
from graphkit.symmetry.permutations import GraphPermutation, Permutation


def group_named(name: str) -> Euclidean | Permutation | GraphPermutation:
    """The group of a name.

    ``E(d)``, ``SE(d)``, ``O(d)``, ``SO(d)``, ``T(d)``, ``Scale(d)``, ``Sim(d)``: see
    :class:`~graphkit.symmetry.Euclidean`; ``S(n)``: permutations of n rows; ``S(n) graph``: of the nodes of graphs.

    Raises:
        ValueError: if there is none of that name.

    Example:
        >>> group_named("S(4)")
        Permutation(num_rows=4)
        >>> group_named("se(2)").name
        'SE(2)'
    """
    match = re.fullmatch(r"S\((\d+)\)( GRAPH)?", name.strip().upper())
    if match is not None:
        return (GraphPermutation if match[2] else Permutation)(int(match[1]))
    return Euclidean.named(name)
