"""The pages of the documentation site: each has its place, references have everything, no link leads out of it."""

import importlib.util
import posixpath
import re
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import sagemaker_semseg
from sagemaker_semseg.cli import parser
from sagemaker_semseg.hyperparameters import TABLE

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "site"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The folder with the pages of the site."""
    folder = tmp_path_factory.mktemp("site")
    load("make_pages").main(folder)
    return folder / "pages"


def places(entry):
    if isinstance(entry, str):
        return [entry]
    return [
        place
        for value in entry.values()
        for item in ([value] if isinstance(value, str) else value)
        for place in places(item)
    ]


def test_every_page_has_one_place_in_the_navigation(pages):
    navigation = tomllib.loads((FOLDER / "zensical.toml").read_text())["project"]["nav"]
    listed = [place for entry in navigation for place in places(entry)]
    written = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    results = {name for name in written if name.startswith("benchmarks/results/")}  # the pages lead to them
    assert sorted(listed) == sorted(written - results)


def test_the_reference_has_every_command_and_flag(pages):
    _, parsers = parser._parsers(parser._COMMANDS)
    hyperparameters = {row.name for row in TABLE}
    seen = 0

    def check(page, command):
        nonlocal seen
        for action in command._actions:
            for option in action.option_strings:
                if action.dest not in {"help", *hyperparameters}:
                    assert f"`{option}" in page, option
                    seen += 1
            if hasattr(action, "choices") and isinstance(action.choices, dict):
                for nested in action.choices.values():
                    check(page, nested)

    for name, command in parsers.items():
        check((pages / f"docs/reference/commands/{name}.md").read_text(), command)
    assert seen > 100
    assert "Each [hyperparameter]" in (pages / "docs/reference/commands/train.md").read_text()


def test_the_reference_has_every_public_name(pages):
    text = "".join(path.read_text() for path in (pages / "docs/reference/python").glob("*.md"))
    described = {place.rpartition(".")[2] for place in re.findall(r"^::: (\S+)", text, re.MULTILINE)}
    assert described == set(sagemaker_semseg.__all__) - {"HyperparameterTuner"}


def test_links_lead_to_pages_and_files_of_the_site(pages):
    seen = 0
    for page in pages.rglob("*.md"):
        for _, target, *_ in load("make_pages").LINK.findall(page.read_text()):
            assert (page.parent / target).is_file(), f"{page}: {target}"
            seen += 1
    assert seen > 100


SHIM = '<script src="https://unpkg.com/iframe-worker/shim"></script>'


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("<a href='b.html#here'>b</a>" + SHIM, []),
        ("<a href='c.html'>c</a>", ["deep/a.html: c.html leads nowhere"]),
        ("<a href='b.html#there'>b</a>", ["deep/a.html: b.html#there: there is no such anchor"]),
        ("<script src='https://x.org/y.js'></script>", ["deep/a.html: https://x.org/y.js is loaded from elsewhere"]),
    ],
)
def test_the_built_site_is_checked(tmp_path, content, wrong):
    (tmp_path / "deep").mkdir()
    (tmp_path / "worker.js").touch()
    (tmp_path / "deep/a.html").write_text(content)
    (tmp_path / "deep/b.html").write_text("<h1 id=here>b</h1>")
    assert load("finish_site").finish(tmp_path) == wrong
    written = (tmp_path / "deep/a.html").read_text()
    assert "unpkg" not in written
    assert (SHIM in content) == (posixpath.join("..", "worker.js") in written)
