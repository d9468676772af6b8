"""Endpoints and batch transforms on this machine, with the real server and a small model."""

import io
import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import boto3
import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg import IdentitySerializer, SemSegEstimator, SemSegModel, SemSegPredictor
from sagemaker_semseg.artifact import read_inference_artifact
from sagemaker_semseg.data.images import decode_image
from sagemaker_semseg.errors import DataError, UserError
from sagemaker_semseg.inference import Segmenter
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.local.job_store import JobStore
from sagemaker_semseg.sdk.local.process_identity import Process
from sagemaker_semseg.sdk.specs import InvocationFailed, JobFailed
from sagemaker_semseg.sdk.training_job import TrainingJob
from tests.sdk.local.conftest import eventually

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def module_state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(autouse=True)
def state(module_state, monkeypatch):
    """One for all tests of this file, since the endpoint is, too."""
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(module_state))
    return module_state


@pytest.fixture(scope="module")
def predictor(module_state, small_model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_SEMSEG_STATE", str(module_state))
        predictor = SemSegModel(model_data=small_model).deploy(1, "local", endpoint_name="mine")
        yield predictor
        predictor.delete_endpoint()


@pytest.fixture(scope="module")
def segmenter(small_model):
    return Segmenter(read_inference_artifact(small_model))


def image(height=37, width=53, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(**size):
    file = io.BytesIO()
    image(**size).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("form", ["bytes", "path", "text", "file", "PIL", "array"])
def test_predict_takes_images_of_all_kinds(predictor, segmenter, tmp_path, form):
    data = jpeg()
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    pixels = decode_image(data)
    given = {
        "bytes": data,
        "path": path,
        "text": str(path),
        "file": io.BytesIO(data),
        "PIL": Image.fromarray(pixels),
        "array": pixels,
    }[form]
    labels = predictor.predict(given)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, segmenter.labels(pixels))


def test_probabilities_and_what_else_may_be_asked_for(predictor, segmenter):
    data = jpeg()
    expected = segmenter.probabilities(decode_image(data))
    found = predictor.predict_proba(data)
    assert (found.shape, found.dtype) == ((4, 37, 53), np.float32)
    assert np.array_equal(found, expected)
    for accept in ("application/x-recordio-protobuf", "application/x-protobuf", "application/x-npy"):
        assert np.array_equal(predictor.predict(data, accept=accept), expected)
    half = predictor.predict(data, accept="application/x-protobuf; dtype=float16")
    assert half.dtype == np.float16
    assert np.array_equal(half, expected.astype(np.float16))
    # v2's second argument, and its way to ask
    assert np.array_equal(predictor.predict(data, {"Accept": "application/x-npy"}), expected)
    assert np.array_equal(predictor.predict(data, initial_args={"Accept": "application/x-npy"}), expected)


def test_an_overlay_is_an_image_of_the_images_size(predictor):
    overlay = predictor.overlay(jpeg())
    assert (overlay.size, overlay.mode) == ((53, 37), "RGB")
    assert not np.array_equal(np.asarray(overlay), decode_image(jpeg()))


def test_serializer_and_deserializer_are_any_objects_with_the_protocol(predictor):
    asked = {}

    class Asked:
        CONTENT_TYPE, ACCEPT = "image/jpeg", ("image/png", "application/x-npy;q=0.1")

        def serialize(self, data):
            return jpeg(seed=data)

        def deserialize(self, stream, content_type):
            asked["type"], asked["size"] = content_type, len(stream.read())
            stream.close()
            return "made of it"

    mine = SemSegPredictor("mine", serializer=Asked(), deserializer=Asked())
    assert (mine.content_type, mine.accept) == ("image/jpeg", Asked.ACCEPT)
    assert mine.predict(3) == "made of it"
    assert asked["type"] == "image/png"
    assert asked["size"] > 50


def test_a_refused_request_says_what_the_model_said(predictor):
    with pytest.raises(InvocationFailed, match="answers 400") as caught:
        predictor.predict(jpeg()[:200])
    assert caught.value.status == 400
    with pytest.raises(InvocationFailed) as caught:
        predictor.predict(jpeg(), accept="text/html")
    assert caught.value.status == 406
    assert "image/png" in str(caught.value)
    with pytest.raises(UserError, match="must be bytes, dict came"):
        SemSegPredictor("mine", serializer=IdentitySerializer("image/jpeg")).predict({})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("/nowhere/a.jpg", "/nowhere/a.jpg: can't be read: No such file"),
        (3.5, "float came"),
        (np.zeros((3, 8, 8), np.uint8), r"\(3, 8, 8\) uint8 came"),
        (np.zeros((8, 8, 3), np.float32), r"\(8, 8, 3\) float32 came"),
    ],
)
def test_what_is_no_image_is_reported_before_it_is_sent(data, expected):
    with pytest.raises(DataError, match=expected):
        SemSegPredictor("not asked").predict(data)


def test_another_process_finds_it_by_its_name(predictor, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    program = f"""
from sagemaker_semseg import SemSegPredictor
print(SemSegPredictor("mine").predict({str(tmp_path / "a.jpg")!r}).shape)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "(37, 53)\n"


def test_awss_own_client_reaches_it(predictor, segmenter, aws):
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("sagemaker-runtime", endpoint_url=predictor.endpoint.url, **keys)
    reply = client.invoke_endpoint(EndpointName="mine", ContentType="image/jpeg", Body=jpeg(), Accept="image/png")
    assert np.array_equal(np.asarray(Image.open(reply["Body"])), segmenter.labels(decode_image(jpeg())))


def test_a_taken_name_is_refused(predictor, small_model):
    with pytest.raises(UserError, match="mine: is the name of another one"):
        SemSegModel(model_data=small_model).deploy(1, "local", endpoint_name="mine")


def test_an_unknown_name_says_which_there_are(predictor, monkeypatch):
    def no_backend(session):
        raise UserError("no credentials were found")

    monkeypatch.setattr(backends, "remote_backend", no_backend)
    expected = r"(?s)This machine knows no endpoint called yours \(there are mine\).*no credentials were found"
    with pytest.raises(UserError, match=expected):
        SemSegPredictor("yours").predict(jpeg())


def test_everything_that_is_wrong_comes_at_once(tmp_path):
    model = SemSegModel(model_data=tmp_path / "nowhere.tar.gz")
    with pytest.raises(UserError) as caught:
        model.deploy(2, "local", endpoint_name="a_b", async_inference_config=object())
    assert [fault.where for fault in caught.value.faults] == [
        "initial_instance_count",
        "name",
        "async_inference_config",
        "model_data",
    ]
    with pytest.raises(UserError, match="instance_type: is missing"):
        model.deploy(1)
    with pytest.raises(UserError, match="model_data"):
        SemSegModel()


@pytest.mark.parametrize("deploy", ["model", "estimator"])
def test_the_models_variables_reach_the_server(small_model, monkeypatch, deploy):
    """They decide the form of a reply for which the request asks nothing; those of this process don't."""
    variables = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/x-npy", "SAGEMAKER_SEMSEG_FLIP": "true"}
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "image/png")
    if deploy == "model":
        predictor = SemSegModel(model_data=small_model, env=variables).deploy(1, "local", endpoint_name="variables")
    else:
        estimator = SemSegEstimator(instance_type="local")
        monkeypatch.setattr(SemSegEstimator, "model_data", str(small_model))
        estimator.latest_training_job = TrainingJob(SimpleNamespace(name="trained"))
        predictor = estimator.deploy(1, "local", endpoint_name="variables", env=variables)
    request = urllib.request.Request(f"{predictor.endpoint.url}/invocations", jpeg(), {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request) as reply:
        assert reply.headers["Content-Type"] == "application/x-npy"
        found = np.load(io.BytesIO(reply.read()))
    predictor.delete_endpoint()
    expected = Segmenter(small_model, flip=True).probabilities(decode_image(jpeg()))[None]
    np.testing.assert_array_equal(found, expected)


def test_what_is_no_model_fails_and_leaves_no_process(tmp_path):
    (tmp_path / "model.tar.gz").write_bytes(b"no model")
    with pytest.raises(JobFailed, match="is not a gzip file"):
        SemSegModel(model_data=tmp_path / "model.tar.gz").deploy(1, "local", endpoint_name="broken")
    record = JobStore("endpoints").get("broken")
    assert record.status == "Failed"
    eventually(lambda: not record.process.alive)


def test_deleting_leaves_nothing(small_model, state):
    predictor = SemSegModel(model_data=small_model).deploy(1, "local", endpoint_name="short")
    record = JobStore("endpoints").get("short")
    server = Process.from_dict(record.more["job"])
    assert server.alive
    predictor.delete_endpoint()
    assert not record.process.alive
    assert not server.alive
    assert not (state / "endpoints" / "short").exists()
    with pytest.raises(UserError, match="short"):
        predictor.predict(jpeg())


def test_one_whose_process_is_killed_ends_by_itself_and_a_detached_one_goes_on(small_model, state):
    program = f"""
import os, signal
from sagemaker_semseg import SemSegModel
model = SemSegModel(model_data={str(small_model)!r})
model.deploy(1, "local", endpoint_name="detached", wait=False)
model.deploy(1, "local", endpoint_name="kept")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    registry = JobStore("endpoints")
    eventually(lambda: registry.get("kept").status == "Stopped")
    server = Process.from_dict(registry.get("kept").more["job"])
    eventually(lambda: not server.alive)
    predictor = SemSegPredictor("detached")
    assert predictor.predict(jpeg()).shape == (37, 53)
    predictor.delete_endpoint()


def test_a_server_that_died_is_reported(small_model):
    predictor = SemSegModel(model_data=small_model).deploy(1, "local", endpoint_name="doomed")
    os.kill(JobStore("endpoints").get("doomed").more["job"]["pid"], signal.SIGKILL)
    eventually(lambda: JobStore("endpoints").get("doomed").status == "Failed")
    with pytest.raises(JobFailed, match="killed by SIGKILL"):
        predictor.predict(jpeg())
    predictor.delete_endpoint()


class SomeSession:
    """A session for SageMaker, of any kind."""


def test_a_session_hides_no_endpoint_of_this_machine(predictor):
    again = SemSegPredictor("mine", sagemaker_session=SomeSession())
    assert again.predict(jpeg()).shape == (37, 53)


def test_it_is_no_multi_model_endpoint(predictor):
    with pytest.raises(InvocationFailed, match="no multi-model endpoint") as caught:
        predictor.predict(jpeg(), target_model="other.tar.gz")
    assert caught.value.status == 400


def test_image_jpg_is_a_jpeg(predictor):
    assert predictor.predict(jpeg(), initial_args={"ContentType": "image/jpg"}).shape == (37, 53)


# ---- batch transform


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "b.jpg", "more/c.jpg")):
        (folder / name).write_bytes(jpeg(seed=number))
    (folder / ".hidden").write_bytes(b"")
    return folder


def transformer(small_model, output, **more):
    return SemSegModel(model_data=small_model).transformer(1, "local", output_path=str(output), **more)


def test_each_file_has_its_reply(small_model, segmenter, images, tmp_path, capfd):
    mine = transformer(small_model, tmp_path / "out", accept="image/png", strategy="SingleRecord")
    mine.transform(images, content_type="image/jpeg", job_name="batch")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.out"))
    assert found == ["a.jpg.out", "b.jpg.out", "more/c.jpg.out"]
    mask = np.asarray(Image.open(tmp_path / "out/more/c.jpg.out"))
    assert np.array_equal(mask, segmenter.labels(decode_image(jpeg(seed=2))))
    assert "3 files transformed" in capfd.readouterr().out


def test_files_that_are_refused_are_named_and_the_others_are_done(small_model, images, tmp_path):
    (images / "b.jpg").write_bytes(b"no image")
    (images / "big.jpg").write_bytes(jpeg() + bytes(2**21))
    mine = transformer(small_model, tmp_path / "out", max_payload=1)
    with pytest.raises(JobFailed, match=r"2 of 4 files weren't transformed") as caught:
        mine.transform(str(images), logs=False)
    assert str(images / "b.jpg") in str(caught.value)
    assert str(images / "big.jpg") in str(caught.value)
    assert (tmp_path / "out/more/c.jpg.out").is_file()


def test_a_manifest_file_names_the_images_and_the_replies(small_model, images, tmp_path):
    (tmp_path / "list").write_text(json.dumps([{"prefix": f"{images}/"}, "more/c.jpg", "a.jpg"]))
    mine = transformer(small_model, tmp_path / "out")
    mine.transform(tmp_path / "list", data_type="ManifestFile", logs=False)
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.out"))
    assert found == ["a.jpg.out", "more/c.jpg.out"]


def test_a_transform_is_found_by_its_name(small_model, images, tmp_path):
    from sagemaker_semseg import SemSegTransformer

    mine = transformer(small_model, tmp_path / "out2")
    mine.transform(images, job_name="found", wait=False)
    again = SemSegTransformer.attach("found")
    again.wait(logs=False)
    assert again.output_path == str(tmp_path / "out2")
    assert (tmp_path / "out2/a.jpg.out").is_file()


def test_what_a_transform_cannot_do_is_reported_before(small_model, tmp_path):
    mine = transformer(small_model, tmp_path, assemble_with="Line")
    with pytest.raises(UserError) as caught:
        mine.transform(tmp_path / "nowhere", split_type="Line", input_filter="$.x")
    assert {fault.where for fault in caught.value.faults} == {"assemble_with", "split_type", "input_filter", "data"}


def test_from_s3_to_s3(small_model, segmenter, bucket_server, state):
    """With a server of S3 that other processes reach, too."""
    bucket_server.put_object(Bucket="images", Key="new/a.jpg", Body=jpeg())
    mine = transformer(small_model, "s3://images/masks")
    mine.transform("s3://images/new", logs=False)
    body = bucket_server.get_object(Bucket="images", Key="masks/a.jpg.out")["Body"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(body.read()))), segmenter.labels(decode_image(jpeg())))
