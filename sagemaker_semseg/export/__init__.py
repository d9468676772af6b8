"""A trained network as a runtime graph: an ``Artifact`` comes in, the same one with its graph in ONNX goes out.

    graph: image (N, H, W, 3) uint8 RGB -> logits (N, C, H, W) and coarse_logits (N, C, ceil(H/8), ceil(W/8)), float32

``onnx_graph`` translates the Keras network, ``check`` compares the two by numbers. Training calls ``with_graph`` before
it writes an artifact, the command ``export`` for artifacts that have no graph.
"""

from __future__ import annotations

import dataclasses

import keras

from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.errors import AlgorithmError, Fault
from sagemaker_semseg.export.check import TOLERANCE, compare
from sagemaker_semseg.export.onnx_graph import OPSET, onnx_graph
from sagemaker_semseg.models.network import network_of

__all__ = ["with_graph"]


def with_graph(artifact: Artifact) -> Artifact:
    """``artifact`` with its runtime graph, and how far that is from the Keras network in ``metrics["runtime_graph"]``:

        max_difference     largest difference of two logits, as a share of the largest logit
        argmax_agreement   share of pixels with the same label
        images             (height, width) of the images they were compared on

    Raises ``ArtifactError`` where the weights don't fit the hyperparameters, and ``AlgorithmError`` where the two
    disagree by more than rounding explains.
    """
    with keras.device("cpu:0"):  # GPUs may round convolutions to ten bits
        network, _ = network_of(artifact)
        graph = onnx_graph(network)
        figures = compare(graph, network)
    if not figures["max_difference"] <= TOLERANCE:  # also true of NaN
        what = f"differs from the network by {figures['max_difference']:.2g} of its largest logit"
        remedy = f"{TOLERANCE:g} are expected at most; report this with the versions of onnxruntime and tensorflow"
        raise AlgorithmError("the runtime graph can't be used:", [Fault("model.onnx", what, remedy)])
    metrics = {**artifact.metrics, "runtime_graph": {"format": "onnx", "opset": OPSET, **figures}}
    return dataclasses.replace(artifact, graph=graph, metrics=metrics)
