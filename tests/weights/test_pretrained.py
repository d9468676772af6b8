"""Where ImageNet weights are searched, in which order, and with what their digests are compared."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from sagemaker_semseg.architectures import VISIBLE_BACKBONES, ArchitectureSpec
from sagemaker_semseg.environment import WeightLocations
from sagemaker_semseg.errors import ArtifactError, UserError
from sagemaker_semseg.weights import pretrained
from sagemaker_semseg.weights.hub import Fetched
from sagemaker_semseg.weights.pretrained import find, load, verify


@pytest.fixture
def places(tmp_path):
    return WeightLocations(tmp_path / "cache", tmp_path / "image", "https://hub.invalid", offline=False)


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_the_order_of_places(places, tmp_path):
    assert find("resnet-50", places) is None
    image = touch(places.image / "resnet50_v1s-25a187fa.params")
    assert find("resnet-50", places) == pretrained.Found(image, "image")
    cache = touch(places.cache / "resnet50s.gluon_in1k.safetensors")
    assert find("resnet-50", places) == pretrained.Found(cache, "cache")
    assert find("resnet-101", places) is None
    given = touch(tmp_path / "any name at all")
    assert find("resnet-50", places, given) == pretrained.Found(given, "given")


def test_names_in_a_folder(places, tmp_path):
    folder = tmp_path / "given"
    for name in ("model.safetensors", "gluon_resnet50_v1s-1762acc0.pth", "resnet50s.gluon_in1k.safetensors"):
        assert find("resnet-50", places, touch(folder / name).parent).path == folder / name


def test_what_was_given_is_not_passed_over(places, tmp_path):
    touch(places.cache / "resnet50s.gluon_in1k.safetensors")
    with pytest.raises(
        UserError, match=r"holds no weights for resnet-50 \(give a file, or a folder with one of resnet50"
    ):
        find("resnet-50", places, tmp_path)
    with pytest.raises(UserError, match="doesn't exist"):
        find("resnet-50", places, tmp_path / "nothing")


def test_digests_that_names_carry():
    for name in VISIBLE_BACKBONES:
        published = pretrained.published(name)
        assert published.digest(published.pth)[0] == "sha256"
        assert published.pth == f"gluon_{published.params[:-16]}-{published.digest(published.pth)[1]}.pth"
        kind, digits = published.digest(published.params)
        assert (kind, len(digits)) == ("sha1", 40)
        assert f"-{digits[:8]}." in published.params
        assert name.removeprefix("resnet-") in published.model


def test_a_known_digest(tmp_path, monkeypatch):
    path = touch(tmp_path / "gluon_resnet50_v1s-1762acc0.pth")
    with pytest.raises(ArtifactError, match=r"has the SHA256 2d711642.*, 1762acc0\.\.\. is expected"):
        verify("resnet-50", path)
    path = touch(tmp_path / "resnet50_v1s-25a187fa.params")
    with pytest.raises(ArtifactError, match=r"SHA1 11f6ad8e.*, 25a187fa281ddc98afbcd0cc0f0646885b874b80 is expected"):
        verify("resnet-50", path)
    assert verify("resnet-50", touch(tmp_path / "mine.safetensors")) == ""


def test_what_was_fetched_is_held_against_its_record(places, monkeypatch):
    def fetch(url, path, on_progress):
        touch(path)
        assert url == "https://hub.invalid/timm/resnet101s.gluon_in1k/resolve/main/model.safetensors"
        return Fetched(url, hashlib.sha256(b"x").hexdigest(), 1, "c" * 40, True)

    monkeypatch.setattr(pretrained, "fetch", fetch)
    found = pretrained.fetch_weights("resnet-101", places)
    assert found.path == places.cache / "resnet101s.gluon_in1k.safetensors"
    assert json.loads(Path(f"{found.path}.json").read_text())["revision"] == "c" * 40
    assert verify("resnet-101", found.path).startswith("sha256 2d711642")
    found.path.write_bytes(b"y")
    with pytest.raises(ArtifactError, match="is expected"):
        load("resnet-101", found)


def test_weights_of_a_file(places, tmp_path):
    random = np.random.default_rng(0)
    arrays = {name: random.random(shape, np.float32) for name, shape in ArchitectureSpec("resnet-18").shapes.items()}
    theirs = {name.replace(".gamma", ".weight").replace(".beta", ".bias"): array for name, array in arrays.items()}
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors.numpy.save({**theirs, "fc.bias": np.zeros(1000, np.float32)}))
    found = load("resnet-18", find("resnet-18", places, path))
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    with pytest.raises(ArtifactError, match="the weights of resnet-18, resnet-34 is to be trained"):
        load("resnet-34", find("resnet-34", places, path))


def test_where_the_places_are():
    home = Path.home()
    plain = WeightLocations.read({})
    assert plain.cache == home / ".cache" / "sagemaker-semseg"
    assert (plain.hub, plain.offline) == ("https://huggingface.co", False)
    assert WeightLocations.read({"XDG_CACHE_HOME": "/x"}).cache == Path("/x/sagemaker-semseg")
    variables = {"SAGEMAKER_SEMSEG_CACHE": "/a", "SAGEMAKER_SEMSEG_WEIGHTS": "/b", "HF_ENDPOINT": "https://m/"}
    assert WeightLocations.read({**variables, "HF_HUB_OFFLINE": "1"}) == WeightLocations(
        Path("/a"), Path("/b"), "https://m", True
    )


def test_the_error_that_says_what_to_bring(places):
    text = str(pretrained.missing_weights_error("resnet-50", places, "the hub is not asked"))
    for part in (
        "use_pretrained_model: is True (the default), but",
        "https://huggingface.co/timm/resnet50s.gluon_in1k/resolve/main/model.safetensors",
        str(places.cache / "resnet50s.gluon_in1k.safetensors"),
        str(places.image),
        "--pretrained-weights FILE",
        "--use-pretrained-model False",
    ):
        assert part in text
