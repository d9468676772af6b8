"""Every public name of SDK 2 is there, or its error says what to use."""

from pathlib import Path

import pytest

from tests.sagemaker import names

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("module", "name"), [(m, name) for m, found in names.NAMES["names"].items() for name in found])
def test_a_name_is_here_or_says_what_to_use(module, name):
    instead = names.name_remedy(module, name)  # raises for anything else than its own error
    assert instead is None or len(instead) > 5


def test_each_module_is_here_or_says_what_to_use():
    found = {module: names.module_remedy(module) for module in names.NAMES["modules"]}
    here = {module for module, instead in found.items() if instead is None}
    assert here == set(names.NAMES["names"]) - {""}
    # what the issue of notebooks needs
    assert {"estimator", "session", "amazon.record_pb2", "image_uris", "s3", "async_inference", "serverless"} <= here


@pytest.mark.parametrize(
    ("owner", "needed"),
    [
        ("Session", {"upload_data", "download_data", "read_s3_file", "default_bucket", "boto_region_name"}),
        ("Estimator", {"fit", "deploy", "transformer", "attach", "set_hyperparameters", "hyperparameters"}),
        ("Predictor", {"predict", "delete_endpoint", "delete_model", "content_type", "accept", "endpoint"}),
    ],
)
def test_methods_are_here_or_say_what_to_use(owner, needed):
    found = {name: names.method_remedy(owner, name) for name in names.NAMES["methods"][owner]}
    assert needed <= {name for name, instead in found.items() if instead is None}
    assert all(instead is None or len(instead) > 5 for instead in found.values())


def test_the_page_is_up_to_date():
    assert (ROOT / "docs/sagemaker_names.md").read_text() == names.markdown(), "run make docs"
