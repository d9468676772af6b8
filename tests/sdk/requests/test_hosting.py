"""CreateModel, CreateEndpointConfig in its three kinds, CreateEndpoint, CreateTransformJob, and what is refused."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.requests import endpoint as endpoint_request
from sagemaker_semseg.sdk.requests import endpoint_config, needs_output_path, transform_job
from sagemaker_semseg.sdk.requests import model as model_request
from tests.sdk.conftest import IMAGE, ROLE
from tests.sdk.service_model import check

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234"
TAGS = [{"Key": "team", "Value": "streets"}]


def test_a_model(model):
    assert check("CreateModel", model_request(model)) == {
        "ModelName": "street",
        "PrimaryContainer": {
            "Image": IMAGE, "Environment": {}, "ModelDataUrl": "s3://images/out/job/output/model.tar.gz",
        },
        "ExecutionRoleArn": ROLE,
    }  # fmt: skip
    full = replace(
        model, environment={"A": "b"}, subnets=["subnet-1"], security_group_ids=["sg-1"],
        enable_network_isolation=True, tags=TAGS,
    )  # fmt: skip
    request = check("CreateModel", model_request(full))
    assert request["PrimaryContainer"]["Environment"] == {"A": "b"}
    assert request["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert request["EnableNetworkIsolation"] is True
    assert request["Tags"] == TAGS


def test_a_real_time_endpoint(endpoint):
    assert check("CreateEndpointConfig", endpoint_config(endpoint)) == {
        "EndpointConfigName": "street",
        "ProductionVariants": [
            {
                "VariantName": "AllTraffic",
                "ModelName": "street",
                "InitialVariantWeight": 1,
                "InitialInstanceCount": 1,
                "InstanceType": "ml.c5.xlarge",
            }
        ],
    }
    assert check("CreateEndpoint", endpoint_request(replace(endpoint, tags=TAGS))) == {
        "EndpointName": "street",
        "EndpointConfigName": "street",
        "Tags": TAGS,
    }


def test_what_a_real_time_endpoint_may_have(endpoint):
    full = replace(
        endpoint, tags=TAGS, kms_key=KEY, volume_size=64, model_data_download_timeout=600,
        container_startup_health_check_timeout=300,
    )  # fmt: skip
    request = check("CreateEndpointConfig", endpoint_config(full))
    (variant,) = request["ProductionVariants"]
    assert (request["KmsKeyId"], request["Tags"], variant["VolumeSizeInGB"]) == (KEY, TAGS, 64)
    assert variant["ModelDataDownloadTimeoutInSeconds"] == 600
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 300


@pytest.mark.parametrize(
    "config",
    [
        {"MemorySizeInMB": 4096, "MaxConcurrency": 2},
        SimpleNamespace(memory_size_in_mb=4096, max_concurrency=2, provisioned_concurrency=None),
    ],
)
def test_a_serverless_endpoint(endpoint, config):
    serverless = replace(endpoint, instance_type=None, initial_instance_count=None, serverless_inference_config=config)
    (variant,) = check("CreateEndpointConfig", endpoint_config(serverless))["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 4096, "MaxConcurrency": 2}
    assert not variant.keys() & {"InstanceType", "InitialInstanceCount"}


def aws_async(**given):
    names = (
        "output_path",
        "failure_path",
        "kms_key_id",
        "notification_config",
        "max_concurrent_invocations_per_instance",
    )
    return SimpleNamespace(**{**dict.fromkeys(names), **given})


def test_an_asynchronous_endpoint(endpoint):
    full = aws_async(
        output_path="s3://images/a", failure_path="s3://images/f", kms_key_id=KEY,
        notification_config={"SuccessTopic": "arn:aws:sns:eu-west-1:123456789012:done"},
        max_concurrent_invocations_per_instance=4,
    )  # fmt: skip
    request = check("CreateEndpointConfig", endpoint_config(replace(endpoint, async_inference_config=full)))
    expected = {
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 4},
        "OutputConfig": {
            "S3OutputPath": "s3://images/a", "S3FailurePath": "s3://images/f", "KmsKeyId": KEY,
            "NotificationConfig": {"SuccessTopic": "arn:aws:sns:eu-west-1:123456789012:done"},
        },
    }  # fmt: skip
    assert request["AsyncInferenceConfig"] == expected
    assert endpoint_config(replace(endpoint, async_inference_config=expected)) == request
    few = {"ClientConfig": {"MaxConcurrentInvocationsPerInstance": 4}}
    request = endpoint_config(replace(endpoint, async_inference_config=few), default_output_path="s3://d")
    assert check("CreateEndpointConfig", request)["AsyncInferenceConfig"]["ClientConfig"] == few["ClientConfig"]
    plain = endpoint_config(replace(endpoint, async_inference_config=aws_async()), default_output_path="s3://d/street")
    assert check("CreateEndpointConfig", plain)["AsyncInferenceConfig"] == {
        "OutputConfig": {"S3OutputPath": "s3://d/street/async-out", "S3FailurePath": "s3://d/street/async-failures"}
    }


def test_the_default_bucket_is_needed_where_a_configuration_names_no_place(endpoint):
    places = {"S3OutputPath": "s3://images/a", "S3FailurePath": "s3://images/f"}
    for config, needed in (
        ({}, False),
        ({"async_inference_config": {"OutputConfig": places}}, False),
        ({"async_inference_config": aws_async(output_path="s3://images/a")}, True),
        ({"data_capture_config": {"EnableCapture": True, "DestinationS3Uri": "s3://images/d"}}, False),
        ({"data_capture_config": {"EnableCapture": True}}, True),
    ):
        assert needs_output_path(replace(endpoint, **config)) == needed


def test_capture_of_data(endpoint):
    config = SimpleNamespace(
        enable_capture=True, sampling_percentage=50, destination_s3_uri=None, kms_key_id=KEY,
        capture_options=["REQUEST", "RESPONSE"], csv_content_types=["text/csv"], json_content_types=None,
    )  # fmt: skip
    request = endpoint_config(replace(endpoint, data_capture_config=config), default_output_path="s3://d/street/")
    assert check("CreateEndpointConfig", request)["DataCaptureConfig"] == {
        "EnableCapture": True,
        "InitialSamplingPercentage": 50,
        "DestinationS3Uri": "s3://d/street/data-capture",
        "KmsKeyId": KEY,
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "-x"}, "endpoint_name: '-x' came"),
        ({"instance_type": None}, "instance_type: is missing: where shall the endpoint run?"),
        ({"initial_instance_count": None}, "initial_instance_count: None came"),
        ({"serverless_inference_config": {"MemorySizeInMB": 3000}}, "3000 came, one of 1024, 2048"),
        ({"serverless_inference_config": 7}, "serverless_inference_config: int came (give AWS's object, or {"),
        ({"serverless_inference_config": {}, "async_inference_config": aws_async()}, "not both"),
        ({"async_inference_config": aws_async(output_path="out")}, "output_path: 'out' came"),
        ({"more": {"accelerator_type": "ml.eia1"}}, "accelerator_type: can't be used"),
    ],
)  # fmt: skip
def test_what_is_refused_of_an_endpoint(endpoint, changes, expected):
    with pytest.raises(UserError) as caught:
        endpoint_config(replace(endpoint, **changes))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_data": ""}, "model_data: '' came"),
        ({"model_data": "out/model.tar.gz"}, "model_data: 'out/model.tar.gz' came, s3://bucket/prefix is expected"),
        ({"image_uri": "a b"}, "image_uri: 'a b' came"),
        ({"role": None}, "role: nothing came"),
        ({"tags": ["x"]}, 'tags: give {"name": "value"}'),
    ],
)
def test_what_is_refused_of_a_model(model, changes, expected):
    with pytest.raises(UserError) as caught:
        model_request(replace(model, **changes))
    assert expected in str(caught.value)


def test_a_batch_transform(transform):
    assert check("CreateTransformJob", transform_job(transform)) == {
        "TransformJobName": "street-1",
        "ModelName": "street",
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://images/new"}}},
        "TransformOutput": {"S3OutputPath": "s3://images/masks"},
        "TransformResources": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
    }
    full = replace(
        transform, data_type="ManifestFile", content_type="image/jpeg", compression_type="None", split_type="None",
        accept="image/png", assemble_with="None", strategy="SingleRecord", max_concurrent_transforms=2, max_payload=10,
        environment={"A": "b"}, output_kms_key=KEY, volume_kms_key=KEY, tags=TAGS,
        more={"model_client_config": {"InvocationsTimeoutInSeconds": 600, "InvocationsMaxRetries": 1}},
    )  # fmt: skip
    request = check("CreateTransformJob", transform_job(full))
    assert request["ModelClientConfig"] == {"InvocationsTimeoutInSeconds": 600, "InvocationsMaxRetries": 1}
    assert request["TransformOutput"]["AssembleWith"] == "None"
    assert (request["BatchStrategy"], request["MaxPayloadInMB"], request["MaxConcurrentTransforms"]) == (
        "SingleRecord", 10, 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"split_type": "RecordIO"}, "split_type: 'RecordIO' would cut images into pieces"),
        ({"strategy": "MultiRecord"}, "strategy: 'MultiRecord' would join images"),
        ({"more": {"join_source": "Input"}}, "can't be joined"),
        ({"data": "images"}, "data: 'images' came"),
        ({"output_path": None}, "output_path: '' came"),
    ],
)
def test_what_is_refused_of_a_transform(transform, changes, expected):
    with pytest.raises(UserError) as caught:
        transform_job(replace(transform, **changes))
    assert expected in str(caught.value)
