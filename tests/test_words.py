"""Words that must not come back: private ones, for which CONTRIBUTING.md ("Words") has standard terms."""

import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".py", ".md", ".html", ".css", ".js", ".ipynb", ".sh", ".cfg", ".toml", ""}

# in any text: code, comments, docstrings, messages and pages; a word -> what to write instead
TEXT = {
    r"farewells?": "shutdown",
    r"onlookers?|looks? on\b|someone who": "visitor, callback",
    r"called by": "nothing: it goes stale",
    r"(comes?|came|coming) in\b(?! Pipe| pieces| order)|(goes?|went|going) out\b": "reads, takes, returns, writes",
    r"in: .*\. out: .*": "a sentence with a verb",
    r"by lot": "at random",
    r"mend(s|ed|ing)?": "fix",
    r"anew": "again, restart",
    r"without a word": "silently",
    r"in hand": "in flight, current",
    r"twins?": "duplicates",
    r"specimens?": "previews, samples",
    r"photo(s|graphs?)?|pictures?": "image",
    r"told": "reported, given, informed",
    r"(goes?|went|gone|going) on": "continues, resumes",
    r"whoever|somebody|someone|nobody": "the user, a caller, no ...",
    r"looks? at|looked at|looking at": "reads, checks, inspects",
    r"doctor": "checks",
    r"reckon(s|ed|ing)?": "compute, estimate",
    r"the only reader": "nothing: import-linter and grep say it",
    r"visit(s|ed)?": "reads, sample",
    r"held against": "compared with",
}
# in identifiers of Python: US spelling, as in Keras and the standard library
IDENTIFIERS = {
    r"colour": "color",
    r"grey": "gray",
    r"neighbour": "neighbor",
    r"(initial|normal|optim|serial|summar|recogn|organ|central)is(e|ation)": "-iz-",
    r"centre|metre": "center, meter",
    r"behaviour|favour": "-or",
    r"look(?!_?up)|told|picture|photo|twin|specimen|farewell|onlooker|whole_set": "see the words above",
}
# (file, line): where a word has its standard meaning
ALLOWED = [
    (r"CHANGELOG\.md", r"^\| .* \| .* \|$"),  # the table of renamed names
]


def room_of(path: Path) -> str:
    """Return the folder that a person owns: ``sagemaker_semseg/data``, ``tests/data``, ``docs``, or "" for the root."""
    parts = path.relative_to(ROOT).parent.parts
    return "/".join(parts[:2] if parts[:1] in (("sagemaker_semseg",), ("tests",)) else parts[:1])


def rooms() -> dict[str, list[Path]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    paths = paths or [path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.parts)]
    found: dict[str, list[Path]] = {}
    for path in sorted(paths):
        results = path.is_relative_to(ROOT / "benchmarks/results")  # dated, and stay as they were written
        if path.suffix in SUFFIXES and path.is_file() and not results and path != Path(__file__):
            found.setdefault(room_of(path), []).append(path)
    return found


def identifiers(source: str) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.NAME]


def offences(name: str, text: str) -> list[str]:
    """Find the words of one file, as ``file:line: word, say ...``."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > 1000 or any(re.search(f, name) and re.search(pattern, line) for f, pattern in ALLOWED):
            continue
        for word, instead in TEXT.items():
            found += [f"{name}:{number}: {m.group()!r}, say {instead}" for m in re.finditer(rf"(?i)\b({word})\b", line)]
    for number, identifier in identifiers(text) if name.endswith(".py") else ():
        for word, instead in IDENTIFIERS.items():
            if re.search(word, identifier.lower()):
                found.append(f"{name}:{number}: {identifier}, say {instead}")
    return found


@pytest.mark.parametrize("room", sorted(set(rooms())))
def test_words_of_a_room(room):
    found = []
    for path in rooms()[room]:
        found += offences(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace"))
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(
    "text",
    [
        "# Called by ``x``",
        '"""A path comes in, bytes go out."""',
        "In: flags. Out: a page.",
        "drawn by lot",
        "colour = 1",
    ],
)
def test_words_are_found(text):
    assert offences("x.py", text)


@pytest.mark.parametrize(
    "text", ["", "the colours of a mask", "color_map = 1", "lookup = 1", "the amendment", "recalled by"]
)
def test_other_words_are_not(text):
    assert not offences("x.md", text)
    assert not offences("x.py", f'"""{text}"""')
