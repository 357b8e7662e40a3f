"""``ForwardTrainer``: trains a stack of convolutions without a gradient that crosses a layer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch_geometric import seed_everything
from torch_geometric.data import Data

from graphkit.train.distributed import Share, current_share
from graphkit.train.forward.base import GreedyRule
from graphkit.train.forward.config import ForwardConfig
from graphkit.train.forward.data import (
    LinkSource,
    NodeSource,
    Source,
    check_features,
    check_labels,
    check_mask,
    check_pairs,
    link_setting,
    node_setting,
    without,
)
from graphkit.train.forward.layer import ForwardNetwork
from graphkit.train.forward.loop import Loop
from graphkit.train.forward.phase import GreedyPhase, MakeBatches, Phase, TopDownPhase
from graphkit.train.forward.pipeline import Pipeline
from graphkit.train.forward.progress import ForwardProgress
from graphkit.train.forward.rules import Rule, make_rule
from graphkit.train.results import EpochRecord, RunResult
from graphkit.train.schedule import MakeOptimizer
from graphkit.train.tasks.node import NodeLoaderFactory
from graphkit.train.trackers import Tracker


class ForwardTrainer:
    r"""Trains each layer by a loss of its own: no gradient crosses a layer, the memory of one layer serves any depth.

    Greedy rules train layer 1 until its validation score stops rising, freeze it, train layer 2 on its outputs, and so
    on; where a layer is a linear aggregation and a product (``GCNConv``, ``SAGEConv``, ``GraphConv``), the frozen input
    is aggregated once and an epoch is products with the rows of the loss; ``GATConv`` attends from those rows alone (a
    table of what is computed once: :mod:`graphkit.train.forward`). Top-down rules advance all layers at once, each
    reading what its neighbours said a step before. Predictions are votes of all layers.

    ======================== ======== ==========================================================================
    rule                     kind     what a layer learns
    ======================== ======== ==========================================================================
    ``sf``                   greedy   nodes have the largest product with the node of their class
    ``sf-top-to-loss``       top-down the same, of the mean with the states of all layers above
    ``sf-top-to-input``      top-down the same; a layer also reads the state of the layer above
    ``ff-la``                greedy   high goodness with right labels in the features, low with wrong ones
    ``ff-vn``                greedy   high goodness in the graph with right class nodes, low in wrong ones
    ``symba``                greedy   higher goodness in the right graph than in the wrong ones
    ``link-ce``              greedy   cross-entropy of dot products
    ``link-ff``              greedy   high goodness of linked pairs, low of others
    ``link-symba``           greedy   higher goodness of linked pairs than of others
    ``link-ce-top-to-input`` top-down ``link-ce``; a layer also reads the state of the layer above
    ======================== ======== ==========================================================================

    Whole graphs are classified by rules for nodes, as :func:`~graphkit.train.forward.whole_graphs` prepares them.
    Labels of validation and test nodes never enter an input, whatever the rule. ``compat="official"`` restores the
    published behaviour, in which forward-forward rules are tested with validation labels.

    Args:
        rule: a name of the table, or a rule.
        convs: layers called as ``conv(x, edge_index)``, each followed by a rectifier, also the last one. The first one
            reads F channels (``ff-la``: F + K; top-to-input rules: the channels of the neighbour above besides, K at
            the top for nodes, none for links). With a greedy rule they may be lazy, ``GCNConv(-1, 64)``: each is then
            given weights, drawn from the seed and its number, when its turn comes, so that the peak of memory does not
            grow with the number of layers.
        num_classes: K; not needed for links.
        config: hyper-parameters; by default the published ones.
        virtual: features of the class nodes, ``[K, F]``; None: drawn from the seed.
        neg_classes: wrong classes of the training nodes in index order, ``[T, M]``; None: drawn from the seed.
        optimizer: makes an optimiser from one layer's parameters; None: Adam.
        loader: makes mini-batches of nodes, as :func:`~graphkit.train.neighbor_batches` and
            :func:`~graphkit.train.cluster_batches` do; None: the whole graph in each step. A layer reads its direct
            neighbours only, so that one hop is enough. Frozen features are worked out for the whole graph.
        split_index: which column of the masks to use where they have several.
        callbacks: called with every epoch's :class:`~graphkit.train.EpochRecord`.
        trackers: told about every epoch.
        checkpoint_dir: where ``last.pt`` and ``previous.pt`` go; None writes none.
        parallel: what processes that ``torchrun`` started share: ``"data"`` (the training rows; gradients are summed
            layer by layer) or ``"layers"`` (top-down rules: process r holds the r-th part of the layers, and states
            travel to its neighbours). Call :meth:`fit` inside :func:`graphkit.train.distributed`.
        **options: fields of :class:`ForwardConfig` in place of those of ``config``.

    Raises:
        ValueError: if an argument is out of range, or a layer keeps a graph, or is lazy with a top-down rule.

    Source:
        N. Park et al., "Forward Learning of Graph Neural Networks", ICLR 2024 (arXiv 2403.11004). Differences to the
        published code: no validation label is an input; one definition of goodness; top-to-loss is scored on features
        normalised as in training; class nodes are part of ``state_dict``; what is kept of a frozen input belongs to
        that input and graph.

    Example:
        >>> from torch_geometric.nn import GCNConv
        >>> from graphkit.datasets import load
        >>> data = load("karate")[0]
        >>> convs = [GCNConv(34, 16), GCNConv(16, 16)]
        >>> trainer = ForwardTrainer(rule="sf", convs=convs, num_classes=4, epochs=20, lr=0.01)
        >>> result = trainer.fit(data)
        >>> result.epochs, trainer.predict_scores(data).shape
        (40, torch.Size([34, 4]))
    """

    def __init__(
        self,
        rule: str | Rule,
        convs: Sequence[nn.Module],
        num_classes: int | None = None,
        config: ForwardConfig | None = None,
        *,
        virtual: Tensor | None = None,
        neg_classes: Tensor | None = None,
        optimizer: MakeOptimizer | None = None,
        loader: NodeLoaderFactory | None = None,
        split_index: int = 0,
        callbacks: Sequence[Callable[[EpochRecord], None]] = (),
        trackers: Sequence[Tracker] = (),
        checkpoint_dir: str | os.PathLike[str] | None = None,
        parallel: Literal["data", "layers"] = "data",
        **options: Any,
    ) -> None:
        self.rule = make_rule(rule)
        self.config = replace(ForwardConfig() if config is None else config, **options)
        self.network = ForwardNetwork(list(convs), self.config.seed)
        if not self.rule.links and (num_classes is None or num_classes < 2):
            raise ValueError(f"num_classes: got {num_classes}, expected at least 2 with a rule for nodes")
        if loader is not None and not self.rule.batched:
            raise ValueError("loader: got one with a rule that has no mini-batches, expected None, or sf or ff-*")
        if parallel == "layers" and isinstance(self.rule, GreedyRule):
            raise ValueError("parallel: got 'layers' with a greedy rule, whose layers wait for each other; use 'data'")
        if not isinstance(self.rule, GreedyRule) and any(layer.lazy for layer in self.network.layers):
            raise ValueError(
                "convs: got a lazy layer with a top-down rule, whose layers are all there from the start and read each "
                "other's states; expected its number of input channels"
            )
        if parallel not in ("data", "layers"):
            raise ValueError(f"parallel: got '{parallel}', expected 'data' or 'layers'")
        if virtual is not None:
            if virtual.dim() != 2 or virtual.size(0) != num_classes:
                raise ValueError(f"virtual: got shape {list(virtual.shape)}, expected [{num_classes}, F]")
            self.network.virtual = virtual.clone()
        self.num_classes = 0 if num_classes is None else num_classes
        self.neg_classes, self.optimizer, self.loader = neg_classes, optimizer, loader
        self.split_index, self.parallel = split_index, parallel
        self.callbacks, self.trackers = tuple(callbacks), tuple(trackers)
        self.checkpoint_dir = None if checkpoint_dir is None else Path(checkpoint_dir)

    def fit(self, data: Any, *, resume: bool = False) -> RunResult:
        """Trains, and leaves every layer with the weights of its best validation.

        Sets the seeds of Python, NumPy and torch to ``config.seed``. A run that was killed and is resumed ends with the
        weights of one that was not, bit for bit.

        Args:
            data: a graph with ``x``, ``edge_index``, ``y`` and masks; with rules for links the three graphs of
                ``RandomLinkSplit``.
            resume: go on from ``checkpoint_dir/last.pt`` if it is there.

        Returns:
            Scores of the best epoch of the last layer; ``metrics`` holds ``"test/depth-1"``, ``"val/depth-1"`` and so
            on: a greedy network contains all shallower ones.

        Raises:
            ValueError: if the data lack something, the checkpoint is of another run, or the loss becomes NaN or
                infinite before any validation (after one, training of that layer stops with a warning and the best
                weights are kept).
        """
        config, share, device = self.config, current_share(), self.config.torch_device()
        self.network.to(device)
        data = _to(data, device)
        seed_everything(config.seed)
        source = self._source(data)
        pipeline = Pipeline(len(self.network.layers), share) if self.parallel == "layers" else None
        share.same_weights(self.network)
        rows = share if pipeline is None else Share()
        setting = source.training(rows)
        folder = self.checkpoint_dir
        if folder is not None and pipeline is not None and share.size > 1:
            folder = folder / f"rank-{share.rank}"
        loop = Loop(
            self.network,
            self.rule,
            source,
            config,
            lambda: self._phase(setting, pipeline, data),
            rows,
            self.optimizer,
            self.trackers if share.first else (),
            self.callbacks,
            folder,
            lambda value: max(share.gather_objects(value)),
            share.first or pipeline is not None,
        )
        progress = loop.run(resume)
        if pipeline is not None:
            pipeline.collect(self.network)
        self.network.eval()
        result = self._result(source, progress)
        for tracker in loop.trackers:
            tracker.finish(result)
        return result

    @torch.no_grad()
    def predict_scores(self, data: Any, mask: Tensor | None = None, known_mask: Tensor | None = None) -> Tensor:
        """Scores of classes for every node, ``[N, K]``, or of the pairs ``edge_label_index``, ``[P]``.

        Args:
            data: a graph; for links with ``edge_label_index`` (``edge_label`` is not read).
            mask: the nodes to predict. Forward-forward rules let all of them pretend to be of one class at a time, so
                that scores depend on which they are; ``sf`` rules do not look at it. None: all nodes but the known.
            known_mask: whose labels are part of the input; None: ``data.train_mask`` (with ``compat="official"`` and
                a forward-forward rule validation nodes outside ``mask`` too, as the published code does).

        Raises:
            ValueError: if the data do not fit, or the trainer was neither fitted nor loaded.
        """
        device = self.config.torch_device()
        self.network.to(device).eval()
        data = _to(data, device)
        check_features(data)
        if self.rule.links:
            if data.get("edge_label") is None:
                data = data.clone()
                data.edge_label = data.x.new_zeros(data.edge_label_index.size(1))
            check_pairs(data, "data")
            return self._last(link_setting(None, data, self.config, Share()))
        if self.network.virtual is None:
            raise ValueError("predict_scores: the trainer has no class nodes yet; call fit or load_state_dict first")
        if known_mask is None and data.get("train_mask") is None:
            raise ValueError("known_mask: got None for data without train_mask, expected a mask [N] of labelled nodes")
        n = data.num_nodes
        known = check_mask(data.train_mask if known_mask is None else known_mask, n, "known_mask", self.split_index)
        if known_mask is None and self._leak and mask is not None:
            known = torch.cat([known, check_mask(data.val_mask, n, "val_mask", self.split_index)]).unique()
        check_labels(data.y, known, self.num_classes, "known_mask")
        every = torch.arange(n, device=device)
        evaluated = without(every, known) if mask is None else check_mask(mask.to(device), n, "mask")
        setting = node_setting(data, self.network, self.config, without(known, evaluated), evaluated)
        return self._last(replace(setting, rows=every))

    def state_dict(self) -> dict[str, Tensor]:
        """Weights of all layers and the features of the class nodes: all that predicting needs."""
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes in what :meth:`state_dict` gave."""
        self.network.load_state_dict(dict(state))

    @property
    def _leak(self) -> bool:
        return self.config.official and self.rule.published_leak

    def _source(self, data: Any) -> Source:
        if self.rule.links:
            return LinkSource(data, self.config)
        return NodeSource(
            data,
            self.num_classes,
            self.network,
            self.config,
            neg_classes=self.neg_classes,
            split_index=self.split_index,
            leak=self._leak,
        )

    def _phase(self, setting: Any, pipeline: Pipeline | None = None, data: Any = None) -> Phase:
        if isinstance(self.rule, GreedyRule):
            batches = None if self.loader is None or data is None else self._batches(data, self.loader)
            return GreedyPhase.first(self.rule, self.network, setting, batches)
        if pipeline is None:
            return TopDownPhase(self.rule, self.network, setting)
        return TopDownPhase(self.rule, self.network, setting, pipeline.held, pipeline, pipeline.add)

    def _batches(self, data: Data, loader: NodeLoaderFactory) -> MakeBatches:
        """Batches without features: a rule cuts out of the frozen features what it needs."""
        train = check_mask(data.train_mask, data.num_nodes, "train_mask", self.split_index)
        mask = torch.zeros(data.num_nodes, dtype=torch.bool)
        mask[train.cpu()] = True
        n_id = torch.arange(data.num_nodes)
        graph = Data(edge_index=data.edge_index.cpu(), num_nodes=data.num_nodes, train_mask=mask, node=n_id)

        def batches(generator: Generator) -> Iterator[Any]:
            for batch in loader(graph, train.cpu(), generator, current_share()):
                seeds = batch.train_mask
                if "batch_size" in batch:
                    seeds = seeds & (torch.arange(seeds.numel()) < batch.batch_size)
                made = Data(
                    edge_index=batch.edge_index,
                    n_id=batch.node,
                    seeds=seeds.nonzero().view(-1),
                    num_nodes=seeds.numel(),
                )
                yield made.to(data.edge_index.device)

        return batches

    def _votes(self, setting: Any) -> Iterator[Tensor]:
        """The votes of networks of depth 1, 2, ... (top-down: of the one network there is)."""
        phase = self._phase(setting)
        yield phase.votes()
        while isinstance(phase, GreedyPhase) and phase.number + 1 < len(self.network.layers):
            phase = phase.following()
            yield phase.votes()

    def _last(self, setting: Any) -> Tensor:
        *_, votes = self._votes(setting)
        return votes

    @torch.no_grad()
    def _result(self, source: Source, progress: ForwardProgress) -> RunResult:
        scores = {
            split: [source.score(votes, split) for votes in self._votes(source.judged(split))]
            for split in ("train", "val", "test")
        }
        depths = range(1, len(scores["test"]) + 1) if isinstance(self.rule, GreedyRule) else (len(self.network.layers),)
        metrics = {
            f"{split}/depth-{depth}": score
            for split in ("val", "test")
            for depth, score in zip(depths, scores[split], strict=True)
        }
        return RunResult(
            seed=self.config.seed,
            best_epoch=len(progress.history) - progress.epoch + (progress.stopper.epoch or progress.epoch),
            train=scores["train"][-1],
            val=scores["val"][-1],
            test=scores["test"][-1],
            seconds=sum(record.seconds for record in progress.history),
            num_parameters=sum(p.numel() for p in self.network.parameters() if p.requires_grad),
            history=tuple(progress.history),
            metrics=metrics,
        )


def _to(data: Any, device: torch.device) -> Any:
    if isinstance(data, Mapping):
        return {split: part.to(device) for split, part in data.items()}
    if hasattr(data, "to"):
        return data.to(device)
    return [part.to(device) for part in data]
