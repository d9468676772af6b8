"""Lockstep worker: one multiplication of square matrices in PyTorch, for the machine's peak (see `lockstep.py`)."""

import argparse

import lockstep


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    import torch

    torch.set_num_threads(args.threads)
    on_gpu = torch.cuda.is_available()
    kind = {"bf16": torch.bfloat16, "float32": torch.float32}[args.precision]
    one = torch.rand(args.size, args.size, device="cuda" if on_gpu else "cpu").to(kind)

    def step() -> float:
        product = one
        for _ in range(args.repeats):
            product = one @ one
        if on_gpu:
            torch.cuda.synchronize()
        return float(product[0, 0])

    work = 2 * args.size**3 * args.repeats
    return step, {"torch": torch.__version__, "TFLOP a step": f"{work / 1e12:.3f}"}


if __name__ == "__main__":
    flags = lockstep.parser(__doc__)
    flags.add_argument("--precision", default="float32", choices=("float32", "bf16"))
    flags.add_argument("--size", type=int, default=8192)
    flags.add_argument("--repeats", type=int, default=20)
    lockstep.serve(flags.parse_args(), build)
