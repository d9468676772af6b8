"""The command ``sagemaker-semseg``: arguments come in, an exit status goes out; what happened is told in one message.

``parser`` has the flags, ``train``, ``evaluate``, ``predict`` and ``demo`` are the commands, ``failures`` turns errors
into messages and exit statuses, ``engine`` loads TensorFlow once everything else is known to be right.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sagemaker_semseg.cli.parser import parse
from sagemaker_semseg.environment import disable_telemetry
from sagemaker_semseg.error_handling import escape_output, report

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. arguments: as in a shell, without the program's name; None takes this process's own.

    Returns the exit status: 0 done, 1 a fault of this program, 2 something the user can mend, 130 Ctrl-C.
    ``--help`` and ``--version`` raise ``SystemExit``, as argparse does.
    """
    escape_output()
    disable_telemetry()
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose, options = "--verbose" in given, None
    try:
        options = parse(given)
        verbose = options.verbose
        status: int = options.run(options)
        sys.stdout.flush()  # a broken pipe is noticed here and not at the interpreter's end
        return status
    except BaseException as error:
        return report(error, verbose=verbose, output=getattr(options, "output", None))
