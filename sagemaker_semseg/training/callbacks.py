"""Keras callbacks: the best epoch, the learning rate, log lines and a progress bar."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sagemaker_semseg.models.weights import get_weights
from sagemaker_semseg.training.checkpoint import TrainingState, new_best, save_weights
from sagemaker_semseg.training.schedules import Schedule

Logs = dict[str, Any] | None


class BestEpoch(keras.callbacks.Callback):
    """Saves the weights of the epoch with the highest validation mIOU, and updates the state.

    They become ``path`` when the state has been saved, too (``checkpoint.agree_on_best``). None: a host that isn't the
    chief, which writes nothing.
    """

    def __init__(self, state: TrainingState, path: Path | None, tolerance: float):
        super().__init__()
        self.state, self.path, self.tolerance = state, path, tolerance

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.state.progress.update(epoch, (logs or {})["val_mIOU"], self.tolerance) and self.path:
            assert self.state.confusion is not None  # the epoch has been validated
            weights = get_weights(self.model)
            self.state.best_checksum = save_weights(new_best(self.path), weights, self.state.confusion)


class LearningRate(keras.callbacks.Callback):
    """Sets the learning rate of each update by a schedule.

    Another callback that sets a learning rate between epochs (ReduceLROnPlateau, ...) scales the rest of the schedule.
    """

    def __init__(self, state: TrainingState, schedule: Schedule):
        super().__init__()
        self.state, self.schedule = state, schedule

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self.rate = float(model.optimizer.learning_rate.numpy())

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self.rate = float(np.float32(self.state.rate_scale * self.schedule(self.state.step)))
        self.model.optimizer.learning_rate = self.rate

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.sync_learning_rate()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.sync_learning_rate()

    def sync_learning_rate(self) -> None:
        """Scale the schedule if the optimizer's learning rate isn't the one that was set."""
        current = float(self.model.optimizer.learning_rate.numpy())
        if self.rate and current != self.rate:
            self.state.rate_scale *= current / self.rate
            self.rate = current


class LogLines(keras.callbacks.Callback):
    """Prints one line for each metric of an epoch, in the style of SageMaker's built-in algorithms.

    ``metrics.METRIC_DEFINITIONS`` match these lines.
    """

    def __init__(self, host: str = "algo-1", stream: TextIO | None = None):
        super().__init__()
        self.host, self.stream = host, stream or sys.stdout

    def line(self, text: str) -> None:
        now = time.strftime("%m/%d/%Y %H:%M:%S", time.gmtime())
        print(f"[{now} INFO {os.getpid()}] {text}", file=self.stream, flush=True)

    def on_train_begin(self, logs: Logs = None) -> None:
        p = self.params
        plan = f"{p['epochs']} epochs of {p['steps']} steps, from epoch {p['initial_epoch']}"
        self.line(f"training on {p['samples']} images: {plan}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        quality = f"#quality_metric: host={self.host}, epoch={epoch}, "
        throughput = f"#throughput_metric: host={self.host}, "
        done = 100 * (epoch + 1) / self.params["epochs"]
        self.line(f"{quality}train loss <loss>={logs['loss']:.6g}")
        self.line(f"{throughput}train throughput={logs['throughput']:.4g} records/second")
        self.line(f"{quality}validation mIOU <score>={logs['val_mIOU']:.6g}")
        self.line(f"{quality}validation pixel_accuracy <score>={logs['val_pixel_accuracy']:.6g}")
        self.line(f"{throughput}validation throughput={logs['val_throughput']:.4g} records/second")
        self.line(f"#progress_metric: host={self.host}, completed {done:.1f} % of epochs")


class ProgressBar(keras.callbacks.Callback):
    """Shows steps, loss, images per second and the time left, and prints a line for each finished epoch."""

    def __init__(self, console: Console | None = None):
        super().__init__()
        self.console = console or Console()

    def on_train_begin(self, logs: Logs = None) -> None:
        p = self.params
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[now]}"), TimeRemainingColumn(), TextColumn("left"),
            console=self.console, transient=True,
        )  # fmt: skip
        total, done = p["epochs"] * p["steps"], p["initial_step"]
        self.task = self.bar.add_task("training", total=total, completed=done, now="")
        self.done, self.since = done, (time.monotonic(), done)
        self.bar.start()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.bar.update(self.task, description=f"epoch {epoch + 1}/{self.params['epochs']}")
        self.since = (time.monotonic(), self.done)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.done += 1
        seconds = max(time.monotonic() - self.since[0], 1e-9)
        speed = (self.done - self.since[1]) * self.params["batch_size"] / seconds
        self.bar.update(self.task, completed=self.done, now=f"loss {(logs or {})['loss']:.4f}  {speed:.1f} images/s")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        width = len(str(self.params["epochs"]))
        self.bar.console.print(
            f"epoch {epoch + 1:{width}}/{self.params['epochs']}  loss {logs['loss']:.4f}  "
            f"validation mIOU {logs['val_mIOU']:.4f}  pixel accuracy {logs['val_pixel_accuracy']:.4f}",
            highlight=False,
        )

    def on_train_end(self, logs: Logs = None) -> None:
        self.bar.stop()


class StepProgress(keras.callbacks.Callback):
    """Calls a function with the number of finished steps and that of all steps, after each step."""

    def __init__(self, function: Callable[[float, float], None]):
        super().__init__()
        self.function = function

    def on_train_begin(self, logs: Logs = None) -> None:
        self.done, self.total = self.params["initial_step"], self.params["epochs"] * self.params["steps"]
        self.function(self.done, self.total)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.done += 1
        self.function(self.done, self.total)


class AfterEpoch(keras.callbacks.Callback):
    """Calls a function once an epoch's checkpoint is written: before the next epoch, and at the end."""

    def __init__(self, function: Callable[[], None]):
        super().__init__()
        self.function = function

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.function()

    def on_train_end(self, logs: Logs = None) -> None:
        self.function()


def logging_callback(host: str = "algo-1") -> keras.callbacks.Callback:
    """Make a progress bar if standard output is a terminal, log lines if it isn't."""
    return ProgressBar() if sys.stdout.isatty() else LogLines(host)
