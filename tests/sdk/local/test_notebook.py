"""A notebook for SageMaker's built-in algorithm, from its estimator on, run on this machine: a real training, a real
endpoint. The cells use the calls of AWS's own sample; only the import, the image, the instance types and the size of
the training are others.
"""

import io
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from PIL import Image

from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.data.demo_dataset import make_demo_set
from sagemaker_semseg.data.recordio import read_records
from sagemaker_semseg.sdk.specs import JobFailed

CELLS = [
    """
import sagemaker_semseg as sagemaker

ss_estimator = sagemaker.SemSegEstimator(
    training_image,
    role,
    instance_count=1,
    instance_type="local",
    volume_size=50,
    max_run=360000,
    output_path=s3_output_location,
    base_job_name="ss-notebook-demo",
    sagemaker_session=sess,
)
""",
    """
ss_estimator.set_hyperparameters(
    backbone="resnet-18",
    algorithm="fcn",
    use_pretrained_model="False",
    crop_size=32,
    base_size=48,
    num_classes=4,
    epochs=2,
    learning_rate=0.0001,
    optimizer="rmsprop",
    lr_scheduler="poly",
    mini_batch_size=4,
    validation_mini_batch_size=4,
    early_stopping=True,
    early_stopping_patience=2,
    early_stopping_min_epochs=10,
    num_training_samples=num_training_samples,
)
""",
    """
distribution = "FullyReplicated"
train_data = sagemaker.inputs.TrainingInput(
    s3_train_data, distribution=distribution, content_type="image/jpeg", s3_data_type="S3Prefix"
)
validation_data = sagemaker.inputs.TrainingInput(
    s3_validation_data, distribution=distribution, content_type="image/jpeg", s3_data_type="S3Prefix"
)
train_annotation = sagemaker.inputs.TrainingInput(
    s3_train_annotation, distribution=distribution, content_type="image/png", s3_data_type="S3Prefix"
)
validation_annotation = sagemaker.inputs.TrainingInput(
    s3_validation_annotation, distribution=distribution, content_type="image/png", s3_data_type="S3Prefix"
)
data_channels = {
    "train": train_data,
    "validation": validation_data,
    "train_annotation": train_annotation,
    "validation_annotation": validation_annotation,
}
ss_estimator.fit(data_channels, logs=True)
""",
    """
ss_predictor = ss_estimator.deploy(initial_instance_count=1, instance_type="local")
""",
    """
import PIL
from PIL import Image
import numpy as np

im = PIL.Image.open(filename)
im.thumbnail([800, 600], PIL.Image.LANCZOS)
im.save(filename, "JPEG")

class ImageDeserializer(sagemaker.deserializers.BaseDeserializer):
    def __init__(self, accept="image/png"):
        self.accept = accept

    @property
    def ACCEPT(self):
        return (self.accept,)

    def deserialize(self, stream, content_type):
        try:
            return np.array(Image.open(stream))
        finally:
            stream.close()

ss_predictor.deserializer = ImageDeserializer(accept="image/png")
ss_predictor.serializer = sagemaker.serializers.IdentitySerializer("image/jpeg")

with open(filename, "rb") as imfile:
    imbytes = imfile.read()

cls_mask = ss_predictor.predict(imbytes)
""",
    """
import matplotlib.pyplot as plt

print(type(cls_mask), cls_mask.shape)
plt.imshow(cls_mask, cmap="jet")
""",
    """
import tempfile
import mxnet as mx
from sagemaker.amazon.record_pb2 import Record

class SSProtobufDeserializer(sagemaker.deserializers.BaseDeserializer):
    def __init__(self, accept="application/x-protobuf"):
        self.accept = accept

    @property
    def ACCEPT(self):
        return (self.accept,)

    def deserialize(self, stream, content_type):
        try:
            rec = Record()
            with tempfile.NamedTemporaryFile(mode="w+b") as ftemp:
                ftemp.write(stream.read())
                ftemp.seek(0)
                rec.ParseFromString(mx.recordio.MXRecordIO(ftemp.name, "r").read())
            values = list(rec.features["target"].float32_tensor.values)
            shape = list(rec.features["shape"].int32_tensor.values)
            return np.squeeze(np.reshape(np.array(values), np.squeeze(shape)), axis=0)
        finally:
            stream.close()

ss_predictor.deserializer = SSProtobufDeserializer()
prob_mask = ss_predictor.predict(imbytes)
cls_mask_2 = np.argmax(prob_mask, axis=0)
""",
    """
ss_predictor.delete_endpoint()
""",
]


def record_class():
    """``aialgs.data.Record``, as far as a reply has of it, made by protobuf's own library."""
    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="aialgs.data", syntax="proto2")
    kinds = descriptor_pb2.FieldDescriptorProto

    def message(name, parent=None):
        made = (parent.nested_type if parent else file.message_type).add()
        made.name = name
        return made

    def field(owner, name, number, kind, *, repeated=False, type_name=None, packed=False):
        label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
        made = owner.field.add(name=name, number=number, type=kind, label=label, type_name=type_name)
        if packed:
            made.options.packed = True

    for name, kind in (("Float32Tensor", kinds.TYPE_FLOAT), ("Int32Tensor", kinds.TYPE_INT32)):
        field(message(name), "values", 1, kind, repeated=True, packed=True)
    value = message("Value")
    for name, number, kind in (("float32_tensor", 2, "Float32Tensor"), ("int32_tensor", 7, "Int32Tensor")):
        field(value, name, number, kinds.TYPE_MESSAGE, type_name=f".aialgs.data.{kind}")
    record = message("Record")
    entry = message("FeaturesEntry", record)
    entry.options.map_entry = True
    field(entry, "key", 1, kinds.TYPE_STRING)
    field(entry, "value", 2, kinds.TYPE_MESSAGE, type_name=".aialgs.data.Value")
    field(record, "features", 1, kinds.TYPE_MESSAGE, repeated=True, type_name=".aialgs.data.Record.FeaturesEntry")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("aialgs.data.Record"))


class MXRecordIO:
    """What the notebook needs of MXNet's reader."""

    def __init__(self, path, flag):
        self.records = read_records(io.BytesIO(Path(path).read_bytes()), path)

    def read(self):
        return next(self.records)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The cells' variables, after all of them were run."""
    root = tmp_path_factory.mktemp("notebook")
    make_demo_set(root / "data", train=8, validation=3, test=2, size=48)
    modules = {
        "mxnet": {"recordio": types.SimpleNamespace(MXRecordIO=MXRecordIO)},
        "sagemaker": {},
        "sagemaker.amazon": {},
        "sagemaker.amazon.record_pb2": {"Record": record_class()},
    }
    variables = {
        "training_image": "811284229777.dkr.ecr.us-east-1.amazonaws.com/semantic-segmentation:1",
        "role": "SageMakerRole",
        "sess": None,
        "s3_output_location": str(root / "out"),
        "s3_train_data": str(root / "data" / "train"),
        "s3_validation_data": str(root / "data" / "validation"),
        "s3_train_annotation": str(root / "data" / "train_annotation"),
        "s3_validation_annotation": str(root / "data" / "validation_annotation"),
        "num_training_samples": 8,
        "filename": str(next((root / "data" / "test").glob("*.jpg"))),
        "root": root,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_SEMSEG_STATE", str(root / "state"))
        for name, content in modules.items():
            patch.setitem(sys.modules, name, types.ModuleType(name))
            vars(sys.modules[name]).update(content)
        for cell in CELLS:
            exec(compile(cell, "cell", "exec"), variables)
    return variables


@pytest.fixture(autouse=True)
def state(notebook, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(notebook["root"] / "state"))
    return notebook["root"] / "state"


def test_masks_and_probabilities_agree(notebook):
    with Image.open(notebook["filename"]) as image:
        width, height = image.size
    mask, probabilities = notebook["cls_mask"], notebook["prob_mask"]
    assert (mask.shape, mask.dtype) == ((height, width), np.uint8)
    assert probabilities.shape == (4, height, width)
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)
    assert np.array_equal(notebook["cls_mask_2"], mask)


def test_the_job_is_what_was_asked_for(notebook):
    estimator = notebook["ss_estimator"]
    assert estimator.latest_training_job.name.startswith("ss-notebook-demo-2")
    artifact = read_artifact(estimator.model_data)
    assert artifact.hyperparameters["optimizer"] == "rmsprop"
    assert artifact.hyperparameters["num_training_samples"] == "8"
    table = estimator.training_job_analytics
    assert [row["epoch"] for row in table.epochs] == [0, 1]
    history = artifact.metrics["history"]
    assert [row["validation:mIOU"] for row in table.epochs] == pytest.approx(
        [row["val_mIOU"] for row in history], abs=1e-5
    )
    assert {"train:loss", "validation:pixel_accuracy", "train:throughput"} <= set(table.epochs[0])


def test_nothing_runs_any_more(notebook, state):
    assert list((state / "endpoints").iterdir()) == []


def test_the_table_as_a_data_frame_and_as_an_image(notebook):
    frame = notebook["ss_estimator"].training_job_analytics.dataframe()
    assert list(frame.columns) == ["timestamp", "metric_name", "value"]
    assert len(frame[frame.metric_name == "validation:mIOU"]) == 2
    figure = notebook["ss_estimator"].training_job_analytics.plot()
    assert [axes.get_title() for axes in figure.axes] == ["train:loss", "validation:mIOU"]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [1, 2]
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_training_continues_from_the_model_and_differences_are_reported(notebook):
    import sagemaker_semseg

    settings = {**notebook["ss_estimator"].hyperparameters(), "num_classes": 3}
    further = sagemaker_semseg.SemSegEstimator(
        instance_type="local", hyperparameters=settings, model_uri=notebook["ss_estimator"].model_data
    )
    with pytest.raises(JobFailed, match="num_classes"):
        further.fit(notebook["data_channels"], logs=False)
