"""HTML pages made from the Jinja2 templates and styles that lie in a package."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

import jinja2
from markupsafe import Markup

__all__ = ["clean", "content_hash", "read_asset", "render"]

LONGEST_TEXT = 300
"""Characters of an inserted text that are shown; names are shorter, and a page of them stays small."""


def render(package: str, template: str, **values: object) -> str:
    """Fill a template with values; every text is escaped, cut and cleaned unless it is ``Markup``.

    Args:
        package: The package in which the template lies, such as ``__package__``.
        template: The template's file name.
        values: What the template names. Functions may be given too.

    Returns:
        The HTML.

    Raises:
        jinja2.UndefinedError: The template names a value that isn't given.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=clean,
        loader=jinja2.FunctionLoader(lambda name: read_asset(package, name)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)


def read_asset(package: str, name: str) -> Markup:
    """Read a file of the package (style, script, template); it's trusted, so it isn't escaped."""
    return Markup(files(package).joinpath(name).read_text(encoding="utf-8"))


def content_hash(text: str) -> str:
    """Return the source expression that lets a Content-Security-Policy allow this inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def clean(value: object) -> object:
    """Cut a long text and replace the characters that would hide or reverse what follows them."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = value.encode("utf-8", "replace").decode()
    if len(text) > LONGEST_TEXT:
        text = text[: LONGEST_TEXT - 30] + " ... " + text[-25:]
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
