"""The command ``sagemaker-semseg import``: converts a model of AWS's algorithm or GluonCV."""

from __future__ import annotations

import argparse
from pathlib import Path

from sagemaker_semseg.artifact import write_artifact
from sagemaker_semseg.cli.flags import refuse
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.jobs.tensorflow_setup import load_tensorflow
from sagemaker_semseg.weights.model import import_weights
from sagemaker_semseg.weights.sagemaker_artifact import BEST, LAST

SUMMARY = "convert a model that AWS's algorithm or GluonCV has trained"
DESCRIPTION = """\
Reads a model that was trained elsewhere and writes it as this package's model.tar.gz. What network it is, the names and
shapes of its weights say; every one of them is checked. MXNet is not needed."""
EPILOG = """\
MODEL is one of
  model.tar.gz      of AWS's built-in semantic segmentation, or a folder with its three files
  FILE.params       of GluonCV's FCN, PSPNet or DeepLabV3: save_parameters, or export
  FILE.safetensors, FILE.weights.h5, FILE.pth       with the same networks' weights

examples:
  sagemaker-semseg import aws/model.tar.gz -o model.tar.gz
  sagemaker-semseg import aws/model.tar.gz -o last.tar.gz --last
  sagemaker-semseg import deeplab_resnet50_voc.params -o voc.tar.gz --class-names background,aeroplane,...

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="the model that was trained elsewhere")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="model.tar.gz to be written")
    text = f"of AWS's artifact: the weights of the last epoch ({LAST}), not of the best ({BEST})"
    parser.add_argument("--last", action="store_true", help=text)
    text = "names of the classes from label 0 on, with commas between them; they are kept in the model"
    parser.add_argument("--class-names", metavar="A,B,C", help=text)


def run(options: argparse.Namespace) -> int:
    refuse(options.faults)
    names = [name.strip() for name in options.class_names.split(",")] if options.class_names else []
    artifact, notes = import_weights(options.model, LAST if options.last else BEST, names)
    num_classes = artifact.labels["num_classes"]
    if names and len(names) != num_classes:
        fault = Fault("--class-names", f"{len(names)} names came, the model has {num_classes} classes")
        raise UserError("The command can't be carried out:", [fault])
    if options.output.is_dir():
        raise UserError("The command can't be carried out:", [Fault(str(options.output), "is a folder", "give a file")])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    load_tensorflow(verbose=options.verbose)
    from sagemaker_semseg.export.runtime_graph import with_graph

    write_artifact(options.output, with_graph(artifact), archive=True)
    hp = artifact.hyperparameters
    print(f"network     {hp['algorithm']} on {hp['backbone']}, {num_classes} classes")
    for note in notes:
        print(f"note        {note}")
    print(f"model       {options.output}")
    return 0
