"""The endpoint's page to try images by hand: one HTML document and its headers.

The document holds its style and scripts, and the policy in its headers allows nothing else: no other script or style
runs, and no other host is reached. Class names come from the model's file and aren't trusted: they are JSON that can't
end its element, and the script shows them as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from sagemaker_semseg.pages import content_hash, read_asset, read_style, render


def render_page(model: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Returns the body (UTF-8) and the headers of the page.

    Args:
        model: ``name``, ``num_classes``, ``class_names`` and ``palette`` ([red, green, blue]) for each class,
            ``algorithm``, ``backbone``, ``max_payload_mb`` (MiB an image may have; 0 where there is no limit).
    """
    style = read_style(__package__, "page.css")
    script = Markup("").join(read_asset(__package__, name) for name in ("page_mask.js", "page_request.js", "page.js"))
    policy = {
        "default-src": "'none'",
        "script-src": content_hash(script),
        "style-src": content_hash(style),
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    html = render(__package__, "page.html", style=style, script=script, model=_inert_json(model))
    return html.encode(), {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _inert_json(model: Mapping[str, Any]) -> Markup:
    """JSON in ASCII without HTML's special characters, so that it can't end a script element."""
    text = json.dumps(model, ensure_ascii=True, allow_nan=False)
    return Markup(re.sub("[<>&]", lambda character: f"\\u{ord(character[0]):04x}", text))
