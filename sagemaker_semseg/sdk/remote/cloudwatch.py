"""Reads the log of a job from CloudWatch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sagemaker_semseg.errors import UserError
from sagemaker_semseg.sdk.remote.aws_errors import is_absent, printable
from sagemaker_semseg.sdk.remote.clients import Account

MOST_LINE = 10_000


class JobLog:
    """The log of one job. group: CloudWatch's name for all jobs of a kind: ``/aws/sagemaker/TrainingJobs``."""

    def __init__(self, account: Account, group: str, job: str):
        self._account, self._group, self._job = account, group, job
        self._tokens: dict[str, str | None] = {}

    def lines(self) -> Iterator[str]:
        """Yield the lines since the last call, of every host; none while CloudWatch has no such log."""
        try:
            names = self._streams()
        except UserError as error:
            if is_absent(error):
                return
            raise
        for name in names:
            # the host's name, where there are several: JOB/algo-2-1234567890
            host = name.rpartition("/")[2].rsplit("-", 1)[0]
            for line in self._new(name):
                yield f"[{host}] {line}" if len(names) > 1 else line

    def _streams(self) -> list[str]:
        names: list[str] = []
        arguments = {"logGroupName": self._group, "logStreamNamePrefix": f"{self._job}/"}
        while True:
            page = self._account.call("logs", "describe_log_streams", f"the log of {self._job}", **arguments)
            names += [stream["logStreamName"] for stream in page["logStreams"]]
            if not page.get("nextToken"):
                return sorted(names)
            arguments["nextToken"] = page["nextToken"]

    def _new(self, stream: str) -> Iterator[str]:
        while True:
            token = self._tokens.get(stream)
            page = self._page(stream, token)
            for event in page["events"]:
                yield printable(event["message"], MOST_LINE)
            self._tokens[stream] = page.get("nextForwardToken", token)
            if self._tokens[stream] == token:  # CloudWatch gives the same token at the end
                return

    def _page(self, stream: str, token: str | None) -> Any:
        arguments: dict[str, Any] = {"logGroupName": self._group, "logStreamName": stream, "startFromHead": True}
        if token:
            arguments["nextToken"] = token
        return self._account.call("logs", "get_log_events", f"the log of {self._job}", **arguments)
