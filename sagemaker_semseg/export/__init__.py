"""Export of a trained network as an ONNX graph, and its comparison with the network.

graph: image (N, H, W, 3) uint8 RGB -> logits (N, C, H, W) and coarse_logits (N, C, ceil(H/8), ceil(W/8)), float32
"""

from __future__ import annotations

import dataclasses

import keras

from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.errors import AlgorithmError, Fault
from sagemaker_semseg.export.comparison import TOLERANCE, compare
from sagemaker_semseg.export.onnx_graph import OPSET, onnx_graph
from sagemaker_semseg.models.network import network_of

__all__ = ["with_graph"]


def with_graph(artifact: Artifact) -> Artifact:
    """Add the runtime graph of its network to an artifact.

    Returns:
        A copy with ``graph`` and ``metrics["runtime_graph"]``, the comparison of the graph with the Keras network:
        ``max_difference``, the largest difference of two logits as a share of the largest logit;
        ``argmax_agreement``, the share of pixels with the same label; ``images``, the (height, width) compared.

    Raises:
        ArtifactError: The weights don't fit the hyperparameters.
        AlgorithmError: The two differ by more than rounding explains.
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
