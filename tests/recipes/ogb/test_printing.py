"""OGB's output, byte for byte."""

from __future__ import annotations

import pytest

from graphkit.recipes.ogb.printing import OgbPrinter
from graphkit.recipes.ogb.scores import Scale
from graphkit.train import EpochRecord, RunResult

ROWS = [
    [(0.5, 0.4, 0.3), (0.7, 0.61238, 0.5), (0.8, 0.55, 0.6)],
    [(0.55, 0.45, 0.4), (0.6, 0.5, 0.52), (0.65, 0.65, 0.45)],
]


def result(seed, rows, metrics=False):
    history = tuple(
        EpochRecord(seed, epoch, 1.23456, *row[:2], 0.1, row[2], named(row) if metrics else {})
        for epoch, row in enumerate(rows, 1)
    )
    return RunResult(seed, 2, 0.0, 0.0, 0.0, 0.1, 1, history)


def named(row):
    first = {f"{split}/Hits@10": value for split, value in zip(("train", "val", "test"), row, strict=True)}
    return first | {f"{split}/Hits@50": 1 - value for split, value in zip(("train", "val", "test"), row, strict=True)}


def printed(names=(), metrics=False, **options):
    lines: list[str] = []
    printer = OgbPrinter(lines.append, Scale("acc"), names, **options)
    for run, rows in enumerate(ROWS):
        finished = result(5 + run, rows, metrics)
        printer.start({}, 0)
        for record in finished.history:
            printer.log(record)
        printer.finish(finished)
    printer.all_runs()
    return "\n".join(lines)


def test_node_and_graph_scripts():
    assert printed(first_seed=5) == (
        "Run: 01, Epoch: 01, Loss: 1.2346, Train: 50.00%, Valid: 40.00% Test: 30.00%\n"
        "Run: 01, Epoch: 02, Loss: 1.2346, Train: 70.00%, Valid: 61.24% Test: 50.00%\n"
        "Run: 01, Epoch: 03, Loss: 1.2346, Train: 80.00%, Valid: 55.00% Test: 60.00%\n"
        "Run 01:\nHighest Train: 80.00\nHighest Valid: 61.24\n  Final Train: 70.00\n   Final Test: 50.00\n"
        "Run: 02, Epoch: 01, Loss: 1.2346, Train: 55.00%, Valid: 45.00% Test: 40.00%\n"
        "Run: 02, Epoch: 02, Loss: 1.2346, Train: 60.00%, Valid: 50.00% Test: 52.00%\n"
        "Run: 02, Epoch: 03, Loss: 1.2346, Train: 65.00%, Valid: 65.00% Test: 45.00%\n"
        "Run 02:\nHighest Train: 65.00\nHighest Valid: 65.00\n  Final Train: 65.00\n   Final Test: 45.00\n"
        "All runs:\nHighest Train: 72.50 ± 10.61\nHighest Valid: 63.12 ± 2.66\n"
        "  Final Train: 67.50 ± 3.54\n   Final Test: 47.50 ± 3.54"
    )


def test_link_scripts_choose_an_epoch_per_metric():
    text = printed(names=("Hits@10", "Hits@50"), metrics=True, first_seed=5, log_steps=3)
    assert text.startswith(
        "Hits@10\nRun: 01, Epoch: 03, Loss: 1.2346, Train: 80.00%, Valid: 55.00%, Test: 60.00%\n"
        "Hits@50\nRun: 01, Epoch: 03, Loss: 1.2346, Train: 20.00%, Valid: 45.00%, Test: 40.00%\n---\n"
        "Hits@10\nRun 01:\nHighest Train: 80.00\nHighest Valid: 61.24\n  Final Train: 70.00\n   Final Test: 50.00\n"
        "Hits@50\nRun 01:\nHighest Train: 50.00\nHighest Valid: 60.00\n  Final Train: 50.00\n   Final Test: 70.00\n"
    )
    assert text.endswith("Hits@50\nAll runs:\nHighest Train: 47.50 ± 3.54\nHighest Valid: 57.50 ± 3.54\n"
                         "  Final Train: 47.50 ± 3.54\n   Final Test: 65.00 ± 7.07")  # fmt: skip


def test_errors_are_shown_as_they_are_and_the_lowest_is_best():
    lines: list[str] = []
    printer = OgbPrinter(lines.append, Scale("rmse", -1))
    finished = result(0, [(-1.5, -1.2, -1.3), (-1.1, -1.4, -1.6)])
    printer.log(finished.history[0])
    printer.finish(finished)
    assert lines == [
        "Run: 01, Epoch: 01, Loss: 1.2346, Train: 1.5000, Valid: 1.2000 Test: 1.3000",
        "Run 01:",
        " Lowest Train: 1.10",
        " Lowest Valid: 1.20",
        "  Final Train: 1.50",
        "   Final Test: 1.30",
    ]


def test_epochs_without_evaluation_print_nothing():
    lines: list[str] = []
    printer = OgbPrinter(lines.append, Scale("acc"))
    printer.log(EpochRecord(0, 1, 1.0, None, None, 0.1))
    assert not lines


def test_one_run_has_no_deviation():
    lines: list[str] = []
    printer = OgbPrinter(lines.append, Scale("acc"))
    printer.finish(result(0, ROWS[0]))
    printer.all_runs()
    assert lines[-1] == "   Final Test: 50.00 ± nan"


@pytest.mark.parametrize(("scale", "factor"), [(Scale("acc"), 100.0), (Scale("rmse", -1), -1.0)])
def test_factor(scale, factor):
    assert scale.factor == factor
