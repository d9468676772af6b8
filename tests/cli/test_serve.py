"""``serve``: what flags and variables say together, and a real model behind HTTP as a user starts it."""

import http.client
import io
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg import memory
from sagemaker_semseg.artifact import Artifact, read_inference_artifact, write_artifact
from sagemaker_semseg.cli import main, parser
from sagemaker_semseg.container.serve import serving_settings
from sagemaker_semseg.data.images import decode_image, encode_mask
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.inference import Segmenter
from sagemaker_semseg.serving import server

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """The settings that follow from a command line and variables."""

    def settings(*flags, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
        options = parser.parse(["serve", *flags])
        return serving_settings(vars(options), options.faults)

    return settings


def make_image(height=97, width=131):
    coarse = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def test_a_laptop(settings):
    found = settings("--model", "m.tar.gz")
    assert (found.model, found.host, found.port) == (Path("m.tar.gz"), "127.0.0.1", 8080)
    assert (found.workers, found.threads, found.queue, found.accept) == (None, None, None, "image/png")
    assert (found.max_payload_mb, found.options, found.batch, found.log) == (100, {}, False, True)


def test_a_container(settings, tmp_path):
    (tmp_path / "model").mkdir()
    found = settings(
        SAGEMAKER_BIND_TO_PORT="9000",
        SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="application/x-npy",
        SAGEMAKER_MODEL_SERVER_WORKERS="3",
        SAGEMAKER_MAX_PAYLOAD_IN_MB="0",
        SAGEMAKER_BATCH="true",
        SAGEMAKER_SEMSEG_RUNTIME="openvino",
        SAGEMAKER_SEMSEG_SCALES="0.75, 1",
        SAGEMAKER_SEMSEG_FLIP="True",
        SAGEMAKER_SEMSEG_TILE_PIXELS="100000",
    )
    assert (found.model, found.host, found.port) == (tmp_path / "model", "0.0.0.0", 9000)
    assert (found.accept, found.workers, found.max_payload_mb, found.batch) == ("application/x-npy", 3, 0, True)
    assert found.options == {"runtime": "openvino", "scales": (0.75, 1.0), "flip": True, "tile_pixels": 100_000}


def test_flags_win(settings):
    flags = "--model m --port 0 --accept image/png --workers 1 --threads 2 --queue 0 --max-payload-mb 5 --quiet"
    found = settings(
        *flags.split(),
        *("--scales", "1,2", "--no-flip", "--host", "::1"),
        SAGEMAKER_BIND_TO_PORT="9000",
        SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="application/x-npy",
        SAGEMAKER_MODEL_SERVER_WORKERS="3",
        SAGEMAKER_MAX_PAYLOAD_IN_MB="7",
        SAGEMAKER_SEMSEG_FLIP="true",
        SAGEMAKER_SEMSEG_SCALES="3",
    )
    assert (found.host, found.port, found.accept, found.workers) == ("::1", 0, "image/png", 1)
    assert (found.threads, found.queue, found.max_payload_mb, found.log) == (2, 0, 5, False)
    assert found.options == {"scales": (1.0, 2.0), "flip": False}


def test_everything_that_is_wrong_is_reported_at_once(settings):
    with pytest.raises(UserError) as caught:
        settings(
            "--prot",
            SAGEMAKER_BIND_TO_PORT="http",
            SAGEMAKER_MODEL_SERVER_WORKERS="0",
            SAGEMAKER_MAX_PAYLOAD_IN_MB="-1",
            SAGEMAKER_BATCH="maybe",
            SAGEMAKER_SEMSEG_SCALES="1,b",
            SAGEMAKER_SEMSEG_FLIP="2",
            SAGEMAKER_SEMSEG_TILE_PIXELS="1e6",
            SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/html",
        )
    assert [fault.where for fault in caught.value.faults] == [
        "--prot",
        "SAGEMAKER_BIND_TO_PORT",
        "SAGEMAKER_MODEL_SERVER_WORKERS",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB",
        "SAGEMAKER_BATCH",
        "SAGEMAKER_SEMSEG_SCALES",
        "SAGEMAKER_SEMSEG_FLIP",
        "SAGEMAKER_SEMSEG_TILE_PIXELS",
        "--model",
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
    ]


@pytest.mark.parametrize("flags", ["--port 65536", "--port x", "--workers 0", "--queue -1", "--scales 1,,2"])
def test_numbers_that_are_none(settings, flags):
    with pytest.raises(UserError, match=flags.split()[0]):
        settings("--model", "m", *flags.split())


def test_a_wrong_accept_names_its_flag(settings):
    with pytest.raises(UserError) as caught:
        settings("--model", "m", "--accept", "text/html")
    assert caught.value.faults[0].where == "--accept"


def test_libraries_that_are_not_installed(monkeypatch, capsys):
    monkeypatch.setattr(server, "find_spec", lambda name: None if name in ("h11", "uvicorn") else name)
    assert main(["serve", "--model", "m"]) == 2
    assert "needs uvicorn, h11.\nInstall with: pip install 'sagemaker-semseg[serve]'" in capsys.readouterr().err


def test_the_memory_of_a_worker_is_that_of_its_largest_image(small_model, tmp_path):
    found = serving_settings({"model": small_model})
    assert found.worker_bytes == memory.inference(resolve({"num_classes": 4}), 1448, 1448).total
    smaller = serving_settings({"model": small_model, "tile_pixels": 2**18})
    assert 10**8 < smaller.worker_bytes < found.worker_bytes
    (tmp_path / "broken.tar.gz").write_bytes(b"broken")  # a worker reports it
    assert serving_settings({"model": tmp_path / "broken.tar.gz"}).worker_bytes is None


def test_the_workers_share_the_cores(monkeypatch):
    monkeypatch.setattr(server, "cpu_count", lambda: 10)

    def sizes(**settings):
        return server.Settings(Path("m"), **settings).pool_sizes()

    monkeypatch.setattr(server, "memory_limit", lambda: 10**10)
    assert sizes() == (10, 1, 20)
    assert sizes(worker_bytes=10**9) == (8, 1, 16)
    assert sizes(worker_bytes=3 * 10**9) == (2, 5, 4)
    assert sizes(worker_bytes=10**11) == (1, 10, 4)
    monkeypatch.setattr(server, "memory_limit", lambda: None)
    assert sizes(worker_bytes=10**11) == (10, 1, 20)
    assert sizes(workers=5) == (5, 2, 10)
    assert sizes(workers=20, threads=3, queue=0) == (20, 3, 0)
    assert sizes(batch=True)[2] > 50
    monkeypatch.setattr(server, "cpu_count", lambda: 1)
    assert sizes() == (1, 1, 4)


def test_limits_follow_from_settings_and_machine(monkeypatch):
    model = Path("m")
    assert server.Settings(model).limits().body_bytes == 100 * 2**20
    large = server.Settings(model, max_payload_mb=0).limits()
    assert large.body_bytes == 2**30
    assert large.held_bytes > large.body_bytes
    for files, connections in ((100, 50), (10**6, server.Limits.connections)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, files=files: (files, files))
        assert server.Settings(model).limits().connections == connections


# ---- as processes


@pytest.fixture
def serving(monkeypatch):
    """Start the command; ends it, and expects that to go well."""
    started = []

    def serving(*flags, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        command = [sys.executable, "-m", "sagemaker_semseg", "serve", *flags]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(process := subprocess.Popen(command, cwd=ROOT, **pipes))
        line = process.stdout.readline()
        found = re.search(r"at http://([0-9.]+):(\d+)/", line)
        assert found, line + process.stderr.read()
        return found[1], int(found[2])

    yield serving
    for process in started:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, "Traceback" in err) == (0, False), err


def post(port, body, path="/invocations", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", path, body, {"Content-Type": "image/jpeg", **headers})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, reply.headers["content-type"], data


def test_replies_are_what_prediction_gives_offline(serving, small_model):
    _, port = serving("--model", str(small_model), "--port", "0")
    segmenter = Segmenter(read_inference_artifact(small_model))
    image = make_image()
    pixels = decode_image(image)
    mask = encode_mask(segmenter.labels(pixels))
    assert post(port, image) == (200, "image/png", mask)
    status, kind, data = post(port, image, Accept="application/x-npy")
    assert (status, kind) == (200, "application/x-npy")
    assert np.array_equal(np.load(io.BytesIO(data))[0], segmenter.probabilities(pixels))
    assert post(port, image[:300])[0] == 400


def test_the_page_says_which_precision_was_chosen_and_why(serving, small_model, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_PRECISION", "float32")
    _, port = serving("--model", str(small_model), "--port", "0")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/")
    page = connection.getresponse().read()
    connection.close()
    assert b'"choice": "float32 with onnxruntime: as asked"' in page


def test_as_in_a_container(serving, small_model, tmp_path):
    """Unpacked in SageMaker's place, and with what a worker alone can judge."""
    import tarfile

    with tarfile.open(small_model) as archive:
        archive.extractall(tmp_path / "model", filter="data")
    variables = {"SAGEMAKER_BASE_DIR": str(tmp_path), "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/x-npy"}
    address, port = serving("--port", "0", **variables)
    assert address == "0.0.0.0"
    assert post(port, make_image())[1] == "application/x-npy"


def test_awss_own_client(serving, small_model, aws):
    import boto3
    import botocore.exceptions

    _, port = serving("--model", str(small_model), "--port", "0", "--quiet")
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("sagemaker-runtime", endpoint_url=f"http://127.0.0.1:{port}", **keys)
    image = make_image()
    given = {"EndpointName": "mine", "ContentType": "image/jpeg", "CustomAttributes": "a=1", "Body": image}
    reply = client.invoke_endpoint(**given, Accept="image/png")
    assert reply["Body"].read() == encode_mask(
        Segmenter(read_inference_artifact(small_model)).labels(decode_image(image))
    )
    assert (reply["ContentType"], reply["CustomAttributes"]) == ("image/png", "a=1")
    assert reply["InvokedProductionVariant"]
    assert reply["ResponseMetadata"]["RequestId"]
    with pytest.raises(client.exceptions.ModelError) as caught:
        client.invoke_endpoint(**given, Accept="text/html")
    assert caught.value.response["OriginalStatusCode"] == 406
    assert "NotAcceptable" in caught.value.response["OriginalMessage"]
    assert isinstance(caught.value, botocore.exceptions.ClientError)


@pytest.mark.parametrize(
    ("flags", "variables", "expected"),
    [
        (["--scales", "9"], {}, "--scales: "),
        ([], {"SAGEMAKER_SEMSEG_RUNTIME": "abacus"}, "SAGEMAKER_SEMSEG_RUNTIME: "),
        (["--host", "256.1.1.1"], {}, "No connections can be taken at 256.1.1.1"),
    ],
)
def test_what_is_found_out_later_is_reported_as_well(small_model, monkeypatch, capfd, flags, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", "--model", str(small_model), "--port", "0", *flags]) == 2
    out, err = capfd.readouterr()
    assert (out, expected in err, "Traceback" in err) == ("", True, False), err


def test_a_model_without_a_graph(tmp_path, capfd):
    strings = to_strings(resolve({"num_classes": 4}))
    weights = {"kernel": np.zeros((4, 3, 9, 9), np.float32)}
    write_artifact(tmp_path / "model.tar.gz", Artifact(strings, weights, {"num_classes": 4}, {}))
    assert main(["serve", "--model", str(tmp_path), "--port", "0"]) == 2
    assert "sagemaker-semseg export" in capfd.readouterr().err
    assert main(["serve", "--model", str(tmp_path / "nowhere"), "--port", "0"]) == 2
    assert "nowhere" in capfd.readouterr().err


def test_the_server_itself_stays_small():
    """What reads images and runs models is loaded by the workers, TensorFlow by none."""
    front = ("server", "app", "connection", "admission", "request_metrics")
    heavy = ["numpy", "PIL", "onnxruntime", "tensorflow"]
    for names, unwanted in ((front, heavy), (["worker"], ["tensorflow", "keras"])):
        modules = ", ".join(f"sagemaker_semseg.serving.{name}" for name in names)
        program = f"import sys, {modules}; print([name for name in {unwanted} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stdout == "[]\n"
