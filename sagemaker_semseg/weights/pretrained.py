"""Finds, checks and fetches ImageNet weights of backbones.

The places, in order: what the user gives (a file or a folder), the cache, the folder of the container's image (jobs
without a network have nothing else), the hub. There is no silent random start.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sagemaker_semseg.architectures import BACKBONES, PretrainedWeights
from sagemaker_semseg.environment import WeightLocations
from sagemaker_semseg.errors import ArtifactError, Fault, UserError
from sagemaker_semseg.storage import atomic_write
from sagemaker_semseg.weights.detect_architecture import backbone_weights
from sagemaker_semseg.weights.files import read_arrays
from sagemaker_semseg.weights.hub import OnProgress, digest, fetch
from sagemaker_semseg.weights.mxnet import Array


@dataclass(frozen=True)
class Found:
    """A file of weights. origin: "given", "cache" or "image"."""

    path: Path
    origin: str


def find(backbone: str, places: WeightLocations, given: Path | None = None) -> Found | None:
    """Finds the file with a backbone's weights on this machine, without opening it.

    Args:
        backbone: its name.
        places: the cache and the image's folder.
        given: a file of any name, or a folder that holds one of the names of ``PretrainedWeights.files``.

    Returns:
        The file, or None if there is none.

    Raises:
        UserError: if ``given`` has no weights; it is not passed over.
    """
    if given is not None:
        if given.is_file():
            return Found(given, "given")
        path = _within(given, backbone)
        if path is None:
            what = "holds no weights" if given.is_dir() else "doesn't exist"
            remedy = f"give a file, or a folder with one of {', '.join(published(backbone).files)}"
            fault = Fault(str(given), f"{what} for {backbone}" if given.is_dir() else what, remedy)
            raise UserError("Pretrained weights can't be used:", [fault])
        return Found(path, "given")
    for origin, folder in (("cache", places.cache), ("image", places.image)):
        if path := _within(folder, backbone):
            return Found(path, origin)
    return None


def _within(folder: Path, backbone: str) -> Path | None:
    return next((path for name in published(backbone).files if (path := folder / name).is_file()), None)


def load(backbone: str, found: Found) -> dict[str, Array]:
    """Reads a backbone's weights by structural names, after a check of the file's digest. Raises ArtifactError."""
    verify(backbone, found.path)
    return backbone_weights(read_arrays(found.path), backbone, str(found.path))


def verify(backbone: str, path: Path) -> str:
    """Checks a file's digest, which its name or the record of its download states. Raises ArtifactError.

    Returns:
        The kind and digits of the digest; "" where none is known.
    """
    weights = BACKBONES[backbone].pretrained
    expected = (weights and weights.digest(path.name)) or _recorded(path)
    if expected is None:
        return ""
    kind, digits = expected
    found = digest(path, kind)
    if not found.startswith(digits):
        what = f"has the {kind.upper()} {found}, {digits}{'...' if len(digits) < len(found) else ''} is expected"
        remedy = "remove it, and fetch or copy it again"
        raise ArtifactError("Pretrained weights can't be used:", [Fault(str(path), what, remedy)])
    return f"{kind} {found}"


def fetch_weights(backbone: str, places: WeightLocations, on_progress: OnProgress = lambda done, total: None) -> Found:
    """Fetches a backbone's weights from the hub into the cache. Raises UserError."""
    weights = published(backbone)
    path = places.cache / weights.file
    fetched = fetch(weights.url(places.hub), path, on_progress)
    with atomic_write(_record(path)) as temporary:
        temporary.write_text(json.dumps(asdict(fetched), indent=1) + "\n", encoding="utf-8")
    return Found(path, "cache")


def missing_weights_error(backbone: str, places: WeightLocations, reason: str) -> Fault:
    """The fault of weights that are neither here nor on the hub. reason: why the hub doesn't help."""
    weights = published(backbone)
    what = (
        f"is True (the default), but there are no weights of {backbone}: none given, none in {places.cache} or "
        f"{places.image}, and {reason}"
    )
    remedy = (
        f"bring {weights.url('https://huggingface.co')} as {places.cache / weights.file}, or give it with "
        "--pretrained-weights FILE; or train from random weights with --use-pretrained-model False"
    )
    return Fault("use_pretrained_model", what, remedy)


def published(backbone: str) -> PretrainedWeights:
    """Where a backbone's ImageNet weights are published. Raises UserError where they aren't."""
    weights = BACKBONES[backbone].pretrained
    if weights is None:
        fault = Fault("use_pretrained_model", f"there are no ImageNet weights of {backbone}", "make it False")
        raise UserError("Pretrained weights can't be used:", [fault])
    return weights


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _recorded(path: Path) -> tuple[str, str] | None:
    """The digest in the record of the download."""
    try:
        record: Any = json.loads(_record(path).read_bytes())
        return "sha256", str(record["sha256"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
