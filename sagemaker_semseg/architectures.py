"""The networks as data: backbones, decoders, and the convolutions and weights that follow from them.

``models`` builds the networks from this table. Hyperparameters, importers and the memory estimate read it too, so a new
backbone is one entry in ``BACKBONES``. Nothing here needs Keras.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Shapes = dict[str, tuple[int, ...]]

STRIDE = 8
"""By how much the features that a decoder gets are smaller than the image, along a side, unless another is chosen."""

STATISTICS = ("gamma", "beta", "running_mean", "running_var")
"""The weights of a batch normalization, in the reference's order."""


@dataclass(frozen=True)
class PretrainedWeights:
    """Published ImageNet weights of a backbone.

    Attributes:
        model: timm's name of the model, which is its repository on the Hugging Face Hub.
        params: GluonCV's file; params_sha1: its digest.
        pth: the file of timm's older releases; its name carries the first digits of its SHA-256.
    """

    model: str
    params: str
    params_sha1: str
    pth: str

    @property
    def file(self) -> str:
        """Name of the hub's file on this machine."""
        return f"{self.model}.safetensors"

    @property
    def files(self) -> tuple[str, ...]:
        """Every name under which a folder may hold these weights, the preferred one first."""
        return (self.file, self.params, self.pth, "model.safetensors")

    def url(self, hub: str) -> str:
        """The hub's file. Its commits and digests are not on record here, so it is the one of the branch ``main``."""
        return f"{hub}/timm/{self.model}/resolve/main/model.safetensors"

    def digest(self, name: str) -> tuple[str, str] | None:
        """Kind of digest, and its first digits or all, that a file of this name must have."""
        digits = self.pth.rpartition("-")[2].removesuffix(".pth")
        return {self.params: ("sha1", self.params_sha1), self.pth: ("sha256", digits)}.get(name)


@dataclass(frozen=True)
class Convolution:
    """A convolution and what follows it.

    Attributes:
        name: of its weights, such as "layer1.0.conv1".
        norm: name of the batch normalization after it. None: the convolution has a bias instead.
        channels: of its input.
        filters: channels of its output.
        size: side of the kernel. Its padding is dilation * (size // 2) on every side.
        relu: whether a ReLU follows; of the last one in a block, after the shortcut is added.
        dropout: rate of the dropout after it.
        reduction: by how much its input is smaller than the image, along a side.
    """

    name: str
    norm: str | None
    channels: int
    filters: int
    size: int = 3
    stride: int = 1
    dilation: int = 1
    relu: bool = True
    dropout: float = 0.0
    reduction: int = STRIDE

    @property
    def shapes(self) -> Shapes:
        """Names and shapes of its weights and its normalization's; kernels are (out, in, height, width)."""
        shapes: Shapes = {f"{self.name}.weight": (self.filters, self.channels, self.size, self.size)}
        if self.norm is None:
            return shapes | {f"{self.name}.bias": (self.filters,)}
        return shapes | {f"{self.norm}.{statistic}": (self.filters,) for statistic in STATISTICS}


@dataclass(frozen=True)
class Block:
    """A residual block: convolutions one after the other, and one in the shortcut where the shape changes."""

    name: str
    convolutions: tuple[Convolution, ...]
    shortcut: Convolution | None


@dataclass(frozen=True)
class BackboneSpec:
    """A dilated ResNet.

    Attributes:
        block: "basic" (two 3x3 convolutions) or "bottleneck" (1x1, 3x3, 1x1; the 3x3 takes the stride).
        counts: blocks of each stage.
        deep_stem: whether three 3x3 convolutions begin the network, instead of one 7x7.
        pretrained: where ImageNet weights are. None: nowhere.
        extension: whether AWS's algorithm does not have it.
        hidden: whether it is for tests: accepted, but in no help text or document.
        channels: of the 3x3 convolutions of each stage.
        strides: of the first block of each stage.
        dilations: of each stage; its first block has half of it.
    """

    block: Literal["basic", "bottleneck"]
    counts: tuple[int, int, int, int]
    deep_stem: bool = False
    pretrained: PretrainedWeights | None = None
    extension: bool = False
    hidden: bool = False
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    strides: tuple[int, int, int, int] = (1, 2, 1, 1)
    dilations: tuple[int, int, int, int] = (1, 1, 2, 4)

    @property
    def features(self) -> tuple[int, int]:
        """Channels of the outputs of the third and the fourth stage."""
        return self._out(2), self._out(3)

    def at_stride(self, stride: int) -> BackboneSpec:
        """The backbone whose features are smaller than the image by 8, 16 or 32 (Chen et al. 2017, section 3.1).

        Each stage that may be dilated either takes a stride of 2 or twice the dilation of the one before.
        """
        third, fourth = stride >= 16, stride >= 32  # whether these stages reduce the size
        dilation = 1 if third else 2
        return replace(
            self,
            strides=(1, 2, 2 if third else 1, 2 if fourth else 1),
            dilations=(1, 1, dilation, dilation if fourth else 2 * dilation),
        )

    def stem(self) -> tuple[Convolution, ...]:
        if not self.deep_stem:
            return (Convolution("conv1", "bn1", 3, 64, 7, stride=2, reduction=1),)
        return (
            Convolution("conv1.0", "conv1.1", 3, 64, stride=2, reduction=1),
            Convolution("conv1.3", "conv1.4", 64, 64, reduction=2),
            Convolution("conv1.6", "bn1", 64, 128, reduction=2),
        )

    def stages(self) -> Iterator[list[Block]]:
        """The blocks of each of the four stages."""
        channels, reduction = self.stem()[-1].filters, 4
        for stage in range(4):
            blocks = []
            for number in range(self.counts[stage]):
                blocks.append(self._block(stage, number, channels, reduction))
                channels = self._out(stage)
                reduction *= self.strides[stage] if number == 0 else 1
            yield blocks

    def convolutions(self) -> Iterator[Convolution]:
        yield from self.stem()
        for blocks in self.stages():
            for block in blocks:
                yield from block.convolutions
                if block.shortcut:
                    yield block.shortcut

    def _out(self, stage: int) -> int:
        return self.channels[stage] * (4 if self.block == "bottleneck" else 1)

    def _block(self, stage: int, number: int, channels: int, reduction: int) -> Block:
        name, inner, out = f"layer{stage + 1}.{number}", self.channels[stage], self._out(stage)
        stride = self.strides[stage] if number == 0 else 1
        dilation = self.dilations[stage]
        first = dilation if number else max(dilation // 2, 1)
        if self.block == "basic":
            parts = [(channels, inner, 3, stride, first), (inner, out, 3, 1, dilation)]
        else:
            parts = [(channels, inner, 1, 1, 1), (inner, inner, 3, stride, first), (inner, out, 1, 1, 1)]
        convolutions = []
        at = reduction
        for i, (into, filters, size, step, rate) in enumerate(parts, start=1):
            convolutions.append(
                Convolution(f"{name}.conv{i}", f"{name}.bn{i}", into, filters, size, step, rate, reduction=at)
            )
            at *= step
        shortcut = None
        if channels != out or stride > 1:
            shortcut = Convolution(f"{name}.downsample.0", f"{name}.downsample.1", channels, out, 1, stride,
                                   relu=False, reduction=reduction)  # fmt: skip
        return Block(name, tuple(convolutions), shortcut)


@dataclass(frozen=True)
class Branch:
    """One of a decoder's parallel convolutions of the features.

    Attributes:
        pool: name of a pooling before it, or None. What is pooled is resized back after the convolution.
        bins: bins a side of the pooling; None: the mean of all.
        resize: name of that resizing.
    """

    convolution: Convolution
    pool: str | None = None
    bins: int | None = None
    resize: str | None = None


@dataclass(frozen=True)
class DecoderSpec:
    """A decoder: FCN's classifier, after parallel branches or not.

    Attributes:
        joined: name of the branches' concatenation; None: there are no branches.
        bins: of pyramid pooling, bins a side of each branch (PSPNet, Zhao et al. 2017).
        rates: of atrous spatial pyramid pooling, dilation rates of its 3x3 branches (DeepLabV3, Chen et al. 2017).
        reduction: by how much the features are smaller than the image, along a side.
    """

    joined: str | None = None
    bins: tuple[int, ...] = ()
    rates: tuple[int, ...] = ()
    reduction: int = STRIDE

    def at_stride(self, stride: int) -> DecoderSpec:
        """The decoder of features of this stride; its rates cover the same part of the image."""
        return replace(self, rates=tuple(rate * STRIDE // stride for rate in self.rates), reduction=stride)

    @property
    def keeps_features(self) -> bool:
        """Whether the features themselves are concatenated with the branches."""
        return bool(self.bins)

    @property
    def pools_to_one_value(self) -> bool:
        """Whether a branch pools the whole image to one value a channel: training needs 2 images on a device then."""
        return bool(self.rates) or 1 in self.bins

    def branches(self, features: int) -> list[Branch]:
        """The branches for this number of channels."""
        if self.rates:
            return self._atrous_branches(features)
        branches = []
        for i, bins in enumerate(self.bins, start=1):
            name = f"{self.joined}.conv{i}"
            convolution = Convolution(f"{name}.0", f"{name}.1", features, features // 4, 1, reduction=self.reduction)
            branches.append(Branch(convolution, f"{name}.pool", bins, f"{name}.resize"))
        return branches

    def _atrous_branches(self, features: int) -> list[Branch]:
        branches = []
        for i, rate in enumerate((1, *self.rates)):
            name, size = f"{self.joined}.{i}", 1 if i == 0 else 3
            convolution = Convolution(f"{name}.0", f"{name}.1", features, 256, size, dilation=rate,
                                      reduction=self.reduction)  # fmt: skip
            branches.append(Branch(convolution))
        name = f"{self.joined}.{len(branches)}"
        mean = Convolution(f"{name}.gap.1", f"{name}.gap.2", features, 256, 1, reduction=self.reduction)
        return [*branches, Branch(mean, f"{name}.gap.0", None, f"{name}.resize")]

    def rest(self, features: int, num_classes: int) -> list[Convolution]:
        """The convolutions after the branches."""
        if self.rates:
            project = Convolution("head.aspp.project.0", "head.aspp.project.1", 256 * (len(self.rates) + 2), 256, 1,
                                  dropout=0.5, reduction=self.reduction)  # fmt: skip
            return [project, *classifier("head", 256, 256, num_classes, self.reduction)]
        channels = features + features // 4 * len(self.bins)
        return classifier("head", channels, features // 4, num_classes, self.reduction)

    def convolutions(self, features: int, num_classes: int) -> Iterator[Convolution]:
        yield from (branch.convolution for branch in self.branches(features))
        yield from self.rest(features, num_classes)


def classifier(name: str, channels: int, inner: int, num_classes: int, reduction: int = STRIDE) -> list[Convolution]:
    """FCN's decoder (Long et al. 2015): a 3x3 convolution, then one with an output for each class."""
    return [
        Convolution(f"{name}.block.0", f"{name}.block.1", channels, inner, dropout=0.1, reduction=reduction),
        Convolution(f"{name}.block.4", None, inner, num_classes, 1, relu=False, reduction=reduction),
    ]


@dataclass(frozen=True)
class ArchitectureSpec:
    """A whole network, or a backbone alone (no algorithm).

    Attributes:
        backbone: a key of ``BACKBONES``.
        algorithm: a key of ``DECODERS``, or None.
        num_classes: None where there is no decoder.
        auxiliary: whether the auxiliary decoder is there, which is used in training alone.
        output_stride: by how much the features are smaller than the image, along a side: 8, 16 or 32.
    """

    backbone: str
    algorithm: str | None = None
    num_classes: int | None = None
    auxiliary: bool = True
    output_stride: int = STRIDE

    @property
    def body(self) -> BackboneSpec:
        return BACKBONES[self.backbone].at_stride(self.output_stride)

    @property
    def decoder(self) -> DecoderSpec:
        return DECODERS[self.algorithm or ""].at_stride(self.output_stride)

    def auxiliary_classifier(self) -> list[Convolution]:
        features = self.body.features[0]
        return classifier("auxlayer", features, features // 4, self.num_classes or 0, min(self.output_stride, 16))

    def convolutions(self) -> Iterator[Convolution]:
        """All convolutions, in the order in which the reference saves their weights."""
        yield from self.body.convolutions()
        if self.algorithm is None or self.num_classes is None:
            return
        yield from self.decoder.convolutions(self.body.features[1], self.num_classes)
        if self.auxiliary:
            yield from self.auxiliary_classifier()

    @property
    def shapes(self) -> Shapes:
        """Names and shapes of all weights, in the reference's order."""
        shapes: Shapes = {}
        for convolution in self.convolutions():
            shapes |= convolution.shapes
        return shapes


def is_classifier(name: str) -> bool:
    """Whether a weight belongs to a decoder's last convolution, which has an output for each class."""
    return name.startswith(("head.block.4.", "auxlayer.block.4."))


def is_decoder(name: str) -> bool:
    """Whether a weight belongs to a decoder, the auxiliary one included."""
    return name.startswith(("head.", "auxlayer."))


def _pretrained(model: str, gluon: str, pth: str, sha1: str) -> PretrainedWeights:
    return PretrainedWeights(model, f"{gluon}-{sha1[:8]}.params", sha1, f"gluon_{gluon}-{pth}.pth")


BACKBONES: dict[str, BackboneSpec] = {
    "resnet-18": BackboneSpec("basic", (2, 2, 2, 2), extension=True, pretrained=_pretrained(
        "resnet18.gluon_in1k", "resnet18_v1b", "0757602b", "2d9d980c990442f826f20781ed039851e78dabe3")),
    "resnet-34": BackboneSpec("basic", (3, 4, 6, 3), extension=True, pretrained=_pretrained(
        "resnet34.gluon_in1k", "resnet34_v1b", "c6d82d59", "8e16b84814e84f64d897854003f049872991eaa6")),
    "resnet-50": BackboneSpec("bottleneck", (3, 4, 6, 3), deep_stem=True, pretrained=_pretrained(
        "resnet50s.gluon_in1k", "resnet50_v1s", "1762acc0", "25a187fa281ddc98afbcd0cc0f0646885b874b80")),
    "resnet-101": BackboneSpec("bottleneck", (3, 4, 23, 3), deep_stem=True, pretrained=_pretrained(
        "resnet101s.gluon_in1k", "resnet101_v1s", "60fe0cc1", "bd93a83c05f709a803b1221aeff0b028e6eebb03")),
    "resnet-152": BackboneSpec("bottleneck", (3, 8, 36, 3), deep_stem=True, extension=True, pretrained=_pretrained(
        "resnet152s.gluon_in1k", "resnet152_v1s", "dcc41b81", "cf74621d988ad06c6c6aa44f5597e5b600a966cc")),
    "resnet-tiny": BackboneSpec("basic", (1, 1, 1, 1), extension=True, hidden=True),
}  # fmt: skip
"""GluonCV's ResNets "v1b" (basic) and "v1s" (bottleneck), dilated (Yu et al. 2017). timm publishes their weights."""

DECODERS: dict[str, DecoderSpec] = {
    "fcn": DecoderSpec(),
    "psp": DecoderSpec("head.psp", bins=(1, 2, 3, 6)),
    "deeplab": DecoderSpec("head.aspp.concurent", rates=(12, 24, 36)),  # the reference's spelling
}

VISIBLE_BACKBONES: tuple[str, ...] = tuple(name for name, spec in BACKBONES.items() if not spec.hidden)
