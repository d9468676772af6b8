"""The trials of a tuning: what is proposed, what was recorded is read again, and a torn line costs itself alone."""

import pytest

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.local.study import NAME, RANDOM_TRIALS, Study, grid_size
from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter, IntegerParameter
from sagemaker_semseg.sdk.specs import TrainingSpec, TuningSpec

RANGES = {
    "learning_rate": ContinuousParameter(1e-4, 1e-1),
    "momentum": ContinuousParameter(0.9, 0.999, "ReverseLogarithmic"),
    "weight_decay": ContinuousParameter(0.25, 0.5),
    "mini_batch_size": IntegerParameter(1, 128),
    "optimizer": CategoricalParameter(["sgd", "adam", "nag"]),
}
TRAINING = TrainingSpec("streets", {}, (), "local")


@pytest.fixture
def study(tmp_path):
    """Open a study, an existing one again; folders are made."""

    def study(strategy="Random", seed=7, folder="study", ranges=RANGES, objective_type="Maximize", writable=True):
        (tmp_path / folder).mkdir(exist_ok=True)
        spec = TuningSpec(
            "streets", TRAINING, ranges, strategy=strategy, random_seed=seed, objective_type=objective_type
        )
        return Study(tmp_path / folder, spec, writable=writable)

    return study


def run(study, count, objective=lambda values: 0.5):
    """Trials that complete at once; returns their values."""
    tried = []
    for _ in range(count):
        trial = study.propose()
        study.start(trial, f"job-{trial.number}")
        study.end(trial.number, "Completed", objective(trial.values))
        tried.append(trial.values)
    return tried


def in_range(name, value):
    parameter = RANGES[name]
    if isinstance(parameter, CategoricalParameter):
        return value in parameter.values
    whole = not isinstance(parameter, IntegerParameter) or str(int(value)) == value
    return whole and parameter.min_value <= float(value) <= parameter.max_value


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_what_is_proposed_lies_in_the_ranges_and_follows_from_the_seed(study, strategy):
    found = run(study(strategy), RANDOM_TRIALS + 3)
    assert all(in_range(name, value) for values in found for name, value in values.items())
    assert all(set(values) == set(RANGES) for values in found)
    assert found == run(study(strategy, folder="again"), RANDOM_TRIALS + 3)
    assert len({tuple(sorted(values.items())) for values in found}) == len(found)
    assert found[0] != run(study(strategy, seed=8, folder="other"), 1)[0]


def test_random_values_follow_from_the_number_alone(study):
    one = run(study(), 6)
    first = study(folder="again")
    run(first, 2, lambda values: 0.9)
    other = study(folder="again")
    first.propose(), first.propose()
    assert run(other, 2) == one[4:]


@pytest.mark.parametrize("name", ["learning_rate", "momentum", "weight_decay", "mini_batch_size"])
def test_values_are_spread_over_the_scale(study, name):
    """Half of them on each side of the middle: of the exponents, of those of 1 - x, or of the range."""
    middle = {"learning_rate": 0.0031623, "momentum": 0.99, "weight_decay": 0.375, "mini_batch_size": 11}[name]
    values = [float(values[name]) for values in run(study(ranges={name: RANGES[name]}), 100)]
    assert 35 < sum(value < middle for value in values) < 65


def test_tpe_goes_where_the_results_are_good(study):
    """Not a claim about TPE: only that the objective and its direction reach it."""
    counts = {}
    for direction in ("Maximize", "Minimize"):
        mine = study("Bayesian", folder=direction, objective_type=direction)
        run(mine, 30, lambda values: float(values["optimizer"] == "nag") - 1e-3 * float(values["learning_rate"]))
        counts[direction] = sum(values["optimizer"] == "nag" for values in run(mine, 20))
    assert counts["Maximize"] > counts["Minimize"]


def test_tpe_takes_trials_that_run_have_failed_or_were_interrupted(study):
    mine = study("Bayesian")
    run(mine, RANDOM_TRIALS + 1)
    for status, objective in (("Failed", None), ("Interrupted", 0.3), ("InProgress", None)):
        trial = mine.propose()
        mine.start(trial, "job")
        if status != "InProgress":
            mine.end(trial.number, status, objective)
    assert all(in_range(name, value) for name, value in mine.propose().values.items())


def test_a_grid_has_each_point_once(study):
    ranges = {"optimizer": CategoricalParameter(["x", "y"]), "mini_batch_size": CategoricalParameter([4, 8, 16])}
    assert grid_size(ranges) == 6
    points = run(study("Grid", ranges=ranges), 4)
    points += run(study("Grid", ranges=ranges), 2)  # continued by another process
    assert {(point["optimizer"], point["mini_batch_size"]) for point in points} == {
        (name, size) for name in ("x", "y") for size in ("4", "8", "16")
    }
    assert points == run(study("Grid", ranges=ranges, folder="again"), 6)


def test_a_range_of_one_value(study):
    ranges = {"learning_rate": ContinuousParameter(0.01, 0.01), "mini_batch_size": IntegerParameter(5, 5)}
    assert run(study(ranges=ranges), 1) == [{"learning_rate": "0.01", "mini_batch_size": "5"}]


# ---- records


def recorded(study):
    """Four trials: completed, failed, interrupted and running."""
    for number, (status, objective) in enumerate(
        [("Completed", 0.5), ("Failed", None), ("Interrupted", 0.75), (None, None)], 1
    ):
        study.start(study.propose(), f"streets-00{number}")
        if status:
            study.end(number, status, objective, "it broke\nbadly" if status == "Failed" else "")
    return study.trials()


def test_what_was_recorded_is_read_again(study):
    assert study(writable=False).trials() == []
    trials = recorded(study())
    assert [(trial.status, trial.finished) for trial in trials] == [
        ("Completed", True), ("Failed", True), ("Interrupted", False), ("InProgress", False),
    ]  # fmt: skip
    assert [trial.number for trial in trials] == [1, 2, 3, 4]
    assert (trials[0].objective, trials[1].failure, trials[3].job) == (0.5, "it broke\nbadly", "streets-004")
    assert study(writable=False).trials() == study().trials() == trials


def test_an_interrupted_trial_is_tried_again_with_its_number_and_values(study):
    trials = recorded(study())
    again = study()
    again.start(trials[2], "streets-003-again")
    assert (again.trials()[2].status, again.trials()[2].objective) == ("InProgress", None)
    ended = again.end(3, "Completed", 0.25)
    assert (ended.number, ended.values, ended.job, ended.finished) == (3, trials[2].values, "streets-003-again", True)


def test_of_equal_objectives_the_first_is_best(study):
    for direction, best in (("Maximize", 2), ("Minimize", 1)):
        mine = study(folder=direction, objective_type=direction)
        assert mine.best() is None
        for number, objective in enumerate((0.5, 0.75, 0.75, None), 1):
            mine.start(mine.propose(), "job")
            mine.end(number, "Completed", objective)
        assert mine.best().number == best


def test_forgotten_trials_are_proposed_again(study):
    mine = study()
    first = run(mine, 2)
    mine.restart()
    assert mine.trials() == []
    assert run(mine, 2) == first


def test_a_line_that_was_cut_short_costs_itself_alone(study, tmp_path):
    trials = recorded(study())
    journal = tmp_path / "study" / NAME
    data = journal.read_bytes()
    ends = [at + 1 for at, byte in enumerate(data) if byte == 10]
    for cut in sorted({cut for end in ends for cut in (end, end - 1, end - 9, end + 5) if 0 < cut < len(data)}):
        journal.write_bytes(data[:cut])
        before = study(writable=False).trials()
        assert len(before) <= len(trials)
        continued = study()
        assert len(continued.trials()) == len(before)
        continued.start(continued.propose(), "new")
        assert study(writable=False).trials()[-1].job == "new"


@pytest.mark.parametrize(
    "line", [b"null", b"[]", b"{}", b"[" * 5000, b"{", b"\xff", b'{"op_code": 4}', b'{"op_code": 99}']
)
def test_a_damaged_journal_is_named(study, tmp_path, line):
    recorded(study())
    journal = tmp_path / "study" / NAME
    journal.write_bytes(line + b"\n" + journal.read_bytes())
    with pytest.raises(UserError, match=r"study\.jsonl is damaged"):
        study().trials()
