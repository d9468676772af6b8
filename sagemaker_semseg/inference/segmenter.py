"""One model, loaded: an image of any size comes in, labels or probabilities of its every pixel go out.

Images up to a limit of pixels go through the network whole, larger ones in tiles that overlap. Called by the endpoint's
workers and the command ``predict``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.artifact import Runtime
from sagemaker_semseg.errors import ArtifactError, Fault, UserError
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.inference import postprocessing
from sagemaker_semseg.inference.runtimes import RUNTIMES, CancellationToken, Logits, Pixels
from sagemaker_semseg.inference.test_time_augmentation import STRIDE, AugmentedView
from sagemaker_semseg.inference.tiling import LogitRows

MIN_TILE_PIXELS = 2**16
MAX_SCALES, MIN_SCALE, MAX_SCALE = 16, 0.1, 4.0


@dataclass(frozen=True)
class Options:
    """How a model is used.

    scales: the image is looked at in each of these sizes, and the probabilities are averaged (test-time augmentation).
    flip: and mirrored as well, at every scale. tile_pixels: height times width of what goes through the network at
    once; memory grows by about 0.4 kB with each. engine: a key of ``ENGINES``. threads: 0 is one for each core.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    tile_pixels: int = 2**21
    engine: str = "onnxruntime"
    threads: int = 0

    @classmethod
    def of(cls, hyperparameters: Mapping[str, str], **given: Any) -> Options:
        """The options that a model was trained with, and those of ``given`` that are not None."""
        hp = resolve(hyperparameters)
        model: dict[str, Any] = {"scales": hp.inference_scales, "flip": hp.inference_flip}
        return cls(**{**model, **{name: value for name, value in given.items() if value is not None}})

    def faults(self) -> list[Fault]:
        """What is wrong with them, if anything."""
        faults = []
        if not 1 <= len(self.scales) <= MAX_SCALES or not all(MIN_SCALE <= s <= MAX_SCALE for s in self.scales):
            what = f"{', '.join(map(str, self.scales)) or 'nothing'}: 1 to {MAX_SCALES} numbers are expected"
            faults.append(Fault("scales", f"{what}, each from {MIN_SCALE} to {MAX_SCALE}"))
        if self.tile_pixels < MIN_TILE_PIXELS:
            faults.append(Fault("tile_pixels", f"{self.tile_pixels}: at least {MIN_TILE_PIXELS} are expected"))
        if self.engine not in RUNTIMES:
            faults.append(Fault("engine", f"{self.engine!r}: there are {', '.join(RUNTIMES)}"))
        if self.threads < 0:
            faults.append(Fault("threads", f"{self.threads}: 0 (as many as there are cores) or more are expected"))
        return faults


class Segmenter:
    """A model that is ready. Raises ``UserError`` for wrong options, ``ArtifactError`` for a graph that can't be run.

    One image at a time: calls from several threads wait for no one, but share the cores.
    """

    def __init__(self, runtime: Runtime, options: Options | None = None):
        self.options = options or Options()
        if faults := self.options.faults():
            raise UserError("The model can't be used like this:", faults)
        self.num_classes: int = runtime.labels["num_classes"]
        names = runtime.labels.get("class_names")
        self.class_names: list[str] = list(names) if names else [str(label) for label in range(self.num_classes)]
        self._engine = RUNTIMES[self.options.engine](runtime.graph, self.options.threads or _cores())

    def labels(self, image: Pixels, stop: CancellationToken | None = None) -> Pixels:
        """(H, W, 3) uint8 RGB -> (H, W) uint8. Raises ``Stopped`` soon after ``stop`` was set, ``MemoryError``."""
        stop = stop or CancellationToken()
        height, width = self._check(image)
        result: Pixels = postprocessing.labels(self._strips(image, stop), height, width, self.num_classes, stop.check)
        return result

    def probabilities(
        self, image: Pixels, dtype: Any = np.float32, stop: CancellationToken | None = None
    ) -> npt.NDArray[Any]:
        """(H, W, 3) uint8 RGB -> (C, H, W) of ``dtype`` (float32 or float16), 0..1. Raises as ``labels`` does."""
        stop = stop or CancellationToken()
        height, width = self._check(image)
        return postprocessing.probabilities(
            self._strips(image, stop), height, width, self.num_classes, dtype, stop.check
        )

    def _strips(self, image: Pixels, stop: CancellationToken) -> list[LogitRows]:
        max_cells = self.options.tile_pixels // STRIDE**2

        def run(pixels: Pixels) -> Logits:
            stop.check()
            logits = self._engine(pixels, stop)
            cells = tuple(math.ceil(length / STRIDE) for length in pixels.shape[:2])
            if logits.shape != (self.num_classes, *cells):
                what = f"gives {logits.shape} for {pixels.shape[:2]} pixels; {(self.num_classes, *cells)} are expected"
                fault = Fault("model.onnx", what, "export the model again")
                raise ArtifactError("the runtime graph doesn't fit the model:", [fault])
            return logits

        flips = (False, True) if self.options.flip else (False,)
        views = [AugmentedView(image, scale, flip) for scale in self.options.scales for flip in flips]
        return [LogitRows(view, run, max_cells) for view in views]

    @staticmethod
    def _check(image: Pixels) -> tuple[int, int]:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(f"image must be (H, W, 3) uint8, not {image.shape} {image.dtype}")
        return image.shape[0], image.shape[1]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
