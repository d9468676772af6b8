"""The image as SageMaker runs it, by Docker.

Takes its name; fails unless a training and a request have worked, or this fails.

`make test-docker` calls it. No network, no name for the user, a root folder that can't be written.
"""

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from sagemaker_semseg.data.demo_dataset import make_demo_set

HYPERPARAMETERS = {
    "num_classes": "4", "backbone": "resnet-18", "use_pretrained_model": "False", "crop_size": "32", "base_size": "48",
    "mini_batch_size": "4", "epochs": "1",
}  # fmt: skip
CHANNELS = ("train", "train_annotation", "validation", "validation_annotation")
COMMON = ("docker", "run", "--rm", "--user", "12345:12345", "--read-only", "--tmpfs", "/tmp")


def main(image):
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        make_demo_set(base / "input" / "data", train=8, validation=3, test=1, size=48)
        for name in ("input/config", "model", "output", "checkpoints"):
            (base / name).mkdir(parents=True)
        for name in ("model", "output", "checkpoints"):
            (base / name).chmod(0o777)
        base.chmod(0o755)
        config = {"hyperparameters": HYPERPARAMETERS, "inputdataconfig": {name: {} for name in CHANNELS}}
        for name, content in config.items():
            (base / "input" / "config" / f"{name}.json").write_text(json.dumps(content))
        subprocess.run([*COMMON, "--network", "none", "-v", f"{base}:/opt/ml", image, "train"], check=True)
        assert (base / "output" / "data" / "metrics.csv").read_text().count("\n") == 2
        model = f"{base / 'model'}:/opt/ml/model:ro"
        started = [*COMMON, "--detach", "-p", "127.0.0.1::8080", "-v", model, image, "serve"]
        name = subprocess.run(started, check=True, capture_output=True, text=True).stdout.strip()
        try:
            port = subprocess.run(["docker", "port", name, "8080"], check=True, capture_output=True, text=True).stdout
            ask(f"http://{port.split()[0]}", next((base / "input" / "data" / "validation").iterdir()).read_bytes())
        finally:
            subprocess.run(["docker", "stop", name], check=True)


def ask(url, image):
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{url}/ping").close()
            break
        except OSError:
            time.sleep(0.5)
    request = urllib.request.Request(f"{url}/invocations", image, {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request) as reply:
        assert reply.read().startswith(b"\x89PNG")
    with urllib.request.urlopen(f"{url}/execution-parameters") as reply:
        assert json.load(reply)["BatchStrategy"] == "SingleRecord"


if __name__ == "__main__":
    main(sys.argv[1])
