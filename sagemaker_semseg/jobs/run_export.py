"""An export as a value: writes a model for other runtimes, each file compared with the network by numbers."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagemaker_semseg.artifact import Artifact, read_artifact, read_inference_artifact, write_artifact
from sagemaker_semseg.errors import Fault, UserError
from sagemaker_semseg.jobs.model_location import local_artifact
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.jobs.tensorflow_setup import load_tensorflow

FORMAT_NAMES = (
    *("all", "artifact", "gluoncv", "onnx", "onnx-int8", "openvino"),
    *("savedmodel", "tflite", "tflite-int8", "torch"),
)
ENDINGS = {
    ".int8.onnx": "onnx-int8",
    ".onnx": "onnx",
    ".tar.gz": "artifact",
    ".tgz": "artifact",
    ".params": "gluoncv",
    ".safetensors": "torch",
    ".int8.tflite": "tflite-int8",
    ".tflite": "tflite",
    ".xml": "openvino",
}
"""The format by a file's ending, where none is given."""

_INT8 = {"onnx": "onnx-int8", "tflite": "tflite-int8"}
_WITH_GRAPHS = {"all", "artifact", *_INT8.values()}
_FOLDER = "saved_model"


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """One export, unchecked; its fields are plain values.

    Attributes:
        model: A ``model.tar.gz``, which may be in S3, a folder of its files, or the output folder of a training.
        output: The file to be written; a folder for ``savedmodel`` and ``all``.
        format: One of ``FORMAT_NAMES``; by the ending of ``output`` if None.
        quantize: Whether the int8 form of ``onnx`` and ``tflite`` is written.
        verbose: Whether messages of TensorFlow's libraries are shown.
    """

    model: str
    output: str
    format: str | None = None
    quantize: bool = False
    verbose: bool = False


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote.

    Attributes:
        paths: The file, or folder, of each format.
        figures: For each format ``bytes``; ``max_difference`` from the network's logits, as a share of the largest;
            ``argmax_agreement``, the share of pixels with the same label; ``images``, the sizes that were compared; or
            ``not_verified``, the reason. They stand in ``export.json`` beside the files, too.
    """

    paths: Mapping[str, Path]
    figures: Mapping[str, Mapping[str, Any]]

    def __str__(self) -> str:
        """A line for each file."""
        return "\n".join(
            f"{self.paths[name]}: {figures['bytes'] / 1e6:.1f} MB, {_comparison(figures)}"
            for name, figures in self.figures.items()
        )


def run_export(config: ExportConfig) -> ExportResult:
    """Writes a model in one format, or in all that it can have on this machine.

    Raises:
        UserError: The format is unknown or needs a package that is missing, or the model has no int8 graph.
        ArtifactError: The model can't be used.
        AlgorithmError: A file differs from the network by more than rounding explains. It isn't written.
    """
    chosen, output = _format(config), Path(config.output)
    with local_artifact(config.model) as path:
        artifact = _read(path)
        load_tensorflow(verbose=config.verbose)
        from sagemaker_semseg.export.formats import FORMATS, available_formats, export_formats
        from sagemaker_semseg.export.runtime_graph import with_graph

        if chosen == "artifact":
            return _write_artifact(with_graph(artifact), output)
        paths = {chosen: output}
        if chosen == "all":
            endings = {name: FORMATS[name].ending for name in available_formats(artifact)}
            paths = {name: output / (f"model{ending}" if ending else _FOLDER) for name, ending in endings.items()}
        artifact = artifact if chosen == "gluoncv" else with_graph(artifact)
        with progress_bar("exporting", len(paths)) as update:
            return ExportResult(paths, export_formats(artifact, paths, lambda done: update(done, len(paths))))


def _format(config: ExportConfig) -> str:
    name = config.format or next(
        (name for ending, name in ENDINGS.items() if Path(config.output).name.lower().endswith(ending)), None
    )
    known = ", ".join(FORMAT_NAMES)
    if name is None:
        what = f"{Path(config.output).name} has no known ending"
        fault = Fault("output", what, f"give the format (--format), one of {known}")
    elif name not in FORMAT_NAMES:
        near = difflib.get_close_matches(name.lower(), FORMAT_NAMES, n=1)
        fault = Fault(
            "format", f"there is no format {name!r}", f"did you mean {near[0]}?" if near else f"there are {known}"
        )
    elif config.quantize and name not in (*_INT8, *_WITH_GRAPHS):
        remedy = f"leave quantize out, or export {', '.join(_INT8)} or all"
        fault = Fault("quantize", f"the format {name} has no int8 form", remedy)
    else:
        return _INT8.get(name, name) if config.quantize else name
    raise UserError("The model can't be exported:", [fault])


def _read(path: Path) -> Artifact:
    """The artifact with its int8 graph, if it has one."""
    artifact = read_artifact(path)
    if "quantization" not in artifact.metrics:
        return artifact
    return dataclasses.replace(artifact, int8_graph=read_inference_artifact(path).int8_graph)


def _write_artifact(artifact: Artifact, output: Path) -> ExportResult:
    output.parent.mkdir(parents=True, exist_ok=True)
    write_artifact(output, artifact, archive=True)
    figures = {"file": output.name, "bytes": output.stat().st_size, **artifact.metrics["runtime_graph"]}
    return ExportResult({"artifact": output}, {"artifact": figures})


def _comparison(figures: Mapping[str, Any]) -> str:
    if "not_verified" in figures:
        return f"not verified: {figures['not_verified']}"
    return (
        f"compared with the network: largest difference {figures['max_difference']:.1e} of the largest logit, "
        f"{figures['argmax_agreement']:.2%} of the labels are the same"
    )
