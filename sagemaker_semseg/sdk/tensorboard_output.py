"""Where a job's files for TensorBoard go: SageMaker's TensorBoardOutputConfig."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sagemaker_semseg.errors import Fault
from sagemaker_semseg.sdk.specs import TrainingSpec

__all__ = ["NAME", "LOCAL_PATH", "request_form", "tensorboard_faults", "tensorboard_place", "with_plain_form"]

NAME: Final = "tensorboard_output_config"
LOCAL_PATH: Final = "/opt/ml/output/tensorboard"
"""SageMaker's default of the folder in the container, where a training writes."""


def request_form(config: Any) -> dict[str, Any] | None:
    """Return one of AWS's objects, or a mapping, in the API's form; None for None."""
    if config is None:
        return None
    return dict(config if isinstance(config, Mapping) else config._to_request_dict())


def with_plain_form(more: Mapping[str, Any]) -> dict[str, Any]:
    """Return an estimator's further arguments with the configuration as a mapping, which a job's record can hold."""
    config = more.get(NAME)
    return {**more, NAME: request_form(config)} if hasattr(config, "_to_request_dict") else dict(more)


def tensorboard_faults(spec: TrainingSpec) -> Iterator[Fault]:
    """Yield what is wrong with the configuration, on this machine and on SageMaker alike."""
    config = spec.more.get(NAME)
    if config is None:
        return
    if not isinstance(config, Mapping) and not callable(getattr(config, "_to_request_dict", None)):
        what = f"{type(config).__name__} came, one of AWS's objects or a dictionary is expected"
        yield Fault(NAME, what, 'give {"S3OutputPath": "s3://bucket/folder"}')
        return
    form = request_form(config) or {}
    if not isinstance(form.get("S3OutputPath"), str):
        yield Fault(NAME, "has no S3OutputPath", 'give {"S3OutputPath": "s3://bucket/folder"}')
    if form.get("LocalPath") not in (None, LOCAL_PATH):
        what = f"LocalPath is {form['LocalPath']}, and a training writes to {LOCAL_PATH}"
        yield Fault(NAME, what, "leave container_local_output_path out")


def tensorboard_place(spec: TrainingSpec) -> str | None:
    """Return where the files go, as on SageMaker: S3OutputPath/JOB/tensorboard-output; None if nowhere."""
    form = request_form(spec.more.get(NAME))
    return f"{form['S3OutputPath'].rstrip('/')}/{spec.name}/tensorboard-output" if form else None
