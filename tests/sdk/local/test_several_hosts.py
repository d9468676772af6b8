"""A job of two instances on this machine, from an estimator: two processes that train together."""

import json

import pytest

from sagemaker_semseg import SemSegEstimator
from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.data.demo_dataset import make_demo_set
from sagemaker_semseg.sdk.specs import JobFailed

CHANNELS = ("train", "train_annotation", "validation", "validation_annotation")


@pytest.mark.slow
def test_a_job_of_two_instances(tmp_path, capsys):
    make_demo_set(tmp_path / "data", train=8, validation=3, test=1, size=48)
    settings = {
        "num_classes": 4, "backbone": "resnet-tiny", "use_pretrained_model": False, "crop_size": 32, "base_size": 48,
        "mini_batch_size": 4, "epochs": 2,
    }  # fmt: skip

    def estimator(**more):
        place = {"instance_count": 2, "instance_type": "local", "output_path": str(tmp_path / "out")}
        return SemSegEstimator(**place, max_run=500, hyperparameters={**settings, **more})

    inputs = {name: str(tmp_path / "data" / name) for name in CHANNELS}
    mine = estimator()
    mine.fit(inputs)
    out = capsys.readouterr().out
    assert "on each of 2 hosts" in out
    assert out.count("validation mIOU <score>=") == 2  # once an epoch
    artifact = read_artifact(mine.model_data)
    assert len(artifact.metrics["history"]) == 2
    assert json.loads(artifact.hyperparameters["mini_batch_size"]) == 4
    with pytest.raises(JobFailed, match="mini_batch_size: is 3, which 2 devices can't share equally"):
        estimator(mini_batch_size=3).fit(inputs, logs=False)
