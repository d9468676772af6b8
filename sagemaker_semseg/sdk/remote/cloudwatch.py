"""The log of a job: its name comes in, lines go out, those that are new since the last look. ``jobs`` calls it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.remote.aws_errors import explained, is_absent, shown
from sagemaker_semseg.sdk.remote.clients import Account
from sagemaker_semseg.sdk.remote.retries import retry_throttled

MOST_LINE = 10_000


class JobLog:
    """group: CloudWatch's name for all jobs of a kind: ``/aws/sagemaker/TrainingJobs``."""

    def __init__(self, account: Account, group: str, job: str):
        self._client, self._group, self._job = account.client("logs"), group, job
        self._tokens: dict[str, str | None] = {}

    def lines(self) -> Iterator[str]:
        """The new ones of every machine. None as long as CloudWatch has no such log."""
        try:
            names = self._streams()
        except UserError as error:
            if is_absent(error):
                return
            raise
        for name in names:
            # the machine's name, where there are several of them: JOB/algo-2-1234567890
            host = name.rpartition("/")[2].rsplit("-", 1)[0]
            for line in self._new(name):
                yield f"[{host}] {line}" if len(names) > 1 else line

    def _streams(self) -> list[str]:
        names: list[str] = []
        arguments = {"logGroupName": self._group, "logStreamNamePrefix": f"{self._job}/"}
        while True:
            with explained(f"the log of {self._job}", "logs:DescribeLogStreams"):
                page = retry_throttled(lambda: self._client.describe_log_streams(**arguments))
            names += [stream["logStreamName"] for stream in page["logStreams"]]
            if not page.get("nextToken"):
                return sorted(names)
            arguments["nextToken"] = page["nextToken"]

    def _new(self, stream: str) -> Iterator[str]:
        while True:
            token = self._tokens.get(stream)
            page = self._page(stream, token)
            for event in page["events"]:
                yield shown(event["message"], MOST_LINE)
            self._tokens[stream] = page.get("nextForwardToken", token)
            if self._tokens[stream] == token:  # CloudWatch gives the same token at the end
                return

    def _page(self, stream: str, token: str | None) -> Any:
        arguments = {"logGroupName": self._group, "logStreamName": stream, "startFromHead": True}
        if token:
            arguments["nextToken"] = token
        with explained(f"the log of {self._job}", "logs:GetLogEvents"):
            return retry_throttled(lambda: self._client.get_log_events(**arguments))
