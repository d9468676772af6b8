"""A tuning job followed to its end."""

import pytest

from sagemaker_semseg.sdk.session import JobFailed


def told(status, **more):
    return {
        "HyperParameterTuningJobName": "tuning", "HyperParameterTuningJobArn": "a" * 30,
        "HyperParameterTuningJobConfig": {"Strategy": "Random", "ResourceLimits": {"MaxParallelTrainingJobs": 1}},
        "HyperParameterTuningJobStatus": status, "CreationTime": 0, "ObjectiveStatusCounters": {},
        "TrainingJobStatusCounters": {}, **more,
    }  # fmt: skip


def summary(name):
    return {
        "TrainingJobName": name, "TrainingJobArn": "a" * 30, "CreationTime": 0, "TrainingJobStatus": "Completed",
        "TunedHyperParameters": {"learning_rate": "0.01"},
    }  # fmt: skip


@pytest.fixture
def tuning(backend, stub):
    stub("sagemaker").add_response("describe_hyper_parameter_tuning_job", told("InProgress"))
    return backend.tuning_job("tuning")


def test_a_tuning_that_ends_well(tuning, stub, capsys):
    sagemaker = stub("sagemaker")
    for status, counts in (("InProgress", {"InProgress": 2}), ("Completed", {"Completed": 2})):
        answer = told(status, TrainingJobStatusCounters=counts, BestTrainingJob=summary("tuning-2"))
        sagemaker.add_response("describe_hyper_parameter_tuning_job", answer)
    assert tuning.wait() == "Completed"
    assert capsys.readouterr().out.splitlines() == [
        "tuning: InProgress (InProgress: 2)",
        "tuning: Completed (Completed: 2)",
    ]
    sagemaker.add_response("describe_hyper_parameter_tuning_job", answer)
    assert tuning.best_training_job() == "tuning-2"
    pages = (
        {"TrainingJobSummaries": [summary("tuning-1")], "NextToken": "more"},
        {"TrainingJobSummaries": [summary("tuning-2")]},
    )
    for page in pages:
        sagemaker.add_response("list_training_jobs_for_hyper_parameter_tuning_job", page)
    assert [job["TrainingJobName"] for job in tuning.training_jobs()] == ["tuning-1", "tuning-2"]


def test_a_tuning_that_fails(tuning, stub):
    answer = told("Failed", FailureReason="all training jobs failed")
    stub("sagemaker").add_response("describe_hyper_parameter_tuning_job", answer)
    with pytest.raises(JobFailed, match="all training jobs failed"):
        tuning.wait()


def test_a_tuning_that_is_stopped(tuning, stub):
    stub("sagemaker").add_response("describe_hyper_parameter_tuning_job", told("InProgress"))
    stub("sagemaker").add_response("stop_hyper_parameter_tuning_job", {}, {"HyperParameterTuningJobName": "tuning"})
    tuning.stop()
