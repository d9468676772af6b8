"""What a training or an evaluation runs on. Called by ``trainer`` and by the command line."""

from __future__ import annotations

import contextlib

import tensorflow as tf

from sagemaker_semseg.environment import cpu_count


def default_strategy() -> tf.distribute.Strategy:
    """All GPUs of this machine, or its CPU. Takes GPU memory as it is needed and not all at once."""
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # too late once TensorFlow has used the device
            tf.config.experimental.set_memory_growth(gpu, True)
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def describe_devices() -> str:
    """The devices of ``default_strategy``, for people: ``2 x NVIDIA H200`` or ``CPU, 4 cores``."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        cores = cpu_count()
        return f"CPU, {cores} core{'s' if cores > 1 else ''}"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return f"{len(gpus)} x {name}"
