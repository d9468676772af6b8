"""The command ``sagemaker-semseg``: flags are parsed, a job is run, its result is printed.

``parser`` finds the command's module, which adds the flags and has the function ``run``; ``flags`` has those that
several commands share.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sagemaker_semseg.cli.parser import parse
from sagemaker_semseg.environment import disable_telemetry
from sagemaker_semseg.error_handling import escape_output, report
from sagemaker_semseg.jobs.progress_bar import set_progress_mode

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: as in a shell, without the program's name; those of this process if None.

    Returns:
        The exit status, an ``errors.ExitStatus``.

    Raises:
        SystemExit: after ``--help`` and ``--version``, as argparse does.
    """
    escape_output()
    disable_telemetry()
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose, options = "--verbose" in given, None
    try:
        options = parse(given)
        verbose = options.verbose
        set_progress_mode("none" if options.quiet else options.progress)
        status: int = options.run(options)
        sys.stdout.flush()  # a broken pipe is noticed here and not at the interpreter's end
        return status
    except BaseException as error:
        return report(error, verbose=verbose, output=getattr(options, "output", None))
