"""Small networks for all tests of jobs."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def small_networks(few_blocks):
    with few_blocks():
        yield
