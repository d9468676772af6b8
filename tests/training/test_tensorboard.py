"""Event files for TensorBoard, read back as records of TensorFlow's own message."""

import pytest
import tensorflow as tf

from sagemaker_semseg.training.tensorboard import TensorBoardScalars
from tests.training.test_callbacks import LOGS


def scalars(folder):
    """(step, tag) -> value, of all event files in a folder."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found[event.step, value.tag] = float(tf.make_ndarray(value.tensor))
    return found


def test_each_epoch_is_a_step_with_keras_tags(tmp_path):
    callback = TensorBoardScalars(tmp_path / "board")
    callback.on_epoch_end(0, LOGS)
    callback.on_epoch_end(1, {**LOGS, "loss": 0.5})
    callback.on_train_end()
    train, validation = scalars(tmp_path / "board/train"), scalars(tmp_path / "board/validation")
    assert train[0, "epoch_loss"] == 1.25
    assert train[1, "epoch_loss"] == 0.5
    assert train[1, "epoch_learning_rate"] == pytest.approx(0.1)
    assert validation[0, "epoch_mIOU"] == pytest.approx(0.4125)
    assert {tag for _, tag in validation} == {"epoch_mIOU", "epoch_pixel_accuracy", "epoch_throughput"}


def test_an_epoch_can_be_read_while_the_training_runs(tmp_path):
    callback = TensorBoardScalars(tmp_path)
    callback.on_epoch_end(0, LOGS)
    assert scalars(tmp_path / "train")[0, "epoch_loss"] == 1.25
    callback.on_train_end()


def test_a_training_that_never_had_an_epoch_writes_nothing(tmp_path):
    TensorBoardScalars(tmp_path / "board").on_train_end()
    assert not (tmp_path / "board").exists()
