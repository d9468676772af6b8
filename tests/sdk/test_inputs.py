"""What may be given to ``fit``, in every form, and what is said of everything else."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sagemaker_semseg.errors import DataError
from sagemaker_semseg.sdk.inputs import AUGMENTED, MODEL_TYPE, channels_of, missing_channels
from sagemaker_semseg.sdk.specs import Channel


class Unassigned:
    """Stands where nothing was given to a class of AWS's version 3."""


def v3(**given):
    """An object of version 3: attributes for everything, ``Unassigned`` where nothing was given."""
    names = (
        "channel_name", "data_source", "content_type", "compression_type", "record_wrapper_type", "input_mode",
        "shuffle_config", "s3_data_source", "s3_data_type", "s3_uri", "s3_data_distribution_type", "attribute_names",
        "instance_group_names", "seed",
    )  # fmt: skip
    return SimpleNamespace(**{**{name: Unassigned() for name in names}, **given})


def test_paths_and_places():
    given = {"train": "s3://b/train", "train_annotation": Path("masks"), "validation": "file:///data/v"}
    train, masks, validation = channels_of(given)
    assert (train.is_local, masks.is_local, validation.is_local) == (False, True, True)
    assert (train.place, masks.path, validation.path) == ("s3://b/train", Path("masks"), Path("/data/v"))
    assert train.data_type == "S3Prefix"


@pytest.mark.parametrize("name", ["s3://b/train.manifest", "x/train.JSONL"])
def test_a_manifest_is_known_by_its_name(name):
    (channel,) = channels_of({"train": name})
    assert channel.data_type == AUGMENTED


def test_a_folder_with_the_channels(tmp_path):
    for name in ("train", "train_annotation", "other"):
        (tmp_path / name).mkdir()
    assert [(c.name, c.path) for c in channels_of(tmp_path)] == [
        ("train", tmp_path / "train"),
        ("train_annotation", tmp_path / "train_annotation"),
    ]


FULL = Channel(
    "train",
    "s3://b/train.manifest",
    content_type="application/x-recordio",
    input_mode="Pipe",
    data_type=AUGMENTED,
    distribution="ShardedByS3Key",
    compression="None",
    record_wrapping="RecordIO",
    attribute_names=("source-ref", "mask-ref"),
    shuffle_seed=7,
    instance_groups=("gpus",),
)


def full_form():
    source = {
        "S3DataType": AUGMENTED, "S3Uri": "s3://b/train.manifest", "S3DataDistributionType": "ShardedByS3Key",
        "AttributeNames": ["source-ref", "mask-ref"], "InstanceGroupNames": ["gpus"],
    }  # fmt: skip
    return {
        "DataSource": {"S3DataSource": source}, "ContentType": "application/x-recordio", "InputMode": "Pipe",
        "CompressionType": "None", "RecordWrapperType": "RecordIO", "ShuffleConfig": {"Seed": 7},
    }  # fmt: skip


def test_the_form_of_the_api():
    assert channels_of({"train": full_form()}) == [FULL]
    assert channels_of([{"ChannelName": "train", **full_form()}]) == [FULL]


def test_training_input_of_version_2():
    assert channels_of({"train": SimpleNamespace(config=full_form())}) == [FULL]


def test_channel_of_version_3():
    source = v3(
        s3_data_type=AUGMENTED, s3_uri="s3://b/train.manifest", s3_data_distribution_type="ShardedByS3Key",
        attribute_names=["source-ref", "mask-ref"], instance_group_names=["gpus"],
    )  # fmt: skip
    channel = v3(
        channel_name="train", data_source=v3(s3_data_source=source), content_type="application/x-recordio",
        compression_type="None", record_wrapper_type="RecordIO", input_mode="Pipe", shuffle_config=v3(seed=7),
    )  # fmt: skip
    assert channels_of([channel]) == [FULL]
    assert channels_of([v3(channel_name="train", data_source=v3(s3_data_source=v3(s3_uri="s3://b/x")))]) == [
        Channel("train", "s3://b/x")
    ]


def test_input_data_of_version_3():
    data = SimpleNamespace(channel_name="train", data_source="s3://b/train", content_type="image/jpeg")
    assert channels_of([data]) == [Channel("train", "s3://b/train", content_type="image/jpeg")]
    data.data_source = SimpleNamespace(s3_uri="s3://b/train", s3_data_type="S3Prefix")
    assert channels_of([data]) == [Channel("train", "s3://b/train", content_type="image/jpeg")]


def test_the_model_to_start_from():
    (model,) = channels_of({}, model_uri="s3://b/model.tar.gz")
    assert model == Channel("model", "s3://b/model.tar.gz", content_type=MODEL_TYPE, input_mode="File")
    assert channels_of({"model": "s3://b/model.tar.gz"}) == [model]
    (other,) = channels_of({}, model_uri="s3://b/model.tar.gz", model_channel_name="start")
    assert other.name == "start"


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (None, "inputs: a dictionary of channels is expected, NoneType came"),
        (b"bytes", "inputs: a dictionary of channels is expected, bytes came"),
        ("s3://bucket/set", "s3://bucket/set: names one place, each channel needs its own (give a dictionary"),
        ({"train": 7}, "train: a path, s3://bucket/prefix, a TrainingInput, an InputData or a Channel is"),
        ({"trian": "a"}, "trian: there is no such channel (did you mean train?)"),
        ({"x" * 500: "a"}, "the channels are train, train_annotation"),
        ({"train": {"DataSource": {}}}, 'train: has no {"DataSource"'),
        ({"train": {"DataSource": {"S3DataSource": {"S3Uri": ""}}}}, 'train: has no {"DataSource"'),
        ({"train": {**full_form(), "InputMode": "Pip"}}, "input_mode is 'Pip', one of File, Pipe, FastFile is"),
        ({"train": {**full_form(), "Colour": "red"}}, "train: Colour is not supported here"),
        ({"train": {**full_form(), "ShuffleConfig": {"Seed": "x"}}}, "the seed of ShuffleConfig is 'x'"),
        ([{"ChannelName": "train", **full_form()}] * 2, "train: is given twice"),
        ([7], "input 1: "),
    ],
)  # fmt: skip
def test_what_is_no_input(inputs, expected):
    with pytest.raises(DataError) as caught:
        channels_of(inputs)
    assert expected in str(caught.value)


def test_all_faults_at_once():
    with pytest.raises(DataError) as caught:
        channels_of({"train": 7, "validaton": "x", "label_map": {}})
    assert {fault.where for fault in caught.value.faults} == {"train", "validaton", "label_map"}


def test_missing_channels():
    assert [fault.where for fault in missing_channels([Channel("train", "a")])] == [
        "train_annotation",
        "validation",
        "validation_annotation",
    ]
    manifests = [Channel("train", "a", data_type=AUGMENTED), Channel("validation", "b", data_type=AUGMENTED)]
    assert missing_channels(manifests) == []
