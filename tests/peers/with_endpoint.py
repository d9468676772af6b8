"""Start the real server with a small model, note what this package's predictor gets from it, and let a client of AWS,
which knows nothing of this package, ask the same in an environment of its own.

    python tests/peers/with_endpoint.py PYTHON CLIENT          (``make test-clients`` and others)

CLIENT, a script, is given the name of the endpoint and a folder with image.jpg, mask.png and probabilities.rec; where
the endpoint is it learns as AWS's clients do, from ``AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME``. Its exit status is passed
on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from sagemaker_semseg import BytesDeserializer, IdentitySerializer, SemSegModel  # noqa: E402
from tests.conftest import write_small_model  # noqa: E402

NAME = "my-endpoint"


def write_image(path: Path) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    Image.fromarray(coarse).resize((157, 101), Image.Resampling.BICUBIC).save(path, quality=95)


def variables(folder: Path, url: str) -> dict[str, str]:
    """For the client: invented credentials, nothing of the user's, no telemetry."""
    settings = folder / "config.yaml"
    settings.write_text("SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_", "PYTHON"))}
    return {
        **kept,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(settings), "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(settings),
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
    }  # fmt: skip


def main(python: str, client: str) -> int:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["SAGEMAKER_SEMSEG_STATE"] = str(folder / "state")
        write_small_model(folder / "model.tar.gz")
        write_image(folder / "image.jpg")
        image = (folder / "image.jpg").read_bytes()
        predictor = SemSegModel(model_data=str(folder / "model.tar.gz")).deploy(
            1, "local", IdentitySerializer("image/jpeg"), BytesDeserializer(), endpoint_name=NAME
        )
        try:
            (folder / "mask.png").write_bytes(predictor.predict(image, accept="image/png"))
            (folder / "probabilities.rec").write_bytes(
                predictor.predict(image, accept="application/x-recordio-protobuf")
            )
            command = [python, client, NAME, str(folder)]
            return subprocess.run(command, env=variables(folder, predictor.endpoint.url)).returncode
        finally:
            predictor.delete_endpoint()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
