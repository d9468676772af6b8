"""``benchmark``: every setting once, and the recommendation."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.cli import main
from sagemaker_semseg.jobs.run_benchmark import BenchmarkResult, Measurement


@pytest.fixture(scope="module")
def measured(small_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)).save(folder / "a.png")
    path = folder / "benchmark.json"
    command = ["benchmark", str(small_model), "--image", str(folder / "a.png"), "--rounds", "2", "--json", str(path)]
    assert main([*command, "--chart", str(folder / "new" / "a.svg")]) == 0
    assert (folder / "new" / "a.svg").read_text().count("<g") == len(json.loads(path.read_text())["measurements"])
    return json.loads(path.read_text())


def test_every_setting_is_measured_once(measured):
    rows = measured["measurements"]
    settings = [(row["precision"], row["runtime"], row["workers"]) for row in rows]
    workers = {1, measured["cpus"]}
    assert sorted(settings) == sorted(("float32", r, w) for r in ("onnxruntime", "openvino") for w in workers)
    for row in rows:
        assert row["workers"] * row["threads"] <= measured["cpus"]
        assert row["milliseconds"] > 0
        assert row["images_per_second"] > 0
        assert row["peak_mb"] > 20
        assert row["labels_changed"] < 0.01
    speeds = [row["images_per_second"] for row in rows]
    assert speeds == sorted(speeds, reverse=True)


def test_the_recommendation_is_a_command(measured, small_model):
    best = measured["recommended"]
    assert measured["command"] == (
        f"sagemaker-semseg serve --model {small_model} --precision float32 --runtime {best['runtime']} "
        f"--workers {best['workers']} --threads {best['threads']}"
    )


def measurement(speed, changed, peak=100.0):
    return Measurement("int8", "onnxruntime", 1, 1, 1000 / speed, speed, peak, 1.0, changed)


def test_a_fast_setting_with_other_labels_is_not_recommended():
    fast, right = measurement(9, 0.02), measurement(5, 0.01)
    assert BenchmarkResult("m", (fast, right), 2, "").best is right


def test_the_chart_marks_the_recommended_setting():
    result = BenchmarkResult("a<b.tar.gz", (measurement(9, 0.02), measurement(4.5, 0.01, peak=None)), 2, "")
    document = ET.fromstring(result.chart())
    first, second = (group for group in document if group.tag.endswith("}g"))
    assert (first.get("class"), second.get("class")) == (None, "marked")
    bars = [[float(node.get("width")) for node in row if node.get("class") == "bar"] for row in (first, second)]
    assert bars[1][0] == pytest.approx(2 * bars[0][0])  # half as fast: twice the milliseconds
    assert bars[0][1] == pytest.approx(2 * bars[1][1])  # and half the images
    assert [node.text for node in second if node.tag.endswith("}text")] == [
        *("int8, onnxruntime, 1 worker of 1 thread", "222.2", "4.50", "not known", "1.00"),
    ]
    assert "a<b.tar.gz" in [node.text for node in document]


def test_a_chart_is_svg(small_model, tmp_path, capsys):
    assert main(["benchmark", str(small_model), "--chart", str(tmp_path / "a.png")]) == 2
    assert "a.png isn't SVG (give a name that ends in .svg)" in capsys.readouterr().err


def test_what_can_not_be_measured(small_model, tmp_path, capsys):
    assert main(["benchmark", "/nowhere"]) == 2
    assert "/nowhere" in capsys.readouterr().err
    assert main(["benchmark", str(small_model), "--rounds", "0"]) == 2
    (tmp_path / "a.png").write_bytes(b"no image")
    assert main(["benchmark", str(small_model), "--image", str(tmp_path / "a.png")]) != 0
    assert "Traceback" not in capsys.readouterr().err
