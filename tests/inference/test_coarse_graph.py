"""The cut graph computes the coarse logits of the whole one, and nothing else."""

import random

import numpy as np
import onnx
import onnxruntime
import pytest

from sagemaker_semseg.artifact.coarse_graph import coarse_graph, write_coarse_graph
from sagemaker_semseg.artifact.graph import MAX_NODES, MAX_VALUES
from sagemaker_semseg.errors import ArtifactError
from sagemaker_semseg.inference import RUNTIMES, CancellationToken, Segmenter, segmenter

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)


@pytest.fixture
def expected(local):
    """What ONNX Runtime computes with the whole graph."""
    session = onnxruntime.InferenceSession(local.graph)
    return session.run(["coarse_logits"], {"image": IMAGE[None]})[0][0]


def test_only_what_the_coarse_logits_need_is_left(local):
    cut = onnx.load_from_string(coarse_graph(local.graph))
    onnx.checker.check_model(cut, full_check=True)
    assert [node.op_type for node in cut.graph.node] == ["Transpose", "Cast", "Mul", "Conv"]
    assert [tensor.name for tensor in cut.graph.initializer] == ["scale", "kernel"]
    assert [value.name for value in cut.graph.output] == ["coarse_logits"]
    whole = onnx.load_from_string(local.graph)
    assert list(cut.graph.node) == list(whole.graph.node)[:4]
    assert list(cut.graph.input) == list(whole.graph.input)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_computes_the_same_from_files_and_from_bytes(local, expected, runtime, tmp_path):
    for graph in (coarse_graph(local.graph), write_coarse_graph(local.graph, tmp_path)):
        logits = RUNTIMES[runtime](graph, 1)(IMAGE, CancellationToken())
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


def test_large_weights_are_in_the_other_file(local, tmp_path):
    path = write_coarse_graph(local.graph, tmp_path)
    whole, cut = onnx.load_from_string(local.graph), onnx.load(path)  # reads the external data too
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in whole.graph.initializer}
    assert path.stat().st_size < 1000
    assert (tmp_path / "weights").stat().st_size == weights["kernel"].nbytes
    for tensor in cut.graph.initializer:
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), weights[tensor.name])


def test_where_no_file_can_be_written_the_model_is_loaded_from_memory(local, monkeypatch):
    labels = Segmenter(local).labels(IMAGE)

    def full_disk(graph, folder):
        raise OSError("no space left on device")

    monkeypatch.setattr(segmenter, "write_coarse_graph", full_disk)
    np.testing.assert_array_equal(Segmenter(local).labels(IMAGE), labels)


def test_a_model_leaves_no_files(local, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = Segmenter(local)
    assert not list(tmp_path.iterdir())
    assert model.labels(IMAGE).shape == IMAGE.shape[:2]


# ---- graphs that were not checked


def test_a_graph_without_coarse_logits(local):
    graph = local.graph.replace(b"coarse_logits", b"coarse_xxxxxx")
    with pytest.raises(ValueError, match="doesn't make its output 'coarse_logits'"):
        coarse_graph(graph)
    with pytest.raises(ArtifactError, match=r"model\.onnx: can't be run: doesn't make"):
        Segmenter(type(local)(local.hyperparameters, local.labels, graph))


def test_too_many_nodes_and_values():
    model = onnx.ModelProto()
    model.graph.node.extend(onnx.NodeProto() for _ in range(MAX_NODES + 1))
    with pytest.raises(ValueError, match=f"{MAX_NODES} are the limit"):
        coarse_graph(model.SerializeToString())
    model = onnx.ModelProto()
    model.graph.value_info.extend(onnx.ValueInfoProto() for _ in range(MAX_VALUES + 1))
    with pytest.raises(ValueError, match=f"more than {MAX_VALUES}"):
        coarse_graph(model.SerializeToString())


def test_damaged_graphs_raise_value_errors(local, tmp_path):
    rng = random.Random(0)
    refused = 0
    for _ in range(500):
        damaged = bytearray(local.graph)
        if rng.random() < 0.3:
            del damaged[rng.randrange(len(damaged)) :]
        for _ in range(rng.randrange(4)):
            damaged[rng.randrange(min(900, len(damaged)))] = rng.randrange(256)
        try:
            path = write_coarse_graph(bytes(damaged), tmp_path)
        except ValueError:
            refused += 1
        else:
            files = path.stat().st_size + (tmp_path / "weights").stat().st_size
            assert files < len(damaged) + 3 * 4096
    assert 100 < refused < 500
