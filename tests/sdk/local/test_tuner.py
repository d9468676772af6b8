"""A tuning on this machine with trainings that cost nothing: its whole life, interruptions, failures, v2's names."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

import sagemaker_semseg
from sagemaker_semseg import CategoricalParameter, ContinuousParameter, SemSegEstimator, Tuner
from sagemaker_semseg.cli import main
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.local import LocalBackend
from sagemaker_semseg.sdk.local.job_store import JobStore
from sagemaker_semseg.sdk.local.study import Study
from sagemaker_semseg.sdk.local.tuning import spec_of
from sagemaker_semseg.sdk.specs import JobFailed
from tests.sdk.local.conftest import eventually

FAKE_TRIAL = Path(__file__).with_name("fake_trial.py")
ROOT = Path(__file__).resolve().parents[3]
RATE = {"learning_rate": ContinuousParameter(1e-4, 1e-1)}


@pytest.fixture
def trial_backend(monkeypatch):
    backend = LocalBackend([sys.executable, str(FAKE_TRIAL)])
    monkeypatch.setattr(backends, "local_backend", lambda: backend)
    return backend


@pytest.fixture
def estimator(trial_backend, tmp_path):
    return SemSegEstimator(
        instance_count=1, instance_type="local", output_path=str(tmp_path / "out"), num_classes=4, optimizer="sgd"
    )


@pytest.fixture
def tuner(estimator):
    def tuner(ranges=None, **more):
        given = {"strategy": "Random", "random_seed": 1, "max_jobs": 3, **more}
        return Tuner(estimator, "validation:mIOU", ranges or RATE, **given)

    return tuner


def trials(name="streets"):
    """What the tuning has tried, as far as it is recorded."""
    store = JobStore("tuning")
    return Study(store.folder(name), spec_of(store.get(name))).trials()


def test_the_whole_life(tuner, inputs, state, tmp_path, capfd):
    tuned = tuner(max_parallel_jobs=2)
    tuned.fit(inputs, job_name="streets")
    rows = tuned.analytics().trials
    assert [row["TrainingJobStatus"] for row in rows] == 3 * ["Completed"]
    assert all(1e-4 <= row["learning_rate"] <= 1e-1 for row in rows)
    best = max(rows, key=lambda row: row["FinalObjectiveValue"])
    assert tuned.best_training_job() == best["TrainingJobName"]
    assert best["TrainingJobName"].startswith("streets-00")
    described = json.loads(
        (state / "training" / best["TrainingJobName"] / "ml/input/config/hyperparameters.json").read_text()
    )
    assert described.pop("learning_rate") == str(best["learning_rate"])
    assert described == {"num_classes": "4", "optimizer": "sgd", "_tuning_objective_metric": "validation:mIOU"}
    found = tuned.best_estimator()
    assert found.model_data == str(tmp_path / "out" / best["TrainingJobName"] / "output/model.tar.gz")
    # the best epoch's, which isn't the last one
    assert found.training_job_analytics.best()["validation:mIOU"] == best["FinalObjectiveValue"]
    described = tuned.describe()
    assert described["HyperParameterTuningJobStatus"] == "Completed"
    assert described["BestTrainingJob"]["TrainingJobName"] == best["TrainingJobName"]
    assert described["TrainingJobStatusCounters"] == {"Completed": 3}
    out = capfd.readouterr().out
    assert f"the best: {best['TrainingJobName']} with validation:mIOU={best['FinalObjectiveValue']:g}" in out
    assert str(tuned.analytics()).splitlines()[1].split()[0] == best["TrainingJobName"]

    assert main(["jobs", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert sorted(job["kind"] for job in listed) == [*3 * ["training job"], "tuning job"]
    assert next(job for job in listed if job["kind"] == "tuning job")["output"] == found.model_data

    assert main(["jobs", "show", "streets"]) == 0
    assert f"output      {found.model_data}" in capfd.readouterr().out

    attached = Tuner.attach("streets")
    assert attached.ranges == RATE
    assert attached.best_training_job() == best["TrainingJobName"]
    assert attached.estimator.hyperparameters() == {"num_classes": "4", "optimizer": "sgd"}

    # once more: nothing is left to be done; with more jobs there is, and the first ones aren't done again
    first = trials()
    tuner().fit(inputs, job_name="streets")
    assert trials() == first
    tuner(max_jobs=4).fit(inputs, job_name="streets")
    assert trials()[:3] == first
    assert (len(trials()), trials()[3].status) == (4, "Completed")


def running(state):
    """The trainings of a tuning that run, by their records."""
    return [record for record in JobStore("training").all() if record.status not in ("Completed", "Failed", "Stopped")]


def test_killed_and_started_again_it_goes_on_and_repeats_nothing(tuner, inputs, state):
    ranges = {**RATE, "optimizer": CategoricalParameter(["sgd", "rmsprop"])}  # rmsprop waits for the file ``go``
    tuned = tuner(ranges, max_jobs=4)
    tuned.fit(inputs, job_name="streets", wait=False)
    eventually(lambda: len(running(state)) == 1 and trials()[-1].values["optimizer"] == "rmsprop")
    store = JobStore("tuning")
    for pid in (store.get("streets").process.pid, store.get("streets").more["job"]["pid"]):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not running(state))  # trainings without a tuner don't continue
    eventually(lambda: tuned.describe()["HyperParameterTuningJobStatus"] == "Failed")
    *done, interrupted = trials()
    assert done, "the first trial has to be sgd, a later one rmsprop: choose another seed"
    assert all(trial.finished for trial in done)
    assert not interrupted.finished
    (state / "go").touch()
    tuner(ranges, max_jobs=4).fit(inputs, job_name="streets")
    assert trials()[: len(done)] == done
    again = trials()[len(done)]
    assert again.values == interrupted.values
    assert again.job != interrupted.job
    assert [row["TrainingJobStatus"] for row in tuned.analytics().trials] == 4 * ["Completed"]


def tuning_process(inputs, optimizer):
    """Another process that waits for a tuning of three trainings, two at a time."""
    program = f"""
        import sys
        from sagemaker_semseg import SemSegEstimator, Tuner
        from sagemaker_semseg.sdk import backends
        from sagemaker_semseg.sdk.local import LocalBackend
        backends.local_backend = lambda: LocalBackend([sys.executable, {str(FAKE_TRIAL)!r}])
        estimator = SemSegEstimator(instance_type="local", num_classes=4, optimizer={optimizer!r})
        tuner = Tuner(estimator, "validation:mIOU", {{"learning_rate": None}}, strategy="Random", max_jobs=3,
                      max_parallel_jobs=2)
        try:
            tuner.fit({inputs!r}, job_name="streets")
        except KeyboardInterrupt:
            print("interrupted", tuner.best_training_job(), tuner.best_estimator().model_data, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def two_run(state):
    logs = list((state / "training").glob("*/log"))
    return len(logs) == 2 and all("epoch=2" in log.read_text() for log in logs)


def test_ctrl_c_stops_what_runs_and_keeps_the_results(inputs, state):
    process = tuning_process(inputs, "rmsprop")
    eventually(lambda: two_run(state))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert b"stopping streets" in err
    last = out.decode().splitlines()[-1].split()
    assert last[0] == "interrupted"
    assert Path(last[2]).is_file()
    assert not running(state)
    assert [(trial.status, trial.finished) for trial in trials()] == 2 * [("Interrupted", False)]
    assert JobStore("tuning").get("streets").status == "Stopped"


def test_ctrl_c_once_more_ends_it_at_once(inputs, state):
    process = tuning_process(inputs, "nag")
    eventually(lambda: two_run(state))
    process.send_signal(signal.SIGINT)
    eventually(lambda: JobStore("tuning").get("streets").status == "Stopping")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    eventually(lambda: not running(state))
    assert JobStore("tuning").get("streets").status == "Stopped"


def test_when_whoever_waits_for_it_is_killed_nothing_of_it_goes_on(inputs, state):
    process = tuning_process(inputs, "rmsprop")
    eventually(lambda: two_run(state))
    process.kill()
    process.communicate()
    eventually(lambda: not running(state) and JobStore("tuning").get("streets").status == "Stopped")


def test_a_tuning_ends_when_its_time_is_over(tuner, inputs, estimator):
    estimator.set_hyperparameters(optimizer="rmsprop")
    tuned = tuner(max_runtime_in_seconds=1)
    tuned.fit(inputs, job_name="streets")
    described = tuned.describe()
    assert described["HyperParameterTuningJobStatus"] == "Stopped"
    assert "MaxRuntimeExceeded" in described["FailureReason"]


def test_one_that_has_failed_says_why_and_can_be_stopped_no_more(tuner, inputs, estimator):
    estimator.set_hyperparameters(optimizer="adagrad")
    tuned = tuner(max_jobs=2)
    with pytest.raises(
        JobFailed, match=r"(?s)streets has failed: ClientError: No training job.*adagrad is out of order"
    ):
        tuned.fit(inputs, job_name="streets")
    tuned.stop_tuning_job()
    with pytest.raises(UserError, match="No training of streets has come to a validation:mIOU"):
        tuned.best_training_job()


def test_after_all_have_failed_the_name_may_be_used_with_other_settings(tuner, inputs, estimator):
    """... as the message and docs/tuning.md say."""
    estimator.set_hyperparameters(optimizer="adagrad")
    with pytest.raises(JobFailed):
        tuner(max_jobs=1).fit(inputs, job_name="streets")
    estimator.set_hyperparameters(optimizer="sgd")
    tuned = tuner(max_jobs=1)
    tuned.fit(inputs, job_name="streets")
    assert tuned.latest_tuning_job.job_name == "streets"
    assert tuned.best_training_job().startswith("streets-001-")


def test_what_runs_can_t_be_started_again_and_what_differs_can_t_go_on(tuner, inputs, state, estimator):
    estimator.set_hyperparameters(optimizer="rmsprop")
    tuned = tuner(max_jobs=1)
    tuned.fit(inputs, job_name="streets", wait=False)
    with pytest.raises(UserError, match=r"streets: is running \(Tuner.attach\('streets'\) finds it\)"):
        tuner().fit(inputs, job_name="streets")
    eventually(lambda: running(state))
    tuned.stop_tuning_job()
    tuned.wait()
    estimator.set_hyperparameters(optimizer="sgd")
    with pytest.raises(UserError) as caught:
        tuner({"learning_rate": (1e-3, 1e-2)}, random_seed=2).fit(inputs, job_name="streets")
    assert {fault.where for fault in caught.value.faults} == {"ranges", "random_seed", "hyperparameters"}
    assert JobStore("tuning").get("streets").status == "Stopped"


def test_secrets_reach_the_trainings_and_are_written_nowhere(inputs, state, monkeypatch):
    backend = LocalBackend([sys.executable, "-c", "import os, sys; print('mIOU=' + os.environ['SECRET'][-1])"])
    monkeypatch.setattr(backends, "local_backend", lambda: backend)
    estimator = SemSegEstimator(instance_type="local", num_classes=4, environment={"SECRET": "the secret 1"})
    definitions = [{"Name": "mine", "Regex": "mIOU=(.*)"}]
    tuned = Tuner(estimator, "mine", RATE, definitions, strategy="Random")
    tuned.fit(inputs, job_name="streets")
    assert tuned.analytics().trials[0]["FinalObjectiveValue"] == 1
    written = [path for path in state.rglob("*") if path.is_file() and b"the secret" in path.read_bytes()]
    assert written == []


def test_everything_that_is_wrong_with_a_tuner_comes_at_once(estimator):
    with pytest.raises(UserError) as caught:
        Tuner(
            estimator,
            "validation:miou",
            {"learning_rat": (0.1, 0.2), "epochs": (1, 2), "momentum": (0.5, 0.95)},
            strategy="Guess",
            objective_type="Best",
            max_jobs=0,
            max_parallel_jobs=True,
            early_stopping_type="On",
            estimator_name="one",
            hyperparameters_to_keep_static=["momentum"],
        )
    found = {fault.where: str(fault) for fault in caught.value.faults}
    assert set(found) == {
        "learning_rat", "epochs", "momentum", "hyperparameters_to_keep_static", "estimator_name",
        "objective_metric_name", "strategy", "objective_type", "early_stopping_type", "max_jobs", "max_parallel_jobs",
    }  # fmt: skip
    assert "did you mean learning_rate?" in found["learning_rat"]
    assert "did you mean validation:mIOU?" in found["objective_metric_name"]
    assert "0.9 to 0.999" in found["momentum"]


def test_everything_that_keeps_a_tuning_from_starting_comes_at_once(tuner, estimator, state, monkeypatch):
    estimator.set_hyperparameters(epochs=0)
    with pytest.raises(UserError) as caught:
        tuner(
            strategy="Hyperband", warm_start_config={"WarmStartType": "TransferLearning"},
            strategy_config={"HyperbandStrategyConfig": {}}, completion_criteria_config={"ConvergenceDetected": {}},
        ).fit({"train": "/nowhere"}, job_name="a b", experiment_config={"a": "b"})  # fmt: skip
    found = {fault.where for fault in caught.value.faults}
    assert found >= {
        "epochs", "train", "train_annotation", "strategy", "warm_start_config",
        "strategy_config", "completion_criteria_config", "experiment_config", "name",
    }  # fmt: skip
    assert not (state / "tuning").exists()


def test_a_grid_of_a_range_and_tuning_without_optuna(tuner, inputs, monkeypatch):
    with pytest.raises(UserError, match=r"learning_rate: a grid has choices.*CategoricalParameter"):
        tuner(strategy="Grid").fit(inputs)
    monkeypatch.setattr("sagemaker_semseg.sdk.local.validation.find_spec", lambda name: None)
    for strategy in ("Bayesian", "Random", "Grid"):
        with pytest.raises(UserError, match=r"tuning needs optuna \(pip install 'sagemaker-semseg\[tune\]'\)"):
            tuner(strategy=strategy).fit(inputs)


def test_names_are_v2s_with_seconds(tuner, inputs, monkeypatch):
    def name_of(tuned):
        monkeypatch.setattr(LocalBackend, "tune", lambda self, spec, attached: SimpleNamespace(name=spec.name))
        tuned.fit(inputs, wait=False)
        return tuned.latest_tuning_job.name

    assert name_of(tuner(base_tuning_job_name=50 * "x")).startswith(18 * "x" + "-2")
    assert len(name_of(tuner(base_tuning_job_name=50 * "x"))) == 32
    assert name_of(tuner()).startswith("semseg-tuning-2")


def test_one_that_nobody_knows_or_nothing_was_tuned(tuner, monkeypatch):
    monkeypatch.setattr(backends, "remote_backend", lambda session: backends.local_backend())
    with pytest.raises(UserError, match="knows no tuning job called nothing"):
        Tuner.attach("nothing")
    with pytest.raises(UserError, match="call fit, or attach"):
        tuner().analytics()


def test_v2s_names_are_there():
    assert sagemaker_semseg.tuner.HyperparameterTuner is Tuner
    assert sagemaker_semseg.tuner.ContinuousParameter is ContinuousParameter


def test_the_tuner_of_the_page_can_be_made():
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tuning.md").read_text(), re.DOTALL)
    names = {}
    exec(block.partition("tuner.fit(")[0], names)
    assert set(names["tuner"].ranges) == {"learning_rate", "optimizer"}
    called = re.findall(r"^(?:\w+ = )?tuner\.(\w+)\(", block, re.MULTILINE)
    assert called == ["fit", "analytics", "best_training_job", "best_estimator", "deploy"]
    assert all(callable(getattr(names["tuner"], name)) for name in called)
