"""The page in a real Chromium: what people see and do, and what foreign names may not do."""

import re

import numpy as np
import pytest

from sagemaker_semseg.data.images import encode_mask, palette

pytestmark = pytest.mark.browser


def mixed(pixels, labels, opacity):
    return pixels * (1 - opacity) + palette()[labels] * opacity


def test_the_mask_lies_over_the_image_in_the_class_colors(shown, sample, labels):
    assert np.abs(shown.drawn() - mixed(sample, labels, 0.6)).max() <= 1.5
    shown.set_opacity(100)
    assert (shown.drawn() == palette()[labels]).all()
    shown.set_opacity(0)
    assert (shown.drawn() == sample).all()


def test_the_legend_has_the_classes_that_occur_with_their_shares(shown, labels):
    counts = {label: int((labels == label).sum()) for label in range(5)}
    assert counts == {0: 1236, 1: 555, 2: 0, 3: 600, 4: 9}
    assert shown.legend() == [
        ("background", "51.5 %", 1236),
        ("sky", "25.0 %", 600),
        ("road", "23.1 %", 555),
        ("car", "0.38 %", 9),
    ]
    assert shown.inner_text("#classes") == "4 classes"
    swatches = shown.locator("#legend .swatch").evaluate_all("all => all.map(n => getComputedStyle(n).backgroundColor)")
    assert swatches == ["rgb({}, {}, {})".format(*palette()[label]) for label in (0, 3, 1, 4)]
    widths = shown.locator("#legend .fill").evaluate_all("all => all.map(n => parseFloat(n.style.width))")
    assert widths == pytest.approx([51.5, 25, 23.125, 0.375])


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_an_image_can_be_dropped_and_pasted(opened, endpoint, sample, sample_png, labels, event):
    endpoint.mask(labels)
    tab = opened()
    tab.drop(("sample.png", sample_png), event=event)
    tab.wait_for("done")
    assert endpoint.requests == [("image/png", "image/png", sample_png)]
    assert np.abs(tab.drawn() - mixed(sample, labels, 0.6)).max() <= 1.5


def test_a_class_stands_alone_while_pointed_at_or_pinned(shown, sample, labels):
    usual = shown.drawn()

    def alone(label):
        drawn = shown.drawn()
        here = labels == label
        assert (drawn[here] == usual[here]).all()
        assert drawn[~here].min() > 170  # veiled
        assert np.abs(drawn[~here].astype(int) - sample[~here]).max() > 100

    shown.hover("#legend .entry >> nth=1")
    alone(3)
    shown.hover("h1")
    assert (shown.drawn() == usual).all()
    shown.click("#legend .entry >> nth=2")
    shown.hover("h1")
    alone(1)
    pressed = shown.locator("#legend .entry").evaluate_all("all => all.map(n => n.getAttribute('aria-pressed'))")
    assert pressed == ["false", "false", "true", "false"]
    shown.keyboard.press("Escape")
    assert (shown.drawn() == usual).all()


def test_the_class_under_the_pointer_is_named(shown):
    box = shown.locator("#canvas").bounding_box()
    for (x, y), name in {((30.5 / 60), 0.1): "sky", (0.2, 0.9): "road", (51.5 / 60, 31.5 / 40): "car"}.items():
        shown.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        assert shown.inner_text("#under") == name
    shown.mouse.move(1, 1)
    assert shown.locator("#under").is_hidden()


def test_the_download_is_what_the_server_sent(shown, labels, tmp_path):
    with shown.expect_download() as download:
        shown.click("#download")
    download.value.save_as(tmp_path / "mask.png")
    assert (tmp_path / "mask.png").read_bytes() == encode_mask(labels)
    assert download.value.suggested_filename == "sample-mask.png"


def test_everything_works_with_the_keyboard_alone(opened, endpoint, sample_png, labels, tmp_path):
    endpoint.mask(labels)
    (tmp_path / "sample.png").write_bytes(sample_png)
    tab = opened()
    tab.on("filechooser", lambda _: None)  # from here on the browser reports the dialog instead of showing it

    def press(key):
        tab.keyboard.press(key)
        if key.endswith("Tab"):  # the focus can be seen
            assert tab.evaluate("() => parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
            assert tab.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
        return tab.evaluate("() => document.activeElement.id || document.activeElement.innerText")

    assert press("Tab") == "Choose an image"
    with tab.expect_file_chooser() as chooser:
        press("Enter")
    chooser.value.set_files(tmp_path / "sample.png")
    tab.wait_for("done")
    assert tab.evaluate("() => document.activeElement.id") == "another"  # not lost
    assert press("Tab") == "opacity"
    press("End")
    assert (tab.drawn() == palette()[labels]).all()
    press("ArrowLeft")
    assert tab.inner_text("#percent") == "99 %"
    press("End")
    assert press("Tab") == "download"
    with tab.expect_download() as download:
        press("Enter")
    assert download.value.path().read_bytes() == encode_mask(labels)
    press("Tab")
    press("Tab")  # sky
    assert (tab.drawn()[labels == 3] == palette()[3]).all()
    assert (tab.drawn()[labels != 3].min()) > 170
    press("Space")
    press("Tab")  # road
    assert (tab.drawn()[labels == 3].min()) > 170
    press("Shift+Tab")
    press("Shift+Tab")
    press("Shift+Tab")
    assert (tab.drawn()[labels == 3] == palette()[3]).all()  # pinned
    press("Escape")
    assert (tab.drawn() == palette()[labels]).all()
    for _ in range(5):
        summary = press("Tab")
    assert summary == "For developers"
    press("Enter")
    assert tab.locator("#curl").is_visible()
    assert f"{endpoint.url}invocations" in tab.inner_text("#curl")


def test_what_happens_is_said(shown):
    said = shown.inner_text("#status")
    assert re.match(r"Done in [\d.]+ seconds: background 51\.5 %, sky 25\.0 %, road 23\.1 %, car 0\.38 %$", said)
    assert shown.get_attribute("#status", "role") == "status"
    assert shown.get_attribute("#canvas", "aria-label") == "sample.png under its mask"
    assert shown.inner_text("#measures").startswith("60 × 40 · ")


HOSTILE = "</script><img src=x onerror=window.harmed=1>"


def test_hostile_names_are_only_shown(opened, endpoint, sample_png, labels):
    names = [HOSTILE, "<b>bold</b>", "&amp;", HOSTILE * 50, "\u202eright to left"]
    endpoint.model |= {"name": HOSTILE, "class_names": names, "algorithm": HOSTILE, "backbone": "<i>"}
    endpoint.mask(labels)
    tab = opened()
    assert tab.title() == f"{HOSTILE} · Semantic segmentation"
    assert tab.inner_text("#facts") == f"{HOSTILE} · {HOSTILE} · <i> · 5 classes"
    assert tab.locator("#legend .name").all_inner_texts() == names
    tab.choose(HOSTILE.replace("/", "") + ".png", sample_png)
    tab.wait_for("done")
    assert {name for name, _, _ in tab.legend()} == {names[label] for label in (0, 1, 3, 4)}
    assert tab.evaluate("() => [window.harmed, document.images.length, document.scripts.length]") == [None, 0, 2]
    assert tab.fits()


def test_the_policy_holds_in_a_browser(shown):
    shown.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.harmed = 1";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.harmed = 2'><p style='color: red'>");
    }""")
    shown.evaluate("() => fetch('https://example.com/').catch(() => {})")
    shown.wait_for_timeout(50)
    assert shown.evaluate("() => window.harmed") is None
    blocked = " ".join(text for text in shown.reports if text.startswith("policy: "))
    for directive in ("script-src-elem", "img-src", "style-src-attr", "connect-src"):
        assert directive in blocked
    shown.reports.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 800, 1600])
def test_it_fits_every_width_in_both_schemes(opened, endpoint, sample_png, labels, width, scheme):
    endpoint.mask(labels)
    tab = opened(viewport={"width": width, "height": 700}, color_scheme=scheme)
    assert tab.fits()
    tab.choose("a name without any space in it " + "x" * 200 + ".png", sample_png)
    tab.wait_for("done")
    tab.click("summary")
    assert tab.fits()
    ground, ink = (
        sum(map(int, re.findall(r"\d+", tab.evaluate(f"() => getComputedStyle(document.body).{name}"))[:3]))
        for name in ("backgroundColor", "color")
    )
    assert (ground > ink) == (scheme == "light")
