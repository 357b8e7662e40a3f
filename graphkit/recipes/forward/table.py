"""Published scores of forward-only training by depth, on the data sets that graphkit opens."""

from __future__ import annotations

from collections.abc import Mapping

SOURCE = "Park et al., ICLR 2024, arXiv 2403.11004, {tables}; means of 5 runs"

# Data set -> scores in per cent of networks of 1, 2, 3 and 4 layers.
Scores = Mapping[str, tuple[float, ...]]

# fmt: off
ACCURACY: Mapping[tuple[str, str], Scores] = {
    ("backprop", "gcn"): {
        "citationfull-citeseer": (84.28, 94.28, 94.89, 94.87),
        "citationfull-cora_ml": (31.72, 86.84, 88.65, 86.61),
        "citationfull-pubmed": (63.82, 86.74, 86.98, 86.01),
    },
    ("symba", "gcn"): {
        "citationfull-citeseer": (87.33, 88.06, 88.01, 88.01),
        "citationfull-cora_ml": (82.94, 82.97, 83.37, 83.34),
        "citationfull-pubmed": (82.13, 82.1, 82.06, 82.04),
    },
    ("ff-la", "gcn"): {
        "citationfull-citeseer": (95.39, 95.86, 95.89, 95.89),
        "citationfull-cora_ml": (81.74, 63.77, 63.71, 64.54),
        "citationfull-pubmed": (81.33, 83.57, 83.88, 83.97),
    },
    ("ff-vn", "gcn"): {
        "citationfull-citeseer": (43.22, 53.31, 52.81, 54.28),
        "citationfull-cora_ml": (28.61, 28.11, 27.25, 25.81),
        "citationfull-pubmed": (51.69, 52.89, 52.96, 54.07),
    },
    ("sf", "gcn"): {
        "citationfull-citeseer": (92.6, 94.18, 94.33, 94.66),
        "citationfull-cora_ml": (87.75, 87.95, 88.15, 88.48),
        "citationfull-pubmed": (86.98, 87.61, 87.66, 87.61),
    },
    ("sf-top-to-loss", "gcn"): {
        "citationfull-citeseer": (92.62, 94.11, 94.56, 94.02),
        "citationfull-cora_ml": (87.55, 84.07, 85.64, 84.67),
        "citationfull-pubmed": (86.82, 86.59, 86.17, 85.69),
    },
    ("sf-top-to-input", "gcn"): {
        "citationfull-citeseer": (94.3, 94.78, 94.87, 94.96),
        "citationfull-cora_ml": (87.05, 86.08, 87.05, 87.68),
        "citationfull-pubmed": (77.91, 83.36, 84.01, 84.55),
    },
    ("backprop", "sage"): {
        "citationfull-citeseer": (87.28, 94.56, 95.2, 95.2),
        "citationfull-cora_ml": (42.87, 88.75, 88.21, 85.98),
        "citationfull-pubmed": (70.66, 88.42, 89.11, 88.69),
    },
    ("symba", "sage"): {
        "citationfull-citeseer": (88.53, 91.99, 93.85, 93.76),
        "citationfull-cora_ml": (87.45, 87.28, 87.21, 86.98),
        "citationfull-pubmed": (88.27, 88.33, 88.44, 88.3),
    },
    ("ff-la", "sage"): {
        "citationfull-citeseer": (95.41, 95.53, 95.58, 95.63),
        "citationfull-cora_ml": (85.41, 85.34, 85.08, 85.18),
        "citationfull-pubmed": (83.54, 83.48, 83.54, 83.5),
    },
    ("ff-vn", "sage"): {
        "citationfull-citeseer": (89.95, 93.85, 95.39, 95.56),
        "citationfull-cora_ml": (86.01, 87.68, 87.85, 87.71),
        "citationfull-pubmed": (88.83, 88.93, 88.95, 88.89),
    },
    ("sf", "sage"): {
        "citationfull-citeseer": (79.88, 89.6, 92.27, 92.74),
        "citationfull-cora_ml": (85.14, 87.35, 87.61, 87.55),
        "citationfull-pubmed": (78.49, 81.33, 82.87, 83.54),
    },
    ("sf-top-to-loss", "sage"): {
        "citationfull-citeseer": (79.39, 92.51, 94.02, 93.43),
        "citationfull-cora_ml": (84.77, 85.94, 85.28, 85.31),
        "citationfull-pubmed": (78.23, 80.84, 81.95, 82.07),
    },
    ("sf-top-to-input", "sage"): {
        "citationfull-citeseer": (90.57, 93.9, 93.4, 93.22),
        "citationfull-cora_ml": (86.08, 86.58, 86.84, 86.84),
        "citationfull-pubmed": (79.53, 83.0, 83.11, 83.32),
    },
    ("backprop", "gat"): {
        "citationfull-citeseer": (79.17, 94.18, 94.78, 94.49),
        "citationfull-cora_ml": (33.82, 80.97, 87.58, 86.04),
        "citationfull-pubmed": (63.68, 85.45, 85.86, 85.37),
    },
    ("symba", "gat"): {
        "citationfull-citeseer": (91.51, 95.01, 95.25, 95.18),
        "citationfull-cora_ml": (86.68, 87.51, 87.68, 87.38),
        "citationfull-pubmed": (88.93, 89.47, 89.6, 89.53),
    },
    ("ff-la", "gat"): {
        "citationfull-citeseer": (95.34, 95.48, 95.27, 95.37),
        "citationfull-cora_ml": (82.67, 61.8, 63.57, 63.24),
        "citationfull-pubmed": (81.62, 83.55, 83.4, 83.43),
    },
    ("ff-vn", "gat"): {
        "citationfull-citeseer": (90.99, 94.04, 95.48, 95.39),
        "citationfull-cora_ml": (84.61, 85.64, 86.48, 86.74),
        "citationfull-pubmed": (88.22, 88.77, 88.86, 88.86),
    },
    ("sf", "gat"): {
        "citationfull-citeseer": (82.06, 93.33, 93.78, 94.21),
        "citationfull-cora_ml": (66.81, 83.17, 84.34, 85.14),
        "citationfull-pubmed": (64.41, 78.41, 81.34, 82.57),
    },
    ("sf-top-to-loss", "gat"): {
        "citationfull-citeseer": (81.21, 91.96, 92.03, 91.89),
        "citationfull-cora_ml": (65.21, 79.5, 83.57, 84.17),
        "citationfull-pubmed": (63.64, 79.11, 81.71, 82.15),
    },
    ("sf-top-to-input", "gat"): {
        "citationfull-citeseer": (91.16, 94.02, 93.95, 93.83),
        "citationfull-cora_ml": (83.27, 84.51, 85.28, 84.84),
        "citationfull-pubmed": (77.24, 83.34, 83.53, 83.61),
    },
}
"""Tables 3 to 5: test accuracy by rule and convolution. Back-propagation has input rows that sum to 1."""

AUC: Mapping[tuple[str, str], Scores] = {
    ("backprop", "gcn"): {
        "citationfull-citeseer": (90.0, 84.31, 80.93, 80.05),
        "citationfull-cora_ml": (82.2, 79.86, 79.97, 79.71),
        "citationfull-pubmed": (91.83, 88.9, 89.2, 89.41),
    },
    ("link-symba", "gcn"): {
        "citationfull-citeseer": (89.83, 90.65, 90.09, 90.65),
        "citationfull-cora_ml": (87.68, 87.52, 88.02, 87.52),
        "citationfull-pubmed": (96.2, 95.56, 95.74, 95.56),
    },
    ("link-ff", "gcn"): {
        "citationfull-citeseer": (85.11, 91.94, 91.95, 91.94),
        "citationfull-cora_ml": (91.91, 92.46, 92.39, 92.46),
        "citationfull-pubmed": (96.53, 96.86, 96.87, 96.86),
    },
    ("link-ce", "gcn"): {
        "citationfull-citeseer": (89.32, 93.61, 93.49, 93.61),
        "citationfull-cora_ml": (91.77, 93.3, 93.26, 93.3),
        "citationfull-pubmed": (95.3, 96.31, 96.23, 96.31),
    },
    ("link-ce-top-to-input", "gcn"): {
        "citationfull-citeseer": (92.15, 88.39, 88.47, 88.06),
        "citationfull-cora_ml": (93.64, 91.03, 91.57, 91.53),
        "citationfull-pubmed": (96.84, 94.15, 94.03, 93.96),
    },
    ("backprop", "sage"): {
        "citationfull-citeseer": (86.46, 70.63, 68.35, 67.71),
        "citationfull-cora_ml": (65.48, 76.75, 74.65, 74.21),
        "citationfull-pubmed": (59.38, 81.41, 80.81, 77.06),
    },
    ("link-symba", "sage"): {
        "citationfull-citeseer": (73.68, 71.31, 71.34, 71.31),
        "citationfull-cora_ml": (71.12, 78.22, 78.0, 78.22),
        "citationfull-pubmed": (77.61, 77.56, 77.56, 77.56),
    },
    ("link-ff", "sage"): {
        "citationfull-citeseer": (85.31, 85.01, 85.13, 85.01),
        "citationfull-cora_ml": (89.06, 88.96, 89.0, 88.96),
        "citationfull-pubmed": (82.92, 82.69, 82.81, 82.69),
    },
    ("link-ce", "sage"): {
        "citationfull-citeseer": (87.16, 88.02, 87.94, 88.02),
        "citationfull-cora_ml": (90.36, 91.96, 91.93, 91.96),
        "citationfull-pubmed": (83.81, 87.07, 86.71, 87.07),
    },
    ("link-ce-top-to-input", "sage"): {
        "citationfull-citeseer": (75.51, 79.31, 80.15, 79.28),
        "citationfull-cora_ml": (89.39, 89.72, 89.32, 89.18),
        "citationfull-pubmed": (86.46, 85.51, 84.05, 84.71),
    },
    ("backprop", "gat"): {
        "citationfull-citeseer": (88.42, 84.83, 81.02, 77.27),
        "citationfull-cora_ml": (76.75, 77.69, 69.61, 66.04),
        "citationfull-pubmed": (81.36, 78.85, 78.59, 78.31),
    },
    ("link-symba", "gat"): {
        "citationfull-citeseer": (85.16, 86.49, 86.49, 86.49),
        "citationfull-cora_ml": (80.41, 85.03, 85.04, 85.03),
        "citationfull-pubmed": (91.96, 92.01, 91.97, 92.01),
    },
    ("link-ff", "gat"): {
        "citationfull-citeseer": (78.14, 89.64, 89.62, 89.64),
        "citationfull-cora_ml": (89.42, 90.45, 90.45, 90.45),
        "citationfull-pubmed": (92.33, 92.36, 92.36, 92.36),
    },
    ("link-ce", "gat"): {
        "citationfull-citeseer": (87.68, 90.22, 90.12, 90.22),
        "citationfull-cora_ml": (88.96, 90.98, 90.96, 90.98),
        "citationfull-pubmed": (89.22, 90.36, 90.53, 90.36),
    },
    ("link-ce-top-to-input", "gat"): {
        "citationfull-citeseer": (88.21, 84.98, 84.2, 85.06),
        "citationfull-cora_ml": (91.07, 88.87, 89.9, 89.7),
        "citationfull-pubmed": (92.38, 89.14, 89.71, 89.3),
    },
}
"""Tables 9 to 11: area under the ROC curve of links. In the greedy rows depths 2 and 4 are the same, unexplained."""
# fmt: on
