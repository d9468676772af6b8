"""What may be searched: the documented ranges, v2's objects by their attributes alone, and every fault at once."""

from types import SimpleNamespace

import pytest

from sagemaker_semseg.hyperparameters import TABLE
from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker_semseg.sdk.ranges import checked

# the page "Tuning a Semantic Segmentation Model" of SageMaker's guide
DOCUMENTED = {
    "learning_rate": ContinuousParameter(1e-4, 1e-1),
    "mini_batch_size": IntegerParameter(1, 128),
    "momentum": ContinuousParameter(0.9, 0.999),
    "optimizer": CategoricalParameter(["sgd", "adam", "rmsprop", "adagrad", "nag"]),
    "weight_decay": ContinuousParameter(1e-5, 1e-3),
}


def ok(given, **more):
    faults = []
    found = checked(given, faults, **more)
    assert faults == []
    return found


@pytest.mark.parametrize("given", [None, {}, dict.fromkeys(DOCUMENTED)])
def test_without_ranges_there_are_the_documented_ones(given):
    assert ok(given) == DOCUMENTED


def test_autotune_fills_up_but_for_what_is_kept():
    found = ok({"momentum": (0.9, 0.95)}, fill=True, keep=["optimizer", "mini_batch_size"])
    assert found == {
        "momentum": ContinuousParameter(0.9, 0.95),
        "learning_rate": DOCUMENTED["learning_rate"],
        "weight_decay": DOCUMENTED["weight_decay"],
    }


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("mini_batch_size", IntegerParameter(4, 32), IntegerParameter(4, 32)),
        ("mini_batch_size", (4, 32), IntegerParameter(4, 32)),
        ("mini_batch_size", ContinuousParameter(4.0, 32.0), IntegerParameter(4, 32)),
        ("mini_batch_size", [4, "8"], CategoricalParameter(["4", "8"])),
        ("learning_rate", (0.001, 0.1), ContinuousParameter(0.001, 0.1)),
        (
            "learning_rate",
            SimpleNamespace(min_value=0.001, max_value=0.1, scaling_type="Logarithmic"),
            ContinuousParameter(0.001, 0.1, "Logarithmic"),
        ),
        ("momentum", {"min_value": 0.9, "max_value": 0.95}, ContinuousParameter(0.9, 0.95)),
        ("optimizer", SimpleNamespace(values=["sgd", "adam"]), CategoricalParameter(["sgd", "adam"])),
        ("optimizer", ["nag"], CategoricalParameter(["nag"])),
    ],
)  # fmt: skip
def test_ranges_in_all_their_forms(name, given, expected):
    assert ok({name: given}) == {name: expected}


WRONG = [
    ("learning_rat", (0.1, 0.2), "there is no such hyperparameter (did you mean learning_rate?)"),
    ("epochs", (1, 10), "can't be tuned (set it in the estimator"),
    ("learning_rate", (0.01, 1), "0.01 to 1 came; the range that may be searched is 0.0001 to 0.1"),
    ("learning_rate", (0.1, 0.01), "the lowest comes first"),
    ("learning_rate", 0.5, "is no range: 0.5"),
    ("learning_rate", (0.01, "0.1"), "is no range"),
    ("learning_rate", (float("nan"), 0.1), "is no range"),
    ("learning_rate", (True, 0.1), "is no range"),
    ("learning_rate", ContinuousParameter(0.01, 0.1, "Log"), "no scaling_type 'Log'"),
    ("mini_batch_size", (1.5, 8), "whole numbers are expected"),
    ("mini_batch_size", (0, 8), "1 to 128"),
    ("mini_batch_size", IntegerParameter(1, 8, "ReverseLogarithmic"), "ReverseLogarithmic is for numbers"),
    ("mini_batch_size", [4, 256], "'256' came; 1 to 128 may be searched"),
    ("mini_batch_size", ["four"], "'four' came"),
    ("optimizer", ["sgd", "adan"], "no choice 'adan' (did you mean adam?)"),
    ("optimizer", ["sgd", "sgd"], "has a choice twice"),
    ("optimizer", [], "has no choices"),
    ("optimizer", (1, 2), "is no number"),
    (7, (1, 2), "7: there is no such hyperparameter"),
]


@pytest.mark.parametrize(("name", "given", "expected"), WRONG)
def test_what_can_t_be_searched(name, given, expected):
    faults = []
    assert checked({name: given}, faults) == {}
    assert [fault for fault in faults if expected in str(fault)], faults


def test_all_faults_come_together():
    faults = []
    checked({"learning_rat": (0.1, 0.2), "epochs": (1, 2), "momentum": (0.1, 0.95), "optimizer": ["x"]}, faults)
    assert [fault.where for fault in faults] == ["learning_rat", "epochs", "momentum", "optimizer"]
    faults = []
    checked(["momentum"], faults)
    assert "give a mapping" in str(faults[0])
    faults = []
    checked(None, faults, fill=True, keep=[row.name for row in TABLE])
    assert "nothing is left to be searched" in str(faults[0])
