"""What a network's weights are called and how they are shaped: algorithm, backbone and number of classes in, names and
shapes out, in the order in which the reference engine saves them.

The networks themselves are built in ``models``, by Keras; this list needs no Keras, so that a file can be judged in
whole before anything is built, and its need of memory be told. Tests hold the two against each other and against the
reference's own lists. Called by ``weights`` and ``memory``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Shapes = dict[str, tuple[int, ...]]

BASIC, BOTTLENECK = "basic", "bottleneck"
BACKBONES: dict[str, tuple[str, tuple[int, int, int, int]]] = {
    "resnet-18": (BASIC, (2, 2, 2, 2)),
    "resnet-34": (BASIC, (3, 4, 6, 3)),
    "resnet-50": (BOTTLENECK, (3, 4, 6, 3)),
    "resnet-101": (BOTTLENECK, (3, 4, 23, 3)),
    "resnet-152": (BOTTLENECK, (3, 8, 36, 3)),
}
STATISTICS = ("gamma", "beta", "running_mean", "running_var")


def backbone_shapes(backbone: str) -> Shapes:
    """Of a backbone alone; convolutions as (out, in, height, width)."""
    block, counts = BACKBONES[backbone]
    list_ = ShapeBuilder()
    channels = list_.deep_stem() if block == BOTTLENECK else list_.stem()
    for stage, count in enumerate(counts, start=1):
        for number in range(count):
            channels = list_.block(block, f"layer{stage}.{number}", channels, 32 * 2**stage)
    return list_.shapes


def shapes(algorithm: str, backbone: str, num_classes: int, *, auxiliary: bool = True) -> Shapes:
    """Of a whole network, with or without its auxiliary head."""
    list_ = ShapeBuilder(backbone_shapes(backbone))
    features = 512 if BACKBONES[backbone][0] == BASIC else 2048
    {"fcn": list_.fcn, "psp": list_.psp, "deeplab": list_.deeplab}[algorithm](features, num_classes)
    if auxiliary:
        list_.classifier("auxlayer", features // 2, features // 8, num_classes)
    return list_.shapes


def is_classifier(name: str) -> bool:
    """Whether a weight belongs to the last convolution of a head, which has an output for each class."""
    return name.startswith(("head.block.4.", "auxlayer.block.4."))


@dataclass
class ShapeBuilder:
    """The list so far, and the pieces that networks are made of."""

    shapes: Shapes = field(default_factory=dict)

    def conv(self, name: str, out: int, into: int, size: int) -> None:
        self.shapes[f"{name}.weight"] = (out, into, size, size)

    def norm(self, name: str, channels: int) -> None:
        self.shapes |= {f"{name}.{statistic}": (channels,) for statistic in STATISTICS}

    def conv_norm(self, conv: str, norm: str, out: int, into: int, size: int) -> None:
        self.conv(conv, out, into, size)
        self.norm(norm, out)

    def stem(self) -> int:
        self.conv_norm("conv1", "bn1", 64, 3, 7)
        return 64

    def deep_stem(self) -> int:
        self.conv_norm("conv1.0", "conv1.1", 64, 3, 3)
        self.conv_norm("conv1.3", "conv1.4", 64, 64, 3)
        self.conv_norm("conv1.6", "bn1", 128, 64, 3)
        return 128

    def block(self, kind: str, name: str, into: int, planes: int) -> int:
        out = planes if kind == BASIC else 4 * planes
        basic = [(planes, into, 3), (planes, planes, 3)]
        bottleneck = [(planes, into, 1), (planes, planes, 3), (out, planes, 1)]
        for number, (after, before, size) in enumerate(basic if kind == BASIC else bottleneck, start=1):
            self.conv_norm(f"{name}.conv{number}", f"{name}.bn{number}", after, before, size)
        if into != out:
            self.conv_norm(f"{name}.downsample.0", f"{name}.downsample.1", out, into, 1)
        return out

    def classifier(self, name: str, into: int, middle: int, num_classes: int) -> None:
        self.conv_norm(f"{name}.block.0", f"{name}.block.1", middle, into, 3)
        self.conv(f"{name}.block.4", num_classes, middle, 1)
        self.shapes[f"{name}.block.4.bias"] = (num_classes,)

    def fcn(self, features: int, num_classes: int) -> None:
        self.classifier("head", features, features // 4, num_classes)

    def psp(self, features: int, num_classes: int) -> None:
        for branch in (1, 2, 3, 4):
            self.conv_norm(f"head.psp.conv{branch}.0", f"head.psp.conv{branch}.1", features // 4, features, 1)
        self.classifier("head", 2 * features, features // 4, num_classes)

    def deeplab(self, features: int, num_classes: int) -> None:
        aspp = "head.aspp.concurent"  # the reference engine's spelling
        for branch, size in enumerate((1, 3, 3, 3)):
            self.conv_norm(f"{aspp}.{branch}.0", f"{aspp}.{branch}.1", 256, features, size)
        self.conv_norm(f"{aspp}.4.gap.1", f"{aspp}.4.gap.2", 256, features, 1)
        self.conv_norm("head.aspp.project.0", "head.aspp.project.1", 256, 5 * 256, 1)
        self.classifier("head", 256, 256, num_classes)
