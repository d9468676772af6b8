"""The bridges to AWS's SDK: what crosses, and what stands in the way. Stand-ins take the place of the SDK's modules;
``make test-sagemaker2`` and ``make test-sagemaker3`` go over the bridges with the real ones and compare what is sent.
"""

import inspect
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import boto3
import pytest

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.metrics import METRIC_DEFINITIONS
from sagemaker_semseg.sdk import adapters, request_specs
from sagemaker_semseg.sdk.estimator import SemSegEstimator
from tests.sdk.conftest import IMAGE, ROLE

SESSION = SimpleNamespace(boto_session=None, sagemaker_client=object())
PLAIN = {"image_uri": IMAGE, "role": ROLE, "instance_type": "ml.g5.xlarge", "sagemaker_session": SESSION}
METRICS = [{"Name": row["Name"], "Regex": row["Regex"]} for row in METRIC_DEFINITIONS]
BOARD = SimpleNamespace(_to_request_dict=lambda: {"S3OutputPath": "s3://pictures/t"})
PROFILER = SimpleNamespace(_to_request_dict=lambda: {"DisableProfiler": True})
PLACEMENT = {"EnableMultipleJobs": True, "PlacementSpecifications": [{"UltraServerId": "u"}]}
MODEL = {"data_source": {"s3_data_source": {"s3_uri": "s3://pictures/m.tar.gz", "s3_data_type": "S3Prefix",
         "s3_data_distribution_type": "FullyReplicated"}},
         "content_type": "application/x-sagemaker-model", "input_mode": "File"}  # fmt: skip

# argument -> its value, the others that it can't be without, and where version 3 has it (None: it hasn't)
CROSSING = {
    "image_uri": ("other/image", {}, ("training_image", "other/image")),
    "role": ("SageMakerRole", {}, ("role", "SageMakerRole")),
    "instance_count": (2, {}, ("compute.instance_count", 2)),
    "instance_type": ("ml.p4d.24xlarge", {}, ("compute.instance_type", "ml.p4d.24xlarge")),
    "keep_alive_period_in_seconds": (600, {}, ("compute.keep_alive_period_in_seconds", 600)),
    "volume_size": (50, {}, ("compute.volume_size_in_gb", 50)),
    "volume_kms_key": ("key", {}, ("compute.volume_kms_key_id", "key")),
    "max_run": (3600, {}, ("stopping_condition.max_runtime_in_seconds", 3600)),
    "input_mode": ("FastFile", {}, ("training_input_mode", "FastFile")),
    "output_path": ("s3://pictures/out", {}, ("output_data_config.s3_output_path", "s3://pictures/out")),
    "output_kms_key": ("key", {}, ("output_data_config.kms_key_id", "key")),
    "base_job_name": ("street", {}, ("base_job_name", "street")),
    "tags": ([{"Key": "a", "Value": "b"}], {}, ("tags", [{"key": "a", "value": "b"}])),
    "subnets": (["subnet-1"], {"security_group_ids": ["sg-1"]}, ("networking.subnets", ["subnet-1"])),
    "security_group_ids": (["sg-1"], {"subnets": ["subnet-1"]}, ("networking.security_group_ids", ["sg-1"])),
    "model_uri": ("s3://pictures/m.tar.gz", {}, ("input_data_config", [{"channel_name": "model", **MODEL}])),
    "model_channel_name": ("first", {"model_uri": "s3://pictures/m.tar.gz"},
                           ("input_data_config", [{"channel_name": "first", **MODEL}])),
    "encrypt_inter_container_traffic": (True, {}, ("networking.enable_inter_container_traffic_encryption", True)),
    "use_spot_instances": (True, {"max_wait": 90000}, ("compute.enable_managed_spot_training", True)),
    "max_wait": (90000, {"use_spot_instances": True}, ("stopping_condition.max_wait_time_in_seconds", 90000)),
    "checkpoint_s3_uri": ("s3://pictures/c", {}, ("checkpoint_config.s3_uri", "s3://pictures/c")),
    "checkpoint_local_path": ("/c", {"checkpoint_s3_uri": "s3://pictures/c"}, ("checkpoint_config.local_path", "/c")),
    "enable_network_isolation": (True, {}, ("networking.enable_network_isolation", True)),
    "environment": ({"A": "b"}, {}, ("environment", {"A": "b"})),
    "max_retry_attempts": (3, {}, ("retry_strategy.maximum_retry_attempts", 3)),
    "tensorboard_output_config": (BOARD, {}, ("tensorboard_output_config.s3_output_path", "s3://pictures/t")),
    "enable_sagemaker_metrics": (True, {}, None),
    "profiler_config": (PROFILER, {}, None),
    "disable_profiler": (True, {}, None),
    "container_entry_point": (["sagemaker-semseg"], {}, None),
    "container_arguments": (["train"], {}, None),
    "training_repository_access_mode": ("Vpc", {}, ("training_image_config.training_repository_access_mode", "Vpc")),
    "training_repository_credentials_provider_arn": (
        "arn:f", {"training_repository_access_mode": "Vpc"},
        ("training_image_config.training_repository_auth_config.training_repository_credentials_provider_arn", "arn:f"),
    ),
    "disable_output_compression": (True, {}, ("output_data_config.compression_type", "NONE")),
    "enable_infra_check": (True, {}, ("infra_check_config.enable_infra_check", True)),
    "enable_remote_debug": (True, {}, ("remote_debug_config.enable_remote_debug", True)),
    "enable_session_tag_chaining": (True, {}, ("session_chaining_config.enable_session_tag_chaining", True)),
    "training_plan": ("arn:plan", {}, ("compute.training_plan_arn", "arn:plan")),
    "instance_placement_config": (PLACEMENT, {}, ("compute.instance_placement_config", {
        "enable_multiple_jobs": True, "placement_specifications": [{"ultra_server_id": "u"}],
    })),
}  # fmt: skip
REFUSED = {"rules": ["a rule"], "debugger_hook_config": object()}
"""By our own ``fit``, too."""
OF_THEIR_OWN = {"sagemaker_session", "hyperparameters", "metric_definitions"}
"""Tests of their own."""
WITHOUT_MEANING = {*request_specs._OF_SCRIPTS, "instance_groups", "container_log_level", "kwargs"}
"""For scripts and clusters of several kinds: our estimator can't be made with them."""


class Made:
    """What something of AWS's was made with."""

    def __init__(self, **given):
        self.given = given


class FakeTrainer(Made):
    def __getattr__(self, name):
        return lambda value: self.given.update({name.removeprefix("with_"): value})


class Kinds(ModuleType):
    """A module that has every class."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Made,), {})


def install(monkeypatch, version, modules):
    """modules: below ``sagemaker``, by their names there."""
    monkeypatch.setattr(adapters, "version", lambda name: version)
    packages = {name.rpartition(".")[0] for name in modules} | {"core", ""}
    found = {**{package: ModuleType("package") for package in packages}, **modules}
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, f"sagemaker.{name}".rstrip("."), module)
        parent, _, last = name.rpartition(".")
        setattr(found[parent], last, module)


@pytest.fixture
def sdk2(monkeypatch):
    """Version 2 with the arguments of the real one; the class of its estimator."""
    signatures = json.loads((Path(__file__).parent / "local" / "v2_signatures.json").read_text())
    names = [name for name in signatures["Estimator"]["__init__"] if name != "kwargs"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, keyword) for name in names]
    kind = type("Estimator", (Made,), {"__signature__": inspect.Signature(parameters), "sagemaker_session": SESSION})
    estimator = SimpleNamespace(Estimator=kind, _TrainingJob=lambda session, name: (session, name))
    install(monkeypatch, "2.257.7", {"estimator": estimator, "session": Kinds("session")})
    return kind


@pytest.fixture
def sdk3(monkeypatch):
    modules = {
        "core.shapes": Kinds("shapes"),
        "core.training.configs": Kinds("configs"),
        "core.helper.session_helper": Kinds("session_helper"),
        "train": SimpleNamespace(ModelTrainer=FakeTrainer),
    }
    install(monkeypatch, "3.27.0", modules)


def ours(**more):
    return SemSegEstimator(**{**PLAIN, "num_classes": 3, **more})


def plain(value):
    """Of AWS's objects what they were made with."""
    if isinstance(value, Made):
        return plain(value.given)
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_every_argument_has_its_row():
    arguments = {*inspect.signature(SemSegEstimator).parameters}
    assert arguments == {*CROSSING, *REFUSED, *OF_THEIR_OWN, *WITHOUT_MEANING}


@pytest.mark.parametrize("name", CROSSING)
def test_every_argument_crosses_to_version_2(sdk2, name):
    value, others, _ = CROSSING[name]
    given = ours(**{name: value}, **others).to_sagemaker_estimator().given
    assert given[name] == value
    always = {"metric_definitions", "debugger_hook_config", "hyperparameters", "instance_count", "volume_size",
              "max_run", "input_mode", "model_channel_name"}  # fmt: skip
    assert set(given) == {name, *others, *PLAIN, *always}


@pytest.mark.parametrize("name", CROSSING)
def test_every_argument_crosses_to_version_3_or_is_named(sdk3, name):
    value, others, expected = CROSSING[name]
    estimator = ours(**{name: value}, **others)
    if expected is None:
        with pytest.raises(UserError, match="can't be said to a ModelTrainer") as caught:
            estimator.to_model_trainer()
        assert [fault.where for fault in caught.value.faults] == [name]
        return
    found = plain(estimator.to_model_trainer())
    path, wanted = expected
    for part in path.split("."):
        found = found[part]
    assert found == wanted


@pytest.mark.parametrize("name", REFUSED)
def test_what_our_own_fit_refuses_does_not_cross(sdk2, name):
    with pytest.raises(UserError, match=f"{name}: can't be used with this algorithm"):
        ours(**{name: REFUSED[name]}).to_sagemaker_estimator()


def test_hyperparameters_and_metrics_cross_as_fit_sends_them(sdk2):
    settings = {"num_classes": 3, "use_pretrained_model": True, "class_weights": [1, 2, 0.5]}
    estimator = SemSegEstimator(**PLAIN, hyperparameters=settings, metric_definitions=[{"Name": "mine", "Regex": "x"}])
    given = estimator.to_sagemaker_estimator().given
    assert given["hyperparameters"] == {"num_classes": "3", "use_pretrained_model": "True", "class_weights": "1,2,0.5"}
    assert given["metric_definitions"] == [*METRICS, {"Name": "mine", "Regex": "x"}]
    assert given["debugger_hook_config"] is False


def test_hyperparameters_and_metrics_cross_to_version_3(sdk3):
    found = plain(ours(use_pretrained_model=False).to_model_trainer())
    assert found["hyperparameters"] == {"num_classes": "3", "use_pretrained_model": "False"}
    assert found["metric_definitions"] == [{"name": row["Name"], "regex": row["Regex"]} for row in METRICS]
    assert not {"networking", "output_data_config", "checkpoint_config", "input_data_config", "tags"} & set(found)


@pytest.mark.parametrize("method", ["to_sagemaker_estimator", "to_model_trainer"])
def test_a_session_of_boto3_is_wrapped_and_one_of_aws_s_sdk_is_not(request, aws, method):
    request.getfixturevalue("sdk2" if method == "to_sagemaker_estimator" else "sdk3")
    session = boto3.Session(region_name="eu-west-1")
    given = getattr(ours(sagemaker_session=session), method)().given
    assert given["sagemaker_session"].given == {"boto_session": session}
    assert getattr(ours(), method)().given["sagemaker_session"] is SESSION
    assert "sagemaker_session" not in getattr(ours(sagemaker_session=None), method)().given


def test_the_image_may_come_from_the_environment(sdk2, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_IMAGE_URI", "my/image:1")
    assert ours(image_uri=None).to_sagemaker_estimator().given["image_uri"] == "my/image:1"


def test_a_training_of_ours_is_theirs(sdk2):
    estimator = ours()
    estimator.latest_training_job = SimpleNamespace(name="job-1")
    theirs = estimator.to_sagemaker_estimator()
    assert theirs.latest_training_job == (SESSION, "job-1")
    assert theirs._current_job_name == "job-1"


def test_an_older_version_2_swallows_nothing(sdk2):
    known = sdk2.__signature__
    sdk2.__signature__ = known.replace(
        parameters=[parameter for name, parameter in known.parameters.items() if name != "training_plan"]
    )
    assert "training_plan" not in ours().to_sagemaker_estimator().given
    with pytest.raises(UserError, match=r"training_plan: is not known to sagemaker 2\.257\.7 \(pip install -U"):
        ours(training_plan="arn:plan").to_sagemaker_estimator()


def test_an_instance_without_gpu_is_warned_of(sdk3):
    with pytest.warns(UserWarning, match="has no GPU") as caught:
        ours(instance_type="ml.c5.xlarge").to_model_trainer()
    assert caught[0].filename == __file__


def missing(name):
    raise adapters.PackageNotFoundError(name)


@pytest.mark.parametrize(
    ("method", "found", "expected"),
    [
        ("to_sagemaker_estimator", missing, "nothing is installed, version 2 is needed (pip install"),
        ("to_sagemaker_estimator", lambda name: "3.27.0", "3.27.0 is installed, version 2 is needed"),
        ("to_model_trainer", lambda name: "2.257.7", "2.257.7 is installed, version 3 is needed"),
    ],
)
def test_another_version_of_aws_s_sdk(monkeypatch, method, found, expected):
    monkeypatch.setattr(adapters, "version", found)
    with pytest.raises(UserError) as caught:
        getattr(ours(), method)()
    assert [fault.where for fault in caught.value.faults] == ["sagemaker"]
    assert expected in str(caught.value)


def test_all_that_stands_in_the_way_is_told_at_once(monkeypatch, aws):
    monkeypatch.delenv("SAGEMAKER_SEMSEG_IMAGE_URI", raising=False)
    monkeypatch.setattr(adapters, "version", missing)
    estimator = SemSegEstimator(
        instance_type="local", output_path="out", num_classes=1, disable_profiler=True, use_spot_instances=True
    )
    with pytest.raises(UserError) as caught:
        estimator.to_model_trainer()
    assert [fault.where for fault in caught.value.faults] == [
        "sagemaker", "instance_type", "output_path", "disable_profiler", "num_classes", "image_uri", "role", "max_wait",
    ]  # fmt: skip


def test_dictionaries_are_not_for_version_2(sdk2):
    with pytest.raises(UserError, match=r"profiler_config: is a dictionary \(give AWS's own object"):
        ours(profiler_config={"DisableProfiler": True}).to_sagemaker_estimator()
