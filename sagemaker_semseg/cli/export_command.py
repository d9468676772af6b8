"""The command ``sagemaker-semseg export``: writes a model in the formats of other runtimes.

Files are made from the model's weights, loaded again by their runtimes and compared with the network by numbers.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from sagemaker_semseg.artifact import (
    Artifact,
    locate_artifact,
    read_artifact,
    read_inference_artifact,
    write_artifact,
)
from sagemaker_semseg.cli.flags import refuse
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.jobs.tensorflow_setup import load_tensorflow

SUMMARY = "write a model in another format"
DESCRIPTION = """\
Writes a model for another runtime. Each file is loaded again by its own runtime and compared with the network on three
images; the figures are printed, and written to export.json beside the file. A file that differs isn't written.

  onnx        for any ONNX runtime: the input image is (N, H, W, 3) uint8 RGB of any height and width, the output logits
              are (N, classes, H, W); the labels are their argmax
  onnx-int8   the same with int8 convolutions, of a model from sagemaker-semseg quantize
  savedmodel  a folder for TensorFlow and TensorFlow Serving, with signatures for pixels and for JPEG or PNG bytes
  tflite      for LiteRT (TensorFlow Lite): (1, H, W, 3) uint8 of any height and width to logits (1, H, W, classes)
  tflite-int8 the same with int8 weights, a quarter of the bytes; activations are quantized when it runs
  torch       FILE.safetensors, a state_dict with torchvision's names, and the module that loads it, beside it:
              sagemaker_semseg_torch.py; verified where torch is installed
  openvino    FILE.xml and FILE.bin, OpenVINO's own format
  gluoncv     FILE.params, which load_parameters of GluonCV's FCN, PSPNet and DeepLabV3 takes (with aux=True); it can't
              be verified, since MXNet has no release for today's Python
  artifact    model.tar.gz with the graph in it, for models that were written without one: predict and serve need it
  all         every format that this model can have here, in the folder FILE"""
EPILOG = """\
examples:
  sagemaker-semseg export out/model.tar.gz -o model.onnx
  sagemaker-semseg export out/model.tar.gz -o model.tflite
  sagemaker-semseg export out/model.tar.gz -o saved_model --format savedmodel
  sagemaker-semseg export out/model.tar.gz -o exported --format all
  sagemaker-semseg export old/model.tar.gz -o new/model.tar.gz

"""

_KINDS = (
    *("all", "artifact", "gluoncv", "onnx", "onnx-int8", "openvino"),
    *("savedmodel", "tflite", "tflite-int8", "torch"),
)
_ENDINGS = {
    ".int8.onnx": "onnx-int8",
    ".onnx": "onnx",
    ".tar.gz": "artifact",
    ".tgz": "artifact",
    ".params": "gluoncv",
    ".safetensors": "torch",
    ".int8.tflite": "tflite-int8",
    ".tflite": "tflite",
    ".xml": "openvino",
}
_FOLDER = "saved_model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="model.tar.gz, or the output folder of a training")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="the file to be written")
    text = f"by default from FILE's ending: {', '.join(_ENDINGS)}"
    parser.add_argument("--format", choices=_KINDS, help=text)


def run(options: argparse.Namespace) -> int:
    refuse(options.faults)
    kind = options.format or _format(options.output)
    artifact = _read(locate_artifact(options.model))
    load_tensorflow(verbose=options.verbose)
    if kind == "artifact":
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_artifact(options.output, _with_graph(artifact), archive=True)
        print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
        return 0
    from sagemaker_semseg.export.formats import FORMATS, available_formats, export_formats

    paths = {kind: options.output}
    if kind == "all":
        names = available_formats(artifact)
        paths = {
            name: options.output / (f"model{FORMATS[name].ending}" if FORMATS[name].ending else _FOLDER)
            for name in names
        }
    artifact = artifact if kind == "gluoncv" else _with_graph(artifact)
    with progress_bar("exporting", len(paths)) as update:
        written = export_formats(artifact, paths, lambda done: update(done, len(paths)))
    for name, figures in written.items():
        print(f"{paths[name]}: {figures['bytes'] / 1e6:.1f} MB, {_comparison(figures)}")
    return 0


def _format(path: Path) -> str:
    for ending, kind in _ENDINGS.items():
        if path.name.lower().endswith(ending):
            return kind
    fault = Fault("-o/--output", f"{path.name} has no known ending", f"add --format, one of {', '.join(_KINDS)}")
    raise UserError("The command can't be carried out:", [fault])


def _read(path: Path) -> Artifact:
    """The artifact with its int8 graph, if it has one."""
    artifact = read_artifact(path)
    if "quantization" not in artifact.metrics:
        return artifact
    return dataclasses.replace(artifact, int8_graph=read_inference_artifact(path).int8_graph)


def _with_graph(artifact: Artifact) -> Artifact:
    from sagemaker_semseg.export.runtime_graph import with_graph

    done = with_graph(artifact)
    print(f"the runtime graph {_comparison(done.metrics['runtime_graph'])}")
    return done


def _comparison(figures: dict[str, Any]) -> str:
    if "not_verified" in figures:
        return f"not verified: {figures['not_verified']}"
    return (
        f"compared with the network: largest difference {figures['max_difference']:.1e} of the largest logit, "
        f"{figures['argmax_agreement']:.2%} of the labels are the same"
    )
