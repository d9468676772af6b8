"""The devices that a training or an evaluation uses."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from typing import Final

import tensorflow as tf

from sagemaker_semseg.environment import cpu_count, set_tf_config
from sagemaker_semseg.errors import Fault, UserError

START_SECONDS = 120
"""For the start of TensorFlow on hosts that have met; it takes one."""

_MAX_READERS: Final = 32


def default_strategy() -> tf.distribute.Strategy:
    """Return a strategy for all GPUs of this machine, or its CPU. GPU memory is allocated as it is needed."""
    gpus = _gpus_with_memory_growth()
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def multi_host_strategy(addresses: Sequence[str], rank: int) -> tf.distribute.Strategy:
    """Return the strategy over several hosts. Waits for all of them; nothing may have used TensorFlow before.

    addresses: of each host's TensorFlow, by rank. If one of them doesn't come, SIGALRM ends this process.
    """
    set_tf_config(addresses, rank)
    _gpus_with_memory_growth()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.alarm(START_SECONDS)  # the start waits for good, holding Python's lock and deaf to other signals
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        fault = Fault("this process", str(error), "train in one that has not used TensorFlow yet")
        raise UserError("TensorFlow can't start on several hosts:", [fault]) from error
    finally:
        signal.alarm(0)
        for number, handler in handlers.items():  # TensorFlow sets one of its own for SIGTERM, which ends nothing
            signal.signal(number, handler)


def _gpus_with_memory_growth() -> list[tf.config.PhysicalDevice]:
    gpus: list[tf.config.PhysicalDevice] = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # too late once TensorFlow has used the device
            tf.config.experimental.set_memory_growth(gpu, True)
    return gpus


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
