"""Segmenter: labels and probabilities of images of any size.

Images up to a limit of pixels go through the network whole, larger ones in overlapping tiles.
"""

from __future__ import annotations

import math
import os
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from sagemaker_semseg.artifact import Artifact, InferenceArtifact, locate_artifact, read_inference_artifact
from sagemaker_semseg.artifact.coarse_graph import coarse_graph, write_coarse_graph
from sagemaker_semseg.data.files import read_file
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.environment import cpu_count
from sagemaker_semseg.errors import ArtifactError, Fault, UserError
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.inference.postprocessing import to_labels, to_probabilities
from sagemaker_semseg.inference.precision import PRECISIONS, choose_graph, prefers_int8
from sagemaker_semseg.inference.runtimes import RUNTIMES, CancellationToken, LoadedGraph, Logits, Pixels, unusable
from sagemaker_semseg.inference.test_time_augmentation import AugmentedView
from sagemaker_semseg.inference.tiling import LogitRows
from sagemaker_semseg.memory import TILE_PIXELS

MIN_TILE_PIXELS = 2**16
MAX_SCALES, MIN_SCALE, MAX_SCALE = 16, 0.1, 4.0

ModelLike: TypeAlias = str | os.PathLike[str] | InferenceArtifact | Artifact
ImageLike: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | Pixels


@dataclass(frozen=True)
class InferenceOptions:
    """How a model is used; the arguments of ``Segmenter``, resolved."""

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    tile_pixels: int = TILE_PIXELS
    runtime: str = "auto"
    precision: str = "auto"
    threads: int = 0

    @classmethod
    def resolve(cls, hyperparameters: Mapping[str, str], **given: Any) -> InferenceOptions:
        """Returns the options that a model was trained with, overridden by those of ``given`` that are not None."""
        hp = resolve(hyperparameters)
        trained: dict[str, Any] = {"scales": hp.inference_scales, "flip": hp.inference_flip}
        options = {**trained, **{name: value for name, value in given.items() if value is not None}}
        return cls(**{**options, "scales": tuple(options["scales"])})

    def faults(self) -> list[Fault]:
        """Returns what is wrong with them, if anything."""
        faults = []
        if not 1 <= len(self.scales) <= MAX_SCALES or not all(MIN_SCALE <= s <= MAX_SCALE for s in self.scales):
            what = f"{', '.join(map(str, self.scales)) or 'nothing'}: 1 to {MAX_SCALES} numbers are expected"
            faults.append(Fault("scales", f"{what}, each from {MIN_SCALE} to {MAX_SCALE}"))
        if self.tile_pixels < MIN_TILE_PIXELS:
            faults.append(Fault("tile_pixels", f"{self.tile_pixels}: at least {MIN_TILE_PIXELS} are expected"))
        if self.runtime not in ("auto", *RUNTIMES):
            faults.append(Fault("runtime", f"{self.runtime!r}: there are auto, {', '.join(RUNTIMES)}"))
        if self.precision not in PRECISIONS:
            faults.append(Fault("precision", f"{self.precision!r}: there are {', '.join(PRECISIONS)}"))
        if self.threads < 0:
            faults.append(Fault("threads", f"{self.threads}: 0 (as many as there are cores) or more are expected"))
        return faults


class Segmenter:
    """A loaded model that segments images.

        segmenter = Segmenter("model/model.tar.gz", scales=(0.75, 1.0, 1.25), flip=True)
        mask = segmenter.labels("image.jpg")                  # (H, W) uint8
        probabilities = segmenter.probabilities("image.jpg")  # (C, H, W) float32

    It may be called from several threads, which share the cores.

    Args:
        model: ``model.tar.gz``, a folder with its files, the output folder of a training, or an artifact that was read
            from one of them.
        scales: The image is resized by each of these factors, and the probabilities are averaged (test-time
            augmentation). None: as the model was trained for (``inference_scales``).
        flip: Whether to average over the mirrored image too. None: as trained (``inference_flip``).
        tile_pixels: Height times width of the largest image that goes through the network whole; larger ones are cut
            into tiles of that size. Memory grows by about 0.6 kB with each pixel (ResNet-50). None: 2**21.
        runtime: A key of ``RUNTIMES``, or "auto" (None), see ``choose_graph``.
        precision: "float32", "int8" or "auto" (None): int8 where the model has such a graph and this CPU is fast with
            it.
        threads: Threads of the runtime; 0 or None: one for each core.

    Attributes:
        num_classes: C, the number of classes.
        class_names: Their names, or their labels as text.
        hyperparameters: Those of the training, as strings.
        precision: "float32" or "int8", which was chosen.
        runtime: The runtime that was chosen.
        choice: Both, and why, for people: "int8 with openvino: the CPU has AVX512-VNNI".
        checksum: CRC-32 of the graph.
        options: The arguments, resolved.
        stride: The network's output stride: the side in pixels of the squares on which it predicts.

    Raises:
        ArtifactError: The model can't be read, has no graph, or its graph can't be run.
        UserError: An option is out of range, or the runtime isn't installed.
    """

    def __init__(
        self,
        model: ModelLike,
        *,
        scales: Sequence[float] | None = None,
        flip: bool | None = None,
        tile_pixels: int | None = None,
        runtime: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
    ):
        artifact = _inference_artifact(model, prefers_int8(precision, runtime))
        self.options = InferenceOptions.resolve(
            artifact.hyperparameters,
            scales=scales,
            flip=flip,
            tile_pixels=tile_pixels,
            runtime=runtime,
            precision=precision,
            threads=threads,
        )
        if faults := self.options.faults():
            raise UserError("The model can't be used like this:", faults)
        self.stride = resolve(artifact.hyperparameters).stride
        self.num_classes: int = artifact.labels["num_classes"]
        names = artifact.labels.get("class_names")
        self.class_names: list[str] = list(names) if names else [str(label) for label in range(self.num_classes)]
        self.hyperparameters = artifact.hyperparameters
        choice = choose_graph(artifact, self.options.precision, self.options.runtime)
        self.precision, self.runtime, self.choice = choice.precision, choice.runtime, str(choice)
        self.checksum = zlib.crc32(choice.graph)
        with tempfile.TemporaryDirectory(prefix="sagemaker-semseg-", ignore_cleanup_errors=True) as folder:
            graph = _prepared(choice.graph, Path(folder))
            del artifact, choice  # the bytes are freed before the runtime reads their copy, unless the caller has them
            self._run: LoadedGraph = RUNTIMES[self.runtime](graph, self.options.threads or cpu_count())
        if self._run.note:
            self.choice += f"; {self._run.note}"

    def labels(self, image: ImageLike, token: CancellationToken | None = None) -> Pixels:
        """Returns the most probable class of each pixel.

        Args:
            image: The path or the bytes of a JPEG or PNG file, of which EXIF's orientation is applied; a PIL image,
                whose pixels are taken as they are; or an (H, W, 3) uint8 array, RGB.
            token: Cancels the call from another thread.

        Returns:
            (H, W) uint8.

        Raises:
            DataError: The image can't be read.
            InferenceCancelled: ``token`` was cancelled.
            MemoryError: The image or a tile needs more memory than there is.
            ValueError: An array or a PIL image is of another form.
        """
        token = token or CancellationToken()
        result: Pixels = to_labels(*self._logits(image, token), token.raise_if_cancelled)
        return result

    def probabilities(
        self, image: ImageLike, dtype: Any = np.float32, token: CancellationToken | None = None
    ) -> npt.NDArray[Any]:
        """Returns the probability of each class at each pixel; they sum to 1 over the classes.

        Args:
            image: As for ``labels``.
            dtype: float32 or float16.
            token: Cancels the call from another thread.

        Returns:
            (C, H, W) of ``dtype``. Raises as ``labels`` does.
        """
        token = token or CancellationToken()
        return to_probabilities(*self._logits(image, token), dtype, token.raise_if_cancelled)

    def _logits(self, image: ImageLike, token: CancellationToken) -> tuple[list[LogitRows], int, int, int]:
        """The coarse logits of every view, the image's height and width, and the number of classes."""
        max_cells = self.options.tile_pixels // self.stride**2

        def run(pixels: Pixels) -> Logits:
            token.raise_if_cancelled()
            logits = self._run(pixels, token)
            cells = tuple(math.ceil(length / self.stride) for length in pixels.shape[:2])
            if logits.shape != (self.num_classes, *cells):
                what = f"gives {logits.shape} for {pixels.shape[:2]} pixels; {(self.num_classes, *cells)} are expected"
                fault = Fault("model.onnx", what, "export the model again")
                raise ArtifactError("the runtime graph doesn't fit the model:", [fault])
            return logits

        pixels = _pixels(image)
        flips = (False, True) if self.options.flip else (False,)
        views = [AugmentedView(pixels, scale, flip) for scale in self.options.scales for flip in flips]
        return [LogitRows(view, run, max_cells, self.stride) for view in views], *pixels.shape[:2], self.num_classes


def _inference_artifact(model: ModelLike, prefer_int8: bool) -> InferenceArtifact:
    if isinstance(model, Artifact):
        if model.graph is None:
            fault = Fault("model.onnx", "is missing", "make it with: sagemaker_semseg.export.runtime_graph.with_graph")
            raise ArtifactError("the artifact can't be used:", [fault])
        return InferenceArtifact(model.hyperparameters, model.labels, model.graph, model.int8_graph)
    if isinstance(model, InferenceArtifact):
        return model
    return read_inference_artifact(locate_artifact(model), prefer_int8=prefer_int8)


def _prepared(graph: bytes, folder: Path) -> Path | bytes:
    """The graph cut at the coarse logits: files in ``folder``, or bytes where no file can be written."""
    try:
        try:
            return write_coarse_graph(graph, folder)
        except OSError:  # a full disk, a read-only container
            return coarse_graph(graph)
    except ValueError as error:
        raise unusable(error) from None


def _pixels(image: ImageLike) -> Pixels:
    """The (H, W, 3) uint8 pixels of an image in any of the forms."""
    if isinstance(image, str | os.PathLike):
        return read_file(Path(image), lambda _, encoded: decode_image(encoded))
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_image(bytes(image))
    if isinstance(image, Image.Image):
        if image.mode in ("I", "F"):
            raise ValueError(f"a PIL image of mode {image.mode!r} came; 8-bit RGB is expected")
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image = np.asarray(image.convert("RGB"))
    if not isinstance(image, np.ndarray):
        raise TypeError(f"a path, bytes, a PIL image or an (H, W, 3) uint8 array is expected, not {type(image)}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
    return image
