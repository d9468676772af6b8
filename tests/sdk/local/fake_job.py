"""A training in place of the real one: what it does follows from the hyperparameter ``epochs``' neighbour, ``seed``.

It reads and writes SageMaker's tree as the real one does, and loads nothing.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fake_behaviors import CRASH, FAIL, HANG, LEAVES_A_CHILD, READS_A_PIPE, STUBBORN, SUCCEED

import sagemaker_semseg.signals

BASE = Path(os.environ["SAGEMAKER_BASE_DIR"])
LINES = """\
[11/25/2026 10:00:0{epoch} INFO 7] #quality_metric: host=algo-1, epoch={epoch}, train loss <loss>={loss}
[11/25/2026 10:00:0{epoch} INFO 7] #throughput_metric: host=algo-1, train throughput=12.5 records/second
[11/25/2026 10:00:0{epoch} INFO 7] #quality_metric: host=algo-1, epoch={epoch}, validation mIOU <score>={miou}
[11/25/2026 10:00:0{epoch} INFO 7] #progress_metric: host=algo-1, completed 50.0 % of epochs"""


def model():
    (BASE / "model" / "hyperparams.json").write_text("{}")
    (BASE / "checkpoints" / "last").write_bytes(b"checkpoint")


def wait(seconds=600):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)


def child():
    """A process that doesn't end by itself."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    (BASE / "child").write_text(str(process.pid))


def main():
    sagemaker_semseg.signals.watch_parent()
    given = json.loads((BASE / "input" / "config" / "hyperparameters.json").read_text())
    behavior = int(given.get("seed", 0))
    for epoch, (loss, miou) in enumerate([(2.5, 0.125), (1.5, 0.5), (1.25, 0.25)]):
        print(LINES.format(epoch=epoch, loss=loss, miou=miou), flush=True)
    if behavior == SUCCEED:
        print("job", os.environ["TRAINING_JOB_NAME"], os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
        (BASE / "output" / "data" / "notes.txt").write_text("notes")
        (BASE / "output" / "tensorboard" / "events").write_text("events")
        model()
    elif behavior == FAIL:
        (BASE / "output" / "failure").write_text("ClientError: the masks are upside down (turn them)" + 2000 * "x")
        sys.exit(2)
    elif behavior == CRASH:
        print("the last words", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGKILL)
    elif behavior == HANG:

        def end(number, frame):
            model()
            print("ended as asked", flush=True)
            sys.exit(0)

        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        wait()
    elif behavior == STUBBORN:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child()
        print("ready", flush=True)
        wait()
    elif behavior == READS_A_PIPE:
        for number in range(2):
            fifo = BASE / "input" / "data" / f"train_{number}"
            end = time.monotonic() + 600
            while not fifo.exists() and time.monotonic() < end:
                time.sleep(0.01)
            print("pass", number, hashlib.sha256(fifo.read_bytes()).hexdigest(), flush=True)
        model()
    elif behavior == LEAVES_A_CHILD:
        child()
        model()


main()
