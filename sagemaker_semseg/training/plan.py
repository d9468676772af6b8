"""Checks batch size and initial weights before a training, and computes class weights. Without TensorFlow."""

from __future__ import annotations

import numpy as np

from sagemaker_semseg.architectures import ArchitectureSpec
from sagemaker_semseg.data.datasets import Datasets, FileDataset
from sagemaker_semseg.data.labels import median_frequency_weights
from sagemaker_semseg.errors import Fault, HyperparameterError
from sagemaker_semseg.hyperparameters import Hyperparameters


def check(hp: Hyperparameters, replicas: int, *, has_weights: bool) -> None:
    """Raise HyperparameterError for a training that can't start. has_weights: whether there are initial weights."""
    faults = []
    if hp.use_pretrained_model and not has_weights:
        faults.append(Fault(
            "use_pretrained_model", "is True (the default), but there are no weights to start from",
            "give some, or train from random weights with --use-pretrained-model False",
        ))  # fmt: skip
    for name in ("freeze_batch_norm", "freeze_backbone_epochs"):
        if getattr(hp, name) and not has_weights and not hp.use_pretrained_model:
            faults.append(Fault(
                name, f"is {getattr(hp, name)}, but the backbone's weights are random",
                "start from weights (use_pretrained_model, or a model), or leave it out",
            ))  # fmt: skip
    if hp.mini_batch_size % replicas:
        faults.append(Fault(
            "mini_batch_size", f"is {hp.mini_batch_size}, which {replicas} devices can't share equally",
            f"give a multiple of {replicas}",
        ))  # fmt: skip
    else:
        faults += single_value_faults(hp, replicas)
    if faults:
        raise HyperparameterError("this training can't be started", faults)


def single_value_faults(hp: Hyperparameters, replicas: int) -> list[Fault]:
    """Return the fault that a decoder which pools an image to one value is trained with one image a device.

    Batch normalization over one value gives 0 whatever the value is, and its running variance falls to 0: the training
    seems to run, and validation sees one class. PyTorch refuses it, too.
    """
    decoder = ArchitectureSpec(hp.backbone, hp.algorithm, hp.num_classes).decoder
    together = hp.mini_batch_size if hp.syncbn else hp.mini_batch_size // replicas
    if together > 1 or not decoder.pools_to_one_value:
        return []
    what = f"is {hp.mini_batch_size}" + (f" on {replicas} devices" if replicas > 1 else "")
    what += f": batch normalization after the global pooling of {hp.algorithm} needs 2 images a device at least"
    remedy = f"give {2 * replicas} or more, with a smaller crop_size if memory is short"
    remedy += ", or syncbn True" if replicas > 1 else ""
    return [Fault("mini_batch_size", what, f"{remedy}, or algorithm fcn")]


def class_weights(hp: Hyperparameters, datasets: Datasets) -> np.ndarray | None:
    """Return (num_classes,) float32, or None if all classes weigh the same."""
    if hp.class_weights == "auto":
        if not isinstance(datasets.train, FileDataset):
            raise HyperparameterError("this training can't be started", [no_counts()])
        return median_frequency_weights(datasets.train.pixel_counts, datasets.train.image_pixel_counts)
    return np.asarray(hp.class_weights, np.float32) if hp.class_weights else None


def no_counts() -> Fault:
    """Return the fault that classes can't be balanced, since the pixels of a stream haven't been counted."""
    return Fault(
        "class_weights", "is 'auto', which counts the pixels of all training masks; those of a stream are unknown",
        "give one number for every class, such as those of a training on the same files outside of Pipe mode",
    )  # fmt: skip


def no_files_to_quantize_with() -> Fault:
    """Return the fault that a stream can't be read once more after the training."""
    return Fault(
        "quantize", "is True, which reads images again after the training; those of a stream are gone then",
        "leave it out, and run sagemaker-semseg quantize on the model; or give the channels in File mode",
    )  # fmt: skip
