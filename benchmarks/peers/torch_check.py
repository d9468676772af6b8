"""Shows that `torch_net.py` is the reference's network: compares its numbers with those of a folder of reference data.

Input: a folder with `<net>.params.json`, `<net>.npz`, `large_resnet50.npz` and `<algorithm>_resnet50_train.npz`,
computed with GluonCV; the weights are a function of each array's name and shape, so none are stored. Output: one line
per array with its largest error; exit status 1 if one exceeds its tolerance. Run by hand: `python
benchmarks/peers/torch_check.py REFERENCE_DIR`.
"""

import argparse
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch_net import SegmentationNet

CLASSES = 5
TOLERANCE = {50: 5e-5, 101: 3e-4}
BATCH_NORM = {"gamma": "weight", "beta": "bias"}


def reference_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weight of this name, float32, by the reference data's rule."""
    seed = zlib.crc32(("v2/" + name).encode()) & 0xFFFFFFFF
    z = np.random.RandomState(seed).standard_normal(shape)
    kind = name.rsplit(".", 1)[-1]
    if kind == "weight":
        value = z * np.sqrt(2 / np.prod(shape[1:]))
        if name.endswith("block.4.weight"):
            value = 0.5 * (value - value.mean(axis=1, keepdims=True))
    elif kind == "gamma":
        value = 1 + 0.1 * z
        value *= 0.35 if name.endswith("bn3.gamma") else 0.7 if name.endswith("downsample.1.gamma") else 1
    elif kind == "running_var":
        value = np.exp(0.2 * z)
    else:
        value = 0.1 * z
    return value.astype(np.float32)


def torch_name(name: str) -> str:
    stem, kind = name.rsplit(".", 1)
    return f"{stem}.{BATCH_NORM.get(kind, kind)}"


def load(folder: Path, algorithm: str, depth: int) -> SegmentationNet:
    """The net with the rule's weights; an array too many, too few or of another shape is an error."""
    entries = json.loads((folder / f"{algorithm}_resnet{depth}.params.json").read_text())
    state = {torch_name(e["name"]): torch.from_numpy(reference_weight(e["name"], tuple(e["shape"]))) for e in entries}
    net = SegmentationNet(algorithm, CLASSES, depth)
    counters = {key: value for key, value in net.state_dict().items() if key.endswith("num_batches_tracked")}
    net.load_state_dict(state | counters, strict=True)
    return net


def channels_first(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.astype(np.float32).transpose(0, 3, 1, 2)))


def channels_last(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


class Report:
    """Prints each comparison and remembers whether all held."""

    def __init__(self) -> None:
        self.ok = True

    def compare(self, what: str, ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> None:
        error = float(np.abs(ours - theirs).max())
        held = ours.shape == theirs.shape and error <= tolerance
        self.ok &= held
        print(f"{what:44} max error {error:.1e} of {tolerance:.0e}  {'ok' if held else 'FAILED'}")


def check_inference(folder: Path, algorithm: str, depth: int, report: Report) -> None:
    net = load(folder, algorithm, depth).eval()
    data = np.load(folder / f"{algorithm}_resnet{depth}.npz")
    with torch.inference_mode():
        for prefix in ("sq", "rect", "odd"):
            images = channels_first(data[f"{prefix}_x"])
            arrays = dict(zip(("logits_low", "aux_low"), net.low_resolution(images), strict=True))
            arrays |= dict(zip(("logits", "aux"), net(images), strict=True))
            for key, tensor in arrays.items():
                what = f"{algorithm} resnet-{depth} {prefix} {key}"
                report.compare(what, channels_last(tensor), data[f"{prefix}_{key}"], TOLERANCE[depth])
        if depth == 50:
            large = np.load(folder / "large_resnet50.npz")
            low, auxiliary = net.low_resolution(channels_first(large["x_uint8"]) / 64 - 2)
            what = f"{algorithm} resnet-50 large logits_low"
            report.compare(what, channels_last(low), large[f"{algorithm}_logits_low"], 1e-4)
            report.compare(f"{algorithm} resnet-50 large aux_low", channels_last(auxiliary), large["aux_low"], 1e-4)


def check_training(folder: Path, algorithm: str, report: Report) -> None:
    """Outputs with batch statistics, and the norm of every gradient of the first step, dropout off."""
    net = load(folder, algorithm, 50).train()
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    data = np.load(folder / f"{algorithm}_resnet50_train.npz")
    labels = torch.from_numpy(data["y"].astype(np.int64))
    logits, auxiliary = net(channels_first(data["x"]))
    report.compare(f"{algorithm} resnet-50 train logits", channels_last(logits), data["logits"], 1e-3)
    report.compare(f"{algorithm} resnet-50 train aux", channels_last(auxiliary), data["aux"], 1e-3)
    sum(functional.cross_entropy(out, labels, ignore_index=-1) for out in (logits, auxiliary)).backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    norms = np.array([float(gradients[torch_name(str(name))].double().norm()) for name in data["grad_names"]])
    relative = norms / data["grad_l2"]
    report.compare(f"{algorithm} resnet-50 train gradients, relative", relative, np.ones(len(norms)), 2e-2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of reference data")
    folder = parser.parse_args().folder
    report = Report()
    for algorithm, depth in (("fcn", 50), ("psp", 50), ("deeplab", 50), ("fcn", 101)):
        check_inference(folder, algorithm, depth, report)
    for algorithm in ("fcn", "psp", "deeplab"):
        check_training(folder, algorithm, report)
    print("all within tolerance" if report.ok else "some exceed their tolerance")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
