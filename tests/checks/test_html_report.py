"""The HTML report: well-formed, loads nothing, safe for any file name, small for any data set."""

import base64
import hashlib
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg import pages
from sagemaker_semseg.checks.html_report import render
from sagemaker_semseg.checks.recommendations import add_recommendations
from sagemaker_semseg.checks.report import Finding, Preview, Report, SplitFacts
from sagemaker_semseg.checks.runner import run_checks
from sagemaker_semseg.data.channels import ImageMaskPair, find_channels
from sagemaker_semseg.data.color_map import ColorMap, ColorMapEntry
from sagemaker_semseg.data.demo_dataset import CLASS_NAMES, make_demo_set
from sagemaker_semseg.data.images import encode_mask, palette
from sagemaker_semseg.hyperparameters import resolve
from tests.html_document import HOSTILE, Document


def finding(level="error", kind="unusable image", where="train/a.jpg", what="cut short", why="", remedy="save again"):
    return Finding(level, kind, where, what, why or "nothing can be learned from it", remedy)


def facts(channel="train", previews=(), pixels=(90, 10, 0), sizes=None, **more):
    counts = np.array(pixels, np.int64)
    return SplitFacts(
        channel, 5, sizes or {(48, 64): 5}, counts, 5 * (counts > 0), (counts > 0) * counts.sum(), 25,
        np.bincount([0, 1, 255], minlength=256), tuple(previews), **more,
    )  # fmt: skip


def report(findings=(), splits=None, names=("ground", "disc", "box"), **settings):
    splits = splits if splits is not None else [facts(), facts("validation", pixels=(30, 70, 0))]
    return add_recommendations(Report(list(findings), splits, 3, names, {"data": "streets", **settings}))


@pytest.fixture
def preview(tmp_path):
    """A red image whose upper half has the value 0 and whose lower half the value 1."""
    image, mask = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (80, 40), (200, 0, 0)).save(image)
    labels = np.zeros((40, 80), np.uint8)
    labels[20:] = 1
    mask.write_bytes(encode_mask(labels))
    return Preview(ImageMaskPair("a", image, mask), 40, 80)


def images(document):
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(image["src"].removeprefix("data:image/jpeg;base64,")))))
        for image in document.all("img")
    ]


def test_the_verdict():
    assert "Nothing wrong" in Document(render(report())).seen
    warned = Document(render(report([finding("warning")]))).seen
    assert "1 warning A training can start" in warned
    mixed = Document(render(report([finding(), finding(), finding("warning", "blank image")]))).seen
    assert "2 errors, 1 warning A training on these data would stop" in mixed


def test_findings_stand_by_kind_errors_first_and_say_once_what_is_the_same():
    remedies = [finding(where=f"train/{n}.jpg", remedy=f"remedy {n}") for n in range(2)]
    warnings = [finding("warning", "blank image", f"train/{n}.jpg", why="it teaches nothing") for n in range(9)]
    seen = Document(render(report([*warnings, *remedies]))).seen
    assert seen.index("Unusable image") < seen.index("Blank image")
    assert "Remedy 0" in seen
    assert "Remedy 1" in seen
    assert seen.count("It teaches nothing") == 1
    assert "9 times" in seen
    assert "6 more" in seen  # folded
    assert "more" not in Document(render(report(warnings[:5]))).seen
    assert all(f"train/{number}.jpg" in seen for number in range(9))


def test_the_page_loads_nothing_and_runs_nothing(preview):
    html = render(report([finding()], [facts(previews=[preview]), facts("validation")]))
    document = Document(html)
    assert not document.all("script")
    for tag, attributes in document.elements:
        assert not {name for name in attributes if name.startswith("on") or name in ("style", "srcset")}, tag
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), attributes
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)[1]
    assert not re.search(r"url\(|@import|http", style)
    policy = next(meta["content"] for meta in document.all("meta") if "http-equiv" in meta)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_foreign_name_stays_text(name, preview):
    def page(name):
        odd = Preview(replace(preview.pair, name=name), 40, 80)
        split = facts(previews=[odd])
        found = finding(kind=name, where=name, what=name, why=name, remedy=name)
        return render(report([found], [split, facts("validation")], [name] * 3, data=name, label_map=name))

    page(name).encode()
    hostile, usual = Document(page(name)), Document(page("plain"))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in usual.elements]
    assert [sorted(attributes) for _, attributes in hostile.elements] == [
        sorted(attributes) for _, attributes in usual.elements
    ]
    if name.isprintable():
        assert " ".join(name.split()) in hostile.seen
    else:
        assert not set(name) & {"\x00", "\x1b", "\u202e"} & set(hostile.seen)


def test_the_command_can_be_copied():
    page = render(report(data="my streets/$(x)'s", algorithm="psp", num_training_samples=5, class_weights=(1, 2.5, 3)))
    command = re.search("<pre[^>]*><code>(.*?)</code>", page, re.DOTALL)[1]
    shown = Document(f"<p>{command}</p>").seen
    expected = r"""sagemaker-semseg train \ --data 'my streets/$(x)'"'"'s' \ --output out \ --algorithm psp \ """
    assert shown.startswith(expected)
    assert "--class-weights 1,2.5,3" in shown
    assert "--backbone" not in shown
    assert "--data DIR" in Document(render(report(data=""))).seen


def test_the_samples_are_the_image_and_its_labels_over_it(preview):
    document = Document(render(report(splits=[facts(previews=[preview]), facts("validation")])))
    image, overlay = images(document)
    assert image.shape == overlay.shape == (200, 400, 3)  # five times: the largest whole factor up to 400
    assert np.abs(image[100, 200].astype(int) - (200, 0, 0)).max() < 6
    for row, label in ((50, 0), (150, 1)):
        mixed = 0.4 * np.array([200, 0, 0]) + 0.6 * palette()[label].astype(float)
        assert np.abs(overlay[row, 200] - mixed).max() < 8
    assert [image["alt"] for image in document.all("img")] == [
        "train / a", "train / a with its labels: ground, disc",
    ]  # fmt: skip


def test_samples_go_through_the_label_map(preview):
    lookup = np.full(256, 255, np.uint8)
    lookup[1] = 2
    document = Document(render(report(splits=[facts(previews=[preview], lookup=lookup)])))
    assert document.all("img")[1]["alt"] == "train / a with its labels: box, ignored"


def test_samples_of_ground_truth_are_read_by_their_colors(tmp_path, preview):
    """Green stands for "box", the third name, and white for a background that has no name here."""
    mask = tmp_path / "colors.png"
    Image.new("RGB", (80, 40), (0, 255, 0)).save(mask)
    colors = ColorMap((ColorMapEntry(1, "box", 0x00FF00),), ("ground", "disc", "box"))
    odd = Preview(replace(preview.pair, mask=mask, color_map=colors), 40, 80)
    document = Document(render(report(splits=[facts(previews=[odd])])))
    assert document.all("img")[1]["alt"] == "train / a with its labels: box"


def test_a_set_with_a_label_map_from_its_files_to_the_page(tmp_path):
    """Multiply the demo's masks by ten, and give a label map that divides them again."""
    make_demo_set(tmp_path, train=4, validation=2, test=0, size=64)
    for path in tmp_path.glob("*_annotation/*.png"):
        path.write_bytes(encode_mask(np.asarray(Image.open(path)) * 10))
    (tmp_path / "label_map").mkdir()
    (tmp_path / "label_map" / "label_map.json").write_text('{"scale": 10}')
    found = run_checks(find_channels(tmp_path), resolve({"num_classes": 4}), num_classes=4, class_names=CLASS_NAMES)
    assert [split.lookup[[0, 9, 10, 30, 255]].tolist() for split in found.splits] == [[0, 0, 1, 3, 255]] * 2
    document = Document(render(add_recommendations(found)))
    shown = {name for image in document.all("img") for name in image["alt"].partition(": ")[2].split(", ")} - {""}
    occurring = {CLASS_NAMES[label] for split in found.splits for label in np.flatnonzero(split.image_counts)}
    assert shown == occurring
    assert len(document.all("img")) == 2 * 6


def test_large_samples_become_small_and_the_page_stays_below_three_megabytes(tmp_path):
    random = np.random.default_rng(0)
    image, mask = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(random.integers(0, 256, (600, 800, 3), np.uint8)).save(image)
    mask.write_bytes(encode_mask(random.integers(0, 3, (600, 800)).astype(np.uint8)))
    previews = [Preview(ImageMaskPair("x" * 5000, image, mask), 600, 800)] * 30
    findings = [finding(kind=f"kind {n % 300}", where="y" * 5000, what="&" * 5000) for n in range(30_000)]
    sizes = {(n, n + 1): 3 for n in range(1, 3000)}
    page = render(report(findings, [facts(previews=previews, sizes=sizes), facts("validation", previews)]))
    assert len(page.encode()) < 3_000_000
    document = Document(page)
    assert len(document.all("img")) == 16
    assert {(image["width"], image["height"]) for image in document.all("img")} == {("400", "300")}
    assert "2 992 other sizes" in document.seen


def test_what_cannot_be_shown_is_said(tmp_path, preview):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    odd = [
        Preview(replace(preview.pair, image=tmp_path / "gone.jpg"), 40, 80),
        Preview(replace(preview.pair, image=tmp_path / "broken.jpg"), 40, 80),
        Preview(preview.pair, 100_000, 100_000),
    ]
    document = Document(render(report(splits=[facts(previews=odd)])))
    assert not document.all("img")
    assert "No such file" in document.seen
    assert "the image: " in document.seen
    assert "too large to be shown" in document.seen


def test_classes_have_pixels_and_images_of_both_splits():
    document = Document(render(report()))
    assert "0 ground 90.0 % 5 30.0 % 5 1 disc 10.0 % 5 70.0 % 5 2 box 0 % 0 0 % 0" in document.seen
    bars = [rect["width"] for rect in document.all("rect") if rect.get("class") in ("train", "validation")]
    # 90 % is the most: 90/90, all images, 30/90, all images; 10/90, ..., 70/90; nothing
    assert bars[:8] == ["100.0%", "100.0%", "33.3%", "100.0%", "11.1%", "100.0%", "77.8%", "100.0%"]
    assert set(bars[8:12]) == {"0.0%"}


def test_memory_and_recommendations_are_in_it():
    seen = Document(render(report())).seen
    assert "num_training_samples 5" in seen
    assert "num_classes 2 label 2 never occurs in either split" in seen
    assert "training step, 16 crops of 240 x 240" in seen
    assert "within 15%" in seen


def test_tables_and_images_can_be_read_aloud(preview):
    document = Document(render(report([finding()], [facts(previews=[preview]), facts("validation")])))
    assert len(document.all("caption")) == len(document.all("table")) > 3
    assert all(head.get("scope") in ("col", "row") for head in document.all("th"))
    assert all(image["alt"] for image in document.all("img"))
    assert all(svg.get("aria-hidden") == "true" for svg in document.all("svg"))
    labels = {attributes["aria-labelledby"] for tag, attributes in document.elements if "aria-labelledby" in attributes}
    assert labels <= {attributes.get("id") for _, attributes in document.elements}
    assert document.all("html") == [{"lang": "en"}]


def test_nothing_at_all_is_a_page_too():
    seen = Document(render(Report([finding(kind="missing channel")], [], 2))).seen
    assert "1 error" in seen
    empty = facts(pixels=(0, 0, 0), sizes={(8, 8): 0})
    Document(render(report(splits=[empty, empty])))


def test_the_parts_of_memory_have_colors_in_the_style():
    style = pages.read_style(pages.__package__, "look.css")
    for kind in ("program", "parameters", "activations", "logits", "working", "train", "validation"):
        assert f".{kind} {{" in style
