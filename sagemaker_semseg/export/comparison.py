"""Compares what a runtime computes with the network that its file was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnxruntime

from sagemaker_semseg.errors import DivergedError, Fault
from sagemaker_semseg.models.network import normalize

TOLERANCE = 1e-3
"""Largest allowed difference of two logits, as a share of the largest; float32 rounding over 150 layers gives 1e-6."""

# odd sizes, to test the rounding of sizes; small ones, so that the check is quick
SIZES = ((97, 129), (1, 40), (64, 64))

Predictor = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""(1, H, W, 3) uint8 -> logits (1, C, H, W) float32."""


def onnx_predictor(graph: bytes | str) -> Predictor:
    """Returns a function that runs a graph, or the file with it, in ONNX Runtime."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return lambda image: np.asarray(session.run(["logits"], {"image": image})[0])


@dataclass(frozen=True)
class Reference:
    """A test image (1, H, W, 3) uint8, and the network's logits (1, H, W, C)."""

    image: npt.NDArray[np.uint8]
    logits: npt.NDArray[np.float32]


def references(network: keras.Model, sizes: Sequence[tuple[int, int]] = SIZES) -> list[Reference]:
    """Returns what a network computes for test images.

    Raises DivergedError if its logits aren't finite numbers, though its weights may be.
    """
    found = []
    for number, (height, width) in enumerate(sizes):
        image = _image(height, width, number)
        logits = np.asarray(keras.ops.convert_to_numpy(network(normalize(image), training=False)[0]))
        if not np.isfinite(logits).all():
            what = "for a test image they are NaN or infinite, though every weight is a finite number"
            remedy = "train again with a lower learning_rate, or a lower momentum or weight_decay"
            raise DivergedError("training has diverged: the model predicts nothing", [Fault("logits", what, remedy)])
        found.append(Reference(image, logits))
    return found


def compare(predict: Predictor, expected: Sequence[Reference]) -> dict[str, Any]:
    """Largest difference of logits and agreement of labels on test images, as ``with_graph`` describes them."""
    difference = agreeing = pixels = 0.0
    for reference in expected:
        found = np.moveaxis(predict(reference.image), 1, -1)
        # NaN must not get lost: max() of Python would drop it
        scale = max(float(np.abs(reference.logits).max()), 1e-30)
        difference = float(np.maximum(difference, np.abs(found - reference.logits).max() / scale))
        agreeing += float((found.argmax(-1) == reference.logits.argmax(-1)).sum())
        pixels += reference.logits[..., 0].size
    sizes = [list(reference.image.shape[1:3]) for reference in expected]
    return {"max_difference": difference, "argmax_agreement": agreeing / pixels, "images": sizes}


def _image(height: int, width: int, seed: int) -> np.ndarray:
    """Return (1, height, width, 3) uint8: smooth on the left, noise on the right."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    smooth = np.add.outer(np.arange(height) * 2, np.arange(width))[:, :, None] + np.array([0, 60, 120])
    share = np.linspace(0, 1, width)[None, :, None]
    return np.asarray(noise * share + smooth % 256 * (1 - share), np.uint8)[None]
