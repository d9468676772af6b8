"""There and back with GluonCV itself, at full size: its files are imported, deployed and predict what it predicts; our
export is loaded by it and predicts the same.

Run by ``make test-gluoncv``, which makes GluonCV's environment; skipped where that is missing.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from sagemaker_semseg.artifact import read_inference_artifact
from sagemaker_semseg.cli import main
from sagemaker_semseg.inference import Segmenter

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".envs/gluoncv/bin/python"
NETS = ("fcn_resnet50", "psp_resnet50", "deeplab_resnet50", "fcn_resnet101")
# float32 against float64, measured by the reference: 1e-5 of resnet-50's logits, 4e-5 of resnet-101's
TOLERANCE = {"fcn_resnet101": 3e-4}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="GluonCV's environment is missing (make test-gluoncv makes it)"),
]


def peer(action, folder):
    script = Path(__file__).with_name("peers") / "gluoncv_nets.py"
    done = subprocess.run([PYTHON, "-W", "ignore", script, action, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """GluonCV's files and what it predicts from them."""
    path = tmp_path_factory.mktemp("gluoncv")
    peer("write", path)
    return path


@pytest.fixture(scope="module")
def theirs(folder):
    with np.load(folder / "theirs.npz") as file:
        return dict(file)


def imported(folder, file, name):
    path = folder / f"{name}.tar.gz"
    if not path.exists():
        assert main(["import", str(folder / file), "-o", str(path)]) == 0
    return read_inference_artifact(path)


def logits(runtime, image):
    session = onnxruntime.InferenceSession(bytes(runtime.graph), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"image": image[None]})[0][0]


FILES = {
    **{name: f"{name}.params" for name in NETS},
    "no_aux": "no_aux.params",
    "psp_exported": "psp_resnet50_exported-0000.params",
    "deeplab_exported": "deeplab_resnet50_exported-0000.params",
}


@pytest.mark.parametrize("name", FILES)
def test_what_gluoncv_saved_predicts_what_it_predicted(folder, theirs, name):
    runtime = imported(folder, FILES[name], name)
    expected = theirs[name.replace("exported", "resnet50")]
    found = logits(runtime, theirs["image"])
    print(f"\n{name}: largest difference {np.abs(found - expected).max():.1e} of {np.abs(expected).max():.1f}")
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE.get(name, 5e-5))
    labels = Segmenter(runtime, scales=(1.0,), flip=False).labels(theirs["image"])
    assert (labels == expected.argmax(0)).mean() > 0.999


def test_what_we_export_predicts_the_same_in_gluoncv(folder, theirs):
    for name in NETS:
        imported(folder, FILES[name], name)
        assert main(["export", str(folder / f"{name}.tar.gz"), "-o", str(folder / f"{name}.back.params")]) == 0
    peer("read", folder)
    with np.load(folder / "back.npz") as back:
        for name in NETS:
            np.testing.assert_allclose(back[name], theirs[name], rtol=0, atol=1e-6)
