"""What a training is decided by before its first step: what can be done here, class weights, the schedule's length.

Called by ``trainer``, and by the command line before it loads TensorFlow, which this module doesn't need.
"""

from __future__ import annotations

import math

import numpy as np

from sagemaker_semseg.data.datasets import Datasets, FileDataset
from sagemaker_semseg.data.labels import median_frequency_weights
from sagemaker_semseg.errors import Fault, HyperparameterError
from sagemaker_semseg.hyperparameters import Hyperparameters
from sagemaker_semseg.training.schedules import Schedule


def check(hp: Hyperparameters, replicas: int, *, has_weights: bool) -> None:
    """Raises HyperparameterError with what can't be done. has_weights: whether there are some to start from."""
    faults = []
    if hp.use_pretrained_model and not has_weights:
        faults.append(Fault(
            "use_pretrained_model", "is True (the default), but there are no weights to start from",
            "give some, or train from random weights with --use-pretrained-model False",
        ))  # fmt: skip
    if hp.mini_batch_size % replicas:
        faults.append(Fault(
            "mini_batch_size", f"is {hp.mini_batch_size}, which {replicas} devices can't share equally",
            f"give a multiple of {replicas}",
        ))  # fmt: skip
    if faults:
        raise HyperparameterError("this training can't be started", faults)


def class_weights(hp: Hyperparameters, channels: Datasets) -> np.ndarray | None:
    """(num_classes,) float32, or None where all classes weigh the same."""
    if hp.class_weights == "auto":
        if not isinstance(channels.train, FileDataset):
            raise HyperparameterError("this training can't be started", [no_counts()])
        return median_frequency_weights(channels.train.pixel_counts, channels.train.image_pixel_counts)
    return np.asarray(hp.class_weights, np.float32) if hp.class_weights else None


def no_counts() -> Fault:
    """The fault that balancing by counts isn't possible where nothing has been counted."""
    return Fault(
        "class_weights", "is 'auto', which counts the pixels of all training masks; a stream doesn't tell them",
        "give one number for every class, such as those of a training on the same files outside of Pipe mode",
    )  # fmt: skip


def make_schedule(hp: Hyperparameters, samples: int) -> Schedule:
    """The learning-rate schedule; ``num_training_samples`` gives the length of an epoch, or else the count does."""
    steps = math.ceil((hp.num_training_samples or samples) / hp.mini_batch_size)
    return Schedule(
        kind=hp.lr_scheduler,
        base=hp.learning_rate,
        total=steps * hp.epochs,
        warmup=round(steps * hp.warmup_epochs),
        milestones=tuple(steps * epoch for epoch in hp.lr_scheduler_step),
        factor=hp.lr_scheduler_factor,
    )
