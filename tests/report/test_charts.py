"""Charts: every value is where its axis says, and the matrix shows shares of rows."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from sagemaker_semseg.report.charts import HEIGHT, MOST_CLASSES, WIDTH, Line, confusion_chart, line_chart, ticks


def elements(svg, tag, kind=""):
    return [node for node in ET.fromstring(svg).iter(tag) if kind in node.get("class", "")]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.72, [0, 0.2, 0.4, 0.6, 0.8]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (3e-5, 3e-3, [0, 0.001, 0.002, 0.003]),
        (5, 5, [5, 6]),
        (0, 0, [0, 0.2]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1e-9, 0.37, 1, 123, 4e12])
def test_ticks_of_any_scale(scale):
    found = ticks(0.13 * scale, 0.91 * scale)
    assert found[0] <= 0.13 * scale
    assert found[-1] >= 0.91 * scale
    assert 2 <= len(found) <= 7
    assert np.allclose(np.diff(found), found[1] - found[0])


def test_points_are_where_the_axis_says():
    """The labels of the axis give a scale of pixels; each dot has its value on it."""
    values = [0.2, 0.5, 0.4, 0.8]
    svg = line_chart("quality", [Line("mIOU", "validation", values)], best_epoch=3)
    texts = elements(svg, "{*}text") or elements(svg, "text")
    vertical = [(float(t.get("y")) - 4, float(t.text)) for t in texts if t.get("text-anchor") == "end"]
    horizontal = [(float(t.get("x")), float(t.text)) for t in texts if t.get("text-anchor") == "middle"]
    slope = np.polyfit(*zip(*vertical, strict=True), 1)
    across = np.polyfit(*zip(*horizontal, strict=True), 1)
    dots = elements(svg, "circle")
    assert np.polyval(slope, [float(dot.get("cy")) for dot in dots]) == pytest.approx(values, abs=0.005)
    assert np.polyval(across, [float(dot.get("cx")) for dot in dots]) == pytest.approx([1, 2, 3, 4], abs=0.02)
    (best,) = elements(svg, "line", "best")
    assert float(best.get("x1")) == float(dots[3].get("cx"))


def test_what_is_not_finite_is_left_out_and_nothing_is_no_chart():
    nan = float("nan")
    svg = line_chart("loss", [Line("loss", "train", [1, nan, 2, float("inf")])])
    assert len(elements(svg, "circle")) == 2
    assert line_chart("loss", [Line("loss", "train", [nan])]) is None
    assert line_chart("loss", [Line("loss", "train", [])]) is None


@pytest.mark.parametrize("count", [1, 2, 5000])
def test_any_number_of_epochs_stays_inside(count):
    svg = line_chart("loss", [Line("loss", "train", np.random.default_rng(0).normal(size=count).tolist())])
    (line,) = elements(svg, "polyline")
    points = np.array([point.split(",") for point in line.get("points").split()], float)
    assert len(points) == count
    assert (points >= 0).all()
    assert (points <= (WIDTH, HEIGHT)).all()


def test_the_matrix_has_shares_of_rows():
    confusion = np.array([[90, 10, 0], [0, 1, 3], [0, 0, 0]])
    svg = confusion_chart(confusion, ["ground", "<disc>", "x" * 50])
    cells = elements(svg, "rect", "cell")
    opacity = np.array([float(cell.get("fill-opacity")) for cell in cells]).reshape(3, 3)
    assert (opacity - 0.04) / 0.96 == pytest.approx(np.array([[0.9, 0.1, 0], [0, 0.25, 0.75], [0, 0, 0]]), abs=1e-3)
    titles = [cell.find("title").text for cell in cells]
    assert titles[1] == "ground predicted as <disc>: 10.0%"
    values = [text.text for text in elements(svg, "text", "value")]
    assert values == ["90", "10", "25", "75"]
    assert max(len(text.text) for text in elements(svg, "text")) <= 16


def test_many_classes_have_no_numbers_and_more_have_no_matrix():
    many = confusion_chart(np.eye(MOST_CLASSES, dtype=int), [str(i) for i in range(MOST_CLASSES)])
    assert len(elements(many, "rect")) == MOST_CLASSES**2
    assert not re.search('class="value', many)
    assert confusion_chart(np.eye(MOST_CLASSES + 1, dtype=int), ["x"] * (MOST_CLASSES + 1)) is None
