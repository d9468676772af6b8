"""What stands in the way of a bridge. Over the bridges go ``make test-sagemaker2`` and ``test-sagemaker3``,
in environments that have it.
"""

import pytest

from sagemaker_semseg.errors import HyperparameterError, UserError
from sagemaker_semseg.sdk import bridges
from sagemaker_semseg.sdk.estimator import SemSegEstimator
from tests.sdk.conftest import IMAGE


def estimator(**more):
    return SemSegEstimator(**{"image_uri": IMAGE, "instance_type": "ml.g5.xlarge", "num_classes": 3, **more})


def installed(monkeypatch, found):
    def version(name):
        if found is None:
            raise bridges.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(bridges, "version", version)


@pytest.mark.parametrize(
    ("method", "found", "expected"),
    [
        ("to_sagemaker_estimator", None, "none is installed, version 2 is needed (pip install"),
        ("to_sagemaker_estimator", "3.27.0", "3.27.0 is installed, version 2 is needed"),
        ("to_model_trainer", "2.257.7", "2.257.7 is installed, version 3 is needed"),
    ],
)
def test_another_version_of_aws_s_sdk(monkeypatch, method, found, expected):
    installed(monkeypatch, found)
    with pytest.raises(UserError) as caught:
        getattr(estimator(), method)()
    assert expected in str(caught.value)
    assert "in an environment of its own" in str(caught.value)


def test_all_that_stands_in_the_way(monkeypatch):
    monkeypatch.delenv("SAGEMAKER_SEMSEG_IMAGE_URI", raising=False)
    installed(monkeypatch, None)
    with pytest.raises(UserError) as caught:
        estimator(instance_type="local", image_uri=None).to_model_trainer()
    assert [fault.where for fault in caught.value.faults] == ["instance_type", "image_uri", "sagemaker"]


def test_hyperparameters_are_checked_before_they_cross(monkeypatch):
    installed(monkeypatch, "2.257.7")
    with pytest.raises(HyperparameterError, match="num_classes"):
        estimator(num_classes=1).to_sagemaker_estimator()
