"""Settings, epochs and scores of a training, from its model, from its checkpoint, and from hostile files."""

import json
import os

import numpy as np
import pytest

from sagemaker_semseg.artifact import Artifact, write_artifact
from sagemaker_semseg.errors import ArtifactError, DataError, UserError
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.metrics import Scores
from sagemaker_semseg.report.training_record import TrainingFiles, read_record
from sagemaker_semseg.report.training_start import NAME, TrainingStart
from sagemaker_semseg.training import checkpoint

CONFUSION = np.array([[8, 2], [1, 9]])
HISTORY = [{"epoch": n, "loss": 1.0 / (n + 1), "val_mIOU": 0.1 * n, "throughput": 12.5} for n in range(3)]
START = TrainingStart("2026-01-02T03:04:05+00:00", 61.5, 123, ("road", "car"), (("train", "5 images"),), ("a note",))


def metrics(**changes):
    validation = Scores.of(CONFUSION).to_dict(("road", "car"))
    values = {"best_epoch": 2, "validation": validation, "history": HISTORY, "made_with": {"keras": "3.14"}}
    return {**values, **changes}


def write_model(folder, values):
    hp = resolve({"num_classes": 2, "epochs": 3})
    labels = {"num_classes": 2, "class_names": ["road", "car"]}
    folder.mkdir(exist_ok=True)
    write_artifact(folder / "model.tar.gz", Artifact(to_strings(hp), {"w": np.zeros(1, np.float32)}, labels, values))
    return TrainingFiles(folder / "model.tar.gz", folder / "checkpoints", folder)


def write_checkpoint(folder, epochs=2):
    """A checkpoint without variables: what the report reads of it."""
    hp = resolve({"num_classes": 2, "epochs": 3})
    state = checkpoint.TrainingState(to_strings(hp), 5, history=HISTORY[:epochs])
    state.progress.best_epoch, state.progress.best = epochs - 1, 0.1

    class Nothing:
        layers = variables = ()

    checkpoint.save(folder / "last.safetensors", Nothing(), Nothing(), state)
    checkpoint.save_weights(folder / "best.safetensors", {"w": np.zeros(1, np.float32)}, CONFUSION)


def test_a_model_has_its_training(tmp_path):
    START.write(tmp_path)
    record = read_record(write_model(tmp_path, metrics()))
    assert record.finished
    assert record.series("loss") == [1.0, 0.5, 1 / 3]
    assert np.isnan(record.series("learning_rate")).all()
    assert (record.best_epoch, record.class_names, record.versions) == (2, ("road", "car"), {"keras": "3.14"})
    assert (record.scores.confusion == CONFUSION).all()
    assert record.start == START


def test_a_training_that_runs_is_read_from_its_checkpoint(tmp_path):
    START.write(tmp_path)
    write_checkpoint(tmp_path / "checkpoints")
    record = read_record(TrainingFiles(tmp_path / "model.tar.gz", tmp_path / "checkpoints", tmp_path))
    assert not record.finished
    assert (len(record.history), record.best_epoch, record.names) == (2, 1, ("road", "car"))
    assert (record.scores.confusion == CONFUSION).all()


def test_the_newer_of_model_and_checkpoint_counts(tmp_path):
    files = write_model(tmp_path, metrics())
    write_checkpoint(tmp_path / "checkpoints")
    os.utime(files.model, (1, 1))
    assert not read_record(files).finished
    os.utime(files.model, (2**32, 2**32))
    assert read_record(files).finished


def test_an_imported_model_has_no_epochs(tmp_path):
    record = read_record(write_model(tmp_path, {}))
    assert (record.history, record.best_epoch, record.scores, record.start) == ((), None, None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"history": {"0": {}}},
        {"history": [1, 2]},
        {"best_epoch": 7},
        {"best_epoch": "1"},
        {"validation": {"confusion_matrix": [[1, 2]]}},
        {"validation": {"confusion_matrix": [[1, 2], [3, -4]]}},
        {"validation": {"confusion_matrix": [[1, 2], [3, 2**60]]}},
        {"validation": {"confusion_matrix": [[1, 2], [3]]}},
        {"validation": {"confusion_matrix": "x"}},
    ],
    ids=str,
)
def test_metrics_that_no_training_has_written_are_refused(tmp_path, changes):
    files = write_model(tmp_path, metrics(**changes))
    with pytest.raises(ArtifactError, match=r"metrics\.json"):
        read_record(files)


@pytest.mark.parametrize("validation", [None, 3, [1], {"confusion_matrix": None}])
def test_metrics_without_a_matrix_have_no_scores(tmp_path, validation):
    assert read_record(write_model(tmp_path, metrics(validation=validation))).scores is None


def test_numbers_of_other_kinds_are_left_out(tmp_path):
    history = [{"loss": "1", "val_mIOU": True, "throughput": None, "other": 1}]
    record = read_record(write_model(tmp_path, metrics(history=history, best_epoch=0)))
    assert record.history == ({},)


def test_a_damaged_start_names_the_file(tmp_path):
    """Every byte changed or cut: read, or refused with the file's name; never another error."""
    START.write(tmp_path)
    path, random = tmp_path / NAME, np.random.default_rng(0)
    whole = path.read_bytes()
    assert TrainingStart.read(tmp_path) == START
    messages = []
    for _ in range(300):
        data = bytearray(whole)
        data[random.integers(len(data))] = random.integers(256)
        path.write_bytes(data[: random.integers(len(data))] if random.random() < 0.3 else data)
        try:
            TrainingStart.read(tmp_path)
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize("text", ["[]", "{}", "[" * 100_000, '{"format": 1}', "1" * 5000, " " * (1 << 21)], ids=len)
def test_another_start_is_refused(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(DataError, match="remove the file"):
        TrainingStart.read(tmp_path)


def test_wrong_types_in_a_start_are_refused(tmp_path):
    START.write(tmp_path)
    values = json.loads((tmp_path / NAME).read_text())
    for change in ({"facts": [["a"]]}, {"facts": [[1, "b"]]}, {"notes": [1]}, {"seconds": "1"}, {"class_names": "x"}):
        (tmp_path / NAME).write_text(json.dumps({**values, **change}))
        with pytest.raises(DataError, match="format 1"):
            TrainingStart.read(tmp_path)


def test_no_start_is_none(tmp_path):
    assert TrainingStart.read(tmp_path) is None


def test_before_the_first_epoch_there_is_nothing_to_report(tmp_path):
    START.write(tmp_path)
    with pytest.raises(UserError, match="no epoch of this training has ended"):
        read_record(TrainingFiles(tmp_path / "model.tar.gz", tmp_path / "checkpoints", tmp_path))
