"""What an account has on SageMaker: a kind comes in; names, states and times go out, the newest first. The command
``jobs`` asks; it shows what others have started there, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sagemaker_semseg.sdk.remote.aws_errors import explained
from sagemaker_semseg.sdk.remote.clients import Account
from sagemaker_semseg.sdk.remote.retries import retry_throttled

MOST: Final = 100

# kind -> method of boto3's client, IAM's action, what the answer calls its entries, and the beginning of their members
_KINDS: Final = {
    "training": ("list_training_jobs", "ListTrainingJobs", "TrainingJobSummaries", "TrainingJob"),
    "transforms": ("list_transform_jobs", "ListTransformJobs", "TransformJobSummaries", "TransformJob"),
    "tuning": (
        "list_hyper_parameter_tuning_jobs",
        "ListHyperParameterTuningJobs",
        "HyperParameterTuningJobSummaries",
        "HyperParameterTuningJob",
    ),
    "endpoints": ("list_endpoints", "ListEndpoints", "Endpoints", "Endpoint"),
}


@dataclass(frozen=True)
class Started:
    """status: in SageMaker's words. ended: of a job only."""

    kind: str
    name: str
    status: str
    created: datetime
    ended: datetime | None = None


def started(account: Account, kind: str) -> list[Started]:
    """The newest of a kind: ``training``, ``transforms``, ``tuning`` or ``endpoints``. Raises ``UserError``."""
    method, action, entries, member = _KINDS[kind]
    client: Any = account.client("sagemaker")
    with explained(f"the list of {kind}", f"sagemaker:{action}"):
        ask = getattr(client, method)
        told = retry_throttled(lambda: ask(MaxResults=MOST, SortBy="CreationTime", SortOrder="Descending"))
    return [
        Started(
            kind,
            entry[f"{member}Name"],
            entry[f"{member}Status"],
            entry["CreationTime"],
            entry.get(f"{member.removesuffix('Job')}EndTime"),
        )
        for entry in told[entries]
    ]
