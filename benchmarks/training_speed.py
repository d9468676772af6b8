"""Training speed of ours beside GluonCV (MXNet) and the same net in PyTorch, interleaved in one run.

Input: flags, and an environment for each peer. Output: a dated markdown page under `benchmarks/results/`. Run by hand,
from any folder: `python benchmarks/training_speed.py`. The workers are `ours_train.py` and `peers/*_train.py`; see
`peers/lockstep.py` for what passes between them and this script. Exit status 1 if a worker failed; the page is written
all the same.
"""

import argparse
import datetime
import itertools
import sys
from functools import partial
from pathlib import Path

import machine
from contest import Contest, check_cores, compete, pinned, say
from peers.worker import Plan, Worker
from training_speed_report import page

HERE = Path(__file__).resolve().parent
NEEDED_GB_PER_WORKER = 4.0
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# OpenMP threads that spin between parallel regions count as CPU time, and stall one another once anything else runs.
NO_SPINNING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def plans(args: argparse.Namespace) -> dict[str, Plan]:
    torch_script = HERE / "peers" / "torch_train.py"
    every = [
        Plan("ours", args.ours_python, HERE / "ours_train.py"),
        Plan("keras-fit", args.ours_python, HERE / "ours_train.py", ("--stock",)),
        Plan("gluoncv", args.gluoncv_python, HERE / "peers" / "gluoncv_train.py"),
        Plan("torch-nchw", args.torch_python, torch_script, ("--layout", "nchw")),
        Plan("torch-channels-last", args.torch_python, torch_script, ("--layout", "channels_last")),
        Plan("torch-compiled", args.torch_python, torch_script, ("--layout", "channels_last", "--compile")),
        Plan("matmul", args.torch_python, HERE / "peers" / "matmul.py", ("--size", "2048", "--repeats", "10")),
    ]
    return {plan.name: plan for plan in every if plan.name in args.workers}


def environment(args: argparse.Namespace, threads: int) -> dict[str, str]:
    added = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return added | NO_SPINNING | extra(args)


def extra(args: argparse.Namespace) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in args.env)


def contest(args: argparse.Namespace, algorithm: str, backbone: str, cores: list[int]) -> Contest:
    threads = len(cores)
    flags = {
        "--algorithm": algorithm,
        "--backbone": backbone,
        "--crop": args.crop,
        "--batch": args.batch,
        "--classes": args.classes,
    }
    flags |= {"--threads": threads, "--steps-per-round": args.steps_per_round}
    words = [str(word) for pair in flags.items() for word in pair]
    variables = environment(args, threads)
    starters = {name: partial(Worker, plan, words, variables, args.timeout) for name, plan in plans(args).items()}
    return compete(f"{algorithm}, {backbone}", cores, starters, args.rounds)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    root = HERE.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours-python", type=Path, default=Path(sys.executable))
    parser.add_argument("--gluoncv-python", type=Path, default=root / ".envs" / "gluoncv" / "bin" / "python")
    parser.add_argument("--torch-python", type=Path, default=root / ".envs" / "torch" / "bin" / "python")
    names = ["ours", "keras-fit", "gluoncv", "torch-nchw", "torch-channels-last", "torch-compiled", "matmul"]
    parser.add_argument("--workers", nargs="+", choices=names, default=names)
    parser.add_argument("--algorithms", nargs="+", choices=("fcn", "deeplab"), default=["fcn", "deeplab"])
    backbones = ("resnet-18", "resnet-50")
    parser.add_argument("--backbones", nargs="+", choices=backbones, default=["resnet-50"])
    parser.add_argument("--cores", nargs="+", type=int, default=[1, 2], help="how many cores; one table for each (1 2)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps-per-round", type=int, default=1)
    parser.add_argument("--crop", type=int, default=240)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--timeout", type=float, default=600, help="seconds that a worker may take for one answer")
    parser.add_argument("--env", nargs="*", default=[], metavar="NAME=VALUE", help="set for every worker alike")
    parser.add_argument("--output", type=Path, help="the page to write (results/training_speed-<date>.md)")
    return parser.parse_args(argv)


def check_memory(workers: int) -> None:
    available = machine.available_memory_gb()
    if available is not None and available < NEEDED_GB_PER_WORKER * workers:
        say(f"warning: {available:.1f} GB free, {workers} workers may need {NEEDED_GB_PER_WORKER * workers:.0f} GB")


def main() -> int:
    args = parse()
    check_memory(len(args.workers))
    check_cores(args.cores)
    contests = []
    for count in args.cores:
        with pinned(count) as cores:
            pairs = itertools.product(args.backbones, args.algorithms)
            contests += [contest(args, algorithm, backbone, cores) for backbone, algorithm in pairs]

    date = datetime.date.today().isoformat()
    output = args.output or HERE / "results" / f"training_speed-{date}.md"
    others = [f"{name}={value}" for name, value in (NO_SPINNING | extra(args)).items()]
    settings = {
        "network": f"with auxiliary head, {args.classes} classes, float32",
        "crop, batch": f"{args.crop} x {args.crop}, {args.batch}",
        "rounds, steps in each": f"{args.rounds}, {args.steps_per_round}, after 2 steps of warm-up",
        "variables set for every worker": ", ".join([*(f"{name} = cores" for name in THREAD_VARIABLES), *others]),
    }
    text = page(f"Training speed, {date}", machine.describe(), settings, contests, args.batch)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)
    say(f"written: {output}")
    return 1 if any(one.failures for one in contests) else 0


if __name__ == "__main__":
    sys.exit(main())
