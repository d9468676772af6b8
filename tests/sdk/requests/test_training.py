"""CreateTrainingJob: the whole request of several jobs, compared with SageMaker's own model, and what is refused."""

from dataclasses import replace

import pytest

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk.inputs import AUGMENTED, channels_of
from sagemaker_semseg.sdk.requests import training_job
from sagemaker_semseg.sdk.specs import Channel
from tests.sdk.conftest import IMAGE, ROLE, four
from tests.sdk.service_model import check, faults

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234"


def test_a_plain_job(training):
    assert check("CreateTrainingJob", training_job(training)) == {
        "TrainingJobName": "semseg-2026-11-25-10-00-00-000",
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [dict(metric) for metric in METRIC_DEFINITIONS],
        },
        "RoleArn": ROLE,
        "HyperParameters": {"num_classes": "21", "use_pretrained_model": "True"},
        "InputDataConfig": [
            {
                "ChannelName": name,
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": f"s3://images/set/{name}",
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
            for name in ("train", "train_annotation", "validation", "validation_annotation")
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://images/out"},
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
    }


def test_everything_that_can_be_said(training):
    model = channels_of({"label_map": "s3://images/map"}, model_uri="s3://images/model.tar.gz")
    job = replace(
        training,
        channels=[*four(input_mode="FastFile", content_type="image/jpeg"), *model],
        instance_count=2,
        volume_size=50,
        volume_kms_key=KEY,
        max_run=3600,
        output_kms_key=KEY,
        tags=[{"Key": "team", "Value": "streets"}],
        subnets=["subnet-1", "subnet-2"],
        security_group_ids=["sg-1"],
        metric_definitions=[{"Name": "mine", "Regex": "mine=(.*)"}],
        encrypt_inter_container_traffic=True,
        use_spot_instances=True,
        max_wait=7200,
        checkpoint_s3_uri="s3://images/checkpoints",
        checkpoint_local_path="/opt/ml/checkpoints",
        enable_network_isolation=True,
        environment={"TF_CPP_MIN_LOG_LEVEL": "0"},
        max_retry_attempts=3,
        experiment_config={"ExperimentName": "streets"},
        more={"enable_sagemaker_metrics": True, "disable_output_compression": True},
    )
    request = check("CreateTrainingJob", training_job(job))
    assert request["ResourceConfig"] == {
        "InstanceType": "ml.g5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 50, "VolumeKmsKeyId": KEY,
    }  # fmt: skip
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    assert request["VpcConfig"] == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert request["CheckpointConfig"] == {"S3Uri": "s3://images/checkpoints", "LocalPath": "/opt/ml/checkpoints"}
    assert request["OutputDataConfig"] == {
        "S3OutputPath": "s3://images/out", "KmsKeyId": KEY, "CompressionType": "NONE",
    }  # fmt: skip
    for name in ("NetworkIsolation", "InterContainerTrafficEncryption", "ManagedSpotTraining"):
        assert request[f"Enable{name}"] is True
    assert request["RetryStrategy"] == {"MaximumRetryAttempts": 3}
    assert request["Environment"] == {"TF_CPP_MIN_LOG_LEVEL": "0"}
    assert request["ExperimentConfig"] == {"ExperimentName": "streets"}
    assert request["Tags"] == [{"Key": "team", "Value": "streets"}]
    assert request["AlgorithmSpecification"]["MetricDefinitions"][-1] == {"Name": "mine", "Regex": "mine=(.*)"}
    assert request["InputDataConfig"][-1] == {
        "ChannelName": "model",
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": "s3://images/model.tar.gz",
                "S3DataDistributionType": "FullyReplicated",
            }
        },
        "ContentType": "application/x-sagemaker-model",
        "InputMode": "File",
    }


class AwsObject:
    """As AWS's SDK has them for many settings."""

    def _to_request_dict(self):
        return {"S3OutputPath": "s3://images/board"}


def test_what_only_sagemaker_can_make_something_of(training):
    more = {
        "instance_placement_config": {"EnableMultipleJobs": True}, "container_entry_point": ["python"],
        "container_arguments": ["-m", "x"], "training_repository_access_mode": "Vpc",
        "training_repository_credentials_provider_arn": "arn:aws:lambda:eu-west-1:123456789012:function:x",
        "enable_infra_check": True, "enable_remote_debug": True, "enable_session_tag_chaining": True,
        "disable_profiler": True, "tensorboard_output_config": AwsObject(), "debugger_hook_config": False,
    }  # fmt: skip
    request = check("CreateTrainingJob", training_job(replace(training, more=more)))
    assert request["ResourceConfig"]["InstancePlacementConfig"] == {"EnableMultipleJobs": True}
    algorithm = request["AlgorithmSpecification"]
    assert (algorithm["ContainerEntrypoint"], algorithm["ContainerArguments"]) == (["python"], ["-m", "x"])
    assert algorithm["TrainingImageConfig"] == {
        "TrainingRepositoryAccessMode": "Vpc",
        "TrainingRepositoryAuthConfig": {
            "TrainingRepositoryCredentialsProviderArn": "arn:aws:lambda:eu-west-1:123456789012:function:x"
        },
    }
    assert request["InfraCheckConfig"] == {"EnableInfraCheck": True}
    assert request["RemoteDebugConfig"] == {"EnableRemoteDebug": True}
    assert request["SessionChainingConfig"] == {"EnableSessionTagChaining": True}
    assert request["ProfilerConfig"] == {"DisableProfiler": True}
    assert request["TensorBoardOutputConfig"] == {"S3OutputPath": "s3://images/board"}


def test_a_pool_that_is_kept_warm(training):
    request = check("CreateTrainingJob", training_job(replace(training, keep_alive_period_in_seconds=600)))
    assert request["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 600


def augmented(**more):
    settings = {"data_type": AUGMENTED, "attribute_names": ("source-ref", "mask-ref"), "record_wrapping": "RecordIO"}
    names = ("train", "validation")
    return [Channel(name, f"s3://images/{name}.manifest", **{**settings, **more}) for name in names]


def test_an_augmented_manifest_through_the_pipe(training):
    job = replace(training, channels=augmented(shuffle_seed=3), input_mode="Pipe")
    request = check("CreateTrainingJob", training_job(job))
    assert request["AlgorithmSpecification"]["TrainingInputMode"] == "Pipe"
    assert request["InputDataConfig"][0] == {
        "ChannelName": "train",
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "AugmentedManifestFile",
                "S3Uri": "s3://images/train.manifest",
                "S3DataDistributionType": "FullyReplicated",
                "AttributeNames": ["source-ref", "mask-ref"],
            }
        },
        "RecordWrapperType": "RecordIO",
        "ShuffleConfig": {"Seed": 3},
    }


def test_a_metric_of_the_user_replaces_ours(training):
    mine = {"Name": "train:loss", "Regex": "other=(.*)"}
    request = training_job(replace(training, metric_definitions=[mine]))
    metrics = request["AlgorithmSpecification"]["MetricDefinitions"]
    assert mine in metrics
    assert len(metrics) == len(METRIC_DEFINITIONS)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "under_score"}, "job_name: 'under_score' came, 1 to 63 letters, digits and hyphens"),
        ({"name": "x" * 64}, "job_name: "),
        ({"image_uri": None}, "image_uri: is missing: SageMaker runs this project's image from a registry of yours"),
        ({"role": None}, "role: nothing came, the ARN of a role"),
        ({"role": "SageMakerRole"}, "role: 'SageMakerRole' came"),
        ({"output_path": "out"}, "output_path: 'out' came, s3://bucket/prefix is expected"),
        ({"checkpoint_s3_uri": "s3://"}, "checkpoint_s3_uri: 's3://' came"),
        ({"checkpoint_local_path": "/x"}, "give checkpoint_s3_uri"),
        ({"channels": [*four()[:3], Channel("validation_annotation", "masks")]}, "validation_annotation: 'masks' came"),
        ({"channels": [*four(), *four(), *four(), *four(), *four(), *four()]}, "inputs: 24 channels, SageMaker takes"),
        ({"channels": augmented(attribute_names=()), "input_mode": "Pipe"}, "needs the names of its attributes"),
        ({"channels": augmented()}, "SageMaker reads augmented manifests in pipe mode only"),
        ({"channels": augmented(record_wrapping=None), "input_mode": "Pipe"}, 'set record_wrapping="RecordIO"'),
        ({"channels": four(attribute_names=("a",))}, "attribute_names are for manifests"),
        ({"input_mode": "Stream"}, "input_mode: 'Stream' came, one of File, Pipe, FastFile is"),
        ({"use_spot_instances": True}, "max_wait: is missing: spot instances may have to be waited for (give"),
        ({"max_wait": 90000}, "max_wait: is for spot instances only"),
        ({"use_spot_instances": True, "max_wait": 60}, "max_wait: 60 s are less than max_run, 86400 s"),
        ({"max_run": 0}, "max_run: 0 came"),
        ({"use_spot_instances": True, "max_wait": 86400, "keep_alive_period_in_seconds": 9}, "can't be kept warm"),
        ({"subnets": ["a"]}, "security_group_ids: are missing"),
        ({"security_group_ids": ["a"]}, "subnets: are missing"),
        ({"instance_count": 0}, "instance_count: 0 came"),
        ({"volume_size": "30"}, "volume_size: '30' came"),
        ({"metric_definitions": [{"Name": "x"}]}, "metric_definitions: number 1 is not"),
        ({"metric_definitions": [{"Name": f"m{n}", "Regex": "x"} for n in range(35)]}, "35 came, there is room for 34"),
        ({"more": {"profiler_config": 7}}, "profiler_config: int came, one of AWS's objects or a dictionary"),
        ({"more": {"tensorboard_output_config": 7}}, "tensorboard_output_config: int came, one of AWS's objects or a"),
        ({"more": {"tensorboard_output_config": {}}}, "tensorboard_output_config: has no S3OutputPath"),
        ({"more": {"debugger_hook_config": object()}}, "debugger_hook_config: can't be used with this algorithm"),
    ],
)  # fmt: skip
def test_what_is_refused(training, changes, expected):
    with pytest.raises(UserError) as caught:
        training_job(replace(training, **changes))
    assert expected in str(caught.value)


def test_all_faults_at_once(training):
    with pytest.raises(UserError) as caught:
        training_job(replace(training, role=None, image_uri=None, output_path="out", max_wait=1))
    assert {fault.where for fault in caught.value.faults} == {"role", "image_uri", "output_path", "max_wait"}


def test_secrets_are_in_no_message(training):
    job = replace(training, environment={"TOKEN": "THESECRET"}, role=None)
    with pytest.raises(UserError) as caught:
        training_job(job)
    assert "THESECRET" not in str(caught.value) + repr(job)


def test_the_checker_of_these_tests_finds_what_is_wrong(training):
    """The service's model has enums, patterns and lengths that botocore doesn't check."""
    request = training_job(training)
    for path, value in (
        (("TrainingJobName",), "a_b"),
        (("RoleArn",), "arn:aws:iam::1:role/x"),
        (("ResourceConfig", "InstanceType"), "ml.g5.tiny"),
        (("ResourceConfig", "KeepAlivePeriodInSeconds"), 99999),
        (("AlgorithmSpecification", "TrainingInputMode"), "Stream"),
        (("InputDataConfig",), []),
    ):
        spoilt = {**request}
        inner = spoilt
        for name in path[:-1]:
            inner[name] = {**inner[name]}
            inner = inner[name]
        inner[path[-1]] = value
        assert len(faults("CreateTrainingJob", spoilt)) == 1, path
