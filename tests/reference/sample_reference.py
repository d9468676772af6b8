"""Writes this folder's samples of the reference's full numbers, or compares the two.

    python tests/reference/sample_reference.py FOLDER            # from what make_reference.py wrote
    python tests/reference/sample_reference.py FOLDER --check    # largest differences; exit status 1: too large

``make reference`` does both steps.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import samples  # noqa: E402

NETWORKS = ("fcn_resnet50", "psp_resnet50", "deeplab_resnet50", "fcn_resnet101", "backbone_resnet18")
TRAINED = ("fcn_resnet50_train", "psp_resnet50_train", "deeplab_resnet50_train")
INPUTS = ("sq_x", "rect_x", "odd_x", "x")
TRANSFORMS = ("img", "mask", *(f"train_seed{seed}_{part}" for seed in range(6) for part in ("img", "mask")))
COPIED = ("lr_schedule.json", "tiny.params", "tiny.npz", "tiny_list.params", "tiny_net.params", "tiny_net.npz",
          "tiny_export.params", "recordio/sample.rec")  # fmt: skip
"""Small files that are kept as they are."""


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def selected(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of each file that the tests read; those of a group's first file are not repeated."""
    files: dict[str, dict[str, np.ndarray]] = {}
    for group in (NETWORKS, TRAINED):
        first: dict[str, np.ndarray] = {}
        for name in group:
            arrays = load(folder / f"{name}.npz")
            shared = [key for key, array in arrays.items() if same(array, first.get(key))]
            files[name] = {key: array for key, array in arrays.items() if key not in shared}
            if shared:
                files[name][f"{samples.SHARED}{group[0]}"] = np.array(shared)
            first = first or arrays
    files["large_resnet50"] = load(folder / "large_resnet50.npz")
    files["loss_metric"] = load(folder / "loss_metric.npz")
    transforms = load(folder / "transforms.npz")
    files["transforms"] = {key: transforms[key] for key in TRANSFORMS}
    return files


def same(array: np.ndarray, other: np.ndarray | None) -> bool:
    return other is not None and array.dtype == other.dtype and np.array_equal(array, other)


def weights(folder: Path) -> dict[str, list[list[object]]]:
    """Names and shapes of each network's weights, in the reference's order."""
    lists = {name: json.loads((folder / f"{name}.params.json").read_text(encoding="utf-8")) for name in NETWORKS}
    return {name: [[entry["name"], entry["shape"]] for entry in entries] for name, entries in lists.items()}


def write(folder: Path) -> None:
    for name, arrays in selected(folder).items():
        whole = tuple(arrays) if name == "loss_metric" else INPUTS
        samples.write(HERE / f"{name}.npz", arrays, whole)
    text = json.dumps(weights(folder), separators=(",", ":")).replace("]],", "]],\n")
    (HERE / "weights.json").write_text(text + "\n", encoding="utf-8")
    for name in COPIED:
        (HERE / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / name, HERE / name)
        (HERE / name).chmod(0o644)


def check(folder: Path) -> int:
    """Prints, for each file, the largest difference as a share of the largest value."""
    wrong = [] if weights(folder) == json.loads((HERE / "weights.json").read_text(encoding="utf-8")) else ["weights"]
    for name, kept in {path.stem: samples.read(path) for path in HERE.glob("*.npz") if "tiny" not in path.stem}.items():
        arrays, worst = load(folder / f"{name}.npz"), (0.0, "")
        for key, expected in kept.items():
            if isinstance(expected, samples.Sampled):
                found = samples.Sampled.of(arrays[key])
                difference, scale = np.abs(found.values - expected.values).max(), np.abs(expected.values).max()
            elif expected.dtype.kind == "U":
                difference, scale = float(not np.array_equal(arrays[key], expected)), 1.0
            else:
                difference = np.abs(arrays[key].astype(np.float64) - expected).max(initial=0)
                scale = np.abs(expected.astype(np.float64)).max(initial=0)
            worst = max(worst, (float(difference / max(scale, 1e-12)), key))
        print(f"{name:24} largest difference {worst[0]:.1e} of the largest value, in {worst[1]}")
        wrong += [name] if worst[0] > 2e-2 else []
    wrong += [name for name in COPIED if (folder / name).read_bytes() != (HERE / name).read_bytes()]
    print(f"differ: {', '.join(wrong)}" if wrong else "the samples are those of these numbers")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(check(Path(sys.argv[1])) if "--check" in sys.argv else write(Path(sys.argv[1])))
