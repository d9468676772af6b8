"""Runs the recipe of docs/notebooks.md beside AWS's SDK 2, with a training and an endpoint that cost nothing."""

import io
import os
import re
import sys
import tempfile
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from sagemaker_semseg.sdk import backends  # noqa: E402
from sagemaker_semseg.sdk.local import LocalBackend  # noqa: E402
from sagemaker_semseg.sdk.model import SemSegModel  # noqa: E402
from sagemaker_semseg.sdk.predictor import SemSegPredictor  # noqa: E402


class Endpoint:
    name = "mine"

    def invoke(self, arguments):
        self.arguments = arguments
        return types.SimpleNamespace(body=io.BytesIO(b"reply"), content_type="image/png")


def main():
    os.environ["PYTHONPATH"] = str(ROOT)  # the job's processes
    os.environ.update(AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none", AWS_EC2_METADATA_DISABLED="true")
    (block,) = [
        block
        for block in re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/notebooks.md").read_text(), re.M | re.S)
        if "import boto3" in block
    ]
    backend, endpoint = LocalBackend([sys.executable, str(ROOT / "tests/sdk/local/fake_job.py")]), Endpoint()
    backends.local_backend = lambda: backend
    SemSegModel.deploy = lambda self, *given, **more: SemSegPredictor.of(
        endpoint, self.sagemaker_session, serializer=given[2]
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["SAGEMAKER_SEMSEG_STATE"] = str(Path(folder, "state"))
        for name in ("train", "train_annotation", "validation", "validation_annotation"):
            Path("mydata", name).mkdir(parents=True)
            Path("mydata", name, "a.png").write_bytes(b"an image")
        variables = {}
        exec(block, variables)
        assert Path(variables["estimator"].model_data).is_file()
        variables["predictor"].deserializer = variables["sagemaker"].deserializers.BytesDeserializer()
        assert variables["predictor"].predict(b"jpeg") == b"reply"
        assert endpoint.arguments["ContentType"] == "image/jpeg"
        os.chdir(ROOT)
    print("the recipe for AWS's SDK 2 runs")


main()
