"""The command ``sagemaker-semseg demo``: a training and a prediction on generated images."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from sagemaker_semseg.cli.flags import refuse
from sagemaker_semseg.data.demo_dataset import CLASS_NAMES, make_demo_set
from sagemaker_semseg.data.images import decode_image, decode_mask
from sagemaker_semseg.data.overlay import side_by_side
from sagemaker_semseg.errors import AlgorithmError, Fault, UserError
from sagemaker_semseg.jobs import progress_log
from sagemaker_semseg.jobs.prepare_training import TrainingConfig, prepare_training
from sagemaker_semseg.jobs.run_training import exit_status, run_prepared
from sagemaker_semseg.storage import atomic_write
from sagemaker_semseg.training import checkpoint

SUMMARY = "train and predict on generated images, in three minutes"
DESCRIPTION = """\
Generates labeled images, trains a small network on them from random weights, predicts images that the training has not
seen, and puts image, truth and prediction side by side. Takes under three minutes on two CPU cores."""
EPILOG = """\
examples:
  sagemaker-semseg demo
  sagemaker-semseg demo --output /tmp/demo
  sagemaker-semseg evaluate out/demo/model --data out/demo/data       afterwards, with what it has made
  sagemaker-semseg demo --data-only shapes                            the images alone, in seconds, to try commands on

OUTPUT/ holds data/ (the images), model/ (with the training's report.html), masks/ and overlays/ of the unseen images,
and contact_sheet.png with all overlays. A second run writes these files again; other files are left alone.

"""

# by which a second run recognizes the folder
MARK: Final = ".sagemaker-semseg-demo"

IMAGES: Final = {"train": 240, "validation": 24, "test": 8, "size": 128}
# Small crops of large shapes: few pixels, many steps. Adam, because the original's default, sgd with a rate for
# pretrained weights, needs longer than a demo.
HYPERPARAMETERS: Final = {
    "num_classes": len(CLASS_NAMES),
    "algorithm": "fcn",
    "backbone": "resnet-18",
    "use_pretrained_model": False,
    "base_size": 104,
    "crop_size": 64,
    "epochs": 10,
    "mini_batch_size": 12,
    "optimizer": "adam",
    "learning_rate": 0.003,
    "head_learning_rate_multiplier": 1,
    "warmup_epochs": 0.5,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "where everything is written (default out/demo)"
    parser.add_argument("--output", type=Path, metavar="DIR", default=Path("out", "demo"), help=text)

    text = "write the labeled images alone, into this new folder, and train nothing"
    parser.add_argument("--data-only", type=Path, metavar="DIR", help=text)


def run(options: argparse.Namespace) -> int:
    refuse(options.faults)
    if options.data_only:
        return write_data(options.data_only, IMAGES)
    return run_demo(options.output, IMAGES, HYPERPARAMETERS, verbose=options.verbose)


def write_data(root: Path, images: dict[str, int]) -> int:
    """Write the demo's images into a new or empty folder, and print commands that use them."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        fault = Fault(str(root), "is there already, and not empty", "give a new folder")
        raise UserError("The images can't be written there:", [fault])
    make_demo_set(root, **images)
    classes = f"--num-classes {len(CLASS_NAMES)} --class-names {','.join(CLASS_NAMES)}"
    place, test = shlex.quote(str(root)), shlex.quote(str(root / "test"))
    total = sum(images[split] for split in ("train", "validation", "test"))
    print(f"""{total} images of {len(CLASS_NAMES)} classes in {root}
sagemaker-semseg check --data {place} {classes}
sagemaker-semseg train --data {place} --output model {classes} \\
    --backbone resnet-18 --use-pretrained-model False --crop-size 64 --base-size 104 --optimizer adam \\
    --learning-rate 0.003 --head-learning-rate-multiplier 1 --epochs 10
sagemaker-semseg predict model {test} -o masks --overlay""")
    return 0


def run_demo(root: Path, images: dict[str, int], hyperparameters: dict[str, Any], *, verbose: bool = False) -> int:
    """Run the demo in ``root``; returns the exit status. images: arguments of ``make_demo_set``."""
    from sagemaker_semseg.jobs.run_prediction import PredictionConfig, run_prediction
    from sagemaker_semseg.jobs.run_report import ReportConfig, run_report

    start = time.monotonic()
    claim_folder(root)
    data, masks, overlays = root / "data", root / "masks", root / "overlays"
    unseen = make_demo_set(data, **images)["test"]
    given = {**hyperparameters, "class_names": CLASS_NAMES}
    config = TrainingConfig(hyperparameters=given, data=str(data), output=str(root / "model"), verbose=verbose)
    result = run_prepared(prepare_training(config))
    if result.stopped or result.scores is None:
        print("stopped before the end")
        return exit_status(result)

    prediction = PredictionConfig(model=str(result.artifact), images=list(map(str, unseen)), output=str(masks))
    if run_prediction(prediction).failed:
        raise AlgorithmError("the demo's own images can't be predicted")
    page = run_report(ReportConfig(training=str(root / "model"), data=str(data)))
    overlays.mkdir(exist_ok=True)
    names = {image: f"{image.stem}.png" for image in unseen}
    sheets = {name: _sheet(image, data / "test_annotation" / name, masks / name) for image, name in names.items()}
    for name, sheet in sheets.items():
        _save(sheet, overlays / name)
    _save(contact_sheet(list(sheets.values()), columns=2), root / "contact_sheet.png")

    print(f"{time.monotonic() - start:.0f} seconds, best epoch {(result.best_epoch or 0) + 1} of {len(result.history)}")
    print(f"validation mIOU {result.scores.miou:.2f}")
    for title, path in (
        ("data", data),
        ("model", result.artifact),
        ("report", page),
        ("masks", masks),
        ("overlays", overlays),
        ("all overlays", root / "contact_sheet.png"),
    ):
        print(f"{title:<13}{path}")
    return 0


def claim_folder(root: Path) -> None:
    """Make ``root`` ready for a demo: a new folder, an empty one, or one of an earlier demo, whose files are removed.

    Raises UserError for any other. Nothing is removed but what a demo writes, by name.
    """
    if root.exists() and not root.is_dir():
        raise UserError("The demo can't be written there:", [Fault(str(root), "is a file", "give a folder")])
    if root.is_dir() and any(root.iterdir()) and not (root / MARK).is_file():
        fault = Fault(str(root), "holds files that are not a demo's", "give a new or an empty folder with --output")
        raise UserError("The demo can't be written there:", [fault])
    root.mkdir(parents=True, exist_ok=True)
    (root / MARK).write_text("Made by sagemaker-semseg demo, which may overwrite its own files here.\n")
    number = "[0-9]" * 4
    splits = ("train", "validation", "test")
    own = [f"data/{split}/{number}.jpg" for split in splits]
    own += [f"data/{split}_annotation/{number}.png" for split in splits]
    own += [f"masks/{number}.png", f"overlays/{number}.png", "contact_sheet.png", "model/model.tar.gz"]
    own += [f"masks/{progress_log.NAME}", "model/report.html", "model/training.json"]
    own += ["model/metrics.csv", "model/metrics.json"]
    for pattern in own:
        for path in root.glob(pattern):
            path.unlink()
    checkpoint.remove_all(root / "model" / "checkpoints")


def contact_sheet(sheets: Sequence[Image.Image], columns: int) -> Image.Image:
    """Arrange images of any sizes in rows of ``columns``, each from the upper left of its cell; white between them."""
    rows = [sheets[start : start + columns] for start in range(0, len(sheets), columns)]
    width = max(sheet.width for sheet in sheets)
    heights = [max(sheet.height for sheet in row) for row in rows]
    whole = Image.new("RGB", (columns * width, sum(heights)), "white")
    for i, row in enumerate(rows):
        for j, sheet in enumerate(row):
            whole.paste(sheet, (j * width, sum(heights[:i])))
    return whole


def _sheet(image: Path, truth: Path, prediction: Path) -> Image.Image:
    labels, predicted = decode_mask(truth.read_bytes()), decode_mask(prediction.read_bytes())
    return side_by_side(decode_image(image.read_bytes()), labels, predicted, CLASS_NAMES)


def _save(image: Image.Image, path: Path) -> None:
    with atomic_write(path) as temporary:
        image.save(temporary, "PNG")
