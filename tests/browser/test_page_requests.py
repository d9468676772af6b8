"""The way to the endpoint: refusals, a busy endpoint, hanging up, and what is sent of which file."""

import datetime
import io
import json
import struct
import threading
import time

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.images import encode_mask, palette

pytestmark = pytest.mark.browser


def taller(mask):
    """A PNG whose header says that it has a row more than there is."""
    (height,) = struct.unpack_from(">I", mask, 20)
    return mask[:20] + struct.pack(">I", height + 1) + mask[24:]


def png(pixels, **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **options)
    return out.getvalue()


class Slow:
    """Answers after ``free`` is set; ``hung_up`` is set when the client is gone before."""

    def __init__(self, labels):
        self.mask = encode_mask(labels)
        self.free = threading.Event()
        self.hung_up = threading.Event()

    def __call__(self, handler, body):
        handler.connection.settimeout(0.02)
        while not self.free.is_set():
            try:
                if handler.connection.recv(1) == b"":
                    return self.hung_up.set()
            except TimeoutError:
                pass
            except OSError:
                return self.hung_up.set()
        return handler.reply(200, self.mask)


def test_the_file_is_sent_as_it_is(shown, endpoint, sample_png):
    assert endpoint.requests == [("image/png", "image/png", sample_png)]


def test_a_refusal_is_shown_beside_the_image_and_the_next_image_works(opened, endpoint, sample, sample_png, labels):
    error = {"status": 400, "type": "DataError", "message": "image: cut <b>short</b>", "remedy": "save it again"}
    endpoint.answer = lambda handler, body: handler.reply(400, json.dumps({"error": error}).encode())
    tab = opened()
    tab.choose("sample.png", sample_png)
    tab.wait_for("stopped")
    assert tab.text_content("#message") == "image: cut <b>short</b>"
    assert tab.text_content("#remedy") == "save it again"
    assert tab.get_attribute("#trouble", "role") == "alert"
    assert tab.locator("#retry").is_hidden()
    assert tab.locator("#controls").is_hidden()
    assert (tab.drawn() == sample).all()
    endpoint.mask(labels)
    tab.choose("sample.png", sample_png)
    tab.wait_for("done")
    assert tab.locator("#trouble").is_hidden()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, b"<h1>Oops</h1>", "The endpoint answered 500 Internal Server Error."),
        (502, b"{}", "The endpoint answered 502 Bad Gateway."),
        (200, b"<h1>Hello</h1>", "The reply can't be shown: it is not a PNG."),
        (200, encode_mask(np.zeros((9, 9), np.uint8))[:-20], "The reply can't be shown: its data are damaged."),
        (200, taller(encode_mask(np.zeros((9, 9), np.uint8))), "The reply can't be shown: it is cut short."),
        (200, png(np.zeros((9, 9, 3), np.uint8)), "The reply can't be shown: it is not a plain palette PNG."),
    ],
    ids=["page", "empty", "no-png", "damaged", "short", "colour"],
)
def test_a_reply_that_no_endpoint_of_ours_gives(opened, endpoint, sample_png, status, body, message):
    endpoint.answer = lambda handler, _: handler.reply(status, body)
    tab = opened()
    tab.choose("sample.png", sample_png)
    tab.wait_for("stopped")
    assert tab.text_content("#message") == message
    assert tab.locator("#retry").is_visible() == (status >= 500)


def test_a_busy_endpoint_is_asked_again(opened, endpoint, sample_png, labels):
    """After the seconds that it names, which pass at once here."""

    def answer(handler, body):
        if len(endpoint.requests) < 3:
            return handler.reply(503, b"", Retry_After="10")
        return handler.reply(200, encode_mask(labels))

    endpoint.answer = answer
    tab = opened()
    tab.clock.install()
    tab.clock.pause_at(datetime.datetime.now() + datetime.timedelta(hours=1))
    tab.choose("sample.png", sample_png)
    for asked in (1, 2):
        tab.wait_for_function("() => doing.textContent === 'The endpoint is busy. Next try in 10 s'")
        tab.clock.run_for(9_500)
        assert tab.text_content("#doing") == "The endpoint is busy. Next try in 1 s"
        assert len(endpoint.requests) == asked
        tab.clock.run_for(1_000)
    tab.clock.resume()
    tab.wait_for("done")
    assert len(endpoint.requests) == 3
    assert endpoint.requests[0] == endpoint.requests[2]


def test_a_new_image_ends_the_work_on_the_one_before(opened, endpoint, sample, sample_png, labels):
    slow = endpoint.answer = Slow(labels)
    tab = opened()
    tab.choose("first.png", sample_png)
    tab.wait_for("running")
    tab.wait_for_function("() => !document.body.classList.contains('bare')")
    assert (tab.drawn() == sample).all()  # to be seen while it is worked on
    while not endpoint.requests:
        time.sleep(0.01)
    endpoint.mask(labels.T.copy())
    tab.choose("second.png", png(sample.transpose(1, 0, 2).copy()))
    tab.wait_for("done")
    assert slow.hung_up.wait(300)
    assert tab.inner_text("#file") == "second.png"
    tab.set_opacity(100)
    assert (tab.drawn() == palette()[labels.T]).all()
    tab.set_opacity(0)
    assert (tab.drawn() == sample.transpose(1, 0, 2)).all()


@pytest.mark.parametrize("way", ["Escape", "button"])
def test_the_wait_shows_its_time_and_can_be_cancelled(opened, endpoint, sample_png, labels, way):
    slow = endpoint.answer = Slow(labels)
    tab = opened()
    tab.choose("sample.png", sample_png)
    tab.wait_for_function("() => parseFloat(elapsed.textContent) >= 0.3")
    assert tab.locator(".spinner").is_visible()
    assert tab.inner_text("#status") == "Segmenting sample.png"
    if way == "Escape":
        tab.keyboard.press("Escape")
    else:
        tab.focus("#cancel")
        tab.keyboard.press("Enter")
    assert slow.hung_up.wait(300)
    tab.wait_for("stopped")
    assert tab.inner_text("#message") == "Cancelled."
    if way == "button":
        assert tab.evaluate("() => document.activeElement.id") == "retry"
    slow.free.set()
    tab.click("#retry")
    tab.wait_for("done")


def test_an_endpoint_that_is_gone(opened, endpoint, sample_png, labels):
    tab = opened()
    endpoint.answer = lambda handler, body: handler.connection.close()
    tab.choose("sample.png", sample_png)
    tab.wait_for("stopped")
    assert tab.inner_text("#message") == "The endpoint didn't answer."
    tab.reports[:] = [text for text in tab.reports if "net::ERR" not in text]
    endpoint.mask(labels)
    tab.click("#retry")
    tab.wait_for("done")


def test_what_is_too_large_is_not_sent(opened, endpoint):
    tab = opened()
    tab.choose("noise.png", png(np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)))
    tab.wait_for("stopped")
    assert tab.inner_text("#message") == "The image has 6.4 MB; this endpoint takes up to 6 MB."
    assert endpoint.requests == []


def test_other_formats_go_as_png(opened, endpoint, sample, labels):
    endpoint.mask(labels)
    out = io.BytesIO()
    Image.fromarray(sample).save(out, "WEBP", lossless=True)
    tab = opened()
    tab.choose("sample.webp", out.getvalue())
    tab.wait_for("done")
    ((content_type, _, body),) = endpoint.requests
    assert content_type == "image/png"
    assert body.startswith(b"\x89PNG")
    assert (np.asarray(Image.open(io.BytesIO(body)).convert("RGB")) == sample).all()
    assert tab.inner_text("#note") == "Sent as PNG (0.0 MB), since the endpoint takes JPEG and PNG."


def test_what_is_no_image(opened, endpoint):
    tab = opened()
    tab.drop(("notes.txt", b"not an image"), ("other.txt", b""))
    tab.wait_for("stopped")
    assert tab.inner_text("#message") == "This browser can't open the file as an image."
    assert tab.locator("#drop").is_visible()
    assert tab.inner_text("#note") == "One image at a time: this is the first of 2."
    assert endpoint.requests == []


def test_the_server_judges_a_damaged_jpeg(opened, endpoint, labels):
    endpoint.mask(labels)
    tab = opened()
    tab.choose("broken.jpg", b"\xff\xd8\xff damaged")
    tab.wait_for("done")
    assert endpoint.requests == [("image/jpeg", "image/png", b"\xff\xd8\xff damaged")]
    tab.set_opacity(100)
    assert (tab.drawn() == palette()[labels]).all()  # the mask alone


def test_nothing_moves_for_those_who_want_that(opened, endpoint, sample_png, labels):
    endpoint.answer = Slow(labels)
    for motion, expected in (("no-preference", "turn"), ("reduce", "none")):
        tab = opened(reduced_motion=motion)
        tab.choose("sample.png", sample_png)
        tab.wait_for("running")
        assert tab.evaluate("() => getComputedStyle(document.querySelector('.spinner')).animationName") == expected
