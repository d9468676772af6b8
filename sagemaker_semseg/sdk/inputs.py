"""Reads the inputs of ``fit`` as ``Channel``s, the same for local jobs and for SageMaker.

A channel may be a path or an s3:// address, a ``TrainingInput`` of AWS's SDK 2, an ``InputData`` or a ``Channel`` of
SDK 3, or a mapping in the form of SageMaker's API. AWS's classes are recognised by their attributes: nothing of AWS is
imported. All faults are reported at once.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sagemaker_semseg.data.channels import CHANNELS, SPLITS, find_channels
from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.sdk.specs import Channel
from sagemaker_semseg.storage import is_s3

MODEL_TYPE = "application/x-sagemaker-model"
AUGMENTED = "AugmentedManifestFile"
MANIFEST_FILE = "ManifestFile"

_MANIFESTS = (".manifest", ".jsonl")
_EXPECTED = "a path, s3://bucket/prefix, a TrainingInput, an InputData or a Channel is expected"
_KEYS = {
    "ChannelName",
    "DataSource",
    "ContentType",
    "CompressionType",
    "RecordWrapperType",
    "InputMode",
    "ShuffleConfig",
}
_S3_KEYS = {"S3DataType", "S3Uri", "S3DataDistributionType", "AttributeNames", "InstanceGroupNames"}
_CHOICES = {
    "input_mode": ("File", "Pipe", "FastFile"),
    "data_type": ("S3Prefix", MANIFEST_FILE, AUGMENTED),
    "distribution": ("FullyReplicated", "ShardedByS3Key"),
    "compression": ("None", "Gzip"),
    "record_wrapping": ("None", "RecordIO"),
}


def channels_of(inputs: object, *, model_uri: str | None = None, model_channel_name: str = "model") -> list[Channel]:
    """Return the channels of ``fit(inputs)``, and one with the earlier model if ``model_uri`` names it.

    inputs: a mapping of names to channels, a sequence of AWS's ``InputData`` or ``Channel``, or a local folder that
    holds the channels' folders. Raises ``DataError`` with every fault.
    """
    faults: list[Fault] = []
    found = [channel for name, given in _named(inputs, faults) if (channel := _channel(name, given, faults))]
    if model_uri:
        found.append(Channel(model_channel_name, str(model_uri)))
    # the model has SageMaker's own name for it inside the job, whatever the user calls the argument
    found = [_as_model(channel) if channel.name == model_channel_name else channel for channel in found]
    names = [channel.name for channel in found]
    faults += [Fault(name, "is given twice", "give it once") for name in dict.fromkeys(names) if names.count(name) > 1]
    unknown = [_unknown(name) for name in names if name not in CHANNELS and name != model_channel_name]
    faults += unknown
    if faults:
        named = {fault.where for fault in faults}
        absent = [] if unknown or not found else missing_channels(found)  # an unknown name may be meant for one of them
        faults += [fault for fault in absent if fault.where not in named]
        raise DataError("The inputs can't be used:", faults)
    return found


def missing_channels(channels: Iterable[Channel]) -> list[Fault]:
    """Return a fault for every required channel that is missing; a manifest has its own annotations."""
    given = {channel.name: channel for channel in channels}
    faults = []
    for split in SPLITS:
        for name in (split, f"{split}_annotation"):
            if name not in given and not (name != split and split in given and given[split].data_type == AUGMENTED):
                example = '"s3://bucket/' + name + '"'
                faults.append(Fault(name, "the channel is missing", f'give fit({{"{name}": {example}, ...}})'))
    return faults


def _named(inputs: object, faults: list[Fault]) -> list[tuple[str, object]]:
    """Return pairs of a name and the value given for it."""
    if isinstance(inputs, Mapping):
        return [(str(name), given) for name, given in inputs.items()]
    if isinstance(inputs, str | os.PathLike):
        place = os.fspath(inputs)
        if isinstance(place, str) and not is_s3(place):
            return [(name, path) for name, path in find_channels(place.removeprefix("file://")).items()]
        remedy = 'give a dictionary: {"train": ..., "train_annotation": ..., "validation": ..., ...}'
        faults.append(Fault(str(place), "names one place, each channel needs its own", remedy))
        return []
    if isinstance(inputs, Iterable) and not isinstance(inputs, bytes | bytearray):
        return [(str(_name_of(given) or f"input {number}"), given) for number, given in enumerate(inputs, 1)]
    faults.append(Fault("inputs", f"a dictionary of channels is expected, {type(inputs).__name__} came"))
    return []


def _name_of(given: object) -> object:
    return given.get("ChannelName") if isinstance(given, Mapping) else _attribute(given, "channel_name")


def _channel(name: str, given: object, faults: list[Fault]) -> Channel | None:
    if isinstance(given, str | os.PathLike):
        place = os.fspath(given)
        data_type = AUGMENTED if str(place).lower().endswith(_MANIFESTS) else "S3Prefix"
        return Channel(name, str(place), data_type=data_type)
    form = _api_form(given)
    if form is None:
        faults.append(Fault(name, f"{_EXPECTED}, {type(given).__name__} came"))
        return None
    return _from_api_form(name, form, faults)


def _api_form(given: object) -> Mapping[str, Any] | None:
    """Return a channel in the form of SageMaker's API, or None if it isn't one."""
    if isinstance(given, Mapping):
        return given
    config = getattr(given, "config", None)
    if isinstance(config, Mapping):  # version 2's TrainingInput
        return config
    source = _attribute(given, "data_source")
    if source is None:
        return None
    if isinstance(source, str):  # version 3's InputData
        augmented = source.lower().endswith(_MANIFESTS)
        s3: dict[str, Any] = {"S3Uri": source, "S3DataType": AUGMENTED if augmented else "S3Prefix"}
    else:
        origin = _attribute(source, "s3_data_source") or source
        s3 = {key: _attribute(origin, _snake(key)) for key in _S3_KEYS}
    seed = _attribute(_attribute(given, "shuffle_config"), "seed")
    form = {key: _attribute(given, _snake(key)) for key in _KEYS - {"DataSource", "ShuffleConfig"}}
    return {**form, "DataSource": {"S3DataSource": s3}, "ShuffleConfig": None if seed is None else {"Seed": seed}}


def _from_api_form(name: str, form: Mapping[str, Any], faults: list[Fault]) -> Channel | None:
    before = len(faults)
    source = form.get("DataSource")
    s3 = source.get("S3DataSource") if isinstance(source, Mapping) else None
    if not isinstance(s3, Mapping) or not isinstance(s3.get("S3Uri"), str | os.PathLike) or not s3["S3Uri"]:
        faults.append(
            Fault(name, 'has no {"DataSource": {"S3DataSource": {"S3Uri": ...}}}', "give the place of its data")
        )
        return None
    for key in [*sorted(set(form) - _KEYS), *sorted(set(s3) - _S3_KEYS)]:
        if form.get(key, s3.get(key)) is not None:
            faults.append(Fault(name, f"{key} is not supported here", "leave it out"))
    shuffle = form.get("ShuffleConfig") or {}
    seed = shuffle.get("Seed") if isinstance(shuffle, Mapping) else shuffle
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        faults.append(Fault(name, f"the seed of ShuffleConfig is {seed!r}", "give an integer"))
    channel = Channel(
        name,
        str(s3["S3Uri"]),
        content_type=form.get("ContentType"),
        input_mode=form.get("InputMode"),
        data_type=s3.get("S3DataType") or "S3Prefix",
        distribution=s3.get("S3DataDistributionType") or "FullyReplicated",
        compression=form.get("CompressionType"),
        record_wrapping=form.get("RecordWrapperType"),
        attribute_names=tuple(s3.get("AttributeNames") or ()),
        shuffle_seed=seed,
        instance_groups=tuple(s3.get("InstanceGroupNames") or ()),
    )
    for field, choices in _CHOICES.items():
        value = getattr(channel, field)
        if value is not None and value not in choices:
            expected = ", ".join(choices)
            faults.append(Fault(name, f"{field} is {value!r}, one of {expected} is expected", "fix it"))
    return channel if len(faults) == before else None


def _as_model(channel: Channel) -> Channel:
    """Return the channel in File mode: the model is one file, whatever the images' mode is."""
    return replace(channel, content_type=channel.content_type or MODEL_TYPE, input_mode=channel.input_mode or "File")


def _unknown(name: str) -> Fault:
    near = difflib.get_close_matches(name.lower().replace("-", "_"), CHANNELS, n=1)
    remedy = f"did you mean {near[0]}?" if near else "the channels are " + ", ".join(CHANNELS)
    return Fault(name[:100], "there is no such channel", remedy)


def _attribute(value: object, name: str) -> Any:
    """Return an attribute, or None for SDK 3's ``Unassigned`` and a missing one."""
    found = getattr(value, name, None)
    return None if type(found).__name__ == "Unassigned" else found


def _snake(key: str) -> str:
    """Turn ``S3DataType`` into ``s3_data_type``."""
    words = "".join("_" + letter.lower() if letter.isupper() else letter for letter in key)
    return words.removeprefix("_")
