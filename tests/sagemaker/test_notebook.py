"""A notebook for SageMaker's built-in algorithm, from its first cell to its last, with a real endpoint.

The cells are those of examples/aws_notebook.ipynb: AWS's own sample with its ``import sagemaker`` and its instance
types. Its training is a stand-in with a ready model; in the slow tests it is a real one. ``make test-bare`` runs them
all, and the notebook as it is, where there is no boto3, no network and nothing of AWS's SDK.
"""

import io
import sys
import types
from pathlib import Path

import nbformat
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from PIL import Image

import sagemaker_semseg
from sagemaker_semseg.artifact import read_artifact
from sagemaker_semseg.data.recordio import read_records
from sagemaker_semseg.errors import DataError
from sagemaker_semseg.sagemaker.amazon.record_pb2 import Record
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.local import LocalBackend
from sagemaker_semseg.sdk.specs import JobFailed
from sagemaker_semseg.storage import local_path

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "aws_notebook.ipynb"

PARAMETERS = """
IMAGES, SIZE, CROP = 8, 48, 32
BACKBONE, EPOCHS = "resnet-tiny", 2
"""

# cells that AWS's sample has and the example doesn't, before its last one
MORE = [
    """
import io

plain = sagemaker.predictor.Predictor(ss_predictor.endpoint_name, sagemaker_session=sess)
returned = plain.predict(imbytes, initial_args={"ContentType": "image/jpeg", "Accept": "image/png"})
opened = np.array(Image.open(io.BytesIO(returned)))
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
]


def cells():
    """The code of the example's cells with the test's parameters, and ``MORE``."""
    found = []
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            found.append(PARAMETERS if "parameters" in cell.metadata.get("tags", ()) else cell.source)
    return [*found[:-1], *MORE, found[-1]]


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


@pytest.fixture(scope="module", params=["stand-in", pytest.param("trained", marks=pytest.mark.slow)])
def notebook(request, tmp_path_factory, small_model):
    """The cells' variables, after all of them were run."""
    root = tmp_path_factory.mktemp("notebook")
    modules = {
        "mxnet": {"recordio": types.SimpleNamespace(MXRecordIO=MXRecordIO)},
    }
    variables = {"root": root}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_SEMSEG_STATE", str(root / "state"))
        patch.chdir(root)
        patch.setattr(backends, "boto_session", lambda: None)  # no credentials
        if request.param == "stand-in":
            backend = LocalBackend([sys.executable, str(Path(__file__).with_name("model_job.py"))])
            patch.setattr(backends, "local_backend", lambda: backend)
            patch.setenv("MODEL", str(small_model))
        for name, content in modules.items():
            patch.setitem(sys.modules, name, types.ModuleType(name))
            vars(sys.modules[name]).update(content)
        try:
            for cell in cells():
                exec(compile(cell, "cell", "exec"), variables)
        finally:
            sagemaker_semseg.restore_sagemaker()
    return variables


@pytest.fixture
def state(notebook, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SEMSEG_STATE", str(notebook["root"] / "state"))
    return notebook["root"] / "state"


only_trained = pytest.mark.parametrize("notebook", [pytest.param("trained", marks=pytest.mark.slow)], indirect=True)


def test_what_is_read_of_a_record_is_what_protobuf_reads():
    """protobuf's own library on the same bytes."""
    floats, shape = np.linspace(0, 1, 12, dtype=np.float32), [1, 2, 2, 3]
    theirs = record_class()()
    theirs.features["target"].float32_tensor.values.extend(floats.tolist())
    theirs.features["shape"].int32_tensor.values.extend(shape)
    ours = Record()
    assert ours.ParseFromString(theirs.SerializeToString()) == theirs.ByteSize()
    assert list(ours.features["target"].float32_tensor.values) == list(theirs.features["target"].float32_tensor.values)
    assert list(ours.features["shape"].int32_tensor.values) == shape
    with pytest.raises(DataError, match="The record can't be read"):
        ours.ParseFromString(theirs.SerializeToString()[:-3])


def test_bytes_are_what_a_predictor_of_sdk_2_returns(notebook):
    assert np.array_equal(notebook["opened"], notebook["cls_mask"])


def test_everything_is_in_buckets_of_this_machine(notebook, state):
    bucket = state / "buckets" / "sagemaker-local" / "semantic-segmentation-demo"
    name = notebook["ss_estimator"].latest_training_job.name
    assert notebook["ss_estimator"].model_data == (
        f"s3://sagemaker-local/semantic-segmentation-demo/output/{name}/output/model.tar.gz"
    )
    assert (bucket / "output" / name / "output" / "model.tar.gz").is_file()
    assert len(list((bucket / "train").iterdir())) == 8


def test_masks_and_probabilities_agree(notebook):
    with Image.open(notebook["root"] / notebook["filename"]) as image:
        width, height = image.size
    mask, probabilities = notebook["cls_mask"], notebook["prob_mask"]
    assert (mask.shape, mask.dtype) == ((height, width), np.uint8)
    assert probabilities.shape == (4, height, width)
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)
    assert np.array_equal(notebook["cls_mask_2"], mask)
    assert np.allclose(notebook["probabilities"], probabilities, atol=1e-6)


@only_trained
def test_the_job_is_what_was_asked_for(notebook, state):
    estimator = notebook["ss_estimator"]
    assert estimator.latest_training_job.name.startswith("ss-notebook-demo-2")
    artifact = read_artifact(local_path(estimator.model_data))
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


def test_the_table_as_a_data_frame_and_as_an_image(notebook, state):
    frame = notebook["ss_estimator"].training_job_analytics.dataframe()
    assert list(frame.columns) == ["timestamp", "metric_name", "value"]
    assert len(frame[frame.metric_name == "validation:mIOU"]) == 2
    figure = notebook["ss_estimator"].training_job_analytics.plot()
    assert [axes.get_title() for axes in figure.axes] == ["train:loss", "validation:mIOU"]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [1, 2]
    assert figure._repr_png_().startswith(b"\x89PNG")


@only_trained
def test_training_continues_from_the_model_and_differences_are_reported(notebook, state):
    settings = {**notebook["ss_estimator"].hyperparameters(), "num_classes": 3}
    further = sagemaker_semseg.SemSegEstimator(
        instance_type="local", hyperparameters=settings, model_uri=notebook["ss_estimator"].model_data
    )
    with pytest.raises(JobFailed, match="num_classes"):
        further.fit(notebook["data_channels"], logs=False)
