"""A training in SageMaker's tree, from its configuration to what SageMaker collects, and the next one from there."""

import csv
import json
import re
import signal

import keras
import numpy as np
import pytest

from sagemaker_semseg.artifact import read_artifact, read_inference_artifact
from sagemaker_semseg.container import train
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.training import callbacks

HYPERPARAMETERS = {
    "num_classes": "4", "backbone": '"resnet-tiny"', "use_pretrained_model": "False", "crop_size": "32",
    "base_size": "48", "mini_batch_size": "4", "epochs": "2", "_tuning_objective_metric": "validation:mIOU",
}  # fmt: skip
CHANNELS = ("train", "train_annotation", "validation", "validation_annotation")


@pytest.fixture
def base(tmp_path, data):
    """SageMaker's tree for a training; FastFile, which a container can't tell from File."""
    for folder in ("input/config", "input/data", "model", "output", "checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
    files = {
        "hyperparameters": HYPERPARAMETERS,
        "inputdataconfig": {name: {"TrainingInputMode": "FastFile"} for name in CHANNELS},
        "resourceconfig": {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"},
    }
    for name, content in files.items():
        (tmp_path / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
    for name in CHANNELS:
        (tmp_path / "input" / "data" / name).symlink_to(data / name)
    return tmp_path


def test_stopped_and_gone_on_with(base, monkeypatch, capsys):
    """SIGTERM in the second epoch; the next job has the checkpoints, and nothing else of this one."""

    class StoppedAfterAnEpoch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "logging_callback", lambda host: StoppedAfterAnEpoch())
        assert train.run(base) == 0
    assert "stopped after 1 of 2 epochs" in capsys.readouterr().out
    files = {"hyperparams.json", "labels.json", "metrics.json", "model.safetensors", "model.onnx"}
    assert {path.name for path in (base / "model").iterdir()} == files
    for path in (base / "model").iterdir():
        path.unlink()
    (base / "checkpoints" / "best.safetensors").unlink()  # the copy in S3 was cut short

    assert train.run(base) == 0
    text = capsys.readouterr().out
    assert "continues after 1 of 2 epochs" in text
    assert {path.name for path in (base / "model").iterdir()} == files
    assert not (base / "output" / "failure").exists()
    assert not list(base.glob("*.gz"))

    artifact = read_artifact(base / "model")
    assert artifact.metrics["best_epoch"] == 1
    assert read_inference_artifact(base / "model").hyperparameters["backbone"] == "resnet-tiny"
    assert (base / "output" / "data" / "report.html").is_file()
    assert len(list((base / "output" / "tensorboard" / "validation").iterdir())) == 2  # one before the stop, one after
    with open(base / "output" / "data" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    np.testing.assert_allclose([float(row["loss"]) for row in rows], [e["loss"] for e in artifact.metrics["history"]])
    for definition in METRIC_DEFINITIONS:
        assert re.search(definition["Regex"], text), definition
