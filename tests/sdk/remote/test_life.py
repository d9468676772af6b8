"""The whole life against moto's SageMaker, S3, IAM, STS and CloudWatch."""

import re
import time
from dataclasses import replace

import boto3
import pytest

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.remote import RemoteBackend
from sagemaker_semseg.sdk.specs import Channel
from tests.sdk.conftest import IMAGE
from tests.sdk.remote.conftest import SECRETS
from tests.sdk.remote.life import artifact, data, live, log, make_role


def answer(client_method, **name):
    return getattr(boto3.client("sagemaker"), client_method)(**name)


def test_the_whole_life(moto_cloud, backend, tmp_path, training, endpoint, transform, capsys):
    state, done, tuning = live(backend, tmp_path, training, endpoint, transform)
    printed = capsys.readouterr().out
    assert state.status == "Completed"
    assert "making the bucket sagemaker-eu-west-1-123456789012" in printed
    assert re.search(
        r"train: uploading 2 files, 0.0 MB, to s3://sagemaker-eu-west-1-123456789012/sagemaker-semseg/", printed
    )
    assert f"{training.name}: Completed" in printed
    assert "#quality_metric: mIOU" in printed

    # the result lies where the user wanted it
    files = [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files == [f"out/{training.name}/output/model.tar.gz"]
    assert (tmp_path / files[0]).read_bytes() == b"the model"

    job = answer("describe_training_job", TrainingJobName=training.name)
    assert job["RoleArn"] == "arn:aws:iam::123456789012:role/service/SageMakerRole"
    (place,) = {channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in job["InputDataConfig"][:1]}
    keys = [
        item["Key"]
        for item in boto3.client("s3").list_objects_v2(Bucket=place.split("/")[2], Prefix=place.split("/", 3)[3])[
            "Contents"
        ]
    ]
    assert [key.removeprefix(place.split("/", 3)[3]) for key in keys] == ["/a.png", "/north/b.png"]

    transformed = answer("describe_transform_job", TransformJobName=transform.name)
    assert transformed["TransformOutput"]["S3OutputPath"] == "s3://sagemaker-eu-west-1-123456789012/street-1"
    assert done.state().output == transformed["TransformOutput"]["S3OutputPath"]
    assert tuning.describe()["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 2

    # nothing is left of the endpoint
    for kind in ("models", "endpoints", "endpoint_configs"):
        assert next(value for name, value in answer(f"list_{kind}").items() if name.endswith("s")) == []


def test_credentials_are_nowhere(moto_cloud, backend, tmp_path, training, endpoint, transform, capsys):
    """Not in requests (moto echoes them), nor in objects' names, files or what was printed."""
    live(backend, tmp_path, training, endpoint, transform)
    captured = capsys.readouterr()
    texts = [captured.out, captured.err, repr(training), repr(backend.training_job(training.name).describe())]
    texts += [path.read_bytes().decode() for path in tmp_path.rglob("*") if path.is_file()]
    texts += [repr(answer("describe_transform_job", TransformJobName=transform.name))]
    s3 = boto3.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        texts += [item["Key"] for item in s3.list_objects_v2(Bucket=bucket["Name"])["Contents"]]
    assert len(texts) > 10
    assert [secret for secret in SECRETS.values() for text in texts if secret in text] == []


def test_another_process_finds_it_again(moto_cloud, backend, training):
    """And knows how it was started. moto invents metric definitions and an environment."""
    backend.train(training, attached=False)
    found = RemoteBackend(boto3.Session()).training_job(training.name).state()
    assert replace(found.spec, metric_definitions=(), environment={}) == training
    assert found.output == f"s3://images/out/{training.name}/output/model.tar.gz"


def test_a_transform_is_found_again(moto_cloud, backend, transform):
    backend.transform(transform, attached=True)
    assert backend.transform_job(transform.name).state().spec == transform


def test_data_is_uploaded_once(moto_cloud, backend, tmp_path, training, capsys):
    spec = replace(training, channels=data(tmp_path))
    first = backend.training_request(spec)
    assert capsys.readouterr().out.count("uploading") == 4
    assert backend.training_request(spec) == first
    assert "uploading" not in capsys.readouterr().out
    (tmp_path / "train" / "a.png").write_bytes(b"train A.png")  # of the same size
    (tmp_path / "train" / ".hidden").write_bytes(b"x")
    again = backend.training_request(spec)
    assert capsys.readouterr().out.count("uploading 2 files") == 1
    places = [[c["DataSource"]["S3DataSource"]["S3Uri"] for c in r["InputDataConfig"]] for r in (first, again)]
    assert [old == new for old, new in zip(*places, strict=True)] == [False, True, True, True]


def test_a_partial_upload_is_repeated(moto_cloud, backend, tmp_path, training, capsys):
    spec = replace(training, channels=data(tmp_path))
    place = backend.training_request(spec)["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    artifact(f"{place}/a.png")
    capsys.readouterr()
    backend.training_request(spec)
    assert "train: uploading 1 files" in capsys.readouterr().out


def test_the_log_of_several_machines(moto_cloud, backend, training):
    backend.train(training, attached=False)
    job = backend.training_job(training.name)
    assert list(job.logs(follow=True)) == []  # no log group yet
    log("/aws/sagemaker/TrainingJobs", f"{training.name}/algo-1-17", "one\x1b[31m", "two")
    client = boto3.client("logs")
    stream = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamName": f"{training.name}/algo-2-17"}
    client.create_log_stream(**stream)
    client.put_log_events(**stream, logEvents=[{"timestamp": int(time.time() * 1000), "message": "three"}])
    assert list(job.logs(follow=True)) == ["[algo-1] one [31m", "[algo-1] two", "[algo-2] three"]


def test_the_image_from_the_environment(moto_cloud, backend, training):
    moto_cloud.setenv("SAGEMAKER_SEMSEG_IMAGE_URI", IMAGE)
    request = backend.training_request(replace(training, image_uri=None))
    assert request["AlgorithmSpecification"]["TrainingImage"] == IMAGE


@pytest.mark.parametrize(
    ("instance_type", "warned"),
    [("ml.c5.xlarge", "has no GPU"), ("ml.m7i-flex.large", "has no GPU"), ("ml.trn1.2xlarge", "doesn't use here")],
)
def test_an_instance_without_a_gpu_is_warned_of(moto_cloud, backend, training, instance_type, warned):
    with pytest.warns(UserWarning, match=warned):
        backend.train(replace(training, instance_type=instance_type), attached=True)


def test_the_bucket_of_somebody_else_is_not_used(cloud, backend, stub, training, tmp_path):
    stub("sts").add_response("get_caller_identity", {"Account": "123456789012"})
    stub("s3").add_client_error("head_bucket", "403", http_status_code=403)
    with pytest.raises(UserError, match="access is denied, or it is another account's"):
        backend.training_request(replace(training, output_path=None))


def test_a_session_of_aws_s_sdk(moto_cloud, training):
    """Its clients, its region and its bucket."""

    class Session:
        boto_session = boto3.Session(region_name="eu-central-1")
        sagemaker_client = boto_session.client("sagemaker")

        def default_bucket(self):
            return "theirs"

    backend = RemoteBackend(Session())
    assert (backend.account.region, backend.account.bucket) == ("eu-central-1", "theirs")
    assert backend.account.client("sagemaker") is Session.sagemaker_client
    request = backend.training_request(replace(training, output_path=None))
    assert request["OutputDataConfig"] == {"S3OutputPath": "s3://theirs/"}


def test_a_manifest_on_this_machine(moto_cloud, backend, tmp_path, training):
    def manifest(name, *lines):
        (tmp_path / name).write_text("\n".join(lines))
        return Channel(
            name.partition(".")[0], str(tmp_path / name), data_type="AugmentedManifestFile",
            attribute_names=("source-ref", "mask-ref"), record_wrapping="RecordIO",
        )  # fmt: skip

    good = '{"source-ref": "s3://b/a.jpg", "mask-ref": "s3://b/a.png", "other-ref": "here"}'
    channels = [manifest("train.manifest", good, "", good), manifest("validation.manifest", good)]
    spec = replace(training, channels=channels, input_mode="Pipe")
    (first, _) = backend.training_request(spec)["InputDataConfig"]
    assert first["DataSource"]["S3DataSource"]["S3Uri"].endswith("/train.manifest")
    manifest("train.manifest", good, '{"source-ref": "a.jpg"}')
    with pytest.raises(UserError, match=r"train.manifest, line 2: source-ref is 'a.jpg', which SageMaker can't reach"):
        backend.training_request(spec)
    for bad in ("[" * 100_000, "7", "{"):
        manifest("train.manifest", bad)
        with pytest.raises(UserError, match="line 1: is no JSON object"):
            backend.training_request(spec)


def test_a_name_s_role_that_is_not_there(moto_cloud, backend, training):
    with pytest.raises(UserError, match=r"role Missing: there is no such thing .*or give the role's ARN"):
        backend.train(replace(training, role="Missing"), attached=True)
    make_role()
    assert backend.account.role_arn("service/SageMakerRole").endswith(":role/service/SageMakerRole")


@pytest.mark.parametrize("key", ["../../evil", "a/../../../evil", "/../evil"])
def test_results_stay_below_their_folder(moto_cloud, backend, tmp_path, key):
    from sagemaker_semseg.sdk.remote.s3_transfer import fetch

    boto3.client("s3").create_bucket(Bucket="images", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    boto3.client("s3").put_object(Bucket="images", Key=f"out/{key}", Body=b"x")
    with pytest.raises(UserError, match="lies outside"):
        fetch(backend.account, "s3://images/out", tmp_path / "here" / "results")
    assert not list(tmp_path.rglob("evil"))
