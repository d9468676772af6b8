"""The devices that a training or an evaluation uses."""

from __future__ import annotations

import contextlib
from typing import Final

import tensorflow as tf

from sagemaker_semseg.environment import cpu_count

_MAX_READERS: Final = 32


def default_strategy() -> tf.distribute.Strategy:
    """Return a strategy for all GPUs of this machine, or its CPU. GPU memory is allocated as it is needed."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # too late once TensorFlow has used the device
            tf.config.experimental.set_memory_growth(gpu, True)
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def reader_processes() -> int:
    """Return how many processes read the images: none without a GPU, since threads keep up with a CPU."""
    return min(cpu_count() - 1, _MAX_READERS) if cpu_count() > 2 and tf.config.list_physical_devices("GPU") else 0


def describe_devices() -> str:
    """Describe the devices of ``default_strategy``: ``2 x NVIDIA H200`` or ``CPU, 4 cores``."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        cores = cpu_count()
        return f"CPU, {cores} core{'s' if cores > 1 else ''}"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"{len(gpus)} x {name}"
