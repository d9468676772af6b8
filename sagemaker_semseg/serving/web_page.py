"""The page for people at ``/``: what is known of the model comes in, one HTML document and its headers go out.

Called by ``app``. The document holds its style and scripts, so that nothing else is loaded, and the policy in the
headers allows nothing else: no other script or style runs, no other host is reached. What a model's file says (names of
classes) is foreign text: it travels as JSON that can't end its element, and the script shows it as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

__all__ = ["page"]


def page(model: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """The body (UTF-8) and the headers of a 200 reply.

    model: ``name``, ``num_classes``, ``class_names`` (one for each class), ``palette`` (their colours, [red, green,
    blue] each), ``algorithm``, ``backbone``, ``max_payload_mb`` (MiB an image may have; 0 where there is no limit).
    """
    style = _read("page.css")
    script = _read("page_mask.js") + _read("page_request.js") + _read("page.js")
    parts = {"style": style, "script": script, "model": _inert(model)}
    # all in one go: a name that looks like a place to fill isn't one
    html = re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _read("page.html"))
    return html.encode(), {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": _policy(style, script),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _policy(style: str, script: str) -> str:
    directives = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inert(model: Mapping[str, Any]) -> str:
    """JSON in ASCII without the characters that mean something in HTML: nothing in it can end a script element."""
    text = json.dumps(model, ensure_ascii=True, allow_nan=False)
    return re.sub("[<>&]", lambda character: f"\\u{ord(character[0]):04x}", text)


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
