"""The policies in docs/aws.md: a caller may do what the code does, and nothing else."""

import json
import re
from pathlib import Path

from botocore import xform_name

from sagemaker_semseg.sdk import remote
from tests.sdk.remote.life import live, recorded
from tests.sdk.service_model import model

PAGE = Path(__file__).resolve().parents[3] / "docs" / "aws.md"
# what boto3's calls of S3 need
S3 = {
    "head_bucket": {"s3:ListBucket"}, "list_objects_v2": {"s3:ListBucket"}, "create_bucket": {"s3:CreateBucket"},
    "get_object": {"s3:GetObject"}, "head_object": {"s3:GetObject"}, "download_file": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "upload_file": {"s3:PutObject", "s3:AbortMultipartUpload"},
}  # fmt: skip
# no request of its own: checked when a job or an endpoint is made
WITH_REQUESTS = {"iam:PassRole", "sagemaker:AddTags"}
# needs no permission
FREE = {"sts:GetCallerIdentity"}


def policies():
    return [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)]


def actions(policy):
    statements = [statement["Action"] for statement in policy["Statement"]]
    return [action for given in statements for action in (given if isinstance(given, list) else [given])]


def called():
    """The actions of every client's method whose name stands in the code."""
    code = "".join(path.read_text() for path in Path(remote.__file__).parent.glob("*.py"))
    words = set(re.findall(r"\w+", code))
    found = set()
    for service, prefix in (("sagemaker", "sagemaker"), ("sagemaker-runtime", "sagemaker"), ("logs", "logs"),
                            ("iam", "iam"), ("sts", "sts")):  # fmt: skip
        names = model(service).operation_names
        found |= {f"{prefix}:{name}" for name in names if "_" in xform_name(name) and xform_name(name) in words}
    return found | {action for name, needed in S3.items() if name in words for action in needed}


def test_the_caller_may_do_what_the_code_does_and_nothing_else():
    caller, _, _ = policies()
    assert len(actions(caller)) > 20
    assert set(actions(caller)) == (called() | WITH_REQUESTS) - FREE
    assert [action for action in actions(caller) if "*" in action] == []
    (lists,) = [statement for statement in caller["Statement"] if statement["Resource"] == "*"]
    assert [action for action in lists["Action"] if not action.startswith("sagemaker:List")] == []


def test_what_a_whole_life_asks_for_is_allowed(moto_cloud, backend, tmp_path, training, endpoint, transform):
    calls = recorded(backend)
    live(backend, tmp_path, training, endpoint, transform)
    asked = set()
    for service, operation in calls:
        asked |= S3.get(xform_name(operation), {f"{service}:{operation}"})
    assert len(asked) > 15
    assert asked - FREE <= set(actions(policies()[0]))


def test_the_role_has_no_wildcard_but_where_aws_knows_no_other():
    _, role, trust = policies()
    wide = {
        action.split(":")[0]
        for s in role["Statement"]
        if s["Resource"] == "*"
        for action in actions({"Statement": [s]})
    }
    assert wide == {"ecr", "cloudwatch", "ec2"}
    assert [action for action in actions(role) if "*" in action] == []
    assert trust["Statement"][0]["Principal"] == {"Service": "sagemaker.amazonaws.com"}


def test_the_instances_on_the_page_are_the_code_s():
    from sagemaker_semseg.sdk.instances import GPUS, training_warning

    table = re.search(r"\| instances \|.*?\n\n", PAGE.read_text(), re.DOTALL).group()
    families = set(re.findall(r"ml\.([a-z0-9]+)\.", table))
    assert families <= set(GPUS)
    for row in table.strip().splitlines()[2:]:
        _, names, kinds, memory, *_ = row.split("|")
        for family in re.findall(r"ml\.([a-z0-9]+)\.", names):
            assert GPUS[family].name in kinds
            assert f"{GPUS[family].memory} GB" in memory
    types = set(re.findall(r"`(ml\.[a-z0-9]+\.[a-z0-9]+)`", table))
    assert types <= set(model().shape_for("TrainingInstanceType").enum)
    assert [kind for kind in types if training_warning(kind)] == []


def test_the_memory_on_the_page_is_the_estimate_s():
    from sagemaker_semseg.hyperparameters import resolve
    from sagemaker_semseg.memory import training_step

    rows = re.search(r"\| network \|.*?\n\n", PAGE.read_text(), re.DOTALL).group().strip().splitlines()[2:]
    full, half = "float32", "mixed_float16"
    settings = [
        (240, 16, full, False), (480, 16, full, False), (480, 16, full, True), (480, 16, half, False),
        (480, 16, half, True), (480, 4, full, False),
    ]  # fmt: skip
    for row in rows:
        network, *figures = [cell.strip() for cell in row.strip("|").split("|")]
        algorithm, backbone = network.split(", ")
        for figure, (crop, batch, precision, recompute) in zip(figures, settings, strict=True):
            hp = resolve({
                "num_classes": 21, "algorithm": algorithm, "backbone": backbone, "crop_size": crop,
                "mini_batch_size": batch, "precision": precision, "recompute": recompute,
            })  # fmt: skip
            assert float(figure) == round(training_step(hp).on_gpu / 1e9, 1)
