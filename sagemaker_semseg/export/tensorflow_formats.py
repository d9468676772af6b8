"""Writes a network as a SavedModel and as a TFLite file, and runs both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagemaker_semseg.export.comparison import Predictor
from sagemaker_semseg.models.network import normalize


def write_saved_model(network: keras.Model, path: Path) -> None:
    """Writes a SavedModel with two signatures, both for images of any size.

    ``serving_default`` takes ``image`` (N, H, W, 3) uint8; ``encoded`` takes ``bytes``, one JPEG or PNG. Both return
    ``labels`` (N, H, W) uint8 and ``logits`` (N, H, W, classes) float32. TensorFlow's JPEG decoder differs from
    Pillow's by up to 7 levels, so ``encoded`` may label a few pixels in another way than the endpoint.
    """
    module = _module(network)

    def run(image: Any) -> dict[str, Any]:
        logits = module.logits(image)
        return {"labels": tf.cast(tf.argmax(logits, -1), tf.uint8), "logits": logits}

    def run_encoded(data: Any) -> dict[str, Any]:
        return run(tf.io.decode_image(data, 3, expand_animations=False)[None])

    module.run = tf.function(run, input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, "image")])
    module.encoded = tf.function(run_encoded, input_signature=[tf.TensorSpec((), tf.string, "bytes")])
    signatures = {"serving_default": module.run, "encoded": module.encoded}
    tf.saved_model.save(module, str(path), signatures=signatures)


def load_saved_model(path: Path) -> Predictor:
    """Returns a function that runs the SavedModel's default signature."""
    model = tf.saved_model.load(str(path))  # just written here
    signature = model.signatures["serving_default"]

    def predict(image: np.ndarray) -> np.ndarray:
        assert model  # its variables live as long as it does
        return np.moveaxis(signature(image=tf.constant(image))["logits"].numpy(), -1, 1)

    return predict


def write_tflite(network: keras.Model, path: Path, *, int8: bool = False) -> None:
    """Writes a TFLite file: (1, H, W, 3) uint8 to logits (1, H, W, classes) float32, H and W of any size.

    int8: The weights are int8, a scale for each output channel; activations are quantized when the file runs, with the
    range of each tensor. So no calibration is needed, and fewer labels change than with fixed ranges.
    """
    module = _module(network, batch=1)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.logits.get_concrete_function()], module)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path.write_bytes(converter.convert())


def load_tflite(path: Path) -> Predictor:
    """Returns a function that runs a TFLite file."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the interpreter has moved to a package of its own, ai-edge-litert
        interpreter = tf.lite.Interpreter(str(path))

    def predict(image: np.ndarray) -> np.ndarray:
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(taken["index"], image.shape, strict=True)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], image)
        interpreter.invoke()
        return np.moveaxis(interpreter.get_tensor(given["index"]), -1, 1)

    return predict


def _module(network: keras.Model, batch: int | None = None) -> tf.Module:
    """A module with the function ``logits`` of pixels, and the variables that it reads, as a SavedModel needs them.

    As constants of the function they would take 3.6 GB more for a ResNet-50.
    """

    @tf.function(input_signature=[tf.TensorSpec((batch, None, None, 3), tf.uint8, "image")])
    def logits(image: Any) -> Any:
        return network(normalize(image), training=False)[0]

    module = tf.Module()
    module.logits = logits
    module.weights = list(logits.get_concrete_function().graph.variables)
    return module
