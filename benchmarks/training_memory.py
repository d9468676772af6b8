"""Where the memory of a training goes: resident memory after each phase, beside what shapes say has to be there.

    python benchmarks/training_memory.py

The step is that of `ours_train.py`. PyTorch is imported in its environment, if that is there (`make peers`). A dated
page goes into `results`.
"""

import argparse
import datetime
import json
import math
import subprocess
import sys
from pathlib import Path

import machine
from contest import say
from pages import facts, table

HERE = Path(__file__).resolve().parent
WORK = "--algorithm fcn --backbone resnet-50 --crop 240 --batch 4 --classes 21"


def resident_mb(name: str = "VmRSS") -> float:
    """Resident memory of this process now, or at most (VmHWM), MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def measure() -> dict[str, float]:
    """Resident MB after each phase of a training's start, and MB of arrays by their shapes."""
    found = {"Python": resident_mb()}
    import numpy as np
    from ours_train import our_step
    from peers import lockstep

    from sagemaker_semseg.environment import configure_tensorflow

    configure_tensorflow()
    import keras  # noqa: F401
    import tensorflow as tf

    from sagemaker_semseg.models.network import build_network

    found["TensorFlow and Keras imported"] = resident_mb()
    args = lockstep.parser(None).parse_args(WORK.split())
    args.precision, args.recompute, shape = "float32", False, (args.batch, args.crop, args.crop)
    step, _ = our_step(args, np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8))
    found["network and optimizer built"] = resident_mb()
    for number in (1, 2, 3):
        step()
        found[f"after step {number}"] = resident_mb()
    found["the most"] = resident_mb("VmHWM")
    network = build_network(args.algorithm, args.backbone, args.classes)
    weights = sum(4 * math.prod(variable.shape) for variable in network.trainable_variables) / 1e6
    forward = tf.function(lambda x: network(x, training=True)).get_concrete_function(tf.TensorSpec((*shape, 3)))
    outputs = [op.outputs[0].shape for op in forward.graph.get_operations() if op.type == "Conv2D"]
    found["by shapes: weights, gradients, momentum"] = 3 * weights
    found["by shapes: outputs of convolutions, and of ReLU"] = 2 * sum(4 * math.prod(each) for each in outputs) / 1e6
    return found


def imported(python: Path, module: str) -> list[float]:
    """Resident MB of a process that has imported a module: its own, and pages of files, which processes share."""
    program = f"import {module}; print(open('/proc/self/status').read())"
    status = subprocess.run([str(python), "-c", program], check=True, capture_output=True, text=True).stdout
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return [int(fields[name].split()[0]) * 1024 / 1e6 for name in ("RssAnon", "RssFile")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    peer = HERE.parent / ".envs" / "torch" / "bin" / "python"
    parser.add_argument("--torch-python", type=Path, default=peer)
    parser.add_argument("--output", type=Path, help="the page to write (results/training_memory-<date>.md)")
    args = parser.parse_args()
    done = subprocess.run([sys.executable, __file__, "--measure"], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    imports = {"TensorFlow": (Path(sys.executable), "tensorflow"), "PyTorch": (args.torch_python, "torch")}
    rows = [[name, *(f"{mb:.0f}" for mb in imported(*what))] for name, what in imports.items() if what[0].exists()]
    date = datetime.date.today().isoformat()
    text = f"# Where the memory of a training goes, {date}\n\n{facts(machine.describe(), {'training': WORK})}\n"
    text += table(["", "MB"], ([name, f"{value:.0f}"] for name, value in found.items()))
    text += f"\n{table(['import alone', 'memory of its own, MB', 'pages of libraries, MB'], rows)}"
    output = args.output or HERE / "results" / f"training_memory-{date}.md"
    output.write_text(text)
    say(f"written: {output}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--measure"]:
        print(json.dumps(measure()))
    else:
        main()
