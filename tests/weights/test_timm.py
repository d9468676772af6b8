"""timm's own backbones: their weights, saved as safetensors and read here, give the features that timm computes.

Run by ``make test-timm`` in an environment with PyTorch and timm (pinned there); skipped where they are missing. The
networks have random weights: what is tested is every name, shape, stride and dilation, not what was learned.
"""

from __future__ import annotations

import dataclasses
import importlib.abc
import importlib.util
import sys
import types
from typing import ClassVar

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-timm runs this")


class AnyNames(type):
    """A class that has every attribute, as enumerations need it."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class Torchvision(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for torchvision where it is missing: timm imports names from it that these networks don't use."""

    class Module(types.ModuleType):
        __path__: ClassVar = []

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return AnyNames(name, (torch.nn.Module,), {})

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name.split(".")[0] == "torchvision" else None

    def create_module(self, spec):
        return self.Module(spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.append(Torchvision())
timm = pytest.importorskip("timm", reason="needs timm: make test-timm runs this")

import keras  # noqa: E402 (after torch, whose backend it may be)
import safetensors.torch  # noqa: E402

from sagemaker_semseg.architectures import BACKBONES, ArchitectureSpec  # noqa: E402
from sagemaker_semseg.models.network import LayerFactory, build_backbone  # noqa: E402
from sagemaker_semseg.models.weights import set_weights  # noqa: E402
from sagemaker_semseg.weights.detect_architecture import backbone_weights  # noqa: E402
from sagemaker_semseg.weights.files import read_arrays  # noqa: E402

MODELS = {"resnet-50": "resnet50s", "resnet-101": "resnet101s", "resnet-18": "resnet18", "resnet-34": "resnet34"}


def theirs(name, output_stride):
    """timm's network with every array drawn, so that an array in a wrong place shows."""
    net = timm.create_model(MODELS[name], pretrained=False, output_stride=output_stride).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if key.endswith("running_var"):
                value.copy_(torch.exp(0.2 * torch.randn(value.shape, generator=generator)))
            elif key.endswith("num_batches_tracked"):
                continue
            elif value.ndim == 1:
                value.copy_(0.1 * torch.randn(value.shape, generator=generator) + float(key.endswith("weight")))
                if key.endswith(("bn3.weight", "downsample.1.weight")):
                    value.mul_(0.4)
    return net


@pytest.mark.parametrize("output_stride", [8, 32])
@pytest.mark.parametrize("name", MODELS)
def test_features(name, output_stride, tmp_path):
    net = theirs(name, output_stride)
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(net.state_dict(), path)
    images = keras.Input((None, None, 3))
    spec = BACKBONES[name]
    if output_stride == 32:  # as it was before it was dilated: the last two stages halve the resolution
        spec = dataclasses.replace(spec, strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1))
    ours = keras.Model(images, build_backbone(images, spec, LayerFactory()))
    ours.architecture = ArchitectureSpec(name)
    set_weights(ours, backbone_weights(read_arrays(path), name, str(path)))

    x = np.random.default_rng(3).standard_normal((2, 65, 97, 3)).astype(np.float32)
    with torch.no_grad():
        y = torch.from_numpy(x).permute(0, 3, 1, 2)
        y = net.maxpool(net.act1(net.bn1(net.conv1(y))))
        expected = [c3 := net.layer3(net.layer2(net.layer1(y))), net.layer4(c3)]
    found = [keras.ops.convert_to_numpy(feature) for feature in ours(x, training=False)]
    for our, their in zip(found, expected, strict=True):
        their = their.permute(0, 2, 3, 1).numpy()
        scale = np.abs(their).max()
        print(f"{name} {output_stride}: largest difference {np.abs(our - their).max() / scale:.1e} of {scale:.1f}")
        np.testing.assert_allclose(our / scale, their / scale, rtol=0, atol=5e-6)
