"""Where ImageNet weights come from: a backbone and the places to look in come in; its weights, checked, go out, or an
error that says which file to bring. Called by ``train`` and the command ``weights``; never while serving.

In order: what the user gives (a file or a folder), the cache, the folder of the container's image (jobs without a
network have nothing else), the hub. There is no silent random start.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sagemaker_semseg.environment import WeightLocations
from sagemaker_semseg.errors import ArtifactError, Fault, UserError
from sagemaker_semseg.storage import atomic_write
from sagemaker_semseg.weights.detect_architecture import backbone_weights
from sagemaker_semseg.weights.files import read_arrays
from sagemaker_semseg.weights.hub import Move, digest, fetch
from sagemaker_semseg.weights.mxnet import Array
from sagemaker_semseg.weights.pretrained import PUBLISHED


@dataclass(frozen=True)
class Found:
    """A file of weights. origin: "given", "cache" or "image"."""

    path: Path
    origin: str


def find(backbone: str, places: WeightLocations, given: Path | None = None) -> Found | None:
    """The file with a backbone's weights on this machine; None if there is none. Nothing is opened.

    given: a file, whatever its name, or a folder that holds one of the names in ``published``. Raises UserError where
    it doesn't: what was given is not passed over.
    """
    if given is not None:
        if given.is_file():
            return Found(given, "given")
        path = _within(given, backbone)
        if path is None:
            what = "holds no weights" if given.is_dir() else "doesn't exist"
            remedy = f"give a file, or a folder with one of {', '.join(PUBLISHED[backbone].files)}"
            fault = Fault(str(given), f"{what} for {backbone}" if given.is_dir() else what, remedy)
            raise UserError("Pretrained weights can't be used:", [fault])
        return Found(path, "given")
    for origin, folder in (("cache", places.cache), ("image", places.image)):
        if path := _within(folder, backbone):
            return Found(path, origin)
    return None


def _within(folder: Path, backbone: str) -> Path | None:
    return next((path for name in PUBLISHED[backbone].files if (path := folder / name).is_file()), None)


def load(backbone: str, found: Found) -> dict[str, Array]:
    """A file's weights under structural names, after its digest, where one is known. Raises ArtifactError."""
    verify(backbone, found.path)
    return backbone_weights(read_arrays(found.path), backbone, str(found.path))


def verify(backbone: str, path: Path) -> str:
    """Hold a file against the digest that is known of it; says which it was, or nothing where none is known.

    A file's name tells what its digest must be; of a fetched one the record beside it does. Raises ArtifactError.
    """
    expected = PUBLISHED[backbone].digest(path.name) or _recorded(path)
    if expected is None:
        return ""
    kind, digits = expected
    found = digest(path, kind)
    if not found.startswith(digits):
        what = f"has the {kind.upper()} {found}, {digits}{'...' if len(digits) < len(found) else ''} is expected"
        remedy = "remove it, and fetch or copy it again"
        raise ArtifactError("Pretrained weights can't be used:", [Fault(str(path), what, remedy)])
    return f"{kind} {found}"


def fetch_weights(backbone: str, places: WeightLocations, move: Move = lambda done, total: None) -> Found:
    """Fetch a backbone's weights from the hub into the cache. Raises UserError."""
    published = PUBLISHED[backbone]
    path = places.cache / published.file
    fetched = fetch(published.url(places.hub), path, sha256=published.sha256, move=move)
    with atomic_write(_record(path)) as temporary:
        temporary.write_text(json.dumps(asdict(fetched), indent=1) + "\n", encoding="utf-8")
    return Found(path, "cache")


def missing_weights_error(backbone: str, places: WeightLocations, reason: str) -> Fault:
    """What to do about weights that are neither here nor to be had. reason: why the hub doesn't help."""
    published = PUBLISHED[backbone]
    what = (
        f"is True (the default), but there are no weights of {backbone}: none given, none in {places.cache} or "
        f"{places.image}, and {reason}"
    )
    remedy = (
        f"bring {published.url('https://huggingface.co')} as {places.cache / published.file}, or give it with "
        "--pretrained-weights FILE; or train from random weights with --use-pretrained-model False"
    )
    return Fault("use_pretrained_model", what, remedy)


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _recorded(path: Path) -> tuple[str, str] | None:
    """The digest that was noted when the file was fetched."""
    try:
        record: Any = json.loads(_record(path).read_bytes())
        return "sha256", str(record["sha256"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
