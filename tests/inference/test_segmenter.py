"""Images of every size and shape to labels and probabilities, whole and in tiles."""

import dataclasses
import io
import itertools
import math
import re
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.artifact import InferenceArtifact, read_artifact, read_inference_artifact, write_artifact
from sagemaker_semseg.errors import ArtifactError, DataError, UserError
from sagemaker_semseg.inference import (
    RUNTIMES,
    CancellationToken,
    InferenceCancelled,
    InferenceOptions,
    Segmenter,
    runtimes,
    segmenter,
)
from sagemaker_semseg.inference.test_time_augmentation import AugmentedView
from sagemaker_semseg.inference.tiling import split_into_tiles


def make_image(height, width, seed=0):
    """Smooth and noisy areas."""
    coarse = np.random.default_rng(seed).integers(0, 256, (-(-height // 20), -(-width // 20), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def by_definition(runtime, image):
    """Logits at full size: the graph's own resizing, which ``postprocessing`` does without."""
    session = runtimes.onnxruntime.InferenceSession(runtime.graph)
    return session.run(["logits"], {"image": image[None]})[0][0]


@pytest.fixture
def watch(monkeypatch):
    """Makes "watched" a runtime: ONNX Runtime, with a function that is called with each tile's pixels before."""

    def watch(before):
        def load(graph, threads):
            run = runtimes.onnx_runtime(graph, threads)
            return runtimes.LoadedGraph(lambda pixels, token: (before(pixels), run(pixels, CancellationToken()))[1])

        monkeypatch.setitem(RUNTIMES, "watched", load)

    return watch


def softmax(x):
    e = np.exp(np.float64(x) - np.float64(x).max(0))
    return e / e.sum(0)


@pytest.fixture
def image_forms(tmp_path):
    """The same pixels in every form that is taken, and as an array."""
    pixels, file = make_image(40, 60), io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    (tmp_path / "image.png").write_bytes(file.getvalue())
    path = tmp_path / "image.png"
    return [path, str(path), file.getvalue(), memoryview(file.getvalue()), Image.open(path), pixels], pixels


def test_an_image_may_be_a_path_bytes_a_pil_image_or_an_array(local, image_forms):
    model, (forms, pixels) = Segmenter(local), image_forms
    for image in forms:
        np.testing.assert_array_equal(model.labels(image), model.labels(pixels))
        np.testing.assert_array_equal(model.probabilities(image), model.probabilities(pixels))


def test_pil_images_of_other_modes(local):
    model, gray = Segmenter(local), make_image(40, 60)[:, :, 0]
    expected = model.labels(np.repeat(gray[:, :, None], 3, axis=2))
    for image in (Image.fromarray(gray), Image.fromarray(gray.astype(np.uint16) * 256 + 77)):
        np.testing.assert_array_equal(model.labels(image), expected)
    with pytest.raises(ValueError, match="'F'"):
        model.labels(Image.fromarray(gray.astype(np.float32)))


def test_images_that_can_not_be_used(local, tmp_path):
    model = Segmenter(local)
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        model.labels(tmp_path / "a.jpg")
    assert caught.value.faults[0].where == str(tmp_path / "a.jpg")
    with pytest.raises(DataError):
        model.labels(tmp_path / "missing.jpg")
    with pytest.raises(DataError):
        model.labels(b"no image")
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8"):
        model.labels(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(TypeError, match="not <class 'list'>"):
        model.labels([[0]])


def test_a_model_may_be_a_path_or_an_artifact(small_model):
    image, artifact = make_image(40, 60), read_artifact(small_model)
    expected = Segmenter(read_inference_artifact(small_model)).labels(image)
    graph = read_inference_artifact(small_model).graph
    for model in (small_model, str(small_model), dataclasses.replace(artifact, graph=graph)):
        np.testing.assert_array_equal(Segmenter(model).labels(image), expected)
    with pytest.raises(ArtifactError, match=r"model\.onnx: is missing"):
        Segmenter(artifact)


@pytest.mark.parametrize("name", ["model.tar.gz", "model"])
def test_a_model_may_be_the_output_folder_of_a_training(small_model, tmp_path, name):
    artifact = read_artifact(small_model)
    graph = read_inference_artifact(small_model).graph
    (tmp_path / "checkpoints").mkdir()
    write_artifact(tmp_path / name, dataclasses.replace(artifact, graph=graph))
    image = make_image(40, 60)
    np.testing.assert_array_equal(Segmenter(tmp_path).labels(image), Segmenter(small_model).labels(image))


def test_a_folder_without_a_model_says_what_is_expected(tmp_path):
    expected = r"holds no model; there is nothing \(give a model\.tar\.gz, .* the output folder of a training"
    with pytest.raises(ArtifactError, match=expected):
        Segmenter(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ArtifactError, match="holds no model; there is 'checkpoints'"):
        Segmenter(str(tmp_path))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (8, 8), (9, 1), (1, 700), (33, 20), (97, 300), (530, 3)])
def test_whole_images_of_any_size(local, size):
    image, model = make_image(*size), Segmenter(local)
    expected = softmax(by_definition(local, image))
    probabilities, labels = model.probabilities(image), model.labels(image)
    assert (probabilities.dtype, labels.dtype, labels.shape) == (np.float32, np.uint8, size)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=2e-5)
    sure = np.sort(expected, axis=0)[-1] - np.sort(expected, axis=0)[-2] > 1e-4
    np.testing.assert_array_equal(labels[sure], expected.argmax(0)[sure])
    assert sure.mean() > 0.95 or sure.size < 20


@pytest.mark.parametrize("size", [(1000, 1000), (257, 2100), (2100, 40), (8, 9000)])
def test_tiles_give_what_the_whole_image_gives_near_the_middle_of_a_tile(local, size, monkeypatch, watch):
    monkeypatch.setattr(segmenter, "MIN_TILE_PIXELS", 64)
    image, seen = make_image(*size), []
    watch(lambda pixels: seen.append(pixels.shape))
    whole, tiled = Segmenter(local), Segmenter(local, tile_pixels=200 * 200, runtime="watched")
    expected, found = whole.probabilities(image), tiled.probabilities(image)
    assert len(seen) > 1
    assert max(h * w for h, w, _ in seen) <= 200 * 200
    # only the outermost cell of a tile sees the zero padding at its border, and that one has no weight
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_tiles_are_blended_without_a_seam(make_runtime):
    """With a network that sees single pixels, the borders of tiles leave no trace at all."""
    kernel = np.zeros((3, 3, 1, 1))
    kernel[[0, 1, 2], [0, 1, 2]] = 4
    model, image = make_runtime(kernel), make_image(900, 1100)
    expected = Segmenter(model).probabilities(image)
    found = Segmenter(model, tile_pixels=2**16).probabilities(image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 100, 1000])
@pytest.mark.parametrize("columns", [1, 2, 63, 64, 65, 1000])
@pytest.mark.parametrize("max_cells", [1, 2, 64, 1024, 4096])
def test_the_weights_of_tiles_sum_to_one(rows, columns, max_cells):
    sides = split_into_tiles(rows, columns, max_cells)
    for cells, intervals in zip((rows, columns), sides, strict=True):
        total = np.zeros(cells)
        for tile in intervals:
            assert (tile.weights >= 0).all()
            total[tile.first : tile.last] += tile.weights
        np.testing.assert_allclose(total, 1, atol=1e-6)
        assert all(b.first <= a.last for a, b in itertools.pairwise(intervals))
    largest = math.prod(max(tile.last - tile.first for tile in intervals) for intervals in sides)
    assert largest <= max_cells


def test_memory_does_not_grow_with_the_height(make_runtime):
    """254 classes on 4096 x 512 pixels would be 2 GB of probabilities; the mask is 2 MB."""
    kernel = np.random.default_rng(0).normal(0, 1, (254, 3, 1, 1))
    model, image = Segmenter(make_runtime(kernel), tile_pixels=2**16), make_image(4096, 512)
    tracemalloc.start()
    model.labels(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


def test_flip_averages_the_image_and_its_mirror_image(local):
    image = make_image(120, 173)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    plain = Segmenter(local)
    expected = (plain.probabilities(image) + plain.probabilities(mirrored)[:, :, ::-1]) / 2
    model = Segmenter(local, flip=True)
    np.testing.assert_allclose(model.probabilities(image), expected, rtol=0, atol=1e-6)
    assert (model.labels(image) == expected.argmax(0)).mean() > 0.999
    tiled = Segmenter(local, flip=True, tile_pixels=2**16)
    wide = make_image(300, 700)
    mirrored = tiled.probabilities(np.ascontiguousarray(wide[:, ::-1]))[:, :, ::-1]
    np.testing.assert_allclose(tiled.probabilities(wide), mirrored, rtol=0, atol=1e-6)


def test_scales_average_resized_images(local):
    image = make_image(120, 176)
    plain, expected = Segmenter(local), 0
    for size in ((60, 88), (120, 176), (180, 264)):
        scaled = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
        session = runtimes.onnxruntime.InferenceSession(local.graph)
        (coarse,) = session.run(["coarse_logits"], {"image": scaled[None]})
        h, w = coarse.shape[2:]
        rows, columns = np.linspace(0, h - 1, 120), np.linspace(0, w - 1, 176)
        y, x = np.minimum(rows.astype(int), h - 2), np.minimum(columns.astype(int), w - 2)
        fy, fx = (rows - y)[:, None], columns - x
        top = coarse[0][:, y][:, :, x] * (1 - fx) + coarse[0][:, y][:, :, x + 1] * fx
        low = coarse[0][:, y + 1][:, :, x] * (1 - fx) + coarse[0][:, y + 1][:, :, x + 1] * fx
        expected = expected + softmax(top * (1 - fy) + low * fy) / 3
    found = Segmenter(local, scales=(0.5, 1.0, 1.5)).probabilities(image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    assert plain.probabilities(image).shape == found.shape


@pytest.mark.parametrize("scale", [0.1, 0.33, 2.7])
def test_a_scaled_view_in_tiles_has_the_pixels_of_the_scaled_image(scale):
    image = make_image(300, 410)
    view = AugmentedView(image, scale)
    expected = np.asarray(Image.fromarray(image).resize((view.width, view.height), Image.Resampling.BILINEAR))
    rows, columns = split_into_tiles(-(-view.height // 8), -(-view.width // 8), 64)
    for r in rows:
        for c in columns:
            sides = r.first * 8, r.last * 8, c.first * 8, c.last * 8
            part = expected[slice(*sides[:2]), slice(*sides[2:])]
            difference = np.abs(view.crop(*sides).astype(int) - part)  # Pillow keeps the box in float32
            assert difference.max() <= 2
            assert difference.mean() < 0.1


def test_float16_is_the_rounded_float32(local):
    image = make_image(50, 60)
    half = Segmenter(local).probabilities(image, np.float16)
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, Segmenter(local).probabilities(image).astype(np.float16))


def test_openvino_agrees(local):
    pytest.importorskip("openvino")
    image = make_image(100, 130)
    found = Segmenter(local, runtime="openvino").probabilities(image)
    np.testing.assert_allclose(found, Segmenter(local).probabilities(image), rtol=0, atol=1e-4)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_freed_memory_goes_back_while_a_graph_loads(local, monkeypatch, runtime):
    called = []
    libc = SimpleNamespace(
        mallopt=lambda *option: called.append(option), malloc_trim=lambda pad: called.append(("trim", pad))
    )
    monkeypatch.setattr(runtimes.ctypes, "CDLL", lambda name: libc)
    Segmenter(local, runtime=runtime)
    assert called == [(-3, 2**20), (-3, 2**25), (-1, 2**26), ("trim", 0)]


@pytest.mark.parametrize("libc", [SimpleNamespace(), None])
def test_another_c_library(local, monkeypatch, libc):
    def load(name):
        if libc is None:
            raise OSError("no such file")
        return libc

    monkeypatch.setattr(runtimes.ctypes, "CDLL", load)
    assert Segmenter(local).labels(make_image(20, 20)).shape == (20, 20)


@pytest.mark.parametrize("equal", [(0, 1, 2, 3), (1, 2), (2, 3)])
def test_the_first_of_equal_classes_is_the_label(make_runtime, equal):
    kernel = np.zeros((4, 3, 1, 1))
    kernel[list(equal)] = 1
    assert (Segmenter(make_runtime(kernel)).labels(make_image(20, 30) | 1) == equal[0]).all()


def test_cancelling_ends_work_before_the_next_tile(local, watch):
    token, seen = CancellationToken(), []
    watch(lambda pixels: (seen.append(1), token.cancel()))
    with pytest.raises(InferenceCancelled):
        Segmenter(local, tile_pixels=2**16, runtime="watched").labels(make_image(600, 600), token)
    assert len(seen) == 1


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_cancelling_interrupts_a_running_graph(make_runtime, runtime):
    pytest.importorskip(runtime)
    kernel = np.random.default_rng(0).normal(0, 1, (254, 3, 63, 63))
    model, token = Segmenter(make_runtime(kernel), runtime=runtime), CancellationToken()
    threading.Timer(0.3, token.cancel).start()
    image = make_image(1400, 1400)
    with pytest.raises(InferenceCancelled):
        [model.labels(image, token) for _ in range(1000)]
    assert model.labels(make_image(8, 8)).shape == (8, 8)  # and the model is still good


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"scales": ()}, "scales"),
        ({"scales": (1.0, 9.0)}, "scales"),
        ({"scales": (float("nan"),)}, "scales"),
        ({"tile_pixels": 100}, "tile_pixels"),
        ({"runtime": "tensorflow"}, "runtime"),
        ({"threads": -1}, "threads"),
    ],
)
def test_wrong_options_are_named(local, options, named):
    with pytest.raises(UserError) as caught:
        Segmenter(local, **options)
    assert [fault.where for fault in caught.value.faults] == [named]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_graph_that_is_none_is_an_artifact_error(local, runtime):
    pytest.importorskip(runtime)
    broken = InferenceArtifact({"num_classes": "4"}, {"num_classes": 4}, local.graph[:-40])
    with pytest.raises(ArtifactError, match=r"model\.onnx: can't be run"):
        Segmenter(broken, runtime=runtime)


def test_a_graph_of_other_classes_is_an_artifact_error(local):
    with pytest.raises(ArtifactError, match="export the model again"):
        Segmenter(InferenceArtifact({"num_classes": "5"}, {"num_classes": 5}, local.graph)).labels(make_image(20, 20))


def test_options_are_the_models_unless_others_are_given():
    trained = {"num_classes": "4", "inference_scales": "0.5, 1", "inference_flip": "True"}
    assert InferenceOptions.resolve(trained) == InferenceOptions(scales=(0.5, 1.0), flip=True)
    assert InferenceOptions.resolve(trained, flip=False, scales=None, threads=3) == InferenceOptions(
        scales=(0.5, 1.0), threads=3
    )
    assert InferenceOptions.resolve({"num_classes": "4"}) == InferenceOptions()


def test_a_thread_for_each_cpu_that_the_container_may_use(two_cpus, monkeypatch):
    threads = []

    def load(graph, count):
        threads.append(count)
        return runtimes.LoadedGraph(None)

    monkeypatch.setitem(runtimes.RUNTIMES, "onnxruntime", load)
    model = InferenceArtifact({"num_classes": "2"}, {"num_classes": 2}, b"")
    Segmenter(model)
    Segmenter(model, threads=5)
    assert threads == [2, 5]


def test_class_names(local):
    assert Segmenter(local).class_names == ["0", "1", "2", "3"]
    named = InferenceArtifact(
        {"num_classes": "4"}, {"num_classes": 4, "class_names": ["sky", "road", "car", "tree"]}, local.graph
    )
    assert Segmenter(named).class_names == ["sky", "road", "car", "tree"]


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_image_is_refused(local, image):
    with pytest.raises(ValueError, match="image must be"):
        Segmenter(local).labels(image)


@pytest.mark.parametrize("cells", [(1, 1), (1, 300000), (300000, 1), (188, 275), (200, 200), (1500, 1500), (181, 900)])
def test_tiles_cost_little_more_than_the_image(cells):
    rows, columns = split_into_tiles(*cells, 2**15)
    sizes = [(r.last - r.first) * (c.last - c.first) for r in rows for c in columns]
    assert max(sizes) <= 2**15
    assert rows[0].first == columns[0].first == 0
    assert (rows[-1].last, columns[-1].last) == cells
    assert sum(sizes) <= 1.6 * cells[0] * cells[1]


# ---- GPUs: stand-ins for ONNX Runtime's providers, since none is here


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU, an onnxruntime with these providers, and sessions that get only those that work."""

    def gpu(available, working, *, driver=True):
        asked = []
        real = runtimes.onnxruntime.InferenceSession

        def make(graph, settings, providers):
            asked.append([name for name, _ in providers])
            session = real(graph, settings, providers=["CPUExecutionProvider"])
            used = [name for name in asked[-1] if name in (*working, "CPUExecutionProvider")]
            monkeypatch.setattr(session, "get_providers", lambda: used)
            return session

        monkeypatch.setattr(runtimes, "has_gpu", lambda: driver)
        monkeypatch.setattr(
            runtimes.onnxruntime, "get_available_providers", lambda: [*available, "CPUExecutionProvider"]
        )
        monkeypatch.setattr(runtimes.onnxruntime, "InferenceSession", make)
        return asked

    return gpu


CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("runtime", "available", "working", "asked", "note"),
    [
        ("onnxruntime", [TENSORRT, CUDA], [CUDA], [CUDA, CPU], "; CUDA runs it"),
        (
            "onnxruntime",
            [CUDA],
            [],
            [CUDA, CPU],
            "; CUDA can't be used (needs onnxruntime-gpu, .*), so the CPU runs it",
        ),
        ("onnxruntime", [], [], [CPU], ""),
        ("tensorrt", [TENSORRT, CUDA], [TENSORRT, CUDA], [TENSORRT, CUDA, CPU], "; TensorRT runs it"),
        ("tensorrt", [CUDA], [CUDA], [CUDA, CPU], "; TensorRT can't be used (.*), so CUDA runs it"),
        ("tensorrt", [], [], [CPU], "; TensorRT can't be used (.*), so the CPU runs it"),
    ],
)
def test_gpus_are_used_where_they_work(gpu, local, runtime, available, working, asked, note):
    found = gpu(available, working)
    segmenter = Segmenter(local, precision="float32", runtime=runtime)
    assert found == [asked]
    pattern = re.escape(f"float32 with {runtime}: as asked{note}").replace(r"\.\*", ".*")
    assert re.fullmatch(pattern, segmenter.choice)
    assert segmenter.labels(make_image(20, 30)).shape == (20, 30)


def test_without_a_driver_no_gpu_is_tried(gpu, local):
    found = gpu([TENSORRT, CUDA], [], driver=False)
    assert Segmenter(local, precision="float32").choice == "float32 with onnxruntime: as asked"
    assert found == [[CPU]]
