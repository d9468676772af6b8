"""``import sagemaker`` beside AWS's SDK 2: this package's once it is replaced, and AWS's own before and afterwards.

.envs/sagemaker2/bin/python tests/peers/beside_2.py          (``make test-sagemaker2``)
"""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import requests_recorded as recorded  # noqa: E402

recorded.prepare()

import sagemaker  # noqa: E402
from sagemaker.estimator import Estimator as Theirs  # noqa: E402

import sagemaker_semseg  # noqa: E402
from sagemaker_semseg.sdk import backends  # noqa: E402
from sagemaker_semseg.sdk.estimator import SemSegEstimator  # noqa: E402
from sagemaker_semseg.sdk.local import LocalBackend  # noqa: E402

CELL = """
import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput

session = sagemaker.Session()
bucket = session.default_bucket()
channels = {
    name: TrainingInput(session.upload_data("data", bucket, name), content_type="image/png")
    for name in ("train", "train_annotation", "validation", "validation_annotation")
}
estimator = Estimator(
    sagemaker.image_uris.retrieve("semantic-segmentation", session.boto_region_name), sagemaker.get_execution_role(),
    instance_count=1, instance_type="ml.p3.2xlarge", output_path=f"s3://{bucket}/out", sagemaker_session=session,
)
estimator.set_hyperparameters(num_classes=4)
estimator.fit(channels, logs=False)
"""


def run_cell(folder):
    backend = LocalBackend([sys.executable, str(ROOT / "tests/sdk/local/fake_job.py")])
    backends.local_backend = lambda: backend
    backends.boto_session = lambda: None  # no credentials
    os.environ.update(PYTHONPATH=str(ROOT), SAGEMAKER_SEMSEG_STATE=str(folder / "state"))
    os.chdir(folder)
    Path("data").mkdir()
    Path("data/a.png").write_bytes(b"an image")
    cell = {}
    exec(CELL, cell)
    os.chdir(ROOT)
    return cell


def main():
    with tempfile.TemporaryDirectory() as place:
        sagemaker_semseg.replace_sagemaker(instance_type="local")
        cell = run_cell(Path(place))
        assert cell["estimator"].model_data.startswith("s3://sagemaker-local/out/")
    assert issubclass(cell["Estimator"], SemSegEstimator)
    sagemaker_semseg.restore_sagemaker()
    assert sys.modules["sagemaker"] is sagemaker
    from sagemaker.estimator import Estimator
    from sagemaker.processing import Processor  # a module that wasn't loaded before

    assert Estimator is Theirs
    assert Processor.__module__ == "sagemaker.processing"
    print(f"sagemaker {sagemaker.__version__}: replaced, used and restored")


main()
