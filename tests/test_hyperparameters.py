"""The hyperparameters against the record: what is typed here comes from AWS's developer guide, not from the table."""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_semseg.cli.flags import add_hyperparameter_flags, hyperparameter_arguments
from sagemaker_semseg.errors import HyperparameterError
from sagemaker_semseg.hyperparameters import (
    TABLE,
    Hyperparameter,
    Hyperparameters,
    Interval,
    markdown,
    resolve,
    to_strings,
)
from sagemaker_semseg.hyperparameters.table import PRESETS

# name: (default, values on the edge that are valid, values on the edge that are not)
ORIGINAL: dict[str, tuple[object, list[object], list[object]]] = {
    "backbone": ("resnet-50", ["resnet-50", "resnet-101"], ["resnet-51", "", "ResNet"]),
    "use_pretrained_model": (True, ["True", "False"], ["yes", "2", ""]),
    "algorithm": ("fcn", ["fcn", "psp", "deeplab"], ["deeplabv3", "unet"]),
    "num_classes": (None, [2, 254], [1, 255, 0, -2]),
    "num_training_samples": (None, [1, 10**6], [0, -1]),
    "base_size": (520, [17, 4000], [16, 0]),
    "crop_size": (240, [17, 4000], [16, 0]),
    "epochs": (10, [1, 1000], [0, -1]),
    "mini_batch_size": (16, [1, 129], [0, -1]),
    "validation_mini_batch_size": (16, [1, 500], [0, -1]),
    "learning_rate": (0.001, [1e-9, 1, 1.0], [0, -0.1, 1.0001]),
    "optimizer": ("sgd", ["sgd", "adam", "adagrad", "nag", "rmsprop", "adamw"], ["adadelta", "SGD "]),
    "momentum": (0.9, [1e-9, 1], [0, 1.0001]),
    "weight_decay": (0.0001, [1e-9, 0.999999], [0, 1]),
    "gamma1": (0.9, [0, 1], [-1e-9, 1.0001]),
    "gamma2": (0.9, [0, 1], [-1e-9, 1.0001]),
    "lr_scheduler": ("poly", ["poly", "cosine"], ["linear"]),
    "lr_scheduler_factor": (0.1, [0, 1], [-1e-9, 1.0001]),
    "lr_scheduler_step": ((), ["10, 20", "10,20", "7", 7], ["10;20", "0, 10", "10, x", "10,", "10.5", "5, 5", {}]),
    "early_stopping": (False, ["True", "False"], ["maybe"]),
    "early_stopping_min_epochs": (5, [0, 1000, -1], ["5.5"]),
    "early_stopping_patience": (4, [0, 1000, -1], ["4.5"]),
    "early_stopping_tolerance": (0.0, [0, 1], [-1e-9, 1.0001]),
    "syncbn": (False, ["True", "False"], ["both"]),
}
EXTENSIONS: dict[str, tuple[object, list[object], list[object]]] = {
    "allow_doubtful_labels": (False, ["True", "False"], ["yes"]),
    "checkpoint_minutes": (5.0, [0.001, 60], [0, -1]),
    "recompute": (False, ["True", "False"], ["full"]),
    "quantize": (False, ["True", "False"], ["int8"]),
    "seed": (0, [0, 2**31 - 1], [-1, 2**31, 0.5]),
    "precision": ("float32", ["float32", "mixed_float16", "mixed_bfloat16", "auto"], ["float16", "fp16"]),
    "aux_weight": (0.5, [0, 3.5], [-1e-9, "inf"]),
    "head_learning_rate_multiplier": (10.0, [1e-9, 100], [0, -1, "nan"]),
    "warmup_epochs": (0.0, [0, 0.5, "1.5", 9.99], [-0.1, 10, 11]),
    "class_names": (
        (),
        ["", "road,car,tree", "Straße, grüner Baum,c"],
        [",", "a,b,", "a,,b", "a,b,a", "a,b\tb,c", 5, True],
    ),
    "class_weights": (
        (),
        ["", "auto", "1, 2.5, 0", [1, 2, 3], (0.5, "1", 2)],
        ["1,2", "1,2,3,4", "1,2,-3", "0,0,0", "1,2,x"],
    ),
    "inference_scales": (
        (1.0,),
        ["1", "0.75, 1, 1.25", [0.1, 4]],
        ["", "0.05", "4.1", "nan", "1,x", ",".join("1" * 17)],
    ),
    "new_head": (False, ["True", "false"], ["maybe"]),
    "inference_flip": (False, ["True", "false"], ["maybe"]),
    "output_stride": ("8", [8, "16", 32], [4, 64, "8.0", ""]),
    "freeze_batch_norm": (False, ["True", "false"], ["maybe"]),
    "freeze_backbone_epochs": (0, [0, 10], [-1, 11, 0.5]),
    "scale_range": ((0.5, 2.0), ["0.5, 2", [1, 1], (0.1, "4")], ["", "1", "2, 0.5", "0.05, 1", "1, 4.1", "1, 2, 3"]),
    "rotation": (0.0, [0, 180], [-1e-9, 180.1]),
    "color_jitter": (0.0, [0, 1], [-1e-9, 1.0001]),
    "preset": ("original", ["original", "strong"], ["weak", 1]),
    "class_balanced_crops": (0.0, [0, 1], [-1e-9, 1.0001]),
    "ohem_fraction": (1.0, [1e-9, 1], [0, 1.0001]),
    "dice_weight": (0.0, [0, 3.5], [-1e-9, "inf"]),
    "focal_gamma": (0.0, [0, 5], [-1e-9, "inf"]),
    "label_smoothing": (0.0, [0, 0.999], [-1e-9, 1]),
    "ema_decay": (0.0, [0, 0.9999], [-1e-9, 1]),
}
EXPECTED = {**ORIGINAL, **EXTENSIONS}
TUNABLE = {
    "learning_rate": (1e-4, 1e-1),
    "mini_batch_size": (1, 128),
    "momentum": (0.9, 0.999),
    "weight_decay": (1e-5, 1e-3),
    "optimizer": {"sgd", "adam", "rmsprop", "adagrad", "nag"},
}


def faults(values: dict[str, object]) -> dict[str, str]:
    with pytest.raises(HyperparameterError) as caught:
        resolve(values)
    assert len({fault.where for fault in caught.value.faults}) == len(caught.value.faults)
    return {fault.where: f"{fault.what} ({fault.remedy})" for fault in caught.value.faults}


def with_value(name: str, value: object) -> dict[str, object]:
    return {"num_classes": 3, name: value}


def test_the_table_has_exactly_the_names_of_the_record_and_ours() -> None:
    assert {row.name for row in TABLE if not row.extension} == set(ORIGINAL)
    assert {row.name for row in TABLE if row.extension} == set(EXTENSIONS)
    backbone = next(row for row in TABLE if row.name == "backbone")
    assert set(backbone.added_choices) == {"resnet-18", "resnet-34", "resnet-152"}


@pytest.mark.parametrize("name", EXPECTED)
def test_default(name: str) -> None:
    if name == "num_classes":
        assert "num_classes" in faults({})
    else:
        assert getattr(resolve({"num_classes": 3}), name) == EXPECTED[name][0]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in EXPECTED for value in EXPECTED[name][1]])
def test_valid_edges_are_taken_as_values_strings_and_quoted_strings(name: str, value: object) -> None:
    plain = getattr(resolve(with_value(name, value)), name)
    if not isinstance(value, (list, tuple)):
        text = str(value)
        for form in (text, f"  {text} ", json.dumps(text)):
            again = getattr(resolve(with_value(name, form)), name)
            assert (again, type(again)) == (plain, type(plain))


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in EXPECTED for value in EXPECTED[name][2]])
def test_invalid_edges_are_refused_as_values_strings_and_quoted_strings(name: str, value: object) -> None:
    forms = [value, json.dumps(str(value))]
    if value != "SGD ":
        forms.append(str(value))
    for form in forms:
        assert name in faults(with_value(name, form))


def test_names_of_classes() -> None:
    for form in ("road, car", '"road,car"', "[road, car]", ["road", "car"], ("road", "car")):
        assert resolve({"num_classes": 2, "class_names": form}).class_names == ("road", "car")
    assert "3 names came" in faults({"num_classes": 2, "class_names": "a,b,c"})["class_names"]
    assert "a name is empty, b is there twice" in faults({"num_classes": 4, "class_names": "a,b,,b"})["class_names"]
    assert "comma" in faults({"num_classes": 2, "class_names": ["a,b", "c"]})["class_names"]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_wrong_types_are_refused(row: Hyperparameter) -> None:
    never: tuple[object, ...] = (
        "nan",
        "inf",
        "-inf",
        float("nan"),
        float("inf"),
        "1e999",
        "abc",
        b"1",
        {},
        object(),
        [[]],
        1j,
        "1_0",
    )
    for value in never:
        assert row.name in faults(with_value(row.name, value)), value
    if row.kind != "boolean":
        assert row.name in faults(with_value(row.name, True))
    for value in ("9" * 5000, 10**5000):
        assert row.name in faults(with_value(row.name, value))


def test_types_of_numbers() -> None:
    hp = resolve({"num_classes": np.int64(11), "learning_rate": np.float32(0.5), "momentum": 1, "warmup_epochs": "2"})
    assert (hp.num_classes, hp.learning_rate, hp.momentum, hp.warmup_epochs) == (11, 0.5, 1.0, 2.0)
    assert [type(v) for v in (hp.num_classes, hp.learning_rate, hp.momentum, hp.warmup_epochs)] == [int] + 3 * [float]
    assert "crop_size" in faults({"num_classes": 3, "crop_size": 64.0})


@pytest.mark.parametrize("text", [True, "True", "true", "TRUE", "1", 1, '"True"', ' "true" '])
def test_true(text: object) -> None:
    assert resolve({"num_classes": 3, "syncbn": text}).syncbn is True


@pytest.mark.parametrize("text", [False, "False", "false", "0", 0, '"False"'])
def test_false(text: object) -> None:
    assert resolve({"num_classes": 3, "use_pretrained_model": text}).use_pretrained_model is False


def test_lists() -> None:
    def steps(value: object) -> tuple[int, ...]:
        return resolve({"num_classes": 3, "lr_scheduler": "step", "lr_scheduler_step": value}).lr_scheduler_step

    for value in ("10, 20", "20,10", '"10, 20"', [10, 20], (10, "20"), "[10, 20]"):
        assert steps(value) == (10, 20)
    assert resolve({"num_classes": 2, "class_weights": "0.5,2"}).class_weights == (0.5, 2.0)
    assert resolve({"num_classes": 2, "class_weights": '"auto"'}).class_weights == "auto"


@pytest.mark.parametrize("step", [None, "", []])
def test_the_step_scheduler_needs_its_steps(step: object) -> None:
    assert "lr_scheduler_step" in faults({"num_classes": 3, "lr_scheduler": "step", "lr_scheduler_step": step})
    assert resolve({"num_classes": 3, "lr_scheduler": "poly", "lr_scheduler_step": step}).lr_scheduler_step == ()


def test_one_error_lists_every_fault_with_the_nearest_known_name() -> None:
    names = {"mini_batch_siz": "4", "zzzz": 1, 5: 5}
    found = faults({**names, "crop_size": "16", "backbone": "resnet50", "lr_scheduler": "step", "epochs": 0})  # type: ignore[dict-item]
    assert set(found) == {
        *("mini_batch_siz", "zzzz", "5"),
        *("crop_size", "backbone", "num_classes", "lr_scheduler_step", "epochs"),
    }
    assert "did you mean mini_batch_size?" in found["mini_batch_siz"]
    assert "did you mean resnet-50?" in found["backbone"]
    assert "did you mean" not in found["zzzz"]
    assert "> 16 is expected, '16' came" in found["crop_size"]
    assert "did you mean crop_size?" in faults({"num_classes": 3, "crop-size": 64})["'crop-size'"]


def test_the_message_can_be_read() -> None:
    with pytest.raises(HyperparameterError) as caught:
        resolve({"num_classes": "many", "seed": "x" * 10_000})
    assert str(caught.value).startswith("2 hyperparameters can't be used:\n  - num_classes: an integer")
    assert len(str(caught.value)) < 500


def test_what_a_tuning_job_adds_and_none_are_tolerated() -> None:
    values = {"num_classes": "3", "num_training_samples": None, "epochs": None}
    assert resolve({"_tuning_objective_metric": "validation:mIOU", **values}) == resolve({"num_classes": 3})


def test_not_a_mapping() -> None:
    with pytest.raises(HyperparameterError):
        resolve([("num_classes", 3)])  # type: ignore[arg-type]


def test_a_broken_value_is_not_reported_again_as_a_contradiction() -> None:
    found = faults({"num_classes": "x", "class_weights": "1,2", "epochs": "x", "warmup_epochs": 20})
    assert set(found) == {"num_classes", "epochs"}


def test_the_hyperparameters_of_the_sample_notebook() -> None:
    hp = resolve(
        {
            "backbone": "resnet-50",
            "algorithm": "fcn",
            "use_pretrained_model": "True",
            "crop_size": 240,
            "num_classes": 21,
            "epochs": 10,
            "learning_rate": 0.0001,
            "optimizer": "rmsprop",
            "lr_scheduler": "poly",
            "mini_batch_size": 16,
            "validation_mini_batch_size": 16,
            "early_stopping": True,
            "early_stopping_patience": 2,
            "early_stopping_min_epochs": 10,
            "num_training_samples": 1464,
        }
    )
    assert (hp.optimizer, hp.early_stopping, hp.num_training_samples) == ("rmsprop", True, 1464)


@pytest.mark.parametrize(("crop", "padded"), [(17, 24), (24, 24), (239, 240), (240, 240), (241, 248)])
def test_crop_size_is_rounded_up_to_a_multiple_of_8(crop: int, padded: int) -> None:
    assert resolve({"num_classes": 3, "crop_size": crop}).padded_crop_size == padded


def test_strings_read_back_to_the_same() -> None:
    for values in (
        {},
        {"num_training_samples": 367, "class_weights": "1,0.1,3", "lr_scheduler": "step", "lr_scheduler_step": "3, 8"},
        {"class_weights": "auto", "syncbn": True, "learning_rate": 1 / 3, "warmup_epochs": 0.1},
        {"class_names": "a, b,c"},
        {"inference_scales": "0.75, 1, 1.25", "inference_flip": True},
    ):
        hp = resolve({"num_classes": 3, **values})
        strings = to_strings(hp)
        assert all(isinstance(text, str) for text in strings.values())
        assert resolve(json.loads(json.dumps(strings))) == hp
    assert "num_training_samples" not in to_strings(resolve({"num_classes": 3}))


def test_frozen_and_by_keyword() -> None:
    hp = resolve({"num_classes": 3})
    with pytest.raises(dataclasses.FrozenInstanceError):
        hp.epochs = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        Hyperparameters("fcn")  # type: ignore[call-arg]


def test_a_preset_gives_defaults_and_what_is_given_wins() -> None:
    strong = resolve({"num_classes": 3, "preset": "strong"})
    assert (strong.lr_scheduler, strong.stride, strong.dice_weight, strong.ema_decay) == ("cosine", 16, 1, 0.998)
    assert resolve(to_strings(strong)) == strong
    plain = resolve({"num_classes": 3})
    assert resolve({**PRESETS["strong"], "num_classes": 3, "preset": "original"}) == replace(strong, preset="original")
    back = {name: getattr(plain, name) for name in PRESETS["strong"]}
    assert resolve({"num_classes": 3, "preset": "strong", **back}) == replace(plain, preset="strong")
    step = resolve({"num_classes": 3, "preset": "strong", "lr_scheduler": "step", "lr_scheduler_step": "3"})
    assert (step.lr_scheduler, step.stride) == ("step", 16)
    assert "'strng'" in faults({"num_classes": 3, "preset": "strng", "ema_decay": 2})["preset"]


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_sets_is_valid(preset: str) -> None:
    """Strings of these values give the same ones: none is outside of its row's range or of another type."""
    values = PRESETS[preset]
    given = resolve({"num_classes": 3, **{name: str(value) for name, value in values.items()}})
    assert {name: getattr(given, name) for name in values} == values


def test_tunable_ranges() -> None:
    found = {
        row.name: (row.tunable.low, row.tunable.high) if isinstance(row.tunable, Interval) else set(row.tunable)
        for row in TABLE
        if row.tunable is not None
    }
    assert found == TUNABLE


def test_flags() -> None:
    parser = argparse.ArgumentParser()
    add_hyperparameter_flags(parser)
    assert hyperparameter_arguments(parser.parse_args([])) == {}
    namespace = parser.parse_args(["--crop-size", "64", "--use-pretrained-model", "False", "--num-classes", "x"])
    assert hyperparameter_arguments(namespace) == {
        "crop_size": "64",
        "use_pretrained_model": "False",
        "num_classes": "x",
    }
    assert hyperparameter_arguments(parser.parse_args(["--syncbn", "--epochs", "2"])) == {
        "syncbn": "True",
        "epochs": "2",
    }
    with_all = [part for row in TABLE for part in (row.flag, "1")]
    assert set(hyperparameter_arguments(parser.parse_args(with_all))) == set(EXPECTED)
    text = " ".join(parser.format_help().split())
    for row in TABLE:
        assert f"{row.flag} " in text
    assert "(> 16, default 240)" in text


def test_the_committed_page_is_the_tables() -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "hyperparameters.md"
    remedy = "python -m sagemaker_semseg.hyperparameters > docs/hyperparameters.md"
    assert page.read_text(encoding="utf-8") == markdown(), remedy
    for name in EXPECTED:
        assert f"\n| `{name}`" in markdown()


JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.binary(), st.complex_numbers()
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
LIKELY = st.sampled_from(
    ["", '"', '""', "[", "[]", "[1,2]", "1,", ",", "1e5", "-0", "auto", "step", "10, 20", "٣", "½"]
)
NAMES = st.sampled_from([*EXPECTED, "_tuning_objective_metric"]) | st.text(max_size=20) | st.integers() | st.none()


@settings(max_examples=400)
@given(st.dictionaries(NAMES, JUNK | LIKELY, max_size=8))
def test_junk_raises_nothing_but_the_one_error(values: dict[str, object]) -> None:
    try:
        hp = resolve(values)
    except HyperparameterError as error:
        str(error).encode("utf-8")
    else:
        assert resolve(to_strings(hp)) == hp
