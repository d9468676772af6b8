"""The doctor's report as a page for people: a ``Report`` comes in, one HTML document goes out to ``check --html``.

The document holds its style and pictures; it loads nothing, and its policy forbids it to. There is no script in it.
What files say (names, values) is foreign text and goes through ``markup.text``. Long lists are cut, so that the page
stays below 3 MB whatever the set is like; the JSON has all of it.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
import shlex
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final

from sagemaker_semseg import __version__
from sagemaker_semseg.checks import class_table
from sagemaker_semseg.checks.html import bar, colour, count, gigabytes, key, sentence, share, stack, table, text
from sagemaker_semseg.checks.previews import thumbnails
from sagemaker_semseg.checks.report import Finding, Report, SplitFacts
from sagemaker_semseg.hyperparameters import TABLE
from sagemaker_semseg.memory import ERROR_BAND

__all__ = ["render"]

AT_ONCE: Final = 3  # findings of a kind that are seen at once, if the rest is worth folding away
WORTH_FOLDING: Final = 3
MOST_OF_A_KIND: Final = 100
MOST_ROWS: Final = 700_000  # characters of the findings' rows, all together
MOST_SAMPLES: Final = 8
MOST_SIZES: Final = 8


def render(report: Report) -> str:
    """The whole page."""
    sections = [*_verdict(report), *_findings(report), *_samples(report), *class_table.section(report), *_sizes(report)]
    sections += [*_advice(report), *_memory(report)]
    style = _read("report.css")
    data = report.settings.get("data")
    facts = [text(data)] if data else []
    facts += [count(report.num_classes, "class", "classes")]
    parts = {
        "style": style,
        "policy": f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'",
        "title": "Data check" + (f" · {text(data)}" if data else ""),
        "facts": " · ".join(facts),
        "sections": "\n".join(sections),
        "version": __version__,
    }
    # all in one go: a name that looks like a place to fill isn't one
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _read("report.html"))


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _verdict(report: Report) -> Iterator[str]:
    errors, warnings = len(report.errors), len(report.warnings)
    if errors:
        tone, verdict = "alarm", f"{count(errors, 'error')}" + (f", {count(warnings, 'warning')}" if warnings else "")
        then = "A training on these data would stop before its first step."
    elif warnings:
        tone, verdict = "doubt", count(warnings, "warning")
        then = "A training can start. Look at these first: some may cost quality or make a measure wrong."
    else:
        tone, verdict = "good", "Nothing wrong"
        then = "Every file was read whole, and nothing doubtful was found. A training can start."
    tiles = "".join(_tiles(report))
    yield (
        f'<section id="verdict" class="{tone}" aria-labelledby="verdict-is">'
        f'<h2 id="verdict-is">{verdict}</h2><p>{then}</p></section>'
        f'<dl class="tiles">{tiles}</dl>'
    )


def _tiles(report: Report) -> Iterator[str]:
    def tile(name: str, value: str, more: str = "") -> str:
        return f"<div><dt>{name}</dt><dd>{value}</dd>" + (f"<dd>{more}</dd>" if more else "") + "</div>"

    for split in report.splits:
        yield tile(text(split.channel).capitalize(), count(split.pairs), "pair" if split.pairs == 1 else "pairs")
    used = sum(any(split.image_counts[label] for split in report.splits) for label in range(report.num_classes))
    yield tile("Classes that occur", f"{used} of {report.num_classes}")
    sizes = {size for split in report.splits for size in split.sizes}
    if len(sizes) == 1:
        ((height, width),) = sizes
        yield tile("Image size", f"{width} × {height}", "all alike")
    elif sizes:
        sides = [side for size in sizes for side in size]
        yield tile("Image sizes", count(len(sizes)), f"sides from {min(sides)} to {max(sides)} pixels")
    ignored = sum(split.ignored_pixels for split in report.splits)
    pixels = ignored + sum(int(split.pixel_counts.sum()) for split in report.splits)
    if pixels:
        yield tile("Ignored pixels", share(ignored, pixels), "count in no loss and no measure")


# ---- what is wrong


def _findings(report: Report) -> Iterator[str]:
    if not report.findings:
        return
    order: dict[tuple[str, str], list[Finding]] = {}
    for finding in sorted(report.findings, key=lambda finding: finding.level != "error"):
        order.setdefault((finding.level, finding.kind), []).append(finding)
    left = MOST_ROWS
    groups = []
    for (level, kind), group in order.items():
        columns, rows = _rows(group, left)
        left -= sum(map(len, rows))
        groups.append(_finding(level, kind, group, columns, rows))
        if len(groups) >= MOST_OF_A_KIND or left <= 0:
            break
    if missing := len(order) - len(groups):
        groups.append(f'<p class="quiet more">And {count(missing, "more kind")}; --json lists all.</p>')
    yield f'<section aria-labelledby="findings"><h2 id="findings">What was found</h2>{"".join(groups)}</section>'


def _rows(group: Sequence[Finding], most: int) -> tuple[list[str], list[str]]:
    """The columns whose values differ, and the first rows, of about ``most`` characters."""
    differs = {name: len({getattr(finding, name) for finding in group}) > 1 for name in ("why", "remedy")}
    columns = ["where", "what", *(name for name in differs if differs[name])]
    rows: list[str] = []
    for finding in group[:MOST_OF_A_KIND]:
        if most <= 0:
            break
        rows.append("<tr>" + "".join(_cell(name, getattr(finding, name)) for name in columns) + "</tr>")
        most -= len(rows[-1])
    return columns, rows


def _finding(level: str, kind: str, group: Sequence[Finding], columns: Sequence[str], rows: Sequence[str]) -> str:
    """One kind: why it matters and the remedy, once where they are the same for all, and where it occurs."""
    heads = [{"where": "Where", "what": "What", "why": "Why it matters", "remedy": "Remedy"}[name] for name in columns]

    def listing(some: Sequence[str]) -> str:
        plain = " plain" if len(columns) == 2 else ""  # what a file and what a fault is needs no heading to be seen
        return table(f"{text(kind)}: where and what", heads, some, "wide" + plain)

    pieces = [f'<article class="finding"><h3><span class="level {level}">{level}</span><span>{sentence(kind)}</span>']
    pieces.append(f'<span class="count">{count(len(group))} times</span></h3>' if len(group) > 1 else "</h3>")
    if "why" not in columns and group[0].why:
        pieces.append(f"<p>{sentence(group[0].why)}</p>")
    if "remedy" not in columns and group[0].remedy:
        pieces.append(f'<p class="remedy">{sentence(group[0].remedy)}</p>')
    seen = AT_ONCE if len(rows) >= AT_ONCE + WORTH_FOLDING else len(rows)
    pieces.append(listing(rows[:seen]))
    if folded := rows[seen:]:
        pieces.append(f"<details><summary>{count(len(folded))} more</summary>{listing(folded)}</details>")
    if missing := len(group) - len(rows):
        pieces.append(f'<p class="quiet more">And {count(missing)} that are not listed here; --json lists all.</p>')
    pieces.append("</article>")
    return "".join(pieces)


def _cell(name: str, value: str) -> str:
    shown = f"<code>{text(value)}</code>" if name == "where" else sentence(value)
    return f'<td class="full">{shown}</td>'


# ---- what the data are


def _samples(report: Report) -> Iterator[str]:
    each = max(1, MOST_SAMPLES // max(1, sum(bool(split.specimens) for split in report.splits)))
    figures = [figure for split in report.splits for figure in _figures(report, split, each)]
    if figures:
        yield (
            '<section aria-labelledby="samples"><h2 id="samples">Samples</h2>'
            '<p class="quiet">Each image beside its labels, laid over it. Pixels that are ignored keep the image’s own '
            f'colours.</p><div class="samples">{"".join(figures)}</div></section>'
        )


def _figures(report: Report, split: SplitFacts, most: int) -> Iterator[str]:
    for specimen in split.specimens[:most]:
        name = f"{text(split.channel)} / {text(specimen.name)}"
        size = f'<span class="quiet">{specimen.width} × {specimen.height}</span>'
        small = thumbnails(specimen, report.num_classes, split.lookup)
        if isinstance(small, str):
            yield f'<figure><div class="pair"><p>{text(small)}</p></div><figcaption>{name} {size}</figcaption></figure>'
            continue
        labels = [class_table.name(report, label) for label in small.labels]
        more = len(labels) - 8
        listed = [(colour(label), shown) for label, shown in zip(small.labels[:8], labels[:8], strict=True)]
        legend = key([*listed, ("", f"and {more} more")] if more > 0 else listed)
        measures = f'width="{small.width}" height="{small.height}"'
        yield (
            f'<figure><div class="pair"><img src="{small.image}" {measures} alt="{name}">'
            f'<img src="{small.overlay}" {measures} alt="{name} with its labels: {", ".join(labels[:8])}"></div>'
            f"<figcaption>{name} {size}{legend}</figcaption></figure>"
        )


def _sizes(report: Report) -> Iterator[str]:
    totals: dict[tuple[int, int], int] = {}
    for split in report.splits:
        for size, images in split.sizes.items():
            totals[size] = totals.get(size, 0) + images
    if len(totals) < 2:
        return
    order = sorted(totals, key=lambda size: (-totals[size], size))
    most = max(totals.values())

    def row(name: str, sizes: Sequence[tuple[int, int]]) -> str:
        cells = ""
        for split in report.splits:
            images = sum(split.sizes.get(size, 0) for size in sizes)
            channel = text(split.channel)
            kind = "validation" if split.channel == "validation" else "train"
            cells += f'<td class="number" data-head="{channel}">{count(images)}{bar(images, most, kind)}</td>'
        return f'<tr><th scope="row" class="number">{name}</th>{cells}</tr>'

    rows = [row(f"{width} × {height}", [(height, width)]) for height, width in order[:MOST_SIZES]]
    if others := order[MOST_SIZES:]:
        rows.append(row(f"{count(len(others), 'other size')}", others))
    heads = ["Width × height", *(f"{text(split.channel).capitalize()}, images" for split in report.splits)]
    yield (
        '<section aria-labelledby="sizes"><h2 id="sizes">Image sizes</h2><p class="quiet">In pixels, as displayed.</p>'
        f'<div class="card">{table("Images of each size", heads, rows, "wide")}</div></section>'
    )


# ---- what to do with them


def _advice(report: Report) -> Iterator[str]:
    rows = (
        f'<tr><th scope="row"><code>{text(item.name)}</code></th>'
        f'<td class="full"><code>{_breakable(item.value)}</code></td><td class="full">{text(item.reason)}</td></tr>'
        for item in report.advice
    )
    listing = (
        f'<div class="card">{table("Settings that the data suggest", ["Setting", "Value", "Why"], rows, "wide")}</div>'
        if report.advice
        else '<p class="quiet">The settings fit the data; nothing to change.</p>'
    )
    yield (
        f'<section aria-labelledby="advice"><h2 id="advice">Suggested settings</h2>{listing}'
        f'<pre tabindex="0"><code>{_command(report)}</code></pre></section>'
    )


def _breakable(value: str) -> str:
    """A list of numbers breaks after its commas."""
    return text(value).replace(",", ",<wbr>")


def _command(report: Report) -> str:
    """A training as the advice has it, whatever else was given included; HTML."""
    values = {row.name: report.settings[row.name] for row in TABLE if report.settings.get(row.name) is not None}
    values |= {"num_classes": report.num_classes} | {item.name: item.value for item in report.advice}
    words = ["sagemaker-semseg train", f"--data {_word(report.settings.get('data') or 'DIR')}", "--output out"]
    words += [f"{row.flag} {_word(values[row.name])}" for row in TABLE if _differs(values.get(row.name), row.default)]
    return " \\\n  ".join(words)


def _differs(value: object, default: object) -> bool:
    return value is not None and value != () and str(value) != str(default)


def _word(value: object) -> str:
    """As a shell reads it; nothing is cut from what is to be copied."""
    if isinstance(value, (list, tuple)):
        value = ",".join(map(str, value))
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(value))
    return html.escape(shlex.quote(shown))


def _memory(report: Report) -> Iterator[str]:
    if not report.estimates:
        return
    kinds = {
        "program": "program",
        "parameters": "weights and optimizer",
        "activations": "activations",
        "logits": "logits",
        "working": "working space",
    }
    most = max(estimate.total for estimate in report.estimates.values())
    rows = []
    for name, estimate in report.estimates.items():
        parts = ", ".join(f"{kinds[kind]} {gigabytes(size)}" for kind, size in estimate.parts.items() if size)
        rows.append(
            f'<tr><th scope="row">{text(name)}</th>'
            f'<td class="number" data-head="on a CPU">{gigabytes(estimate.total)}</td>'
            f'<td class="number" data-head="of a GPU">{gigabytes(estimate.on_gpu)}</td>'
            f'<td class="full quiet">{parts}{stack(estimate.parts.items(), most)}</td></tr>'
        )
    patches = (f'<svg aria-hidden="true"><rect class="{kind}" width="100%" height="100%"/></svg>' for kind in kinds)
    heads = ["What", "On a CPU", "Of a GPU", "Parts"]
    network = f"{text(report.settings.get('algorithm', 'fcn'))} on {text(report.settings.get('backbone', 'resnet-50'))}"
    yield (
        '<section aria-labelledby="memory"><h2 id="memory">Memory</h2>'
        f'<p class="quiet">Estimated for {network}, with the settings as they were given. On a CPU within '
        f"{ERROR_BAND:.0%}; what a GPU takes was not measured.</p>"
        f'<div class="card">{table("Memory by what it is for", heads, rows, "wide")}'
        f"{key(zip(patches, kinds.values(), strict=True))}</div></section>"
    )
