"""The properties, one file for each group of related ones; importing a file enters them in the table.

To add one: write ``@register("name", "what it says") def name(case): ...`` in the file it belongs to (or a
new one, imported here), raise :class:`~graphkit.testing.BrokenClaim` through ``case.require_same`` or
``require_equal``, and plant a layer that breaks it in ``tests/testing``.
"""

# The order of these imports is the order of the report.
# isort: off
from graphkit.testing.properties.base import PROPERTIES, SPECIAL, Property, register, resolve
from graphkit.testing.properties import relabelling, independence, degenerate, layouts
from graphkit.testing.properties import gradients, numerics, modules, explain, geometry, gauge, temporal
# isort: on

__all__ = [
    "PROPERTIES",
    "SPECIAL",
    "Property",
    "degenerate",
    "explain",
    "gauge",
    "geometry",
    "gradients",
    "independence",
    "layouts",
    "modules",
    "numerics",
    "register",
    "relabelling",
    "resolve",
    "temporal",
]
