"""Writes the figures of each epoch for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

__all__ = ["TensorBoardScalars"]

_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
    data_class=1,  # DATA_CLASS_SCALAR in TensorBoard's summary.proto
)


class TensorBoardScalars(keras.callbacks.Callback):
    """Writes event files with the tags and folders of Keras's own TensorBoard callback.

    ``train/`` has ``epoch_loss``, ``epoch_learning_rate`` and ``epoch_throughput``, ``validation/`` has ``epoch_mIOU``,
    ``epoch_pixel_accuracy`` and ``epoch_throughput``; a step is an epoch, from 0 on. Keras's callback needs the package
    tensorboard, which TensorFlow no longer installs, to write files; this one needs it to look into them alone.

    Args:
        folder: Where the event files are written, for ``tensorboard --logdir``.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder
        self._writers: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Write the figures of one epoch."""
        for name, value in (logs or {}).items():
            split, tag = ("validation", name[4:]) if name.startswith("val_") else ("train", name)
            if split not in self._writers:
                self._writers[split] = tf.summary.create_file_writer(str(self.folder / split))
            with self._writers[split].as_default(step=epoch):
                tf.summary.write(f"epoch_{tag}", tf.constant(value, tf.float32), metadata=_SCALAR)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
