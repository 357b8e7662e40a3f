"""Forward-only training: :class:`ForwardTrainer`, its rules, and what they are made of.

Whole graphs are classified by the rules for nodes: :func:`whole_graphs`.

What is computed once while a layer learns, by the kind of its convolution and for which rules, with the numbers of
calling the layer every time (``fast=False``) to 1e-8:

================================================================ ============ ============ ============
what                                                             linear       attention    any other
================================================================ ============ ============ ============
the frozen input, with rows of length 1                          greedy       greedy       greedy
its aggregation over neighbours                                  greedy       no, changes  no
self-loops, degrees, the order of edges                          all          all          no
outputs at the rows of the loss, and no others                   greedy       greedy       no
bags of words multiplied without their zeros (lowest layer)      all          all          no
one product for all classes in columns (its lowest layer)        ff-la        ff-la        no
one pass for all graphs of right and wrong class nodes           ff-vn, symba ff-vn, symba no
the outputs of layers below, for validation too                  greedy       greedy       greedy
labels that come in from the top                                 aggregated   no           no
================================================================ ============ ============ ============

Linear are ``GCNConv``, ``SAGEConv`` (mean, sum) and ``GraphConv`` (:mod:`~graphkit.train.forward.linear`), attention is
``GATConv`` (:mod:`~graphkit.train.forward.attention`; not with ``compat="official"``). Graphs of right and wrong class
nodes give real nodes the same degrees; in a softmax, the class node's edge is one more term. Versions of ``ff-la``
above its lowest layer, and candidate classes there, have nothing in common but weights and graph: each is aggregated
once. Adam's moments go when their layer is finished. Top-down rules give every layer but the lowest a new input in each
step, and every row is somebody's input: there is no more to keep.
"""

from __future__ import annotations

from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.graphs import whole_graphs
from graphkit.train.forward.rules import RULES
from graphkit.train.forward.trainer import ForwardTrainer

__all__ = ["ForwardTrainer", "ForwardConfig", "RULES", "whole_graphs"]
