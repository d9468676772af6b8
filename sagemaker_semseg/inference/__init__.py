"""Inference on images of any size, without TensorFlow.

    segmenter = Segmenter("model/model.tar.gz")
    labels = segmenter.labels("image.jpg")                  # (H, W) uint8
    probabilities = segmenter.probabilities("image.jpg")    # (C, H, W) float32

``test_time_augmentation`` scales and mirrors an image, ``tiling`` cuts it, ``runtimes`` run the graph on it, and
``postprocessing`` resizes the logits to the image's size.
"""

from sagemaker_semseg.inference.runtimes import RUNTIMES, CancellationToken, InferenceCancelled
from sagemaker_semseg.inference.segmenter import InferenceOptions, Segmenter

__all__ = ["RUNTIMES", "CancellationToken", "InferenceCancelled", "InferenceOptions", "Segmenter"]
