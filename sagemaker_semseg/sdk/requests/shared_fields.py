"""Fields that several requests share: tags, network, roles and images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.specs import ModelSpec, TrainingSpec
from sagemaker_semseg.storage import is_s3

Request = dict[str, Any]
Tags = Mapping[str, str] | Sequence[Mapping[str, str]]

NAME_LENGTH = 63
TUNING_NAME_LENGTH = 32

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


def given(**members: Any) -> Request:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def refuse(faults: Sequence[Fault]) -> None:
    """Raise ``UserError`` if there are faults."""
    if faults:
        raise UserError("SageMaker wouldn't take it:", faults)


def tag_list(tags: Tags | None) -> list[dict[str, str]] | None:
    """Return tags in SageMaker's form; None if there are none."""
    if not tags:
        return None
    if isinstance(tags, Mapping):
        return [{"Key": str(key), "Value": str(value)} for key, value in tags.items()]
    if not all(isinstance(tag, Mapping) and set(tag) == {"Key", "Value"} for tag in tags):
        raise UserError(
            "Tags can't be used:", [Fault("tags", 'give {"name": "value"} or [{"Key": ..., "Value": ...}]')]
        )
    return [{"Key": str(tag["Key"]), "Value": str(tag["Value"])} for tag in tags]


def vpc_config(spec: TrainingSpec | ModelSpec) -> Request | None:
    """Return the network in SageMaker's form; None unless both parts of it are given."""
    if not spec.subnets or not spec.security_group_ids:
        return None
    return {"Subnets": list(spec.subnets), "SecurityGroupIds": list(spec.security_group_ids)}


def check_vpc(spec: TrainingSpec | ModelSpec) -> list[Fault]:
    """Return a fault if subnets are given without security groups, or the other way round."""
    if bool(spec.subnets) == bool(spec.security_group_ids):
        return []
    missing = "security_group_ids" if spec.subnets else "subnets"
    return [Fault(missing, "are missing: a network has subnets and security groups", "give both, or neither")]


def check_more(more: Mapping[str, object], known: Sequence[str]) -> list[Fault]:
    """Return a fault for every argument of AWS's SDK that is given and isn't sent."""
    return [
        Fault(name, "can't be used with this algorithm", "leave it out")
        for name, value in more.items()
        if name not in known and value not in (None, False)
    ]


def check_s3(what: str, place: object) -> list[Fault]:
    """Return a fault for a given place that is no s3:// address."""
    if place is None or (isinstance(place, str) and is_s3(place) and place[5:].strip("/")):
        return []
    return [Fault(what, f"{str(place)[:200]!r} came, s3://bucket/prefix is expected", "give a place in S3")]


def check_role(role: object) -> list[Fault]:
    """Return a fault unless the role is an ARN."""
    if isinstance(role, str) and role.startswith("arn:"):
        return []
    came = f"{str(role)[:100]!r} came" if role else "nothing came"
    remedy = "give role=, see Roles in docs/aws.md"
    return [Fault("role", f"{came}, the ARN of a role that SageMaker can assume is expected", remedy)]


def check_image(image_uri: object) -> list[Fault]:
    """Return a fault unless there is an image's address."""
    if image_uri and isinstance(image_uri, str) and not any(letter.isspace() for letter in image_uri):
        return []
    missing = "is missing: SageMaker runs this project's image from a registry of yours"
    what = f"{str(image_uri)[:200]!r} came" if image_uri else missing
    remedy = "build and push it (docs/aws.md), then give image_uri= or set SAGEMAKER_SEMSEG_IMAGE_URI"
    return [Fault("image_uri", what, remedy)]


def check_name(what: str, name: object, length: int = NAME_LENGTH) -> list[Fault]:
    """Return a fault if SageMaker wouldn't take the name. what: the argument's name."""
    if isinstance(name, str) and len(name) <= length and _NAME.fullmatch(name):
        return []
    rule = f"1 to {length} letters, digits and hyphens, with a letter or a digit at either end"
    return [Fault(what, f"{str(name)[:100]!r} came, {rule} are expected", "give another name")]
