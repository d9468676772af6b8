"""Lockstep worker: training steps of FCN or DeepLabV3 in PyTorch (see `lockstep.py`).

SGD with momentum 0.9, coupled decay 1e-4 and 10 times the rate for head and auxiliary head, as the reference trains.
`--layout` chooses the memory order of images, weights and activations, `--compile` the compiler (inductor) in place of
eager mode, `--precision bf16` autocast. Uses the GPU where PyTorch finds one.
"""

import argparse

import lockstep


def build(args: argparse.Namespace) -> tuple[lockstep.Step, dict[str, str]]:
    import torch
    import torch.nn.functional as functional
    from torch_net import SegmentationNet

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last if args.layout == "channels_last" else torch.contiguous_format
    net = (
        SegmentationNet(args.algorithm, args.classes, int(args.backbone.removeprefix("resnet-")))
        .to(device, memory_format=layout)
        .train()
    )
    forward = torch.compile(net) if args.compile else net
    images, labels = lockstep.fixed_batch(args)
    images = torch.from_numpy(images).permute(0, 3, 1, 2).to(device).contiguous(memory_format=layout)
    labels = torch.from_numpy(labels).long().to(device)

    rate = 0.01 / args.batch  # the reference divides the gradient by the batch size
    heads = [p for name, p in net.named_parameters() if name.startswith(("head", "auxlayer"))]
    backbone = [p for name, p in net.named_parameters() if not name.startswith(("head", "auxlayer"))]
    groups = [{"params": backbone}, {"params": heads, "lr": 10 * rate}]
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9, weight_decay=1e-4, fused=args.fused)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
            main, auxiliary = forward(images)
        loss = functional.cross_entropy(main.float(), labels, ignore_index=-1)
        loss = loss + functional.cross_entropy(auxiliary.float(), labels, ignore_index=-1)
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return loss.item()

    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return step, {"torch": torch.__version__, "device": name, "CPU capability": torch.backends.cpu.get_cpu_capability()}


if __name__ == "__main__":
    flags = lockstep.parser(__doc__)
    flags.add_argument("--layout", choices=("nchw", "channels_last"), default="nchw")
    flags.add_argument("--compile", action="store_true", help="by inductor; needs a C++ compiler, or Triton on a GPU")
    flags.add_argument("--precision", default="float32", choices=("float32", "bf16"))
    flags.add_argument("--fused", action=argparse.BooleanOptionalAction, default=True, help="the fused form of SGD")
    lockstep.serve(flags.parse_args(), build)
