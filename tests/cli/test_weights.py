"""``weights``: what is there is listed and verified, what isn't is fetched where it is wanted."""

import hashlib
import http.server
import threading

import numpy as np
import pytest
import safetensors.numpy

from sagemaker_semseg.architectures import ArchitectureSpec
from sagemaker_semseg.cli import main


@pytest.fixture(scope="module")
def file():
    return safetensors.numpy.save(
        {name: np.ones(s, np.float32) for name, s in ArchitectureSpec("resnet-18").shapes.items()}
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SAGEMAKER_SEMSEG_WEIGHTS", str(tmp_path / "image"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "cache"


@pytest.fixture
def hub(file, monkeypatch):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(file)))
            self.end_headers()
            self.wfile.write(file)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.delenv("HF_HUB_OFFLINE")
        yield
        server.shutdown()
        thread.join()


def test_list(cache, capsys):
    cache.mkdir()
    (cache / "resnet50_v1s-25a187fa.params").write_bytes(b"")
    assert main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["resnet-18", "resnet-34", "resnet-50", "resnet-101", "resnet-152"]
    assert lines[2].endswith(f"cache: {cache / 'resnet50_v1s-25a187fa.params'}")
    assert lines[3].endswith("https://huggingface.co/timm/resnet101s.gluon_in1k/resolve/main/model.safetensors")


def test_fetch_and_verify(hub, cache, file, capsys):
    assert main(["weights", "fetch", "resnet-18"]) == 0
    path = cache / "resnet18.gluon_in1k.safetensors"
    assert path.read_bytes() == file
    count, digest = len(ArchitectureSpec("resnet-18").shapes), hashlib.sha256(file).hexdigest()
    reported = f"{path}: {count} arrays of the right shapes; sha256 {digest}"
    assert reported in capsys.readouterr().out
    assert main(["weights", "verify"]) == 0
    assert reported in capsys.readouterr().out
    path.write_bytes(file[:-4] + b"\0\0\0\0")
    assert main(["weights", "verify", "resnet-18"]) == 2
    assert "is expected (remove it" in capsys.readouterr().err


def test_fetch_into_the_folder_of_an_image(hub, cache, file, tmp_path, capsys):
    assert main(["weights", "fetch", "resnet-18", "--output", str(tmp_path / "image")]) == 0
    assert not cache.exists()
    assert main(["weights", "list", "resnet-18"]) == 0
    assert f"image: {tmp_path / 'image' / 'resnet18.gluon_in1k.safetensors'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch"], "BACKBONE: is missing"),
        (["fetch", "resnet-50"], "HF_HUB_OFFLINE: forbids"),
        (["verify"], "no weights of any backbone"),
        (["verify", "resnet-34"], "no weights of resnet-34"),
        (["list", "resnet-51"], "resnet-51: there is no such backbone"),
        (["lst"], "invalid choice: 'lst'"),
    ],
)
def test_refused(arguments, message, capsys):
    assert main(["weights", *arguments]) == 2
    assert message in capsys.readouterr().err
