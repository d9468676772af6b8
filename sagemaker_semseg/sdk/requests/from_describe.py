"""Reads specifications back from SageMaker's answers, for jobs that another process started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk.parameters import CategoricalParameter, ContinuousParameter, IntegerParameter, Parameter
from sagemaker_semseg.sdk.specs import Channel, ModelSpec, TrainingSpec, TransformSpec, TuningSpec

Described = Mapping[str, Any]


def training_spec(answer: Described) -> TrainingSpec:
    """Read an answer of DescribeTrainingJob."""
    algorithm, machines = answer.get("AlgorithmSpecification", {}), answer.get("ResourceConfig", {})
    output, stopping = answer.get("OutputDataConfig", {}), answer.get("StoppingCondition", {})
    checkpoints, network = answer.get("CheckpointConfig", {}), answer.get("VpcConfig", {})
    ours = [dict(metric) for metric in METRIC_DEFINITIONS]
    more = {
        "enable_sagemaker_metrics": algorithm.get("EnableSageMakerMetricsTimeSeries"),
        "disable_output_compression": output.get("CompressionType") == "NONE" or None,
        "training_plan": machines.get("TrainingPlanArn"),
    }
    return TrainingSpec(
        name=answer["TrainingJobName"],
        hyperparameters=dict(answer.get("HyperParameters", {})),
        channels=[_channel(channel) for channel in answer.get("InputDataConfig", [])],
        instance_type=machines.get("InstanceType", ""),
        instance_count=machines.get("InstanceCount", 1),
        image_uri=algorithm.get("TrainingImage"),
        role=answer.get("RoleArn"),
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
        encrypt_inter_container_traffic=bool(answer.get("EnableInterContainerTrafficEncryption")),
        use_spot_instances=bool(answer.get("EnableManagedSpotTraining")),
        max_wait=stopping.get("MaxWaitTimeInSeconds"),
        checkpoint_s3_uri=checkpoints.get("S3Uri"),
        checkpoint_local_path=checkpoints.get("LocalPath"),
        enable_network_isolation=bool(answer.get("EnableNetworkIsolation")),
        environment=dict(answer.get("Environment", {})),
        max_retry_attempts=answer.get("RetryStrategy", {}).get("MaximumRetryAttempts"),
        experiment_config=answer.get("ExperimentConfig"),
        more={name: value for name, value in more.items() if value is not None},
    )


def tuning_spec(answer: Described) -> TuningSpec:
    """Read an answer of DescribeHyperParameterTuningJob. Raises ``UserError`` for one of several algorithms."""
    name, config, definition = (
        answer["HyperParameterTuningJobName"],
        answer["HyperParameterTuningJobConfig"],
        answer.get("TrainingJobDefinition"),
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
        warm_start_config=answer.get("WarmStartConfig"),
    )


def _ranges(answer: Described) -> dict[str, Parameter]:
    ranges: dict[str, Parameter] = {}
    for entry in answer.get("CategoricalParameterRanges", ()):
        ranges[entry["Name"]] = CategoricalParameter(entry["Values"])
    for entry in answer.get("IntegerParameterRanges", ()):
        low, high = int(entry["MinValue"]), int(entry["MaxValue"])
        ranges[entry["Name"]] = IntegerParameter(low, high, entry.get("ScalingType", "Auto"))
    for entry in answer.get("ContinuousParameterRanges", ()):
        ends = float(entry["MinValue"]), float(entry["MaxValue"])
        ranges[entry["Name"]] = ContinuousParameter(*ends, entry.get("ScalingType", "Auto"))
    return ranges


def model_spec(answer: Described) -> ModelSpec:
    """Read an answer of DescribeModel."""
    container = answer.get("PrimaryContainer") or (answer.get("Containers") or [{}])[0]
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    network = answer.get("VpcConfig", {})
    return ModelSpec(
        answer["ModelName"],
        container.get("ModelDataUrl") or source.get("S3Uri", ""),
        image_uri=container.get("Image"),
        role=answer.get("ExecutionRoleArn"),
        environment=dict(container.get("Environment", {})),
        subnets=tuple(network.get("Subnets", ())),
        security_group_ids=tuple(network.get("SecurityGroupIds", ())),
        enable_network_isolation=bool(answer.get("EnableNetworkIsolation")),
    )


def transform_spec(answer: Described, model: ModelSpec) -> TransformSpec:
    """Read an answer of DescribeTransformJob."""
    given, output, machines = answer["TransformInput"], answer["TransformOutput"], answer["TransformResources"]
    source, processing = given["DataSource"]["S3DataSource"], answer.get("DataProcessing", {})
    more = {
        "input_filter": processing.get("InputFilter"),
        "output_filter": processing.get("OutputFilter"),
        "join_source": processing.get("JoinSource"),
        "model_client_config": answer.get("ModelClientConfig"),
        "experiment_config": answer.get("ExperimentConfig"),
    }
    return TransformSpec(
        answer["TransformJobName"],
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
        strategy=answer.get("BatchStrategy"),
        max_concurrent_transforms=answer.get("MaxConcurrentTransforms"),
        max_payload=answer.get("MaxPayloadInMB"),
        environment=dict(answer.get("Environment", {})),
        output_kms_key=output.get("KmsKeyId") or None,
        volume_kms_key=machines.get("VolumeKmsKeyId"),
        more={name: value for name, value in more.items() if value},
    )


def _channel(answer: Described) -> Channel:
    source = answer.get("DataSource", {}).get("S3DataSource", {})
    return Channel(
        answer["ChannelName"],
        source.get("S3Uri", ""),
        content_type=answer.get("ContentType"),
        input_mode=answer.get("InputMode"),
        data_type=source.get("S3DataType", "S3Prefix"),
        distribution=source.get("S3DataDistributionType", "FullyReplicated"),
        compression=answer.get("CompressionType"),
        record_wrapping=answer.get("RecordWrapperType"),
        attribute_names=tuple(source.get("AttributeNames", ())),
        shuffle_seed=answer.get("ShuffleConfig", {}).get("Seed"),
        instance_groups=tuple(source.get("InstanceGroupNames", ())),
    )
