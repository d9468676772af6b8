"""Checks the built site, and makes it need nothing from elsewhere: links, anchors, scripts and styles.

python docs/site/finish_site.py out/docs-site/site
"""

from __future__ import annotations

import posixpath
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Zensical's pages for a disk take it from there; worker.js does what search needs of it
SHIM = "https://unpkg.com/iframe-worker/shim"
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")}


class Page(HTMLParser):
    """The targets of a page's links, what it loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif value and (tag, name) in LOADED and ("rel", "canonical") not in attrs:
                self.loaded.append(value)
            elif value and name == "href":
                self.links.append(value)


def finish(site: Path) -> list[str]:
    """Replace the script that would be fetched; return what is wrong with the site."""
    pages = {}
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).as_posix()
        text = path.read_text(encoding="utf-8")
        if SHIM in text:
            text = text.replace(SHIM, posixpath.relpath("worker.js", posixpath.dirname(name) or "."))
            path.write_text(text, encoding="utf-8")
        pages[name] = Page(text)
    faults = []
    for name, page in pages.items():
        faults += [f"{name}: {address} is loaded from elsewhere" for address in page.loaded if urlsplit(address).netloc]
        for address in (*page.loaded, *page.links):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or name == "404.html":
                continue
            target = (
                posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path))) if parts.path else name
            )
            if not (site / target).is_file():
                faults.append(f"{name}: {address} leads nowhere")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                faults.append(f"{name}: {address}: there is no such anchor")
    return faults


if __name__ == "__main__":
    found = finish(Path(sys.argv[1]))
    print("\n".join(found), file=sys.stderr)
    sys.exit(1 if found else 0)
