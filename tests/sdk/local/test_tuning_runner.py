"""The loop of a tuning, with trainings that are made up: how many run at a time, which come next, what stops it."""

import math
import threading
from types import SimpleNamespace

import pytest

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk.local import tuning_runner
from sagemaker_semseg.sdk.local.job_store import JobRecord, JobStore, now
from sagemaker_semseg.sdk.local.study import Study
from sagemaker_semseg.sdk.local.tuning_runner import TuningRunner
from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter
from sagemaker_semseg.sdk.specs import TrainingSpec, TuningSpec

RATE = {"learning_rate": ContinuousParameter(1e-4, 1e-1)}
TRAINING = TrainingSpec("streets", {"num_classes": "4"}, (), "local", metric_definitions=METRIC_DEFINITIONS)


def worth(spec):
    """Best for a rate of 0.01."""
    return 0.9 - 0.1 * abs(math.log10(float(spec.hyperparameters["learning_rate"])) + 2)


class FakeJob:
    """A job that has ended after some polls."""

    def __init__(self, spec, polls, status, miou):
        self.name, self.polls, self.status, self.miou = spec.name, polls, status, miou
        self.stopped = False

    def state(self):
        self.polls -= 1
        status = "Stopped" if self.stopped else self.status if self.polls <= 0 else "InProgress"
        return SimpleNamespace(status=status, failure="it broke" if status == "Failed" else "")

    def logs(self, *, follow):
        return iter(() if self.miou is None else [f"epoch=0, validation mIOU <score>={self.miou}"])

    def stop(self):
        self.stopped = True

    def release(self):
        pass


class FakeBackend:
    """specs: of what was started. most: how many ran at a time. do: makes polls, status and mIOU of a specification."""

    def __init__(self, do=lambda spec: (1, "Completed", worth(spec))):
        self.specs, self.jobs, self.most, self.do = [], [], 0, do

    def train(self, spec, *, attached):
        assert attached
        self.specs.append(spec)
        self.jobs.append(FakeJob(spec, *self.do(spec)))
        running = sum(job.polls > 0 and not job.stopped for job in self.jobs)
        self.most = max(self.most, running)
        return self.jobs[-1]

    @property
    def rates(self):
        return [spec.hyperparameters["learning_rate"] for spec in self.specs]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(tuning_runner.time, "sleep", lambda seconds: None)


@pytest.fixture
def tune(tmp_path):
    """Run a tuning; the study's folder stays."""

    def tune(backend, ranges=RATE, prepare=lambda stop: None, **more):
        given = {"strategy": "Random", "random_seed": 1, "max_jobs": 6, **more}
        (tmp_path / "study").mkdir(exist_ok=True)
        spec = TuningSpec("streets", TRAINING, ranges, **given)
        study, stop = Study(tmp_path / "study", spec, writable=True), threading.Event()
        prepare(stop)
        TuningRunner(spec, study, backend, stop).run()
        return study

    return tune


@pytest.mark.parametrize("most", [1, 2, 4])
def test_not_more_run_at_a_time_than_are_allowed(tune, most):
    backend = FakeBackend(lambda spec: (3, "Completed", worth(spec)))
    study = tune(backend, max_parallel_jobs=most, max_jobs=9)
    assert backend.most == most
    assert [trial.number for trial in study.trials()] == list(range(1, 10))
    assert all(trial.status == "Completed" for trial in study.trials())


def test_the_best_is_the_one_with_the_best_objective(tune):
    backend = FakeBackend()
    study = tune(backend)
    rate = min(backend.rates, key=lambda rate: abs(math.log10(float(rate)) + 2))
    assert study.best().values["learning_rate"] == rate


def test_a_loss_is_minimized_over_the_epochs_too(tune, monkeypatch):
    backend = FakeBackend()
    lines = ["epoch=0, train loss <loss>=2.5", "epoch=1, train loss <loss>=0.5", "epoch=2, train loss <loss>=nan"]
    monkeypatch.setattr(FakeJob, "logs", lambda self, *, follow: iter(lines))
    study = tune(backend, objective_metric_name="train:loss", objective_type="Minimize", max_jobs=1)
    assert study.trials()[0].objective == 0.5


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_the_same_seed_tries_the_same_and_another_one_something_else(tune, tmp_path, strategy):
    tried = []
    for seed in (1, 1, 2):
        (tmp_path / "study" / "study.jsonl").unlink(missing_ok=True)
        backend = FakeBackend()
        tune(backend, strategy=strategy, random_seed=seed, max_jobs=13)
        tried.append(backend.rates)
    assert tried[0] == tried[1] != tried[2]
    assert len(set(tried[0])) == 13


def stop_after(count, backend):
    """What tells a tuning to stop when it has started so many trials."""

    def prepare(stop):
        train = backend.train

        def counted(spec, *, attached):
            job = train(spec, attached=attached)
            if len(backend.specs) >= count:
                stop.set()
            return job

        backend.train = counted

    return prepare


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_one_that_was_stopped_goes_on_as_if_it_had_not_been(tune, tmp_path, strategy):
    whole = FakeBackend()
    tune(whole, strategy=strategy, max_jobs=13)
    (tmp_path / "study" / "study.jsonl").unlink()

    def slow(spec):
        return 3, "Completed", worth(spec)

    first = FakeBackend(slow)
    study = tune(first, strategy=strategy, max_jobs=13, prepare=stop_after(12, first))
    last = study.trials()[11]
    assert (last.status, last.finished) == ("Interrupted", False)
    assert last.objective is not None  # its epochs so far count for the best
    JobStore("training").create(JobRecord(last.job, "Stopped", now()))
    second = FakeBackend()
    study = tune(second, strategy=strategy, max_jobs=13)
    assert first.rates == whole.rates[:12]
    assert second.rates == whole.rates[11:]  # the interrupted one again, and the last; none that was done
    assert all(trial.status == "Completed" for trial in study.trials())


def cut_before_end_of(number, journal):
    """As if the process had been killed over the line that says how a trial has ended."""
    lines = journal.read_text().splitlines(keepends=True)
    at = [place for place, line in enumerate(lines) if '"status"' in line][number - 1]
    journal.write_text("".join(lines[:at]) + lines[at][:25])


def test_what_had_completed_when_the_process_was_killed_is_not_done_again(tune, tmp_path):
    whole = FakeBackend()
    tune(whole, max_jobs=3)
    cut_before_end_of(2, tmp_path / "study" / "study.jsonl")
    store = JobStore("training")
    folder = store.create(JobRecord(whole.specs[1].name, "Completed", now()))
    (folder / "log").write_text("epoch=0, validation mIOU <score>=0.75\n")
    backend = FakeBackend()
    study = tune(backend, max_jobs=3)
    assert backend.rates == whole.rates[2:]
    assert (study.trials()[1].status, study.trials()[1].objective) == ("Completed", 0.75)


def test_what_had_not_is_done_again_with_the_same_values(tune, tmp_path):
    whole = FakeBackend()
    tune(whole, max_jobs=3)
    cut_before_end_of(2, tmp_path / "study" / "study.jsonl")
    JobStore("training").create(JobRecord(whole.specs[1].name, "InProgress", now()))  # and no process
    backend = FakeBackend()
    tune(backend, max_jobs=3)
    assert backend.rates == whole.rates[1:]
    assert backend.specs[0].name != whole.specs[1].name


def test_trainings_that_fail_keep_no_other_from_being_tried(tune, capsys):
    statuses = iter(["Completed", "Failed", "Failed", "Completed", "Failed", "Stopped"])
    study = tune(FakeBackend(lambda spec: (1, status := next(statuses), None if status == "Failed" else worth(spec))))
    assert [trial.status for trial in study.trials()] == [
        "Completed", "Failed", "Failed", "Completed", "Failed", "Stopped",
    ]  # fmt: skip
    assert study.trials()[5].objective is not None  # by its max_run, say
    assert "trial 2 of 6: Failed, it broke" in capsys.readouterr().out


def test_one_that_can_not_even_start_has_failed(tune):
    class Full(FakeBackend):
        def train(self, spec, *, attached):
            if len(self.specs) == 1:
                self.specs.append(spec)
                raise OSError("the disk is full")
            return super().train(spec, attached=attached)

    study = tune(Full(), max_jobs=3)
    assert [trial.status for trial in study.trials()] == ["Completed", "Failed", "Completed"]
    assert study.trials()[1].failure == "the disk is full"


@pytest.mark.parametrize(("parallel", "tried"), [(1, 3), (5, 5)])
def test_if_the_first_ones_all_fail_the_tuning_does(tune, parallel, tried):
    backend = FakeBackend(lambda spec: (1, "Failed", None))
    with pytest.raises(UserError, match="No training job has succeeded") as caught:
        tune(backend, max_jobs=20, max_parallel_jobs=parallel)
    assert [fault.what for fault in caught.value.faults] == tried * ["it broke"]
    again = FakeBackend()  # with the fault fixed
    study = tune(again, max_jobs=20)
    assert again.rates[:tried] == backend.rates
    assert len(study.trials()) == 20


def test_the_reasons_are_kept_not_the_heading_alone():
    failure = "ClientError: This training can't be started:\n- num_classes: is 5 (give 4)\n- epochs: is 0"
    assert tuning_runner.one_line(failure) == (
        "ClientError: This training can't be started: num_classes: is 5 (give 4); epochs: is 0"
    )
    assert tuning_runner.one_line("it broke\nTraceback") == "it broke"
    assert tuning_runner.one_line("") == ""
    assert len(tuning_runner.one_line("many:\n" + 5000 * "x")) == 1000


def test_a_training_without_the_metric_has_not_succeeded(tune):
    with pytest.raises(UserError, match="it has printed no validation:mIOU"):
        tune(FakeBackend(lambda spec: (1, "Completed", None)))


def test_a_stop_stops_all_that_run_and_keeps_what_is_done(tune):
    backend = FakeBackend(lambda spec: (2 if len(backend.specs) == 1 else 100, "Completed", worth(spec)))
    study = tune(backend, max_parallel_jobs=3, prepare=stop_after(4, backend))
    assert [trial.status for trial in study.trials()] == ["Completed", *3 * ["Interrupted"]]
    assert all(job.stopped for job in backend.jobs[1:])


def test_a_grid_tries_each_point_once(tune):
    ranges = {
        "optimizer": CategoricalParameter(["sgd", "adam"]),
        "mini_batch_size": CategoricalParameter([4, 8, 16]),
    }
    backend = FakeBackend(lambda spec: (1, "Completed", 0.5))
    tune(backend, ranges=ranges, strategy="Grid", max_jobs=None)
    points = [(spec.hyperparameters["optimizer"], spec.hyperparameters["mini_batch_size"]) for spec in backend.specs]
    assert sorted(points) == sorted((name, size) for name in ("sgd", "adam") for size in ("4", "8", "16"))


@pytest.mark.parametrize(
    ("criteria", "values", "tried"),
    [
        ({"TargetObjectiveMetricValue": 0.6}, [0.5, 0.6, 0.7], 2),
        ({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 2}}, [0.5, 0.6, 0.1, 0.2, 0.9], 4),
    ],
)
def test_criteria_of_completion(tune, criteria, values, tried):
    left = iter(values)
    backend = FakeBackend(lambda spec: (1, "Completed", next(left)))
    tune(backend, completion_criteria_config=criteria)
    assert len(backend.specs) == tried
