"""Masks of every form and size, and images that lie on their side."""

import io
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.data.images import encode_mask, palette

pytestmark = pytest.mark.browser


def png(pixels, **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **options)
    return out.getvalue()


def test_a_random_mask_is_counted_to_the_pixel(opened, endpoint):
    labels = np.random.default_rng(1).integers(0, 5, (97, 61)).astype(np.uint8)
    endpoint.mask(labels)
    tab = opened()
    tab.choose("sample.png", png(np.zeros((97, 61, 3), np.uint8)))
    tab.wait_for("done")
    expected = sorted(
        zip(np.bincount(labels.ravel()).tolist(), endpoint.model["class_names"], strict=True), reverse=True
    )
    assert [(pixels, name) for name, _, pixels in tab.legend()] == expected


def filtered(labels, depth):
    """A palette PNG of ``depth`` bits a pixel whose rows take turns with PNG's five filters, by the specification."""
    height, width = labels.shape
    rows, above = [], np.zeros(-(-width * depth // 8), np.uint8)
    for y in range(height):
        bits = np.unpackbits(labels[y][:, None], axis=1)[:, 8 - depth :]
        row = np.packbits(bits.ravel())
        left = np.concatenate([[0], row[:-1]]).astype(int)
        corner = np.concatenate([[0], above[:-1]]).astype(int)
        up = above.astype(int)
        distances = np.abs(np.stack([left, up, corner]) - (left + up - corner))
        paeth = np.choose(distances.argmin(0), [left, up, corner])
        predicted = [0 * left, left, up, (left + up) // 2, paeth][y % 5]
        rows.append(bytes([y % 5]) + ((row - predicted) % 256).astype(np.uint8).tobytes())
        above = row
    data = zlib.compress(b"".join(rows))
    header = struct.pack(">IIBBBBB", width, height, depth, 3, 0, 0, 0)
    colors = palette(1 << depth).tobytes()
    pieces = [data[:7], b"", data[7:]]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in [(b"IHDR", header), (b"PLTE", colors), *((b"IDAT", p) for p in pieces), (b"IEND", b"")]
    )


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_masks_of_every_depth_and_filter_are_read(opened, endpoint, depth):
    count = 1 << depth
    labels = np.random.default_rng(depth).integers(0, count, (53, 51)).astype(np.uint8)
    mask = filtered(labels, depth)
    assert (np.asarray(Image.open(io.BytesIO(mask))) == labels).all()
    names = [f"class {label}" for label in range(count)]
    endpoint.model |= {"num_classes": count, "class_names": names, "palette": palette(count).tolist()}
    endpoint.answer = lambda handler, body: handler.reply(200, mask)
    tab = opened()
    tab.choose("sample.png", png(np.zeros((53, 51, 3), np.uint8)))
    tab.wait_for("done")
    tab.set_opacity(100)
    assert (tab.drawn() == palette()[labels]).all()
    present = {f"class {label}": int(number) for label, number in enumerate(np.bincount(labels.ravel())) if number}
    assert {name: pixels for name, _, pixels in tab.legend()} == present


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_image_is_shown_upright_under_its_mask(opened, endpoint, orientation):
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:20, :20] = (255, 0, 0)
    stored[20:, 40:] = (0, 0, 255)
    image, out = Image.fromarray(stored), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(out, "JPEG", quality=98, subsampling=0, exif=exif)
    upright = np.rot90(stored, {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}.get(orientation, 0))
    if orientation in (2, 4, 5, 7):
        upright = upright[:, ::-1]
    mask = np.full(upright.shape[:2], 2, np.uint8)
    endpoint.mask(mask)
    tab = opened()
    tab.choose("phone.jpg", out.getvalue())
    tab.wait_for("done")
    tab.set_opacity(0)
    drawn = tab.drawn()
    assert drawn.shape == upright.shape
    assert np.abs(drawn.astype(int) - upright).mean() < 4


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 900), (900, 1), (3, 5)])
def test_slivers_and_specks_can_be_seen(opened, endpoint, height, width):
    labels = np.ones((height, width), np.uint8)
    endpoint.mask(labels)
    tab = opened()
    tab.choose("sample.png", png(np.zeros((height, width, 3), np.uint8)))
    tab.wait_for("done")
    box = tab.locator("#canvas").bounding_box()
    assert box["width"] >= 16
    assert box["height"] >= 16
    assert box["height"] <= 820
    assert tab.legend() == [("road", "100.0 %", height * width)]


WATCH = """() => {
    window.times = [];  // at which the page was free for other things, until the mask is shown
    const watch = setInterval(() => {
        times.push(performance.now());
        if (document.body.dataset.state === "done") clearInterval(watch);
    }, 4);
}"""


def test_a_large_image_does_not_hold_up_the_page(opened, endpoint):
    size = 12_000
    labels = np.zeros((size, size), np.uint8)
    labels[4000:, 3000:] = 1
    labels[:7, :11] = 4
    mask, decoded = encode_mask(labels), threading.Event()

    def answer(handler, body):
        decoded.wait(600)
        handler.reply(200, mask)

    endpoint.answer = answer
    tab = opened()
    tab.choose("large.png", png(np.full((size, size), 200, np.uint8)))
    tab.wait_for_selector("body:not(.bare)")
    tab.evaluate(WATCH)
    decoded.set()
    tab.wait_for("done")
    times = np.array(tab.evaluate("() => window.times"))
    assert np.diff(times).max() < (times[-1] - times[0]) / 2  # milliseconds; at one go it would be nearly all
    road = 8000 * 9000
    counted = {name: pixels for name, _, pixels in tab.legend()}
    assert counted == {"background": size * size - road - 77, "road": road, "car": 77}
    assert tab.inner_text("#measures").startswith("12,000 × 12,000")
    tab.set_opacity(100)
    drawn = tab.drawn()
    assert drawn.shape == (2048, 2048, 3)
    sampled = np.minimum((np.arange(2048) + 0.5) * size / 2048, size - 1).astype(int)
    assert (drawn == palette()[labels[np.ix_(sampled, sampled)]]).all()
