"""``sagemaker-semseg predict``: a model and images come in; a mask for each image goes out, or the probabilities of its
classes, and pictures of them.

The flags and the summary are here; ``prediction`` does the work.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING

from sagemaker_semseg.errors import ExitStatus, Fault, UserError
from sagemaker_semseg.jobs.model_location import runtime_of
from sagemaker_semseg.serving.content_negotiation import ResponseFormat, choose_reply
from sagemaker_semseg.serving.http_errors import RequestError
from sagemaker_semseg.storage import filesystem_at

if TYPE_CHECKING:
    from sagemaker_semseg.jobs.prediction import Prediction

SUMMARY = "write masks of new images"
DESCRIPTION = """\
Writes a mask for each image: an 8-bit palette PNG of the image's height and width whose numbers are the labels. The
bytes are those with which the endpoint replies."""
EPILOG = """\
examples:
  sagemaker-semseg predict out/model.tar.gz new1.jpg new2.jpg -o masks
  sagemaker-semseg predict out photos/ -o masks --overlay
  sagemaker-semseg predict s3://bucket/job/model.tar.gz s3://bucket/photos -o s3://bucket/masks
  sagemaker-semseg predict out photos/ -o arrays --accept application/x-npy

A folder stands for all images in it and below it; its masks lie in folders of the same names. a.jpg becomes a.png, and
with --overlay also a_overlay.png; where two images have one name, the second becomes a-2.png. An image that can't be
used is reported, the others are done, and the exit status is 2.

Run again, the command goes on where it stopped: .sagemaker-semseg.jsonl in DIR lists what is done. An image is done
anew if it, the model or an option has changed, or if its mask has. s3:// needs pip install 'sagemaker-semseg[aws]'.

exit status: 0 done, 1 a fault of this program, 2 something you can mend, 130 stopped with Ctrl-C
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "model.tar.gz, the output folder of a training, or s3://BUCKET/KEY of a model.tar.gz"
    parser.add_argument("model", metavar="MODEL", help=text)
    text = "JPEG or PNG, a folder of them, or s3://BUCKET/PREFIX"
    parser.add_argument("images", nargs="+", metavar="IMAGE", help=text)
    text = "where the masks are written: a folder or s3://BUCKET/PREFIX"
    parser.add_argument("-o", "--output", dest="place", metavar="DIR", required=True, help=text)
    text = (
        "what is written, in the words of the endpoint's Accept header (default image/png): application/x-npy and "
        "application/x-recordio-protobuf are the probabilities of all classes, with ;dtype=float16 in half the bytes"
    )
    parser.add_argument("--accept", metavar="TYPE", default="image/png", help=text)
    text = "also write each image with its labels laid over it in colours"
    parser.add_argument("--overlay", action="store_true", help=text)
    parser.add_argument("--overwrite", action="store_true", help="do the images that are done, too")
    group = parser.add_argument_group("how the model is used (by default as it was trained for)")
    text = "look at each image in these sizes and average the probabilities, for instance 0.75,1,1.25"
    group.add_argument("--scales", type=_numbers, metavar="LIST", help=text)
    group.add_argument("--flip", action=argparse.BooleanOptionalAction, help="look at its mirror image, too")
    text = "pixels of the largest image that is worked on whole; memory grows with it"
    group.add_argument("--tile-pixels", type=int, metavar="N", help=text)
    group.add_argument("--runtime", metavar="NAME", help="what runs the graph: onnxruntime (default) or openvino")
    group.add_argument("--threads", type=int, metavar="N", help="by default one for each core")


def run(options: argparse.Namespace) -> int:
    if options.faults:
        raise UserError("The command can't be carried out:", options.faults)
    from sagemaker_semseg.inference import InferenceOptions
    from sagemaker_semseg.jobs.prediction import Prediction  # and ONNX Runtime, which no other command needs

    output, reply = filesystem_at(options.place), _reply(options.accept)
    runtime = runtime_of(options.model)
    given = {name: getattr(options, name) for name in ("scales", "flip", "tile_pixels", "runtime", "threads")}
    how = InferenceOptions.resolve(runtime.hyperparameters, **given)
    if faults := [dataclasses.replace(fault, where=_flag(fault.where)) for fault in how.faults()]:
        raise UserError("The command can't be carried out:", faults)
    prediction = Prediction(runtime, output, how, reply, overlays=options.overlay)
    try:
        prediction.run(options.images, overwrite=options.overwrite)
    except BaseException:
        if prediction.tally.written:
            print(f"{_summary(prediction)}; the same command goes on from there", file=sys.stderr)
        raise
    print(_summary(prediction))
    return ExitStatus.USER_ERROR if prediction.tally.failed else ExitStatus.DONE


def _summary(prediction: Prediction) -> str:
    tally = prediction.tally
    what = ("mask" if prediction.reply.is_mask else "array") + ("" if tally.written == 1 else "s")
    counts = {"there already": tally.kept, "could not be done": tally.failed}
    more = "".join(f", {count} {what}" for what, count in counts.items() if count)
    return f"{tally.written} {what} written to {prediction.output.where()}{more}"


def _reply(accept: str) -> ResponseFormat:
    try:
        return choose_reply(accept)
    except RequestError as error:
        raise UserError("The command can't be carried out:", [Fault("--accept", error.message)]) from None


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        what = f"numbers with commas between them are expected, such as 0.75,1,1.25; {text} came"
        raise argparse.ArgumentTypeError(what) from None
