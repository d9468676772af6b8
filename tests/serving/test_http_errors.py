"""What a client gets to see of an error."""

from __future__ import annotations

import json

import pytest

from sagemaker_semseg.errors import AlgorithmError, DataError, Fault, SemSegError, UserError
from sagemaker_semseg.serving import http_errors
from sagemaker_semseg.serving.http_errors import error_body, model_error, quote


def error_of(error: Exception) -> dict[str, object]:
    content = json.loads(error_body(error))
    assert list(content) == ["error"]
    assert list(content["error"]) == ["status", "type", "message", "remedy"]
    return content["error"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (http_errors.BadRequest("m"), 400),
        (http_errors.NotFound("GET", "/x"), 404),
        (http_errors.MethodNotAllowed("PUT", "/ping"), 405),
        (http_errors.NotAcceptable("m"), 406),
        (http_errors.RequestTimeout("m"), 408),
        (http_errors.PayloadTooLarge("m"), 413),
        (http_errors.UnsupportedMediaType("m"), 415),
        (http_errors.Overloaded(), 503),
        (DataError("m"), 400),
    ],
)
def test_status_is_that_of_the_error(error: SemSegError, status: int) -> None:
    assert error.http_status == status
    assert error_of(error)["status"] == status
    assert error_of(error)["type"] == type(error).__name__
    assert isinstance(error, UserError) == (status < 500)


def test_message_and_remedy() -> None:
    assert error_of(http_errors.NotAcceptable("what came", "the remedy")) == {
        "status": 406,
        "type": "NotAcceptable",
        "message": "what came",
        "remedy": "the remedy",
    }
    assert error_of(http_errors.PayloadTooLarge("m"))["remedy"]
    assert error_of(http_errors.Overloaded())["remedy"]
    assert http_errors.Overloaded().retry_after >= 1


def test_all_faults_are_reported() -> None:
    faults = [Fault("image", "it is a GIF", "convert it"), Fault("header", "no", "convert it"), Fault("a", "b", "fix")]
    content = error_of(DataError("an image can't be used", faults))
    assert content["message"] == "image: it is a GIF; header: no; a: b"
    assert content["remedy"] == "convert it; fix"


@pytest.mark.parametrize("kind", [OSError, MemoryError, AlgorithmError])
def test_faults_of_the_server_are_not_described(kind: type[Exception]) -> None:
    content = error_of(kind("/secret/path"))
    assert content["status"] == 500
    assert content["type"] == "AlgorithmError"
    assert "secret" not in str(content)
    assert "OSError" not in str(content)


def test_causes_are_not_reported() -> None:
    error = DataError("outer")
    error.__cause__ = RuntimeError("inner")
    assert error_of(error)["message"] == "outer"
    assert b"inner" not in error_body(error)


HOSTILE = "é\r\nSet-Cookie: a=b\r\n\r\n<script>\u202e\0\x1b[2J\udcff" + "x" * 50_000


def test_hostile_text_is_printable_ascii_and_short() -> None:
    for text in (error_body(http_errors.NotFound("GET", HOSTILE)), error_body(http_errors.BadRequest(HOSTILE))):
        assert all(0x20 <= byte < 0x7F for byte in text)
        assert len(text) < 8000
    assert quote(HOSTILE).isascii()
    assert quote(HOSTILE).isprintable()
    assert len(quote(HOSTILE)) < 300
    assert quote("image/gif") == "'image/gif'"


@pytest.mark.parametrize(("status", "whose"), [(415, "client"), (400, "client"), (500, "server"), (503, "server")])
def test_model_error_has_the_fields_of_sagemakers_runtime(status: int, whose: str) -> None:
    original = error_body(http_errors.UnsupportedMediaType('"quoted"')).decode()
    headers, content = model_error("my-endpoint", status, original.encode())
    assert headers == {"x-amzn-ErrorType": "ModelError"}
    fields = json.loads(content)
    assert sorted(fields) == ["LogStreamArn", "Message", "OriginalMessage", "OriginalStatusCode"]
    assert fields["OriginalStatusCode"] == status
    assert fields["OriginalMessage"] == original
    assert fields["Message"].startswith(f'Received {whose} error ({status}) from primary with message "{original}"')


def test_boto3_reads_it_as_its_own_model_error() -> None:
    session = pytest.importorskip("botocore.session").get_session()
    from botocore.awsrequest import HeadersDict
    from botocore.parsers import create_parser

    service = session.get_service_model("sagemaker-runtime")
    headers, content = model_error("my-endpoint", 415, b"why")
    reply = {"status_code": 424, "headers": HeadersDict(headers), "body": content}
    parsed = create_parser("rest-json").parse(reply, service.operation_model("InvokeEndpoint").output_shape)
    assert parsed["Error"]["Code"] == "ModelError"
    assert "(415)" in parsed["Error"]["Message"]
    assert set(json.loads(content)) == set(service.shape_for("ModelError").members)
