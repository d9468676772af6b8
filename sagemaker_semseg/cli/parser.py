"""Parses the command line into a namespace whose ``run`` is the command.

A command is a module with ``SUMMARY``, ``DESCRIPTION``, ``EPILOG``, ``add_arguments(parser)`` and ``run(options)``,
which returns the exit status. A flag that doesn't exist is not refused at once but kept in ``options.faults``, so that
a command can report it together with everything else that is wrong.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import re
from collections.abc import Sequence
from typing import NoReturn

import shtab

from sagemaker_semseg.cli.flags import add_progress_flags
from sagemaker_semseg.cli.versions import describe_version
from sagemaker_semseg.error_handling import PROGRAM
from sagemaker_semseg.errors import Fault, UserError

# each is a module NAME_command in this package
_COMMANDS = (
    "train",
    "evaluate",
    "report",
    "predict",
    "serve",
    "check",
    "quantize",
    "benchmark",
    "export",
    "import",
    "launch",
    "jobs",
    "buckets",
    "weights",
    "convert",
    "demo",
    "env",
)

_DESCRIPTION = """\
Semantic segmentation in the shape of Amazon SageMaker's built-in algorithm: trains a model on folders of images and
masks, and writes masks of new images."""

_EPILOG = """\
a first training:
  sagemaker-semseg check --data mydata --num-classes 3
  sagemaker-semseg train --data mydata --output out --num-classes 3 --use-pretrained-model False
  sagemaker-semseg evaluate out --data mydata
  sagemaker-semseg predict out new1.jpg new2.jpg -o masks --overlay

without data of your own:
  sagemaker-semseg demo

"""

_EXIT_STATUS = """\
exit status: 0 done, 1 a fault of this program, 2 something you can fix, 130 stopped with Ctrl-C
"""


class _Parser(argparse.ArgumentParser):
    """A parser that raises what argparse would print below the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}{_nearest_choice(message)}\nSee {self.prog} --help")


class _Version(argparse.Action):
    """Prints the versions; reading those of the engines takes a moment, so it's done on request alone."""

    def __call__(self, *_: object) -> NoReturn:
        print(describe_version())
        raise SystemExit(0)


def _nearest_choice(message: str) -> str:
    """Return ``; did you mean X?`` for argparse's message about a value that isn't one of the choices."""
    found = re.search(r"invalid choice: '?(.*?)'? \(choose from (.*)\)$", message)
    choices = [choice.strip().strip("'") for choice in found[2].split(",")] if found else []
    near = difflib.get_close_matches(found[1].lower(), choices, n=1) if found else []
    return f"; did you mean {near[0]}?" if near else ""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the namespace for ``arguments``. Raises UserError; SystemExit after ``--help`` and ``--version``."""
    first = arguments[0] if arguments else ""
    if first and not first.startswith("-") and first not in _COMMANDS:
        near = difflib.get_close_matches(first, _COMMANDS, n=1)
        what = f"did you mean {near[0]}?" if near else f"there are {', '.join(_COMMANDS)}"
        raise UserError(f"there is no command {first} ({what})\nSee {PROGRAM} --help")
    top, commands = _parsers([first] if first in _COMMANDS else _COMMANDS)
    if not arguments:
        top.print_help()
        raise SystemExit(2)
    options, unknown = top.parse_known_args(arguments)
    if "run" not in options:
        if unknown:
            faults = [*_unknown(unknown, top), Fault("COMMAND", "a command is missing", f"{PROGRAM} --help lists them")]
            raise UserError("The command can't be carried out:", faults)
        top.error("a command is missing")
    options.faults = _unknown(unknown, getattr(options, "parser", commands[options.command]))
    return options


def _parsers(names: Sequence[str]) -> tuple[_Parser, dict[str, argparse.ArgumentParser]]:
    top = _Parser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=_EPILOG + _EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show versions of this program and its engines")
    if len(names) == len(_COMMANDS):
        shtab.add_argument_to(top, "--print-completion", help="print a script for the shell's completion of commands")
    chooser = top.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for name in names:
        # only the one that is needed is loaded: a server need not hold what trains
        command = importlib.import_module(f"sagemaker_semseg.cli.{name}_command")
        parser = chooser.add_parser(
            name,
            usage=getattr(command, "USAGE", None),  # argparse's own would be every hyperparameter
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=command.EPILOG + getattr(command, "EXIT_STATUS", _EXIT_STATUS),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(parser)
        parser.add_argument("--verbose", action="store_true", help="show tracebacks, and what TensorFlow says")
        add_progress_flags(parser)
        parser.set_defaults(run=command.run)
    return top, dict(chooser.choices)


def _unknown(arguments: Sequence[str], parser: argparse.ArgumentParser) -> list[Fault]:
    """A fault for each flag that doesn't exist, with the nearest that does. What follows one is taken for its value."""
    known = list(parser._option_string_actions)
    faults, value_expected = [], False
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("-"):
            near = difflib.get_close_matches(name.lower().replace("_", "-"), known, n=1)
            faults.append(Fault(name, "there is no such flag", f"did you mean {near[0]}?" if near else ""))
            value_expected = "=" not in argument
        elif value_expected:
            value_expected = False
        else:
            faults.append(Fault(argument, "nothing is expected here", "put a flag before it, or quotes around blanks"))
    return faults
