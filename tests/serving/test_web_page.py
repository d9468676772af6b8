"""The page's bytes and headers: one document, nothing from outside, a policy that fits, foreign names kept as data."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from sagemaker_semseg.serving.web_page import render_page

MODEL = {
    "name": "streets",
    "num_classes": 2,
    "class_names": ["road", "sky"],
    "palette": [[0, 0, 0], [128, 0, 0]],
    "algorithm": "fcn",
    "backbone": "resnet-18",
    "max_payload_mb": 6,
}
HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "</ScRiPt ><script>alert(1)</script>",
    "<!--<script>",
    "]]>&lt;&amp;",
    "{{script}} {{model}} \\1 \\g<0>",
    "line\u2028and\u2029paragraph",
    "\ud800 alone",
    "\x00\x1b[31m",
    "straße 道路",
]


class Document(HTMLParser):
    """Elements with their attributes and, of scripts and styles, their text, as a browser would split them."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self._inside = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self._inside = tag
            self.elements[-1][1]["text"] = ""

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside:
            self.elements[-1][1]["text"] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def opened(model=MODEL):
    body, headers = render_page(model)
    return Document(body.decode()), headers


def policy(headers):
    return dict(directive.strip().split(" ", 1) for directive in headers["Content-Security-Policy"].split(";"))


def test_the_policy_allows_the_page_s_own_script_and_style_and_nothing_else():
    document, headers = opened()
    data, script = document.all("script")
    (style,) = document.all("style")
    assert data.keys() == {"type", "id", "text"}
    assert data["type"] == "application/json"
    assert script.keys() == {"type", "text"}
    hashes = {
        name: "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
        for name, text in (("script-src", script["text"]), ("style-src", style["text"]))
    }
    assert policy(headers) == {
        "default-src": "'none'",
        **hashes,
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_other_headers():
    _, headers = opened()
    headers.pop("Content-Security-Policy")
    assert headers == {
        "Content-Type": "text/html; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def test_the_model_is_in_it_as_data():
    document, _ = opened()
    assert json.loads(document.all("script")[0]["text"]) == MODEL


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_foreign_name_stays_text(name):
    model = {**MODEL, "name": name, "class_names": [name, name], "backbone": name}
    document, headers = opened(model)
    usual, same = opened()
    assert json.loads(document.all("script")[0]["text"]) == model
    assert headers == same
    assert [tag for tag, _ in document.elements] == [tag for tag, _ in usual.elements]
    assert not re.search("[<>&\u2028\u2029]", document.all("script")[0]["text"])


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError):
        render_page({**MODEL, "max_payload_mb": float("nan")})


def test_nothing_is_loaded_from_elsewhere_and_no_markup_runs_or_styles():
    document, _ = opened()
    for tag, attributes in document.elements:
        assert not {name for name in attributes if name.startswith("on") or name == "style"}, tag
        assert "src" not in attributes, tag
    assert {link["href"].split(":")[0] for link in document.all("link")} == {"data"}
    assert {link["href"] for link in document.all("a") if "href" in link} == {"ping", "execution-parameters", "metrics"}
    style, script = document.all("style")[0]["text"], document.all("script")[1]["text"]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|https?://", script)


def test_the_script_finds_every_element_it_names():
    document, _ = opened()
    script = document.all("script")[1]["text"]
    ids = {attributes["id"] for _, attributes in document.elements if "id" in attributes}
    named = set(re.findall(r"\belement\.(\w+)", script)) | set(re.findall(r'getElementById\("(\w+)"\)', script))
    assert len(named) > 20
    assert named - ids == set()
