"""The networks in PyTorch, built from the names and shapes of their weights. Needs torch and safetensors alone.

network = load("model.safetensors")
labels = network(images).argmax(1)  # images: (N, 3, H, W) RGB from 0 to 255; labels: (N, H, W)
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from safetensors import safe_open
from torch import Tensor, nn


def load(path: str) -> SegmentationNetwork:
    """Returns the network of a file that ``sagemaker-semseg export --format torch`` has written."""
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it isn't a dict
        network = SegmentationNetwork(weights, int(file.metadata()["output_stride"]))
    network.load_state_dict(weights)
    return network.eval()


class SegmentationNetwork(nn.Module):
    """A dilated ResNet with the decoder of FCN, PSPNet or DeepLabV3, and the auxiliary classifier of training."""

    def __init__(self, weights: dict[str, Tensor], stride: int = 8) -> None:
        super().__init__()
        third = 1 if stride > 8 else 2  # a stage takes a stride of 2, or twice the dilation of the one before
        fourth = third if stride > 16 else 2 * third
        self.backbone = nn.Module()
        self.backbone.conv1, self.backbone.bn1 = _stem(weights)
        for number, dilation in enumerate((1, 1, third, fourth), 1):
            step = (1, 2, 1 if stride < 16 else 2, 1 if stride < 32 else 2)[number - 1]
            self.backbone.add_module(f"layer{number}", _stage(weights, f"backbone.layer{number}", step, dilation))
        self.classifier = _classifier(weights, "classifier", stride)
        self.aux_classifier = _classifier(weights, "aux_classifier", stride)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the logits (N, classes, H, W)."""
        mean, deviation = images.new_tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float32)
        x, body = (images / 255 - mean[:, None, None]) / deviation[:, None, None], self.backbone
        x = functional.max_pool2d(functional.relu(body.bn1(body.conv1(x))), 3, 2, 1)
        return _resize(self.classifier(body.layer4(body.layer3(body.layer2(body.layer1(x))))), images)


class Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1; the first 3x3 has the stride, and a dilation of its own."""

    def __init__(self, weights: dict[str, Tensor], name: str, stride: int, first: int, dilation: int) -> None:
        super().__init__()
        count = 3 if f"{name}.conv3.weight" in weights else 2
        for i in range(1, count + 1):
            step, rate = (stride, first) if i == count - 1 else (1, dilation)
            self.add_module(f"conv{i}", _conv(weights[f"{name}.conv{i}.weight"], step, rate))
            self.add_module(f"bn{i}", _norm(weights[f"{name}.conv{i}.weight"]))
        self.parts = [(f"conv{i}", f"bn{i}") for i in range(1, count + 1)]
        shortcut = weights.get(f"{name}.downsample.0.weight")
        self.downsample = nn.Identity() if shortcut is None else nn.Sequential(_conv(shortcut, stride), _norm(shortcut))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number, (convolution, normalization) in enumerate(self.parts, 1):
            y = self.get_submodule(normalization)(self.get_submodule(convolution)(y))
            y = functional.relu(y) if number < len(self.parts) else y
        return functional.relu(y + self.downsample(x))


class Branches(nn.Module):
    """Pyramid pooling (PSPNet), or atrous spatial pyramid pooling (DeepLabV3)."""

    def __init__(self, weights: dict[str, Tensor], name: str, stride: int) -> None:
        super().__init__()
        project = weights.get(f"{name}.project.0.weight")
        if project is None:
            pools, rates = {0: 1, 1: 2, 2: 3, 3: 6}, [1, 1, 1, 1]
        else:
            pools, rates = {4: 1}, [1, *(rate * 8 // stride for rate in (12, 24, 36)), 1]
        self.convs = nn.ModuleList()
        for i, rate in enumerate(rates):
            pool = [nn.AdaptiveAvgPool2d(pools[i])] if i in pools else []
            self.convs.append(nn.Sequential(*pool, *_unit(weights[f"{name}.convs.{i}.{len(pool)}.weight"], rate)))
        self.project = None if project is None else nn.Sequential(*_unit(project), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        found = [_resize(branch(x), x) for branch in self.convs]
        return torch.cat([x, *found], 1) if self.project is None else self.project(torch.cat(found, 1))


def _stem(weights: dict[str, Tensor]) -> tuple[nn.Module, nn.Module]:
    """One 7x7 convolution, or three of 3x3; and the normalization after it."""
    if "backbone.conv1.weight" in weights:
        return _conv(weights["backbone.conv1.weight"], 2), _norm(weights["backbone.conv1.weight"])
    first, second, third = (weights[f"backbone.conv1.{i}.weight"] for i in (0, 3, 6))
    return nn.Sequential(*_unit(first, stride=2), *_unit(second), _conv(third)), _norm(third)


def _stage(weights: dict[str, Tensor], name: str, stride: int, dilation: int) -> nn.Sequential:
    blocks = len({key.split(".")[2] for key in weights if key.startswith(f"{name}.")})
    first = Block(weights, f"{name}.0", stride, max(dilation // 2, 1), dilation)
    return nn.Sequential(first, *(Block(weights, f"{name}.{i}", 1, dilation, dilation) for i in range(1, blocks)))


def _classifier(weights: dict[str, Tensor], name: str, stride: int) -> nn.Sequential:
    last = weights[f"{name}.4.weight"]
    output = nn.Conv2d(last.shape[1], len(last), 1)
    if f"{name}.0.weight" in weights:
        return nn.Sequential(*_unit(weights[f"{name}.0.weight"]), nn.Dropout(0.1), output)
    return nn.Sequential(Branches(weights, f"{name}.0", stride), *_unit(weights[f"{name}.1.weight"]), output)


def _unit(weight: Tensor, dilation: int = 1, stride: int = 1) -> list[nn.Module]:
    return [_conv(weight, stride, dilation), _norm(weight), nn.ReLU()]


def _conv(weight: Tensor, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    outputs, inputs, size = weight.shape[:3]
    return nn.Conv2d(inputs, outputs, size, stride, dilation * (size // 2), dilation, bias=False)


def _norm(weight: Tensor) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(len(weight))


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)
