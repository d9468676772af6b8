"""Small networks for the trainings in SageMaker's folder."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def small_networks(few_blocks):
    with few_blocks():
        yield
