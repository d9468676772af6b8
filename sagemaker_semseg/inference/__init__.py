"""A model used: a ``Runtime`` (an artifact with its runtime graph) and images of any size come in, labels or
probabilities of every pixel go out. No TensorFlow.

    segmenter = Segmenter(read_runtime("model.tar.gz"))
    labels = segmenter.labels(decode_image(jpeg))                  # (H, W) uint8
    probabilities = segmenter.probabilities(decode_image(jpeg))    # (C, H, W) float32

``engines`` runs the graph, ``views`` cuts the image into what the graph gets, ``strips`` joins what it gives,
``finish`` brings that to the image's own size. The endpoint's workers and the command ``predict`` call it.
"""

from sagemaker_semseg.inference.runtimes import RUNTIMES, CancellationToken, InferenceCancelled
from sagemaker_semseg.inference.segmenter import Options, Segmenter

__all__ = ["RUNTIMES", "CancellationToken", "InferenceCancelled", "Options", "Segmenter"]
