"""Labels with which a training would run and learn nothing, and data that look odd but are right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from sagemaker_semseg.checks.label_doubts import find_label_doubts, propose_label_maps
from sagemaker_semseg.data.datasets import FileDataset
from sagemaker_semseg.data.labels import IGNORE, INVALID, LabelMap

CHANNELS = {
    "train_annotation": Path("data/train_annotation"),
    "validation_annotation": Path("data/validation_annotation"),
}


def split(
    values: Mapping[int, int], num_classes: int, channel: str = "train", content: dict[str, object] | None = None
) -> FileDataset:
    """A split of so many pixels of each value, read as they are or with a label map."""
    labels = LabelMap.identity(num_classes)
    if content:
        labels = LabelMap.from_json(json.dumps(content).encode(), num_classes, "label_map.json")
    value_counts, pixel_counts = np.zeros(256, np.int64), np.zeros(num_classes, np.int64)
    for value, count in values.items():
        value_counts[value] = count
        if labels.table[value] not in (IGNORE, INVALID):
            pixel_counts[labels.table[value]] += count
    return FileDataset(channel, (), labels, pixel_counts, pixel_counts, value_counts)


def doubts(train: FileDataset, validation: FileDataset | None, num_classes: int) -> list[str]:
    splits = [train] if validation is None else [train, validation]
    found = find_label_doubts(splits, num_classes, (), CHANNELS)
    return [f"{item.where}: {item.what} ({item.remedy})" for item in found]


def both(values: Mapping[int, int], num_classes: int) -> list[str]:
    return doubts(split(values, num_classes), split(values, num_classes, "validation"), num_classes)


def test_black_and_white_masks_of_two_classes() -> None:
    train, validation = both({0: 900, 255: 100}, 2)
    assert train == (
        "data/train_annotation: every labelled pixel of train is class 0; 10% of its pixels are ignored "
        '(give the label map {"scale": 255} as label_map/train_label_map.json and '
        "label_map/validation_label_map.json, which check --write-label-map writes)"
    )
    assert validation.startswith("data/validation_annotation: every labelled pixel of validation is class 0")


def test_a_class_written_as_255() -> None:
    (found,) = both({0: 500, 1: 300, 255: 200}, 3)
    assert found.startswith("class 2: no pixel of it in any mask, but 255, which is ignored, covers 20% of all pixels")
    assert 'if 255 is this class, give the label map {"map": {"0": 0, "1": 1, "2": 255}}' in found


def test_lost_labels_need_the_masks_again() -> None:
    assert "write the masks again" in both({0: 900, 255: 100}, 4)[0]


def test_masks_of_one_class() -> None:
    assert "check whether the masks are complete" in both({0: 100}, 2)[0]


def test_one_split_of_one_class() -> None:
    (found,) = doubts(split({0: 90, 1: 10}, 2), split({0: 90, 255: 10}, 2, "validation"), 2)
    assert "every labelled pixel of validation is class 0" in found
    assert "move pairs that show other classes to validation; or, if 255 is a class in validation" in found
    assert "label_map/train" not in found


def test_a_label_map_that_makes_one_class_of_all() -> None:
    train = split({0: 50, 1: 50}, 2, content={"scale": 255})
    (found,) = doubts(train, split({0: 50, 1: 50}, 2, "validation"), 2)
    assert "correct or remove label_map.json: the masks hold the values 0, 1" in found


@pytest.mark.parametrize(
    ("train", "validation", "num_classes"),
    [
        ({0: 900, 1: 50, 255: 50}, {0: 900, 1: 50, 255: 50}, 2),  # borders that are ignored
        ({0: 400, 1: 10, 255: 590}, {0: 400, 1: 10, 255: 590}, 2),  # most isn't labelled
        ({0: 9_999, 1: 1}, {0: 9_998, 1: 2}, 2),  # a rare class
        ({0: 900, 1: 50, 2: 1, 255: 49}, {0: 900, 1: 50, 255: 300}, 3),  # not in a small validation
        ({0: 900, 1: 50, 255: 49}, {0: 900, 1: 50, 255: 40}, 3),  # nowhere, but 255 is a border
        ({0: 900, 1: 50}, {0: 900, 1: 50}, 3),  # nowhere, and nothing is ignored
        # parts of well-known sets: many classes of which some are missing, and areas that are ignored
        ({**dict.fromkeys(range(16), 50), 255: 200}, {**dict.fromkeys(range(9), 50), 255: 200}, 19),
        ({**dict.fromkeys(range(18), 50), 255: 200}, {**dict.fromkeys(range(18), 50), 255: 200}, 19),
        ({0: 700, 7: 100, 255: 50}, {0: 700, 15: 100, 255: 50}, 21),
    ],
)
def test_right_data_are_never_doubted(train: dict[int, int], validation: dict[int, int], num_classes: int) -> None:
    splits = [split(train, num_classes), split(validation, num_classes, "validation")]
    assert doubts(splits[0], splits[1], num_classes) == []
    assert propose_label_maps(splits, num_classes) == {}
    # nor where a model is measured on one of them
    for one in splits:
        assert doubts(one, None, num_classes) == []


def test_nothing_is_proposed_where_there_is_a_label_map() -> None:
    splits = [split({0: 50, 255: 50}, 2, channel, {"scale": 255}) for channel in ("train", "validation")]
    assert doubts(splits[0], splits[1], 2) == []
    assert propose_label_maps(splits, 2) == {}
