"""A real Chromium, an endpoint whose replies a test chooses, and what people do with the page."""

import io
import os
import shutil
import threading
from base64 import b64decode, b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.images import encode_mask, palette
from sagemaker_semseg.serving.web_page import render_page

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 300_000  # milliseconds
NAMES = ["background", "road", "tree", "sky", "car"]
MODEL = {
    "name": "streets",
    "num_classes": len(NAMES),
    "class_names": NAMES,
    "palette": palette(len(NAMES)).tolist(),
    "algorithm": "fcn",
    "backbone": "resnet-18",
    "max_payload_mb": 6,
}


@pytest.fixture(scope="session")
def chromium():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("the package playwright isn't installed: run make test-page")
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if not found:
        pytest.fail("no Chromium found: install chromium or google-chrome, or run with CHROMIUM=/path/to/it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


class Endpoint(ThreadingHTTPServer):
    """Serves the page. Invocations are answered by ``answer(handler, body)``; ``requests`` has (type, accept, body)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = dict(MODEL)
        self.answer = None
        self.requests = []

    def mask(self, labels):
        """Answers with these labels from now on."""
        mask = encode_mask(labels)
        self.answer = lambda handler, body: handler.reply(200, mask)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def reply(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        body, headers = render_page(self.server.model)
        self.reply(200, body, **headers)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.headers["Content-Type"], self.headers["Accept"], body))
        assert self.path == "/invocations"
        self.server.answer(self, body)

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    with Endpoint() as server:
        yield server


DROP = """([files, event]) => {
    const transfer = new DataTransfer();
    for (const [base64, name] of files)
        transfer.items.add(new File([Uint8Array.from(atob(base64), c => c.charCodeAt(0))], name));
    const options = {bubbles: true, cancelable: true};
    document.body.dispatchEvent(event === "drop"
        ? new DragEvent("drop", {...options, dataTransfer: transfer})
        : new ClipboardEvent("paste", {...options, clipboardData: transfer}));
}"""
REPORT_VIOLATIONS = """
    addEventListener("securitypolicyviolation", e => console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`))
"""


class Tab:
    """The page in a browser: Playwright's ``Page``, and what people do and see. Files are pairs of name and bytes."""

    def __init__(self, page, reports):
        self._page = page
        self.reports = reports

    def __getattr__(self, name):
        return getattr(self._page, name)

    def choose(self, name, data):
        self.set_input_files("#chooser", {"name": name, "mimeType": "", "buffer": data})

    def drop(self, *files, event="drop"):
        self.evaluate(DROP, [[[b64encode(data).decode(), name] for name, data in files], event])

    def wait_for(self, state, timeout=PATIENCE):
        self.wait_for_selector(f"body[data-state={state}]", timeout=timeout)

    def set_opacity(self, percent):
        self.fill("#opacity", str(percent))
        assert self.inner_text("#percent") == f"{percent} %"

    def drawn(self):
        """(H, W, 3) uint8, what the canvas shows."""
        self.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        url = self.evaluate("() => canvas.toDataURL('image/png')")
        pixels = np.asarray(Image.open(io.BytesIO(b64decode(url.split(",")[1]))).convert("RGBA"))
        assert (pixels[..., 3] == 255).all()
        return pixels[..., :3]

    def legend(self):
        """[(name, share, pixels)] from top to bottom."""
        texts = "row => ['.name', '.share', '.pixels'].map(part => row.querySelector(part).innerText)"
        rows = self.locator("#legend .entry").evaluate_all(f"all => all.map({texts})")
        return [(name, share, int(pixels.removesuffix(" px").replace(",", ""))) for name, share, pixels in rows]

    def fits(self):
        return self.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def opened(chromium, endpoint):
    """Opens the page in a fresh profile. Afterwards: no request left the origin, nothing was reported as wrong."""
    contexts, origins, foreign, reports = [], [], [], []

    def watch(route):
        url = route.request.url
        if url.startswith((*origins, "blob:", "data:")):
            route.continue_()
        else:
            foreign.append(url)
            route.abort()

    def report(message):
        # the browser itself reports each status above 399
        if message.type in ("error", "warning") and "the server responded with a status of" not in message.text:
            reports.append(message.text)

    def at(url=endpoint.url, **options):
        origins.append(url)
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 820}, **options})
        contexts.append(context)
        context.route("**/*", watch)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", report)
        page.on("pageerror", lambda error: reports.append(str(error)))
        page.add_init_script(REPORT_VIOLATIONS)
        page.goto(url)
        return Tab(page, reports)

    yield at
    for context in contexts:
        context.close()
    assert foreign == []
    assert reports == []


@pytest.fixture
def sample():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


@pytest.fixture
def sample_png(sample):
    out = io.BytesIO()
    Image.fromarray(sample).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def labels():
    """(40, 60), of the sample: all but class 2."""
    labels = np.zeros((40, 60), np.uint8)
    labels[:10] = 3
    labels[25:, :37] = 1
    labels[30:33, 50:53] = 4
    return labels


@pytest.fixture
def shown(opened, endpoint, sample_png, labels):
    """The page with the sample and its mask."""
    endpoint.mask(labels)
    tab = opened()
    tab.choose("sample.png", sample_png)
    tab.wait_for("done")
    return tab
