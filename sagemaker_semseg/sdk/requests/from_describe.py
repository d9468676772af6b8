"""What SageMaker tells of a job comes in, the specification that it was started with goes out: the way back from
``training`` and ``transform``. ``remote`` calls it for a job that another process has started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter, IntegerParameter, Parameter
from sagemaker_semseg.sdk.specs import Channel, ModelSpec, TrainingSpec, TransformSpec, TuningSpec

Described = Mapping[str, Any]


def training_spec(told: Described) -> TrainingSpec:
    """Of an answer of DescribeTrainingJob."""
    algorithm, machines = told.get("AlgorithmSpecification", {}), told.get("ResourceConfig", {})
    output, stopping = told.get("OutputDataConfig", {}), told.get("StoppingCondition", {})
    checkpoints, network = told.get("CheckpointConfig", {}), told.get("VpcConfig", {})
    ours = [dict(metric) for metric in METRIC_DEFINITIONS]
    more = {
        "enable_sagemaker_metrics": algorithm.get("EnableSageMakerMetricsTimeSeries"),
        "disable_output_compression": output.get("CompressionType") == "NONE" or None,
        "training_plan": machines.get("TrainingPlanArn"),
    }
    return TrainingSpec(
        name=told["TrainingJobName"],
        hyperparameters=dict(told.get("HyperParameters", {})),
        channels=[_channel(channel) for channel in told.get("InputDataConfig", [])],
        instance_type=machines.get("InstanceType", ""),
        instance_count=machines.get("InstanceCount", 1),
        image_uri=algorithm.get("TrainingImage"),
        role=told.get("RoleArn"),
        keep_alive_period_in_seconds=machines.get("KeepAlivePeriodInSeconds"),
        volume_size=machines.get("VolumeSizeInGB", 30),
        volume_kms_key=machines.get("VolumeKmsKeyId"),
        max_run=stopping.get("MaxRuntimeInSeconds", 24 * 60 * 60),
        input_mode=algorithm.get("TrainingInputMode", "File"),
        output_path=output.get("S3OutputPath"),
        output_kms_key=output.get("KmsKeyId") or None,
        subnets=tuple(network.get("Subnets", ())),
        security_group_ids=tuple(network.get("SecurityGroupIds", ())),
        metric_definitions=[metric for metric in algorithm.get("MetricDefinitions", []) if metric not in ours],
        encrypt_inter_container_traffic=bool(told.get("EnableInterContainerTrafficEncryption")),
        use_spot_instances=bool(told.get("EnableManagedSpotTraining")),
        max_wait=stopping.get("MaxWaitTimeInSeconds"),
        checkpoint_s3_uri=checkpoints.get("S3Uri"),
        checkpoint_local_path=checkpoints.get("LocalPath"),
        enable_network_isolation=bool(told.get("EnableNetworkIsolation")),
        environment=dict(told.get("Environment", {})),
        max_retry_attempts=told.get("RetryStrategy", {}).get("MaximumRetryAttempts"),
        experiment_config=told.get("ExperimentConfig"),
        more={name: value for name, value in more.items() if value is not None},
    )


def tuning_spec(told: Described) -> TuningSpec:
    """Of an answer of DescribeHyperParameterTuningJob. Raises ``UserError`` for one of several algorithms."""
    name, config, definition = (
        told["HyperParameterTuningJobName"],
        told["HyperParameterTuningJobConfig"],
        told.get("TrainingJobDefinition"),
    )
    if definition is None:
        raise UserError(f"The tuning job {name} is one of several algorithms; there is no single estimator for it.")
    training = training_spec(
        {**definition, "TrainingJobName": name, "HyperParameters": definition.get("StaticHyperParameters", {})}
    )
    objective, limits = config.get("HyperParameterTuningJobObjective", {}), config["ResourceLimits"]
    return TuningSpec(
        name,
        training,
        _ranges(config.get("ParameterRanges", {})),
        objective_metric_name=objective.get("MetricName", "validation:mIOU"),
        objective_type=objective.get("Type", "Maximize"),
        strategy=config["Strategy"],
        max_jobs=limits.get("MaxNumberOfTrainingJobs"),
        max_parallel_jobs=limits["MaxParallelTrainingJobs"],
        max_runtime_in_seconds=limits.get("MaxRuntimeInSeconds"),
        early_stopping_type=config.get("TrainingJobEarlyStoppingType", "Off"),
        random_seed=config.get("RandomSeed"),
        strategy_config=config.get("StrategyConfig"),
        completion_criteria_config=config.get("TuningJobCompletionCriteria"),
        warm_start_config=told.get("WarmStartConfig"),
    )


def _ranges(told: Described) -> dict[str, Parameter]:
    ranges: dict[str, Parameter] = {}
    for entry in told.get("CategoricalParameterRanges", ()):
        ranges[entry["Name"]] = CategoricalParameter(entry["Values"])
    for entry in told.get("IntegerParameterRanges", ()):
        low, high = int(entry["MinValue"]), int(entry["MaxValue"])
        ranges[entry["Name"]] = IntegerParameter(low, high, entry.get("ScalingType", "Auto"))
    for entry in told.get("ContinuousParameterRanges", ()):
        ends = float(entry["MinValue"]), float(entry["MaxValue"])
        ranges[entry["Name"]] = ContinuousParameter(*ends, entry.get("ScalingType", "Auto"))
    return ranges


def model_spec(told: Described) -> ModelSpec:
    """Of an answer of DescribeModel."""
    container = told.get("PrimaryContainer") or (told.get("Containers") or [{}])[0]
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    network = told.get("VpcConfig", {})
    return ModelSpec(
        told["ModelName"],
        container.get("ModelDataUrl") or source.get("S3Uri", ""),
        image_uri=container.get("Image"),
        role=told.get("ExecutionRoleArn"),
        environment=dict(container.get("Environment", {})),
        subnets=tuple(network.get("Subnets", ())),
        security_group_ids=tuple(network.get("SecurityGroupIds", ())),
        enable_network_isolation=bool(told.get("EnableNetworkIsolation")),
    )


def transform_spec(told: Described, model: ModelSpec) -> TransformSpec:
    """Of an answer of DescribeTransformJob."""
    given, output, machines = told["TransformInput"], told["TransformOutput"], told["TransformResources"]
    source, processing = given["DataSource"]["S3DataSource"], told.get("DataProcessing", {})
    more = {
        "input_filter": processing.get("InputFilter"),
        "output_filter": processing.get("OutputFilter"),
        "join_source": processing.get("JoinSource"),
        "model_client_config": told.get("ModelClientConfig"),
        "experiment_config": told.get("ExperimentConfig"),
    }
    return TransformSpec(
        told["TransformJobName"],
        model,
        source["S3Uri"],
        output["S3OutputPath"],
        machines["InstanceType"],
        machines["InstanceCount"],
        data_type=source["S3DataType"],
        content_type=given.get("ContentType"),
        compression_type=given.get("CompressionType"),
        split_type=given.get("SplitType"),
        accept=output.get("Accept"),
        assemble_with=output.get("AssembleWith"),
        strategy=told.get("BatchStrategy"),
        max_concurrent_transforms=told.get("MaxConcurrentTransforms"),
        max_payload=told.get("MaxPayloadInMB"),
        environment=dict(told.get("Environment", {})),
        output_kms_key=output.get("KmsKeyId") or None,
        volume_kms_key=machines.get("VolumeKmsKeyId"),
        more={name: value for name, value in more.items() if value},
    )


def _channel(told: Described) -> Channel:
    source = told.get("DataSource", {}).get("S3DataSource", {})
    return Channel(
        told["ChannelName"],
        source.get("S3Uri", ""),
        content_type=told.get("ContentType"),
        input_mode=told.get("InputMode"),
        data_type=source.get("S3DataType", "S3Prefix"),
        distribution=source.get("S3DataDistributionType", "FullyReplicated"),
        compression=told.get("CompressionType"),
        record_wrapping=told.get("RecordWrapperType"),
        attribute_names=tuple(source.get("AttributeNames", ())),
        shuffle_seed=told.get("ShuffleConfig", {}).get("Seed"),
        instance_groups=tuple(source.get("InstanceGroupNames", ())),
    )
