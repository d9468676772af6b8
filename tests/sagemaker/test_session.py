"""The session: of this machine without credentials, else of an account (moto)."""

import pytest

from sagemaker_semseg import sagemaker
from sagemaker_semseg.errors import DataError, UserError
from sagemaker_semseg.sagemaker.s3 import S3Downloader, S3Uploader, s3_path_join
from sagemaker_semseg.sdk import backends


@pytest.fixture(params=["this machine", "an account"])
def session(request, state, monkeypatch):
    if request.param == "this machine":
        request.getfixturevalue("no_credentials")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        session = sagemaker.Session()
        assert session.is_local
        yield session
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        request.getfixturevalue("aws").setenv(name, "testing")
    with pytest.importorskip("moto").mock_aws():
        session = sagemaker.Session()
        assert not session.is_local
        yield session


def test_files_there_and_back(session, tmp_path):
    (tmp_path / "set" / "north").mkdir(parents=True)
    for name in ("a.jpg", "north/b.jpg"):
        (tmp_path / "set" / name).write_text(name)
    bucket = session.default_bucket()
    assert bucket == ("sagemaker-local" if session.is_local else "sagemaker-us-east-1-123456789012")
    place = session.upload_data(path=str(tmp_path / "set"), bucket=bucket, key_prefix="p/train")
    assert place == f"s3://{bucket}/p/train"
    assert session.upload_data(tmp_path / "set/a.jpg", key_prefix="one") == f"s3://{bucket}/one/a.jpg"
    assert session.list_s3_files(bucket, "p") == ["p/train/a.jpg", "p/train/north/b.jpg"]
    assert session.list_s3_files(bucket, "one/a.jpg") == ["one/a.jpg"]
    assert session.read_s3_file(bucket, "p/train/north/b.jpg") == "north/b.jpg"
    found = session.download_data(str(tmp_path / "back"), bucket, "p/train")
    assert found == [str(tmp_path / "back" / name) for name in ("a.jpg", "north/b.jpg")]
    assert (tmp_path / "back/north/b.jpg").read_text() == "north/b.jpg"
    assert session.download_data(tmp_path / "one", bucket, "one/a.jpg") == [str(tmp_path / "one/a.jpg")]
    with pytest.raises(DataError, match="no such file"):
        session.upload_data(tmp_path / "none")
    with pytest.raises(DataError, match="isn't there"):
        session.read_s3_file(bucket, "p/none")


def test_uploader_and_downloader(session, tmp_path):
    bucket = session.default_bucket()
    place = S3Uploader.upload_string_as_file_body("text", f"s3://{bucket}/a/b.txt", sagemaker_session=session)
    assert place == f"s3://{bucket}/a/b.txt"
    S3Uploader.upload_bytes(b"\0", f"s3://{bucket}/a/c", sagemaker_session=session)
    assert S3Downloader.list(f"s3://{bucket}/a", sagemaker_session=session) == [place, f"s3://{bucket}/a/c"]
    assert S3Downloader.read_file(place, sagemaker_session=session) == "text"
    assert S3Downloader.read_bytes(f"s3://{bucket}/a/c", sagemaker_session=session) == b"\0"
    S3Downloader.download(f"s3://{bucket}/a", tmp_path / "a", sagemaker_session=session)
    assert (tmp_path / "a/b.txt").read_text() == "text"
    assert s3_path_join("s3://bucket", "a/", "/b") == "s3://bucket/a/b"


def test_the_account(session):
    assert session.boto_region_name == "us-east-1"
    assert session.account_id() == ("000000000000" if session.is_local else "123456789012")
    if session.is_local:
        assert ":role/" in sagemaker.get_execution_role(session)
        assert session.expand_role("R") == "R"
    else:
        with pytest.raises(UserError, match="is a user, not a role"):
            sagemaker.get_execution_role(session)


def test_an_assumed_role_is_the_role(session):
    if session.is_local:
        return
    import boto3

    trust = '{"Version": "2012-10-17", "Statement": []}'
    role = boto3.client("iam").create_role(RoleName="Notebook", Path="/service-role/", AssumeRolePolicyDocument=trust)
    arn = role["Role"]["Arn"]
    keys = boto3.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    assumed = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    assert sagemaker.get_execution_role(sagemaker.Session(assumed)) == arn


def test_a_session_of_boto3_without_credentials_is_of_this_machine(state, aws):
    import boto3

    session = sagemaker.Session(boto_session=boto3.Session())
    assert session.is_local
    assert session.default_bucket() == "sagemaker-local"
    aws.setenv("AWS_ACCESS_KEY_ID", "testing")
    aws.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    assert not sagemaker.Session(boto3.Session(region_name="eu-west-1")).is_local


def test_this_machine_is_no_account(state, no_credentials):
    session = sagemaker.Session()
    for service, instead in (("s3", "upload_data"), ("sagemaker", "describe_tuning_job"), ("sts", "Sign in to AWS")):
        with pytest.raises(UserError, match=f"{service} needs credentials.*\n.*{instead}"):
            session.boto_session.client(service)
    with pytest.raises(UserError, match=r"\.predict\(image\)"):
        session.sagemaker_runtime_client.invoke_endpoint(EndpointName="mine")
    with pytest.raises(
        UserError, match=r"sagemaker_session: is one of this machine.*replace_sagemaker\(instance_type=\"local\"\)"
    ):
        backends.remote_backend(session)
    with pytest.raises(UserError, match="This machine knows no training job called none") as caught:
        sagemaker.estimator.Estimator.attach("none", sagemaker_session=session)
    assert "SageMaker" not in str(caught.value)  # there is no account
    with pytest.raises(UserError, match="is no bucket of this machine"):
        session.read_s3_file("others", "a")
    session.upload_string_as_file_body("1", "mine", "a")
    assert session.read_s3_file("mine", "a") == "1"
    assert sagemaker.LocalSession(default_bucket="other").default_bucket() == "other"


@pytest.mark.parametrize("key", ["../../out", "a/../../../out"])
def test_no_key_leads_out_of_the_bucket_or_the_folder(state, no_credentials, key, tmp_path):
    session = sagemaker.Session()
    with pytest.raises(DataError):
        session.upload_string_as_file_body("1", session.default_bucket(), key)
    with pytest.raises(DataError):
        session.read_s3_file(session.default_bucket(), key)


def test_images(monkeypatch):
    retrieve = sagemaker.image_uris.retrieve
    assert retrieve("semantic-segmentation", "us-west-2", version="latest") == (
        "433757028032.dkr.ecr.us-west-2.amazonaws.com/semantic-segmentation:1"
    )
    assert retrieve("semantic-segmentation", "cn-north-1").endswith(".amazonaws.com.cn/semantic-segmentation:1")
    with pytest.raises(UserError) as caught:
        retrieve("xgboost", "mars-1")
    assert [fault.where for fault in caught.value.faults] == ["framework", "region"]
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert ".us-east-1." in retrieve("semantic-segmentation", None)  # boto3.Session().region_name
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert ".eu-west-1." in retrieve("semantic-segmentation")


def test_this_package_s_own_image(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_IMAGE_URI", "1.dkr.ecr/semseg:1")
    assert sagemaker.image_uris.retrieve("semantic-segmentation") == "1.dkr.ecr/semseg:1"
