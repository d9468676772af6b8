"""Shows examples in docstrings as blocks of code: an extension of Griffe, which reads the docstrings."""

from __future__ import annotations

import re
from typing import Any

import griffe

# "Example:" and the indented lines below it; lines from >>> to the next empty one
EXAMPLE = re.compile(r"^Example:\n((?:(?:    .*)?\n)*(?:    .+)?)", re.MULTILINE)
SESSION = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Examples(griffe.Extension):
    """Puts examples into fences, without doctest's options."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring:
            text = re.sub(r"  # doctest: .*$", "", obj.docstring.value, flags=re.MULTILINE)
            text = SESSION.sub(lambda found: fenced(found[0]), text)
            obj.docstring.value = EXAMPLE.sub(lambda found: f"Example:\n{fenced(found[1])}\n", text)


def fenced(lines: str) -> str:
    """Return the lines between fences that have their indentation."""
    indent = re.match(" *", lines)[0]  # type: ignore[index]
    language = "pycon" if lines.lstrip().startswith(">>>") else "python"
    return f"{indent}```{language}\n{lines.rstrip()}\n{indent}```"
