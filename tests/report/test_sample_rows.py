"""Rows of predictions in the report: their order, and files that don't belong there."""

import io

import numpy as np
from PIL import Image

from sagemaker_semseg.report.sample_rows import read_sample_rows


def thumbnail(width=60, height=40, kind="JPEG"):
    out = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(out, kind)
    return out.getvalue()


def test_a_row_has_image_labels_and_epochs_in_order(tmp_path):
    for name in ("1_image", "0_10", "0_2", "0_labels", "0_image"):
        (tmp_path / f"{name}.jpg").write_bytes(thumbnail())
    first, second = read_sample_rows(tmp_path)
    assert [drawing.title for drawing in first] == ["image", "labels", "epoch 2", "epoch 10"]
    assert [drawing.title for drawing in second] == ["image"]
    assert (first[0].width, first[0].height) == (60, 40)
    assert first[0].uri.startswith("data:image/jpeg;base64,")


def test_no_folder_is_no_rows(tmp_path):
    assert read_sample_rows(tmp_path / "samples") == []


def test_foreign_files_are_left_out(tmp_path):
    hostile = {
        "0_image.jpg": b"\xff\xd8 damaged",
        "0_labels.jpg": thumbnail(width=5000),
        "0_1.jpg": thumbnail() + bytes(300_000),
        "0_0.jpg": thumbnail(),
        "0_2.png": thumbnail(),
        "0_<b>.jpg": thumbnail(),
        "10_image.jpg": thumbnail(),
    }
    for name, data in hostile.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "0_3.jpg").mkdir()
    (tmp_path / "0_4.jpg").symlink_to(tmp_path / "none")
    assert read_sample_rows(tmp_path) == []


def test_the_number_of_files_is_bounded(tmp_path):
    for epoch in range(1, 200):
        (tmp_path / f"0_{epoch}.jpg").write_bytes(thumbnail())
    assert sum(map(len, read_sample_rows(tmp_path))) == 64
