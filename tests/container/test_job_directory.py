"""SageMaker's folder: its files become a configuration, and what is wrong is in output/failure."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sagemaker_semseg.artifact import Artifact, write_artifact
from sagemaker_semseg.container import train
from sagemaker_semseg.container.job_directory import read_training_config, write_job_directory
from sagemaker_semseg.data.demo_dataset import make_demo_set
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.jobs.prepare_training import TrainingConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def base(tmp_path):
    """A function that writes the configuration, as SageMaker does, and returns the base folder."""

    def base(hyperparameters, channels=()):
        config = tmp_path / "input" / "config"
        config.mkdir(parents=True, exist_ok=True)
        (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
        modes = {channel: {"TrainingInputMode": "File"} for channel in channels}
        (config / "inputdataconfig.json").write_text(json.dumps(modes if not isinstance(channels, dict) else channels))
        return tmp_path

    return base


@pytest.fixture(scope="module")
def data_of_four(tmp_path_factory):
    """Generate the four channels, with two images."""
    root = tmp_path_factory.mktemp("four")
    make_demo_set(root, train=1, validation=1, test=0, size=48)
    return root


def fails(base):
    with pytest.raises(UserError):
        train.run(base)
    return (base / "output" / "failure").read_text()


def test_hyperparameters_and_channels_become_a_configuration(base):
    given = {
        "num_classes": "21",
        "use_pretrained_model": "True",
        "lr_scheduler_step": "10, 20",
        "algorithm": '"psp"',
        "_tuning_objective_metric": "validation:mIOU",
    }
    root = base(given, ("train", "train_annotation", "label_map", "pretrained"))
    data = root / "input" / "data"
    names = ("train", "train_annotation", "label_map", "pretrained")
    del given["_tuning_objective_metric"]
    assert read_training_config(root) == (
        TrainingConfig(
            hyperparameters=given,
            output=str(root / "model"),
            channels={name: str(data / name) for name in names},
            model_path=str(root / "model"),
            checkpoints=str(root / "checkpoints"),
            in_job=True,
            reports=str(root / "output" / "data"),
            tensorboard=str(root / "output" / "tensorboard"),
        ),
        [],
    )


def test_the_model_is_known_by_its_type_whatever_the_channel_is_called(base):
    root = base({"num_classes": "3"}, {"earlier": {"ContentType": "application/x-sagemaker-model"}})
    config, _ = read_training_config(root)
    assert config.channels == {"model": str(root / "input/data/earlier")}


def test_attributes_of_a_manifest_in_file_mode(base):
    entry = {"TrainingInputMode": "File", "AttributeNames": ["source-ref", "street-ref"]}
    config, _ = read_training_config(base({}, {"train": entry, "validation": entry}))
    assert config.attribute_names == dict.fromkeys(("train", "validation"), ("source-ref", "street-ref"))


def test_what_is_written_is_read_again(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jpg").touch()
    (tmp_path / "train.manifest").touch()
    entries = {name: {"TrainingInputMode": "File"} for name in ("train", "validation")}
    locations = {"train": tmp_path / "train.manifest", "validation": tmp_path / "data"}
    kept = tmp_path / "kept" / "checkpoints"
    base = tmp_path / "ml"
    write_job_directory(base, {"num_classes": "3"}, entries, locations, instance_type="local", checkpoints=kept)
    config, faults = read_training_config(base)
    assert (config.hyperparameters, faults) == ({"num_classes": "3"}, [])
    assert Path(config.channels["train"], "train.manifest").resolve() == tmp_path / "train.manifest"
    assert Path(config.channels["validation"], "a.jpg").is_file()
    assert Path(config.checkpoints).resolve() == kept
    assert kept.is_dir()


def test_unknown_names_are_reported_with_everything_else(base):
    text = fails(base({"mini_batch_siz": "16"}, ("trian",)))
    assert "mini_batch_siz: there is no such hyperparameter (did you mean mini_batch_size?)" in text
    names = "train, train_annotation, validation, validation_annotation, label_map, model, pretrained"
    assert f"trian: there is no such channel (there are {names})" in text


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", '"x"', '{"num_classes": ', b"\xff\xfe", "[" * 100_000])
def test_configuration_that_is_none(base, text):
    root = base({})
    path = root / "input" / "config" / "hyperparameters.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    text = fails(root)
    assert text.startswith("ClientError: The job's configuration can't be used:")
    assert "hyperparameters.json" in text


def test_several_hosts_need_all_files(base, monkeypatch):
    entry = {"TrainingInputMode": "File", "S3DistributionType": "ShardedByS3Key"}
    root = base(
        {"num_classes": "3"}, {"train": entry, "validation": {**entry, "S3DistributionType": "FullyReplicated"}}
    )
    hosts = {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}
    (root / "input" / "config" / "resourceconfig.json").write_text(json.dumps(hosts))
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(root))
    _, (fault,) = read_training_config(root)
    assert str(fault).startswith("train: is ShardedByS3Key: each host has a part of the files, and needs all")


def test_pipe_mode_is_for_one_host(base, monkeypatch):
    pipe = {"TrainingInputMode": "Pipe", "RecordWrapperType": "RecordIO"}
    root = base({"num_classes": "3", "num_training_samples": "4"}, {"train": pipe, "validation": pipe})
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(root))
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}')
    assert "comes in Pipe mode, which one host alone can read" in fails(root)


def test_a_host_without_a_name_is_reported_in_the_failure(base):
    root = base({"num_classes": "3"}, ("train",))
    (root / "input" / "config" / "resourceconfig.json").write_text("[]")
    assert fails(root).startswith("ClientError: The job's configuration can't be used:")


def test_two_models(base):
    config = {"model": {}, "earlier": {"ContentType": "application/x-sagemaker-model"}}
    _, (fault,) = read_training_config(base({"num_classes": "3"}, config))
    assert str(fault) == "earlier: is a model, and so is model (give one model)"


@pytest.mark.parametrize("name", ["model.tar.gz", "streets-v2.tar.gz"])
def test_what_a_model_is_trained_further_must_agree_in_is_reported_at_once(base, name, data_of_four):
    """Whatever the object in S3 is called."""
    root = base(
        {"num_classes": "4", "algorithm": "fcn", "backbone": "resnet-18"},
        ("train", "train_annotation", "validation", "validation_annotation", "model"),
    )
    for channel in data_of_four.iterdir():
        (root / "input" / "data").mkdir(exist_ok=True)
        (root / "input" / "data" / channel.name).symlink_to(channel)
    (root / "input" / "data" / "model").mkdir()
    strings = to_strings(resolve({"num_classes": 5, "algorithm": "psp", "backbone": "resnet-34"}))
    before = Artifact(strings, {"a": np.ones(1, np.float32)}, {"num_classes": 5}, {})
    write_artifact(root / "input" / "data" / "model" / name, before)
    text = fails(root)
    assert text.startswith("ClientError: ")
    for expected in ("algorithm: is fcn", "backbone: is resnet-18", "num_classes: is 4", "trained with psp"):
        assert expected in text


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ((), "holds none of the folders train, train_annotation, validation, validation_annotation"),
        (("train",), "train_annotation"),
        (("train", "train_annotation", "validation"), "validation_annotation"),
    ],
)
def test_channels_that_are_missing(base, channels, expected, data_of_four):
    root = base({"num_classes": "4", "use_pretrained_model": "False"}, channels)
    (root / "input" / "data").mkdir()
    for channel in channels:
        (root / "input" / "data" / channel).symlink_to(data_of_four / channel)
    text = fails(root)
    assert text.startswith("ClientError: ")
    assert expected in text
    assert "--data" not in text


def test_as_a_process(base, monkeypatch):
    root = base({"num_classes": "300", "epochs": "3"}, ("train",))
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(root))
    done = subprocess.run([sys.executable, "-m", "sagemaker_semseg", "train"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    for text in (done.stderr, (root / "output" / "failure").read_text()):
        assert "num_classes: an integer 2 <= x <= 254 is expected" in text
        assert "input/data/train" in text
