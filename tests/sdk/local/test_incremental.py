"""Incremental training from the estimator, by the real training entry: an earlier model of another network."""

import numpy as np
import pytest

from sagemaker_semseg import SemSegEstimator
from sagemaker_semseg.artifact import Artifact, write_artifact
from sagemaker_semseg.data.demo_dataset import make_demo_set
from sagemaker_semseg.hyperparameters import resolve, to_strings
from sagemaker_semseg.sdk.specs import JobFailed


@pytest.mark.parametrize(
    ("more", "differ"),
    [({}, ["algorithm", "backbone", "num_classes"]), ({"new_head": True}, ["algorithm", "backbone"])],
)
def test_every_difference_is_in_the_job_s_failure(tmp_path, more, differ):
    make_demo_set(tmp_path / "data", train=1, validation=1, test=0, size=48)
    strings = to_strings(resolve({"num_classes": 5, "algorithm": "psp", "backbone": "resnet-34", "crop_size": 480}))
    earlier = tmp_path / "earlier.tar.gz"
    write_artifact(earlier, Artifact(strings, {"a": np.ones(1, np.float32)}, {"num_classes": 5}, {}))
    estimator = SemSegEstimator(
        instance_count=1,
        instance_type="local",
        output_path=str(tmp_path / "out"),
        model_uri=str(earlier),
        hyperparameters={"num_classes": 4, "backbone": "resnet-18", **more},
    )
    with pytest.raises(JobFailed) as caught:
        estimator.fit(str(tmp_path / "data"), logs="None")
    text = str(caught.value)
    assert "ClientError" in text
    assert [name for name in ("algorithm", "backbone", "num_classes", "crop_size") if f"- {name}: is" in text] == differ
