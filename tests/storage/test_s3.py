"""S3: what is listed, what is asked for, and each way in which it can fail; no credential is ever shown."""

import http.server
import threading
import traceback

import botocore.exceptions
import pytest
from botocore.stub import Stubber

from sagemaker_semseg.errors import DataError, UserError
from sagemaker_semseg.storage import FileInfo, S3FileSystem, S3Uri, locate, retry, s3, s3_filesystem
from sagemaker_semseg.storage.s3_errors import translate_error

SECRETS = {"AWS_ACCESS_KEY_ID": "AKIDTHEKEY", "AWS_SECRET_ACCESS_KEY": "THESECRET", "AWS_SESSION_TOKEN": "THETOKEN"}


def names(uri: str) -> list[str]:
    return [entry.name for entry in S3FileSystem(S3Uri.parse(uri)).files(lambda name: True, [])]


def test_more_keys_than_one_answer_holds(bucket):
    for number in range(1100):
        bucket.put_object(Bucket="images", Key=f"many/{number:04}.jpg")
    assert names("s3://images/many") == [f"{number:04}.jpg" for number in range(1100)]


def test_keys_of_every_kind(bucket):
    keys = ["a b.jpg", "a+b.jpg", "a%20b.jpg", "ä 写真.JPG", "x/../../y.jpg", "/z.jpg", "q?r=1#s.jpg", "tab\t.jpg"]
    for key in keys:
        bucket.put_object(Bucket="images", Key=f"odd/{key}", Body=key.encode())
    bucket.put_object(Bucket="images", Key="odd/")
    bucket.put_object(Bucket="images", Key="odd/folder/")
    bucket.put_object(Bucket="images", Key="odd2/other.jpg")
    store = S3FileSystem(S3Uri("images", "odd"))
    entries = list(store.files(lambda name: True, []))
    assert sorted(entry.name for entry in entries) == sorted(keys)
    assert all(store.read(entry, 100) == entry.name.encode() for entry in entries)
    assert {locate(store.where(entry.name))[1].size for entry in entries} == {len(key.encode()) for key in keys}


def test_an_empty_object_marks_a_folder(bucket):
    bucket.put_object(Bucket="images", Key="images")
    bucket.put_object(Bucket="images", Key="images/a.jpg", Body=b"x")
    store, entry = locate("s3://images/images")
    assert (store.where(), entry) == ("s3://images/images/", None)
    assert names("s3://images") == names("s3://images/") == ["images", "images/a.jpg"]


def test_the_media_type_is_kept(bucket):
    S3FileSystem(S3Uri("images", "")).write("a.png", [b"x"], "image/png")
    assert bucket.head_object(Bucket="images", Key="a.png")["ContentType"] == "image/png"


def test_an_object_that_changes_after_it_was_listed(bucket):
    store = S3FileSystem(S3Uri("images", ""))
    store.write("a", [b"one"], "x/y")
    entry = store.find("a")
    store.write("a", [b"two"], "x/y")
    with pytest.raises(DataError, match="has changed since the command began"):
        store.read(entry, 100)


def test_a_log_is_not_written_with_every_line(bucket, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(s3_filesystem.time, "monotonic", lambda: now[0])
    store = S3FileSystem(S3Uri("images", ""))
    log, seen = store.log("log"), []
    for number in range(25):
        log.append(b"%d" % number)
        seen.append(store.log("log").data.count(b"\n"))
        now[0] += 1
    assert seen == [1] * 10 + [11] * 10 + [21] * 5
    log.close()
    assert store.log("log").data.count(b"\n") == 25


@pytest.mark.parametrize("text", ["s3://", "s3:///key", "s3://b/key", "s3://a b/key", "s3://id:secret@bucket/key"])
def test_what_is_no_bucket(text):
    with pytest.raises(UserError, match="s3://BUCKET/KEY is expected"):
        S3Uri.parse(text)


# ---- what fails


def seen(error: UserError) -> str:
    """All that a user could ever see of it."""
    text = str(error) + "".join(traceback.format_exception(error))
    assert not [secret for secret in SECRETS.values() if secret in text]
    return str(error)


@pytest.mark.parametrize(
    ("code", "expected", "of_one_object"),
    [
        ("AccessDenied", "access is denied (the role needs s3:ListBucket", True),
        ("NoSuchKey", "there is no such object", True),
        ("InvalidObjectState", "is archived (restore it", True),
        ("NoSuchBucket", "there is no such bucket", False),
        ("ExpiredToken", "the credentials have expired (sign in again", False),
        ("InvalidAccessKeyId", "the credentials are not accepted", False),
        ("PermanentRedirect", "in another region (set AWS_DEFAULT_REGION", False),
        ("WhoKnows", "S3 answers WhoKnows: the words of S3", False),
    ],
)
def test_what_s3_refuses(aws, code, expected, of_one_object):
    for name, value in SECRETS.items():
        aws.setenv(name, value)
    store = S3FileSystem(S3Uri("images", "images"))
    with Stubber(s3.client()) as stub:
        for method, call in (
            ("list_objects_v2", lambda: list(store.files(lambda name: True, []))),
            ("list_objects_v2", lambda: store.find("a.jpg")),
            ("put_object", lambda: store.write("a.png", [b"x"], "image/png")),
        ):
            stub.add_client_error(method, code, "the words of S3")
            with pytest.raises(UserError) as caught:
                call()
            assert expected in seen(caught.value)
            assert "s3://images/images/" in caught.value.faults[0].where
            assert isinstance(caught.value, DataError) == of_one_object


def test_without_credentials(aws):
    for name in SECRETS:
        aws.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"no credentials were found .*aws configure"):
        locate("s3://images/images")


def test_a_credential_that_ends_in_a_line_break_is_not_shown(aws):
    """botocore's own message quotes the header with it."""
    for name, value in SECRETS.items():
        aws.setenv(name, value + "\n")
    aws.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="no credential ends in a line break") as caught:
        locate("s3://images/images")
    seen(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("AWS_ENDPOINT_URL_S3", "nonsense", "the endpoint is no URL"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9", "can't be reached"),
        ("AWS_PROFILE", "missing", "there is no such profile"),
    ],
)
def test_a_wrong_configuration(aws, variable, value, expected):
    for name, secret in SECRETS.items():
        aws.setenv(name, secret)
    aws.setenv("AWS_MAX_ATTEMPTS", "1")
    aws.setenv(variable, value)
    with pytest.raises(UserError) as caught:
        locate("s3://images/images")
    assert expected in seen(caught.value)


def test_without_boto3(aws):
    aws.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(UserError, match=r"pip install 'sagemaker-semseg\[aws\]'"):
        locate("s3://images/images")


def test_every_exception_of_botocore_has_its_words():
    def classes(above):
        for cls in above.__subclasses__():
            yield cls
            yield from classes(cls)

    for cls in classes(botocore.exceptions.BotoCoreError):
        error = cls.__new__(cls)
        error.args = ("THESECRET",)
        assert "THESECRET" not in seen(translate_error(error, "s3://b/k"))
    assert translate_error(ValueError("x"), "s3://b/k") is None


# ---- a server that breaks off


class Breaking(http.server.BaseHTTPRequestHandler):
    """Has one object of 1000 bytes, and breaks off in the middle of it as often as the server's ``breaks`` says."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.busy:
            self.server.busy -= 1
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("ETag", '"stamp"')
        self.send_header("Content-Length", "1000")
        self.end_headers()
        broken = self.server.breaks > 0
        self.server.breaks -= 1
        self.wfile.write(bytes(400 if broken else 1000))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def breaking(aws):
    for name, secret in SECRETS.items():
        aws.setenv(name, secret)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as server:
        server.breaks, server.busy, server.asked = 0, 0, []
        aws.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def entry(size: int) -> FileInfo:
    return FileInfo("a", size, "stamp", "s3://images/a")


def test_a_connection_that_breaks_is_made_again(breaking):
    breaking.breaks = 2
    assert S3FileSystem(S3Uri("images", "")).read(entry(1000), 1000) == bytes(1000)
    assert len(breaking.asked) == 3


def test_a_connection_that_always_breaks(breaking):
    breaking.breaks = 99
    with pytest.raises(DataError, match="doesn't arrive whole"):
        S3FileSystem(S3Uri("images", "")).read(entry(1000), 1000)
    assert len(breaking.asked) == retry.TRANSFERS.attempts


@pytest.mark.parametrize("size", [999, 1001])
def test_another_length_than_was_listed(breaking, size):
    with pytest.raises(DataError, match=f"{size} are expected"):
        S3FileSystem(S3Uri("images", "")).read(entry(size), 2000)


def test_a_busy_server_is_asked_again(breaking):
    breaking.busy = 2
    assert S3FileSystem(S3Uri("images", "")).read(entry(1000), 1000) == bytes(1000)
