"""SDK 2's names: where they lead, old spellings, what isn't here, and ``import sagemaker`` itself."""

import importlib
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import sagemaker_semseg
from sagemaker_semseg import SemSegEstimator, SemSegModel, SemSegPredictor, SemSegTransformer, TrainingInput, Tuner
from sagemaker_semseg import sagemaker as ours
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sagemaker.not_here import NotHereError
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.local import LocalBackend
from sagemaker_semseg.sdk.serializers import ImageSerializer
from sagemaker_semseg.sdk.specs import JobFailed
from tests.sdk.local.conftest import FAKE_JOB
from tests.sdk.local.fake_behaviors import FAIL, READS_A_PIPE

ROOT = Path(__file__).resolve().parents[2]
PNG = ImageSerializer().serialize(np.zeros((8, 9, 3), np.uint8))


def test_the_classes_are_this_package_s():
    assert issubclass(ours.estimator.Estimator, SemSegEstimator)
    assert issubclass(ours.model.Model, SemSegModel)
    assert issubclass(ours.Predictor, SemSegPredictor)
    assert issubclass(ours.transformer.Transformer, SemSegTransformer)
    assert issubclass(ours.tuner.HyperparameterTuner, Tuner)
    assert ours.inputs.TrainingInput is TrainingInput
    assert ours.exceptions.UnexpectedStatusException is JobFailed


# Every cell of a notebook of SDK 1's time, with SDK 1's spellings
OLD = """
import sagemaker
from sagemaker import get_execution_role
from sagemaker.amazon.amazon_estimator import get_image_uri
from sagemaker.session import s3_input

sess = sagemaker.Session()
training_image = get_image_uri(sess.boto_region_name, "semantic-segmentation", repo_version="latest")
model = sagemaker.estimator.Estimator(
    training_image,
    get_execution_role(),
    train_instance_count=1,
    train_instance_type="ml.p3.2xlarge",
    train_volume_size=50,
    train_max_run=360000,
    train_use_spot_instances=False,
    output_path="s3://{}/out".format(sess.default_bucket()),
    base_job_name="ss-old",
    sagemaker_session=sess,
)
model.set_hyperparameters(num_classes=4)
channels = {
    name: s3_input(sess.upload_data(path, key_prefix="set/" + name), distribution="FullyReplicated",
                   content_type="image/png", s3_data_type="S3Prefix")
    for name, path in inputs.items()
}
model.fit(inputs=channels, logs=True)
unique = sagemaker.utils.unique_name_from_base("a" * 63)
"""


def test_cells_of_sdk_1(backend, replaced, inputs):
    cell = {"inputs": inputs}
    with pytest.warns(DeprecationWarning, match="has been renamed in sagemaker>=2") as caught:
        exec(OLD, cell)
    said = [str(warning.message).partition(" has been renamed")[0] for warning in caught]
    assert said[:5] == [
        "The method get_image_uri",
        *("train_instance_count", "train_instance_type", "train_volume_size", "train_max_run"),
    ]
    assert said.count("The class sagemaker.session.s3_input") == 4
    assert {warning.filename for warning in caught} == {"<string>"}  # the cell: else Python hides such warnings
    model = cell["model"]
    assert (model.instance_count, model.instance_type, model.volume_size, model.max_run) == (1, "local", 50, 360000)
    assert model.model_data.startswith(f"s3://sagemaker-local/out/{model._current_job_name}/")
    assert re.fullmatch(r"ss-old-[-\d]+", model._current_job_name)
    assert re.fullmatch(r"a{47}-\d{10}-[0-9a-f]{4}", cell["unique"])
    assert cell["sess"].describe_training_job(model.jobs[0].name)["TrainingJobStatus"] == "Completed"


TUNING = """
import sagemaker
from sagemaker.tuner import CategoricalParameter, ContinuousParameter, HyperparameterTuner, IntegerParameter

sess = sagemaker.Session()
image = sagemaker.image_uris.retrieve("semantic-segmentation", sess.boto_region_name)
model = sagemaker.estimator.Estimator(
    image, sagemaker.get_execution_role(sess), instance_count=1, instance_type="ml.p3.2xlarge", sagemaker_session=sess,
    output_path=f"s3://{sess.default_bucket()}/tuned",
)
model.set_hyperparameters(num_classes=4, optimizer="sgd")
ranges = {
    "learning_rate": ContinuousParameter(0.0001, 0.1, scaling_type="Logarithmic"),
    "mini_batch_size": IntegerParameter(4, 8),
    "optimizer": CategoricalParameter(["sgd", "adam"]),
}
tuner = HyperparameterTuner(model, "validation:mIOU", ranges, strategy="Random", objective_type="Maximize", max_jobs=2,
                            max_parallel_jobs=1, early_stopping_type="Auto", base_tuning_job_name="ss")
tuner.fit(inputs, include_cls_metadata=False)
name = tuner.latest_tuning_job.job_name
table = sagemaker.HyperparameterTuningJobAnalytics(name, sagemaker_session=sess)
frame = table.dataframe().sort_values("FinalObjectiveValue", ascending=False)
"""


def test_cells_of_a_tuning(state, no_credentials, replaced, inputs, monkeypatch):
    backend = LocalBackend([sys.executable, str(FAKE_JOB.with_name("fake_trial.py"))])
    monkeypatch.setattr(backends, "local_backend", lambda: backend)
    cell = {"inputs": inputs}
    with pytest.warns(UserWarning, match="early_stopping_type is ignored on this machine"):
        exec(TUNING, cell)
    assert cell["name"].startswith("ss-")
    assert cell["sess"].describe_tuning_job(cell["name"])["HyperParameterTuningJobStatus"] == "Completed"
    assert cell["frame"]["TrainingJobName"].iloc[0] == cell["tuner"].best_training_job()
    assert cell["table"].tuning_ranges == {
        "learning_rate": {
            "Name": "learning_rate", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic",
        },
        "mini_batch_size": {"Name": "mini_batch_size", "MinValue": "4", "MaxValue": "8", "ScalingType": "Auto"},
        "optimizer": {"Name": "optimizer", "Values": ["sgd", "adam"]},
    }  # fmt: skip
    with pytest.raises(AttributeError, match=r"HyperparameterTuningJobAnalytics\.clear_cache isn't here: dataframe"):
        cell["table"].clear_cache()


def test_an_asynchronous_endpoint_is_an_endpoint_of_this_machine(state, no_credentials, replaced, small_model):
    import sagemaker

    model = sagemaker.model.Model(model_data=str(small_model))
    config = sagemaker.async_inference.AsyncInferenceConfig("s3://elsewhere/replies")
    predictor = model.deploy(
        1, "ml.c5.xlarge", async_inference_config=config, data_capture_config={"EnableCapture": True}
    )
    try:
        assert predictor.predict(PNG, {"ContentType": "image/png", "Accept": "image/png"}).startswith(b"\x89PNG")
    finally:
        predictor.delete_endpoint()


def test_a_pipeline_with_a_manifest_file(backend, replaced, inputs, state):
    """Channels as lists of objects, and a job that is described by its name."""
    cell = {"inputs": inputs, "json": json}
    exec(
        """
import sagemaker
from sagemaker.inputs import TrainingInput
sess = sagemaker.Session()
bucket = sess.default_bucket()
channels = {}
for name, path in inputs.items():
    sess.upload_data(path, bucket, "pool/" + name)
    listed = json.dumps([{"prefix": f"s3://{bucket}/pool/{name}/"}, "a.png"])
    place = sagemaker.s3.S3Uploader.upload_string_as_file_body(listed, f"s3://{bucket}/lists/{name}.manifest")
    channels[name] = TrainingInput(place, s3_data_type="ManifestFile", input_mode="File")
estimator = sagemaker.estimator.Estimator(instance_count=2, instance_type="ml.g4dn.xlarge", num_classes=4)
estimator.fit(channels, job_name="round-1", wait=False)
estimator.latest_training_job.wait()
""",
        cell,
    )
    for name in inputs:
        assert (state / "training/round-1/ml/input/data" / name / "a.png").is_file()


def test_pipe_mode_from_a_bucket(backend, replaced, inputs, state):
    cell = {"inputs": inputs, "json": json, "behavior": READS_A_PIPE}
    exec(
        """
import sagemaker
sess = sagemaker.Session()
images = sess.upload_data(inputs["train"], key_prefix="ground-truth/images")
masks = sess.upload_data(inputs["train_annotation"], key_prefix="ground-truth/masks")
line = json.dumps({"source-ref": images + "/a.png", "labels-ref": masks + "/a.png"})
place = sagemaker.s3.S3Uploader.upload_string_as_file_body(line, f"s3://{sess.default_bucket()}/train.manifest")
data = {
    split: sagemaker.inputs.TrainingInput(place, s3_data_type="AugmentedManifestFile", record_wrapping="RecordIO",
                                          attribute_names=["source-ref", "labels-ref"])
    for split in ("train", "validation")
}
estimator = sagemaker.estimator.Estimator(
    instance_type="ml.p3.2xlarge", input_mode="Pipe", num_classes=4, seed=behavior
)
estimator.fit(data)
""",
        cell,
    )
    assert cell["estimator"].latest_training_job.describe()["TrainingJobStatus"] == "Completed"


def test_a_failed_job_raises_sdk_2_s_exception(backend, replaced, inputs):
    import sagemaker

    estimator = sagemaker.estimator.Estimator(instance_type="ml.p3.2xlarge", num_classes=4, seed=FAIL)
    with pytest.raises(sagemaker.exceptions.UnexpectedStatusException, match="upside down"):
        estimator.fit(inputs, logs=False)


class Endpoint:
    """Notes what it is asked."""

    name = "mine"

    def invoke(self, arguments):
        self.arguments = arguments
        body = types.SimpleNamespace(read=lambda: b"the reply", close=lambda: None)
        return types.SimpleNamespace(body=body, content_type="image/png")


def test_a_predictor_returns_bytes_and_takes_old_spellings():
    endpoint = Endpoint()
    predictor = ours.Predictor.of(endpoint)
    assert predictor.predict(b"jpeg", {"CustomAttributes": "a"}) == b"the reply"
    assert endpoint.arguments["CustomAttributes"] == "a"
    with pytest.warns(DeprecationWarning, match="The content_type attribute has been renamed in sagemaker>=2"):
        predictor.content_type = "image/jpeg"
    with pytest.warns(DeprecationWarning, match="The accept attribute has been renamed in sagemaker>=2"):
        predictor.accept = "image/png"
    predictor.predict(b"jpeg")
    assert (endpoint.arguments["ContentType"], endpoint.arguments["Accept"]) == ("image/jpeg", "image/png")
    with pytest.warns(DeprecationWarning, match="The endpoint attribute has been renamed in sagemaker>=2"):
        assert predictor.endpoint == "mine"
    with pytest.warns(DeprecationWarning, match="RealTimePredictor"):
        assert ours.RealTimePredictor("mine").endpoint_name == "mine"
    with pytest.warns(DeprecationWarning, match="endpoint has been renamed"):
        assert ours.Predictor(endpoint="mine").endpoint_name == "mine"
    with pytest.raises(TypeError, match="wait"):
        ours.Predictor("mine", wait=True)


def test_what_is_not_here_says_what_to_use():
    with pytest.raises(ImportError, match="plain Python"):
        from sagemaker_semseg.sagemaker.processing import Processor  # noqa: F401
    with pytest.raises(NotHereError, match=r"sagemaker\.session\.production_variant isn't here"):
        from sagemaker_semseg.sagemaker.session import production_variant  # noqa: F401
    with pytest.raises(UserError, match="semantic segmentation algorithm alone"):
        importlib.import_module("sagemaker_semseg.sagemaker.xgboost")
    with pytest.raises(AttributeError, match=r"LocalSession\.create_model_from_job isn't here"):
        ours.session.LocalSession().create_model_from_job("job")
    assert not hasattr(ours, "_nothing")
    assert not hasattr(ours.session.LocalSession(), "_nothing")
    with pytest.raises(UserError, match="needs its artifact"):
        ours.transformer.Transformer("a-model", 1, "local")


def test_import_sagemaker_means_it_until_it_is_restored(monkeypatch):
    theirs, part = types.ModuleType("sagemaker"), types.ModuleType("sagemaker.estimator")
    monkeypatch.setitem(sys.modules, "sagemaker", theirs)
    monkeypatch.setitem(sys.modules, "sagemaker.estimator", part)
    sagemaker_semseg.replace_sagemaker()
    sagemaker_semseg.replace_sagemaker("local")  # the second one changes the instance type
    import sagemaker
    import sagemaker.estimator
    from sagemaker.amazon.record_pb2 import Record

    assert sagemaker is ours
    assert sagemaker.estimator.Estimator is ours.estimator.Estimator
    assert Record is ours.amazon.record_pb2.Record
    with pytest.raises(NotHereError, match=r"sagemaker\.pytorch isn't here"):
        importlib.import_module("sagemaker.pytorch")
    assert ours.estimator.Estimator(instance_type="ml.p3.2xlarge").instance_type == "local"
    sagemaker_semseg.restore_sagemaker()
    sagemaker_semseg.restore_sagemaker()
    assert sys.modules["sagemaker"] is theirs
    assert sys.modules["sagemaker.estimator"] is part
    assert "sagemaker.amazon" not in sys.modules
    assert ours.estimator.Estimator(instance_type="ml.p3.2xlarge").instance_type == "ml.p3.2xlarge"


def test_it_is_an_extension_of_ipython_and_light():
    program = """
import sys
import sagemaker_semseg
sagemaker_semseg.load_ipython_extension(None)
import sagemaker
print(sagemaker.__name__, *[name for name in ("tensorflow", "boto3", "keras") if name in sys.modules])
sagemaker_semseg.unload_ipython_extension(None)
print("sagemaker" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["sagemaker_semseg.sagemaker", "False"]
