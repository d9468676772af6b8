"""The command ``sagemaker-semseg serve``: an endpoint that runs until it is stopped."""

from __future__ import annotations

import argparse
from pathlib import Path

from sagemaker_semseg.cli.flags import add_inference_flags, whole_number
from sagemaker_semseg.container.serve import serve_model

USAGE = "%(prog)s --model MODEL [--port N] [options]"
SUMMARY = "answer requests over HTTP as a SageMaker endpoint does"
DESCRIPTION = """\
Serves a model over HTTP, as an endpoint of SageMaker's built-in algorithm: POST an image to /invocations and get its
mask or probabilities. At / there is a page to try images by hand."""
EPILOG = """\
examples:
  sagemaker-semseg serve --model out/model.tar.gz
  curl --data-binary @image.jpg -H 'Content-Type: image/jpeg' -o mask.png http://127.0.0.1:8080/invocations

in a container, where SageMaker gives no flags:
  /opt/ml/model is the model, and the server listens on all addresses. In place of the flags there are the variables
  SAGEMAKER_BIND_TO_PORT, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT, SAGEMAKER_MODEL_SERVER_WORKERS,
  SAGEMAKER_MAX_PAYLOAD_IN_MB, SAGEMAKER_BATCH, SAGEMAKER_SEMSEG_RUNTIME, SAGEMAKER_SEMSEG_PRECISION,
  SAGEMAKER_SEMSEG_SCALES, SAGEMAKER_SEMSEG_FLIP and SAGEMAKER_SEMSEG_TILE_PIXELS. A flag wins over its variable.

ending: Ctrl-C or SIGTERM; requests that were accepted are answered first. Once more Ctrl-C doesn't wait for that.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "model.tar.gz, or the output folder of a training (default: SageMaker's, /opt/ml/model)"
    parser.add_argument("--model", type=Path, metavar="MODEL", help=text)
    text = "the address to listen at (default 127.0.0.1, this machine alone; without --model 0.0.0.0, all addresses)"
    parser.add_argument("--host", help=text)
    text = "default 8080; 0 takes a free one, which is printed"
    parser.add_argument("--port", type=whole_number(0, 65535), metavar="N", help=text)
    group = parser.add_argument_group("requests")
    text = "the reply for requests without an Accept header (default image/png)"
    group.add_argument("--accept", metavar="TYPE", help=text)
    text = "the largest body, in MB (default 100; 0 is no limit of yours, 1024)"
    group.add_argument("--max-payload-mb", type=whole_number(0, 1024), metavar="N", help=text)
    text = "requests that may wait for a worker; beyond them the answer is 503 (default twice the workers, at least 4)"
    group.add_argument("--queue", type=whole_number(0, 100_000), metavar="N", help=text)
    group.add_argument("--quiet", action="store_true", help="no line on standard error for each request")
    group = parser.add_argument_group("processes")
    text = "processes with a copy of the model each (default: one for each core, as many as memory holds)"
    group.add_argument("--workers", type=whole_number(1, 1024), metavar="N", help=text)
    text = "threads of each worker (default: the cores, shared among the workers)"
    group.add_argument("--threads", type=whole_number(1, 1024), metavar="N", help=text)
    add_inference_flags(parser)


def run(options: argparse.Namespace) -> int:
    serve_model(vars(options), options.faults)
    return 0
