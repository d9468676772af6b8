"""Trainings that are refused before TensorFlow is loaded."""

import pytest

from sagemaker_semseg.errors import HyperparameterError
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.training.plan import check


def hp(**more):
    return resolve({"num_classes": 3, "use_pretrained_model": False, **more})


@pytest.mark.parametrize("algorithm", ["psp", "deeplab"])
@pytest.mark.parametrize(("batch", "replicas", "syncbn"), [(1, 1, False), (1, 1, True), (2, 2, False), (4, 4, False)])
def test_one_image_a_device_is_refused_where_the_decoder_pools_it_to_one_value(algorithm, batch, replicas, syncbn):
    with pytest.raises(HyperparameterError, match="needs 2 images a device at least") as caught:
        check(hp(algorithm=algorithm, mini_batch_size=batch, syncbn=syncbn), replicas, has_weights=False)
    (fault,) = caught.value.faults
    assert f"give {2 * replicas} or more" in fault.remedy
    assert "algorithm fcn" in fault.remedy
    assert ("syncbn True" in fault.remedy) == (replicas > 1)


@pytest.mark.parametrize(
    ("algorithm", "batch", "replicas", "syncbn"),
    [("fcn", 1, 1, False), ("psp", 2, 1, False), ("deeplab", 8, 4, False), ("psp", 2, 2, True)],
)
def test_other_batches_are_taken(algorithm, batch, replicas, syncbn):
    check(hp(algorithm=algorithm, mini_batch_size=batch, syncbn=syncbn), replicas, has_weights=False)


def test_a_batch_that_can_not_be_shared_is_one_fault():
    with pytest.raises(HyperparameterError) as caught:
        check(hp(algorithm="psp", mini_batch_size=3), 2, has_weights=False)
    assert [fault.what for fault in caught.value.faults] == ["is 3, which 2 devices can't share equally"]
