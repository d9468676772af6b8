"""CreateHyperParameterTuningJob: the whole request, and what is refused."""

from types import SimpleNamespace

import pytest

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.requests import training_job, tuning_job
from tests.sdk.service_model import check

RANGES = {
    "learning_rate": SimpleNamespace(min_value=0.0001, max_value=0.1, scaling_type="Logarithmic"),
    "mini_batch_size": (4, 32),
    "optimizer": ["sgd", "adam"],
    "momentum": (0.9, 0.999),
    "num_classes": SimpleNamespace(values=["21"]),
}


def test_a_tuning(training):
    request = tuning_job(
        "semseg-261125-1000", training=training_job(training), hyperparameter_ranges=RANGES, max_jobs=20,
        max_parallel_jobs=4, early_stopping_type="Auto", random_seed=1, max_runtime_in_seconds=9000,
        warm_start_config={
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "earlier"}],
            "WarmStartType": "TransferLearning",
        },
        tags={"team": "streets"},
    )  # fmt: skip
    check("CreateHyperParameterTuningJob", request)
    assert request["HyperParameterTuningJobConfig"] == {
        "Strategy": "Bayesian",
        "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:mIOU"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 4, "MaxRuntimeInSeconds": 9000},
        "ParameterRanges": {
            "ContinuousParameterRanges": [
                {"Name": "learning_rate", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic"},
                {"Name": "momentum", "MinValue": "0.9", "MaxValue": "0.999", "ScalingType": "Auto"},
            ],
            "IntegerParameterRanges": [
                {"Name": "mini_batch_size", "MinValue": "4", "MaxValue": "32", "ScalingType": "Auto"}
            ],
            "CategoricalParameterRanges": [
                {"Name": "optimizer", "Values": ["sgd", "adam"]},
                {"Name": "num_classes", "Values": ["21"]},
            ],
        },
        "TrainingJobEarlyStoppingType": "Auto",
        "RandomSeed": 1,
    }
    definition = request["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"] == {"use_pretrained_model": "True"}  # num_classes is searched
    job = training_job(training)
    for name in ("RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition"):
        assert definition[name] == job[name]
    assert request["Tags"] == [{"Key": "team", "Value": "streets"}]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"name": "x" * 33}, "1 to 32 letters"),
        ({"strategy": "Guess"}, "strategy: 'Guess' came, one of Bayesian, Random, Hyperband, Grid is expected"),
        ({"objective_type": "Best"}, "objective_type: 'Best' came"),
        ({"objective_metric_name": "validation:miou"}, "no metric 'validation:miou' (one of train:loss"),
        ({"hyperparameter_ranges": {}}, "hyperparameter_ranges: is empty"),
        ({"hyperparameter_ranges": {"lr": (1, 2)}}, "lr: there is no such hyperparameter"),
        ({"hyperparameter_ranges": {"momentum": (1, 0)}}, "momentum: is no range"),
        ({"hyperparameter_ranges": {"momentum": 0.5}}, "momentum: is no range"),
    ],
)
def test_what_is_refused(training, settings, expected):
    with pytest.raises(UserError) as caught:
        tuning_job(**{
            "name": "t", "training": training_job(training), "hyperparameter_ranges": RANGES, **settings,
        })  # fmt: skip
    assert expected in str(caught.value)
