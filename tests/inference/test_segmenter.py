"""Images of every size and shape to labels and probabilities, whole and in tiles."""

import itertools
import threading
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.artifact import Runtime
from sagemaker_semseg.errors import ArtifactError, UserError
from sagemaker_semseg.inference import (
    CancellationToken,
    InferenceCancelled,
    Options,
    Segmenter,
    postprocessing,
    runtimes,
    segmenter,
    test_time_augmentation,
)


def photo(height, width, seed=0):
    """Smooth and noisy areas."""
    coarse = np.random.default_rng(seed).integers(0, 256, (-(-height // 20), -(-width // 20), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def by_definition(runtime, image):
    """Logits at full size: the graph's own resizing, which ``finish`` does without."""
    session = runtimes.onnxruntime.InferenceSession(runtime.graph)
    return session.run(["logits"], {"image": image[None]})[0][0]


def softmax(x):
    e = np.exp(np.float64(x) - np.float64(x).max(0))
    return e / e.sum(0)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (8, 8), (9, 1), (1, 700), (33, 20), (97, 300), (530, 3)])
def test_whole_images_of_any_size(local, size):
    image, model = photo(*size), Segmenter(local)
    expected = softmax(by_definition(local, image))
    probabilities, labels = model.probabilities(image), model.labels(image)
    assert (probabilities.dtype, labels.dtype, labels.shape) == (np.float32, np.uint8, size)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=2e-5)
    sure = np.sort(expected, axis=0)[-1] - np.sort(expected, axis=0)[-2] > 1e-4
    np.testing.assert_array_equal(labels[sure], expected.argmax(0)[sure])
    assert sure.mean() > 0.95 or sure.size < 20


@pytest.mark.parametrize("size", [(1000, 1000), (257, 2100), (2100, 40), (8, 9000)])
def test_tiles_give_what_the_whole_image_gives_where_the_network_looks_near(local, size, monkeypatch):
    monkeypatch.setattr(segmenter, "MIN_TILE_PIXELS", 64)
    image, seen = photo(*size), []
    whole, tiled = Segmenter(local), Segmenter(local, Options(tile_pixels=200 * 200))
    engine = tiled._engine
    tiled._engine = lambda pixels, stop: seen.append(pixels.shape) or engine(pixels, stop)
    expected, found = whole.probabilities(image), tiled.probabilities(image)
    assert len(seen) > 1
    assert max(h * w for h, w, _ in seen) <= 200 * 200
    # only the outermost cell of a tile sees the zeros where the image goes on, and that one has no share
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_tiles_are_blended_without_a_seam(make_runtime):
    """With a network that sees single pixels, the borders of tiles leave no trace at all."""
    kernel = np.zeros((3, 3, 1, 1))
    kernel[[0, 1, 2], [0, 1, 2]] = 4
    model, image = make_runtime(kernel), photo(900, 1100)
    expected = Segmenter(model).probabilities(image)
    found = Segmenter(model, Options(tile_pixels=2**16)).probabilities(image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cells", [1, 2, 31, 32, 33, 63, 64, 65, 100, 1000])
@pytest.mark.parametrize("size", [1, 2, 8, 32, 64])
def test_shares_of_tiles_sum_up_to_one(cells, size):
    total = np.zeros(cells)
    intervals = test_time_augmentation._intervals(cells, min(cells, size))
    for tile in intervals:
        assert tile.last - tile.first == min(cells, size)
        assert (tile.share >= 0).all()
        total[tile.first : tile.last] += tile.share
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert all(b.first <= a.last for a, b in itertools.pairwise(intervals))


def test_memory_does_not_grow_with_the_height(make_runtime):
    """254 classes on 4096 x 512 pixels would be 2 GB of probabilities; the mask is 2 MB."""
    kernel = np.random.default_rng(0).normal(0, 1, (254, 3, 1, 1))
    model, image = Segmenter(make_runtime(kernel), Options(tile_pixels=2**16)), photo(4096, 512)
    tracemalloc.start()
    model.labels(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


def test_flip_averages_the_image_and_its_mirror_image(local):
    image = photo(120, 173)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    plain = Segmenter(local)
    expected = (plain.probabilities(image) + plain.probabilities(mirrored)[:, :, ::-1]) / 2
    model = Segmenter(local, Options(flip=True))
    np.testing.assert_allclose(model.probabilities(image), expected, rtol=0, atol=1e-6)
    assert (model.labels(image) == expected.argmax(0)).mean() > 0.999
    tiled = Segmenter(local, Options(flip=True, tile_pixels=2**16))
    wide = photo(300, 700)
    mirrored = tiled.probabilities(np.ascontiguousarray(wide[:, ::-1]))[:, :, ::-1]
    np.testing.assert_allclose(tiled.probabilities(wide), mirrored, rtol=0, atol=1e-6)


def test_scales_average_resized_images(local):
    image = photo(120, 176)
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
    found = Segmenter(local, Options(scales=(0.5, 1.0, 1.5))).probabilities(image)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)
    assert plain.probabilities(image).shape == found.shape


@pytest.mark.parametrize("scale", [0.1, 0.33, 2.7])
def test_a_scaled_view_in_tiles_has_the_pixels_of_the_scaled_image(scale):
    image = photo(300, 410)
    view = test_time_augmentation.AugmentedView(image, scale)
    expected = np.asarray(Image.fromarray(image).resize((view.width, view.height), Image.Resampling.BILINEAR))
    rows, columns = test_time_augmentation.tiles(view.rows, view.columns, 64)
    for r in rows:
        for c in columns:
            part = expected[r.first * 8 : r.last * 8, c.first * 8 : c.last * 8]
            difference = np.abs(view.tile(r, c).astype(int) - part)  # Pillow keeps the box in float32
            assert difference.max() <= 2
            assert difference.mean() < 0.1


def test_float16_is_the_rounded_float32(local):
    image = photo(50, 60)
    half = Segmenter(local).probabilities(image, np.float16)
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, Segmenter(local).probabilities(image).astype(np.float16))


def test_openvino_agrees(local):
    pytest.importorskip("openvino")
    image = photo(100, 130)
    found = Segmenter(local, Options(engine="openvino")).probabilities(image)
    np.testing.assert_allclose(found, Segmenter(local).probabilities(image), rtol=0, atol=1e-4)


def test_argmax_takes_the_first_of_equal_classes():
    scores = np.random.default_rng(0).integers(0, 3, (6, 20, 30)).astype(np.float32)
    out = np.empty((20, 30), np.uint8)
    postprocessing._argmax(scores, out)
    np.testing.assert_array_equal(out, scores.argmax(0))


def test_stop_ends_work_before_the_next_tile(local):
    stop, model, seen = CancellationToken(), Segmenter(local, Options(tile_pixels=2**16)), []
    engine = model._engine

    def run(pixels, given):
        seen.append(1)
        stop.set()
        return engine(pixels, None)

    model._engine = run
    with pytest.raises(InferenceCancelled):
        model.labels(photo(600, 600), stop)
    assert len(seen) == 1


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_stop_interrupts_a_running_graph(make_runtime, engine):
    pytest.importorskip(engine)
    kernel = np.random.default_rng(0).normal(0, 1, (254, 3, 63, 63))
    model, stop = Segmenter(make_runtime(kernel), Options(engine=engine)), CancellationToken()
    threading.Timer(0.3, stop.set).start()
    image = photo(1400, 1400)
    with pytest.raises(InferenceCancelled):
        [model.labels(image, stop) for _ in range(1000)]
    assert model.labels(photo(8, 8)).shape == (8, 8)  # and the model is still good


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (Options(scales=()), "scales"),
        (Options(scales=(1.0, 9.0)), "scales"),
        (Options(scales=(float("nan"),)), "scales"),
        (Options(tile_pixels=100), "tile_pixels"),
        (Options(engine="tensorrt"), "engine"),
        (Options(threads=-1), "threads"),
    ],
)
def test_wrong_options_are_named(local, options, named):
    with pytest.raises(UserError) as caught:
        Segmenter(local, options)
    assert [fault.where for fault in caught.value.faults] == [named]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_graph_that_is_none_is_an_artifact_error(local, engine):
    pytest.importorskip(engine)
    broken = Runtime({}, {"num_classes": 4}, local.graph[:-40])
    with pytest.raises(ArtifactError, match=r"model\.onnx: can't be run"):
        Segmenter(broken, Options(engine=engine))


def test_a_graph_of_other_classes_is_an_artifact_error(local):
    with pytest.raises(ArtifactError, match="export the model again"):
        Segmenter(Runtime({}, {"num_classes": 5}, local.graph)).labels(photo(20, 20))


def test_options_are_the_models_unless_others_are_given():
    trained = {"num_classes": "4", "inference_scales": "0.5, 1", "inference_flip": "True"}
    assert Options.of(trained) == Options(scales=(0.5, 1.0), flip=True)
    assert Options.of(trained, flip=False, scales=None, threads=3) == Options(scales=(0.5, 1.0), threads=3)
    assert Options.of({"num_classes": "4"}) == Options()


def test_class_names(local):
    assert Segmenter(local).class_names == ["0", "1", "2", "3"]
    named = Runtime({}, {"num_classes": 4, "class_names": ["sky", "road", "car", "tree"]}, local.graph)
    assert Segmenter(named).class_names == ["sky", "road", "car", "tree"]


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_image_is_refused(local, image):
    with pytest.raises(ValueError, match="image must be"):
        Segmenter(local).labels(image)


@pytest.mark.parametrize("cells", [(1, 1), (1, 300000), (300000, 1), (188, 275), (200, 200), (1500, 1500), (181, 900)])
def test_tiles_cost_little_more_than_the_image(cells):
    rows, columns = test_time_augmentation.tiles(*cells, 2**15)
    sizes = [(r.last - r.first) * (c.last - c.first) for r in rows for c in columns]
    assert max(sizes) <= 2**15
    assert rows[0].first == columns[0].first == 0
    assert (rows[-1].last, columns[-1].last) == cells
    assert sum(sizes) <= 1.6 * cells[0] * cells[1]
