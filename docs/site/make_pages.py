"""Collects the pages of the documentation site: those of the repository, and references made from the code.

Pages of the repository keep their place, so that their links lead where they lead in a clone. Files that they link to
and that are no pages come along. References of commands are made from the parser, those of Python from the public
names; ``docs/hyperparameters.md`` is made from the table by ``make docs``.

    python docs/site/make_pages.py out/docs-site
"""

from __future__ import annotations

import argparse
import posixpath
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import sagemaker_semseg
from sagemaker_semseg.cli import parser as command_line
from sagemaker_semseg.hyperparameters import TABLE

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
# [text](target#anchor) and ![text](target), not into the web
LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)#\s]+)(#[^)]*)?(\))")
HYPERPARAMETERS = {row.name for row in TABLE}

# module -> (page, title): where the public names of the package are described
API = {
    "jobs.api": ("functions", "train, evaluate, predict"),
    "inference": ("segmenter", "Segmenter"),
    "sdk.estimator": ("estimator", "SemSegEstimator"),
    "sdk.predictor": ("predictor", "SemSegPredictor"),
    "sdk.model": ("model", "SemSegModel"),
    "sdk.transformer": ("transformer", "SemSegTransformer"),
    "sdk.tuner": ("tuner", "Tuner"),
    "sdk.parameters": ("tuner", "Tuner"),
    "sdk.training_input": ("inputs", "TrainingInput"),
    "sdk.serializers": ("serializers", "Serializers and deserializers"),
    "sdk.deserializers": ("serializers", "Serializers and deserializers"),
}


def repository_pages() -> list[str]:
    """List the repository's pages, as paths from its root."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "examples/README.md", *ROOT.glob("benchmarks/**/*.md")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def copy_pages(target: Path) -> None:
    """Copy the repository's pages and the files that they link to."""
    for name in repository_pages():
        folder = posixpath.dirname(name)

        def follow(link: re.Match[str], name: str = name, folder: str = folder) -> str:
            linked = posixpath.normpath(posixpath.join(folder, link[2]))
            if (ROOT / linked).is_dir():
                linked += "/README.md" if (ROOT / linked / "README.md").is_file() else ""
            if linked == "benchmarks/results":
                linked = "benchmarks/README.md"
            path = ROOT / linked
            if not path.is_file():
                raise SystemExit(f"{name}: the link to {link[2]} leads nowhere on the site")
            if path.suffix != ".md":
                copy(path, target / linked)
            return f"{link[1]}{posixpath.relpath(linked, folder or '.')}{link[3] or ''}{link[4]}"

        text = LINK.sub(follow, (ROOT / name).read_text(encoding="utf-8"))
        write(target / name, text)


def command_pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of a page for each command, and of one that lists them."""
    lines = ["# Commands", "", "| command | what it does |", "|---|---|"]
    _, parsers = command_line._parsers(command_line._COMMANDS)
    summaries = {name: parser.description or "" for name, parser in parsers.items()}
    for name, parser in parsers.items():
        lines.append(f"| [{name}]({name}.md) | {_cell(summaries[name].split('. ')[0].rstrip('.'))} |")
        yield f"docs/reference/commands/{name}.md", "\n".join(_command(f"sagemaker-semseg {name}", parser, 1)) + "\n"
    lines += ["", "[The command line](../../cli.md) has versions, completion in the shell and exit statuses."]
    yield "docs/reference/commands/index.md", "\n".join(lines) + "\n"


def _command(name: str, parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}"
    yield from ("", parser.description or "", "", "```text", _usage(parser), "```")
    nested: dict[str, argparse.ArgumentParser] = {}
    for group in parser._action_groups:
        rows = []
        for action in group._group_actions:
            if isinstance(action, argparse._SubParsersAction):
                nested = dict(action.choices)
            elif action.help != argparse.SUPPRESS and action.dest not in HYPERPARAMETERS | {"help"}:
                rows.append(f"| {_flag(action)} | {_cell(_help(action, parser))} |")
        if rows:
            title = {"positional arguments": "Arguments", "options": "Options"}.get(
                group.title or "", group.title or ""
            )
            yield from ("", f"{'#' * (level + 1)} {title[:1].upper()}{title[1:]}", "", "| flag | |", "|---|---|", *rows)
    if any(action.dest in HYPERPARAMETERS for action in parser._actions):
        text = "Each [hyperparameter](../../hyperparameters.md) is a flag: `crop_size` is `--crop-size`."
        taken = sorted(action.option_strings[0] for action in parser._actions if action.dest in HYPERPARAMETERS)
        if len(taken) < len(HYPERPARAMETERS):
            names = ", ".join(f"`{flag}`" for flag in taken)
            text = f"These flags are [hyperparameters](../../hyperparameters.md): {names}."
        yield from ("", f"{'#' * (level + 1)} Hyperparameters", "", text)
    for nested_name, nested_parser in nested.items():
        yield ""
        yield from _command(f"{name.removeprefix('sagemaker-semseg ')} {nested_name}", nested_parser, level + 1)
    if parser.epilog:
        text = parser.epilog.split("\nexit status:")[0].removesuffix(command_line._EXIT_STATUS).strip("\n")
        yield from ("", f"{'#' * (level + 1)} Examples and notes", "", "```text", text, "```")


def _usage(parser: argparse.ArgumentParser) -> str:
    if parser.usage:
        return parser.format_usage().removeprefix("usage: ").strip()
    places = [action for action in parser._actions if not action.option_strings]
    needed = [action for action in parser._actions if action.option_strings and action.required]
    formatter = parser._get_formatter()
    words = [*(f"{action.option_strings[-1]} {_metavar(action)}" for action in needed), "[OPTIONS]"]
    words += [
        "COMMAND"
        if isinstance(action, argparse._SubParsersAction)
        else formatter._format_args(action, formatter._get_default_metavar_for_positional(action))
        for action in places
    ]
    return " ".join([parser.prog, *words])


def _metavar(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.metavar is None:
        return "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    return action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)


def _flag(action: argparse.Action) -> str:
    names = action.option_strings or [_metavar(action)]
    value = f" {_metavar(action)}".rstrip() if action.option_strings else ""
    return _cell(", ".join(f"`{name}{value}`" for name in names))


def _help(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    choices = ""
    if action.choices and action.metavar is not None:
        choices = " One of " + ", ".join(f"`{choice}`" for choice in action.choices) + "."
    return f"{text}{choices}"


def _cell(text: str) -> str:
    """Escape what a cell of a table would take for its own signs."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()).replace("|", "\\|"))
    return "".join(part if part.startswith("`") else re.sub(r"([<>*_])", r"\\\1", part) for part in parts)


def api_pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each page of the Python reference, for mkdocstrings."""
    names: dict[tuple[str, str], list[str]] = {}
    for name, home in sagemaker_semseg._HOMES.items():
        if name != "HyperparameterTuner":  # Tuner's other name
            names.setdefault(API[home], []).append(f"sagemaker_semseg.{home}.{name}")
    names["sagemaker", "replace_sagemaker"] = [
        "sagemaker_semseg.replace_sagemaker",
        "sagemaker_semseg.restore_sagemaker",
    ]
    lines = ["# Python", "", "All of these are imported from `sagemaker_semseg`; the import loads nothing heavy.", ""]
    lines += ["| name | page |", "|---|---|"]
    for (page, title), paths in names.items():
        shown = ", ".join(f"`{path.rpartition('.')[2]}`" for path in paths)
        lines.append(f"| {shown} | [{title}]({page}.md) |")
        text = [f"# {title}", "", *(line for path in paths for line in (f"::: {path}", ""))]
        yield f"docs/reference/python/{page}.md", "\n".join(text)
    yield "docs/reference/python/index.md", "\n".join(lines) + "\n"


def copy(source: Path, target: Path) -> None:
    """Copy a file, with the folders around it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def write(path: Path, text: str) -> None:
    """Write a page, with the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main(folder: Path) -> None:
    """Write the pages into ``folder/pages``, and beside them what Zensical needs to build them."""
    pages = folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    copy_pages(pages)
    for name, text in (*command_pages(), *api_pages()):
        write(pages / name, text)
    for name in ("site.css", "worker.js"):
        copy(HERE / name, pages / name)
    for name in ("zensical.toml", "docstring_examples.py"):
        copy(HERE / name, folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
