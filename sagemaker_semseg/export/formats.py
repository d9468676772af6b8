"""Writes a model in the formats of other runtimes. Each file is loaded again by its runtime and compared.

The comparison is with the Keras network, on three images: one with odd sides, one of a single pixel, and a large one.
"""

from __future__ import annotations

import functools
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors.numpy

from sagemaker_semseg.artifact import Artifact
from sagemaker_semseg.errors import AlgorithmError, ArtifactError, Fault, UserError
from sagemaker_semseg.export.comparison import TOLERANCE, Predictor, Reference, compare, onnx_predictor, references
from sagemaker_semseg.hyperparameters import resolve
from sagemaker_semseg.models.network import network_of
from sagemaker_semseg.storage import atomic_write
from sagemaker_semseg.weights.model import gluoncv_params
from sagemaker_semseg.weights.name_mapping import torchvision_weights

SIZES = ((97, 131), (1, 1), (360, 480))
REPORT = "export.json"
TORCH_MODULE = "sagemaker_semseg_torch.py"
"""Written beside PyTorch's weights; it needs nothing of this package."""

INT8_TOLERANCE = math.inf
"""As ``TOLERANCE``: int8 rounds, and by how much depends on the model and the image, so NaN alone is refused."""


@dataclass(frozen=True)
class Format:
    """A format of a file.

    Attributes:
        ending: Of the file's name; empty for a folder.
        write: Writes a model with its network to a path.
        load: Returns a function that runs the file; None where no runtime can that is there today.
        tolerance: Largest difference of two logits, as a share of the largest.
        needs: The module that both need, and the line that installs it.
        verified_by: The same of what only ``load`` needs.
    """

    ending: str
    write: Callable[[Artifact, keras.Model, Path], None]
    load: Callable[[Path], Predictor] | None
    tolerance: float = TOLERANCE
    needs: tuple[str, str] | None = None
    verified_by: tuple[str, str] | None = None

    def unverified(self) -> str:
        """Why no runtime of this machine can run the file; empty where one can."""
        if self.load is None:
            return "no runtime for it can be used here"
        if self.verified_by and find_spec(self.verified_by[0]) is None:
            return f"needs {self.verified_by[0]} ({self.verified_by[1]})"
        return ""


def export_formats(
    artifact: Artifact, paths: Mapping[str, Path], on_progress: Callable[[int], None] = lambda done: None
) -> dict[str, dict[str, Any]]:
    """Writes a model in several formats, and the figures beside them in ``export.json``.

    Args:
        artifact: The model, with its graphs.
        paths: The file, or the folder of a SavedModel, of each format; a key of ``FORMATS``.
        on_progress: A function of the number of formats that are done.

    Returns:
        For each format ``bytes``; ``max_difference``, of two logits as a share of the largest; ``argmax_agreement``,
        the share of pixels with the same label; ``images``, their sizes; or ``not_verified``, the reason.

    Raises:
        UserError: A package is missing, the model has no int8 graph, or a folder is there already.
        AlgorithmError: A file differs from the network by more than rounding explains. It isn't written.
    """
    _check(artifact, paths)
    found: dict[str, dict[str, Any]] = {}
    with keras.device("cpu:0"):  # GPUs may round convolutions to ten bits
        network, _ = network_of(artifact)
        expected = functools.cache(lambda: references(network, SIZES))  # not for a format that nothing can verify
        for name, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            found[name] = _export(artifact, network, name, path, expected)
            _report(path, name, found[name])
            on_progress(len(found))
    return found


def _check(artifact: Artifact, paths: Mapping[str, Path]) -> None:
    faults = []
    for name, path in paths.items():
        needs = FORMATS[name].needs
        if needs and find_spec(needs[0]) is None:
            faults.append(Fault(f"--format {name}", f"needs {needs[0]}", f"install it with: {needs[1]}"))
        if name == "onnx-int8" and artifact.int8_graph is None:
            remedy = "make it with: sagemaker-semseg quantize MODEL --data DIR -o NEW, and export NEW"
            faults.append(Fault("--format onnx-int8", "the model has no int8 graph", remedy))
        if path.is_dir():
            faults.append(Fault(str(path), "is a folder that exists", "remove it, or give another name"))
    if faults:
        raise UserError("The model can't be exported:", faults)


def _export(
    artifact: Artifact, network: keras.Model, name: str, path: Path, expected: Callable[[], Sequence[Reference]]
) -> dict[str, Any]:
    chosen = FORMATS[name]
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        written = folder / path.name
        chosen.write(artifact, network, written)
        figures: dict[str, Any] = {"not_verified": chosen.unverified()}
        if chosen.load and not figures["not_verified"]:
            figures = compare(chosen.load(written), expected())
            if not figures["max_difference"] <= chosen.tolerance:  # also for NaN
                what = f"differs from the network by {figures['max_difference']:.2g} of its largest logit"
                remedy = f"{chosen.tolerance:g} are expected at most; report this with the versions of the packages"
                raise AlgorithmError("The export isn't right, and was not written:", [Fault(str(path), what, remedy)])
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        for file in folder.iterdir():  # an OpenVINO model is two files
            file.replace(path.parent / file.name)
        return {"file": path.name, "bytes": size, **figures}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _report(path: Path, name: str, figures: Mapping[str, Any]) -> None:
    """Adds the figures to ``export.json`` beside a file, which may have those of other formats."""
    report = path.parent / REPORT
    try:
        known = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    known = {**(known if isinstance(known, dict) else {}), name: figures}
    with atomic_write(report) as temporary:
        temporary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


# ---- one pair of functions for each format


def _write_onnx(artifact: Artifact, network: keras.Model, path: Path) -> None:
    assert artifact.graph is not None
    path.write_bytes(artifact.graph)


def _write_onnx_int8(artifact: Artifact, network: keras.Model, path: Path) -> None:
    assert artifact.int8_graph is not None  # ``_check``
    path.write_bytes(artifact.int8_graph)


def _load_onnx(path: Path) -> Predictor:
    return onnx_predictor(str(path))


def _write_saved_model(artifact: Artifact, network: keras.Model, path: Path) -> None:
    from sagemaker_semseg.export.tensorflow_formats import write_saved_model

    write_saved_model(network, path)


def _load_saved_model(path: Path) -> Predictor:
    from sagemaker_semseg.export.tensorflow_formats import load_saved_model

    return load_saved_model(path)


def _write_tflite(artifact: Artifact, network: keras.Model, path: Path) -> None:
    from sagemaker_semseg.export.tensorflow_formats import write_tflite

    write_tflite(network, path)


def _write_tflite_int8(artifact: Artifact, network: keras.Model, path: Path) -> None:
    from sagemaker_semseg.export.tensorflow_formats import write_tflite

    write_tflite(network, path, int8=True)


def _load_tflite(path: Path) -> Predictor:
    from sagemaker_semseg.export.tensorflow_formats import load_tflite

    return load_tflite(path)


def _write_openvino(artifact: Artifact, network: keras.Model, path: Path) -> None:
    import openvino

    openvino.save_model(openvino.Core().read_model(artifact.graph), str(path), compress_to_fp16=False)


def _load_openvino(path: Path) -> Predictor:
    import openvino

    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda image: np.array(compiled({"image": image})["logits"])


def _write_gluoncv(artifact: Artifact, network: keras.Model, path: Path) -> None:
    with open(path, "wb") as file:
        file.writelines(gluoncv_params(artifact, "the model"))


def _write_torch(artifact: Artifact, network: keras.Model, path: Path) -> None:
    safetensors.numpy.save_file(
        {name: np.ascontiguousarray(array) for name, array in torchvision_weights(artifact.weights).items()},
        path,
        {"format": "pt", "output_stride": resolve(artifact.hyperparameters).output_stride},
    )
    shutil.copyfile(Path(__file__).with_name("torch_network.py"), path.with_name(TORCH_MODULE))


def _load_torch(path: Path) -> Predictor:
    import torch

    from sagemaker_semseg.export.torch_network import load

    network = load(str(path))

    def predict(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(image).permute(0, 3, 1, 2)).numpy()

    return predict


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", _write_onnx, _load_onnx),
    "onnx-int8": Format(".int8.onnx", _write_onnx_int8, _load_onnx, tolerance=INT8_TOLERANCE),
    "savedmodel": Format("", _write_saved_model, _load_saved_model),
    "tflite": Format(".tflite", _write_tflite, _load_tflite),
    "tflite-int8": Format(".int8.tflite", _write_tflite_int8, _load_tflite, tolerance=INT8_TOLERANCE),
    "openvino": Format(
        ".xml", _write_openvino, _load_openvino, needs=("openvino", "pip install 'sagemaker-semseg[openvino]'")
    ),
    "gluoncv": Format(".params", _write_gluoncv, None),
    "torch": Format(".safetensors", _write_torch, _load_torch, verified_by=("torch", "pip install torch")),
}


def available_formats(artifact: Artifact) -> Sequence[str]:
    """Returns the formats that this model can have on this machine."""
    names = [name for name, chosen in FORMATS.items() if not chosen.needs or find_spec(chosen.needs[0])]
    if artifact.int8_graph is None:
        names.remove("onnx-int8")
    try:
        gluoncv_params(artifact, "the model")
    except ArtifactError:  # GluonCV has no such network
        names.remove("gluoncv")
    return names
