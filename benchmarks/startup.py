"""Compares the start of two versions: CPU seconds from the command to the end of the first step, and to the end of all.

Give the folders of two checkouts, each with its environment in `.venv`:

    python benchmarks/startup.py OLD NEW

A run is a process of its own, on one core, that trains two images of 64 x 64 pixels for one epoch; the versions take
turns. TensorFlow and Keras alone are imported in between: what is left of the time is the package's own, and that of
what it asks TensorFlow for. Ratios are of CPU seconds, since other programs may share the machine.

A dated page goes into `results`.
"""

import argparse
import datetime
import json
import os
import subprocess
import tempfile
from pathlib import Path
from statistics import median

import machine
from contest import pinned, say
from pages import facts, spread, table

HERE = Path(__file__).resolve().parent
IMPORT = "import sys, time, tensorflow, keras; print(time.process_time())"
TRAIN = """
import json, sys, time
from sagemaker_semseg import train
import keras

class Clock(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.first = getattr(self, "first", time.process_time())

clock = Clock()
train(*sys.argv[1:3], callbacks=[clock], quiet=True, **json.loads(sys.argv[3]))
print(clock.first, time.process_time())
"""


def run(folder: Path, code: str, *words: str) -> list[float]:
    """Run code with the Python of a checkout, and return the numbers in its last line."""
    command = [str(folder.absolute() / ".venv" / "bin" / "python"), "-c", code, *words]
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # people's modules are compiled once
    done = subprocess.run(command, env=variables, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


def measure(backbone: str, data: Path, args: argparse.Namespace) -> list[dict[str, list[float]]]:
    """Return for each round the seconds of the imports, and of each version until the first step and until the end."""
    settings = {"num_classes": 4, "backbone": backbone, "use_pretrained_model": False, "crop_size": 64}
    settings |= {"base_size": 64, "mini_batch_size": 2, "epochs": 1}
    rounds = []
    for number in range(args.rounds):
        found = {"imports": run(args.new, IMPORT)}
        for version in ("old", "new") if number % 2 else ("new", "old"):
            with tempfile.TemporaryDirectory() as output:
                found[version] = run(getattr(args, version), TRAIN, str(data), output, json.dumps(settings))
        say(f"{backbone}, round {number + 1}: {found}")
        rounds.append(found)
    return rounds


def rows(backbone: str, rounds: list[dict[str, list[float]]]) -> list[list[str]]:
    """One for the first step, one for that without the imports, one for the whole training."""
    imports = [found["imports"][0] for found in rounds]
    first = {name: [found[name][0] for found in rounds] for name in ("old", "new")}
    own = {name: [a - b for a, b in zip(first[name], imports, strict=True)] for name in first}
    whole = {name: [found[name][1] for found in rounds] for name in first}
    kinds = {
        "to the first step": first,
        "that, without the imports": own,
        "the whole training": whole,
    }
    made = []
    for kind, seconds in kinds.items():
        least, middle, most = (
            f"{r:.2f}" for r in spread([n / o for o, n in zip(seconds["old"], seconds["new"], strict=True)])
        )
        times = [f"{median(seconds[name]):.2f}" for name in ("old", "new")]
        made.append([f"{backbone}, {kind}", *times, f"**{middle}**", f"{least} to {most}"])
    return [*made, [f"{backbone}, TensorFlow's and Keras's import alone", f"{median(imports):.2f}", "", "", ""]]


def main() -> None:
    from sagemaker_semseg.data.demo_dataset import make_demo_set

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--backbones", nargs="+", default=["resnet-18", "resnet-50"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="the page to write (results/startup-<date>.md)")
    args = parser.parse_args()
    load, found = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory() as folder, pinned(1):
        make_demo_set(Path(folder), train=2, validation=1, test=1, size=64)
        for backbone in args.backbones:
            found += rows(backbone, measure(backbone, Path(folder), args))
    date = datetime.date.today().isoformat()
    head = ["fcn", "old, CPU s", "new, CPU s", "new / old (median of rounds)", "ratios"]
    text = f"# The start of a training, {date}\n\n"
    text += facts(machine.describe(), {"rounds; load before": f"{args.rounds}; {load:.1f}"})
    output = args.output or HERE / "results" / f"startup-{date}.md"
    output.write_text(f"{text}\nOne core.\n\n{table(head, found)}")
    say(f"written: {output}")


if __name__ == "__main__":
    main()
