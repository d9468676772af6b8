"""Training steps on one GPU: our networks with Keras on JAX beside the same networks in PyTorch, interleaved.

Input: flags, and a Python with Keras and JAX and one with PyTorch. Output: a dated markdown page under
`benchmarks/results/`. Takes some 8 minutes. Without a GPU it runs on the CPU, to try the script, and the page says so.
"""

import argparse
import datetime
import sys
from functools import partial
from pathlib import Path

import machine
from contest import Contest, compete, pinned, say, versions
from pages import facts, spread, table
from peers.worker import Plan, Worker

HERE = Path(__file__).resolve().parent
METHOD = """\
Every contestant does the same step on a batch that already is on the device: forward, backward, SGD with momentum. They
take turns on the same device, and the order rotates. A ratio compares rounds that follow one another. `matmul`
multiplies square matrices in bfloat16: what the device can do at most. The step's floating point operations are those
that XLA counts for the compiled step of JAX, and count for all.
"""


def plans(args: argparse.Namespace) -> dict[str, Plan]:
    torch_script, small = HERE / "peers" / "torch_train.py", ("--size", str(args.matmul), "--repeats", "10")
    fast = ("--layout", "channels_last", "--precision", "bf16")
    every = [
        Plan("ours-jax", args.jax_python, HERE / "peers" / "keras_jax_train.py", ("--precision", "mixed_bfloat16")),
        Plan("torch-compiled", args.torch_python, torch_script, (*fast, "--compile")),
        Plan("torch-eager", args.torch_python, torch_script, fast),
        Plan("matmul", args.torch_python, HERE / "peers" / "matmul.py", ("--precision", "bf16", *small)),
    ]
    return {plan.name: plan for plan in every}


def section(result: Contest, batch: int) -> str:
    flops = {name: float(values.get("TFLOP a step", "nan")) for name, values in result.versions.items()}
    peak = flops.get("matmul", float("nan")) / result.median("matmul") if result.finished("matmul") else float("nan")
    work, rows = flops.get("ours-jax", float("nan")), []
    for name in result.done():
        if name == "matmul":
            continue
        ratios = spread(result.ratios(name, "ours-jax"))
        seconds = result.median(name)
        rows.append(
            [
                name,
                f"{batch / seconds:.1f}",
                f"{work / seconds / peak:.0%}",
                f"{max(turn.gpu_peak_mb for turn in result.finished(name)):.0f}",
                f"{ratios[1]:.2f} ({ratios[0]:.2f} to {ratios[2]:.2f})" if ratios else "",
            ]
        )
    head = ["contestant", "images/s", "of the peak of matmul", "GPU memory, MB", "time, ours-jax = 1"]
    failed = "".join(f"{name} failed: {why}\n" for name, why in result.failures.items())
    return f"## {result.name}\n\nPeak: {peak:.1f} TFLOP/s; a step: {work:.3f} TFLOP.\n\n{table(head, rows)}{failed}"


def parse() -> argparse.Namespace:
    root = HERE.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jax-python", type=Path, default=root / ".envs" / "jax" / "bin" / "python")
    parser.add_argument("--torch-python", type=Path, default=root / ".envs" / "torch" / "bin" / "python")
    parser.add_argument("--algorithms", nargs="+", choices=("fcn", "deeplab"), default=["fcn", "deeplab"])
    parser.add_argument("--backbones", nargs="+", choices=("resnet-18", "resnet-50"), default=["resnet-50"])
    parser.add_argument("--crop", type=int, default=480)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps-per-round", type=int, default=10)
    parser.add_argument("--matmul", type=int, default=8192, help="rows of the matrices that measure the peak")
    parser.add_argument("--timeout", type=float, default=300, help="seconds that a worker may take for one answer")
    parser.add_argument("--output", type=Path, help="the page to write (results/gpu_speed-<date>.md)")
    return parser.parse_args()


def main() -> int:
    args = parse()
    cores = machine.usable_cores()
    words = {"--crop": args.crop, "--batch": args.batch, "--classes": args.classes, "--threads": len(cores)}
    words |= {"--steps-per-round": args.steps_per_round}
    contests = []
    for backbone in args.backbones:
        for algorithm in args.algorithms:
            pairs = {**words, "--algorithm": algorithm, "--backbone": backbone}
            flags = [str(word) for pair in pairs.items() for word in pair]
            # JAX would take most of the memory from the others
            variables = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
            starters = {
                name: partial(Worker, plan, flags, variables, args.timeout) for name, plan in plans(args).items()
            }
            with pinned(len(cores)) as all_cores:
                contests.append(compete(f"{algorithm}, {backbone}", all_cores, starters, args.rounds))
    devices = {values["device"] for one in contests for values in one.versions.values() if "device" in values}
    on_gpu = not any("cpu" in device.lower() for device in devices)
    date = datetime.date.today().isoformat()
    output = args.output or HERE / "results" / f"gpu_speed-{date}.md"
    settings = {"device": ", ".join(sorted(devices)), "crop; batch": f"{args.crop}; {args.batch}", **versions(contests)}
    warning = "" if on_gpu else "**No GPU was measured: this ran on a CPU, to show that the script runs.**\n"
    head = [f"# Training steps on one GPU, {date}\n", warning, METHOD, facts(machine.describe(), settings)]
    output.write_text("\n".join([*head, *(section(one, args.batch) for one in contests)]))
    say(f"written: {output}")
    return 1 if any(one.failures for one in contests) else 0


if __name__ == "__main__":
    sys.exit(main())
