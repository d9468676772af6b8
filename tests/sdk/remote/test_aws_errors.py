"""Each way in which SageMaker can refuse or fail: a clear error, nothing left behind, no credential shown."""

import traceback
from dataclasses import replace

import botocore.exceptions
import pytest

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.remote import RemoteBackend, aws_errors, clients
from sagemaker_semseg.sdk.specs import JobFailed
from sagemaker_semseg.storage.retry import JOBS
from tests.sdk.conftest import ROLE
from tests.sdk.remote.conftest import SECRETS

DENIED = "User: arn:aws:iam::1:user/x is not authorized to perform: iam:PassRole on resource: y"


def text_of(error: Exception) -> str:
    """All that a user could ever see of it."""
    text = str(error) + "".join(traceback.format_exception(error))
    assert [secret for secret in SECRETS.values() if secret in text] == []
    return str(error)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("AccessDeniedException", DENIED, "access is denied: iam:PassRole (User: arn"),
        ("AccessDeniedException", "no", "access is denied: sagemaker:CreateTrainingJob (allow sage"),
        ("AccessDeniedException", "no", "see the policies in docs/aws.md"),
        ("ThrottlingException", "Rate exceeded", "AWS is asked too often (ThrottlingException"),
        ("ResourceInUse", "Job name must be unique", "the name is taken: Job name must be unique (give another name"),
        ("ValidationException", "Cannot create already existing job", "the name is taken"),
        ("ResourceLimitExceeded", "limit 'ml.g5.xlarge' is 0 Instances", "limit 'ml.g5.xlarge' is 0 Instances (ask"),
        ("ValidationException", "Could not find x", "there is no such thing in this account and region"),
        ("ValidationException", "Invalid\x1b[2J value AKIATHEKEYTHEKEYTHE1", "Invalid [2J value (a key's id)"),
        ("ExpiredTokenException", "expired", "the credentials have expired (sign in again"),
        ("UnrecognizedClientException", "security token", "the credentials are not accepted"),
        ("NewThing", "the words of AWS", "NewThing: the words of AWS"),
    ],
)  # fmt: skip
def test_what_is_refused_when_a_job_is_made(backend, stub, training, code, message, expected):
    stub("sagemaker").add_client_error("create_training_job", code, message)
    with pytest.raises(UserError) as caught:
        backend.train(training, attached=True)
    assert f"training job {training.name}: " in str(caught.value)
    assert expected in text_of(caught.value)


def describe(training, **more):
    return {
        "TrainingJobName": training.name, "TrainingJobArn": "a" * 30, "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Training", "ModelArtifacts": {"S3ModelArtifacts": "s3://images/m"},
        "AlgorithmSpecification": {"TrainingInputMode": "File"}, "StoppingCondition": {"MaxRuntimeInSeconds": 1},
        "ResourceConfig": {"VolumeSizeInGB": 1, "InstanceType": "ml.g5.xlarge", "InstanceCount": 1},
        "CreationTime": 1_790_000_000, **more,
    }  # fmt: skip


def job(backend, stub, training, *answers):
    stub("sagemaker").add_response("describe_training_job", describe(training))
    for answer in answers:
        if isinstance(answer, str):
            stub("sagemaker").add_client_error("describe_training_job", answer, "x", http_status_code=400)
        else:
            stub("sagemaker").add_response("describe_training_job", describe(training, **answer))
    return backend.training_job(training.name)


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("ClientError: train: no such channel, exit code: 2", ""),
        ("CapacityError: Unable to provision requested ML compute capacity", "try another instance_type"),
        ("ClientError: Data download failed: AccessDenied (403)", "the role lacks a permission: see the policies"),
        ("ClientError: Cannot pull image from ECR repository", "check image_uri"),
        ("", "SageMaker gives no reason"),
    ],
)  # fmt: skip
def test_a_job_that_fails(backend, stub, training, reason, remedy, capsys):
    ended = {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed", "FailureReason": reason}
    with pytest.raises(JobFailed) as caught:
        job(backend, stub, training, {}, ended).wait(logs=False)
    assert reason in text_of(caught.value)
    assert remedy in str(caught.value)
    assert "/aws/sagemaker/TrainingJobs" in str(caught.value)
    assert capsys.readouterr().out.splitlines() == [f"{training.name}: Training", f"{training.name}: Failed"]


def test_waiting_bears_with_a_throttled_aws(cloud, backend, stub, training):
    cloud.pauses.clear()
    done = {"TrainingJobStatus": "Completed", "SecondaryStatus": "Completed"}
    found = job(backend, stub, training, *["ThrottlingException"] * 5, done)
    assert found.wait(logs=False).status == "Completed"
    assert len(cloud.pauses) == 5
    assert [2**n / 2 <= pause <= 2**n for n, pause in enumerate(cloud.pauses, 1)] == [True] * 5  # it doubles


def test_patience_ends(backend, stub, training):
    found = job(backend, stub, training, *["ThrottlingException"] * JOBS.attempts)
    with pytest.raises(UserError, match="AWS is asked too often"):
        found.wait(logs=False)


def test_waiting_ends_where_access_is_denied(backend, stub, training):
    found = job(backend, stub, training, "AccessDeniedException")
    with pytest.raises(UserError, match="access is denied: sagemaker:DescribeTrainingJob"):
        found.wait(logs=False)


@pytest.mark.parametrize(
    ("secondary", "expected"),
    [("MaxRuntimeExceeded", "max_run"), ("MaxWaitTimeExceeded", "spot instance"), ("Stopped", "")],
)
def test_a_job_that_was_stopped(backend, stub, training, secondary, expected, capsys):
    ended = {"TrainingJobStatus": "Stopped", "SecondaryStatus": secondary}
    state = job(backend, stub, training, ended).wait(logs=False)
    assert (state.status, state.output) == ("Stopped", "s3://images/m")
    assert expected in capsys.readouterr().err


def test_the_bill(backend, stub, training, capsys):
    done = {
        "TrainingJobStatus": "Completed", "SecondaryStatus": "Completed", "TrainingTimeInSeconds": 1000,
        "BillableTimeInSeconds": 300,
    }  # fmt: skip
    job(backend, stub, training, done).wait(logs=False)
    assert "trained for 1000 s, 300 s are billed, spot instances saved 70 %" in capsys.readouterr().out


def test_stopping(backend, stub, training):
    found = job(backend, stub, training, {})
    stub("sagemaker").add_response("stop_training_job", {}, {"TrainingJobName": training.name})
    found.stop()
    stub("sagemaker").add_response("describe_training_job", describe(training, TrainingJobStatus="Stopped"))
    found.stop()  # asking twice does no harm


def test_ctrl_c_while_waiting(backend, stub, training, monkeypatch, capsys):
    found = job(backend, stub, training, {})

    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(clients.time, "sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found.wait(logs=False)
    assert (
        f"Stop it with: aws sagemaker stop-training-job --training-job-name {training.name}" in capsys.readouterr().err
    )


@pytest.mark.parametrize("kind", ["training_job", "transform_job", "endpoint", "tuning_job"])
def test_what_is_not_there(backend, stub, kind):
    operation = {"tuning_job": "describe_hyper_parameter_tuning_job"}.get(kind, f"describe_{kind}")
    stub("sagemaker").add_client_error(operation, "ValidationException", "Requested resource not found.")
    with pytest.raises(UserError, match=r"nothing-1: there is no such .*check the name, the region and the account"):
        getattr(backend, kind)("nothing-1")


# ---- endpoints


@pytest.mark.parametrize("fails_at", ["create_model", "create_endpoint_config", "create_endpoint"])
def test_nothing_is_left_of_an_endpoint_that_is_refused(backend, stub, endpoint, fails_at):
    sagemaker, arn = stub("sagemaker"), "arn:aws:sagemaker:eu-west-1:123456789012:x/street"
    made = []
    for method, answer in (
        ("create_model", {"ModelArn": arn}),
        ("create_endpoint_config", {"EndpointConfigArn": arn}),
        ("create_endpoint", {"EndpointArn": arn}),
    ):
        if method == fails_at:
            sagemaker.add_client_error(method, "ResourceLimitExceeded", "limit 'ml.c5.xlarge' is 0")
            break
        sagemaker.add_response(method, answer)
        made.append(method)
    for method in reversed(made):
        name = {"create_model": "ModelName", "create_endpoint_config": "EndpointConfigName"}[method]
        sagemaker.add_response(method.replace("create", "delete"), {}, {name: "street"})
    with pytest.raises(UserError, match="Service Quotas"):
        backend.deploy(endpoint, attached=True)


def endpoint_answer(status, **more):
    return {
        "EndpointName": "street", "EndpointArn": "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/street",
        "EndpointConfigName": "street", "EndpointStatus": status, "CreationTime": 0, "LastModifiedTime": 0, **more,
    }  # fmt: skip


def deployed(backend, sagemaker, endpoint):
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:x/street"
    sagemaker.add_response("create_model", {"ModelArn": arn})
    sagemaker.add_response("create_endpoint_config", {"EndpointConfigArn": arn})
    sagemaker.add_response("create_endpoint", {"EndpointArn": arn})
    return backend.deploy(endpoint, attached=True)


def test_an_endpoint_that_fails_while_it_starts(backend, stub, endpoint):
    sagemaker = stub("sagemaker")
    started = deployed(backend, sagemaker, endpoint)
    why = "The primary container for production variant AllTraffic did not pass the ping health check."
    sagemaker.add_response("describe_endpoint", endpoint_answer("Creating"))
    sagemaker.add_response("describe_endpoint", endpoint_answer("Failed", FailureReason=why))
    sagemaker.add_response("delete_endpoint", {}, {"EndpointName": "street"})
    sagemaker.add_response("delete_endpoint_config", {}, {"EndpointConfigName": "street"})
    sagemaker.add_response("delete_model", {}, {"ModelName": "street"})
    with pytest.raises(JobFailed) as caught:
        started.wait()
    for expected in (why, "container_startup_health_check_timeout", "/aws/sagemaker/Endpoints/street", "deleted again"):
        assert expected in str(caught.value)


def test_what_can_t_be_deleted_again_is_said(backend, stub, endpoint):
    sagemaker = stub("sagemaker")
    started = deployed(backend, sagemaker, endpoint)
    sagemaker.add_response("describe_endpoint", endpoint_answer("Failed", FailureReason="InsufficientInstanceCapacity"))
    sagemaker.add_client_error("delete_endpoint", "AccessDeniedException", "no")
    sagemaker.add_client_error("delete_endpoint_config", "ValidationException", "Could not find it")
    sagemaker.add_response("delete_model", {})
    with (
        pytest.warns(UserWarning, match=r"something is left behind: [^@]*sagemaker:DeleteEndpoint"),
        pytest.raises(JobFailed, match="AWS has no such machine free"),
    ):
        started.wait()


def test_an_endpoint_of_another_process_is_not_deleted(backend, stub):
    stub("sagemaker").add_response("describe_endpoint", endpoint_answer("InService"))
    stub("sagemaker").add_response("describe_endpoint", endpoint_answer("Failed", FailureReason="gone"))
    with pytest.raises(JobFailed, match="it is still there"):
        backend.endpoint("street").wait()


def test_a_model_s_name_that_is_taken(backend, stub, endpoint):
    """The same model is taken as it is, and not deleted with an endpoint that fails; another one is an error."""
    sagemaker = stub("sagemaker")
    model = endpoint.model
    container = {"Image": model.image_uri, "ModelDataUrl": model.model_data, "Environment": {}}
    described = {"ModelName": "street", "CreationTime": 0, "ModelArn": "a" * 30, "ExecutionRoleArn": ROLE}
    for data, follows in ((model.model_data, True), ("s3://images/other", False)):
        sagemaker.add_client_error("create_model", "ValidationException", "Cannot create already existing model")
        answer = {**described, "PrimaryContainer": {**container, "ModelDataUrl": data}}
        sagemaker.add_response("describe_model", answer, {"ModelName": "street"})
        if follows:
            sagemaker.add_client_error("create_endpoint_config", "ResourceLimitExceeded", "limit")
        with pytest.raises(UserError, match="limit" if follows else "the name is taken"):
            backend.deploy(endpoint, attached=True)


def test_a_transform_that_is_refused_leaves_no_model(backend, stub, transform):
    stub("sagemaker").add_response("create_model", {"ModelArn": "a" * 30})
    stub("sagemaker").add_client_error("create_transform_job", "ResourceLimitExceeded", "limit")
    stub("sagemaker").add_response("delete_model", {}, {"ModelName": "street"})
    with pytest.raises(UserError, match="limit"):
        backend.transform(transform, attached=True)


# ---- before anything is sent


def test_all_faults_of_a_job_before_it_is_sent(cloud, backend, training, tmp_path):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        cloud.delenv(name, raising=False)
    channels = [replace(channel, place=str(tmp_path / "none")) for channel in training.channels[:1]]
    spec = replace(training, role=None, image_uri=None, channels=[*channels, *training.channels[1:]])
    found = {fault.where: str(fault) for fault in backend.faults(spec)}
    assert found.keys() == {"region", "role", "image_uri", "train"}
    assert "set AWS_DEFAULT_REGION, or give sagemaker_session" in found["region"]
    assert "no such file or folder" in found["train"]
    assert "SAGEMAKER_SEMSEG_IMAGE_URI" in found["image_uri"]
    with pytest.raises(UserError) as caught:
        backend.train(spec, attached=True)
    assert {fault.where for fault in caught.value.faults} == found.keys()


def test_faults_of_an_endpoint_and_a_transform(backend, endpoint, transform):
    assert [fault.where for fault in backend.faults(replace(endpoint, instance_type=None))] == ["instance_type"]
    model = replace(transform.model, model_data="/no/model.tar.gz")
    spec = replace(transform, model=model, data="/no/images", split_type="Line")
    assert [fault.where for fault in backend.faults(spec)] == ["model_data", "split_type", "data"]
    assert backend.faults(endpoint) == backend.faults(transform) == []


def test_without_boto3(cloud, training, monkeypatch):
    import sys

    from sagemaker_semseg.sdk.remote import backend as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert [fault.remedy for fault in RemoteBackend().faults(training)] == ["pip install 'sagemaker-semseg[aws]'"]
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UserError, match=r"pip install 'sagemaker-semseg\[aws\]'"):
        RemoteBackend().account.client("sagemaker")


def test_without_credentials(cloud, training):
    for name in SECRETS:
        cloud.delenv(name)
    with pytest.raises(UserError, match=r"no credentials were found .*aws configure"):
        RemoteBackend().train(training, attached=True)


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        (7, "sagemaker_session: int came, a boto3.Session or a Session of AWS's SDK is expected"),
        (type("LocalSession", (), {"local_mode": True})(), 'give instance_type="local"'),
    ],
)
def test_what_is_no_session(cloud, training, session, expected):
    with pytest.raises(UserError) as caught:
        RemoteBackend(session).account.client("sagemaker")
    assert expected in str(caught.value)


def test_every_exception_of_botocore_has_its_words():
    def classes(above):
        for cls in above.__subclasses__():
            yield cls
            yield from classes(cls)

    for cls in classes(botocore.exceptions.BotoCoreError):
        error = cls.__new__(cls)
        error.args = (SECRETS["AWS_SESSION_TOKEN"],)
        with pytest.raises(UserError) as caught, aws_errors.translated_errors("x", "sagemaker:CreateModel"):
            raise error
        text_of(caught.value)
    with pytest.raises(ZeroDivisionError), aws_errors.translated_errors("x", "y"):
        raise ZeroDivisionError
