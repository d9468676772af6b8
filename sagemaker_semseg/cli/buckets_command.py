"""``sagemaker-semseg buckets``: lists, empties and deletes the buckets of this machine."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.storage.local_buckets import delete_bucket, empty_bucket, local_buckets

USAGE = "%(prog)s [list | empty NAME | delete NAME] [options]"
SUMMARY = "list, empty and delete the buckets of this machine"
DESCRIPTION = """\
The buckets that a session without AWS credentials makes: folders on this machine, whose files have the addresses
s3://BUCKET/KEY in every command and in Python."""
EPILOG = """\
examples:
  sagemaker-semseg buckets                        all of them, with their sizes
  sagemaker-semseg buckets empty sagemaker-local  delete its files: uploads, models, checkpoints
  sagemaker-semseg buckets delete NAME            delete it as a whole

where: in buckets/ of SAGEMAKER_SEMSEG_STATE, else of sagemaker-semseg below XDG_STATE_HOME or ~/.local/state

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = ("list", "empty", "delete")
    parser.add_argument("action", nargs="?", choices=actions, default="list", help="what to do (default: list)")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of a bucket")
    parser.add_argument("--json", action="store_true", help="list: as JSON")


def run(options: argparse.Namespace) -> int:
    faults = list(options.faults)
    if options.action == "list" and options.name is not None:
        faults.append(Fault(options.name, "list takes no name", "leave it out"))
    if options.action != "list" and options.name is None:
        remedy = "sagemaker-semseg buckets lists them"
        faults.append(Fault(options.action, "the name of a bucket is missing", remedy))
    if faults:
        raise UserError("The command can't be carried out:", faults)
    if options.action == "list":
        _list(options.json)
    elif options.action == "empty":
        print(f"files deleted: {empty_bucket(options.name)}")
    else:
        print(f"bucket deleted, and its files: {delete_bucket(options.name)}")
    return 0


def _list(as_json: bool) -> None:
    buckets = list(local_buckets())
    if as_json:
        print(json.dumps([asdict(bucket) for bucket in buckets], indent=1))
    elif not buckets:
        print("This machine has no buckets: a session without AWS credentials makes the first one.")
    else:
        width = max(len(bucket.name) for bucket in buckets)
        for bucket in buckets:
            print(f"{bucket.name:<{width}}  {bucket.files:>7} files  {bucket.size / 1e6:>10.1f} MB")
