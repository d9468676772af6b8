"""Lists the jobs and endpoints of an AWS account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sagemaker_semseg.sdk.remote.clients import Account

MOST: Final = 100

# kind -> method of boto3's client, the answer's entries, and the prefix of their members
_KINDS: Final = {
    "training": ("list_training_jobs", "TrainingJobSummaries", "TrainingJob"),
    "transforms": ("list_transform_jobs", "TransformJobSummaries", "TransformJob"),
    "tuning": (
        "list_hyper_parameter_tuning_jobs",
        "HyperParameterTuningJobSummaries",
        "HyperParameterTuningJob",
    ),
    "endpoints": ("list_endpoints", "Endpoints", "Endpoint"),
}


@dataclass(frozen=True)
class Started:
    """A job or an endpoint. status: SageMaker's. ended: of a job only."""

    kind: str
    name: str
    status: str
    created: datetime
    ended: datetime | None = None


def started(account: Account, kind: str) -> list[Started]:
    """Return the newest of a kind: ``training``, ``transforms``, ``tuning`` or ``endpoints``. Raises ``UserError``."""
    method, entries, member = _KINDS[kind]
    order = {"SortBy": "CreationTime", "SortOrder": "Descending"}
    answer = account.call("sagemaker", method, f"the list of {kind}", MaxResults=MOST, **order)
    return [
        Started(
            kind,
            entry[f"{member}Name"],
            entry[f"{member}Status"],
            entry["CreationTime"],
            entry.get(f"{member.removesuffix('Job')}EndTime"),
        )
        for entry in answer[entries]
    ]
