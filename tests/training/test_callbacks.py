"""SageMaker's metric lines, the progress bar, the learning rate and the best epoch."""

import io
import re

import keras
import numpy as np
import pytest
from rich.console import Console

from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.models.network import build_network
from sagemaker_semseg.models.weights import get_weights, set_weights
from sagemaker_semseg.training.callbacks import BestEpoch, LearningRate, LogLines, ProgressBar, logging_callback
from sagemaker_semseg.training.checkpoint import TrainingState, agree_on_best, load_weights
from sagemaker_semseg.training.schedules import Schedule

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


def test_another_callbacks_learning_rate_scales_the_rest_of_the_schedule():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.optimizer = keras.optimizers.SGD(1.0)
    state = TrainingState({}, samples=10)
    rate = LearningRate(state, Schedule("step", 1.0, total=4, milestones=(2,), factor=0.1))
    rate.set_model(model)
    used = []
    for epoch in range(2):
        rate.on_epoch_begin(epoch)
        for batch in range(2):
            rate.on_train_batch_begin(batch)
            used.append(float(model.optimizer.learning_rate))
            state.step += 1
        model.optimizer.learning_rate = 0.25 * float(model.optimizer.learning_rate)
        rate.on_epoch_end(epoch)
    assert used == pytest.approx([1, 1, 0.025, 0.025])
    assert state.rate_scale == pytest.approx(0.0625)


def test_the_best_epoch_is_saved(tmp_path):
    model = build_network("fcn", "resnet-18", 2)
    state = TrainingState({}, samples=10)
    best = BestEpoch(state, tmp_path / "best.safetensors", tolerance=0.0)
    best.set_model(model)
    (name,) = [name for name in get_weights(model) if name == "bn1.gamma"]
    for epoch, miou in enumerate((0.3, 0.5, 0.4)):
        set_weights(model, {**get_weights(model), name: np.full(64, epoch, np.float32)})
        state.confusion = np.array([[epoch, 1], [2, 3]])
        best.on_epoch_end(epoch, {"val_mIOU": miou})
    assert agree_on_best(tmp_path / "best.safetensors", state)
    weights, confusion = load_weights(tmp_path / "best.safetensors")
    assert (state.progress.best_epoch, confusion[0, 0], weights[name][0]) == (1, 1, 1)
