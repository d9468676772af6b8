"""The choice of a precision: a function of measured seconds; the measurement; the chief's choice on other hosts."""

import dataclasses

import pytest
import tensorflow as tf

from sagemaker_semseg.training import precision_choice
from sagemaker_semseg.training.precision_choice import choice_of_auto, judge_asked, measure, resolve_precision


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"float32": 1.0, "mixed_bfloat16": 0.56}, "mixed_bfloat16"),
        ({"float32": 1.1, "mixed_bfloat16": 1.0}, "mixed_bfloat16"),
        ({"float32": 1.0, "mixed_bfloat16": 0.95}, "float32"),  # costs accuracy, and wins little
        ({"float32": 0.64, "mixed_bfloat16": 1.1}, "float32"),
        ({"float32": 1.0, "mixed_bfloat16": 0.50, "mixed_float16": 0.48}, "mixed_bfloat16"),
        ({"float32": 1.0, "mixed_bfloat16": 3.0, "mixed_float16": 0.5}, "mixed_float16"),
        ({"float32": 1.0, "mixed_bfloat16": 0.95, "mixed_float16": 0.89}, "mixed_float16"),
    ],
)
def test_auto_takes_what_is_faster_by_a_tenth(seconds, expected):
    assert choice_of_auto(seconds).name == expected


def test_the_choice_says_what_was_found():
    choice = choice_of_auto({"float32": 2.0, "mixed_bfloat16": 1.0, "mixed_float16": 3.0})
    assert choice.note == (
        "mixed_bfloat16, chosen by measurement: convolutions take 0.50 times float32's time in mixed_bfloat16 and "
        "1.50 times float32's time in mixed_float16"
    )
    assert not choice.slow


def test_a_slow_one_that_was_asked_for_is_kept_with_a_warning():
    choice = judge_asked("mixed_bfloat16", {"float32": 0.64, "mixed_bfloat16": 1.10})
    assert (choice.name, choice.slow) == ("mixed_bfloat16", True)
    assert "slow on this machine: convolutions take 1.72 times float32's time" in choice.note
    fast = judge_asked("mixed_bfloat16", {"float32": 1.0, "mixed_bfloat16": 0.99})
    assert (fast.name, fast.note, fast.slow) == ("mixed_bfloat16", "", False)


def test_the_measurement_runs(make_hp):
    seconds = measure(make_hp(), ["mixed_bfloat16", "mixed_float16"])
    assert list(seconds) == ["float32", "mixed_bfloat16", "mixed_float16"]
    assert all(value > 0 for value in seconds.values())


def test_a_hopeless_precision_has_one_small_trial(make_hp, monkeypatch):
    """A CPU without bfloat16 would take a minute for the network's own convolutions."""
    calls = []

    def seconds(kinds, names, side, budget):
        calls.append(names)
        found = {"float32": 4.0 if calls[1:] else 1.0, "mixed_bfloat16": 30.0, "mixed_float16": 0.5}
        return {name: found[name] for name in names}

    monkeypatch.setattr(precision_choice, "_seconds", seconds)
    found = measure(make_hp(), ["mixed_bfloat16", "mixed_float16"])
    assert found == {"float32": 4.0, "mixed_bfloat16": 120.0, "mixed_float16": 0.5}
    assert calls[1] == ["float32", "mixed_float16"]


def test_other_hosts_take_the_choice_of_the_chief(make_hp, tmp_path, monkeypatch):
    class OtherHost:
        is_chief = False

        def __init__(self, strategy):
            pass

        def from_chief(self, data):
            return b"mixed_bfloat16"

    monkeypatch.setattr(precision_choice, "Hosts", OtherHost)
    monkeypatch.delattr(precision_choice, "measure")  # it measures nothing
    hp = dataclasses.replace(make_hp(), precision="auto")
    chosen, choice = resolve_precision(hp, tmp_path, tf.distribute.get_strategy())
    assert chosen == dataclasses.replace(hp, precision="mixed_bfloat16")
    assert choice.note == ""
