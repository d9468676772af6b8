"""``predict``: the endpoint's bytes, bad images among good ones, and a run that resumes where another stopped."""

import dataclasses
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from sagemaker_semseg.artifact import read_artifact, read_inference_artifact, write_artifact
from sagemaker_semseg.cli import main
from sagemaker_semseg.data.images import encode_mask, palette
from sagemaker_semseg.inference import CancellationToken, InferenceCancelled, InferenceOptions, Segmenter
from sagemaker_semseg.jobs import model_location, run_prediction
from sagemaker_semseg.jobs.progress_log import NAME as JOURNAL
from sagemaker_semseg.serving.content_negotiation import choose_response_format
from sagemaker_semseg.serving.worker import respond

ROOT = Path(__file__).resolve().parents[2]


def make_image(seed, height=40, width=56, kind="JPEG"):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


@pytest.fixture
def image_folder(tmp_path):
    """a.jpg, b.jpg, and deeper/c.png."""
    folder = tmp_path / "images"
    for seed, name in enumerate(("a.jpg", "b.jpg", "deeper/c.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(make_image(seed, kind="PNG" if name.endswith("png") else "JPEG"))
    return folder


@pytest.fixture
def predict(small_model, tmp_path, capsys):
    """Runs the command into ``out``; returns the exit status and what it printed. The model's tar can be another."""

    def run(*arguments, model=small_model, out=tmp_path / "out"):
        status = main(["predict", str(model), *map(str, arguments), "-o", str(out)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def files(folder):
    found = (path for path in Path(folder).rglob("*") if path.is_file() and path.name != JOURNAL)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


class Fake:
    """Labels are the red values modulo 4. seen: the sizes of the images that came. act: is called before each."""

    num_classes = 4

    def __init__(self):
        self.seen, self.act = [], lambda token: None

    def labels(self, image, token=None):
        self.seen.append(image.shape[:2])
        self.act(token)
        return image[:, :, 0] % 4


@pytest.fixture
def fake(monkeypatch):
    model = Fake()
    monkeypatch.setattr(run_prediction, "Segmenter", lambda artifact, **options: model)
    return model


# ---- what is written


@pytest.mark.parametrize(
    ("accept", "ending"),
    [
        ("image/png", ".png"),
        ("application/x-npy", ".npy"),
        ("application/x-protobuf", ".recordio"),
        ("application/x-recordio-protobuf;dtype=float16", ".recordio"),
    ],
)
def test_the_endpoints_own_bytes(predict, small_model, image_folder, tmp_path, accept, ending):
    assert predict(image_folder, "--accept", accept)[0] == 0
    model, reply = Segmenter(read_inference_artifact(small_model)), choose_response_format(accept)
    expected = {
        path.relative_to(image_folder).with_suffix(ending).as_posix(): b"".join(
            respond(model, reply, path.read_bytes(), CancellationToken())[0]
        )
        for path in image_folder.rglob("*.*")
    }
    assert files(tmp_path / "out") == expected
    assert len(expected) == 3


def test_the_labels_are_those_of_the_graph(predict, small_model, image_folder, tmp_path):
    assert predict(image_folder / "a.jpg")[0] == 0
    session = onnxruntime.InferenceSession(bytes(read_inference_artifact(small_model).graph))
    with Image.open(image_folder / "a.jpg") as image, Image.open(tmp_path / "out" / "a.png") as mask:
        (logits,) = session.run(["logits"], {"image": np.asarray(image)[None]})
        assert (mask.format, mask.mode, mask.size) == ("PNG", "P", image.size)
        assert mask.getpalette()[:12] == palette()[:4].ravel().tolist()
        assert len(np.unique(mask)) > 1
        assert (logits[0].argmax(0) == np.asarray(mask)).mean() > 0.999


@pytest.mark.parametrize("accept", ["image/png", "application/x-npy"])
def test_overlays(predict, image_folder, tmp_path, accept):
    status, text, _ = predict(image_folder, "--overlay", "--accept", accept)
    what, ending = {"image/png": ("masks", "png"), "application/x-npy": ("arrays", "npy")}[accept]
    assert (status, text) == (0, f"3 {what} written to {tmp_path / 'out'}\n")
    found = files(tmp_path / "out")
    assert sorted(found) == sorted(
        f"{name}{end}" for name in ("a", "b", "deeper/c") for end in (f".{ending}", "_overlay.png")
    )
    with Image.open(io.BytesIO(found["a_overlay.png"])) as overlay, Image.open(image_folder / "a.jpg") as image:
        assert (overlay.mode, overlay.size) == ("RGB", image.size)
        # where the labels don't change, six tenths of the label's colour over the image
        with Image.open(io.BytesIO(found.get("a.png") or encode_mask(np.zeros((1, 1), np.uint8)))) as mask:
            if accept == "image/png":
                y, x = next(
                    (y, x)
                    for y, x in itertools.product(range(39), range(55))
                    if len(np.unique(np.asarray(mask)[y : y + 2, x : x + 2])) == 1
                )
                mixed = 0.4 * np.asarray(image)[y, x] + 0.6 * palette()[np.asarray(mask)[y, x]]
                assert np.abs(np.asarray(overlay)[y, x] - mixed).max() <= 1


def test_options_reach_the_model(predict, image_folder, monkeypatch):
    seen = []

    def remember(artifact, **options):
        seen.append(InferenceOptions(**options))
        return Fake()

    monkeypatch.setattr(run_prediction, "Segmenter", remember)
    flags = ("--scales", "0.5,1", "--flip", "--tile-pixels", "70000", "--runtime", "openvino", "--threads", "3")
    assert predict(image_folder, *flags, "--precision", "float32")[0] == 0
    assert seen == [InferenceOptions((0.5, 1.0), True, 70000, "openvino", "float32", 3)]
    assert predict(image_folder, "--no-flip")[0] == 0
    assert seen[1] == InferenceOptions()


def test_tensorflow_is_not_loaded(small_model, image_folder, tmp_path):
    program = """
import sys
from sagemaker_semseg.cli import main
status = main(sys.argv[1:])
assert status == 0, status
heavy = [name for name in ("tensorflow", "keras", "boto3", "starlette", "torch") if name in sys.modules]
assert not heavy, heavy
"""
    arguments = ["predict", str(small_model), str(image_folder), "-o", str(tmp_path / "out"), "--overlay"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


# ---- what can't be used


def test_a_bad_image_is_reported_and_the_others_are_done(predict, image_folder, tmp_path):
    (image_folder / "a.jpg").write_bytes((image_folder / "a.jpg").read_bytes()[:400])
    status, text, error = predict(image_folder, tmp_path / "gone.jpg")
    assert status == 2
    assert f"{image_folder / 'a.jpg'}: " in error
    assert f"{tmp_path / 'gone.jpg'}: no such file" in error
    assert text == f"2 masks written to {tmp_path / 'out'}, 2 could not be done\n"
    assert sorted(files(tmp_path / "out")) == ["b.png", "deeper/c.png"]
    assert predict(image_folder)[:2] == (
        2, f"0 masks written to {tmp_path / 'out'}, 2 there already, 1 could not be done\n")  # fmt: skip


def test_an_image_too_large_for_memory_or_for_its_reply(predict, image_folder, tmp_path, fake, monkeypatch):
    def act(token):
        if len(fake.seen) == 1:
            raise MemoryError

    fake.act = act
    status, _, error = predict(image_folder)
    assert (status, len(files(tmp_path / "out"))) == (2, 2)
    assert f"{image_folder / 'a.jpg'}: not enough memory (lower --tile-pixels" in error
    monkeypatch.setattr("sagemaker_semseg.serving.response_encoding.MAX_RECORD", 1000)
    status, text, error = predict(image_folder, "--accept", "application/x-npy")
    assert (status, text.split(",")[0]) == (2, f"0 arrays written to {tmp_path / 'out'}")
    assert error.count("4 probabilities (float32) for each of 56 x 40 pixels") == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{model}", "/nowhere.jpg", "-o", "{out}"], "/nowhere.jpg: no such file"),
        (["{model}", "{empty}", "-o", "{out}"], "no image there (.jpg, .jpeg, .png)"),
        (["/nowhere", "{image}", "-o", "{out}"], "/nowhere"),
        (["{model}", "{image}"], "the following arguments are required: -o/--output"),
        (["{model}", "-o", "{out}"], "the following arguments are required: IMAGE"),
        (["{model}", "{image}", "-o", "{out}", "--overlays"], "did you mean --overlay?"),
        (["{model}", "{image}", "-o", "{image}"], "File exists"),
        (["{model}", "{image}", "-o", "s3://no bucket"], "s3://BUCKET/KEY is expected"),
        (["{model}", "{image}", "-o", "{out}", "--accept", "text/html"], "--accept: Accept is 'text/html'; there are"),
        (["{model}", "{image}", "-o", "{out}", "--scales", "1,x"], "such as 0.75,1,1.25; 1,x came"),
        (["{model}", "{image}", "-o", "{out}", "--scales", "9"], "--scales: 9.0: 1 to 16 numbers are expected"),
        (
            ["{model}", "{image}", "-o", "{out}", "--runtime", "gpu"],
            "--runtime: 'gpu': there are auto, onnxruntime, openvino, tensorrt",
        ),
        (["{old}", "{image}", "-o", "{out}"], "write it with: sagemaker-semseg export"),
    ],
)
def test_what_is_wrong_is_reported(small_model, image_folder, tmp_path, capsys, arguments, expected):
    (tmp_path / "empty").mkdir()
    if "{old}" in arguments:
        write_artifact(tmp_path / "old.tar.gz", read_artifact(small_model))
    words = {"model": small_model, "image": image_folder / "a.jpg"}
    words.update({name: tmp_path / name for name in ("empty", "out")}, old=tmp_path / "old.tar.gz")
    assert main(["predict", *(part.format(**words) for part in arguments)]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_an_output_that_fails_stops_the_work(predict, image_folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.png").mkdir()
    status, text, error = predict(image_folder)
    assert (status, text, sorted(files(tmp_path / "out"))) == (2, "", ["a.png"])
    assert "b.png" in error
    assert f"1 mask written to {tmp_path / 'out'}; the same command continues" in error


# ---- again


def test_what_is_done_is_not_done_again(predict, image_folder, tmp_path, fake):
    out = tmp_path / "out"
    assert predict(image_folder) == (0, f"3 masks written to {out}\n", "")
    first = files(out)
    kept = (0, f"0 masks written to {out}, 3 there already\n", "")
    assert predict(image_folder) == predict(image_folder / ".." / "images") == kept
    assert len(fake.seen) == 3
    (image_folder / "d.jpg").write_bytes(make_image(9))
    assert predict(image_folder) == (0, f"1 mask written to {out}, 3 there already\n", "")
    assert {name: data for name, data in files(out).items() if name != "d.png"} == first
    assert predict(image_folder, "--overwrite") == (0, f"4 masks written to {out}\n", "")
    assert predict(image_folder)[1].endswith("4 there already\n")
    assert len(fake.seen) == 8


def change_image(image_folder, out):
    (image_folder / "a.jpg").write_bytes(make_image(77))


def touch_image(image_folder, out):
    os.utime(image_folder / "a.jpg", ns=(0, 0))


def remove_mask(image_folder, out):
    (out / "a.png").unlink()


def cut_mask(image_folder, out):
    os.truncate(out / "a.png", 10)


def forget(image_folder, out):
    lines = (out / JOURNAL).read_text().splitlines()
    (out / JOURNAL).write_text("\n".join(line for line in lines if "a.jpg" not in line))


@pytest.mark.parametrize("change", [change_image, touch_image, remove_mask, cut_mask, forget])
def test_one_that_differs_is_done_again(predict, image_folder, tmp_path, fake, change):
    out = tmp_path / "out"
    predict(image_folder)
    change(image_folder, out)
    assert predict(image_folder)[1] == f"1 mask written to {out}, 2 there already\n"
    with Image.open(image_folder / "a.jpg") as image, Image.open(out / "a.png") as mask:
        assert (np.asarray(mask) == np.asarray(image)[:, :, 0] % 4).all()


@pytest.mark.parametrize("flags", [["--flip"], ["--scales", "0.5"], ["--accept", "application/x-npy"], ["--overlay"]])
def test_with_another_option_all_are_done_again(predict, image_folder, tmp_path, flags):
    assert "3 masks" in predict(image_folder)[1]
    assert predict(image_folder, *flags)[1].startswith("3 ")
    assert predict(image_folder, *flags, "--threads", "1")[1].endswith("3 there already\n")


def test_with_another_model_all_are_done_again(predict, small_model, image_folder, tmp_path):
    predict(image_folder)
    members = tmp_path / "folder"
    members.mkdir()
    subprocess.run(["tar", "xzf", small_model, "-C", members], check=True)
    assert predict(image_folder, model=members)[1].endswith("3 there already\n"), "the same graph in another wrapping"
    graph = members / "model.onnx"
    data = bytearray(graph.read_bytes())
    data[-200] ^= 1  # in the kernel
    graph.write_bytes(data)
    assert predict(image_folder, model=members)[1].startswith("3 masks written")
    assert predict(image_folder)[1].startswith("3 masks written")


@pytest.mark.parametrize("place", [".", "masks"])
def test_masks_beside_the_images(predict, image_folder, fake, place):
    (image_folder / "deeper" / "c.png").rename(image_folder / "deeper" / "c.jpg")
    assert predict(image_folder, out=image_folder / place)[1].startswith("3 masks written")
    assert predict(image_folder, out=image_folder / place)[1].endswith("3 there already\n")
    assert len(fake.seen) == 3


# ---- stopped


def until_cancelled(token):
    """Raises ``InferenceCancelled`` once the token is cancelled."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        token.raise_if_cancelled()
        time.sleep(0.01)


def test_ctrl_c_stops_at_once_and_the_next_run_goes_on(predict, image_folder, tmp_path, fake):
    def interrupted(token):
        if len(fake.seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            try:
                until_cancelled(token)
            except InferenceCancelled:
                stopped.append(True)
                raise

    stopped = []
    fake.act = interrupted
    out = tmp_path / "out"
    status, text, error = predict(image_folder)
    assert (status, text, stopped) == (130, "", [True])
    assert error == (
        f"1 mask written to {out}; the same command continues from there\nsagemaker-semseg: interrupted\n")  # fmt: skip
    assert list(files(out)) == ["a.png"]
    assert predict(image_folder)[1] == f"2 masks written to {out}, 1 there already\n"


def test_a_killed_run_goes_on(small_model, tmp_path, predict):
    image_folder, out = tmp_path / "many", tmp_path / "out"
    image_folder.mkdir()
    for seed in range(60):
        (image_folder / f"{seed:02}.jpg").write_bytes(make_image(seed, 200, 300))
    arguments = ["predict", str(small_model), str(image_folder), "-o", str(out), "--threads", "1"]
    process = subprocess.Popen([sys.executable, "-m", "sagemaker_semseg", *arguments], cwd=ROOT)
    until = time.monotonic() + 600
    while not (out / JOURNAL).exists() or (out / JOURNAL).read_bytes().count(b"\n") < 6:
        assert time.monotonic() < until
        assert process.poll() is None
    process.kill()
    process.wait()
    finished = [json.loads(line) for line in (out / JOURNAL).read_text().splitlines()[1:-1]]
    before = {name: (out / name).stat().st_mtime_ns for line in finished for name in line["files"]}
    assert len(before) >= 4
    assert predict(image_folder, "--threads", "1")[0] == 0
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    predict(image_folder, out=tmp_path / "fresh")
    # of a file that was being written, the half is left, under a name that tells what it is
    masks = {name: data for name, data in files(out).items() if not name.startswith(".writing-")}
    assert masks == files(tmp_path / "fresh")
    assert len(masks) == 60


def test_no_more_than_one_image_is_read_ahead(predict, image_folder, fake, monkeypatch):
    for seed in range(10):
        (image_folder / f"x{seed}.jpg").write_bytes(make_image(seed))
    read = []
    decode = run_prediction.decode_image

    def remember(image):
        read.append(image)
        return decode(image)

    monkeypatch.setattr(run_prediction, "decode_image", remember)
    ahead = []

    def act(token):
        until = time.monotonic() + 600
        while len(read) < min(len(fake.seen) + 1, 13) and time.monotonic() < until:
            time.sleep(0.01)  # the next one is being read
        ahead.append(len(read) - len(fake.seen))

    fake.act = act
    assert predict(image_folder)[0] == 0
    assert (ahead, len(read)) == ([1] * 12 + [0], 13)
    monkeypatch.setattr(run_prediction, "LARGE_IMAGE", 100)
    fake.act = lambda token: ahead.append(len(read) - len(fake.seen))
    assert predict(image_folder, "--overwrite")[0] == 0
    assert max(ahead[13:]) == 0


# ---- S3


@pytest.fixture
def stored_images(bucket, image_folder):
    for path in image_folder.rglob("*.*"):
        bucket.put_object(
            Bucket="images", Key=f"in/{path.relative_to(image_folder).as_posix()}", Body=path.read_bytes()
        )
    return bucket


def test_s3_gives_what_a_folder_gives(predict, stored_images, small_model, image_folder, tmp_path):
    predict(image_folder, out=tmp_path / "local")
    stored_images.put_object(Bucket="images", Key="job/model.tar.gz", Body=small_model.read_bytes())
    model = "s3://images/job/model.tar.gz"
    assert predict("s3://images/in", model=model) == (0, f"3 masks written to {tmp_path / 'out'}\n", "")
    assert files(tmp_path / "out") == files(tmp_path / "local")
    assert predict("s3://images/in")[1].endswith("3 there already\n")
    status, text, _ = predict("s3://images/in/", image_folder / "a.jpg", out="s3://images/out")
    assert (status, text) == (0, "4 masks written to s3://images/out/\n")
    listed = stored_images.list_objects_v2(Bucket="images", Prefix="out/")["Contents"]
    keys = [item["Key"] for item in listed]
    assert keys == ["out/.sagemaker-semseg.jsonl", "out/a-2.png", "out/a.png", "out/b.png", "out/deeper/c.png"]
    mask = stored_images.get_object(Bucket="images", Key="out/deeper/c.png")
    assert (mask["ContentType"], mask["Body"].read()) == ("image/png", files(tmp_path / "local")["deeper/c.png"])


def test_s3_goes_on(predict, stored_images, fake):
    def run():
        return predict("s3://images/in", out="s3://images/in/masks")[1].partition(" ")[0]

    assert [run(), run()] == ["3", "0"]
    stored_images.put_object(Bucket="images", Key="in/a.jpg", Body=make_image(77))
    stored_images.delete_object(Bucket="images", Key="in/masks/b.png")
    assert [run(), run()] == ["2", "0"]
    stored_images.put_object(Bucket="images", Key="in/masks/a.png", Body=b"another's")
    assert [run(), run()] == ["1", "0"]
    assert len(fake.seen) == 6


def test_an_interrupted_run_in_s3_leaves_its_journal(predict, stored_images, fake):
    def interrupted(token):
        if len(fake.seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            until_cancelled(token)

    fake.act = interrupted
    assert predict("s3://images/in", out="s3://images/out")[0] == 130
    fake.act = lambda token: None
    assert predict("s3://images/in", out="s3://images/out")[1].endswith("2 there already\n")


def test_hostile_keys_stay_below_the_output(predict, bucket, tmp_path, fake):
    keys = ["../../../escape.jpg", "/etc/x.jpg", "a/../../b.jpg", "c\\..\\..\\..\\c.jpg", "./d.jpg", "//e.jpg", "A.jpg",
            "a.PNG", "x" * 300 + ".jpg", "a.png/f.jpg", "n\nl.jpg", "é" * 120 + "/" + "ü" * 120 + ".jpg"]  # fmt: skip
    for seed, key in enumerate(keys):
        bucket.put_object(Bucket="images", Key=f"in/{key}", Body=make_image(seed))
    before = files(tmp_path)
    assert predict("s3://images/in", out=tmp_path / "deep" / "er" / "out") == (
        0, f"12 masks written to {tmp_path / 'deep' / 'er' / 'out'}\n", "")  # fmt: skip
    masks = files(tmp_path / "deep" / "er" / "out")
    assert len(masks) == 12
    assert files(tmp_path).keys() - before.keys() == {f"deep/er/out/{name}" for name in masks}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{model}", "s3://images/none", "-o", "{out}"], "s3://images/none: no image there (.jpg, .jpeg, .png)"),
        (["{model}", "s3://nobodys/x", "-o", "{out}"], "s3://nobodys/x: there is no such bucket"),
        (["{model}", "{image}", "-o", "s3://nobodys/x"], "there is no such bucket"),
        (["s3://images/none", "{image}", "-o", "{out}"], "s3://images/none: no such object"),
        (["s3://images/in/a.jpg", "{image}", "-o", "{out}"], "s3://images/in/a.jpg can't be used as a model"),
    ],
)
def test_what_is_wrong_in_s3_is_reported(
    stored_images, small_model, image_folder, tmp_path, capsys, arguments, expected
):
    words = {"model": small_model, "image": image_folder / "a.jpg", "out": tmp_path / "out"}
    assert main(["predict", *(part.format(**words) for part in arguments)]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert "/tmp" not in captured.err.replace(str(tmp_path), "")
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(("precision", "left_out"), [("int8", True), ("float32", False)])
def test_float32_is_read_where_it_is_used(
    predict, small_model, image_folder, tmp_path, monkeypatch, precision, left_out
):
    graph, found, both = read_inference_artifact(small_model).graph, [], tmp_path / "both.tar.gz"
    write_artifact(both, dataclasses.replace(read_artifact(small_model), graph=graph, int8_graph=graph))

    def reader(path, **options):
        found.append(read_inference_artifact(path, **options))
        return found[0]

    monkeypatch.setattr(model_location, "read_inference_artifact", reader)
    assert predict(image_folder, "--precision", precision, model=both, out=tmp_path / "two")[0] == 0
    assert [one.graph for one in found] == [b"" if left_out else graph]
    assert predict(image_folder, out=tmp_path / "one")[0] == 0
    assert files(tmp_path / "two") == files(tmp_path / "one")
