"""Recommended values, each computed here in another way, and none where the settings fit."""

import numpy as np
import pytest

from sagemaker_semseg.checks.recommendations import add_recommendations
from sagemaker_semseg.checks.report import Report, SplitFacts
from sagemaker_semseg.errors import HyperparameterError
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.memory import training_step, validation_step

SETTINGS = {"num_training_samples": 10}


def split(channel="train", pairs=10, pixels=(50, 50), images=None, image_pixels=None, sizes=None, **more):
    counts = np.array(pixels, np.int64)
    values = np.zeros(256, np.int64)
    values[: len(counts)] = counts
    values[255] = 7
    return SplitFacts(
        channel=channel,
        pairs=pairs,
        sizes=sizes or {(360, 480): pairs},
        pixel_counts=counts,
        image_counts=np.array(images or [pairs] * len(counts), np.int64),
        image_pixel_counts=np.array(image_pixels or [counts.sum()] * len(counts), np.int64),
        ignored_pixels=more.pop("ignored", 7),
        value_counts=more.pop("value_counts", values),
        **more,
    )


def recommended(*splits, settings=SETTINGS, num_classes=None, names=(), available=None):
    classes = num_classes or len(splits[0].pixel_counts)
    report = Report([], splits, classes, names, dict(settings))
    return {item.name: item for item in add_recommendations(report, available).recommendations}


def test_nothing_to_say_where_nothing_is_amiss():
    assert recommended(split(), split("validation"), available=10**15) == {}


def test_the_number_of_samples_is_the_counted_one():
    given = recommended(split(pairs=367), settings={})["num_training_samples"]
    assert (given.value, "required" in given.reason, "requires" in given.reason) == ("367", False, True)
    wrong = recommended(split(pairs=367), settings={"num_training_samples": 300})["num_training_samples"]
    assert wrong.value == "367"
    assert "300" in wrong.reason


@pytest.mark.parametrize(
    ("pixels", "size", "proposed"),
    [((90, 10), (480, 300), True), ((90, 10), (480, 299), False), ((50, 50), (480, 360), False)],
)
def test_strong_is_for_rare_classes_in_large_images(pixels, size, proposed):
    assert ("preset" in recommended(split(pixels=pixels, sizes={size: 3}))) is proposed


def test_weights_are_those_of_median_frequency_balancing():
    """Frequencies 900/1000, 90/500 and 10/100 have the median 0.18; the third class never occurs."""
    facts = split(pixels=(900, 90, 0, 10), image_pixels=[1000, 500, 0, 100])
    item = recommended(facts, num_classes=4, names=("sky", "road", "cat", "sign"))["class_weights"]
    assert [float(weight) for weight in item.value.split(",")] == [0.2, 1, 1, 1.8]
    assert "sky has 90 % of the pixels, sign has 1 % of the pixels" in item.reason
    resolve({"num_classes": 4, "class_weights": item.value})


@pytest.mark.parametrize("pixels", [(60, 40), (100, 0)])
def test_no_weights_for_classes_that_are_alike(pixels):
    assert "class_weights" not in recommended(split(pixels=pixels))


@pytest.mark.parametrize("weights", ["auto", "1,2"])
def test_no_weights_where_there_are_some(weights):
    assert "class_weights" not in recommended(split(pixels=(99, 1)), settings={"class_weights": weights})


def test_fewer_classes_where_the_last_ones_never_occur():
    train, validation = split(pixels=(50, 50, 0, 0, 0)), split("validation", pixels=(50, 0, 50, 0, 0))
    item = recommended(train, validation)["num_classes"]
    assert (item.value, item.reason) == ("3", "the labels 3 to 4 never occur in either split")
    assert recommended(split(pixels=(50, 50, 0)))["num_classes"].reason.startswith("label 2 never occurs")
    assert recommended(split(pixels=(50, 0, 0), ignored=0))["num_classes"].value == "2"  # the least there can be
    assert "num_classes" not in recommended(split(pixels=(50, 0, 50)))


def test_as_many_classes_where_objects_are_ignored():
    assert "num_classes" not in recommended(split(pixels=(50, 0, 0), ignored=9))


def test_more_classes_where_the_masks_have_more():
    values = np.zeros(256, np.int64)
    values[[0, 1, 2, 3, 5, 255]] = 9
    assert recommended(split(value_counts=values), num_classes=2)["num_classes"].value == "6"


def test_weights_fit_the_number_of_classes_that_is_proposed():
    fewer = recommended(split(pixels=(900, 90, 10, 0, 0), image_pixels=[1000, 500, 100, 0, 0]))
    assert fewer["num_classes"].value == "3"
    assert fewer["class_weights"].value == "0.2,1,1.8"
    values = np.zeros(256, np.int64)
    values[:3] = 9
    more = recommended(split(pixels=(99, 1), value_counts=values))
    assert (more["num_classes"].value, more["class_weights"].value) == ("3", "auto")


@pytest.mark.parametrize("values", [[0, 1, 254, 255], [0, 1, 128], [0, 1, 2, 7], [0, 255]])
def test_odd_values_are_no_classes(values):
    counts = np.zeros(256, np.int64)
    counts[values] = 9
    assert "num_classes" not in recommended(split(value_counts=counts))


def test_with_a_label_map_the_values_are_no_labels():
    counts = np.zeros(256, np.int64)
    counts[:8] = 9
    lookup = np.arange(256, dtype=np.uint8)
    assert "num_classes" not in recommended(split(value_counts=counts, lookup=lookup))


@pytest.mark.parametrize(
    ("size", "base"),
    [((360, 480), None), ((512, 780), None), ((1080, 1920), "1920"), ((96, 120), "120"), ((10, 12), "24")],
)
def test_base_size_is_near_that_of_the_images(size, base):
    """520 is left alone from two thirds to three halves of the long side."""
    item = recommended(split(sizes={size: 3})).get("base_size")
    assert (item and item.value) == base


@pytest.mark.parametrize(
    ("settings", "crop"),
    [
        ({}, None),  # the short side is 390 at base_size 520, and a crop of 240 is more than half of it
        ({"crop_size": 100}, "200"),  # half of 390 is 195, and 200 the next multiple of 8
        ({"crop_size": 480}, "384"),  # the last multiple of 8 up to 390
        ({"crop_size": 201}, "208"),
        ({"base_size": 480, "crop_size": 176}, "184"),  # half of 360 is 180
    ],
)
def test_crop_size_fits_the_average_training_image(settings, crop):
    item = recommended(split(sizes={(360, 480): 3}), settings=settings).get("crop_size")
    assert (item and item.value) == crop


def test_crop_size_goes_by_the_base_size_that_is_proposed():
    given = recommended(split(sizes={(1080, 1920): 3}))
    assert (given["base_size"].value, given["crop_size"].value) == ("1920", "544")  # half of 1080 is 540


def test_the_usual_image_is_the_median():
    sizes = {(360, 480): 6, (480, 360): 3, (9000, 9000): 4}
    assert "base_size" not in recommended(split(sizes=sizes))


def test_batches_that_do_not_fit_are_made_as_large_as_fits():
    settings = {**SETTINGS, "backbone": "resnet-18"}

    def need(images):
        return training_step(resolve({"num_classes": 2, "backbone": "resnet-18", "mini_batch_size": images})).total

    available = round(need(5) / 0.9) + 10  # not enough for 16 with ``recompute`` either
    item = recommended(split(), settings=settings, available=available)["mini_batch_size"]
    assert item.value == "5"
    assert f"16 take about {need(16) / 1e9:.1f} GB" in item.reason
    assert "mini_batch_size" not in recommended(split(), settings=settings, available=round(need(16) / 0.9) + 10)
    assert "even one takes" in recommended(split(), settings=settings, available=10**9)["mini_batch_size"].reason


def test_the_second_computation_is_proposed_where_the_batch_fits_with_it():
    settings = {**SETTINGS, "backbone": "resnet-50", "mini_batch_size": 8}
    without, with_it = (
        training_step(resolve({**settings, "num_classes": 2, "recompute": value})).total for value in (False, True)
    )
    for available in (without + 10, without - 10, with_it + 10, with_it - 10):
        found = recommended(split(), settings=settings, available=round(available / 0.9))
        assert ("recompute" in found) is (with_it < available < without)
        assert ("mini_batch_size" in found) is (available < with_it)
    item = recommended(split(), settings=settings, available=round(without / 0.9) - 10)["recompute"]
    assert f"about {without / 1e9:.1f} GB, and {with_it / 1e9:.1f} GB with it" in item.reason
    settings["recompute"] = "True"
    assert "recompute" not in recommended(split(), settings=settings, available=round(with_it / 0.9) - 10)


def test_a_batch_of_billions():
    assert (
        int(recommended(split(), settings={"mini_batch_size": 2**31 - 1}, available=10**10)["mini_batch_size"].value)
        < 99
    )


def test_validation_batches_too():
    sizes = {(256, 256): 3}  # 16 of them are 2^20 pixels

    def need(images):
        hp = resolve({"num_classes": 2, "validation_mini_batch_size": images})
        return validation_step(hp, sizes).total

    facts = split("validation", sizes=sizes)
    available = round(need(8) / 0.9) + 10
    item = recommended(split(), facts, settings={"mini_batch_size": 1}, available=available)[
        "validation_mini_batch_size"
    ]
    assert item.value == "8"


def test_estimates_are_of_the_settings_and_the_largest_image():
    settings = {"mini_batch_size": 3, "crop_size": 50}
    train, validation = split(sizes={(40, 60): 1, (30, 200): 1}), split("validation", sizes={(70, 80): 1})
    report = add_recommendations(Report([], [train, validation], 2, (), settings))
    assert list(report.estimates) == [
        "training step, 3 crops of 56 x 56", "validation step, whole images", "endpoint, one image of 200 x 30",
    ]  # fmt: skip
    hp = resolve({**settings, "num_classes": 2})
    assert report.estimates["training step, 3 crops of 56 x 56"] == training_step(hp)


def test_an_empty_set_gets_no_recommendations():
    empty = split(pairs=0, pixels=(0, 0), sizes={})
    object.__setattr__(empty, "sizes", {})
    assert recommended(empty, settings={}, available=10**15) == {}
    assert add_recommendations(Report([], [], 2)).recommendations == []


def test_other_settings_are_ignored_and_wrong_ones_refused():
    assert recommended(split(), settings={**SETTINGS, "data": "x", "label_map": None}) == {}
    with pytest.raises(HyperparameterError):
        recommended(split(), settings={"crop_size": 3})


@pytest.mark.parametrize("algorithm", ["psp", "deeplab"])
def test_two_images_at_least_where_a_decoder_pools_to_one_value(algorithm):
    settings = {**SETTINGS, "algorithm": algorithm, "crop_size": 960, "base_size": 1400, "mini_batch_size": 16}

    def needed(images, side):
        return training_step(
            resolve({**settings, "num_classes": 2, "mini_batch_size": images, "crop_size": side})
        ).total

    available = int((needed(1, 960) + needed(2, 960)) / 2 / 0.9)
    found = recommended(split(sizes={(1000, 1400): 4}), settings=settings, available=available)
    assert found["mini_batch_size"].value == "2"
    crop = int(found["crop_size"].value)
    assert needed(2, crop) <= 0.9 * available < needed(2, crop + 8)
    settings["mini_batch_size"] = 1
    assert recommended(split(), settings=settings, available=10**15)["mini_batch_size"].value == "2"
    settings["algorithm"] = "fcn"
    assert "mini_batch_size" not in recommended(split(), settings=settings, available=10**15)
