"""The command ``sagemaker-semseg launch``: a training as several hosts of this machine."""

from __future__ import annotations

import argparse
import sys

from sagemaker_semseg.cli import main
from sagemaker_semseg.container.launch_hosts import exit_status, launch_hosts
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.signals import watch_parent

SUMMARY = "train with several processes of this machine, as if they were hosts"
DESCRIPTION = """\
Starts the command `train` N times; the processes train together, as the hosts of a SageMaker job with N instances do.
One machine is faster with one process: this is for trying out what will run on several (docs/distributed.md)."""
EPILOG = """\
example:
  sagemaker-semseg launch --hosts 2 train --data mydata --output out --num-classes 3 --mini-batch-size 16

stopping: Ctrl-C or SIGTERM ends all after the same step. If one process dies, the others end within a minute. The same
  command continues from the last checkpoint, with another number of hosts too.

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hosts", type=int, metavar="N", required=True, help="number of processes, from 2 on")
    text = "the command and its flags"
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="train ...", help=text)


def run(options: argparse.Namespace) -> int:
    faults = list(options.faults)
    if options.hosts < 2:
        faults.append(Fault("--hosts", f"is {options.hosts}", "give 2 or more, or leave out launch"))
    if options.rest[:1] != ["train"]:
        what = f"{' '.join(options.rest[:1]) or 'nothing'} can't be launched"
        faults.append(Fault("launch", what, "give train and its flags after --hosts N"))
    if faults:
        raise UserError("The command can't be carried out:", faults)
    verbose = ["--verbose"] if options.verbose else []
    hosts = launch_hosts([sys.executable, "-m", __name__, *options.rest, *verbose], options.hosts)
    return exit_status(hosts.processes[0].returncode)


if __name__ == "__main__":  # one of the hosts
    watch_parent()
    sys.exit(main())
