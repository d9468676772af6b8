"""Requests to endpoints: real-time and asynchronous, what the model refuses, and how endpoints are deleted."""

import io
import json

import pytest
from botocore.response import StreamingBody

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.specs import InvocationFailed
from tests.sdk.remote.test_aws_errors import deployed, endpoint_answer

CONFIG = {
    "EndpointConfigName": "street",
    "EndpointConfigArn": "a" * 30,
    "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": "street-model"}],
    "CreationTime": 0,
}


def body(data):
    return StreamingBody(io.BytesIO(data), len(data))


def real_time(backend, stub):
    stub("sagemaker").add_response("describe_endpoint", endpoint_answer("InService"))
    return backend.endpoint("street")


def asynchronous(backend, stub):
    answer = endpoint_answer("InService", AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": "s3://images/a"}})
    stub("sagemaker").add_response("describe_endpoint", answer)
    return backend.endpoint("street")


def test_a_request(backend, stub):
    given = {
        "EndpointName": "street", "Body": b"jpeg", "ContentType": "image/jpeg", "Accept": "image/png",
        "CustomAttributes": "a=b", "TargetModel": "m", "TargetVariant": "v", "InferenceId": "1",
    }  # fmt: skip
    stub("sagemaker-runtime").add_response("invoke_endpoint", {"Body": body(b"png"), "ContentType": "image/png"}, given)
    reply = real_time(backend, stub).invoke({**given, "InferenceComponentName": None})
    assert (reply.body.read(), reply.content_type) == (b"png", "image/png")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            json.dumps({"error": {"message": "no image", "remedy": "send a JPEG"}}),
            "the request: no image (send a JPEG)",
        ),
        ("<html>\x1b[2Jbusy", "the request: <html> [2Jbusy"),
        ("[" * 100_000, "the request: [[["),
    ],
)
def test_what_the_model_refuses(backend, stub, message, expected):
    details = {"OriginalStatusCode": 415, "OriginalMessage": message}
    stub("sagemaker-runtime").add_client_error("invoke_endpoint", "ModelError", "x", 424, modeled_fields=details)
    with pytest.raises(InvocationFailed) as caught:
        real_time(backend, stub).invoke({"Body": b"x"})
    assert caught.value.status == 415
    assert "The endpoint street answers 415:" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("ValidationError", "Endpoint street of account 1 not found.", "there is no such thing"),
        ("AccessDeniedException", "no", "access is denied: sagemaker:InvokeEndpoint"),
        ("ThrottlingException", "no", "AWS is asked too often"),
    ],
)
def test_what_sagemaker_refuses(backend, stub, code, message, expected):
    stub("sagemaker-runtime").add_client_error("invoke_endpoint", code, message)
    with pytest.raises(UserError, match=expected):
        real_time(backend, stub).invoke({"Body": b"x"})


def asks(stub, **more):
    stub("sagemaker-runtime").add_response(
        "invoke_endpoint_async",
        {"OutputLocation": "s3://images/a/1.out", "FailureLocation": "s3://images/f/1.out"},
        {"EndpointName": "street", "InputLocation": "s3://images/in.jpg", "Accept": "image/png", **more},
    )


REQUEST = {"InputLocation": "s3://images/in.jpg", "Accept": "image/png", "Body": b"", "TargetModel": "no"}


@pytest.mark.parametrize(("kind", "expected"), [("image/png", "image/png"), ("binary/octet-stream", "image/png")])
def test_an_asynchronous_request(backend, stub, kind, expected):
    asks(stub)
    s3 = stub("s3")
    for _ in range(2):  # it isn't there yet
        s3.add_client_error("get_object", "NoSuchKey", "x", 404, expected_params={"Bucket": "images", "Key": "a/1.out"})
        s3.add_client_error("get_object", "NoSuchKey", "x", 404, expected_params={"Bucket": "images", "Key": "f/1.out"})
    s3.add_response("get_object", {"Body": body(b"png"), "ContentType": kind})
    reply = asynchronous(backend, stub).invoke(REQUEST)
    assert (reply.body.read(), reply.content_type) == (b"png", expected)


def test_an_asynchronous_request_that_fails(backend, stub):
    asks(stub)
    stub("s3").add_client_error("get_object", "NoSuchKey", "x", 404)
    said = json.dumps({"error": {"message": "no image", "remedy": "send a JPEG"}}).encode()
    stub("s3").add_response("get_object", {"Body": body(said), "ContentType": "application/json"})
    with pytest.raises(InvocationFailed, match=r"no image \(send a JPEG\)"):
        asynchronous(backend, stub).invoke(REQUEST)


def test_an_asynchronous_reply_that_never_comes(backend, stub):
    asks(stub)
    for _ in range(2):
        stub("s3").add_client_error("get_object", "NoSuchKey", "x", 404)
    pending = asynchronous(backend, stub).invoke_async(REQUEST)
    with pytest.raises(InvocationFailed, match="isn't there after 0 s"):
        pending.result(seconds=0)


def test_the_body_of_an_asynchronous_request_is_brought_to_s3(backend, stub):
    from botocore.stub import ANY

    stub("sts").add_response("get_caller_identity", {"Account": "123456789012"})
    stub("s3").add_response("head_bucket", {})
    bucket = "sagemaker-eu-west-1-123456789012"
    stub("s3").add_response(
        "put_object", {}, {"Bucket": bucket, "Key": ANY, "Body": b"jpeg", "ContentType": "image/jpeg"}
    )
    asks(stub, InputLocation=ANY, ContentType="image/jpeg")
    stub("s3").add_response("get_object", {"Body": body(b"png"), "ContentType": "image/png"})
    request = {"Body": b"jpeg", "ContentType": "image/jpeg", "Accept": "image/png"}
    assert asynchronous(backend, stub).invoke(request).body.read() == b"png"


@pytest.mark.parametrize("config", [True, False])
def test_an_endpoint_is_deleted_and_its_model_after_it(backend, stub, config):
    found = real_time(backend, stub)
    sagemaker = stub("sagemaker")
    sagemaker.add_response("describe_endpoint", endpoint_answer("InService"))
    sagemaker.add_response("describe_endpoint_config", CONFIG, {"EndpointConfigName": "street"})
    sagemaker.add_response("delete_endpoint", {}, {"EndpointName": "street"})
    if config:
        sagemaker.add_response("delete_endpoint_config", {}, {"EndpointConfigName": "street"})
    found.delete(config=config)
    sagemaker.add_response("delete_model", {}, {"ModelName": "street-model"})
    found.delete_model()


def test_a_model_is_deleted_before_its_endpoint(backend, stub, endpoint):
    sagemaker = stub("sagemaker")
    found = deployed(backend, sagemaker, endpoint)
    sagemaker.add_response("describe_endpoint", endpoint_answer("InService"))
    sagemaker.add_response("describe_endpoint_config", CONFIG)
    sagemaker.add_response("delete_model", {}, {"ModelName": "street-model"})
    found.delete_model()


def test_an_endpoint_that_is_up(backend, stub, endpoint):
    found = deployed(backend, stub("sagemaker"), endpoint)
    for status in ("Creating", "Updating", "InService"):
        stub("sagemaker").add_response("describe_endpoint", endpoint_answer(status))
    found.wait()
