"""What a person or a log sees of a training: a progress bar on a terminal, SageMaker's metric lines elsewhere.

Both are ordinary Keras callbacks that ``trainer`` drives beside the user's. ``metrics.METRIC_DEFINITIONS`` turn the
lines into numbers again.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class LogLines(keras.callbacks.Callback):
    """One line per metric after every epoch, in the style of the built-in algorithms."""

    def __init__(self, host: str = "algo-1", stream: TextIO | None = None):
        super().__init__()
        self.host, self.stream = host, stream or sys.stdout

    def line(self, text: str) -> None:
        now = time.strftime("%m/%d/%Y %H:%M:%S", time.gmtime())
        print(f"[{now} INFO {os.getpid()}] {text}", file=self.stream, flush=True)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        p = self.params
        plan = f"{p['epochs']} epochs of {p['steps']} steps, from epoch {p['initial_epoch']}"
        self.line(f"training on {p['samples']} images: {plan}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
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
    """A bar with steps, loss, images per second and the time left, and one line for every finished epoch."""

    def __init__(self, console: Console | None = None):
        super().__init__()
        self.console = console or Console()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
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

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.bar.update(self.task, description=f"epoch {epoch + 1}/{self.params['epochs']}")
        self.since = (time.monotonic(), self.done)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.done += 1
        seconds = max(time.monotonic() - self.since[0], 1e-9)
        speed = (self.done - self.since[1]) * self.params["batch_size"] / seconds
        self.bar.update(self.task, completed=self.done, now=f"loss {(logs or {})['loss']:.4f}  {speed:.1f} images/s")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        width = len(str(self.params["epochs"]))
        self.bar.console.print(
            f"epoch {epoch + 1:{width}}/{self.params['epochs']}  loss {logs['loss']:.4f}  "
            f"validation mIOU {logs['val_mIOU']:.4f}  pixel accuracy {logs['val_pixel_accuracy']:.4f}",
            highlight=False,
        )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.bar.stop()


def logging_callback(host: str = "algo-1") -> keras.callbacks.Callback:
    """A progress bar if standard output is a terminal, metric lines if it isn't."""
    return ProgressBar() if sys.stdout.isatty() else LogLines(host)
