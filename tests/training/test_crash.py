"""A training that dies anywhere ends with the same bytes, once it has been started again as often as it takes.

Death is an exception that nothing here catches, raised at one of the moments after which files on disk have changed.
``make soak-training`` kills a process instead, at random.
"""

import dataclasses
import errno
import os
import shutil

import keras
import numpy as np
import pytest

from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.errors import DataError, explain
from sagemaker_semseg.jobs.prepare_training import TrainingConfig
from sagemaker_semseg.jobs.run_training import finish_training
from sagemaker_semseg.training import checkpoint, trainer


class Death(BaseException):
    """Stands for SIGKILL."""


class Reaper(keras.callbacks.Callback):
    """Dies at the given event, counted from 1: "step", a file "to be renamed", a file "renamed"."""

    def __init__(self, monkeypatch, at):
        super().__init__()
        self.at, self.count = at, 0
        replace = os.replace

        def replacing(source, target):
            self.event("to be renamed")
            replace(source, target)
            self.event("renamed")

        monkeypatch.setattr(os, "replace", replacing)

    def event(self, kind):
        self.count += 1
        if self.count == self.at:
            raise Death(kind)

    def on_train_batch_end(self, batch, logs=None):
        self.event("step")


def content(path):
    """The bytes of the weights and of the graph, and the metrics without the times."""
    artifact = read_artifact(path)
    history = [{k: v for k, v in row.items() if "throughput" not in k} for row in artifact.metrics["history"]]
    weights = {name: array.tobytes() for name, array in artifact.weights.items()}
    return weights, history, artifact.metrics["best_epoch"], artifact.metrics["validation"]


@pytest.fixture
def hp(make_hp):
    return make_hp(checkpoint_minutes=1e-6)  # after each step


def test_three_deaths_in_one_training(tiny_channels, hp, tmp_path, monkeypatch):
    trainer.train(hp, tiny_channels, tmp_path / "whole")
    for at, kind in (4, "step"), (5, "to be renamed"), (6, "renamed"):
        with monkeypatch.context() as patch, pytest.raises(Death, match=f"^{kind}$"):
            trainer.train(hp, tiny_channels, tmp_path / "killed", callbacks=[Reaper(patch, at)])
    result = trainer.train(hp, tiny_channels, tmp_path / "killed")
    assert len(result.history) == 2
    assert content(tmp_path / "killed" / "model.tar.gz") == content(tmp_path / "whole" / "model.tar.gz")
    names = {path.name for path in (tmp_path / "killed" / "checkpoints").iterdir()}
    assert names == {"last.safetensors", "best.safetensors"}


def test_a_full_disk_keeps_the_training_and_finish_writes_the_model(tiny_channels, hp, tmp_path, monkeypatch, capsys):
    """The disk is full when the artifact is written; then it isn't, and the data is gone."""
    fsync, output = os.fsync, tmp_path / "out"

    def full(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("model.tar.gz"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError) as caught:
            trainer.train(hp, tiny_channels, output, class_names=["dark", "light"])
    message, status = explain(caught.value)
    assert status == 2
    for part in (str(output / "model.tar.gz"), "make room on the disk", f"--finish --checkpoints {output}/checkpoints"):
        assert part in message
    assert [path.name for path in output.iterdir()] == ["checkpoints"]

    result = finish_training(TrainingConfig(hyperparameters={}, output=str(output)))
    assert "best epoch" in capsys.readouterr().out
    artifact = read_artifact(result.artifact)
    assert artifact.labels["class_names"] == ["dark", "light"]
    assert len(artifact.metrics["history"]) == 2

    (output / "checkpoints" / "best.safetensors").unlink()  # the weights of the last step are left
    (output / "model.tar.gz").unlink()
    result = finish_training(TrainingConfig(hyperparameters={}, output=str(output), quiet=True))
    assert result.best_epoch is None
    assert read_artifact(result.artifact).weights.keys() == artifact.weights.keys()
    with pytest.raises(DataError, match=r"(?s)last.safetensors.*--checkpoints"):
        finish_training(TrainingConfig(hyperparameters={}, output=str(tmp_path / "nowhere")))


def test_an_image_that_breaks_in_the_second_epoch_is_named(tiny_channels, hp, tmp_path):
    """What was trained until then stays."""
    train = tiny_channels.train
    shutil.copytree(train.pairs[0].image.parent, tmp_path / "train")
    pairs = tuple(dataclasses.replace(pair, image=tmp_path / "train" / pair.image.name) for pair in train.pairs)
    channels = dataclasses.replace(tiny_channels, train=dataclasses.replace(train, pairs=pairs))
    broken = pairs[3].image

    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            for pair in pairs:  # some of the second epoch have been read already
                pair.image.write_bytes(pair.image.read_bytes()[:-200])

    longer = dataclasses.replace(hp, epochs=6)
    with pytest.raises(DataError) as caught:
        trainer.train(longer, channels, tmp_path / "out", callbacks=[Break()])
    message, status = explain(caught.value)
    assert status == 2
    assert str(broken.parent) in message
    last, best = checkpoint.paths(tmp_path / "out" / "checkpoints")
    assert len(checkpoint.read_state(last).history) >= 1
    assert np.isfinite(checkpoint.load_weights(best)[1]).all()


class AtEpoch(keras.callbacks.Callback):
    """Does something when an epoch begins."""

    def __init__(self, epoch, action):
        super().__init__()
        self.epoch, self.action = epoch, action

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.action()


def test_a_folder_of_checkpoints_that_vanishes_is_made_again(tiny_channels, hp, tmp_path, capsys):
    """The weights of the best epoch are gone with it; a later epoch takes its place."""
    vanish = AtEpoch(1, lambda: shutil.rmtree(tmp_path / "checkpoints"))
    result = trainer.train(hp, tiny_channels, tmp_path, callbacks=[vanish])
    assert result.best_epoch == 1
    assert f"warning: {tmp_path / 'checkpoints' / 'best.safetensors'} is missing" in capsys.readouterr().err
    assert read_artifact(result.artifact).metrics["best_epoch"] == 1
    assert checkpoint.read_state(tmp_path / "checkpoints" / "last.safetensors").progress.best_epoch == 1


def test_a_folder_of_checkpoints_that_becomes_read_only(tiny_channels, hp, tmp_path, monkeypatch):
    """What was saved before stays, and the training continues from there with the same bytes."""
    trainer.train(hp, tiny_channels, tmp_path / "whole")
    output, system_open = tmp_path / "out", os.open

    def read_only(path, flags, *more, **named):
        if flags & os.O_CREAT and str(path).startswith(str(output)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return system_open(path, flags, *more, **named)

    with monkeypatch.context() as patch:
        lock = AtEpoch(1, lambda: patch.setattr(os, "open", read_only))
        with pytest.raises(OSError) as caught:
            trainer.train(hp, tiny_channels, output, callbacks=[lock])
    message, status = explain(caught.value)
    assert status == 2
    last, best = checkpoint.paths(output / "checkpoints")
    assert message == f"{last}: Read-only file system (give a folder that can be written to)"
    assert {path.name for path in (output / "checkpoints").iterdir()} == {last.name, best.name}
    assert len(checkpoint.read_state(last).history) == 1
    trainer.train(hp, tiny_channels, output)
    assert content(output / "model.tar.gz") == content(tmp_path / "whole" / "model.tar.gz")
