"""What a training leaves: its tree comes in; ``model.tar.gz`` and ``output.tar.gz`` go where its output belongs.

``supervisor`` calls it when the training's process has ended, as SageMaker does: also after a stop.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from sagemaker_semseg.sdk.local.job_directory import pack
from sagemaker_semseg.storage import filesystem_at, is_s3


def place_of(output_path: str | None, name: str, folder: Path) -> str:
    """Where a job's output belongs, as SageMaker arranges it: ``OUTPUT_PATH/NAME/output``, else in ``folder``."""
    if output_path is None:
        return str(folder / "output")
    if is_s3(output_path):
        return f"{output_path.rstrip('/')}/{name}/output"
    return str(Path(output_path.removeprefix("file://")).expanduser().absolute() / name / "output")


def deliver(base: Path, place: str) -> str | None:
    """Pack what is in ``base/model`` and ``base/output/data``; returns where the model is, None if there is none.

    Raises ``UserError`` or ``OSError`` if it can't be written there; everything is still in ``base`` then.
    """
    if not is_s3(place):
        pack(base / "output" / "data", Path(place, "output.tar.gz"))
        return str(Path(place, "model.tar.gz")) if pack(base / "model", Path(place, "model.tar.gz")) else None
    store = filesystem_at(place)
    model = None
    for folder, name in ((base / "output" / "data", "output.tar.gz"), (base / "model", "model.tar.gz")):
        with tempfile.TemporaryDirectory(dir=base) as temporary:
            archive = Path(temporary, name)
            if pack(folder, archive):
                store.write(name, [archive.read_bytes()], "application/x-tar")
                model = store.where(name) if name == "model.tar.gz" else None
    return model
