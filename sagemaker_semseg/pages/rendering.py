"""Fills the Jinja2 templates that lie in a package."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

import jinja2
from markupsafe import Markup

from sagemaker_semseg.pages import formatting

__all__ = ["clean", "content_hash", "read_asset", "read_style", "render", "render_report"]

LONGEST_TEXT = 300
"""Characters of an inserted text that are shown; names are shorter, and a page of them stays small."""


def render(package: str, template: str, **values: object) -> str:
    """Fill a template with values; every text is escaped, cut and cleaned unless it is ``Markup``.

    Args:
        package: The package in which the template lies, such as ``__package__``.
        template: The template's file name. It may extend and import those of this room as ``pages/frame.html``.
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
        loader=jinja2.FunctionLoader(lambda name: _read_template(package, name)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update({name: getattr(formatting, name) for name in formatting.__all__})
    return environment.get_template(template).render(values)


def render_report(package: str, template: str, **values: object) -> str:
    """Fill a template that extends ``pages/frame.html``: one file, which loads nothing and runs no script.

    Args:
        package: As for ``render``.
        template: As for ``render``.
        values: As for ``render``; ``version`` is that of this package.
    """
    style = read_style(__package__, "look.css")
    return render(package, template, style=style, policy=content_hash(style), **values)


def _read_template(package: str, name: str) -> Markup:
    shared = name.removeprefix("pages/")
    return read_asset(package, name) if shared == name else read_asset(__package__, shared)


def read_asset(package: str, name: str) -> Markup:
    """Read a file of the package (style, script, template); it's trusted, so it isn't escaped."""
    return Markup(files(package).joinpath(name).read_text(encoding="utf-8"))


def read_style(package: str, name: str) -> Markup:
    """Read a style of the package, after the colors that all pages share."""
    return read_asset(__package__, "colors.css") + read_asset(package, name)


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
