"""The checks find every planted fault, alone and among all others, and nothing in a clean set."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import (
    CLASSES,
    COLORS,
    FAULTS,
    HEIGHT,
    WIDTH,
    Fault,
    clean,
    encoded,
    labels,
    make_image,
    manifests,
    no_ignored_pixels,
    pair,
)

from sagemaker_semseg import data
from sagemaker_semseg.checks import image_checks
from sagemaker_semseg.checks.report import Report
from sagemaker_semseg.checks.rules import RULES
from sagemaker_semseg.checks.runner import run_checks
from sagemaker_semseg.data.channels import find_channels
from sagemaker_semseg.data.datasets import read_channels
from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.hyperparameters import resolve

HP = resolve({"num_classes": CLASSES, "crop_size": 24})


def run(root: Path, num_classes: int | None = CLASSES) -> Report:
    return run_checks(find_channels(root), HP, num_classes=num_classes)


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.findings}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    clean(tmp_path)
    return tmp_path


def test_a_clean_set(root: Path) -> None:
    report = run(root)
    assert report.findings == []
    train, validation = report.splits
    assert (train.channel, train.pairs, validation.channel, validation.pairs) == ("train", 3, "validation", 2)
    # stripes of 12 columns for 0, 1, 2 and 255
    assert train.pixel_counts.tolist() == [3 * HEIGHT * 12] * 3
    assert train.image_counts.tolist() == [3] * 3
    assert train.image_pixel_counts.tolist() == [3 * HEIGHT * 36] * 3
    assert train.ignored_pixels == train.value_counts[255] == 3 * HEIGHT * 12
    assert train.sizes == {(HEIGHT, WIDTH): 3}
    assert {preview.pair.name for preview in train.previews} == {"t0", "t1", "t2"}
    assert train.lookup is None


def test_at_least_sixty_faults_of_forty_kinds_are_planted() -> None:
    assert len({planted.name for planted in FAULTS}) >= 60
    assert len({kind for planted in FAULTS for kind in planted.kinds}) >= 40


@pytest.mark.parametrize("planted", FAULTS, ids=lambda planted: planted.name)
def test_each_fault_alone(root: Path, planted: Fault) -> None:
    planted.plant(root)
    report = run(root, planted.num_classes)
    assert kinds(report) == planted.kinds
    for finding in report.findings:
        assert (finding.level, finding.why) == RULES[finding.kind]
        assert finding.where
        assert finding.what
        assert finding.remedy


def test_all_faults_together(root: Path) -> None:
    together = [planted for planted in FAULTS if not planted.alone]
    for planted in together:
        planted.plant(root)
    report = run(root)
    assert kinds(report) - {"sizes far apart"} == frozenset().union(*(planted.kinds for planted in together))
    # each is seen, though others of its kind are there: as many findings as alone, or more
    alone = sum(len(planted.kinds) for planted in together)
    assert len(report.findings) >= alone - 3  # listings of hidden and left-out files share one finding a folder
    places = [list(RULES).index(finding.kind) for finding in report.findings]
    assert places == sorted(places)
    json.dumps(report.to_dict())


def test_errors_are_those_that_stop_a_training(root: Path) -> None:
    for planted in FAULTS:
        if not planted.alone:
            planted.plant(root)
    with pytest.raises(DataError) as error:
        read_channels(find_channels(root), CLASSES)
    expected = {(fault.where, fault.what, fault.remedy) for fault in error.value.faults}
    errors = run(root).errors
    assert {(finding.where, finding.what, finding.remedy) for finding in errors} == expected
    assert len(errors) == len(error.value.faults)


def test_errors_come_first() -> None:
    levels = [level for level, _ in RULES.values()]
    assert levels == sorted(levels)


def test_every_kind_of_fault_in_the_data_modules_has_a_rule() -> None:
    source = "".join(path.read_text() for path in Path(data.__file__).parent.glob("*.py"))
    errors = {kind for kind, (level, _) in RULES.items() if level == "error"}
    assert {kind for kind in errors if f'"{kind}"' not in source} == {"channels swapped", "doubtful labels"}
    raised = re.findall(r"""(?:faults\.add|_bad|faults\.take)\(\s*"([a-z ]+)",""", source)
    assert len(set(raised)) > 15
    assert set(raised) - {"missing folder"} <= errors


def test_very_large_images(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_checks, "LARGE_IMAGE_PIXELS", HEIGHT * WIDTH)
    assert run(root).findings == []
    monkeypatch.setattr(image_checks, "LARGE_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    assert kinds(run(root)) == {"very large image"}


@pytest.mark.parametrize(("height", "remedy"), [(23, "use a larger image"), (30, "lower crop_size to 24")])
def test_the_crop_that_is_proposed_is_allowed(root: Path, height: int, remedy: str) -> None:
    pair(root, "low", make_image(60, height, 60), labels(height, 60))
    hp = resolve({"num_classes": CLASSES, "crop_size": 33})
    (finding,) = (f for f in run_checks(find_channels(root), hp, num_classes=CLASSES).findings if "low" in f.where)
    assert finding.kind == "image smaller than the crop"
    assert "the crop is 40 x 40" in finding.what  # 33, rounded up as training does
    assert finding.remedy.endswith(remedy)


def test_the_number_of_classes_is_proposed(root: Path) -> None:
    report = run(root, None)
    assert (report.findings, report.num_classes) == ([], 3)
    pair(root, "more", make_image(50), labels(values=(0, 6)))
    assert run(root, None).num_classes == 7


def test_names_in_manifests_are_classes_whether_they_occur_or_not(root: Path) -> None:
    no_ignored_pixels(root)
    manifests(root, colors={**COLORS, "3": "tram"})
    report = run(root, None)
    assert report.num_classes == 4
    assert report.class_names == ("sky", "road", "car", "tram")
    (finding,) = report.findings
    assert (finding.kind, finding.where) == ("class that never occurs", "class 3 (tram)")


def test_attributes_of_a_manifest(root: Path) -> None:
    manifests(root)
    for path in root.glob("*.manifest"):
        path.write_text(path.read_text().replace("}", ', "other-ref": "x.png"}'))
    assert kinds(run(root)) == {"attribute names"}
    attributes = dict.fromkeys(("train", "validation"), ("source-ref", "labels-ref"))
    report = run_checks(find_channels(root), HP, num_classes=CLASSES, attributes=attributes)
    assert report.findings == []
    assert [split.pairs for split in report.splits] == [3, 2]


def test_findings_about_files_of_a_manifest_name_its_line(root: Path) -> None:
    pair(root, "t1", Image.new("RGB", (WIDTH, HEIGHT)))
    manifests(root)
    (finding,) = run(root).findings
    assert finding.where.endswith("files/train/t1.jpg (" + str(root / "train.manifest") + ", line 2)")


def test_previews_show_every_class(root: Path) -> None:
    for number in range(12):
        pair(root, f"w{number:02}", make_image(70 + number), labels(values=(0, 1)))
    pair(root, "rare", make_image(90), labels(values=(0, 3)))
    train = run(root, 4).splits[0]
    assert train.previews[0].pair.name == "rare"
    assert len(train.previews) == len(set(train.previews)) == 8


def test_plain_and_mirrored_images_are_no_near_copies(root: Path) -> None:
    """Images with little in them, or with another one's colours elsewhere, aren't taken for copies."""
    shade = np.linspace(100, 108, WIDTH, dtype=np.uint8)
    for split, seed in (("train", 1), ("validation", 2)):
        grain = np.random.default_rng(seed).integers(0, 4, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        plain = np.tile(shade[None, :, None], (HEIGHT, 1, 3)) + grain
        pair(root, f"plain-{split}", encoded(Image.fromarray(plain)), split=split)
    pair(root, "mirrored", make_image(0).transpose(0), split="validation")
    assert run(root).findings == []


def test_damaged_files_of_any_form_are_findings(root: Path) -> None:
    """Flip bits and cut files at random, in images of every mode: the checks run to the end."""
    random = np.random.default_rng(0)
    forms = [("JPEG", mode) for mode in ("L", "RGB", "CMYK")]
    forms += [("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    for number in range(150):
        kind, mode = forms[number % len(forms)]
        image = make_image(number).convert("L" if mode == "I;16" else mode)
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image
        image_data, mask_data = bytearray(encoded(image, kind)), bytearray(encode_mask(labels()))
        whole = number % 3 == 0
        for content, flips in ((image_data, 2 * number % 5), (mask_data, 0 if number % 4 else 1)):
            for place in random.integers(0, len(content), 0 if whole else flips):
                content[place] ^= 1 << random.integers(0, 8)
            if random.integers(0, 4) == 0 and not whole:
                del content[random.integers(0, len(content)) :]
        pair(root, f"z{number}", bytes(image_data), bytes(mask_data))
    report = run(root)
    assert len(report.errors) > 50
    assert report.splits[0].pairs > 50
    assert set(kinds(report)) <= set(RULES)


def test_findings_name_the_files(root: Path) -> None:
    pair(root, "copy", make_image(10))
    (finding,) = run(root).findings
    assert (finding.where, finding.what) == (
        str(root / "validation/v0.jpg"),
        f"the same file as {root / 'train/copy.jpg'}",
    )


def test_an_empty_class_before_others_is_no_reason_to_lower_num_classes(root: Path) -> None:
    for path in root.glob("*_annotation/*.png"):
        path.write_bytes(encode_mask(labels(values=(0, 1, 3))))
    (finding,) = run(root, 4).findings
    assert (finding.kind, finding.where) == ("class that never occurs", "class 2")
    assert "lower num_classes, or" not in finding.remedy
    assert "a lower num_classes would cut off class 3, which occurs" in finding.remedy
    (finding,) = (found for found in run(root, 5).findings if found.where == "class 4")
    assert finding.remedy.startswith("lower num_classes, or check")


def test_the_figures_are_with_the_proposed_label_map(root: Path) -> None:
    for path in root.glob("*_annotation/*.png"):
        path.write_bytes(encode_mask(labels(values=(0, 15, 190, 255))))
    content = {"map": {"0": 0, "1": 15, "2": 190}}
    for num_classes in (None, 3):
        report = run(root, num_classes)
        assert report.num_classes == 3
        assert report.label_maps == dict.fromkeys(("train", "validation"), content) == report.to_dict()["label_maps"]
        assert report.splits[0].pixel_counts.tolist() == [3 * HEIGHT * 12] * 3
        assert report.splits[0].image_counts.tolist() == [3] * 3
        assert all(json.dumps(content) in finding.remedy for finding in report.findings)
