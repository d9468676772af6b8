"""What the doctor looks for: every kind of finding with its level and why it matters, as a table. The modules of this
folder make their findings through ``finding``; docs/check.md is held against the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sagemaker_semseg.checks.report import Finding, Level
from sagemaker_semseg.data.channels import FaultList, shown

_WHOLE: Final = "nothing can be learned from it, and a training that met it would have to stop"
_HIDDEN: Final = "training doesn't see it; if it belongs to the data, the set is smaller than it looks"
_LOOKS: Final = "these pictures look different to the network from all the others"

KINDS: Final[dict[str, tuple[Level, str]]] = {
    # errors: what ``read_channels`` stops on, in its words
    "missing channel": ("error", "training needs images and masks to learn from, and others to measure the model on"),
    "channel without pictures": ("error", "there is nothing to learn from or to measure the model on"),
    "unreadable folder": ("error", "the pictures in it are missing from the set"),
    "image without mask": ("error", "without a mask nothing can be learned from an image"),
    "mask without image": ("error", "a mask without its image means that a file is lost or has another name"),
    "two files of one name": ("error", "it isn't known which of the two belongs to the other channel's file"),
    "empty file": ("error", _WHOLE),
    "unusable image": ("error", _WHOLE),
    "unusable mask": ("error", _WHOLE),
    "colour mask": ("error", "a pixel of a mask has to hold the number of its class; colours say nothing about it"),
    "JPEG mask": ("error", "JPEG changes the values of pixels, and with them the classes"),
    "size mismatch": ("error", "the labels lie beside what they mean"),
    "label out of range": ("error", "the network has no output for such a class"),
    "bad label map": ("error", "it isn't known which class a pixel value means"),
    "masks without labels": ("error", "the loss and the mIOU of no pixel at all are undefined"),
    "two manifests": ("error", "it isn't known which of them is meant"),
    "unreadable manifest": ("error", "without it there are no pairs"),
    "empty manifest": ("error", "there is nothing to learn from or to measure the model on"),
    "attribute names": ("error", "it isn't known which file of a line is the image and which the mask"),
    "manifest line": ("error", "its pair is missing from the set"),
    "manifest attribute": ("error", "its pair is missing from the set"),
    "manifest reference": ("error", "its pair is missing from the set"),
    "manifest metadata": ("error", "what the mask's colours mean may be in it"),
    "colour map": ("error", "it isn't known which class a colour means"),
    "line without colours": ("error", "its mask would be read by numbers, all others by colours"),
    "unknown colour": ("error", "it isn't known which class such pixels are"),
    "unknown class": ("error", "the network has no output for such a class"),
    "number of classes": ("error", "the network would have too few outputs, or some that nothing teaches"),
    "not fetched": ("error", "its pair is missing from the set"),
    "channels swapped": ("error", "the network would be given labels for images"),
    # warnings: one file
    "wrong extension": ("warning", "pictures are told by their content here, other tools go by the name"),
    "blank image": ("warning", "a picture of one colour teaches nothing; often an export went wrong"),
    "grey images among colour ones": ("warning", _LOOKS),
    "CMYK image": ("warning", "it is turned into RGB without its colour profile, so that its colours differ"),
    "16-bit image": ("warning", "the upper 8 of the 16 bits are kept, the others are lost"),
    "transparent image": ("warning", "transparency is dropped: the network sees colours that no viewer shows"),
    "turned image": ("warning", "the size can't tell whether the mask was drawn on the picture before it was turned"),
    "image smaller than the crop": ("warning", "it is enlarged, or filled up with a border that teaches nothing"),
    "very large image": ("warning", "decoding it takes long in every epoch, and validation needs memory for all of it"),
    "anti-aliased mask": ("warning", "values in between two classes are read as classes, which nobody labelled"),
    "JPEG-compressed mask": ("warning", "the values that compression left around borders are read as classes"),
    "254 in a mask": ("warning", "255 means ignore, 254 doesn't: it counts as a label, which no class has"),
    "mask without labels": ("warning", "every pixel of it is ignored: the image takes time and teaches nothing"),
    # warnings: names
    "hidden file": ("warning", _HIDDEN + "; SageMaker uploads it and other tools may read it"),
    "file left out": ("warning", _HIDDEN),
    "link that leads back": ("warning", "a folder that holds itself is listed once; other tools may never end"),
    "blank in a name": ("warning", "commands and manifests split names at blanks unless everybody quotes them"),
    "names that differ in case": ("warning", "on Windows and macOS they are one file, and one overwrites the other"),
    "name that isn't portable": (
        "warning",
        "another system, or S3, can't hold it or changes it, and the pair falls apart",
    ),
    # warnings: the set
    "same folder": ("warning", "the model is measured on what it has learned by heart, and the mIOU means nothing"),
    "image in train and validation": ("warning", "the model is measured on what it has learned: the mIOU is too good"),
    "image much like one in train": (
        "warning",
        "the model is measured on nearly what it has learned: the mIOU is too good",
    ),
    "image twice": ("warning", "it counts twice, in training or in the mIOU"),
    "one image, several masks": ("warning", "the masks contradict each other, and at most one can be right"),
    "class that never occurs": ("warning", "no pixel teaches the network this class, and no pixel measures it"),
    "class absent from train": ("warning", "the model is measured on a class that it can't learn"),
    "class absent from validation": ("warning", "whether the model knows this class isn't measured"),
    "pixel values left out": ("warning", "the label map doesn't name them, so that they are ignored in loss and mIOU"),
    "useless label map": ("warning", "it has no effect; perhaps another name or another value was meant"),
    "label map of one split": ("warning", "if both need one, the masks of the other split are read as other classes"),
    "scale missing": ("warning", "labels are 0, 1, 2, ...; other numbers are no classes, or ones that don't exist"),
    "numbers unlike colours": (
        "warning",
        "Pipe mode, and SageMaker's own algorithm, go by the numbers and would learn others",
    ),
    "masks of one class": (
        "warning",
        "a picture of one class shows no border, and the network learns the commonest class",
    ),
    "sizes far apart": ("warning", "all are scaled to base_size, so that one thing has very different sizes in them"),
}
"""kind -> (level, why)"""

_UNKNOWN: Final[tuple[Level, str]] = ("error", "a training stops on it")


def finding(kind: str, where: Path | str, what: str, remedy: str) -> Finding:
    """A finding of a kind in the table."""
    level, why = KINDS[kind]
    return Finding(level, kind, shown(where), shown(what), why, shown(remedy))


def of_faults(faults: FaultList) -> list[Finding]:
    """The faults on which a training stops, as findings."""
    return [
        Finding("error", kind, fault.where, fault.what, KINDS.get(kind, _UNKNOWN)[1], fault.remedy)
        for kind, several in faults.kinds.items()
        for fault in several
    ]


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """By the order of the table, errors first; those of one kind stay in their order."""
    place = {kind: number for number, kind in enumerate(KINDS)}
    return sorted(findings, key=lambda found: place.get(found.kind, -1))
