"""The choice of int8 or float32, by the model, the CPU and what was asked for."""

import dataclasses

import pytest

from sagemaker_semseg.errors import ArtifactError, UserError
from sagemaker_semseg.inference import Segmenter, precision, segmenter
from sagemaker_semseg.inference.precision import choose_graph, int8_instructions


@pytest.fixture
def cpu(monkeypatch, tmp_path):
    """Replaces this machine's CPU by one with these flags; neither OpenVINO nor a GPU is there."""

    def replace(flags, *, openvino=False, gpu=False):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : fpu {flags}\n")
        monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(precision.sys, "platform", "linux")
        monkeypatch.setattr(precision, "find_spec", lambda name: openvino or None)
        monkeypatch.setattr(precision, "gpu_is_used", lambda runtime: gpu)

    return replace


@pytest.fixture
def both(local):
    return dataclasses.replace(local, int8_graph=bytes(bytearray(local.graph)))


@pytest.mark.parametrize(
    ("flags", "name"),
    [("avx2", ""), ("avx2 avx512_vnni", "AVX512-VNNI"), ("avx_vnni", "AVX-VNNI"), ("asimddp", "Arm's dot products")],
)
def test_instructions_of_a_cpu(cpu, flags, name):
    cpu(flags)
    assert int8_instructions() == name


def test_an_unknown_cpu(cpu, monkeypatch, tmp_path):
    cpu("avx512_vnni")
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "missing")
    assert int8_instructions() == ""


@pytest.mark.parametrize(
    ("asked", "flags", "more", "expected"),
    [
        ("auto", "avx512_vnni", {}, "int8 with onnxruntime: the CPU has AVX512-VNNI"),
        ("auto", "avx512_vnni", {"openvino": True}, "int8 with openvino: the CPU has AVX512-VNNI"),
        ("auto", "avx2", {"openvino": True}, "float32 with onnxruntime: this CPU has no VNNI, which makes int8 fast"),
        ("auto", "avx512_vnni", {"gpu": True}, "float32 with onnxruntime: a GPU is to run it"),
        ("float32", "avx512_vnni", {}, "float32 with onnxruntime: as asked"),
        ("int8", "avx512_vnni", {}, "int8 with onnxruntime: as asked"),
        (
            "int8",
            "avx2",
            {},
            "int8 with onnxruntime: as asked, but this CPU has no VNNI, which makes int8 fast and exact",
        ),
    ],
)
def test_choices(cpu, both, asked, flags, more, expected):
    cpu(flags, **more)
    choice = choose_graph(both, asked, "auto")
    assert str(choice) == expected
    assert choice.graph is (both.int8_graph if choice.precision == "int8" else both.graph)


def test_a_runtime_that_was_asked_for_stays(cpu, both):
    cpu("avx512_vnni", openvino=True)
    assert choose_graph(both, "auto", "onnxruntime").runtime == "onnxruntime"


def test_a_model_without_an_int8_graph(cpu, local):
    cpu("avx512_vnni")
    assert str(choose_graph(local, "auto", "auto")) == "float32 with onnxruntime: the model has no int8 graph"
    with pytest.raises(ArtifactError, match=r"model\.int8\.onnx: is missing \(make it with: sagemaker-semseg quantize"):
        Segmenter(local, precision="int8")


def test_an_unknown_precision(local):
    with pytest.raises(UserError, match="precision: 'int4': there are auto, float32, int8"):
        Segmenter(local, precision="int4")


def test_a_segmenter_says_what_it_uses(cpu, both):
    cpu("avx512_vnni")
    used = Segmenter(both)
    assert (used.precision, used.runtime) == ("int8", "onnxruntime")
    assert used.choice == "int8 with onnxruntime: the CPU has AVX512-VNNI"


def test_tensorrt_takes_float32_alone(cpu, both):
    cpu("avx512_vnni", openvino=True)
    assert str(choose_graph(both, "auto", "tensorrt")) == "float32 with tensorrt: a GPU is to run it"
    with pytest.raises(UserError, match=r"runtime: tensorrt takes no uint8 \(use float32 with it, or"):
        choose_graph(both, "int8", "tensorrt")


@pytest.mark.parametrize(
    ("flags", "asked", "read"),
    [("avx512_vnni", None, b""), ("avx512_vnni", "float32", "graph"), ("avx2", None, "graph"), ("avx2", "int8", b"")],
)
def test_a_file_is_read_for_the_graph_that_is_used(cpu, both, monkeypatch, flags, asked, read):
    """float32, which takes four times the memory, isn't kept where int8 is used."""
    cpu(flags)
    found = []

    def reader(path, *, prefer_int8):
        found.append(dataclasses.replace(both, graph=b"") if prefer_int8 else both)
        return found[0]

    monkeypatch.setattr(segmenter, "read_inference_artifact", reader)
    monkeypatch.setattr(segmenter, "locate_artifact", lambda path: path)
    assert Segmenter("model.tar.gz", precision=asked).precision == ("float32" if read else "int8")
    assert found[0].graph == (both.graph if read else b"")
