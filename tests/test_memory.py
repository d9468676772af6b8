"""Estimates of memory compared with measured peaks of real processes, and with the networks that Keras builds."""

import numpy as np
import pytest

from sagemaker_semseg import memory
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.memory import ERROR_BAND, inference, training_step, validation_step

ADAM, BFLOAT16, RECOMPUTE = {"optimizer": "adam"}, {"precision": "mixed_bfloat16"}, {"recompute": True}

OFF = 0.1
"""The largest distance of a measured peak from its estimate; the documented one is wider, for other machines."""
assert OFF < ERROR_BAND

# benchmarks/results/memory-2026-11-25.md: MB of a process that had TensorFlow, the network and three steps
TRAINING = [
    (1365, "fcn", "resnet-18", 4, 240, 21, {}),
    (2527, "fcn", "resnet-18", 16, 240, 21, {}),
    (1582, "fcn", "resnet-18", 4, 240, 150, {}),
    (2359, "deeplab", "resnet-18", 8, 240, 21, {}),
    (1621, "fcn", "resnet-50", 1, 64, 21, {}),
    (4432, "fcn", "resnet-50", 8, 240, 21, {}),
    (4339, "fcn", "resnet-50", 2, 480, 21, {}),
    (3551, "psp", "resnet-50", 4, 240, 21, {}),
    (3946, "deeplab", "resnet-50", 4, 240, 21, {}),
    (2165, "fcn", "resnet-50", 2, 120, 21, ADAM),
    (2285, "fcn", "resnet-50", 4, 240, 21, BFLOAT16),
    (4639, "psp", "resnet-152", 2, 240, 21, {}),
    # to these no factor was fitted
    (5263, "fcn", "resnet-50", 4, 360, 60, {}),
    (3930, "deeplab", "resnet-101", 3, 200, 11, {}),
    (2211, "psp", "resnet-34", 12, 160, 21, {}),
    (2845, "deeplab", "resnet-18", 6, 320, 21, ADAM),
    (2601, "psp", "resnet-50", 8, 160, 2, BFLOAT16),
    # benchmarks/results/recompute-2026-11-27.md
    (2502, "fcn", "resnet-50", 4, 240, 21, RECOMPUTE),
    (3549, "deeplab", "resnet-50", 4, 240, 21, RECOMPUTE),
    (2970, "psp", "resnet-101", 2, 240, 21, RECOMPUTE),
]
# the same page, two steps of an evaluation
VALIDATION = [
    (908, "fcn", "resnet-18", 3, 480, 640),
    (2263, "psp", "resnet-50", 1, 1024, 2048),
    (1382, "deeplab", "resnet-50", 1, 960, 1280),
]
# benchmarks/results/memory_serve-2026-11-27.md: three images in an endpoint's worker
INFERENCE = [
    (259, "fcn", "resnet-18", 480, 640),
    (609, "fcn", "resnet-50", 480, 640),
    (1402, "fcn", "resnet-50", 1024, 2048),
]


def hyperparameters(algorithm="fcn", backbone="resnet-50", **more):
    return resolve({"num_classes": 21, "algorithm": algorithm, "backbone": backbone, **more})


@pytest.mark.parametrize(("measured", "algorithm", "backbone", "images", "crop", "classes", "more"), TRAINING)
def test_a_training_step_takes_what_was_measured(measured, algorithm, backbone, images, crop, classes, more):
    size = {"mini_batch_size": images, "crop_size": crop, "num_classes": classes}
    estimate = training_step(hyperparameters(algorithm, backbone, **size, **more))
    assert estimate.total / 1e6 == pytest.approx(measured, rel=OFF)


@pytest.mark.parametrize(("measured", "algorithm", "backbone", "images", "height", "width"), VALIDATION)
def test_a_validation_step_takes_what_was_measured(measured, algorithm, backbone, images, height, width):
    hp = hyperparameters(algorithm, backbone, validation_mini_batch_size=images)
    assert validation_step(hp, [(height, width)]).total / 1e6 == pytest.approx(measured, rel=OFF)


@pytest.mark.parametrize(("measured", "algorithm", "backbone", "height", "width"), INFERENCE)
def test_an_endpoint_takes_what_was_measured(measured, algorithm, backbone, height, width):
    estimate = inference(hyperparameters(algorithm, backbone), height, width)
    assert estimate.total / 1e6 == pytest.approx(measured, rel=OFF)


def test_the_parts_are_what_the_formulas_say():
    """ResNet-18 with FCN, 21 classes, by hand where a hand can do it: 4 images of 240 x 240 in float32."""
    estimate = training_step(hyperparameters(backbone="resnet-18", mini_batch_size=4, crop_size=240))
    logits = 4 * 240 * 240 * 21 * 4
    assert estimate.parts["logits"] == pytest.approx(1.75 * logits)
    assert estimate.parts["program"] == 650e6 + 24 * 4e6  # 20 in the backbone with its 3 short cuts, and 2 x 2
    # largest: 64 channels at half the size, before the pooling
    assert estimate.parts["working"] == pytest.approx(8.5 * 4 * 4 * 64 * 120 * 120)
    assert estimate.total == sum(estimate.parts.values())
    assert estimate.on_gpu == estimate.total - estimate.parts["program"]


def test_what_is_kept_grows_with_images_and_area_and_halves_with_the_numbers():
    def activations(**more):
        return training_step(hyperparameters(**more)).parts["activations"]

    once = activations(mini_batch_size=4, crop_size=240)
    assert activations(mini_batch_size=8, crop_size=240) == pytest.approx(2 * once)
    assert activations(mini_batch_size=1, crop_size=480) == pytest.approx(once)
    assert activations(mini_batch_size=4, crop_size=240, precision="mixed_float16") == pytest.approx(once / 2)
    assert activations(mini_batch_size=4, crop_size=240, precision="auto") == once  # it may choose float32


@pytest.mark.parametrize(("optimizer", "slots"), [("sgd", 1), ("nag", 1), ("adam", 2), ("adagrad", 1), ("rmsprop", 3)])
def test_slots_are_the_optimizers_own(optimizer, slots):
    from sagemaker_semseg.training.optimizers import make_optimizer

    hp = hyperparameters(optimizer=optimizer)
    assert len(make_optimizer(hp).slot_names) == slots
    none = training_step(hp).parts["parameters"] / (1 + slots)
    assert none == pytest.approx(training_step(hyperparameters()).parts["parameters"] / 2)


@pytest.mark.parametrize(
    ("algorithm", "backbone"),
    [("fcn", "resnet-18"), ("psp", "resnet-18"), ("deeplab", "resnet-18"), ("fcn", "resnet-50")],
)
def test_every_convolution_has_the_size_that_keras_gives_it(algorithm, backbone):
    """Compare with the output sizes that Keras computes at 96 x 128, in the order of the list."""
    import keras

    from sagemaker_semseg.models.layers import Conv2D
    from sagemaker_semseg.models.network import build_network

    layers = build_network(algorithm, backbone, 21).layers
    outputs = [layer.output for layer in layers if isinstance(layer, Conv2D)]
    shapes = keras.Model(layers[0].output, outputs).compute_output_shape((1, 96, 128, 3))
    ours = sorted(c.after for c in memory.convolution_costs(hyperparameters(algorithm, backbone), 96, 128))
    assert ours == sorted(int(np.prod(shape)) for shape in shapes)


def test_an_evaluations_batch_is_what_the_evaluation_makes_of_it():

    hp = hyperparameters(validation_mini_batch_size=16)
    three, one = (validation_step(hp, [size]).parts["working"] for size in ((480, 640), (1440, 640)))
    assert three == pytest.approx(one)  # 3 images of 480 x 640 fit into 2^20 pixels
    sizes = [(480, 640), (1024, 2048), (64, 64)]
    assert validation_step(hp, sizes).total == validation_step(hp, sizes[1:2]).total


def test_a_large_image_goes_through_an_endpoint_in_tiles():
    hp = hyperparameters()
    assert inference(hp, 20_000, 20_000).total == pytest.approx(inference(hp, 1024, 2048).total, rel=0.01)
    assert inference(hp, 2048, 2048, tile_pixels=2**22).total > 1.5 * inference(hp, 2048, 2048).total


def test_devices_share_a_batch():
    assert training_step(hyperparameters(mini_batch_size=16), replicas=4) == training_step(
        hyperparameters(mini_batch_size=4)
    )
