"""Batches from Ground Truth's masks of colors are those from masks of labels."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.datasets import read_channels
from sagemaker_semseg.training.pipeline import evaluation_batches, training_batches

COLORS = {"ground": (200, 30, 40), "tree": (1, 2, 3)}  # labels 0 and 1
BACKGROUND = (255, 255, 255)  # isn't among the classes: ignored


def taken(batches, count):
    return [(images.numpy(), labels.numpy()) for images, labels in itertools.islice(batches, count)]


@pytest.fixture(params=["RGB", "RGBA", "P"])
def colored(request, tiny_channels, tmp_path):
    manifests = {}
    for split in ("train", "validation"):
        lines = []
        for number, sample in enumerate(getattr(tiny_channels, split).pairs):
            with Image.open(sample.mask) as mask:
                labels = np.asarray(mask)
            table = np.full((256, 3), BACKGROUND, np.uint8)
            table[:2] = list(COLORS.values())
            image = Image.fromarray(table[labels])
            if request.param == "P":
                index = np.where(labels == 255, 0, labels + 1 + number)
                image = Image.fromarray(index.astype(np.uint8))
                image.putpalette([*BACKGROUND, *[9, 9, 9] * number, *np.ravel(list(COLORS.values())).tolist()])
            image.convert(request.param).save(tmp_path / f"{split}{number}.png")
            entries = {"BACKGROUND": BACKGROUND, **COLORS}
            lines.append(
                {
                    "source-ref": str(sample.image),
                    "x-ref": f"{split}{number}.png",
                    "x-ref-metadata": {
                        "internal-color-map": {
                            str((key + number) % 3): {
                                "class-name": name,
                                "hex-color": "#{:02X}{:02X}{:02X}".format(*rgb),
                            }
                            for key, (name, rgb) in enumerate(entries.items())
                        }
                    },
                }
            )
        manifests[split] = tmp_path / f"{split}.manifest"
        manifests[split].write_text("\n".join(map(json.dumps, lines)))
    return read_channels(manifests, 2, class_names=tuple(COLORS))


def test_batches(colored, tiny_channels, make_hp):
    hp = make_hp()
    pairs = [
        (training_batches(channels.train, hp, stop_step=9) for channels in (colored, tiny_channels)),
        (evaluation_batches(channels.validation, 2) for channels in (colored, tiny_channels)),
    ]
    for ours, expected in pairs:
        ours, expected = taken(ours, 9), taken(expected, 9)
        assert len(ours) == len(expected) > 1
        for (images, labels), (theirs, truth) in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(images, theirs)
            np.testing.assert_array_equal(labels, truth)
            assert {0, 1, 255} >= set(np.unique(labels).tolist())
    np.testing.assert_array_equal(colored.train.pixel_counts, tiny_channels.train.pixel_counts)
