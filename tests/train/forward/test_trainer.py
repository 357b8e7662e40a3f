"""Every rule on every kind of layer: exact speed-ups, no leaks, gradients that stay in their layer, save and load."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from graphkit.train import JSONLTracker, cluster_batches, neighbor_batches, read_jsonl
from graphkit.train.forward import RULES, ForwardTrainer
from tests.train.forward.cases import CONVS, LINK_RULES, NODE_RULES, convs, data_for, graph, trainer, widths

EVERY_RULE = (*NODE_RULES, *LINK_RULES)


def weights(t: ForwardTrainer) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in t.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(value.equal(b[key]) for key, value in a.items())


def test_the_rules_are_those_tested_here() -> None:
    assert set(EVERY_RULE) == set(RULES)


@pytest.mark.parametrize(
    ("rule", "kind"),
    [(rule, kind) for rule in EVERY_RULE for kind in ("gcn", "sage", "gat")]
    + [(rule, kind) for rule in ("sf", "ff-vn", "ff-la") for kind in ("sage-sum", "graph")],
)
def test_the_fast_path_is_the_plain_one(rule: str, kind: str) -> None:
    data = data_for(rule)
    fast, plain = (trainer(rule, kind, layers=2, fast=fast, epochs=4) for fast in (True, False))
    results = [t.fit(data) for t in (fast, plain)]
    for mine, other in zip(*(result.history for result in results), strict=True):
        assert mine.loss == pytest.approx(other.loss, rel=1e-8)
    for key, value in fast.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[key], rtol=1e-8, atol=1e-8)
    judged = data["test"] if rule.startswith("link") else data
    torch.testing.assert_close(fast.predict_scores(judged), plain.predict_scores(judged), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("kind", "direction"), [("gcn", "both"), ("gcn", "to_class"), ("gat", "both"), ("gat", "to_class")]
)
def test_wide_sparse_features_are_kept_sparse(kind: str, direction: str) -> None:
    """Bags of words: the first layer's input is never made dense, with the same numbers."""
    data = graph()
    g = torch.Generator().manual_seed(0)
    data.x = (torch.rand(30, 400, generator=g) < 0.02).double() * torch.rand(30, 400, generator=g)
    for rule in ("sf", "ff-la", "ff-vn", "sf-top-to-input"):
        runs = []
        for fast in (True, False):
            layers = convs(rule, kind, 2, features=400)
            t = ForwardTrainer(rule, layers, 3, epochs=3, fast=fast, direction=direction, progress=False)
            t.fit(data)
            runs.append(t.state_dict())
        for key, value in runs[0].items():
            torch.testing.assert_close(value, runs[1][key], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", ["gcn", "gat"])
@pytest.mark.parametrize("rule", ["sf", "ff-vn", "sf-top-to-input"])
def test_a_layer_with_a_hook_is_called(rule: str, kind: str) -> None:
    """An explainer, say, is not passed by."""
    t, seen = trainer(rule, kind, layers=1, epochs=2), []
    t.network.layers[0].conv.register_message_forward_hook(lambda conv, inputs, out: seen.append(out))  # type: ignore[operator,union-attr]
    t.fit(graph())
    assert seen


@pytest.mark.parametrize("rule", NODE_RULES)
def test_no_label_of_validation_or_test_nodes_is_seen_in_training(rule: str) -> None:
    """Permuted, they change scores and nothing else; masks of validation change what is chosen, so all is kept."""
    data, other = graph(), graph()
    hidden = (~data.train_mask).nonzero().view(-1)
    other.y[hidden] = data.y[hidden.flip(0)]
    other.y[other.test_mask] = 2
    assert not other.y.equal(data.y)
    runs = []
    for each in (data, other):
        t = trainer(rule, "gcn", val_every=None)
        losses = [record.loss for record in t.fit(each).history]
        runs.append((losses, weights(t), t.predict_scores(each)))
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])
    assert runs[0][2].equal(runs[1][2])


@pytest.mark.parametrize("rule", ["ff-la", "ff-vn"])
def test_validation_labels_help_the_published_code_alone(rule: str) -> None:
    data, other = graph(), graph()
    other.y[other.val_mask] = (other.y[other.val_mask] + 1) % 3
    for compat, leaks in ((None, False), ("official", True)):
        t = trainer(rule, "sage", compat=compat, val_every=None)
        t.fit(data)
        scores = [t.predict_scores(each, each.test_mask)[each.test_mask] for each in (data, other)]
        assert scores[0].equal(scores[1]) != leaks


@pytest.mark.parametrize("rule", ["sf", "ff-vn", "ff-la", "link-ce"])
def test_a_layer_is_frozen_before_the_next_one_and_untouched_by_it(rule: str) -> None:
    data = data_for(rule)
    seen: list[dict[str, Tensor]] = []
    t = trainer(rule, callbacks=[lambda record: seen.append(weights(t))])
    before = weights(t)
    t.fit(data)
    for number in range(3):
        inside = [state for i, state in enumerate(seen) if i // 6 == number]
        for key, value in inside[-1].items():
            if key.startswith("layers."):
                mine = key.startswith(f"layers.{number}.")
                start = (before if number == 0 else seen[6 * number - 1])[key]
                if mine:
                    assert not value.equal(before[key])
                elif not key.startswith(f"layers.{number - 1}."):  # that one had its best weights put back
                    assert value.equal(start)


@pytest.mark.parametrize("rule", [*(r for r in EVERY_RULE if "top" in r)])
def test_the_loss_of_one_layer_moves_no_other(rule: str) -> None:
    """A top-down step in which one optimiser alone is allowed to act."""
    data = data_for(rule)

    class Idle(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            return None

    for number in range(3):
        made: list[int] = []

        def optimizer(parameters: Any, number: int = number, made: list[int] = made) -> torch.optim.Optimizer:
            made.append(len(made))
            return torch.optim.SGD(parameters, lr=0.1) if made[-1] == number else Idle(parameters, lr=0.1)

        t = trainer(rule, epochs=1, val_every=None, optimizer=optimizer)
        before = weights(t)
        t.fit(data)
        changed = {key.split(".")[1] for key, value in before.items() if not value.equal(t.state_dict()[key])}
        assert changed == {str(number)}


def saved(rule: str, layers: int) -> int:
    """The most bytes that any one loss of a run keeps for its backward pass."""
    most, now = [0], [0]

    def pack(tensor: Tensor) -> Tensor:
        now[0] += tensor.numel() * tensor.element_size()
        most[0] = max(most[0], now[0])
        return tensor

    def count(parameters: Any) -> torch.optim.Optimizer:
        class Count(torch.optim.SGD):
            def step(self, closure: Any = None) -> None:  # type: ignore[override]
                now[0] = 0  # the graph of this loss is gone

        return Count(parameters, lr=0.1)

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        trainer(rule, "gat", layers, epochs=2, val_every=None, optimizer=count).fit(data_for(rule))
    return most[0]


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_what_is_kept_for_backward_does_not_grow_with_depth(rule: str) -> None:
    assert 0 < saved(rule, 7) == saved(rule, 3)


@pytest.mark.parametrize("rule", ["ff-la", "ff-vn"])
def test_candidate_classes_get_scores_of_their_own(rule: str) -> None:
    """The published cached layers keep one aggregation for all inputs: all classes then have the same score."""
    data, t = graph(), trainer(rule, epochs=2)
    t.fit(data)
    scores = t.predict_scores(data, data.test_mask)[data.test_mask]
    assert float((scores.max(1).values - scores.min(1).values).min()) > 1e-6


def test_a_second_graph_owes_nothing_to_the_first() -> None:
    first, second = graph(seed=0), graph(seed=5)
    for rule in ("sf", "sf-top-to-input"):
        fresh = trainer(rule)
        fresh.fit(second)
        used = trainer(rule)
        start = weights(used)
        used.fit(first)
        used.network.load_state_dict(start | {"virtual": fresh.state_dict()["virtual"]})
        used.fit(second)
        assert same(weights(fresh), weights(used))
        # Features edited in place are new features.
        used.network.load_state_dict(start | {"virtual": fresh.state_dict()["virtual"]})
        first.x.copy_(second.x)
        first.edge_index = second.edge_index
        used.fit(first)
        assert same(weights(fresh), weights(used))


def test_a_layer_that_keeps_its_graph_is_refused() -> None:
    with pytest.raises(ValueError, match=r"convs\[0\]: got GCNConv\(cached=True\)"):
        ForwardTrainer("sf", [GCNConv(4, 4, cached=True)], 2)


def test_known_nodes_are_those_one_names() -> None:
    data, t = graph(), trainer("sf", "sage")
    t.fit(data)
    fewer = data.train_mask.clone()
    fewer[data.train_mask.nonzero()[0]] = False
    assert t.predict_scores(data).equal(t.predict_scores(data, known_mask=data.train_mask))
    assert not t.predict_scores(data).equal(t.predict_scores(data, known_mask=fewer))
    bare = Data(x=data.x, edge_index=data.edge_index, y=data.y)
    with pytest.raises(ValueError, match="known_mask: got None for data without train_mask"):
        t.predict_scores(bare)
    assert t.predict_scores(bare, known_mask=data.train_mask).equal(t.predict_scores(data))


@pytest.mark.parametrize("rule", NODE_RULES)
def test_one_training_node_per_class_is_enough(rule: str) -> None:
    data = graph()
    data.train_mask = torch.arange(30) < 3
    result = trainer(rule, layers=2, epochs=3).fit(data)
    assert all(record.loss == record.loss for record in result.history)


def test_the_single_forward_rule_reaches_its_accuracy_on_cora(real_data: Any) -> None:
    """88 to 89 % on this split with the published settings; back-propagation reaches the same."""
    pytest.importorskip("sklearn")
    from graphkit.recipes.forward.experiment import open_graph, split_nodes

    data = split_nodes(open_graph("cora", str(real_data))[0], 0)
    torch.manual_seed(0)
    t = ForwardTrainer("sf", [GCNConv(1433, 64), GCNConv(64, 64)], 7, epochs=40, lr=5e-3, progress=False, device="cpu")
    result = t.fit(data)
    assert result.metrics["test/depth-1"] > 0.84
    assert result.test > 0.86


@pytest.mark.parametrize("kind", ["gat", "deeper-gcn", "sheaf"])
@pytest.mark.parametrize("rule", NODE_RULES)
def test_any_layer_learns(rule: str, kind: str) -> None:
    data = graph()
    t = trainer(rule, kind, layers=2, epochs=8, lr=0.02, val_every=None)
    result = t.fit(data)
    first = [r for r in result.history if r.metrics.get("layer", 1) == 1]
    assert first[-1].loss < first[0].loss
    assert t.predict_scores(data).isfinite().all()


@pytest.mark.parametrize("rule", NODE_RULES)
def test_saved_and_loaded_it_predicts_the_same(rule: str) -> None:
    data, t = graph(), trainer(rule)
    t.fit(data)
    other = trainer(rule)
    other.load_state_dict(t.state_dict())
    assert other.predict_scores(data, data.test_mask).equal(t.predict_scores(data, data.test_mask))


@pytest.mark.parametrize("rule", NODE_RULES)
def test_the_order_of_edges_and_nodes_does_not_matter(rule: str) -> None:
    data, t = graph(), trainer(rule, val_every=None)
    t.fit(data)
    scores = t.predict_scores(data, data.test_mask)
    order = torch.randperm(30)
    place = order.argsort()
    moved = data.clone()
    for key in ("x", "y", "train_mask", "val_mask", "test_mask"):
        moved[key] = data[key][order]
    moved.edge_index = place[data.edge_index][:, torch.randperm(data.edge_index.size(1))]
    torch.testing.assert_close(t.predict_scores(moved, moved.test_mask), scores[order])


def test_renaming_classes_renames_scores() -> None:
    data, new = graph(), torch.tensor([2, 0, 1])
    renamed = data.clone()
    renamed.y = new[data.y]
    virtual = torch.randn(3, 6, dtype=torch.float64)
    scores = []
    for each, features in ((data, virtual), (renamed, virtual[new.argsort()])):
        t = trainer("sf", virtual=features, val_every=None)
        t.fit(each)
        scores.append(t.predict_scores(each))
    torch.testing.assert_close(scores[1][:, new], scores[0])


@pytest.mark.parametrize("rule", ["sf", "ff-la", "ff-vn", "symba"])
def test_one_batch_with_all_neighbours_is_the_whole_graph(rule: str) -> None:
    """For layers that look at neighbours alone (GCN's degrees are those of the batch)."""
    data = graph()
    whole, batched = trainer(rule, "sage"), trainer(rule, "sage", loader=neighbor_batches([-1], 64))
    a, b = whole.fit(data), batched.fit(data)
    if rule == "ff-la":  # class nodes of the others hear from all training nodes too
        for mine, other in zip(a.history, b.history, strict=True):
            assert mine.loss == pytest.approx(other.loss, rel=1e-8)
    assert b.history[5].loss < b.history[0].loss


@pytest.mark.parametrize("loader", [neighbor_batches([4], 3), cluster_batches(2)])
@pytest.mark.parametrize("rule", ["sf", "ff-la", "ff-vn"])
def test_small_batches_learn(rule: str, loader: Any) -> None:
    result = trainer(rule, "gat", layers=2, loader=loader, epochs=10).fit(graph())
    assert result.history[9].loss < result.history[0].loss


@pytest.mark.parametrize("kind", ["gcn", "gat"])
@pytest.mark.parametrize("rule", ["sf", "ff-la", "ff-vn"])
def test_batches_of_bags_of_words(rule: str, kind: str) -> None:
    data = graph()
    data.x = (torch.rand(30, 400, generator=torch.Generator().manual_seed(0)) < 0.02).double()
    layers = convs(rule, kind, 1, features=400)
    t = ForwardTrainer(rule, layers, 3, epochs=10, lr=0.01, loader=neighbor_batches([4], 3), progress=False)
    history = t.fit(data).history
    assert history[9].loss < history[0].loss


def test_a_log_and_a_record_of_every_depth(tmp_path: Any) -> None:
    t = trainer("sf", trackers=[JSONLTracker(tmp_path / "log.jsonl", "sf")])
    result = t.fit(graph())
    rows = read_jsonl(tmp_path / "log.jsonl")
    assert [row["epoch"] for row in rows if row["event"] == "epoch"] == list(range(1, 19))
    assert rows[-1]["metrics"] == result.metrics
    assert set(result.metrics) == {f"{split}/depth-{d}" for split in ("val", "test") for d in (1, 2, 3)}
    assert result.metrics["test/depth-3"] == result.test


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update({"train_mask": torch.zeros(30, dtype=torch.bool)}), "train_mask: got no node"),
        (
            lambda d: d.update({"val_mask": torch.ones(29, dtype=torch.bool)}),
            r"val_mask: got torch.bool of shape \[29\]",
        ),
        (lambda d: d.update({"test_mask": torch.arange(30)}), "test_mask: got torch.int64"),
        (lambda d: d.update({"y": d.y.clamp(max=1)}), "no training node of class 2"),
        (lambda d: d.update({"y": d.y + 1}), "y: got labels from 1 to 3 in train_mask, expected integers from 0 to 2"),
        (lambda d: d.update({"x": d.x / 0}), "NaN or infinity"),
        (lambda d: d.update({"edge_index": d.edge_index + 5}), "edge_index: got nodes outside 0 to 29"),
        (lambda d: d.pop("y"), "data: got no 'y'"),
    ],
)
def test_bad_data_are_named(change: Any, message: str) -> None:
    data = graph()
    change(data)
    with pytest.raises(ValueError, match=message):
        trainer("sf").fit(data)


class Pair(GCNConv):
    def forward(self, x: Tensor, edge_index: Tensor) -> tuple[Tensor, None]:
        return x, None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ForwardTrainer("bp", convs("sf"), 3), "rule: got 'bp', expected one of sf, "),
        (lambda: ForwardTrainer("sf", [], 3), "convs: got none"),
        (lambda: ForwardTrainer("sf", convs("sf")), "num_classes: got None"),
        (lambda: ForwardTrainer("sf-top-to-loss", [GCNConv(-1, 4)], 3), "got a lazy layer with a top-down rule"),
        (lambda: ForwardTrainer("sf", [GCNConv(5, 4), nn.Identity()], 3), r"convs\[1\]: got a Identity with nothing"),
        (lambda: ForwardTrainer("sf", convs("sf"), 3, virtual=torch.ones(2, 6)), r"virtual: got shape \[2, 6\]"),
        (lambda: trainer("sf", parallel="layers"), "parallel: got 'layers' with a greedy rule"),
        (lambda: trainer("sf-top-to-loss", loader=neighbor_batches([2], 4)), "loader: got one with a rule"),
        (lambda: ForwardTrainer("sf", [Pair(6, 6)], 3).fit(graph()), "Pair returned a tuple, expected one tensor"),
        (lambda: trainer("ff-vn", neg_classes=torch.zeros(2, 2)).fit(graph()), "neg_classes: got shape"),
        (
            lambda: trainer("ff-vn", neg_classes=graph().y[graph().train_mask][:, None]).fit(graph()),
            "a node's own class",
        ),
        (lambda: trainer("sf").predict_scores(graph()), "call fit or load_state_dict first"),
        (lambda: trainer("link-ce").fit(graph()), "data: got a Data, expected the graphs"),
        (lambda: trainer("sf").fit([graph()]), "data: got a list, expected one graph"),
        (lambda: trainer("sf", epochs=0), "epochs: got 0"),
    ],
)
def test_bad_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", ["gcn", "gat", "graph"])
@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_layer_of_another_width_is_named(rule: str, kind: str) -> None:
    """As when one forgets the columns of ff-la, or the state above."""
    classes = None if rule.startswith("link") else 3
    need = widths(rule, 2)[0]
    for wrong in (need - 1, need + 1):
        layers = convs(rule, kind, 2)
        layers[0] = CONVS[kind](wrong, 8).double()
        with pytest.raises(ValueError, match=rf"convs\[0\]: got a \w+ of {wrong} input channels, expected .*{need}"):
            ForwardTrainer(rule, layers, classes, epochs=1, progress=False).fit(data_for(rule))


def test_widths_are_those_of_the_documentation() -> None:
    assert widths("sf-top-to-input", 3) == [14, 16, 11]
    assert widths("ff-la", 2) == [9, 8]
