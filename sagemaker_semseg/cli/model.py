"""The model that a user means: a path from the command line comes in, what its artifact is and calls its classes goes
out. ``evaluate`` and ``predict`` call it.
"""

from __future__ import annotations

from pathlib import Path

from sagemaker_semseg.artifact import Artifact


def model_path(path: Path) -> Path:
    """The artifact meant by a file, by a folder with an artifact's files, or by a training's output folder."""
    inside = path / "model.tar.gz"
    return inside if inside.is_file() else path


def class_names(artifact: Artifact) -> list[str]:
    """The artifact's class names, or the labels as text."""
    names = artifact.labels.get("class_names")
    return list(names) if names else [str(label) for label in range(artifact.labels["num_classes"])]
