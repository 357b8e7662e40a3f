"""Temporal tasks: published losses and steps, streams, truncation, evaluation without look-ahead."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from graphkit.graph.temporal import OneHotDegree, SnapshotSequence, Standardizer
from graphkit.models import EvolveGCN, PairClassifier, TemporalModel
from graphkit.recipes.evolvegcn.baselines import GCNGRU
from graphkit.train import (
    TemporalEdgeClassification,
    TemporalLinkPrediction,
    TemporalNodeClassification,
    TemporalRegression,
    TrainConfig,
    Trainer,
)
from graphkit.train.tasks.temporal import weighted_cross_entropy
from tests.golden import evolvegcn_golden as golden

CONFIG = TrainConfig(epochs=2, lr=0.01, weight_decay=0.0, progress=False, device="cpu")


def same(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def sequence(steps: int = 20, nodes: int = 12, seed: int = 0) -> SnapshotSequence:
    generator = torch.Generator().manual_seed(seed)
    source, target = torch.randint(nodes, (2, 15 * steps), generator=generator)
    time = torch.arange(steps).repeat_interleave(15)
    sign = torch.randint(2, (15 * steps,), generator=generator).float()
    seq = SnapshotSequence.from_events(
        source, target, time, num_nodes=nodes, undirected=True, duplicates="keep", edge_attrs={"label": sign}
    )
    return seq.with_(x=OneHotDegree(6))


def link_model(variant: str = "h", mode: str = "window") -> TemporalModel:
    return TemporalModel(EvolveGCN(6, 5, variant=variant, mode=mode), PairClassifier(5, 6))


def test_published_loss_and_head() -> None:
    arrays = golden.load("weighted_ce")
    logits = arrays["logits"].requires_grad_()
    total, count = weighted_cross_entropy(logits, arrays["labels"], arrays["class_weights"].tolist())
    same(total / count, arrays["loss"])
    (total / count).backward()
    same(logits.grad, arrays["grad_logits"])
    arrays = golden.load("edge_head")
    head, emb = PairClassifier(3, 6).double(), arrays["emb"].requires_grad_()
    names = {"hidden": "mlp.0", "out": "mlp.2"}
    head.load_state_dict({f"{a}.{p}": arrays[f"param.{b}.{p}"] for a, b in names.items() for p in ("weight", "bias")})
    out = head(emb, arrays["pairs"])
    same(out, arrays["out"])
    (out * arrays["R"]).sum().backward()
    same(emb.grad, arrays["grad_emb"])
    for a, b in names.items():
        same(head.get_submodule(a).weight.grad, arrays[f"grad.{b}.weight"])
    margins = head.margins(emb, arrays["pairs"][0])
    same(margins.gather(1, arrays["pairs"][1, :, None])[:, 0], out[:, 1] - out[:, 0])


def test_three_published_training_steps() -> None:
    """Two optimisers with one learning rate are one."""
    arrays = golden.load("train3_o")
    model = TemporalModel(
        EvolveGCN(5, 4, variant="o", mode="window", self_loops=None, normalize=False), PairClassifier(3, 6)
    ).double()
    layer = type(model.encoder.layers[0])
    model.encoder.layers[1] = layer(4, 3, mode="window", self_loops=None, normalize=False).double()
    for number, made in enumerate(model.encoder.layers):
        made.load_state_dict(golden.layer(arrays, f"init.gcn.layer{number}.", scored=False))
    for ours, theirs in (("hidden", "mlp.0"), ("out", "mlp.2")):
        for part in ("weight", "bias"):
            model.head.get_submodule(ours).get_parameter(part).data = arrays[f"init.cls.{theirs}.{part}"].clone()
    model.encoder.act.eval()  # the published run has fixed slopes
    optimizer = torch.optim.Adam(model.parameters(), lr=float(arrays["lr"]))
    steps = [step._replace(x=step.x.detach()) for step in golden.snapshots(arrays)]
    for number in range(3):
        (z,), _ = model.sequence(steps, last=True)
        logits = model.head(z, arrays["pairs"])
        same(logits, arrays[f"logits_{number}"])
        total, count = weighted_cross_entropy(logits, arrays["labels"], arrays["class_weights"].tolist())
        same(total / count, arrays["losses"][number])
        optimizer.zero_grad()
        (total / count).backward()
        optimizer.step()
    for number, made in enumerate(model.encoder.layers):
        for key, value in golden.layer(arrays, f"final.gcn.layer{number}.", scored=False).items():
            same(made.get_parameter(key).data, value)


@pytest.mark.parametrize("mode", ["window", "stream"])
@pytest.mark.parametrize("sampling", ["smart", "uniform", "historical"])
def test_link_prediction_trains(mode: str, sampling: str) -> None:
    torch.manual_seed(0)
    task = TemporalLinkPrediction(mode=mode, history=3, truncate=4, negatives=3, sampling=sampling, ranked_against=3)
    result = Trainer(link_model("h", mode), CONFIG, task=task).fit(sequence())
    assert 0.25 <= result.metrics["test/MRR against 3"] <= 1
    assert result.epochs == 2
    assert 0 < result.metrics["test/MAP"] <= 1
    assert 0 < result.metrics["test/MRR"] <= 1
    assert result.test == result.metrics["test/MAP"]


@pytest.mark.parametrize("encoder", ["h", "o", "memories"])
def test_edges_of_a_window_are_classified_among_the_nodes_it_touches(encoder: str) -> None:
    """Nodes that no step of a window touches are left out, which changes neither losses, gradients nor scores."""
    torch.manual_seed(0)
    data = sequence(steps=12).with_(x=None)
    wide = SnapshotSequence.from_events(
        *(3 * data.edges_between(0, 12)), torch.arange(12).repeat_interleave(30), num_nodes=40, duplicates="keep",
        edge_attrs={"label": data.edge_attrs["label"]},
    ).with_(x=OneHotDegree(6))  # fmt: skip
    inner = GCNGRU(6, 5) if encoder == "memories" else EvolveGCN(6, 5, variant=encoder, mode="window")
    model = TemporalModel(inner, PairClassifier(5, 6)).eval()
    found, seen = [], []
    for few in (True, False):
        task = TemporalEdgeClassification(history=2, class_weights=(0.6, 0.4), select="class0", touched_only=few)
        chunk = next(iter(task.batches(wide, torch.Generator().manual_seed(0))))
        loss, _ = task.loss(model, chunk)
        gradients = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
        found.append((loss, *gradients))
        seen.append(task.scores(model, wide, ("train", "val", "test")))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    assert seen[0] == seen[1]


def test_edges_nodes_and_values_train() -> None:
    data = sequence()
    edges = TemporalEdgeClassification(history=2, class_weights=(0.6, 0.4), select="class0")
    result = Trainer(link_model("o"), CONFIG, task=edges).fit(data)
    assert result.test == result.metrics["test/F1 class0"]
    labels = torch.randint(-1, 3, (20, 12))
    nodes = TemporalNodeClassification(history=2, class_weights=(1.0, 1.0, 1.0), select="macro")
    encoder = EvolveGCN(6, 5, variant="o", mode="window")
    result = Trainer(TemporalModel(encoder, nn.Linear(5, 3)), CONFIG, task=nodes).fit(data.with_(y=labels))
    assert 0 <= result.metrics["test/F1 macro"] <= 1
    values = torch.randn(20, 12) * 3 + 7
    values[4] = torch.nan
    scale = Standardizer.fit(values[:3])
    task = TemporalRegression(mode="stream", scale=scale)
    model = TemporalModel(EvolveGCN(6, 5, variant="h"), nn.Linear(5, 1))
    result = Trainer(model, CONFIG, task=task).fit(data.with_(y=scale(values)))
    assert result.test == result.metrics["test/-MSE"] < 0
    assert result.metrics["test/RMSE in units"] > result.metrics["test/MAE in units"] > 0


@pytest.mark.parametrize("variant", ["h", "o"])
@pytest.mark.parametrize("mode", ["window", "stream"])
def test_a_changed_future_changes_no_past_score(variant: str, mode: str) -> None:
    """Evaluation of step t: the same to the last bit whatever the steps after t (after t + 1, its label) hold."""
    data, other = sequence(), sequence(seed=1)
    task = TemporalLinkPrediction(mode=mode, history=3)
    model = link_model(variant, mode).eval()
    cut = 12
    events = [(s.edges(t), t) for s, steps in ((data, range(cut)), (other, range(cut, 20))) for t in steps]
    ends = torch.cat([edges for edges, _ in events], 1)
    time = torch.cat([torch.full((edges.size(1),), t) for edges, t in events])
    mixed = SnapshotSequence.from_events(ends[0], ends[1], time, num_nodes=12, duplicates="keep").with_(
        x=OneHotDegree(6)
    )
    steps = list(range(4, 19))
    with torch.no_grad():
        before = dict(task.embeddings(model, data, steps))
        after = dict(task.embeddings(model, mixed, steps))
    assert all(before[t].equal(after[t]) for t in range(4, cut))
    assert not before[cut].equal(after[cut])


def test_a_stream_is_the_same_in_chunks_of_any_length() -> None:
    """Without gradients, truncation changes nothing; and a window is a stream that begins with it."""
    data = sequence()
    model = link_model("h", "stream").eval()
    with torch.no_grad():
        whole, _ = model.sequence(data[:7])
        state, parts = None, []
        for part in (data[:3], data[3:5], data[5:7]):
            outs, state = model.sequence(part, state)
            parts += outs
        window = TemporalModel(EvolveGCN(6, 5, mode="window"), model.head).eval()
        window.load_state_dict(model.state_dict())
        (last,), _ = window.sequence(data[:7], last=True)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(whole[-1], last)


def test_the_state_is_detached_between_chunks() -> None:
    task = TemporalLinkPrediction(mode="stream", truncate=2, negatives=2)
    data, model = sequence(), link_model("h", "stream")
    chunks = list(task.batches(task.prepare(data, torch.device("cpu")), torch.Generator().manual_seed(0)))
    assert [chunk.first for chunk in chunks[:3]] == [True, False, False]
    for chunk in chunks[:3]:
        loss, _ = task.loss(model, chunk)
        loss.backward()  # a second backward through the first chunk would raise
    assert not task._state[0].weight.requires_grad
    other = TemporalLinkPrediction(mode="stream")
    other.recall(task.memory())
    assert other._state[1].weight.equal(task._state[1].weight)


def test_bad_data_are_refused() -> None:
    data = sequence()
    with pytest.raises(ValueError, match="expected a SnapshotSequence"):
        TemporalLinkPrediction().check([data])
    with pytest.raises(ValueError, match="expected a whole sequence"):
        TemporalLinkPrediction(history=1).check(data[2:])
    with pytest.raises(ValueError, match="without node features"):
        TemporalLinkPrediction(history=1).check(data.with_(x=None))
    with pytest.raises(ValueError, match="leave none for 'train'"):
        TemporalLinkPrediction(history=30).check(data)
    with pytest.raises(ValueError, match="expected 'window' or 'stream'"):
        TemporalLinkPrediction(mode="both")
    with pytest.raises(ValueError, match="expected 'smart'"):
        TemporalLinkPrediction(sampling="hard")
    with pytest.raises(ValueError, match="got no values 'y'"):
        TemporalRegression(history=1).check(data)
    with pytest.raises(ValueError, match="expected one of micro"):
        TemporalEdgeClassification(select="class7")


def test_a_step_without_links_neither_trains_nor_counts() -> None:
    source, target = torch.randint(8, (2, 60))
    time = torch.arange(20).repeat_interleave(3)
    kept = (time != 9) & (time != 18)
    seq = SnapshotSequence.from_events(source[kept], target[kept], time[kept], num_nodes=8, undirected=True)
    seq = seq.with_(x=OneHotDegree(6))
    task = TemporalLinkPrediction(history=2, negatives=2)
    result = Trainer(link_model(), CONFIG, task=task).fit(seq)
    assert 0 < result.metrics["test/MAP"] <= 1
