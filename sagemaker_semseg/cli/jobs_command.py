"""``sagemaker-semseg jobs``: lists, shows, stops and deletes jobs and endpoints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.sdk.local.endpoints import LocalEndpoint
from sagemaker_semseg.sdk.local.job_store import KINDS, JobRecord, JobStore
from sagemaker_semseg.sdk.local.jobs import STOP_SECONDS, LocalJob
from sagemaker_semseg.sdk.specs import ENDED

USAGE = "%(prog)s [list | show NAME | logs NAME | stop NAME | delete NAME] [options]"
SUMMARY = "list, show, stop and delete what was started from Python"
DESCRIPTION = """\
The trainings, tunings, batch transforms and endpoints that SemSegEstimator and Tuner have started on this machine,
whether the process that did so still runs or not."""
EPILOG = """\
examples:
  sagemaker-semseg jobs                     all of them, the newest first
  sagemaker-semseg jobs show NAME           one of them, with why it has failed if it has
  sagemaker-semseg jobs logs NAME --follow  its log, and what comes
  sagemaker-semseg jobs stop NAME           ask it to end; a training keeps the model so far
  sagemaker-semseg jobs --sagemaker         what your account has on SageMaker
  sagemaker-semseg jobs delete NAME         stop it and forget it; results outside of its folder stay

states: a training, a tuning or a transform is InProgress, Stopping, Stopped, Completed or Failed, an endpoint is
  Creating, InService, Stopped or Failed. One whose process was killed has Failed, whatever it wrote last.

where: in SAGEMAKER_SEMSEG_STATE, else in sagemaker-semseg below XDG_STATE_HOME or ~/.local/state

"""

_ACTIONS = ("list", "show", "logs", "stop", "delete")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=_ACTIONS, default="list", help="what to do (default: list)")
    parser.add_argument("name", nargs="?", metavar="NAME", help="of a job or an endpoint")
    text = "where a name is that of several: " + ", ".join(KINDS)
    parser.add_argument("--kind", choices=tuple(KINDS), help=text)
    parser.add_argument("--follow", action="store_true", help="logs: go on until it has ended")
    parser.add_argument("--json", action="store_true", help="list and show: as JSON")
    parser.add_argument("--sagemaker", action="store_true", help="list: what your account has on SageMaker instead")


def run(options: argparse.Namespace) -> int:
    faults = list(options.faults)
    if options.action == "list" and options.name is not None:
        faults.append(Fault(options.name, "list takes no name", f"sagemaker-semseg jobs show {options.name}"))
    if options.action != "list" and options.name is None:
        remedy = "sagemaker-semseg jobs lists them"
        faults.append(Fault(options.action, "the name of a job or an endpoint is missing", remedy))
    if options.action != "list" and options.sagemaker:
        remedy = f'from Python: SemSegEstimator.attach("{options.name}"), SemSegPredictor("{options.name}")'
        faults.append(Fault("--sagemaker", "is for the list only", remedy))
    if faults:
        raise UserError("The command can't be carried out:", faults)
    if options.action == "list":
        (_list_sagemaker if options.sagemaker else _list)(options.kind, options.json)
        return 0
    job = _find(options.name, options.kind)
    actions: Mapping[str, Callable[[], None]] = {
        "show": lambda: _show(job, options.json),
        "logs": lambda: _logs(job, options.follow),
        "stop": lambda: _stop(job),
        "delete": lambda: _delete(job),
    }
    actions[options.action]()
    return 0


def _find(name: str, kind: str | None) -> LocalJob:
    found = [LocalJob(each, name) for each in KINDS if kind in (None, each) and JobStore(each).read(name)]
    if not found:
        raise UserError(f"This machine knows no job and no endpoint called {name[:100]}.\nSee sagemaker-semseg jobs")
    if len(found) > 1:
        kinds = " and ".join(job.store.what for job in found)
        fault = Fault(name, f"is the name of a {kinds}", f"add --kind {found[0].store.kind}")
        raise UserError("The name can't be used:", [fault])
    return found[0]


def _list(kind: str | None, as_json: bool) -> None:
    found = [(JobStore(each), record) for each in KINDS if kind in (None, each) for record in JobStore(each).all()]
    found.sort(key=lambda pair: pair[1].created, reverse=True)
    if as_json:
        print(json.dumps([_facts(store, record) for store, record in found], indent=1))
        return
    if not found:
        print("nothing was started on this machine yet; SemSegEstimator(...).fit(...) starts a training")
        return
    rows = [("name", "kind", "state", "begun (UTC)", "took", "result")]
    for store, record in found:
        facts = _facts(store, record)
        result = facts["url"] or record.output or _first_line(record.failure)
        begun = record.created[:16].replace("T", " ")
        rows.append((record.name, store.what, facts["status"], begun, _took(record), result))
    _table(rows)


def _list_sagemaker(kind: str | None, as_json: bool) -> None:
    from sagemaker_semseg.sdk.remote import RemoteBackend

    backend = RemoteBackend()
    found = [one for each in KINDS if kind in (None, each) for one in backend.started(each)]
    found.sort(key=lambda one: one.created, reverse=True)
    if as_json:
        print(json.dumps([{**vars(one), "kind": KINDS[one.kind]} for one in found], indent=1, default=str))  # type: ignore[index]
        return
    if not found:
        print(f"there is nothing on SageMaker in {backend.account.region}")
        return
    begun = [one.created.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M") for one in found]
    rows = [(one.name, KINDS[one.kind], one.status, when) for one, when in zip(found, begun, strict=True)]  # type: ignore[index]
    _table([("name", "kind", "state", "begun (UTC)"), *rows])


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns as wide as they need to be, the last one as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for *cells, last in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)), last]).rstrip())


def _show(job: LocalJob, as_json: bool) -> None:
    facts = {**_facts(job.store, job.record), "spec": dict(job.record.spec)}
    if as_json:
        print(json.dumps(facts, indent=1))
        return
    hyperparameters = facts["spec"].get("hyperparameters") or {}
    lines = [(name, facts[name]) for name in ("name", "kind", "status", "failure", "created", "ended", "url", "output")]
    lines += [("folder", facts["folder"]), ("log", facts["log"])]
    lines += [("channel", f"{one['name']}: {one['place']}") for one in facts["spec"].get("channels") or ()]
    lines += [("set", f"{name}={value}") for name, value in hyperparameters.items()]
    for title, text in lines:
        if text:
            print(f"{title:<12}{text}")


def _logs(job: LocalJob, follow: bool) -> None:
    for line in job.logs(follow=follow):
        print(line, flush=True)


def _stop(job: LocalJob) -> None:
    record = job.record
    if record.status in ENDED:
        print(f"{job.name} has ended already: {record.status}")
        return
    job.stop()
    if record.process and not record.process.wait(STOP_SECONDS):
        raise UserError(f"{job.name} doesn't end.", [Fault(str(record.process.pid), "still runs", "kill it")])
    print(f"{job.name}: {job.record.status}")


def _delete(job: LocalJob) -> None:
    job.delete()
    print(f"{job.name} is forgotten")


def _facts(store: JobStore, record: JobRecord) -> dict[str, Any]:
    folder = store.folder(record.name)
    endpoint = LocalEndpoint(LocalJob("endpoints", record.name)) if store.kind == "endpoints" else None
    return {
        "name": record.name,
        "kind": store.what,
        "status": endpoint.status if endpoint else record.status,
        "failure": record.failure,
        "created": record.created,
        "started": record.started,
        "ended": record.ended,
        "pid": record.process.pid if record.process and record.status not in ENDED else None,
        "url": endpoint.url if endpoint and endpoint.status == "InService" else None,
        "output": record.output,
        "folder": str(folder),
        "log": str(folder / "log"),
    }


def _took(record: JobRecord) -> str:
    if not record.started or (record.status in ENDED and not record.ended):
        return "-"
    end = datetime.fromisoformat(record.ended) if record.ended else datetime.now(timezone.utc)
    seconds = int((end - datetime.fromisoformat(record.started)).total_seconds())
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:160]
