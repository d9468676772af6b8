"""``train`` without flags: what SageMaker's tree says becomes flags, and what went wrong stands in output/failure."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from sagemaker_semseg.cli import container
from sagemaker_semseg.cli.parser import parse
from sagemaker_semseg.errors import AlgorithmError, UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def small_networks():
    """TensorFlow isn't needed here."""


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
    assert (options.output, options.faults) == (root, [])


def test_the_model_is_known_by_its_type_whatever_the_channel_is_called(base):
    root = base({"num_classes": "3"}, {"earlier": {"ContentType": "application/x-sagemaker-model"}})
    assert str(options_of(root).channel_model) == str(root / "input/data/earlier")


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


def test_the_model_is_unpacked_where_sagemaker_collects_it(base, small_model):
    root = base({})

    def work(options):
        (root / "model.tar.gz").write_bytes(small_model.read_bytes())
        raise UserError("diverged")

    with pytest.raises(UserError):
        container.run(root, parse, work)
    with tarfile.open(small_model) as archive:
        names = archive.getnames()
    assert sorted(path.name for path in (root / "model").iterdir()) == sorted(names)
    assert not (root / "model.tar.gz").exists()


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
