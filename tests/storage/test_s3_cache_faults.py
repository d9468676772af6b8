"""A true copy, or words that say what went wrong, on the worst of networks."""

import os
import signal
import subprocess
import sys
import time
import traceback

import pytest

from sagemaker_semseg.errors import DataError, UserError
from sagemaker_semseg.storage import retry
from sagemaker_semseg.storage.s3_cache import S3Cache

DATA = {f"set/train/{number:02}.jpg": os.urandom(3000) + bytes([number]) for number in range(12)}


@pytest.fixture
def cache(tmp_path):
    return S3Cache(tmp_path / "cache")


def contents(folder):
    return {f"set/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*.jpg")}


def files_below(cache):
    return [path for path in cache.root.rglob("*") if path.is_file()]


def images_below(cache):
    """Those that are whole: while it is written, a file's name begins with a dot."""
    names = (path for path in cache.root.rglob("*.jpg") if not path.name.startswith("."))
    return {path.stat().st_ino for path in names}


PASSING = ["slow down", "internal error", "too many", "timeout", "reset", "cut", "reset within", "corrupt"]
PASSING += ["corrupt, with a checksum", "short", "long"]


@pytest.mark.parametrize("kind", PASSING)
def test_what_passes(proxy, put, cache, kind):
    put(DATA)
    proxy.harm(kind, 5, ".jpg")
    assert contents(cache.prefix("s3://images/set")) == DATA
    assert len(proxy.gets()) == len(DATA) + 5


@pytest.mark.parametrize("kind", ["slow down", "reset", "cut", "reset within"])
def test_what_passes_in_a_listing(proxy, put, cache, kind):
    put(DATA)
    proxy.harm(kind, 3, "list-type")
    assert contents(cache.prefix("s3://images/set")) == DATA


@pytest.mark.parametrize("kind", ["slow down", "reset"])
def test_transient_faults_of_a_head(proxy, put, cache, kind):
    put(DATA)
    proxy.harm(kind, 3, method="HEAD")
    key = "set/train/03.jpg"
    assert cache.objects([f"s3://images/{key}"])[0].read_bytes() == DATA[key]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("slow down", "S3 is overloaded"),
        ("cut", "doesn't arrive whole (IncompleteReadError)"),
        ("reset within", "doesn't arrive whole ("),
        ("corrupt", "doesn't arrive whole (the MD5 is "),
        ("corrupt, with a checksum", "doesn't arrive whole (FlexibleChecksumError)"),
        ("short", "doesn't arrive whole (1500 bytes, 3001 are expected)"),
        ("long", "doesn't arrive whole (3005 bytes, 3001 are expected)"),
        ("denied", "access is denied"),
    ],
)
def test_what_does_not_pass(proxy, put, cache, kind, expected):
    put(DATA)
    proxy.harm(kind, 999, "07.jpg")
    with pytest.raises(UserError) as caught:
        cache.prefix("s3://images/set")
    (fault,) = caught.value.faults
    assert fault.where == "s3://images/set/train/07.jpg"
    assert expected in str(fault)
    assert len(proxy.gets("07.jpg")) == (1 if kind == "denied" else retry.TRANSFERS.attempts)
    assert not [path for path in files_below(cache) if path.name.startswith(".writing")]
    proxy.harms.clear()
    before = len(proxy.gets())
    assert contents(cache.prefix("s3://images/set")) == DATA
    if isinstance(caught.value, DataError):  # the others had arrived, and are kept
        assert len(proxy.gets()) == before + 1


@pytest.mark.parametrize("request_of", ["list-type", ".jpg", "HEAD"])
def test_expired_credentials_stop_at_once(proxy, put, cache, request_of):
    put(DATA)
    if request_of == "HEAD":
        proxy.harm("expired", 999, method="HEAD")
    proxy.harm("expired", 999, ".jpg" if request_of == "HEAD" else request_of)
    with pytest.raises(UserError, match=r"the credentials have expired \(sign in again") as caught:
        cache.objects(["s3://images/set/train/03.jpg"]) if request_of == "HEAD" else cache.prefix("s3://images/set")
    assert len(caught.value.faults) == 1
    assert (
        len(proxy.asked) <= {"list-type": 1, ".jpg": 1 + len(DATA), "HEAD": 3}[request_of]
    )  # boto3 asks for the region
    shown = "".join(traceback.format_exception(caught.value))
    assert not [secret for secret in ("AKIDTHEKEY", "THESECRET", "THETOKEN") if secret in shown]


def test_hundreds_of_the_same_fault_are_not_awaited(proxy, put, cache):
    objects = {f"set/{number:03}.jpg": b"x" for number in range(200)}
    put(objects)
    proxy.harm("denied", 9999, ".jpg")
    with pytest.raises(DataError, match="the first 100: can't be had, 100 more were not tried"):
        cache.prefix("s3://images/set")


def test_encrypted_with_kms_no_etag_tells(proxy, put, cache):
    put({"set/a.jpg": b"12345"})
    proxy.harm("encrypted", path=".jpg")
    assert (cache.prefix("s3://images/set") / "a.jpg").read_bytes() == bytes(5)


def test_an_object_that_changes_between_listing_and_fetching(proxy, put, cache):
    put(DATA)

    def change(done, in_all):
        if (done, in_all) == (0, len(DATA)):
            put({"set/train/05.jpg": b"new"})

    with pytest.raises(DataError, match=r"05.jpg: has changed since the command began \(run the command again\)"):
        cache.prefix("s3://images/set", change)
    assert (cache.prefix("s3://images/set") / "train/05.jpg").read_bytes() == b"new"


def test_ctrl_c_leaves_nothing_half_written(proxy, put, cache):
    put(DATA)
    proxy.harm("slow down", 999, "01.jpg")

    def interrupt(done, in_all):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.prefix("s3://images/set", interrupt)
    assert not [path for path in files_below(cache) if path.name.startswith(".writing")]
    proxy.harms.clear()
    assert contents(cache.prefix("s3://images/set")) == DATA


def test_a_hundred_thousand_keys(proxy, put, cache):
    proxy.listing = [f"set/train/{number:06}.jpg" for number in range(100_000)]
    wanted = {"train/000000.jpg", "train/050000.jpg", "train/099999.jpg"}
    put({f"set/{name}": b"x" for name in wanted})
    proxy.harm("slow down", 5, "continuation-token=5")
    proxy.harm("reset", 5, "continuation-token=9")
    seen = []
    folder = cache.prefix("s3://images/set", wanted=lambda name: seen.append(name) or name in wanted)
    assert seen == [key.removeprefix("set/") for key in proxy.listing]
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")} == wanted
    assert len(proxy.asked) == 100 + 10 + len(wanted)


# ---- other processes

PROGRAM = """
import sys
from pathlib import Path
from sagemaker_semseg.storage.s3_cache import S3Cache
print(S3Cache(Path(sys.argv[1])).prefix("s3://images/set"))
"""


def start(cache):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, cache.root], stdout=subprocess.PIPE, text=True)


def test_a_process_that_is_killed(proxy, put, cache):
    put(DATA)
    proxy.delay = 0.05
    proxy.harm("slow down", 999, "01.jpg")
    with start(cache) as process:
        deadline = time.monotonic() + 600
        while len(images_below(cache)) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = images_below(cache)
    proxy.harms.clear()
    proxy.asked.clear()
    folder = cache.prefix("s3://images/set")
    assert contents(folder) == DATA
    reused = kept & {path.stat().st_ino for path in folder.rglob("*.jpg")}
    asked = set(proxy.gets())  # some came twice, if the process's last requests arrived late
    assert len(reused) + len(asked) == len(DATA)


def test_two_processes_share_the_work(proxy, put, cache):
    objects = {f"set/train/{number:03}.jpg": b"%d" % number for number in range(150)}
    put(objects)
    proxy.delay = 0.1
    with start(cache) as one, start(cache) as two:
        outputs = {process.communicate(timeout=600)[0] for process in (one, two)}
        assert (one.returncode, two.returncode) == (0, 0)
    (folder,) = outputs
    assert contents(type(cache.root)(folder.strip())) == objects
    assert len(proxy.gets()) < 1.8 * len(objects)


def test_what_a_killed_process_has_left_is_removed_a_day_later(proxy, put, cache):
    put({"set/a.jpg": b"x"})
    (file,) = cache.objects(["s3://images/set/a.jpg"])
    old, young = file.with_name(".writing-1-a.jpg"), file.with_name(".writing-2-a.jpg")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    file.unlink()
    cache.objects(["s3://images/set/a.jpg"])
    assert sorted(os.listdir(file.parent)) == sorted([young.name, file.name])
