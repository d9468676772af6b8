"""Makes a model with random weights, for what is measured by time and not by quality.

Input: flags. Output: a `model.tar.gz` as training writes it, runtime graph included, with `--int8` the int8 graph too;
the same weights on every run.
"""

import argparse
import dataclasses
import subprocess
import sys
from pathlib import Path

from sagemaker_semseg.environment import configure_tensorflow


def make_model(
    path: Path, algorithm: str, backbone: str = "resnet-50", classes: int = 21, *, int8: bool = False
) -> Path:
    """Runs this file; what TensorFlow says is shown only if it fails."""
    words = ["--algorithm", algorithm, "--backbone", backbone, "--classes", str(classes), "-o", str(path)]
    words += ["--int8"] * int8
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"no model could be made:\n{done.stderr[-4000:]}")
    return path


def write_model(path: Path, algorithm: str, backbone: str, classes: int, int8: bool) -> None:
    configure_tensorflow()
    import keras
    import numpy as np
    from pipeline_images import texture

    from sagemaker_semseg.artifact import Artifact, write_artifact
    from sagemaker_semseg.export.quantization import quantized_graph
    from sagemaker_semseg.export.runtime_graph import with_graph
    from sagemaker_semseg.hyperparameters import resolve, to_strings
    from sagemaker_semseg.models.network import build_network
    from sagemaker_semseg.models.weights import get_weights

    keras.utils.set_random_seed(0)
    choice = {"algorithm": algorithm, "backbone": backbone, "num_classes": classes, "num_training_samples": 1}
    network = build_network(algorithm, backbone, classes)
    artifact = with_graph(Artifact(to_strings(resolve(choice)), get_weights(network), {"num_classes": classes}, {}))
    if int8:
        graph = quantized_graph(artifact.graph, [texture(np.random.RandomState(1))[:240, :240]])
        artifact = dataclasses.replace(artifact, int8_graph=graph)
    write_artifact(path, artifact)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=("fcn", "psp", "deeplab"), default="fcn")
    parser.add_argument("--backbone", default="resnet-50")
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--int8", action="store_true", help="with an int8 graph, calibrated with one image")
    parser.add_argument("-o", "--output", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    flags = parse()
    write_model(flags.output, flags.algorithm, flags.backbone, flags.classes, flags.int8)
