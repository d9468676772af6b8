"""The command ``sagemaker-semseg check``: reports what is wrong or doubtful with a data set."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from sagemaker_semseg import environment
from sagemaker_semseg.checks import run_checks
from sagemaker_semseg.checks.recommendations import add_recommendations
from sagemaker_semseg.checks.report import Report
from sagemaker_semseg.checks.runner import SETTINGS
from sagemaker_semseg.cli import report_table
from sagemaker_semseg.cli.flags import (
    add_data_flags,
    add_hyperparameter_flags,
    data_arguments,
    hyperparameter_arguments,
    refuse,
)
from sagemaker_semseg.cli.json_output import write_json
from sagemaker_semseg.data.channels import SPLITS
from sagemaker_semseg.data.datasets import ValidationSplit
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.hyperparameters import MAX_CLASSES, resolve
from sagemaker_semseg.jobs.channel_locations import locate_channels
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.storage import atomic_write, is_s3

USAGE = "%(prog)s --data DIR|MANIFEST [--num-classes N] [--json FILE] [--html FILE] [--strict]"
SUMMARY = "check a data set: every fault, and everything that is doubtful"
DESCRIPTION = """\
Reads every file once and reports what would stop a training (errors) and what would make its model worse (warnings):
where, what, why it matters, how to fix it. Then what the data hold, settings that suit them, and the memory needed."""
EPILOG = """\
examples:
  sagemaker-semseg check --data mydata --num-classes 3
  sagemaker-semseg check --data mydata --num-classes 3 --class-names road,car,tree --html report.html
  sagemaker-semseg check --data mydata --num-classes 3 --crop-size 480 --mini-batch-size 8 --backbone resnet-101
  sagemaker-semseg check --data train.manifest --validation validation.manifest
  sagemaker-semseg check --data mydata --json - | jq '.findings[] | select(.level == "error") | .where'
  sagemaker-semseg check --data mydata --num-classes 3 --strict || exit 1

Without --num-classes the number that the masks need is proposed. docs/check.md lists all findings.

"""
EXIT_STATUS = """\
exit status: 0 no errors, 1 warnings with --strict (or a fault of this program), 2 errors
"""

NO_ERRORS, WARNINGS, ERRORS = 0, 1, 2
_FLAGS: Final = ("num_classes", "class_names", "seed", *SETTINGS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_flags(parser, both_splits=True)
    group = parser.add_argument_group("report")
    text = "also write all findings to this file as JSON; - prints it instead of the table"
    group.add_argument("--json", metavar="FILE", help=text)
    text = "write the report as an HTML page with images, in one file"
    group.add_argument("--html", type=Path, metavar="FILE", help=text)
    text = "write the proposed label map to DATA/label_map, where training finds it"
    group.add_argument("--write-label-map", action="store_true", help=text)
    group.add_argument("--strict", action="store_true", help="warnings count too: exit status 1")
    add_hyperparameter_flags(parser, _FLAGS)


def run(options: argparse.Namespace) -> int:
    given = hyperparameter_arguments(options)
    refuse(options.faults)
    named = given.get("class_names", "").count(",") + 1
    hp = resolve({"num_classes": min(max(2, named), MAX_CLASSES), **given})
    num_classes, names = hp.num_classes if "num_classes" in given else None, hp.class_names
    data = data_arguments(options)
    share, attributes = options.validation_split, data["attribute_names"]
    if share is not None and not 0 < share < 1:
        refuse([Fault("--validation-split", f"is {share:g}", "give a number above 0 and below 1, such as 0.2")])
    folders = locate_channels(data["data"], data["channels"], "train" if share else None)
    share = ValidationSplit(share, hp.seed) if share else None
    known = num_classes or len(names) or None
    with progress_bar("checking the data") as advance:
        report = run_checks(
            folders,
            hp,
            num_classes=known,
            class_names=names,
            attributes=attributes,
            validation_split=share,
            progress=advance,
        )
    report = dataclasses.replace(report, settings={**report.settings, "data": str(options.data or "")})
    report = add_recommendations(report, environment.memory_limit())
    if options.html:
        _write_page(report, options.html)
    may_print = write_json(report.to_dict(), options.json)
    if may_print:
        parents = {folder.parent for folder in folders.values()}
        report_table.show(report, parents.pop() if len(parents) == 1 else None, proposed=known is None)
    if options.write_label_map:
        _write_label_maps(report, _label_map_folder(data, folders), sys.stdout if may_print else sys.stderr)
    return ERRORS if report.errors else WARNINGS if report.warnings and options.strict else NO_ERRORS


def _label_map_folder(data: Mapping[str, Any], folders: Mapping[str, Path]) -> Path:
    """The folder of label maps beside the training data."""
    channel = next(name for name in SPLITS if name in folders)
    location = data["channels"].get(channel, data["data"])
    if is_s3(location):
        fault = Fault(location, "is in S3, to which nothing is written", "put the label map above there yourself")
        raise UserError("The label map can't be written:", [fault])
    return folders[channel].parent / "label_map"


def _write_label_maps(report: Report, folder: Path, log: TextIO) -> None:
    """Write a file for each split, also for one that needs none. Raises UserError rather than replace one."""
    if not report.label_maps:
        print("no label map is proposed, so none is written", file=log)
        return
    paths = {split: folder / f"{split}_label_map.json" for split in SPLITS}
    faults = [Fault(str(path), "is there already", "remove it first") for path in paths.values() if path.exists()]
    if faults:
        raise UserError("The label map can't be written:", faults)
    folder.mkdir(exist_ok=True)
    for split, path in paths.items():
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(report.label_maps.get(split, {"scale": 1})) + "\n", encoding="utf-8")
        print(f"label map written: {path}", file=log)


def _write_page(report: Report, path: Path) -> None:
    from sagemaker_semseg.checks.html_report import render

    with atomic_write(path) as temporary:
        temporary.write_text(render(report), encoding="utf-8")
