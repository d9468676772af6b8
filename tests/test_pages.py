"""Pages: what a template's values become in HTML."""

import base64
import hashlib

import jinja2
import pytest
from markupsafe import Markup

from sagemaker_semseg import pages
from sagemaker_semseg.pages import rendering
from sagemaker_semseg.pages.formatting import count, sentence, share


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose file ``page.html`` holds the text that this is called with."""
    monkeypatch.setattr(rendering, "files", lambda package: tmp_path / package)

    def make(template):
        (tmp_path / "package").mkdir()
        (tmp_path / "package/page.html").write_text(template)
        return "package"

    return make


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\"><img src=x onerror='x'>", "{{ secret }}", "a & b"])
def test_a_text_stays_a_text(package, text):
    html = pages.render(package('<p title="{{ name }}">{{ name }}</p>'), "page.html", name=text, secret=42)
    assert html == f'<p title="{Markup.escape(text)}">{Markup.escape(text)}</p>'
    assert "<script" not in html
    assert "42" not in html


def test_markup_is_inserted_as_it_is(package):
    assert pages.render(package("<style>{{ style }}</style>\n"), "page.html", style=Markup("a > b {}")) == (
        "<style>a > b {}</style>\n"
    )


def test_a_missing_value_is_an_error(package):
    with pytest.raises(jinja2.UndefinedError, match="nothing"):
        pages.render(package("{{ nothing }}"), "page.html")


@pytest.mark.parametrize("text", ["a\u202etxt.exe", "a\x00b", "a\nb", "a\u200bb", "a\x1b[31m", "a\udc80b"])
def test_characters_that_hide_or_reverse_are_replaced(package, text):
    html = pages.render(package("{{ name }}"), "page.html", name=text)
    assert html.isprintable()
    assert html.startswith("a")


def test_a_long_text_is_cut_in_its_middle(package):
    html = pages.render(package("{{ name }}"), "page.html", name="b" + "x" * 5000 + "e")
    assert len(html) <= rendering.LONGEST_TEXT
    assert html.startswith("bx")
    assert html.endswith("xe")
    assert " ... " in html


def test_numbers_and_functions_are_values_too(package):
    template = package("{{ count }} {{ twice(count) }}")
    assert pages.render(template, "page.html", count=2, twice=lambda number: 2 * number) == "2 4"


def test_a_file_of_the_package_is_trusted(package):
    assert pages.read_asset(package("<b>{{ x }}</b>"), "page.html") == Markup("<b>{{ x }}</b>")


def test_the_hash_is_that_of_the_policy():
    digest = base64.b64encode(hashlib.sha256(b"p { }").digest()).decode()
    assert pages.content_hash("p { }") == f"'sha256-{digest}'"


def test_numbers_and_words():
    assert [count(n) for n in (0, 999, 1000, 1234567)] == ["0", "999", "1\u202f000", "1\u202f234\u202f567"]
    assert (count(1, "image"), count(2, "class", "classes")) == ("1 image", "2 classes")
    assert [share(n, 100_000) for n in (0, 1, 20, 1000, 33_333)] == ["0 %", "< 0.01 %", "0.02 %", "1.0 %", "33.3 %"]
    assert (sentence("turn it"), sentence("num_classes is"), sentence("a.png is")) == (
        "Turn it", "num_classes is", "a.png is",
    )  # fmt: skip
