"""A small set, and a model trained on it through the command line, for all tests of the commands."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def small_networks(few_blocks):
    with few_blocks():
        yield
