"""The estimator on this machine, with a training that costs nothing: v2's arguments, its errors, what it gives out."""

import inspect
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from sagemaker_semseg import SemSegEstimator, SemSegModel, SemSegPredictor, SemSegTransformer, TrainingInput, Tuner
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.names import base_from_image, base_from_name, name_from_base
from sagemaker_semseg.sdk.specs import JobFailed
from tests.sdk.local.conftest import eventually
from tests.sdk.local.fake_behaviors import FAIL, HANG

V2 = json.loads(Path(__file__).with_name("v2_signatures.json").read_text())
OURS = {
    "Estimator": SemSegEstimator,
    "Predictor": SemSegPredictor,
    "Transformer": SemSegTransformer,
    "TrainingInput": TrainingInput,
    "Tuner": Tuner,
}


@pytest.fixture
def estimator(backend, tmp_path):
    def estimator(seed=0, **more):
        given = {"instance_count": 1, "instance_type": "local", "output_path": str(tmp_path / "out"), "num_classes": 4}
        return SemSegEstimator(seed=seed, **{**given, **more})

    return estimator


# what v2 has that is not taken here, and why
LEFT_OUT = {
    ("TrainingInput", "__init__"): {"hub_access_config", "model_access_config"},  # of JumpStart
}
# what stands elsewhere or has another default here
OWN = {
    ("Estimator", "__init__", "image_uri"): None,  # this machine needs none
    ("Predictor", "__init__", "serializer"): None,  # images of all kinds
    ("Predictor", "__init__", "deserializer"): None,  # arrays
}


@pytest.mark.parametrize(("cls", "method"), [(cls, method) for cls in V2 for method in V2[cls]])
def test_names_order_and_defaults_are_v2s(cls, method):
    ours = inspect.signature(getattr(OURS[cls], method)).parameters
    theirs = {name: value for name, value in V2[cls][method].items() if name not in LEFT_OUT.get((cls, method), ())}
    names = [name for name in ours if name in theirs]
    assert names == list(theirs)
    for name, default in theirs.items():
        if default == "required":
            continue
        expected = OWN.get((cls, method, name), default)
        assert ours[name].default == expected, name


def test_a_training_from_its_settings_to_its_model(estimator, inputs, tmp_path, capsys):
    mine = estimator(base_job_name="mine", hyperparameters={"crop_size": 64})
    mine.set_hyperparameters(learning_rate=0.01, use_pretrained_model=False)
    assert mine.hyperparameters() == {
        "crop_size": 64,
        "seed": 0,
        "num_classes": 4,
        "learning_rate": 0.01,
        "use_pretrained_model": False,
    }
    mine.fit(inputs)
    job = mine.latest_training_job
    assert job.name == job.job_name
    assert base_from_name(job.name) == "mine"
    assert mine.model_data == str(tmp_path / "out" / job.name / "output/model.tar.gz")
    assert "validation mIOU <score>=0.5" in capsys.readouterr().out
    described = job.describe()
    assert described["TrainingJobStatus"] == "Completed"
    assert described["ModelArtifacts"] == {"S3ModelArtifacts": mine.model_data}
    assert described["HyperParameters"]["use_pretrained_model"] == "False"
    mine.logs()
    assert "#progress_metric" in capsys.readouterr().out


def test_a_folder_of_channels_is_enough(estimator, inputs):
    estimator().fit(str(Path(inputs["train"]).parent), logs=False)
    with pytest.raises(UserError, match="no such folder"):
        estimator().fit("nowhere")


def test_logs_none_is_quiet(estimator, inputs, capsys):
    estimator().fit(inputs, logs="None")
    assert capsys.readouterr().out == ""


def test_the_table_of_epochs(estimator, inputs):
    mine = estimator()
    mine.fit(inputs, logs=False)
    table = mine.training_job_analytics
    assert [row["train:loss"] for row in table.epochs] == [2.5, 1.5, 1.25]
    assert table.best()["epoch"] == 1
    assert len(table) == 3
    assert str(table).splitlines()[2].split() == ["2", "1.5000", "0.5000", "-", "12.5000"]
    assert "<td>0.5000</td>" in table._repr_html_()


def test_attach_waits_and_knows_how_the_job_was_started(estimator, inputs, backend):
    mine = estimator(base_job_name="mine", class_names=["sky", "road", "car", "tree"])
    mine.fit(inputs, wait=False, job_name="mine-2026-11-25-10-00-00-000")
    again = SemSegEstimator.attach("mine-2026-11-25-10-00-00-000")
    assert again.latest_training_job.describe()["TrainingJobStatus"] == "Completed"
    assert again.hyperparameters() == {"num_classes": "4", "seed": "0", "class_names": "sky,road,car,tree"}
    assert (again.base_job_name, again.instance_type) == ("mine", "local")
    assert Path(again.model_data).is_file()
    with pytest.raises(UserError, match="no training job called yours"):
        SemSegEstimator.attach("yours")


@pytest.fixture(autouse=True)
def nothing_on_sagemaker(monkeypatch):
    def no_backend(session):
        raise UserError("no credentials were found")

    monkeypatch.setattr(backends, "remote_backend", no_backend)


def test_a_failed_training_has_no_model(estimator, inputs):
    mine = estimator(FAIL)
    with pytest.raises(JobFailed, match="the masks are upside down"):
        mine.fit(inputs, logs=False)
    with pytest.raises(UserError, match=r"There is no model: the training job .* is Failed \(ClientError: the masks"):
        mine.deploy(1, "local")


def test_before_the_first_training(estimator):
    for call in ("deploy", "logs", "delete_endpoint", "create_model"):
        with pytest.raises(UserError, match=r"has trained nothing yet|has no endpoint"):
            getattr(estimator(), call)()


def test_a_training_that_goes_on_can_be_stopped(estimator, inputs):
    mine = estimator(HANG)
    mine.fit(inputs, wait=False)
    eventually(lambda: "ready" in list(mine.latest_training_job.job.logs(follow=False)))
    with pytest.raises(UserError, match="is InProgress"):
        mine.create_model()
    mine.latest_training_job.stop()
    mine.latest_training_job.wait(logs=False)
    assert Path(mine.model_data).is_file()


def test_deploy_and_delete(estimator, inputs, small_model, monkeypatch):
    mine = estimator(base_job_name="mine")
    mine.fit(inputs, logs=False)
    monkeypatch.setattr(SemSegEstimator, "model_data", str(small_model))
    predictor = mine.deploy(initial_instance_count=1, instance_type="local")
    assert base_from_name(predictor.endpoint_name) == "mine"
    mine.delete_endpoint()
    with pytest.raises(UserError, match="no endpoint"):
        mine.delete_endpoint()
    asked = mine.create_model(predictor_cls=lambda name, session: name).deploy(1, "local", endpoint_name="cls")
    assert asked == "cls"
    SemSegPredictor("cls").delete_endpoint()


# ---- what is wrong


def faults(call, *arguments, **more):
    with pytest.raises(UserError) as caught:
        call(*arguments, **more)
    return {fault.where: str(fault) for fault in caught.value.faults}


def test_wrong_arguments_come_at_once():
    found = faults(
        SemSegEstimator,
        instance_count=0,
        input_mode="Fax",
        num_clases=3,
        source_dir="code",
        max_run=0,
        outputpath="x",
        epochs=3,
        hyperparameters={"epochs": 4},
    )
    assert set(found) == {
        *("instance_count", "instance_type", "input_mode", "num_clases", "source_dir", "max_run", "outputpath"),
        "epochs",
    }
    assert "did you mean num_classes?" in found["num_clases"]
    assert "did you mean output_path?" in found["outputpath"]
    assert '"local"' in found["instance_type"]


def test_everything_that_is_wrong_with_a_training_comes_at_once(estimator, inputs, state, tmp_path):
    mine = estimator(learning_rate=7)
    mine.set_hyperparameters(crop_siz=64, epochs="many")
    empty = tmp_path / "empty"
    empty.mkdir()
    given = {"train": "/nowhere", "validation": str(empty), "validation_annotation": inputs["validation_annotation"]}
    found = faults(mine.fit, given)
    assert set(found) == {
        *("learning_rate", "crop_siz", "epochs", "train_annotation", "train", "validation"),
    }
    assert "did you mean crop_size?" in found["crop_siz"]
    assert "/nowhere: no such file or folder" in found["train"]
    assert not (state / "training").exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"trian": "x"}, {"trian": "did you mean train?"}),
        ({"train": 3.5}, {"train": "float came"}),
        ({"train": None}, {"train": "NoneType came"}),
        ({"train": TrainingInput("/nowhere", input_mode="Fax")}, {"train": "'Fax'"}),
    ],
)
def test_wrong_inputs(estimator, inputs, change, expected):
    found = faults(estimator().fit, {**inputs, **change})
    for where, text in expected.items():
        assert text in found[where]


@pytest.mark.parametrize("inputs", [None, 3, b"data", []])
def test_inputs_that_are_none(estimator, inputs):
    with pytest.raises(UserError):
        estimator().fit(inputs)


def test_a_wrong_and_a_missing_channel_come_together(estimator, inputs):
    del inputs["validation"]
    assert set(faults(estimator().fit, {**inputs, "train": 3.5})) == {"train", "validation"}


def test_two_instances_are_two_processes(estimator, inputs, capsys, state):
    """What the chief prints is the job's log; both have the names of the hosts."""
    mine = estimator(instance_count=2)
    mine.fit(inputs)
    assert capsys.readouterr().out.count("epoch=0, validation mIOU <score>=0.125") == 1
    assert Path(mine.model_data).is_file()
    base = state / "training" / mine.latest_training_job.name / "ml"
    assert json.loads((base / "input/config/resourceconfig.json").read_text())["hosts"] == ["algo-1", "algo-2"]


def test_a_failure_of_two_instances(estimator, inputs):
    with pytest.raises(JobFailed, match="the masks are upside down"):
        estimator(instance_count=2, seed=FAIL).fit(inputs, logs=False)


def test_two_instances_that_are_stopped(estimator, inputs, state):
    mine = estimator(instance_count=2, seed=HANG)
    mine.fit(inputs, wait=False)
    job = mine.latest_training_job
    eventually(lambda: "ready" in (state / "training" / job.name / "log").read_text())
    job.stop()
    eventually(lambda: job.describe()["TrainingJobStatus"] == "Stopped")


def test_two_instances_share_neither_gpus_nor_a_pipe(estimator, inputs, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    gpu = faults(estimator(instance_count=2, instance_type="local_gpu").fit, inputs)
    assert "would share this machine's GPUs" in gpu["instance_count"]
    assert (
        "a pipe has one reader" in faults(estimator(instance_count=2, input_mode="Pipe").fit, inputs)["instance_count"]
    )


def test_there_is_no_gpu(estimator, inputs, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("sagemaker_semseg.sdk.local.validation.GPU_SIGNS", ())
    assert 'use "local"' in faults(estimator(instance_type="local_gpu").fit, inputs)["instance_type"]


# ---- names


def test_names_are_v2s():
    name = name_from_base("base")
    assert math.isclose(len(name), len("base-2026-11-25-10-00-00-000"))
    assert base_from_name(name) == "base"
    assert len(name_from_base(100 * "x")) == 63
    assert base_from_name("whatever-1") == "whatever-1"
    assert base_from_image("1.dkr.ecr.eu-west-1.amazonaws.com/team/semseg:0.1") == "semseg"


def test_what_the_record_says_is_read_by_the_command(estimator, inputs):
    estimator().fit(inputs, job_name="mine", logs=False)
    done = subprocess.run(
        [sys.executable, "-m", "sagemaker_semseg", "jobs", "show", "mine", "--json"], capture_output=True, check=True
    )
    assert json.loads(done.stdout)["spec"]["hyperparameters"]["num_classes"] == "4"


def test_a_model_is_its_artifact(small_model):
    assert SemSegModel(model_data=small_model).model_data == str(small_model)
