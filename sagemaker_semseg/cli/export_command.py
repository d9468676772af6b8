"""The command ``sagemaker-semseg export``: writes a model in the formats of other runtimes.

Files are made from the model's weights, loaded again by their runtimes and compared with the network by numbers.
"""

from __future__ import annotations

import argparse

from sagemaker_semseg.cli.flags import refuse
from sagemaker_semseg.jobs.run_export import ENDINGS, FORMAT_NAMES, ExportConfig, run_export

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "model.tar.gz, which may be in S3, or the output folder of a training"
    parser.add_argument("model", metavar="MODEL", help=text)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the file to be written")
    text = f"by default from FILE's ending: {', '.join(ENDINGS)}"
    parser.add_argument("--format", choices=FORMAT_NAMES, help=text)


def run(options: argparse.Namespace) -> int:
    refuse(options.faults)
    config = ExportConfig(model=options.model, output=options.output, format=options.format, verbose=options.verbose)
    print(run_export(config))
    return 0
