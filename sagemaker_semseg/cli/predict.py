"""``sagemaker-semseg predict``: a model and images come in; a mask for each image, and pictures of them, go out.

An image that can't be used is told and the others are done. No image is overwritten, and no two images share a mask.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sagemaker_semseg.artifact import Artifact, read_artifact
from sagemaker_semseg.cli import engine
from sagemaker_semseg.cli.failures import USERS_FAULT, explain
from sagemaker_semseg.cli.model import model_path
from sagemaker_semseg.cli.terminal import bar
from sagemaker_semseg.data.channels import EXTENSIONS, shown
from sagemaker_semseg.data.images import decode_image, encode_mask
from sagemaker_semseg.data.overlay import overlay
from sagemaker_semseg.data.samples import MAX_FILE_BYTES
from sagemaker_semseg.errors import DataError, Fault, UserError
from sagemaker_semseg.storage import replacing

NAME = "predict"
SUMMARY = "write masks of new images"
DESCRIPTION = """\
Writes a mask for each image: an 8-bit palette PNG of the image's height and width whose numbers are the labels."""
EPILOG = """\
examples:
  sagemaker-semseg predict out/model.tar.gz new1.jpg new2.jpg -o masks
  sagemaker-semseg predict out photos/ -o masks --overlay

A folder stands for all images in it and below it; its masks lie in folders of the same names. a.jpg becomes a.png, and
with --overlay also a_overlay.png; where two images have one name, the second becomes a-2.png. An image that can't be
used is reported, the others are done, and the exit status is 2.

exit status: 0 done, 1 a fault of this program, 2 something you can mend
"""

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Task:
    """An image and where its mask and, if wanted, its overlay go."""

    image: Path
    mask: Path
    overlay: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="model.tar.gz, or the output folder of a training")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="JPEG or PNG, or a folder of them")
    text = "where the masks are written"
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", required=True, help=text)
    text = "also write each image with its labels laid over it in colours"
    parser.add_argument("--overlay", action="store_true", help=text)


def run(options: argparse.Namespace) -> int:
    if options.faults:
        raise UserError("The command can't be carried out:", options.faults)
    artifact = read_artifact(model_path(options.model))
    tasks, faults = plan(options.images, options.output, overlays=options.overlay)
    for fault in faults:
        _tell(str(fault))
    if not tasks:
        raise DataError("There is no image to predict.")
    options.output.mkdir(parents=True, exist_ok=True)
    strategy = engine.start(verbose=options.verbose)
    failed = predict(artifact, tasks, strategy)
    print(f"{len(tasks) - failed} masks in {options.output}")
    return USERS_FAULT if faults or failed else 0


def plan(images: Sequence[Path], output: Path, *, overlays: bool) -> tuple[list[Task], list[Fault]]:
    """What is to be written for the given files and folders, and faults of those that aren't there.

    Raises DataError where a mask would take an image's place.
    """
    faults: list[Fault] = []
    # by file, so that one given twice (in its folder and by name) is done once
    found = {image.resolve(): (image, name) for given in images for image, name in _images(given, faults)}
    taken: set[str] = set()  # in lower case: some file systems don't tell a.png from A.png
    tasks, clashes = [], []
    for image, name in found.values():
        endings = (".png", "_overlay.png") if overlays else (".png",)
        number, free = 1, name
        while any((free + ending).lower() in taken for ending in endings):
            number += 1
            free = f"{name}-{number}"
        taken.update((free + ending).lower() for ending in endings)
        targets = [output / (free + ending) for ending in endings]
        for target in targets:
            if target.resolve() in found:
                clashes.append(Fault(shown(target), "is an image that was given, and would be overwritten"))
        tasks.append(Task(image, targets[0], targets[1] if overlays else None))
    if clashes:
        raise DataError("The masks can't be written there; give another folder with -o:", clashes)
    return tasks, faults


def predict(artifact: Artifact, tasks: Iterable[Task], strategy: Any) -> int:
    """Carry out ``tasks``; returns how many failed, each of which has been told."""
    from sagemaker_semseg.models.network import network_of
    from sagemaker_semseg.training.evaluation import Evaluator

    with strategy.scope():
        network, hp = network_of(artifact)
    evaluator = Evaluator(network, hp.num_classes, strategy)
    tasks, failed = list(tasks), 0
    with bar("predicting", len(tasks)) as move:
        for done, task in enumerate(tasks, start=1):
            try:
                _predict_one(task, evaluator.predict, hp.num_classes)
            except Exception as error:
                message, status = explain(error)
                if status != USERS_FAULT or _is_of_the_output(error, task):
                    raise
                _tell(message if isinstance(error, DataError) else f"{shown(task.image)}: {message}")
                failed += 1
            move(done, len(tasks))
    return failed


def _predict_one(task: Task, network: Callable[[Pixels], Pixels], num_classes: int) -> None:
    image = decode_image(_read(task.image), shown(task.image))
    labels = network(image)
    task.mask.parent.mkdir(parents=True, exist_ok=True)
    with replacing(task.mask) as temporary:
        temporary.write_bytes(encode_mask(labels))
    if task.overlay:
        with replacing(task.overlay) as temporary:
            Image.fromarray(overlay(image, labels, num_classes)).save(temporary, "PNG")


def _images(given: Path, faults: list[Fault]) -> list[tuple[Path, str]]:
    """Image files and their names: the file itself, or those in a folder by their path below it, without extension."""
    if not given.is_dir():
        if not given.is_file():
            faults.append(Fault(shown(given), "no such file", "check the path"))
            return []
        return [(given, given.stem)]
    inside = sorted(path for path in given.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
    below = [(path, path.relative_to(given)) for path in inside]
    found = [(path, str(part.with_suffix(""))) for path, part in below if not any(s[0] == "." for s in part.parts)]
    if not found:
        faults.append(Fault(shown(given), f"no image in this folder ({', '.join(EXTENSIONS)})", "check the path"))
    return found


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        what = f"{size} bytes; at most {MAX_FILE_BYTES} are read"
        raise DataError("the image can't be used", [Fault(shown(path), what, "cut it into tiles")])
    return path.read_bytes()


def _is_of_the_output(error: Exception, task: Task) -> bool:
    """A full disk or a folder that can't be written to stops the work: every other image would fail too."""
    return isinstance(error, OSError) and error.filename != str(task.image)


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
