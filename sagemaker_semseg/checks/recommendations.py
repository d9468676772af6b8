"""Recommended hyperparameters and estimates of memory for a data set that was checked."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median_low
from typing import Any, Final

import numpy as np

from sagemaker_semseg.architectures import ArchitectureSpec
from sagemaker_semseg.checks.report import Recommendation, Report, SplitFacts
from sagemaker_semseg.data.labels import median_frequency_weights
from sagemaker_semseg.hyperparameters import TABLE, Hyperparameters, resolve
from sagemaker_semseg.memory import Estimate, inference, training_step, validation_step

__all__ = ["add_recommendations"]

_LEAST_WEIGHT_RATIO: Final = 5.0  # of the largest to the smallest class weight; below, weights aren't recommended
_MEMORY_SHARE: Final = 0.9  # of a machine's memory, which a training may take
_MOST_SCALE: Final = 1.5  # between base_size and the usual image
_LEAST_SIZE: Final = 24  # crop_size and base_size have to be above 16

_LEAST_SIDE_FOR_STRONG: Final = 300  # of the usual image; its output_stride 16 loses small objects in smaller ones


def add_recommendations(report: Report, available: int | None = None) -> Report:
    """Return the report with recommended hyperparameters and estimates of memory.

    Args:
        report: What ``run_checks`` returned; ``settings`` that aren't hyperparameters are ignored.
        available: Bytes of memory that a training would find; None where that isn't known.

    Raises:
        HyperparameterError: The settings contradict each other.
    """
    given = {row.name: report.settings[row.name] for row in TABLE if row.name in report.settings}
    hp = resolve({**given, "num_classes": report.num_classes})
    splits = {split.channel: split for split in report.splits}
    found = _num_classes(hp, report.splits)
    classes = _apply(hp, found).num_classes
    found += _num_training_samples(hp, splits.get("train"))
    size = _usual_size(splits.get("train"))
    if not report.label_maps:  # in which images the labels would be isn't counted
        weights = _class_weights(hp, splits.get("train"), report.class_names, classes)
        found += [*weights, *(_preset(size) if weights else ())]
    scale = _base_size(hp, size)
    scale += _crop_size(_apply(hp, scale), size)
    if available is not None:
        batches = _batch_sizes(_apply(hp, scale), splits.get("validation"), available)
        fitted = {item.name for item in batches}
        scale = [item for item in scale if item.name not in fitted] + batches
    found += scale
    return replace(report, recommendations=found, estimates=_estimates(hp, report.splits))


def _apply(hp: Hyperparameters, recommendations: Sequence[Recommendation]) -> Hyperparameters:
    """Set the recommended integers."""
    changes: dict[str, Any] = {item.name: int(item.value) for item in recommendations}
    return replace(hp, **changes)


def _num_classes(hp: Hyperparameters, splits: Sequence[SplitFacts]) -> list[Recommendation]:
    """Recommend fewer where the last labels never occur, more where masks without a label map hold higher labels."""
    if not any(split.pixel_counts.any() for split in splits):
        return []
    beyond = 0
    if all(split.lookup is None for split in splits):
        values = np.flatnonzero(sum(split.value_counts for split in splits))
        values = values[values < 254]  # 254 and 255 are borders or a fault, not classes
        beyond = int(values.max(initial=0)) + 1
        foreign = np.count_nonzero(values >= hp.num_classes)
        if foreign and foreign >= 0.75 * (beyond - hp.num_classes):  # single ones are faults, many in a row aren't
            reason = f"the masks hold values up to {beyond - 1}, which would be errors with {hp.num_classes} classes"
            return [Recommendation("num_classes", str(beyond), reason)]
    used = int(np.flatnonzero(sum(split.pixel_counts for split in splits)).max()) + 1
    lost = used == 1 and any(split.ignored_pixels for split in splits)  # objects are ignored: not fewer classes
    if max(used, 2) < hp.num_classes and beyond <= hp.num_classes and not lost:
        last = hp.num_classes - 1
        never = f"label {last} never occurs" if used == last else f"the labels {used} to {last} never occur"
        return [Recommendation("num_classes", str(max(used, 2)), f"{never} in either split")]
    return []


def _num_training_samples(hp: Hyperparameters, train: SplitFacts | None) -> list[Recommendation]:
    if train is None or not train.pairs or hp.num_training_samples == train.pairs:
        return []
    reason = "counted; the built-in algorithm requires it, here it may be left out"
    if hp.num_training_samples is not None:
        reason = f"counted; with {hp.num_training_samples} the learning rate would fall at the wrong speed"
    return [Recommendation("num_training_samples", str(train.pairs), reason)]


def _class_weights(
    hp: Hyperparameters, train: SplitFacts | None, names: Sequence[str], num_classes: int
) -> list[Recommendation]:
    """num_classes: the recommended number, or else the given one."""
    if train is None or hp.class_weights:
        return []
    present = np.flatnonzero(train.pixel_counts)
    weights = median_frequency_weights(train.pixel_counts, train.image_pixel_counts)
    if len(present) < 2 or weights[present].max() / weights[present].min() < _LEAST_WEIGHT_RATIO:
        return []
    shares = train.pixel_counts / train.pixel_counts.sum()
    most, least = present[shares[present].argmax()], present[shares[present].argmin()]

    def describe(label: int) -> str:
        name = names[label] if label < len(names) else f"class {label}"
        return f"{name} has {100 * shares[label]:.2g} % of the pixels"

    reason = f"median-frequency balancing, as for 'auto': {describe(int(most))}, {describe(int(least))}"
    if num_classes > len(weights):  # the weights of the others aren't known
        return [Recommendation("class_weights", "auto", reason)]
    return [Recommendation("class_weights", ",".join(f"{weight:.3g}" for weight in weights[:num_classes]), reason)]


def _preset(size: tuple[int, int] | None) -> list[Recommendation]:
    """Recommend ``strong`` for data with rare classes, where images are as large as those it was measured with.

    size: sides of the usual image, the short one first, in pixels.
    """
    if size is None or size[0] < _LEAST_SIDE_FOR_STRONG:
        return []
    return [Recommendation("preset", "strong", "for rare classes, and for scenes and light that the images lack")]


def _usual_size(train: SplitFacts | None) -> tuple[int, int] | None:
    """Return (short, long) sides of the median image, in pixels."""
    if train is None or not any(train.sizes.values()):
        return None
    shorts, longs = Counter[int](), Counter[int]()
    for (height, width), images in train.sizes.items():
        shorts[min(height, width)] += images
        longs[max(height, width)] += images
    return median_low(shorts.elements()), median_low(longs.elements())


def _base_size(hp: Hyperparameters, size: tuple[int, int] | None) -> list[Recommendation]:
    """Recommend to train on objects of about the size that they have in validation and at the endpoint."""
    if size is None:
        return []
    long = size[1]
    if 1 / _MOST_SCALE <= hp.base_size / long <= _MOST_SCALE:
        return []
    value = max(round(long / 8) * 8, _LEAST_SIZE)
    if value == hp.base_size:
        return []
    change = f"shrunk to {hp.base_size / long:.2f}" if hp.base_size < long else f"enlarged to {hp.base_size / long:.1f}"
    reason = (
        f"the long side of the usual image has {long} pixels; with {hp.base_size} it is {change} times that on "
        "average for training, but validation and endpoint use it as it is"
    )
    return [Recommendation("base_size", str(value), reason)]


def _crop_size(hp: Hyperparameters, size: tuple[int, int] | None) -> list[Recommendation]:
    """Recommend crops of at least half the image's short side and at most all of it."""
    if size is None:
        return []
    short = round(hp.base_size * size[0] / size[1])  # of the average training image
    least, most = max(-(-short // 16) * 8, _LEAST_SIZE), max(short // 8 * 8, _LEAST_SIZE)
    if hp.padded_crop_size < least:
        reason = (
            f"at base_size {hp.base_size} a crop of {hp.crop_size} "
            f"shows less than half of the short side, {short} pixels on average"
        )
        return [Recommendation("crop_size", str(least), reason)]
    if hp.padded_crop_size > most:
        reason = (
            f"at base_size {hp.base_size} the short side has {short} pixels on average: "
            f"the rest of a crop of {hp.crop_size} is padding"
        )
        return [Recommendation("crop_size", str(most), reason)]
    if hp.padded_crop_size != hp.crop_size:
        reason = f"a multiple of 8, to which {hp.crop_size} is rounded up anyway"
        return [Recommendation("crop_size", str(hp.padded_crop_size), reason)]
    return []


def _batch_sizes(hp: Hyperparameters, validation: SplitFacts | None, available: int) -> list[Recommendation]:
    """Recommend batches, and crops if need be, that fit into the memory."""
    limit = int(_MEMORY_SHARE * available)
    least = 2 if ArchitectureSpec(hp.backbone, hp.algorithm, hp.num_classes).decoder.pools_to_one_value else 1

    def smaller(name: str, least: int, need: Callable[[Hyperparameters], Estimate]) -> list[Recommendation]:
        given: int = getattr(hp, name)

        def needed(images: int) -> int:
            change: dict[str, Any] = {name: images}
            return need(replace(hp, **change)).total

        fitting = bisect_right(range(1, given + 1), limit, key=needed)
        if fitting == given:
            return []
        reason = f"{given} take about {_gigabytes(needed(given))} and there are {_gigabytes(available)} here"
        if fitting >= least:
            return [Recommendation(name, str(fitting), f"{reason}; on a GPU, its own memory counts")]
        even = f"{reason}; even {'one takes' if least == 1 else f'{least} take'} {_gigabytes(needed(least))}"
        if name == "mini_batch_size" and (crop := _fitting_crop(replace(hp, mini_batch_size=least), limit)):
            found = [
                Recommendation("crop_size", str(crop), f"{even} at {hp.crop_size}, for which a crop must be smaller")
            ]
            return found + ([Recommendation(name, str(least), reason)] if given != least else [])
        return [Recommendation(name, str(least), f"{even}: a larger machine is needed")]

    if hp.mini_batch_size < least:
        reason = f"{hp.algorithm} pools an image to one value: batch normalization needs two of them"
        found = [Recommendation("mini_batch_size", str(least), reason)]
    elif recompute := _recompute(hp, limit):
        found = [recompute]
    else:
        found = smaller("mini_batch_size", least, training_step)
    if validation is not None and validation.sizes:
        found += smaller("validation_mini_batch_size", 1, lambda hp: validation_step(hp, validation.sizes))
    return found


def _recompute(hp: Hyperparameters, limit: int) -> Recommendation | None:
    """Recommend ``recompute`` where a step fits with it alone: it changes no number, as a smaller batch would."""
    without, with_it = (training_step(replace(hp, recompute=value)).total for value in (False, True))
    if hp.recompute or not with_it <= limit < without:
        return None
    reason = f"a step takes about {_gigabytes(without)}, and {_gigabytes(with_it)} with it, in about 1.2 times the time"
    return Recommendation("recompute", "True", f"{reason}; on a GPU, its own memory counts")


def _fitting_crop(hp: Hyperparameters, limit: int) -> int | None:
    """Return the largest crop below the given one with which a training step fits; None if none does."""
    crops = range(_LEAST_SIZE, hp.padded_crop_size, 8)
    fitting = bisect_right(crops, limit, key=lambda crop: training_step(replace(hp, crop_size=crop)).total)
    return crops[fitting - 1] if fitting else None


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _estimates(hp: Hyperparameters, splits: Sequence[SplitFacts]) -> dict[str, Estimate]:
    """Estimate the memory for the settings as they are, without the recommendations."""
    side = hp.padded_crop_size
    estimates = {f"training step, {hp.mini_batch_size} crops of {side} x {side}": training_step(hp)}
    sizes = {split.channel: split.sizes for split in splits}
    if validation := sizes.get("validation"):
        estimates["validation step, whole images"] = validation_step(hp, validation)
    if every := {size for each in sizes.values() for size in each}:
        height, width = max(every, key=lambda size: size[0] * size[1])
        estimates[f"endpoint, one image of {width} x {height}"] = inference(hp, height, width)
    return estimates
