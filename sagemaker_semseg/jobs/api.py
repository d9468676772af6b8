"""Train, evaluate, quantize, export, report and predict from Python, with everything that the command line can do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sagemaker_semseg.data.channels import SPLITS
from sagemaker_semseg.jobs.prepare_training import TrainingConfig
from sagemaker_semseg.jobs.run_evaluation import EvaluationConfig, run_evaluation
from sagemaker_semseg.jobs.run_training import Callback, run_training
from sagemaker_semseg.metrics import Scores

if TYPE_CHECKING:
    from sagemaker_semseg.jobs.run_export import ExportResult
    from sagemaker_semseg.jobs.run_prediction import PredictionResult
    from sagemaker_semseg.jobs.run_quantization import QuantizationResult
    from sagemaker_semseg.training.finish import TrainingResult

Location: TypeAlias = str | os.PathLike[str]
Data: TypeAlias = Location | Mapping[str, Location]
AttributeNames: TypeAlias = Sequence[str] | Mapping[str, Sequence[str]]


def train(
    data: Data | None,
    output: Location,
    *,
    model: Location | None = None,
    pretrained_weights: Location | None = None,
    attribute_names: AttributeNames | None = None,
    validation_split: float | None = None,
    checkpoints: Location | None = None,
    model_path: Location | None = None,
    restart: bool = False,
    fifos: Location | None = None,
    tensorboard: Location | None = None,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    verbose: bool = False,
    **hyperparameters: Any,
) -> TrainingResult:
    """Train a network and write the model with the best validation mIOU.

    Args:
        data: a folder with the channels ``train``, ``train_annotation``, ``validation``, ``validation_annotation`` and,
            if the masks need one, ``label_map``; or the manifest ``train.manifest`` with ``validation.manifest`` beside
            it; or where each channel is, by name. Paths or s3:// URIs. None if all of it comes through ``fifos``.
        output: the folder for the model and the checkpoints.
        model: an earlier model that is trained further: its folder or ``model.tar.gz``.
        pretrained_weights: a file or a folder with ImageNet weights of the backbone. Without it they are downloaded,
            unless ``use_pretrained_model`` is False.
        attribute_names: a manifest's attributes for images and masks; or these by split.
        validation_split: the share of ``train``, above 0 and below 1, that is kept apart for validation where there is
            no such channel. The pairs are chosen at random by ``seed``, the same in every call.
        checkpoints: the folder of the checkpoints; ``OUTPUT/checkpoints`` if None. The same call continues from there.
        model_path: where the model is written: as an archive if the name ends in ``.tar.gz``, else as a folder.
            ``OUTPUT/model.tar.gz`` if None.
        restart: whether checkpoints are removed, and the training starts over.
        fifos: a folder in which the FIFOs of Pipe mode appear, for the splits that ``data`` doesn't have.
        tensorboard: a folder for TensorBoard's files; none are written if None.
        callbacks: Keras callbacks. They see ``loss`` after a batch, and ``loss``, ``learning_rate``, ``throughput``,
            ``val_mIOU``, ``val_pixel_accuracy`` and ``val_throughput`` after an epoch.
        quiet: whether nothing is printed.
        verbose: whether messages of TensorFlow's libraries are shown.
        **hyperparameters: as in docs/hyperparameters.md, for instance ``num_classes=3, algorithm="deeplab"``.

    Returns:
        ``artifact``, the path of the model; ``history``, the figures of each epoch; ``best_epoch``, from 0 on;
        ``scores`` of that epoch on the validation data.

    Raises:
        UserError: with everything that is wrong with hyperparameters, data and output.

    Example:
        >>> result = train("mydata", "out", num_classes=3, epochs=30)  # doctest: +SKIP
        >>> result.scores.miou  # doctest: +SKIP
        0.71
    """
    channels = {"model": model, "pretrained": pretrained_weights}
    config = TrainingConfig(
        **_data_arguments(data, attribute_names, channels),
        hyperparameters=hyperparameters,
        output=_text(output),
        validation_split=validation_split,
        checkpoints=_text(checkpoints),
        model_path=_text(model_path),
        restart=restart,
        fifos=_text(fifos),
        tensorboard=_text(tensorboard),
        quiet=quiet,
        verbose=verbose,
    )
    return run_training(config, callbacks)


def evaluate(
    model: Location,
    data: Data,
    *,
    split: str = "validation",
    attribute_names: AttributeNames | None = None,
    batch_size: int | None = None,
    precision: str = "auto",
    allow_doubtful_labels: bool = False,
    verbose: bool = False,
) -> Scores:
    """Measure a model on labeled images, every pixel at the images' own size.

    Args:
        model: a ``model.tar.gz``, a folder of its files, or the output folder of a training.
        data: as for ``train``.
        split: ``validation`` or ``train``.
        attribute_names: as for ``train``.
        batch_size: images in one step; the model's ``validation_mini_batch_size`` if None.
        precision: ``float32``, ``int8`` or ``auto``, as for ``predict``.
        allow_doubtful_labels: whether masks are taken whose labelled pixels are all of one class.
        verbose: whether messages of TensorFlow's libraries are shown.

    Returns:
        mIOU, pixel accuracy, IoU and accuracy of each class, and the confusion matrix.

    Raises:
        ArtifactError: the model can't be used.
        DataError: with everything that is wrong with the data.

    Example:
        >>> evaluate("out", "mydata").miou  # doctest: +SKIP
        0.71
    """
    config = EvaluationConfig(
        **_data_arguments(data, attribute_names),
        model=os.fspath(model),
        split=split,
        batch_size=batch_size,
        precision=precision,
        allow_doubtful_labels=allow_doubtful_labels,
        verbose=verbose,
    )
    return run_evaluation(config).scores


def write_report(
    training: Location,
    data: Data | None = None,
    output: Location | None = None,
    *,
    split: str = "validation",
    attribute_names: AttributeNames | None = None,
    price_per_hour: float | None = None,
) -> Path:
    """Write an HTML page about a training, also while it runs.

    Args:
        training: a ``model.tar.gz``, a folder of its files, the output folder of a training, or an s3:// URI.
        data: labeled images to measure and to show, as for ``train``; None for none.
        output: the page; ``report.html`` beside the model if None.
        split: ``validation`` or ``train``.
        attribute_names: as for ``train``.
        price_per_hour: of the machine that trained, for the cost.

    Returns:
        The path of the page.

    Raises:
        ArtifactError: the model can't be used.
        DataError: with everything that is wrong with the data.
        UserError: there is no training, or no epoch of it has ended.

    Example:
        >>> write_report("out", "mydata")  # doctest: +SKIP
        PosixPath('out/report.html')
    """
    from sagemaker_semseg.jobs.run_report import ReportConfig, run_report  # and ONNX Runtime

    config = ReportConfig(
        **_data_arguments(data, attribute_names),
        training=os.fspath(training),
        output=_text(output),
        split=split,
        price_per_hour=price_per_hour,
    )
    return run_report(config)


def predict(
    model: Location,
    images: Location | Sequence[Location],
    output: Location,
    *,
    accept: str = "image/png",
    overlay: bool = False,
    overwrite: bool = False,
    scales: Sequence[float] | None = None,
    flip: bool | None = None,
    tile_pixels: int | None = None,
    runtime: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> PredictionResult:
    """Write a mask, or the probabilities of all classes, for each of many images.

    A second call does only what isn't done. For arrays in memory use ``Segmenter``.

    Args:
        model: a ``model.tar.gz``, a folder of its files, the output folder of a training, or an s3:// URI.
        images: JPEG and PNG files, folders of them, or s3:// URIs.
        output: a folder or an s3:// URI.
        accept: what is written: ``image/png`` for masks, 8-bit palette PNGs whose numbers are the labels;
            ``application/x-npy`` or ``application/x-recordio-protobuf`` for probabilities, (C, H, W) float32, or
            float16 with ``;dtype=float16``.
        overlay: whether each image is also written with its labels drawn over it.
        overwrite: whether images that are done are done again.
        scales: factors by which each image is resized; the probabilities are averaged. As trained if None.
        flip: whether to average over the mirrored image, too. As trained if None.
        tile_pixels: pixels of the largest image that goes through the network whole.
        runtime: ``onnxruntime``, ``openvino`` or ``auto``.
        precision: ``float32``, ``int8`` or ``auto``: int8 where the model has such a graph and this CPU runs it fast.
        threads: one for each core if None.

    Returns:
        How many images were ``written``, ``kept`` since an earlier call did them, and ``failed``.

    Raises:
        ArtifactError: the model can't be used.
        DataError: there is no image, or one would be overwritten.
        UserError: an option is wrong, or S3 can't be used.

    Example:
        >>> predict("out", "images", "masks", overlay=True).written  # doctest: +SKIP
        12
    """
    from sagemaker_semseg.jobs.run_prediction import PredictionConfig, run_prediction  # and ONNX Runtime

    several = [images] if isinstance(images, str | os.PathLike) else images
    config = PredictionConfig(
        model=os.fspath(model),
        images=[os.fspath(image) for image in several],
        output=os.fspath(output),
        accept=accept,
        overlay=overlay,
        overwrite=overwrite,
        scales=scales,
        flip=flip,
        tile_pixels=tile_pixels,
        runtime=runtime,
        precision=precision,
        threads=threads,
    )
    return run_prediction(config)


def quantize(
    model: Location,
    data: Data,
    output: Location,
    *,
    images: int = 64,
    max_drop: float = 0.01,
    force: bool = False,
    attribute_names: AttributeNames | None = None,
) -> QuantizationResult:
    """Add an int8 graph to a model, which takes a quarter of the time on CPUs with VNNI.

    The model is written only if the int8 graph is nearly as good on the validation images: mIOU falls by at most
    ``max_drop``, the IoU of every class by at most 0.03, and at most 1 % of the labels change.

    Args:
        model: a ``model.tar.gz``, which may be in S3, a folder of its files, or the output folder of a training.
        data: as for ``train``. Training images calibrate, validation images measure.
        output: the model to be written: an archive if the name ends in ``.tar.gz``, else a folder.
        images: training images to calibrate with, evenly spread over the data set.
        max_drop: how far mIOU may fall.
        force: whether the model is written even if a limit is exceeded.
        attribute_names: as for ``train``.

    Returns:
        ``comparison.scores``, those of float32 and of int8; ``comparison.changed``, the share of labels that differ;
        ``faults``, the limits that were exceeded.

    Raises:
        QuantizationRefused: a limit is exceeded; its ``result`` has the figures.
        ArtifactError: the model can't be used, or has no graph.
        DataError: with everything that is wrong with the data.

    Example:
        >>> result = quantize("out", "mydata", "out/int8.tar.gz")  # doctest: +SKIP
        >>> [scores.miou for scores in result.comparison.scores]  # doctest: +SKIP
        [0.712, 0.711]
    """
    from sagemaker_semseg.jobs.run_quantization import QuantizationConfig, run_quantization  # and ONNX Runtime

    config = QuantizationConfig(
        **_data_arguments(data, attribute_names),
        model=os.fspath(model),
        output=os.fspath(output),
        images=images,
        max_drop=max_drop,
        force=force,
    )
    return run_quantization(config)


def export_model(
    model: Location, output: Location, format: str | None = None, *, quantize: bool = False, verbose: bool = False
) -> ExportResult:
    """Write a model for another runtime, which loads the file again; it is compared with the network.

    Args:
        model: a ``model.tar.gz``, which may be in S3, a folder of its files, or the output folder of a training.
        output: the file to be written; a folder for ``savedmodel`` and ``all``.
        format: ``onnx``, ``onnx-int8``, ``savedmodel``, ``tflite``, ``tflite-int8``, ``openvino``, ``gluoncv``,
            ``torch``, ``artifact``, or ``all`` that the model can have here. By the ending of ``output`` if None.
        quantize: whether ``onnx`` and ``tflite`` mean their int8 form.
        verbose: whether messages of TensorFlow's libraries are shown.

    Returns:
        ``paths``, the file of each format, and ``figures``, how far it is from the network.

    Raises:
        UserError: the format is unknown or needs a package that is missing, or the model has no int8 graph.
        ArtifactError: the model can't be used.
        AlgorithmError: a file differs from the network by more than rounding explains. It isn't written.

    Example:
        >>> result = export_model("out", "model.onnx")  # doctest: +SKIP
        >>> result.figures["onnx"]["argmax_agreement"]  # doctest: +SKIP
        1.0
    """
    from sagemaker_semseg.jobs.run_export import ExportConfig, run_export  # and ONNX

    config = ExportConfig(
        model=os.fspath(model), output=os.fspath(output), format=format, quantize=quantize, verbose=verbose
    )
    return run_export(config)


def _data_arguments(
    data: Data | None, attribute_names: AttributeNames | None, more: Mapping[str, Location | None] | None = None
) -> dict[str, Any]:
    """The fields ``data``, ``channels`` and ``attribute_names`` of a configuration."""
    by_name = data if isinstance(data, Mapping) else {}
    channels = {name: os.fspath(location) for name, location in {**by_name, **(more or {})}.items() if location}
    names = attribute_names or {}
    return {
        "data": None if data is None or isinstance(data, Mapping) else os.fspath(data),
        "channels": channels,
        "attribute_names": names if isinstance(names, Mapping) else dict.fromkeys(SPLITS, names),
    }


def _text(location: Location | None) -> str | None:
    return None if location is None else os.fspath(location)
