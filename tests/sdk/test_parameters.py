"""Scales of ranges: numbers computed here by another way, and places that lead back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter, IntegerParameter, scale_of


@pytest.mark.parametrize(
    ("parameter", "place", "value"),
    [
        (ContinuousParameter(0.0001, 0.1, "Linear"), 0.5, 0.05005),
        (ContinuousParameter(0.0001, 0.1, "Logarithmic"), 1 / 3, 0.001),
        (ContinuousParameter(0.0001, 0.1), 2 / 3, 0.01),  # three factors of ten: Auto is logarithmic
        (ContinuousParameter(0.9, 0.999), 0.5, 0.9495),
        (ContinuousParameter(0.9, 0.999, "ReverseLogarithmic"), 0.5, 0.99),  # 1 - sqrt(0.1 * 0.001)
        (IntegerParameter(1, 4, "Linear"), 0.24, 1),
        (IntegerParameter(1, 4, "Linear"), 0.26, 2),
        (IntegerParameter(1, 4, "Linear"), 0.999, 4),
        (IntegerParameter(1, 7, "Logarithmic"), 0.32, 1),  # 1 to 2 is a third of the way to 8
        (IntegerParameter(1, 7, "Logarithmic"), 0.34, 2),
        (IntegerParameter(5, 5), 0.7, 5),
        (ContinuousParameter(0.01, 0.01), 0.7, 0.01),
    ],
)
def test_values_by_their_places(parameter, place, value):
    assert parameter.at(place) == value


@pytest.mark.parametrize("scale", ["Linear", "Logarithmic", "Auto"])
def test_the_place_of_a_whole_number_leads_back_to_it(scale):
    parameter = IntegerParameter(1, 128, scale)
    assert [parameter.at(parameter.place(value)) for value in range(1, 129)] == list(range(1, 129))


@given(
    low=st.floats(1e-5, 0.9), width=st.floats(0, 0.09), place=st.floats(0, 1, exclude_max=True),
    scale=st.sampled_from(["Linear", "Logarithmic", "ReverseLogarithmic", "Auto"]),
)  # fmt: skip
def test_values_stay_in_their_range_and_places_lead_back(low, width, place, scale):
    parameter = ContinuousParameter(low, low + width, scale)
    value = parameter.at(place)
    assert low <= value <= low + width
    assert math.isclose(parameter.at(min(max(parameter.place(value), 0), 1)), value, rel_tol=1e-5)


def test_auto():
    assert scale_of(IntegerParameter(1, 128)) == "Logarithmic"
    assert scale_of(IntegerParameter(2, 128)) == "Linear"
    assert scale_of(ContinuousParameter(0, 1)) == "Linear"
    assert scale_of(ContinuousParameter(0, 1, "ReverseLogarithmic")) == "ReverseLogarithmic"


def test_choices_are_strings():
    assert CategoricalParameter([4, 8]).values == ("4", "8")
    assert CategoricalParameter("sgd").values == ("sgd",)
    assert CategoricalParameter(("a", "b")) == CategoricalParameter(["a", "b"])
