"""Draws what the network predicts for a few validation images after some epochs, for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import keras
import numpy as np

from sagemaker_semseg.data.datasets import FileDataset
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.data.overlay import overlay
from sagemaker_semseg.data.samples import EncodedSample, ImageMaskPair
from sagemaker_semseg.data.thumbnails import jpeg, shrink_image, shrink_labels, thumbnail_size
from sagemaker_semseg.models.network import normalize
from sagemaker_semseg.storage import atomic_write

_IMAGES: Final = 3
_EPOCHS: Final = 8  # about
_SIDE: Final = 240
_MAX_PIXELS: Final = 2**21


class SamplePredictions(keras.callbacks.Callback):
    """Writes ``NUMBER_image.jpg``, ``NUMBER_labels.jpg`` and, after some epochs, ``NUMBER_EPOCH.jpg``.

    The images are spread over the validation data; those of more than two million pixels are left out.

    Args:
        folder: Where the files are written.
        dataset: The checked validation data.
        num_classes: The number of classes.
    """

    def __init__(self, folder: Path, dataset: FileDataset, num_classes: int):
        super().__init__()
        self.folder, self.dataset, self.num_classes = folder, dataset, num_classes
        pairs = [pair for pair in dataset.pairs if pair.size and pair.size[0] * pair.size[1] <= _MAX_PIXELS]
        places = np.linspace(0, len(pairs) - 1, min(_IMAGES, len(pairs))).round().astype(int)
        self.pairs: list[ImageMaskPair] = [pairs[place] for place in places]

    def on_train_begin(self, logs: Any = None) -> None:
        """Remove the files of an earlier training, unless this one resumes."""
        if not self.params["initial_step"]:
            for path in self.folder.glob("*.jpg"):
                path.unlink()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        epochs, number = self.params["epochs"], epoch + 1
        if number not in (1, epochs) and number % max(1, epochs // _EPOCHS):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for place, pair in enumerate(self.pairs):
            sample = EncodedSample.read(pair)
            image = decode_image(sample.image)
            logits = self.model(normalize(image[None], self.model.input.dtype), training=False)[0]
            predicted = keras.ops.convert_to_numpy(keras.ops.argmax(logits[0], -1)).astype(np.uint8)
            height, width = predicted.shape
            size = thumbnail_size(height, width, _SIDE)
            small = shrink_image(image, size)
            if not (self.folder / f"{place}_labels.jpg").is_file():
                labels = self.dataset.label_map.apply(sample.mask_values())
                self._write(f"{place}_image", small)
                self._write(f"{place}_labels", overlay(small, shrink_labels(labels, size), self.num_classes))
            self._write(f"{place}_{number}", overlay(small, shrink_labels(predicted, size), self.num_classes))

    def _write(self, name: str, pixels: np.ndarray) -> None:
        with atomic_write(self.folder / f"{name}.jpg") as temporary:
            temporary.write_bytes(jpeg(pixels))
