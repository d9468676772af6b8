"""A tuning job followed to its end."""

import boto3
import pytest

from sagemaker_semseg import ContinuousParameter, SemSegEstimator, Tuner
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.remote import RemoteBackend
from sagemaker_semseg.sdk.remote.clients import Account
from sagemaker_semseg.sdk.remote.tuning import RemoteTuning
from sagemaker_semseg.sdk.requests.from_describe import tuning_spec
from sagemaker_semseg.sdk.specs import JobFailed
from tests.sdk.remote.life import NAMES, make_role
from tests.sdk.service_model import check


def described(status, **more):
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
    stub("sagemaker").add_response("describe_hyper_parameter_tuning_job", described("InProgress"))
    return backend.tuning_job("tuning")


def test_a_tuning_that_ends_well(tuning, stub, capsys):
    sagemaker = stub("sagemaker")
    for status, counts in (("InProgress", {"InProgress": 2}), ("Completed", {"Completed": 2})):
        answer = described(status, TrainingJobStatusCounters=counts, BestTrainingJob=summary("tuning-2"))
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
    answer = described("Failed", FailureReason="all training jobs failed")
    stub("sagemaker").add_response("describe_hyper_parameter_tuning_job", answer)
    with pytest.raises(JobFailed, match="all training jobs failed"):
        tuning.wait()


def test_a_tuning_that_is_stopped(tuning, stub):
    stub("sagemaker").add_response("describe_hyper_parameter_tuning_job", described("InProgress"))
    stub("sagemaker").add_response("stop_hyper_parameter_tuning_job", {}, {"HyperParameterTuningJobName": "tuning"})
    tuning.stop()


RANGES = {
    "CategoricalParameterRanges": [{"Name": "optimizer", "Values": ["sgd", "adam"]}],
    "IntegerParameterRanges": [{"Name": "mini_batch_size", "MinValue": "4", "MaxValue": "32", "ScalingType": "Auto"}],
    "ContinuousParameterRanges": [
        {"Name": "learning_rate", "MinValue": "0.001", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
    ],
}


def test_a_tuner_starts_one_and_another_finds_it(moto_cloud, monkeypatch):
    role = make_role()
    estimator = SemSegEstimator(
        "image:1", role, 1, "ml.g5.xlarge", output_path="s3://images/out", num_classes=21, epochs=3,
        tags=[{"Key": "team", "Value": "streets"}],
    )  # fmt: skip
    boto3.client("s3").create_bucket(Bucket="images", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    ranges = {"learning_rate": ContinuousParameter(1e-3, 1e-1, "Logarithmic"), "optimizer": ["sgd", "adam"]}
    tuner = Tuner(estimator, "validation:mIOU", {**ranges, "mini_batch_size": (4, 32)}, max_jobs=8, max_parallel_jobs=2,
                  tags={"cost": "low"}, random_seed=3)  # fmt: skip
    sent = []
    call = Account.call_once

    def call_once(self, service, method, where, **request):
        if method.startswith("create_hyper_parameter"):
            return sent.append(request)
        return call(self, service, method, where, **request)

    monkeypatch.setattr(Account, "call_once", call_once)
    tuner.fit({name: f"s3://images/{name}" for name in NAMES}, job_name="streets", wait=False)
    check("CreateHyperParameterTuningJob", sent[0])
    config = sent[0]["HyperParameterTuningJobConfig"]
    assert config["ParameterRanges"] == RANGES
    assert config["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 2}
    assert sent[0]["TrainingJobDefinition"]["StaticHyperParameters"] == {"num_classes": "21", "epochs": "3"}
    assert sent[0]["Tags"] == [{"Key": "cost", "Value": "low"}, {"Key": "team", "Value": "streets"}]

    answer = {**described("Completed"), **sent[0], "BestTrainingJob": summary("streets-2")}
    found = RemoteTuning(RemoteBackend().account, "streets")
    monkeypatch.setattr(found, "describe", lambda: answer)
    monkeypatch.setattr(
        found, "training_jobs", lambda: [summary("streets-1"), {**summary("streets-2"), **objective(0.5)}]
    )
    monkeypatch.setattr("sagemaker_semseg.sdk.tuner.find_tuning_job", lambda name, session: found)
    attached = Tuner.attach("streets")
    assert attached.ranges == tuner.ranges
    assert attached.estimator.hyperparameters() == {"num_classes": "21", "epochs": "3"}
    assert (attached.max_jobs, attached.random_seed, attached.strategy) == (8, 3, "Bayesian")
    assert attached.best_training_job() == "streets-2"
    assert str(attached.analytics()).splitlines()[1].split()[:3] == ["streets-2", "Completed", "0.5"]


def test_a_role_that_is_missing_and_a_name_that_is_too_long_come_together(cloud):
    tuner = Tuner(SemSegEstimator(instance_type="ml.g5.xlarge", num_classes=21), "validation:mIOU", None)
    with pytest.raises(UserError) as caught:
        tuner.fit({name: f"s3://images/{name}" for name in NAMES}, job_name=33 * "x")
    assert {fault.where for fault in caught.value.faults} >= {"role", "image_uri", "job_name"}


def objective(value):
    return {"FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "validation:mIOU", "Value": value}}


def test_what_v2_configures_with_objects_is_sent_as_it_makes_it(cloud):
    class Criteria:
        def to_input_req(self):
            return {"TargetObjectiveMetricValue": 0.8}

    estimator = SemSegEstimator(instance_type="ml.g5.xlarge", num_classes=21)
    tuner = Tuner(estimator, "validation:mIOU", None, completion_criteria_config=Criteria())
    assert tuner.completion_criteria_config == {"TargetObjectiveMetricValue": 0.8}


def test_one_of_several_algorithms_has_no_estimator():
    with pytest.raises(UserError, match="one of several algorithms"):
        tuning_spec({**described("Completed"), "TrainingJobDefinitions": []})
