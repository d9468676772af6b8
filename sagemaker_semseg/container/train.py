"""A training in SageMaker's folder, from its configuration to what SageMaker collects: ``train`` in a container."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path

from sagemaker_semseg.container.job_directory import read_training_config
from sagemaker_semseg.container.outputs import reports_folder, write_failure_file, write_metrics
from sagemaker_semseg.environment import base_folder, disable_telemetry
from sagemaker_semseg.error_handling import escape_output, report
from sagemaker_semseg.errors import ExitStatus
from sagemaker_semseg.jobs.run_training import exit_status, run_training
from sagemaker_semseg.signals import catch_signals, watch_parent


def run(base: Path, *, verbose: bool = False) -> ExitStatus:
    """Run the training of the job in ``base``; returns its exit status.

    Raises whatever the training raises, after it has been written to output/failure.
    """
    try:
        reports_folder(base).mkdir(parents=True, exist_ok=True)
        config, faults = read_training_config(base)
        try:
            return exit_status(run_training(replace(config, verbose=verbose), faults=faults))
        finally:  # a training that diverged leaves a model, too
            with catch_signals((signal.SIGTERM,)):  # what is left takes seconds
                write_metrics(base)
    except BaseException as error:
        if not isinstance(error, SystemExit):
            write_failure_file(base, error)
        raise


def main() -> int:
    """Run the job of this process's base folder."""
    watch_parent()
    escape_output()
    disable_telemetry()
    base, verbose = base_folder(), "--verbose" in sys.argv[1:]
    try:
        return run(base, verbose=verbose)
    except BaseException as error:
        return report(error, verbose=verbose, output=reports_folder(base))


if __name__ == "__main__":
    sys.exit(main())
