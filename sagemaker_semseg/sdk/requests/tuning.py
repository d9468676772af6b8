"""Builds the request CreateHyperParameterTuningJob."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.errors import Fault
from sagemaker_semseg.hyperparameters import TABLE
from sagemaker_semseg.sdk.requests.shared_fields import (
    TUNING_NAME_LENGTH,
    Request,
    Tags,
    check_name,
    given,
    refuse,
    tag_list,
)

STRATEGIES = ("Bayesian", "Random", "Hyperband", "Grid")
# what a training job of a tuning job has no member for
_NOT_IN_A_DEFINITION = ("TrainingJobName", "HyperParameters", "Tags", "ExperimentConfig")


def tuning_job(
    name: str,
    *,
    training: Request,
    hyperparameter_ranges: Mapping[str, object],
    objective_metric_name: str = "validation:mIOU",
    objective_type: str = "Maximize",
    strategy: str = "Bayesian",
    max_jobs: int | None = 1,
    max_parallel_jobs: int = 1,
    max_runtime_in_seconds: int | None = None,
    early_stopping_type: str = "Off",
    random_seed: int | None = None,
    strategy_config: Mapping[str, Any] | None = None,
    completion_criteria_config: Mapping[str, Any] | None = None,
    warm_start_config: Mapping[str, Any] | None = None,
    tags: Tags | None = None,
) -> Request:
    """Return the request CreateHyperParameterTuningJob.

    training: the request that ``training_job`` built. hyperparameter_ranges: for each name one of AWS's
    ``ContinuousParameter``, ``IntegerParameter``, ``CategoricalParameter``, or a pair (lowest, highest), or a list of
    choices; these names are left out of the static hyperparameters. Raises ``UserError`` with every fault.
    """
    faults = check_name("job_name", name, TUNING_NAME_LENGTH)
    if strategy not in STRATEGIES:
        faults.append(Fault("strategy", f"{strategy!r} came, one of {', '.join(STRATEGIES)} is expected"))
    if objective_type not in ("Maximize", "Minimize"):
        faults.append(Fault("objective_type", f"{objective_type!r} came, Maximize or Minimize is expected"))
    algorithm = training["AlgorithmSpecification"]
    metrics = [metric["Name"] for metric in algorithm["MetricDefinitions"]]
    if objective_metric_name not in metrics:
        remedy = "one of " + ", ".join(metrics) + ", or give its metric_definitions"
        faults.append(Fault("objective_metric_name", f"no metric {objective_metric_name!r}", remedy))
    ranges = parameter_ranges(hyperparameter_ranges, faults)
    refuse(faults)
    static = {key: value for key, value in training["HyperParameters"].items() if key not in hyperparameter_ranges}
    definition = {key: value for key, value in training.items() if key not in _NOT_IN_A_DEFINITION}
    definition["AlgorithmSpecification"] = {
        key: value for key, value in algorithm.items() if key != "EnableSageMakerMetricsTimeSeries"
    }
    limits = given(
        MaxNumberOfTrainingJobs=max_jobs,
        MaxParallelTrainingJobs=max_parallel_jobs,
        MaxRuntimeInSeconds=max_runtime_in_seconds,
    )
    return given(
        HyperParameterTuningJobName=name,
        HyperParameterTuningJobConfig=given(
            Strategy=strategy,
            StrategyConfig=dict(strategy_config) if strategy_config else None,
            HyperParameterTuningJobObjective={"Type": objective_type, "MetricName": objective_metric_name},
            ResourceLimits=limits,
            ParameterRanges=ranges,
            TrainingJobEarlyStoppingType=early_stopping_type,
            TuningJobCompletionCriteria=dict(completion_criteria_config) if completion_criteria_config else None,
            RandomSeed=random_seed,
        ),
        TrainingJobDefinition={"StaticHyperParameters": static, **definition},
        WarmStartConfig=dict(warm_start_config) if warm_start_config else None,
        Tags=tag_list(tags),
    )


def parameter_ranges(given_ranges: Mapping[str, object], faults: list[Fault]) -> Request:
    """Return ``ParameterRanges``. faults: gets what is wrong with them."""
    kinds = {row.name: row.kind for row in TABLE}
    ranges: Request = {}
    for name, searched in given_ranges.items():
        if name not in kinds:
            faults.append(Fault(name, "there is no such hyperparameter", "see docs/hyperparameters.md"))
            continue
        values = getattr(searched, "values", searched if isinstance(searched, list) else None)
        if values is not None and not callable(values):
            entry = {"Name": name, "Values": [str(value) for value in values]}
            ranges.setdefault("CategoricalParameterRanges", []).append(entry)
            continue
        low, high = _ends(searched)
        if low is None or high is None or low > high:
            faults.append(Fault(name, "is no range", "give (lowest, highest), a list of choices, or AWS's objects"))
            continue
        whole = kinds[name] == "integer"
        scale = getattr(searched, "scaling_type", "Auto")
        entry = {"Name": name, "MinValue": str(low), "MaxValue": str(high), "ScalingType": scale}
        ranges.setdefault("IntegerParameterRanges" if whole else "ContinuousParameterRanges", []).append(entry)
    if not given_ranges:
        faults.append(Fault("hyperparameter_ranges", "is empty", "name what shall be searched"))
    return ranges


def _ends(searched: object) -> tuple[Any, Any]:
    if isinstance(searched, tuple) and len(searched) == 2:
        return searched
    return getattr(searched, "min_value", None), getattr(searched, "max_value", None)
