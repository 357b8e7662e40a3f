"""What the suite finds in PyG itself: ``graphkit report`` writes the table."""

from graphkit.testing.pyg.markdown import page
from graphkit.testing.pyg.survey import CLAIMS, Row, survey

__all__ = ["CLAIMS", "Row", "page", "survey"]
