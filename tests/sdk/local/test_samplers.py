"""Strategies by themselves: what they draw, and what they draw it from."""

import pytest

from sagemaker_semseg.sdk.local.samplers import RANDOM_AT_FIRST, fits, grid_size, propose
from sagemaker_semseg.sdk.local.study import Trial
from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter, IntegerParameter

RANGES = {
    "learning_rate": ContinuousParameter(1e-4, 1e-1),
    "momentum": ContinuousParameter(0.9, 0.999, "ReverseLogarithmic"),
    "mini_batch_size": IntegerParameter(1, 128),
    "optimizer": CategoricalParameter(["sgd", "adam", "nag"]),
}


def drawn(strategy, number, trials=(), seed=7):
    return propose(strategy, RANGES, seed, number, trials, maximize=True)


def history(count, objective=lambda values: 0.5):
    trials = []
    for number in range(1, count + 1):
        values = drawn("Random", number)
        trials.append(Trial(number, f"job-{number}", values, "Completed", objective(values)))
    return trials


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_what_is_drawn_lies_in_the_ranges_and_follows_from_seed_and_number(strategy):
    found = [drawn(strategy, number) for number in range(1, 13)]
    assert all(fits(RANGES, values) for values in found)
    assert found == [drawn(strategy, number) for number in range(1, 13)]
    assert len({tuple(sorted(values.items())) for values in found}) == 12
    assert found[0] != drawn(strategy, 1, seed=8)


def test_random_draws_don_t_look_at_results():
    assert drawn("Random", 5) == drawn("Random", 5, history(20))


def test_tpe_goes_where_the_results_are_good():
    """Not a claim about TPE: only that the objective, its direction and the scale reach it."""
    trials = history(40, lambda values: -abs(float(values["learning_rate"]) - 0.05) + (values["optimizer"] == "nag"))
    up = [propose("Bayesian", RANGES, seed, 41, trials, maximize=True) for seed in range(8)]
    down = [propose("Bayesian", RANGES, seed, 41, trials, maximize=False) for seed in range(8)]
    assert sum(values["optimizer"] == "nag" for values in up) > sum(values["optimizer"] == "nag" for values in down)


def test_tpe_takes_trials_that_run_have_failed_or_were_interrupted():
    trials = history(RANDOM_AT_FIRST + 2)
    for trial, status, objective in zip(
        trials, ("InProgress", "Failed", "Interrupted"), (None, None, 0.3), strict=False
    ):
        trials[trial.number - 1] = Trial(trial.number, trial.job, trial.values, status, objective)
    assert fits(RANGES, drawn("Bayesian", 13, trials))


@pytest.mark.parametrize(
    "wrong",
    [{"learning_rate": "2"}, {"learning_rate": "x"}, {"learning_rate": "nan"}, {"optimizer": "sgdd"}, {"seed": "1"}],
)
def test_values_that_are_none_of_a_trial(wrong):
    assert not fits(RANGES, {**drawn("Random", 1), **wrong})


def test_a_grid():
    ranges = {"b": CategoricalParameter(["x", "y"]), "a": CategoricalParameter([4, 8, 16])}
    assert grid_size(ranges) == 6
    points = [propose("Grid", ranges, 0, number, (), maximize=True) for number in range(1, 7)]
    assert points[:3] == [{"a": "4", "b": "x"}, {"a": "4", "b": "y"}, {"a": "8", "b": "x"}]
    assert len({tuple(point.items()) for point in points}) == 6
