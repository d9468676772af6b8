"""Ranges of a tuning: their scale, and choices as strings."""

from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter, IntegerParameter, scale_of


def test_auto():
    assert scale_of(IntegerParameter(1, 128)) == "Logarithmic"
    assert scale_of(IntegerParameter(2, 128)) == "Linear"
    assert scale_of(ContinuousParameter(0, 1)) == "Linear"
    assert scale_of(ContinuousParameter(0, 1, "ReverseLogarithmic")) == "ReverseLogarithmic"


def test_choices_are_strings():
    assert CategoricalParameter([4, 8]).values == ("4", "8")
    assert CategoricalParameter("sgd").values == ("sgd",)
    assert CategoricalParameter(("a", "b")) == CategoricalParameter(["a", "b"])
