"""TensorFlow that was imported before the package."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest

from sagemaker_semseg.inference import precision
from sagemaker_semseg.jobs import tensorflow_setup
from sagemaker_semseg.jobs.tensorflow_setup import load_tensorflow


@pytest.mark.parametrize(
    ("flags", "set_by_user", "gpu", "warned"),
    [
        ("avx2 fma", False, False, True),
        ("avx2 fma", True, False, False),
        ("avx2 fma", False, True, False),
        ("avx2 avx512_vnni", False, False, False),
    ],
)
def test_training_without_onednn_is_said(
    flags: str, set_by_user: bool, gpu: bool, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n", encoding="utf-8")
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(tensorflow_setup, "has_gpu", lambda: gpu)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setitem(sys.modules, "tensorflow", ModuleType("tensorflow"))
    devices = ModuleType("devices")
    devices.default_strategy = devices.multi_host_strategy = lambda: "strategy"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sagemaker_semseg.training.devices", devices)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if set_by_user:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert load_tensorflow() == "strategy"
    assert ["no oneDNN" in str(warning.message) for warning in said] == [True] * warned
