"""examples/browser in a Chromium without a network: the labels are those of ONNX Runtime."""

import functools
import io
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from sagemaker_semseg.data.images import palette

pytestmark = pytest.mark.browser

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "browser"
# read again and labeled: what the page's own functions give
SEGMENT = """async ([base64]) => {
    const { readPixels, segment } = await import("./segment.js");
    const { rgb, height, width } = await readPixels(new Blob([Uint8Array.from(atob(base64), c => c.charCodeAt(0))]));
    return { rgb: [...rgb], labels: [...await segment(rgb, height, width)] };
}"""


@pytest.fixture(scope="module")
def graph():
    """An exported model of random weights, whose classes all occur."""
    from sagemaker_semseg.export.onnx_graph import onnx_graph
    from sagemaker_semseg.models.network import build_network

    return onnx_graph(build_network("fcn", "resnet-tiny", 5))


@pytest.fixture
def url(graph):
    if not (EXAMPLE / "node_modules" / "onnxruntime-web").is_dir():
        pytest.fail("onnxruntime-web isn't installed: run make test-page")

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/model.onnx":
                self.send_response(200)
                self.send_header("Content-Length", str(len(graph)))
                self.end_headers()
                self.wfile.write(graph)
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=EXAMPLE)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def pixels():
    coarse = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((131, 97), Image.Resampling.NEAREST))


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_an_image_is_labeled_and_shown(opened, url, graph, pixels):
    (logits,) = onnxruntime.InferenceSession(graph).run(["logits"], {"image": pixels[None]})
    expected = logits[0].argmax(0)
    assert len(np.unique(expected)) > 1

    tab = opened(url)
    tab.set_input_files("#chooser", {"name": "image.png", "mimeType": "image/png", "buffer": png(pixels)})
    tab.wait_for("done")
    assert tab.inner_text("#message").startswith("131 x 97 pixels in ")
    counts = {label: int((expected == label).sum()) for label in np.unique(expected)}
    order = sorted(counts, key=lambda label: -counts[label])
    shares = [f"class {label}: {100 * counts[label] / expected.size:.1f} %" for label in order]
    assert tab.locator("#legend li").all_inner_texts() == shares
    tab.evaluate("() => { opacity.value = 100; opacity.dispatchEvent(new Event('input')); }")
    assert (tab.drawn() == palette()[expected]).all(-1).mean() > 0.9999
    assert tab.fits()


def test_the_functions_give_the_pixels_and_the_labels(opened, url, graph, pixels):
    from base64 import b64encode

    tab = opened(url)
    found = tab.evaluate(SEGMENT, [b64encode(png(pixels)).decode()])
    np.testing.assert_array_equal(np.reshape(found["rgb"], pixels.shape), pixels)
    (logits,) = onnxruntime.InferenceSession(graph).run(["logits"], {"image": pixels[None]})
    assert (np.reshape(found["labels"], pixels.shape[:2]) == logits[0].argmax(0)).mean() > 0.9999


def test_a_file_that_is_no_image(opened, url):
    tab = opened(url)
    tab.set_input_files("#chooser", {"name": "image.png", "mimeType": "image/png", "buffer": b"no image"})
    tab.wait_for("failed")
    assert tab.inner_text("#message").startswith("It didn't work: ")
