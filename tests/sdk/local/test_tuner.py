"""A tuning on this machine with trainings that cost nothing: its whole life, interruptions, failures, v2's names."""

import json
import sys
from pathlib import Path

import pytest

from sagemaker_semseg import ContinuousParameter, SemSegEstimator, Tuner
from sagemaker_semseg.cli import main
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.local import LocalBackend

FAKE_TRIAL = Path(__file__).with_name("fake_trial.py")
ROOT = Path(__file__).resolve().parents[3]
RATE = {"learning_rate": ContinuousParameter(1e-4, 1e-1)}


@pytest.fixture
def trial_backend(monkeypatch):
    backend = LocalBackend([sys.executable, str(FAKE_TRIAL)])
    monkeypatch.setattr(backends, "_local", lambda: backend)
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


def study(state, name="streets"):
    return [json.loads(line) for line in (state / "tuning" / name / "study.jsonl").read_text().splitlines()]


def test_the_whole_life(tuner, inputs, state, tmp_path, capfd):
    tuned = tuner(max_parallel_jobs=2)
    tuned.fit(inputs, job_name="streets")
    rows = tuned.analytics().trials
    assert [row["TrainingJobStatus"] for row in rows] == 3 * ["Completed"]
    assert all(1e-4 <= row["learning_rate"] <= 1e-1 for row in rows)
    best = max(rows, key=lambda row: row["FinalObjectiveValue"])
    assert tuned.best_training_job() == best["TrainingJobName"]
    assert best["TrainingJobName"].startswith("streets-00")
    told = json.loads(
        (state / "training" / best["TrainingJobName"] / "ml/input/config/hyperparameters.json").read_text()
    )
    assert told.pop("learning_rate") == str(best["learning_rate"])
    assert told == {"num_classes": "4", "optimizer": "sgd", "_tuning_objective_metric": "validation:mIOU"}
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

    attached = Tuner.attach("streets")
    assert attached.ranges == RATE
    assert attached.best_training_job() == best["TrainingJobName"]
    assert attached.estimator.hyperparameters() == {"num_classes": "4", "optimizer": "sgd"}

    # once more: nothing is left to be done; with more jobs there is, and the first ones aren't done again
    tuner().fit(inputs, job_name="streets")
    assert len(study(state)) == 6
    tuner(max_jobs=4).fit(inputs, job_name="streets")
    assert [line["trial"] for line in study(state)[6:]] == [4, 4]
