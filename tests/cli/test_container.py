"""``train`` without flags: what SageMaker's tree says becomes flags, and what went wrong stands in output/failure."""

import dataclasses
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from sagemaker_semseg.artifact import Artifact, read_artifact, write_artifact
from sagemaker_semseg.cli import container, main, train
from sagemaker_semseg.cli.parser import parse
from sagemaker_semseg.data.demo_dataset import make_demo_set
from sagemaker_semseg.errors import AlgorithmError, UserError
from sagemaker_semseg.hyperparameters import resolve, to_strings

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
    """The four channels, with two pictures."""
    root = tmp_path_factory.mktemp("four")
    make_demo_set(root, train=1, validation=1, test=0, size=48)
    return root


def options_of(base):
    """The options that ``train`` works with."""
    seen = []
    assert container.run(base, parse, lambda options: seen.append(options) or 0) == 0
    return seen[0]


def failure(base):
    return (base / "output" / "failure").read_text()


def test_hyperparameters_and_channels_become_flags(base):
    given = {
        "num_classes": "21",
        "use_pretrained_model": "True",
        "lr_scheduler_step": "10, 20",
        "algorithm": '"psp"',
        "_tuning_objective_metric": "validation:mIOU",
    }
    root = base(given, ("train", "train_annotation", "label_map", "pretrained"))
    options = options_of(root)
    assert (options.num_classes, options.use_pretrained_model, options.algorithm) == ("21", "True", '"psp"')
    assert options.lr_scheduler_step == "10, 20"
    assert options.channel_train == str(root / "input/data/train")
    assert options.channel_label_map == str(root / "input/data/label_map")
    assert str(options.channel_pretrained) == str(root / "input/data/pretrained")
    assert options.channel_validation is None
    assert (options.output, options.checkpoints, options.faults) == (root / "model", root / "checkpoints", [])


def test_the_model_is_known_by_its_type_whatever_the_channel_is_called(base):
    root = base({"num_classes": "3"}, {"earlier": {"ContentType": "application/x-sagemaker-model"}})
    assert str(options_of(root).channel_model) == str(root / "input/data/earlier")


def test_attributes_of_a_manifest_in_file_mode(base):
    config = {"TrainingInputMode": "File", "AttributeNames": ["source-ref", "street-ref"]}
    options = options_of(base({}, {"train": config, "validation": config}))
    assert (options.attribute_names, options.validation_attribute_names) == 2 * ("source-ref,street-ref",)


def test_unknown_names_are_told_with_everything_else(base):
    options = options_of(base({"mini_batch_siz": "16"}, ("trian",)))
    assert [str(fault) for fault in options.faults] == [
        "mini_batch_siz: there is no such hyperparameter (did you mean mini_batch_size?)",
        "trian: there is no such channel (there are "
        "train, train_annotation, validation, validation_annotation, label_map, model, pretrained)",
    ]


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", '"x"', '{"num_classes": ', b"\xff\xfe", "[" * 100_000])
def test_configuration_that_is_none(base, text):
    root = base({})
    path = root / "input" / "config" / "hyperparameters.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"hyperparameters\.json"):
        options_of(root)
    assert failure(root).startswith("ClientError: The job's configuration can't be used:")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("the masks are upside down"), "ClientError: the masks are upside down"),
        (AlgorithmError("oh"), "AlgorithmError: oh"),
        (ValueError("boom"), "AlgorithmError: a fault of this program: ValueError: boom"),
        (MemoryError(), "ClientError: not enough memory"),
        (
            OSError(28, "No space left on device", "/opt/ml/model"),
            "ClientError: /opt/ml/model: No space left on device",
        ),
        (KeyboardInterrupt(), "AlgorithmError: interrupted"),
    ],
)
def test_the_failure_says_whose_fault_it_is(base, error, expected):
    def work(options):
        raise error

    root = base({})
    with pytest.raises(type(error)):
        container.run(root, parse, work)
    assert failure(root).startswith(expected)


def test_a_long_failure_is_cut_where_sagemaker_does(base):
    def work(options):
        raise UserError("x" * 5000)

    root = base({})
    with pytest.raises(UserError):
        container.run(root, parse, work)
    assert len(failure(root)) == 1024
    assert failure(root).endswith("x\n... the rest is in the job's log")


def test_our_own_fault_says_where_the_traceback_is(base, monkeypatch):
    root = base({"num_classes": "3"})
    monkeypatch.setattr(train, "run_training", lambda config, faults: 1 / 0)
    assert main(["train", "--job", str(root)]) == 1
    assert failure(root).startswith("AlgorithmError: a fault of this program: ZeroDivisionError: division by zero\n")
    assert "error.log of the job's output.tar.gz" in failure(root)
    assert "1 / 0" in (root / "output" / "data" / "error.log").read_text()


def test_a_model_that_cannot_be_unpacked_is_a_failure(base):
    root = base({})

    def work(options):
        (root / "model").mkdir()
        (root / "model" / "model.tar.gz").write_bytes(b"")
        return 0

    with pytest.raises(tarfile.ReadError):
        container.run(root, parse, work)
    assert failure(root).startswith("AlgorithmError: a fault of this program: ReadError")


def test_several_hosts_are_refused(base):
    root = base({"num_classes": "3"}, ("train",))
    hosts = {"current_host": "algo-2", "hosts": ["algo-1", "algo-2"]}
    (root / "input" / "config" / "resourceconfig.json").write_text(json.dumps(hosts))
    (fault,) = options_of(root).faults
    assert str(fault).startswith("InstanceCount: is 2, and a training runs on one machine")


def test_a_host_without_a_name_is_told_in_the_failure(base, monkeypatch, capsys):
    root = base({"num_classes": "3"}, ("train",))
    (root / "input" / "config" / "resourceconfig.json").write_text("[]")
    assert main(["train", "--job", str(root)]) == 2
    assert failure(root).startswith("ClientError: The job's configuration can't be used:")


def test_two_models(base):
    config = {"model": {}, "earlier": {"ContentType": "application/x-sagemaker-model"}}
    (fault,) = options_of(base({"num_classes": "3"}, config)).faults
    assert str(fault) == "earlier: is a model, and so is model (give one model)"


@pytest.mark.parametrize("name", ["model.tar.gz", "streets-v2.tar.gz"])
def test_what_a_model_is_trained_further_must_agree_in_is_told_at_once(base, name, data_of_four, capsys):
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
    assert main(["train", "--job", str(root)]) == 2
    text = failure(root)
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
def test_channels_that_are_missing(base, channels, expected, data_of_four, capsys):
    root = base({"num_classes": "4", "use_pretrained_model": "False"}, channels)
    (root / "input" / "data").mkdir()
    for channel in channels:
        (root / "input" / "data" / channel).symlink_to(data_of_four / channel)
    assert main(["train", "--job", str(root)]) == 2
    assert failure(root).startswith("ClientError: ")
    assert expected in failure(root)
    assert "--data" not in failure(root)


def test_the_model_is_unpacked_where_sagemaker_collects_it(base, small_model):
    root = base({})

    def work(options):
        (root / "model").mkdir()
        (root / "model" / "model.tar.gz").write_bytes(small_model.read_bytes())
        assert not (root / "output" / "failure").exists()
        raise UserError("diverged")

    with pytest.raises(UserError):
        container.run(root, parse, work)
    with tarfile.open(small_model) as archive:
        names = archive.getnames()
    assert sorted(path.name for path in (root / "model").iterdir()) == sorted(names)
    assert failure(root) == "ClientError: diverged"


def test_the_epochs_are_a_table_beside_the_model(base, small_model):
    root = base({})
    artifact = read_artifact(small_model)
    history = [{"epoch": 0, "loss": 1.5, "val_mIOU": 0.25}, {"epoch": 1, "loss": 0.5, "val_mIOU": 0.75}]

    def work(options):
        (root / "model").mkdir()
        metrics = {**artifact.metrics, "history": history}
        write_artifact(root / "model" / "model.tar.gz", dataclasses.replace(artifact, metrics=metrics))
        return 0

    assert container.run(root, parse, work) == 0
    reports = root / "output" / "data"
    assert (reports / "metrics.csv").read_text() == "epoch,loss,val_mIOU\n0,1.5,0.25\n1,0.5,0.75\n"
    assert json.loads((reports / "metrics.json").read_text())["history"] == history
    assert not (root / "output" / "failure").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], True), (["--verbose"], True), (["--epochs", "3"], False), (["--data", "x"], False), (["--restart"], False)],
)
def test_a_flag_makes_it_a_persons_command(base, arguments, expected):
    assert container.is_job(parse(["train", *arguments]), base({})) is expected


def test_without_configuration_it_is_a_persons_command(tmp_path):
    assert not container.is_job(parse(["train"]), tmp_path)


def test_as_a_process(base, monkeypatch):
    root = base({"num_classes": "300", "epochs": "3"}, ("train",))
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(root))
    done = subprocess.run([sys.executable, "-m", "sagemaker_semseg", "train"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    for text in (done.stderr, failure(root)):
        assert "num_classes: an integer 2 <= x <= 254 is expected" in text
        assert "input/data/train" in text
