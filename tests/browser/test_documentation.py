"""The built documentation site in Chromium, opened from the disk without a network: search, errors, widths, dark."""

from pathlib import Path

import pytest

from tests.browser.conftest import PATIENCE

pytestmark = pytest.mark.browser

SITE = Path(__file__).resolve().parents[2] / "out" / "docs-site" / "site"
PAGES = ["index", "docs/hyperparameters", "docs/reference/commands/predict", "docs/reference/python/estimator"]


@pytest.fixture
def open_page(chromium):
    """A function that opens a page; what failed or was written to the console as an error fails the test."""
    contexts, wrong = [], []

    def open_(name, width=1280, scheme="light"):
        viewport = {"width": width, "height": 900}
        contexts.append(chromium.new_context(viewport=viewport, color_scheme=scheme, offline=True))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((SITE / f"{name}.html").as_uri())
        return page

    assert SITE.is_dir(), "run make docs-site"
    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


def test_search_finds_a_hyperparameter_from_any_page(open_page):
    page = open_page("docs/training")
    page.get_by_role("button", name="Search").click()
    words = page.get_by_placeholder("Search")
    words.press_sequentially("freeze_backbone")
    found = page.locator("a[href*='hyperparameters.html?h=freeze_backbone']").first
    found.wait_for(state="visible")
    assert words.input_value() == "freeze_backbone"
    found.click()
    page.wait_for_url("**/docs/hyperparameters.html*")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_its_window(open_page, name, width):
    page = open_page(name, width)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.get_by_role("heading", level=1).count() == 1


def test_dark_where_the_system_is_dark(open_page):
    colors = [
        open_page("index", scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    light, dark = ([int(part) for part in color[4:-1].split(",")[:3]] for color in colors)
    assert min(light) > 200
    assert max(dark) < 60
