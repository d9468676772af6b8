"""The command ``sagemaker-semseg predict``: masks or probabilities of many images."""

from __future__ import annotations

import argparse

from sagemaker_semseg.cli.flags import add_inference_flags, refuse
from sagemaker_semseg.errors import ExitStatus

SUMMARY = "write masks of new images"
DESCRIPTION = """\
Writes a mask for each image: an 8-bit palette PNG of the image's height and width whose numbers are the labels. The
bytes are those with which the endpoint replies."""
EPILOG = """\
examples:
  sagemaker-semseg predict out/model.tar.gz new1.jpg new2.jpg -o masks
  sagemaker-semseg predict out images/ -o masks --overlay
  sagemaker-semseg predict s3://bucket/job/model.tar.gz s3://bucket/images -o s3://bucket/masks
  sagemaker-semseg predict out images/ -o arrays --accept application/x-npy

A folder stands for all images in it and below it; its masks are in folders of the same names. a.jpg becomes a.png, and
with --overlay also a_overlay.png; where two images have one name, the second becomes a-2.png. An image that can't be
used is reported, the others are done, and the exit status is 2.

Run again, the command continues where it stopped: .sagemaker-semseg.jsonl in DIR lists what is done. An image is done
again if it, the model or an option has changed, or if its mask has. s3:// needs pip install 'sagemaker-semseg[aws]'.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "model.tar.gz, the output folder of a training, or s3://BUCKET/KEY of a model.tar.gz"
    parser.add_argument("model", metavar="MODEL", help=text)
    text = "JPEG or PNG, a folder of them, or s3://BUCKET/PREFIX"
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=text)
    text = "where the masks are written: a folder or s3://BUCKET/PREFIX"
    parser.add_argument("-o", "--output", dest="location", metavar="DIR", required=True, help=text)
    text = (
        "what is written, in the words of the endpoint's Accept header (default image/png): application/x-npy and "
        "application/x-recordio-protobuf are the probabilities of all classes, with ;dtype=float16 in half the bytes"
    )
    parser.add_argument("--accept", metavar="TYPE", default="image/png", help=text)
    text = "also write each image with its labels drawn over it in colors"
    parser.add_argument("--overlay", action="store_true", help=text)
    parser.add_argument("--overwrite", action="store_true", help="do the images that are done, too")
    group = add_inference_flags(parser)
    group.add_argument("--threads", type=int, metavar="N", help="by default one for each core")


def run(options: argparse.Namespace) -> int:
    refuse(options.faults)
    from sagemaker_semseg.jobs.run_prediction import PredictionConfig, run_prediction  # and ONNX Runtime

    fields = (
        "model",
        "images",
        "accept",
        "overlay",
        "overwrite",
        "scales",
        "flip",
        "tile_pixels",
        "runtime",
        "precision",
    )
    given = {name: getattr(options, name) for name in (*fields, "threads")}
    result = run_prediction(PredictionConfig(output=options.location, **given))
    print(result)
    return ExitStatus.USER_ERROR if result.failed else ExitStatus.DONE
