"""The checks find nothing in CamVid, a clean set from videos, and what is planted there.

``make test-camvid DATA=FOLDER`` runs it on the four channels in a folder (11 classes, 367 and 101 pairs).
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.checks.runner import run_checks
from sagemaker_semseg.data.channels import find_channels
from sagemaker_semseg.data.images import encode_mask
from sagemaker_semseg.hyperparameters import resolve

CAMVID = Path(__file__).resolve().parents[3] / "../shared/datasets/camvid"
HP = resolve({"num_classes": 11})


@pytest.fixture(scope="module")
def camvid(request: pytest.FixtureRequest) -> Path:
    folder = Path(request.config.getoption("--data", None) or CAMVID)
    if not folder.is_dir():
        pytest.skip("needs the CamVid set: --data FOLDER")
    return folder


def test_nothing_is_found(camvid: Path) -> None:
    report = run_checks(find_channels(camvid), HP, num_classes=11)
    assert report.findings == []
    assert [split.pairs for split in report.splits] == [367, 101]
    assert report.num_classes == run_checks(find_channels(camvid), HP, num_classes=None).num_classes == 11
    # so that no test below passes on a set in which nothing can be found
    assert report.splits[0].image_counts.min() > 100


@pytest.fixture
def part(camvid: Path, tmp_path: Path) -> Path:
    """Link every tenth pair."""
    for channel in ("train", "train_annotation", "validation", "validation_annotation"):
        (tmp_path / channel).mkdir()
        for path in sorted((camvid / channel).iterdir())[::10]:
            (tmp_path / channel / path.name).symlink_to(path)
    return tmp_path


def leak(part: Path, count: int, change: str) -> None:
    """Copy frames of train into validation, changed."""
    for path in sorted((part / "train").iterdir())[:count]:
        image, out = Image.open(path), io.BytesIO()
        mask = Image.open(part / "train_annotation" / f"{path.stem}.png")
        if change == "scaled":
            image, mask = (one.resize((360, 270), Image.Resampling.NEAREST) for one in (image, mask))
        if change == "lightened":
            image = image.point(lambda level: min(255, round(level * 1.08)))
        image.save(out, "JPEG", quality=60)
        (part / "validation" / f"{change}{path.name}").write_bytes(out.getvalue())
        labels = encode_mask(np.asarray(mask))
        (part / "validation_annotation" / f"{change}{path.stem}.png").write_bytes(labels)


def test_changed_frames_of_train_are_found_in_validation(part: Path) -> None:
    for change in ("compressed", "scaled", "lightened"):
        leak(part, 10, change)
    findings = run_checks(find_channels(part), HP, num_classes=11).findings
    assert {finding.kind for finding in findings} == {"image much like one in train"}
    assert len(findings) == 30
    for finding in findings:
        assert finding.where.endswith(finding.what.rpartition("/")[2].lstrip("/"))


@pytest.mark.parametrize(
    ("resampling", "kind"),
    [(Image.Resampling.BILINEAR, "anti-aliased mask"), (Image.Resampling.NEAREST, None)],
)
def test_masks_of_two_classes_scaled(part: Path, resampling: Image.Resampling, kind: str | None) -> None:
    """Road or not, as 0 and 200, at two thirds of the size, on real outlines."""
    for split in ("train", "validation"):
        for path in sorted((part / f"{split}_annotation").iterdir()):
            road = Image.fromarray(((np.asarray(Image.open(path)) == 3) * 200).astype(np.uint8))
            image = Image.open(part / split / f"{path.stem}.jpg").resize((320, 240))
            path.unlink()
            (part / split / f"{path.stem}.jpg").unlink()
            image.save(part / split / f"{path.stem}.jpg")
            path.write_bytes(encode_mask(np.asarray(road.resize((320, 240), resampling))))
    masks = len(list(part.glob("*_annotation/*.png")))
    findings = run_checks(find_channels(part), HP, num_classes=254).findings
    found = [finding.kind for finding in findings if finding.kind.endswith("mask")]
    assert found == ([kind] * masks if kind else [])
