"""Label maps that are proposed for pixel values which aren't labels."""

from __future__ import annotations

import json

import pytest

from sagemaker_semseg.data.label_map_proposal import propose_label_map
from sagemaker_semseg.data.labels import LabelMap


@pytest.mark.parametrize(
    ("values", "num_classes", "expected"),
    [
        # masks of black and white
        ([0, 255], 2, {"scale": 255}),
        ([0, 255], None, {"scale": 255}),
        ([1, 255], 2, {"map": {"0": 255, "1": 1}}),
        # one class was written as 255
        ([0, 1, 255], 3, {"map": {"0": 0, "1": 1, "2": 255}}),
        ([0, 1, 3, 255], 4, {"map": {"0": 0, "1": 1, "2": 255, "3": 3}}),
        # which classes are 255 can't be known
        ([0, 255], 3, None),
        ([0, 1, 255], 4, None),
        # spread over 0 to 255 to be seen
        ([0, 60, 120], 3, {"scale": 60}),
        ([0, 60, 120, 255], 3, {"scale": 60}),
        ([0, 127, 255], 3, {"scale": 127}),
        ([0, 51, 102, 153, 204, 255], 6, {"scale": 51}),
        ([0, 40, 80, 120], None, {"scale": 40}),
        # a scale would merge the last two
        ([0, 128, 255], 3, {"map": {"0": 0, "1": 128, "2": 255}}),
        # numbers of another program
        ([0, 9, 201], 3, {"map": {"0": 0, "1": 9, "2": 201}}),
        ([0, 9, 201, 255], 3, {"map": {"0": 0, "1": 9, "2": 201}}),
        ([0, 9, 201], None, {"map": {"0": 0, "1": 9, "2": 201}}),
        ([7, 24], 2, {"map": {"0": 7, "1": 24}}),
        # labels from 1
        ([1, 2, 3, 4], 4, {"map": {"0": 1, "1": 2, "2": 3, "3": 4}}),
        ([1, 2, 3], None, {"map": {"0": 1, "1": 2, "2": 3}}),
        # 254 was meant to be 255
        ([0, 1, 2, 254], 3, {"map": {"0": 0, "1": 1, "2": 2}}),
        ([0, 1, 2, 254, 255], None, {"map": {"0": 0, "1": 1, "2": 2}}),
        ([0, 254], 2, {"scale": 254}),
        # labels
        ([0, 1], 2, None),
        ([0, 1, 255], 2, None),
        ([0, 1, 2], None, None),
        ([0, 2, 4, 255], None, None),
        ([*range(0, 150, 5), 3], None, None),
        # one mask with a slip, or too few classes: no map
        ([0, 1, 2, 9], 3, None),
        ([0, 1, 2, 3], 2, None),
        # nothing to tell apart
        ([], 2, None),
        ([255], 2, None),
        ([6], 2, None),
    ],
)
def test_proposals(values: list[int], num_classes: int | None, expected: dict[str, object] | None) -> None:
    proposal = propose_label_map(values, num_classes)
    assert (proposal and proposal.content) == expected
    if proposal is None:
        return
    assert num_classes in (None, proposal.num_classes)
    # no value becomes an error, and no two become one class
    labels = LabelMap.from_json(json.dumps(proposal.content).encode(), proposal.num_classes).table[values]
    kept = [int(label) for label in labels if label != 255]
    assert min(kept) >= 0
    assert len(set(kept)) == len(kept) > 1
