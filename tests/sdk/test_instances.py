"""Which GPUs an instance has, and which instances are no good for training."""

import pytest

from sagemaker_semseg.sdk.instances import GPUS, gpus, training_warning
from tests.sdk.service_model import model


@pytest.mark.parametrize(
    ("instance", "count", "name", "memory"),
    [
        ("ml.p3.2xlarge", 1, "V100", 16), ("ml.p3.16xlarge", 8, "V100", 16), ("ml.g4dn.12xlarge", 4, "T4", 16),
        ("ml.g5.48xlarge", 8, "A10G", 24), ("ml.g6.xlarge", 1, "L4", 24), ("ml.p4d.24xlarge", 8, "A100", 40),
    ],
)  # fmt: skip
def test_gpus(instance, count, name, memory):
    found, kind = gpus(instance)
    assert (found, kind.name, kind.memory) == (count, name, memory)


def test_every_training_instance_of_sagemaker_has_its_answer():
    """By the service's own list: those without GPU or with another accelerator are warned of, all others aren't."""
    types = model().shape_for("TrainingInstanceType").enum
    assert len(types) > 200
    warned = {kind.split(".")[1] for kind in types if training_warning(kind)}
    fine = {kind.split(".")[1] for kind in types if not training_warning(kind)}
    assert not warned & fine
    assert {family for family in fine if family[0] not in "gp"} == set()
    assert {family for family in warned if family[0] in "gp"} == set()
    assert fine >= set(GPUS)


@pytest.mark.parametrize("instance", ["", "ml.", "m5.large", "ml.g99.xlarge", "ml.p3.2xlarge.x"])
def test_what_isn_t_known_is_not_warned_of(instance):
    assert training_warning(instance) == ""
