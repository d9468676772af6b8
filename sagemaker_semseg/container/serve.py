"""Serves a model with the settings of SageMaker's variables, in a container and as a local endpoint."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagemaker_semseg import memory
from sagemaker_semseg.artifact import locate_artifact, read_summary
from sagemaker_semseg.environment import Hosting, base_folder, disable_telemetry, hosting
from sagemaker_semseg.error_handling import escape_output, report
from sagemaker_semseg.errors import Fault, SemSegError, UserError
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.serving.content_negotiation import choose_response_format
from sagemaker_semseg.serving.http_errors import RequestError
from sagemaker_semseg.signals import watch_parent
from sagemaker_semseg.storage import atomic_write

if TYPE_CHECKING:
    from sagemaker_semseg.serving.server import Settings

_OF_INFERENCE = ("runtime", "precision", "scales", "flip", "tile_pixels")
_OF_SERVER = ("port", "accept", "workers", "threads", "queue", "max_payload_mb", "batch")


def serve_model(
    given: Mapping[str, Any], faults: Sequence[Fault] = (), on_ready: Callable[[int], None] | None = None
) -> None:
    """Serve a model until SIGTERM or Ctrl-C.

    Args:
        given: Settings by name, as flags or Python give them; they win over SageMaker's variables.
        faults: What the caller has found wrong, reported together with everything else.
        on_ready: Called with the port once requests are taken.

    Raises:
        UserError: With everything that is wrong with the settings; each fault names the flag or the variable.
    """
    from sagemaker_semseg.serving.server import serve

    settings = serving_settings(given, faults)
    try:
        serve(settings, on_ready)
    except UserError as error:
        # the worker that has tried them knows the options' names, the user their sources
        error.faults = tuple(
            dataclasses.replace(fault, where=_source(given, fault.where)) if fault.where in _OF_INFERENCE else fault
            for fault in error.faults
        )
        raise


def serving_settings(given: Mapping[str, Any], faults: Sequence[Fault] = ()) -> Settings:
    """Return what ``given`` and SageMaker's variables say together; see ``serve_model``."""
    from sagemaker_semseg.serving.server import Settings

    variables, wrong = hosting()
    faults, base = [*faults, *wrong], base_folder()
    model = given.get("model")
    if model is None and not (base / "model").exists():
        what = f"is missing, and so is {base / 'model'}, which SageMaker gives a container"
        faults.append(Fault("--model", what, "give a model.tar.gz or the output folder of a training"))

    def chosen(names: Sequence[str]) -> dict[str, Any]:
        values = {name: given.get(name) for name in names}
        values = {name: getattr(variables, name, None) if value is None else value for name, value in values.items()}
        return {name: value for name, value in values.items() if value is not None}

    path, options = locate_artifact(model or base / "model"), chosen(_OF_INFERENCE)
    settings = Settings(
        model=path,
        host=given.get("host") or ("127.0.0.1" if model else "0.0.0.0"),
        log=not given.get("quiet"),
        options=options,
        worker_bytes=_worker_bytes(path, options),
        **chosen(_OF_SERVER),
    )
    try:
        choose_response_format(None, settings.accept)
    except RequestError as error:
        faults.append(Fault(_source(given, "accept"), error.message, error.remedy))
    if faults:
        raise UserError("The server can't be started like this:", faults)
    return settings


def _worker_bytes(model: Path, options: Mapping[str, Any]) -> int | None:
    """The memory of a worker with an image of ``tile_pixels``; None for a model that it will refuse."""
    try:
        hp = resolve(read_summary(model).hyperparameters)
    except (SemSegError, OSError):
        return None
    side = math.isqrt(max(1, options.get("tile_pixels", memory.TILE_PIXELS)))
    return memory.inference(hp, side, side, side * side).total


def _source(given: Mapping[str, Any], name: str) -> str:
    """The flag or the variable that a value comes from."""
    return Hosting.variable(name) if given.get(name) is None else "--" + name.replace("_", "-")


def main(model: str, port_file: str, *flags: str) -> int:
    """Serve a model on a free port of the loopback address, which is written to a file once requests are taken."""

    def write_port(port: int) -> None:
        with atomic_write(port_file) as temporary:
            temporary.write_text(str(port), encoding="ascii")

    watch_parent()
    escape_output()
    disable_telemetry()
    try:
        given = {"model": Path(model), "host": "127.0.0.1", "port": 0, "quiet": "--quiet" in flags}
        serve_model(given, on_ready=write_port)
    except BaseException as error:
        return report(error, verbose=False, output=None)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
