"""``TrainingInput`` as in SDK 2, for those who don't have that.

``fit`` takes AWS's own objects as well. ``config`` describes the channel in the form of SageMaker's API.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ShuffleConfig:
    """The seed for the order in which the objects are streamed."""

    seed: int


class TrainingInput:
    """The data of a channel. s3_data: a path or s3://. The other arguments are SageMaker's.

    >>> TrainingInput("s3://bucket/train", distribution="FullyReplicated").config["DataSource"]["S3DataSource"]["S3Uri"]
    's3://bucket/train'
    """

    def __init__(
        self,
        s3_data: str | os.PathLike[str],
        distribution: str | None = None,
        compression: str | None = None,
        content_type: str | None = None,
        record_wrapping: str | None = None,
        s3_data_type: str = "S3Prefix",
        instance_groups: Sequence[str] | None = None,
        input_mode: str | None = None,
        attribute_names: Sequence[str] | None = None,
        target_attribute_name: str | None = None,
        shuffle_config: ShuffleConfig | None = None,
    ):
        source = {
            "S3DataType": s3_data_type,
            "S3Uri": os.fspath(s3_data),
            "S3DataDistributionType": distribution,
            "InstanceGroupNames": list(instance_groups) if instance_groups else None,
            "AttributeNames": list(attribute_names) if attribute_names else None,
        }
        config = {
            "DataSource": {"S3DataSource": _without_none(source)},
            "CompressionType": compression,
            "ContentType": content_type,
            "RecordWrapperType": record_wrapping,
            "InputMode": input_mode,
            "TargetAttributeName": target_attribute_name,
            "ShuffleConfig": {"Seed": shuffle_config.seed} if shuffle_config else None,
        }
        self.config = _without_none(config)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
