"""What is printed: SageMaker's metric lines, and the bar on a terminal."""

import io
import re

import pytest
from rich.console import Console

from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.training.logging_callback import LogLines, ProgressBar, logging_callback

PARAMS = {"epochs": 4, "steps": 10, "samples": 37, "batch_size": 4, "initial_epoch": 0, "initial_step": 0}
LOGS = {
    "loss": 1.25, "learning_rate": 0.1, "throughput": 12.34, "val_mIOU": 0.4125, "val_pixel_accuracy": 0.75,
    "val_throughput": 30.0,
}  # fmt: skip


def lines():
    stream = io.StringIO()
    log = LogLines("algo-1", stream)
    log.set_params(PARAMS)
    log.on_train_begin()
    log.on_epoch_end(0, LOGS)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    "expected",
    [
        "#quality_metric: host=algo-1, epoch=0, train loss <loss>=1.25",
        "#throughput_metric: host=algo-1, train throughput=12.34 records/second",
        "#quality_metric: host=algo-1, epoch=0, validation mIOU <score>=0.4125",
        "#quality_metric: host=algo-1, epoch=0, validation pixel_accuracy <score>=0.75",
        "#throughput_metric: host=algo-1, validation throughput=30 records/second",
        "#progress_metric: host=algo-1, completed 25.0 % of epochs",
    ],
)
def test_metric_lines(expected):
    (line,) = [line for line in lines() if line.endswith(expected)]
    assert re.match(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d INFO \d+\] ", line)


def test_the_definitions_find_their_numbers():
    text = "\n".join(lines())
    found = {d["Name"]: [float(x) for x in re.findall(d["Regex"], text)] for d in METRIC_DEFINITIONS}
    assert found == {
        "train:loss": [1.25], "train:throughput": [12.34], "train:progress": [25.0], "validation:mIOU": [0.4125],
        "validation:pixel_accuracy": [0.75], "validation:throughput": [30.0],
    }  # fmt: skip
    assert all(len(d["Regex"]) <= 500 for d in METRIC_DEFINITIONS)  # SageMaker's limit


def test_small_and_large_numbers_are_still_found():
    stream = io.StringIO()
    log = LogLines(stream=stream)
    log.set_params(PARAMS)
    log.on_epoch_end(3, {**LOGS, "loss": 1.5e-7, "val_mIOU": 1.25e-05})
    for name, value in (("train:loss", 1.5e-7), ("validation:mIOU", 1.25e-05)):
        (pattern,) = [d["Regex"] for d in METRIC_DEFINITIONS if d["Name"] == name]
        assert [float(x) for x in re.findall(pattern, stream.getvalue())] == [value]


def test_the_bar_shows_steps_loss_speed_and_epochs():
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    bar = ProgressBar(console)
    bar.set_params(PARAMS)
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    for batch in range(10):
        bar.on_train_batch_end(batch, {"loss": 2.5})
    bar.bar.refresh()
    bar.on_epoch_end(0, LOGS)
    bar.on_train_end()
    text = console.file.getvalue()
    assert "epoch 1/4" in text
    assert "10/40" in text
    assert "loss 2.5000" in text
    assert "images/s" in text
    assert "validation mIOU 0.4125" in text


def test_the_terminal_decides(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert isinstance(logging_callback(), ProgressBar)
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert isinstance(logging_callback(), LogLines)
