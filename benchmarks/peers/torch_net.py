"""FCN, PSPNet and DeepLabV3 on dilated ResNets in plain PyTorch: the peer that our speed is measured beside.

Input: images (N, 3, H, W) float32, normalized. Output: (logits, auxiliary logits), each (N, classes, H, W) float32.
`torch_train.py` trains it, `torch_infer.py` uses it, `torch_check.py` compares it with the reference numbers. The
architecture is GluonCV's (bottleneck "v1s" ResNets with a deep stem, basic "v1b" ResNet-18, output stride 8, symmetric
padding, align_corners up-sampling), so that every framework does the same sums, and modules carry the reference's
structural names (`layer3.2.bn2`, `head.aspp.concurent.0.0`: spelt so there).
"""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def conv_bn_relu(inputs: int, outputs: int, kernel: int, padding: int = 0, stride: int = 1) -> list[nn.Module]:
    """Convolution without bias, batch norm, ReLU; `padding` is the dilation too, except for the strided stem."""
    dilation = padding if padding and stride == 1 else 1
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries stride and dilation), 1x1, plus the shortcut."""

    def __init__(self, inputs: int, planes: int, stride: int, dilation: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * planes, 1, stride, bias=False), nn.BatchNorm2d(4 * planes)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + shortcut)


class BasicBlock(nn.Module):
    """Two 3x3 (the first carries the stride), plus the shortcut."""

    def __init__(self, inputs: int, planes: int, stride: int, first: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, first, first, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(x + shortcut)


def stage(deep: bool, inputs: int, planes: int, blocks: int, stride: int, first: int, dilation: int) -> nn.Sequential:
    """One ResNet stage; its first block has a dilation of its own (`first`)."""
    if deep:
        layers: list[nn.Module] = [Bottleneck(inputs, planes, stride, first, project=True)]
        layers += [Bottleneck(4 * planes, planes, 1, dilation, project=False) for _ in range(1, blocks)]
    else:
        layers = [BasicBlock(inputs, planes, stride, first, dilation)]
        layers += [BasicBlock(planes, planes, 1, dilation, dilation) for _ in range(1, blocks)]
    return nn.Sequential(*layers)


class FCNHead(nn.Module):
    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        middle = inputs // 4
        self.block = nn.Sequential(
            *conv_bn_relu(inputs, middle, 3, padding=1), nn.Dropout(0.1), nn.Conv2d(middle, classes, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class PyramidPooling(nn.Module):
    """Means over 1, 2, 3 and 6 bins a side, each spread over the feature map again and joined with it."""

    BINS = (1, 2, 3, 6)

    def __init__(self, inputs: int) -> None:
        super().__init__()
        for i in range(1, 5):
            self.add_module(f"conv{i}", nn.Sequential(*conv_bn_relu(inputs, inputs // 4, 1)))

    def forward(self, x: Tensor) -> Tensor:
        convs = (self.conv1, self.conv2, self.conv3, self.conv4)
        pooled = (functional.adaptive_avg_pool2d(x, bins) for bins in self.BINS)
        return torch.cat([x, *(resize(conv(y), x) for conv, y in zip(convs, pooled, strict=True))], dim=1)


class PSPHead(nn.Module):
    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.psp = PyramidPooling(inputs)
        middle = inputs // 4
        self.block = nn.Sequential(
            *conv_bn_relu(2 * inputs, middle, 3, padding=1), nn.Dropout(0.1), nn.Conv2d(middle, classes, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.psp(x))


class ASPPPooling(nn.Module):
    """The image-level branch: global mean, 1x1 convolution, spread over the feature map again."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gap = nn.Sequential(nn.AdaptiveAvgPool2d(1), *conv_bn_relu(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.gap(x).expand(-1, -1, x.shape[2], x.shape[3])


class ASPP(nn.Module):
    RATES = (12, 24, 36)

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        branches: list[nn.Module] = [nn.Sequential(*conv_bn_relu(inputs, outputs, 1))]
        branches += [nn.Sequential(*conv_bn_relu(inputs, outputs, 3, padding=rate)) for rate in self.RATES]
        branches.append(ASPPPooling(inputs, outputs))
        self.concurent = nn.ModuleList(branches)
        self.project = nn.Sequential(*conv_bn_relu(5 * outputs, outputs, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([branch(x) for branch in self.concurent], dim=1))


class DeepLabHead(nn.Module):
    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.aspp = ASPP(inputs, 256)
        self.block = nn.Sequential(*conv_bn_relu(256, 256, 3, padding=1), nn.Dropout(0.1), nn.Conv2d(256, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.aspp(x))


HEADS = {"fcn": FCNHead, "psp": PSPHead, "deeplab": DeepLabHead}


class SegmentationNet(nn.Module):
    """A dilated ResNet with a head on c4 and the auxiliary FCN head on c3."""

    def __init__(self, algorithm: str, classes: int, depth: int = 50) -> None:
        super().__init__()
        one, two, three, four = BLOCKS[depth]
        deep = depth >= 50
        wide = 4 if deep else 1
        stem = 128 if deep else 64
        self.conv1: nn.Module = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        if deep:
            self.conv1 = nn.Sequential(
                *conv_bn_relu(3, 64, 3, padding=1, stride=2),
                *conv_bn_relu(64, 64, 3, padding=1),
                nn.Conv2d(64, 128, 3, padding=1, bias=False),
            )
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(deep, stem, 64, one, stride=1, first=1, dilation=1)
        self.layer2 = stage(deep, 64 * wide, 128, two, stride=2, first=1, dilation=1)
        self.layer3 = stage(deep, 128 * wide, 256, three, stride=1, first=1, dilation=2)
        self.layer4 = stage(deep, 256 * wide, 512, four, stride=1, first=2, dilation=4)
        self.head = HEADS[algorithm](512 * wide, classes)
        self.auxlayer = FCNHead(256 * wide, classes)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(c3, c4): what the auxiliary head and the head use."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        c3 = self.layer3(self.layer2(self.layer1(x)))
        return c3, self.layer4(c3)

    def low_resolution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, auxiliary logits) before the last up-sampling, each (N, classes, ceil(H/8), ceil(W/8))."""
        c3, c4 = self.features(x)
        return self.head(c4), self.auxlayer(c3)

    def logits(self, x: Tensor) -> Tensor:
        """Without the auxiliary head, which is for training."""
        return resize(self.head(self.features(x)[1]), x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, auxiliary = self.low_resolution(x)
        return resize(logits, x), resize(auxiliary, x)


def resize(logits: Tensor, image: Tensor) -> Tensor:
    return functional.interpolate(logits, size=image.shape[2:], mode="bilinear", align_corners=True)
