"""Lockstep worker: `torch_net.py`'s FCN, PSPNet or DeepLabV3 in PyTorch (see `lockstep.py`, `inference.py`).

Without the auxiliary head, in inference mode, eager or with `--compile` by inductor. Forms: the two memory orders of
images, weights and activations.
"""

import argparse

import inference
import lockstep
import numpy as np


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    import torch
    from torch_net import SegmentationNet

    torch.set_num_threads(args.threads)
    image = torch.from_numpy(inference.normalized(args)).permute(0, 3, 1, 2)

    def form(layout: torch.memory_format) -> inference.Run:
        torch.manual_seed(0)
        net = SegmentationNet(args.algorithm, args.classes, args.depth).to(memory_format=layout).eval()
        images = image.contiguous(memory_format=layout)
        logits = torch.compile(net.logits) if args.compile else net.logits

        def run() -> np.ndarray:
            with torch.inference_mode():
                return logits(images).numpy()

        return run

    step, tried = inference.fastest({"nchw": form(torch.contiguous_format), "channels_last": form(torch.channels_last)})
    return step, {"torch": torch.__version__, "CPU capability": torch.backends.cpu.get_cpu_capability(), **tried}


if __name__ == "__main__":
    flags = inference.parser(__doc__)
    flags.add_argument("--compile", action="store_true")
    lockstep.serve(flags.parse_args(), build, warm_up=0)  # `inference.fastest` did
