"""Adds the runtime graph in ONNX to the artifact of a trained network.

``onnx_graph`` translates the Keras network, ``compare`` runs both on images.
"""

from __future__ import annotations

import dataclasses

import keras

from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.errors import AlgorithmError, Fault
from sagemaker_semseg.export.comparison import TOLERANCE, compare, onnx_predictor, references
from sagemaker_semseg.export.onnx_graph import OPSET, onnx_graph
from sagemaker_semseg.models.network import network_of

__all__ = ["with_graph"]


def with_graph(artifact: Artifact) -> Artifact:
    """Adds the runtime graph to an artifact, and its distance from the Keras network to the metrics.

    Returns:
        The artifact with ``graph``, an ONNX model from "image" (N, H, W, 3), uint8 RGB, to "logits" (N, C, H, W) and
        "coarse_logits" (N, C, ceil(H/8), ceil(W/8)), float32; and with ``metrics["runtime_graph"]``:

            max_difference     largest difference of two logits, as a share of the largest logit
            argmax_agreement   share of pixels with the same label
            images             (height, width) of the images they were compared on

    Raises:
        ArtifactError: if the weights don't fit the hyperparameters.
        DivergedError: if the network's logits aren't finite numbers.
        AlgorithmError: if graph and network differ by more than rounding explains.
    """
    with keras.device("cpu:0"):  # GPUs may round convolutions to ten bits
        network, _ = network_of(artifact)
        graph = onnx_graph(network)
        figures = compare(onnx_predictor(graph), references(network))
    if not figures["max_difference"] <= TOLERANCE:  # also true of NaN
        what = f"differs from the network by {figures['max_difference']:.2g} of its largest logit"
        remedy = f"{TOLERANCE:g} are expected at most; report this with the versions of onnxruntime and tensorflow"
        raise AlgorithmError("the runtime graph can't be used:", [Fault("model.onnx", what, remedy)])
    metrics = {**artifact.metrics, "runtime_graph": {"format": "onnx", "opset": OPSET, **figures}}
    return dataclasses.replace(artifact, graph=graph, metrics=metrics)
