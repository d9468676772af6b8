"""Two logical CPUs for the tests of several replicas, and a small data set.

Logical devices can only be made before TensorFlow is first used, hence here and not in a fixture.
"""

import dataclasses

import numpy as np
import pytest

from sagemaker_semseg.environment import configure_tensorflow

configure_tensorflow()

import tensorflow as tf  # noqa: E402

from sagemaker_semseg.data.datasets import find_channels, read_channels  # noqa: E402
from sagemaker_semseg.data.images import encode_mask  # noqa: E402
from sagemaker_semseg.hyperparameters import resolve  # noqa: E402

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope="session")
def two_replicas():
    # one for all tests: two strategies on CPUs give their collective operations the same keys
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def tiny_channels(tmp_path_factory):
    """Seven training and three validation images, bright or dark halves, labels 0 and 1, one column ignored."""
    from PIL import Image

    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(5)
    for split, count in (("train", 7), ("validation", 3)):
        (root / split).mkdir()
        (root / f"{split}_annotation").mkdir()
        for i in range(count):
            labels = np.zeros((40, 48), np.uint8)
            labels[:, int(rng.integers(10, 38)) :] = 1
            image = np.where(labels[:, :, None] == 1, 200, 60) + rng.integers(-30, 31, (40, 48, 3))
            labels[:, 0] = 255
            Image.fromarray(image.astype(np.uint8)).save(root / split / f"{i}.jpg")
            (root / f"{split}_annotation" / f"{i}.png").write_bytes(encode_mask(labels))
    return read_channels(find_channels(root), 2)


@pytest.fixture
def make_hp():
    """Hyperparameters for ``tiny_channels``: two epochs of four steps, but for what is given."""

    def make(**changes):
        values = {
            "num_classes": 2, "backbone": "resnet-tiny", "use_pretrained_model": False, "crop_size": 32,
            "base_size": 48, "mini_batch_size": 2, "epochs": 2, "learning_rate": 0.01, "seed": 3,
        }  # fmt: skip
        return dataclasses.replace(resolve(values), **changes)

    return make
