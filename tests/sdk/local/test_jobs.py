"""Jobs on this machine: what they leave, how they fail, stop and are found again, and that nothing of them stays."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sagemaker_semseg.data.channels import find_pairs
from sagemaker_semseg.data.recordio import write_record
from sagemaker_semseg.errors import FaultList, UserError
from sagemaker_semseg.sdk.local import jobs, supervisor
from sagemaker_semseg.sdk.local.job_store import JobStore
from sagemaker_semseg.sdk.local.process_identity import Process
from sagemaker_semseg.sdk.specs import Channel, JobFailed
from sagemaker_semseg.storage.local_buckets import make_bucket
from tests.sdk.local.conftest import FAKE_JOB, eventually
from tests.sdk.local.fake_behaviors import CRASH, FAIL, HANG, LEAVES_A_CHILD, READS_A_PIPE, STUBBORN, SUCCEED

ROOT = Path(__file__).resolve().parents[3]


def tree(state, name="job"):
    return state / "training" / name / "ml"


def test_a_job_finds_sagemakers_tree_and_leaves_its_results(backend, spec, state, tmp_path, capfd):
    ended = backend.train(spec(SUCCEED), attached=True).wait(logs=True)
    assert (ended.status, ended.failure) == ("Completed", "")
    base = tree(state)
    config = json.loads((base / "input/config/inputdataconfig.json").read_text())
    assert config["train"] == {
        "TrainingInputMode": "File",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    assert json.loads((base / "input/config/hyperparameters.json").read_text()) == {"num_classes": "4", "seed": "0"}
    assert json.loads((base / "input/config/resourceconfig.json").read_text())["current_host"] == "algo-1"
    assert (base / "input/data/train/a.png").is_file()
    assert ended.output == str(tmp_path / "out/job/output/model.tar.gz")
    with tarfile.open(ended.output) as archive:
        assert archive.getnames() == ["hyperparams.json"]
    with tarfile.open(tmp_path / "out/job/output/output.tar.gz") as archive:
        assert archive.getnames() == ["notes.txt"]
    out = capfd.readouterr().out
    assert "validation mIOU <score>=0.5" in out
    assert "job job -1" in out  # its name, and no GPU with "local"


def test_without_an_output_path_the_model_is_in_the_jobs_folder(backend, spec, state):
    ended = backend.train(spec(output_path=None), attached=True).wait(logs=False)
    assert ended.output == str(state / "training/job/output/model.tar.gz")
    assert Path(ended.output).is_file()


def test_a_failure_tells_what_the_job_says(backend, spec):
    with pytest.raises(JobFailed) as caught:
        backend.train(spec(FAIL), attached=True).wait(logs=False)
    assert "ClientError: the masks are upside down (turn them)" in str(caught.value)
    assert "jobs logs job" in str(caught.value)
    state = backend.training_job("job").state()
    assert (state.status, len(state.failure), state.output) == ("Failed", 1024, None)


def test_a_crash_says_how_it_ended(backend, spec):
    with pytest.raises(
        JobFailed, match=r"ClientError: the training was killed \(SIGKILL\), most likely because memory ran out"
    ):
        backend.train(spec(CRASH), attached=True).wait(logs=False)


def test_a_taken_name_is_refused_and_the_first_job_stays(backend, spec):
    first = backend.train(spec(SUCCEED), attached=True).wait(logs=False)
    with pytest.raises(UserError, match=r"job: is the name of another one, Completed .*jobs delete job"):
        backend.train(spec(SUCCEED), attached=True)
    assert backend.training_job("job").state() == first


@pytest.mark.parametrize("name", ["", "a/b", "..", "-a", "a-", "a b", 64 * "a", "ä"])
def test_names_that_are_none(backend, spec, name):
    with pytest.raises(UserError, match="letters, digits and hyphens"):
        backend.train(spec(name=name), attached=True)


def test_nothing_stays_of_a_job_that_could_not_start(backend, spec, state, monkeypatch):
    monkeypatch.setattr("sagemaker_semseg.sdk.local.backend.write_job_directory", lambda *_, **more: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        backend.train(spec(), attached=True)
    assert not (state / "training" / "job").exists()


def test_a_detached_job_goes_on_and_is_found_by_its_name(backend, spec):
    job = backend.train(spec(HANG), attached=False)
    found = backend.training_job("job")
    eventually(lambda: "ready" in list(found.logs(follow=False)))
    assert found.state().status == "InProgress"
    assert found.state().spec.hyperparameters == {"num_classes": "4", "seed": str(HANG)}
    found.stop()
    state = found.wait(logs=False)
    assert (state.status, state.failure) == ("Stopped", "it was asked to stop")
    assert Path(state.output).is_file()  # the model so far
    assert "ended as asked" in list(job.logs(follow=True))


def test_a_job_ends_when_its_time_is_over(backend, spec):
    state = backend.train(spec(HANG, max_run=1), attached=True).wait(logs=False)
    assert state.status == "Stopped"
    assert "MaxRuntimeExceeded" in state.failure


def test_one_that_ignores_sigterm_is_killed_with_its_children(backend, spec, state, monkeypatch):
    job = backend.train(spec(STUBBORN), attached=True)
    eventually(lambda: "ready" in list(job.logs(follow=False)))
    child = Process.of(int((tree(state) / "child").read_text()))
    job.kill()
    assert job.wait(logs=False).status == "Stopped"
    eventually(lambda: not child.alive)


def test_what_a_job_leaves_behind_is_ended(backend, spec, state):
    assert backend.train(spec(LEAVES_A_CHILD), attached=True).wait(logs=False).status == "Completed"
    pid = int((tree(state) / "child").read_text())
    eventually(lambda: Process.of(pid) is None)


def test_a_supervisor_that_was_killed_is_reported_truthfully_and_takes_its_job_along(backend, spec):
    job = backend.train(spec(HANG), attached=False)
    eventually(lambda: "ready" in list(job.logs(follow=False)))
    inner = Process.from_dict(job.record.more["job"])
    os.kill(job.record.process.pid, signal.SIGKILL)
    eventually(lambda: job.state().status == "Failed")
    assert "was killed" in job.state().failure
    eventually(lambda: not inner.alive)


def test_another_process_with_the_number_of_a_job_is_not_the_job(backend, spec):
    job = backend.train(spec(HANG), attached=False)
    eventually(lambda: job.record.more.get("job"))
    job.stop()
    job.wait(logs=False)
    this = Process.this()
    impostor = replace(this, start_time=this.start_time - 100)  # a number that lives again
    JobStore("training").update("job", status="InProgress", process=impostor)
    assert backend.training_job("job").state().status == "Failed"
    backend.training_job("job").stop()  # doesn't hit this process


def test_a_supervisor_that_can_not_start_is_not_waited_for(backend, spec, monkeypatch):
    monkeypatch.setattr(jobs, "job_variables", lambda more: {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"})
    with pytest.raises(JobFailed, match="its supervisor ended before it could take over"):
        backend.train(spec(), attached=True).wait(logs=False)


def test_secrets_are_for_the_job_alone(backend, spec, state):
    backend.train(spec(environment={"AWS_SECRET_ACCESS_KEY": "hush-hush"}), attached=True).wait(logs=False)
    files = [path for path in state.rglob("*") if path.is_file()]
    assert len(files) > 4
    assert not any(b"hush-hush" in path.read_bytes() for path in files)


def test_checkpoints_outlive_the_job_in_a_folder_of_ones_own(backend, spec, state, tmp_path):
    backend.train(spec(checkpoint_s3_uri=str(tmp_path / "kept")), attached=True).wait(logs=False)
    assert (tree(state) / "checkpoints").resolve() == tmp_path / "kept"


def board(place, **more):
    return {"tensorboard_output_config": {"S3OutputPath": str(place), **more}}


def test_tensorboard_reads_a_job_while_it_runs(backend, spec, state, tmp_path):
    backend.train(spec(more=board(tmp_path / "board")), attached=True).wait(logs=False)
    assert (tmp_path / "board/job/tensorboard-output/events").read_text() == "events"
    assert (tree(state) / "output/tensorboard").is_symlink()


def test_tensorboards_files_are_copied_to_s3(backend, spec, bucket_server):
    backend.train(spec(more=board("s3://images/board/")), attached=True).wait(logs=False)
    body = bucket_server.get_object(Bucket="images", Key="board/job/tensorboard-output/events")["Body"]
    assert body.read() == b"events"


def test_a_place_for_tensorboard_that_cannot_be(backend, spec, tmp_path):
    (tmp_path / "file").touch()
    assert [fault.where for fault in backend.faults(spec(more=board(tmp_path / "file")))] == [
        "tensorboard_output_config"
    ]
    other = backend.faults(spec(more=board(tmp_path, LocalPath="/tmp/x")))
    assert [fault.remedy for fault in other] == ["leave container_local_output_path out"]


@pytest.fixture
def manifest(tmp_path):
    """Two lines, whose masks stand under an attribute of two."""
    lines = []
    for name in "ab":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
        Image.new("L", (4, 4)).save(tmp_path / f"{name}_mask.png")
        masks = {"street-ref": f"{name}_mask.png", "other-ref": f"{name}.png"}
        lines.append(json.dumps({"source-ref": f"{name}.png", **masks}) + "\n")
    (tmp_path / "train.manifest").write_text("".join(lines))
    return Channel(
        "train",
        str(tmp_path / "train.manifest"),
        data_type="AugmentedManifestFile",
        attribute_names=("source-ref", "street-ref"),
        record_wrapping="RecordIO",
    )


def test_in_pipe_mode_a_manifest_comes_through_fifos(backend, spec, state, tmp_path, manifest):
    piped = replace(spec(READS_A_PIPE), channels=(replace(manifest, input_mode="Pipe"),))
    assert backend.faults(piped) == []
    job = backend.train(piped, attached=True)
    assert job.wait(logs=False).status == "Completed"
    expected = io.BytesIO()
    for name in ("a.png", "a_mask.png", "b.png", "b_mask.png"):
        write_record(expected, (tmp_path / name).read_bytes())
    digest = hashlib.sha256(expected.getvalue()).hexdigest()
    lines = list(job.logs(follow=False))
    assert f"pass 0 {digest}" in lines  # without a ShuffleConfig: the lines' order, in each pass
    assert f"pass 1 {digest}" in lines
    config = json.loads((tree(state) / "input/config/inputdataconfig.json").read_text())
    assert config["train"]["TrainingInputMode"] == "Pipe"
    assert list((tree(state) / "input").rglob("train_*")) == []


def test_a_manifest_that_is_wrong_is_reported_by_its_line_or_by_the_file_that_is_missing(
    backend, spec, tmp_path, manifest
):
    wrong = replace(spec(READS_A_PIPE), input_mode="Pipe", channels=(manifest,))
    (tmp_path / "b_mask.png").unlink()
    with pytest.raises(JobFailed, match=r"b_mask\.png .*train\.manifest, line 2.*No such file"):
        backend.train(wrong, attached=True).wait(logs=False)
    (tmp_path / "train.manifest").write_text('{"source-ref": "a.png", "street-ref": "a_mask.png"}\n{"source')
    with pytest.raises(JobFailed, match=r"train\.manifest, line 2"):
        backend.train(replace(wrong, name="again"), attached=True).wait(logs=False)


def test_in_pipe_mode_a_channel_is_a_manifest(backend, spec):
    found = backend.faults(spec(input_mode="Pipe"))
    assert [fault.where for fault in found] == ["train", "train_annotation", "validation", "validation_annotation"]
    assert "AugmentedManifestFile" in found[0].remedy


def test_in_file_mode_the_job_finds_the_manifest_and_its_attributes(backend, spec, state, tmp_path, manifest):
    backend.train(replace(spec(), channels=(manifest,)), attached=True).wait(logs=False)
    config = json.loads((tree(state) / "input/config/inputdataconfig.json").read_text())
    assert config["train"]["AttributeNames"] == ["source-ref", "street-ref"]
    (pair, _) = find_pairs(
        {"train": tree(state) / "input/data/train"}, "train", FaultList(), [], config["train"]["AttributeNames"]
    )
    assert pair.image == tmp_path / "a.png"


def test_from_s3_to_s3(backend, spec, inputs, state, bucket_server):
    for name, place in inputs.items():
        bucket_server.upload_file(f"{place}/a.png", "images", f"set/{name}/a.png")
    channels = tuple(Channel(name, f"s3://images/set/{name}") for name in inputs)
    job = backend.train(replace(spec(output_path="s3://images/out/"), channels=channels), attached=True)
    assert job.wait(logs=False).output == "s3://images/out/job/output/model.tar.gz"
    assert (tree(state) / "input/data/validation/a.png").is_file()
    body = bucket_server.get_object(Bucket="images", Key="out/job/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        assert archive.getnames() == ["hyperparams.json"]


def test_a_channel_that_is_one_object_keeps_its_name(backend, spec, state, bucket_server):
    """Readers know a model, a label map and weights by their names."""
    names = {"model": "model.tar.gz", "label_map": "train_label_map.json", "pretrained": "resnet18_v1s.params"}
    for name in names.values():
        bucket_server.put_object(Bucket="images", Key=f"one/{name}", Body=name.encode())
    channels = tuple(Channel(channel, f"s3://images/one/{name}") for channel, name in names.items())
    backend.train(replace(spec(), channels=channels), attached=True).wait(logs=False)
    for channel, name in names.items():
        assert (tree(state) / "input/data" / channel / name).read_bytes() == name.encode()


def test_checkpoints_are_copied_from_and_to_s3(backend, spec, state, bucket_server):
    bucket_server.put_object(Bucket="images", Key="kept/earlier", Body=b"1")
    more = {"use_spot_instances": True, "max_wait": 100_000}
    with pytest.warns(UserWarning, match="ignored: this machine has no spot instances"):
        job = backend.train(spec(checkpoint_s3_uri="s3://images/kept", **more), attached=True)
    assert job.wait(logs=False).status == "Completed"
    assert (tree(state) / "checkpoints/earlier").read_bytes() == b"1"
    keys = [item["Key"] for item in bucket_server.list_objects_v2(Bucket="images", Prefix="kept/")["Contents"]]
    assert keys == ["kept/earlier", "kept/last"]


def test_in_and_out_of_a_bucket_of_this_machine(backend, spec, inputs, state):
    bucket = make_bucket("mine")
    for name, place in inputs.items():
        shutil.copytree(place, bucket / "set" / name)
    (bucket / "list.manifest").write_text('[{"prefix": "s3://mine/set/train/"}, "a.png"]')
    channels = [Channel(name, f"s3://mine/set/{name}") for name in inputs]
    channels[0] = Channel("train", "s3://mine/list.manifest", data_type="ManifestFile")
    given = spec(output_path="s3://mine/out", checkpoint_s3_uri="s3://mine/kept")
    given = replace(given, channels=tuple(channels))
    assert backend.faults(given) == []
    job = backend.train(given, attached=True)
    assert job.wait(logs=False).output == "s3://mine/out/job/output/model.tar.gz"
    assert (bucket / "out/job/output/model.tar.gz").is_file()
    assert (bucket / "kept/last").is_file()
    for name in inputs:
        assert (tree(state) / "input/data" / name / "a.png").is_file()
    pairs = find_pairs({name: tree(state) / "input/data" / name for name in inputs}, "train", FaultList(), [])
    assert [pair.name for pair in pairs] == ["a"]
    absent = replace(given, channels=(Channel("train", "s3://mine/none"),))
    assert [fault.what for fault in backend.faults(absent)] == ["s3://mine/none: no such file or folder"]


def test_results_that_cannot_be_delivered_stay_in_the_jobs_folder(backend, spec, state, bucket_server):
    with pytest.raises(JobFailed, match="no such bucket"):
        backend.train(spec(output_path="s3://nowhere/out"), attached=True).wait(logs=False)
    assert (tree(state) / "model" / "hyperparams.json").is_file()


# ---- as processes: with and without a process that waits

PROGRAM = """
import sys
from sagemaker_semseg.sdk import backends
from sagemaker_semseg.sdk.local import LocalBackend
from sagemaker_semseg import SemSegEstimator

backends.local_backend = lambda: LocalBackend([sys.executable, {fake!r}])
estimator = SemSegEstimator(instance_type="local", num_classes=4, seed={seed}, output_path={output!r})
print("fit", flush=True)
estimator.fit({inputs!r}, job_name="job", wait={wait})
estimator.logs()
"""


@contextlib.contextmanager
def fitting(inputs, output, seed, *, wait=True):
    """A process that runs ``fit``, once the job is ready; the first one of a session, as in a terminal."""
    given = {"fake": str(FAKE_JOB), "seed": seed, "inputs": inputs, "output": str(output), "wait": wait}
    program = textwrap.dedent(PROGRAM).format(**given)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, **pipes) as process:
        try:
            while (line := process.stdout.readline()) and line != "ready\n":
                pass
            assert line, process.stderr.read()
            yield process
        finally:
            process.kill()


def test_ctrl_c_stops_the_job_which_keeps_its_model(inputs, tmp_path):
    with fitting(inputs, tmp_path / "out", HANG) as process:
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode in (-signal.SIGINT, 130, 1)
    assert "KeyboardInterrupt" in err
    assert "stopping job; it keeps the model so far" in err
    assert f"the model so far: {tmp_path / 'out/job/output/model.tar.gz'}" in err
    record = JobStore("training").read("job")
    assert (record.status, record.failure) == ("Stopped", "it was asked to stop")
    assert not record.process.alive


def test_ctrl_c_twice_ends_it_at_once(inputs, tmp_path, state):
    with fitting(inputs, tmp_path / "out", STUBBORN) as process:
        os.killpg(process.pid, signal.SIGINT)
        eventually(lambda: JobStore("training").read("job").status == "Stopping")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    record = JobStore("training").read("job")
    assert record.status == "Stopped"
    pid = int((tree(state) / "child").read_text())
    eventually(lambda: Process.of(pid) is None and not record.process.alive)


def test_ctrl_c_is_nothing_to_a_job_that_nobody_waits_for(inputs, tmp_path, backend):
    with fitting(inputs, tmp_path / "out", HANG, wait=False) as process:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=120)
    time.sleep(0.3)
    job = backend.training_job("job")
    assert job.state().status == "InProgress"
    job.stop()
    assert job.wait(logs=False).status == "Stopped"


def test_a_job_whose_waiting_process_is_killed_ends_by_itself(inputs, tmp_path):
    with fitting(inputs, tmp_path / "out", HANG) as process:
        process.kill()
    eventually(lambda: JobStore("training").read("job").status == "Stopped")
    record = JobStore("training").read("job")
    assert record.failure == "the process that waited for it has ended"
    assert Path(record.output).is_file()
    eventually(lambda: not record.process.alive)


def test_patience_is_sagemakers():
    assert supervisor.STOP_SECONDS == 120
