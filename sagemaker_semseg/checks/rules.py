"""Every kind of finding with its level and why it matters; docs/check.md lists the same."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sagemaker_semseg.checks.report import Finding, Level
from sagemaker_semseg.errors import FaultList, printable

_USELESS: Final = "nothing can be learned from it, and a training would stop on it"
_NOT_READ: Final = "training doesn't see it; if it belongs to the data, the set is smaller than it looks"
_TOO_GOOD: Final = "validation measures the model on an image of its training: the mIOU is too good"

ERRORS: Final = {
    "missing channel": "training needs images and masks to learn from, and others to measure the model on",
    "channel without images": "there is nothing to learn from or to measure the model on",
    "unreadable folder": "its images are missing from the set",
    "image without mask": "without a mask nothing can be learned from an image",
    "mask without image": "a mask without its image means that a file is lost or has another name",
    "two files of one name": "it isn't known which of the two belongs to the other channel's file",
    "empty file": _USELESS,
    "unusable image": _USELESS,
    "unusable mask": _USELESS,
    "colour mask": "a pixel of a mask has to hold the number of its class; colours say nothing about it",
    "JPEG mask": "JPEG changes the values of pixels, and with them the classes",
    "size mismatch": "the labels don't lie on the objects that they mean",
    "label out of range": "the network has no output for such a class",
    "bad label map": "it isn't known which class a pixel value means",
    "masks without labels": "the loss and the mIOU of no pixel at all are undefined",
    "two validations": "the pairs that were kept apart, or those of the channel: it isn't known which are meant",
    "one pair": "there is nothing to learn from, or nothing to measure the model on",
    "two manifests": "it isn't known which of them is meant",
    "unreadable manifest": "without it there are no pairs",
    "empty manifest": "there is nothing to learn from or to measure the model on",
    "attribute names": "it isn't known which file of a line is the image and which the mask",
    "manifest line": "its pair is missing from the set",
    "manifest attribute": "its pair is missing from the set",
    "manifest reference": "its pair is missing from the set",
    "manifest metadata": "what the mask's colours mean may be in it",
    "colour map": "it isn't known which class a colour means",
    "line without colours": "its mask would be read by numbers, all others by colours",
    "unknown colour": "it isn't known which class such pixels are",
    "unknown class": "the network has no output for such a class",
    "number of classes": "the network would have too few outputs, or some that no pixel trains",
    "not fetched": "its pair is missing from the set",
    "doubtful labels": "a training would run, but learn nothing, or take a class for pixels without a label",
    "channels swapped": "the network would get masks as its images",
}
"""Kinds of findings on which a training stops, most of them faults of ``read_channels`` -> why they matter"""

WARNINGS: Final = {
    # single files
    "wrong extension": "the content decides here, but other tools go by the name",
    "blank image": "an image of one colour teaches nothing; often an export went wrong",
    "grey images among colour ones": "to the network these images look different from all the others",
    "CMYK image": "it is converted to RGB without its colour profile, so that its colours differ",
    "16-bit image": "the upper 8 of the 16 bits are kept, the others are lost",
    "transparent image": "transparency is dropped: the network sees colours that no viewer shows",
    "turned image": "the size doesn't show whether the mask was drawn before or after the image was turned",
    "image smaller than the crop": "it is enlarged, or padded with a border that teaches nothing",
    "very large image": "decoding it takes long in every epoch, and validation needs memory for all of it",
    "anti-aliased mask": "values between two classes are read as other classes",
    "JPEG-compressed mask": "the values that compression left around borders are read as classes",
    "254 in a mask": "255 means ignore, 254 doesn't: it counts as a label, which no class has",
    "mask without labels": "every pixel of it is ignored: the image takes time and teaches nothing",
    # names
    "hidden file": _NOT_READ + "; SageMaker uploads it and other tools may read it",
    "file left out": _NOT_READ,
    "link that leads back": "a folder that holds itself is listed once; other tools may never end",
    "blank in a name": "commands and manifests split names at blanks unless they are quoted everywhere",
    "names that differ in case": "on Windows and macOS they are one file, and one overwrites the other",
    "name that isn't portable": "other systems or S3 change it or can't hold it: image and mask lose their common name",
    # the whole set
    "same folder": "validation measures the model on the images of its training: the mIOU means nothing",
    "image in train and validation": _TOO_GOOD,
    "image much like one in train": _TOO_GOOD.replace("an image", "nearly an image"),
    "image twice": "it counts twice, in training or in the mIOU",
    "one image, several masks": "the masks contradict each other, and at most one can be right",
    "class that never occurs": "no pixel trains the network on this class, and no pixel measures it",
    "class absent from train": "the model is measured on a class that it can't learn",
    "class absent from validation": "whether the model knows this class isn't measured",
    "pixel values left out": "the label map doesn't name them, so that they are ignored in loss and mIOU",
    "useless label map": "it has no effect; perhaps another name or another value was meant",
    "label map of one split": "if both need one, the masks of the other split are read as other classes",
    "label map missing": "labels are 0, 1, 2, ...; other numbers are no classes, or ones that don't exist",
    "numbers unlike colours": "Pipe mode and SageMaker's own algorithm read the numbers, and would learn other classes",
    "masks of one class": "an image of one class shows no border, and the network learns the commonest class",
    "sizes far apart": "all are scaled to base_size, so that one kind of object has very different sizes in them",
}
"""Kinds of findings with which a training runs -> why they matter"""

RULES: Final[dict[str, tuple[Level, str]]] = {
    **{kind: ("error", why) for kind, why in ERRORS.items()},
    **{kind: ("warning", why) for kind, why in WARNINGS.items()},
}


def finding(kind: str, where: Path | str, what: str, remedy: str) -> Finding:
    """Make a finding of a kind in the table."""
    level, why = RULES[kind]
    return Finding(level, kind, printable(where), printable(what), why, printable(remedy))


def fault_findings(faults: FaultList) -> list[Finding]:
    """Return the faults on which a training stops as findings."""
    return [
        Finding("error", kind, fault.where, fault.what, ERRORS.get(kind, "a training stops on it"), fault.remedy)
        for kind, several in faults.kinds.items()
        for fault in several
    ]


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by the order of the table, errors first; findings of one kind keep their order."""
    place = {kind: number for number, kind in enumerate(RULES)}
    return sorted(findings, key=lambda found: place.get(found.kind, -1))
