"""The command ``sagemaker-semseg export``: writes a model in another format.

Graphs are made from the model's weights and compared with the network by numbers before they are written.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from sagemaker_semseg.artifact import Artifact, locate_artifact, read_artifact, write_artifact
from sagemaker_semseg.cli.flags import refuse
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.jobs.tensorflow_setup import load_tensorflow
from sagemaker_semseg.storage import atomic_write
from sagemaker_semseg.weights.model import gluoncv_params

SUMMARY = "write a model in another format"
DESCRIPTION = """\
Writes a model as an ONNX graph, as an artifact that has one, or as GluonCV's file of weights.

  onnx       the graph alone, for any ONNX runtime: the input image is (N, H, W, 3) uint8 RGB of any height and width,
             the output logits are (N, classes, H, W); the labels are their argmax
  gluoncv    FILE.params, which load_parameters of GluonCV's FCN, PSPNet and DeepLabV3 takes (with aux=True)
  artifact   model.tar.gz with the graph in it, for models that were written without one: predict and serve need it"""
EPILOG = """\
examples:
  sagemaker-semseg export out/model.tar.gz -o model.onnx
  sagemaker-semseg export out/model.tar.gz -o model.params
  sagemaker-semseg export old/model.tar.gz -o new/model.tar.gz

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="model.tar.gz, or the output folder of a training")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="the file to be written")
    text = "by default from FILE's ending: .onnx, .tar.gz for artifact, .params for gluoncv"
    parser.add_argument("--format", choices=sorted(FORMATS), help=text)


def run(options: argparse.Namespace) -> int:
    refuse(options.faults)
    kind = options.format or _format(options.output)
    artifact = read_artifact(locate_artifact(options.model))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    if kind != "gluoncv":  # whose file has the weights as they are
        load_tensorflow(verbose=options.verbose)
    FORMATS[kind](artifact, options.output)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


def _format(path: Path) -> str:
    for ending, kind in ((".onnx", "onnx"), (".tar.gz", "artifact"), (".tgz", "artifact"), (".params", "gluoncv")):
        if path.name.lower().endswith(ending):
            return kind
    fault = Fault(
        "-o/--output", f"{path.name} has no known ending", f"add --format, one of {', '.join(sorted(FORMATS))}"
    )
    raise UserError("The command can't be carried out:", [fault])


def _onnx(artifact: Artifact, path: Path) -> None:
    graph = _with_graph(artifact).graph
    assert graph is not None
    with atomic_write(path) as temporary:
        temporary.write_bytes(graph)


def _artifact(artifact: Artifact, path: Path) -> None:
    write_artifact(path, _with_graph(artifact), archive=True)


def _with_graph(artifact: Artifact) -> Artifact:
    from sagemaker_semseg.export.runtime_graph import with_graph

    done = with_graph(artifact)
    figures = done.metrics["runtime_graph"]
    print(
        f"compared with the network: largest difference {figures['max_difference']:.1e} of the largest logit, "
        f"{figures['argmax_agreement']:.2%} of the labels are the same"
    )
    return done


def _gluoncv(artifact: Artifact, path: Path) -> None:
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.writelines(gluoncv_params(artifact, "the model"))


FORMATS: dict[str, Callable[[Artifact, Path], None]] = {"onnx": _onnx, "artifact": _artifact, "gluoncv": _gluoncv}
