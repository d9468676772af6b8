"""A training as a value, and everything that can be wrong with it before it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sagemaker_semseg.checks import Finding
from sagemaker_semseg.checks.label_doubts import StreamCounts, doubt_error, find_label_doubts
from sagemaker_semseg.checks.training_checks import check_before_training
from sagemaker_semseg.cluster import Cluster
from sagemaker_semseg.data.channels import SPLITS
from sagemaker_semseg.data.datasets import (
    AttributeNames,
    Dataset,
    Datasets,
    FileDataset,
    ValidationSplit,
    read_channels,
    read_split,
)
from sagemaker_semseg.data.pipe_mode import PipeDataset, pipe_datasets
from sagemaker_semseg.environment import cluster, is_chief, weight_locations
from sagemaker_semseg.errors import DataError, Fault, HyperparameterError, UserError
from sagemaker_semseg.hyperparameters import (
    MAX_CLASSES,
    Hyperparameters,
    Resolution,
    resolve,
    try_resolve,
)
from sagemaker_semseg.jobs import initial_weights
from sagemaker_semseg.jobs.channel_locations import locate_channels
from sagemaker_semseg.jobs.initial_weights import RANDOM_INIT, InitialWeights
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.report.training_record import TrainingFiles
from sagemaker_semseg.storage import is_s3
from sagemaker_semseg.training import checkpoint
from sagemaker_semseg.training.plan import no_counts, no_files_to_quantize_with, single_value_faults


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training, as it was asked for and unchecked; its fields are plain values.

    Attributes:
        hyperparameters: values by name: strings, as SageMaker has them, or Python values.
        output: the folder for the model and the checkpoints; None is reported as missing.
        data: a folder that holds the channels, or the manifest ``train.manifest``; a path or an s3:// URI.
        channels: single channels by name (``train``, ``train_annotation``, ``validation``, ``validation_annotation``,
            ``label_map``, ``model``, ``pretrained``), which win over those in ``data``; paths or s3:// URIs.
        attribute_names: by split, a manifest's attributes for images and masks.
        validation_split: the share of train that is kept apart for validation, in place of a channel; above 0, below 1.
        model_path: where the model is written: a name that ends in ``.tar.gz`` is packed, any other is a folder of the
            model's files. ``OUTPUT/model.tar.gz`` if None.
        checkpoints: the folder of the checkpoints, from which the same training continues; ``OUTPUT/checkpoints`` if
            None.
        restart: whether checkpoints are removed, and the training starts over.
        fifos: a folder in which the FIFOs of Pipe mode appear, for the splits that have no channel.
        reports: the folder of ``report.html``, ``training.json`` and the figures of each epoch, ``metrics.csv`` and
            ``metrics.json``; OUTPUT if None.
        tensorboard: a folder for TensorBoard's files; none are written if None.
        verbose: whether messages of TensorFlow's libraries are shown.
        quiet: whether nothing is printed: neither what is trained on nor how it goes.
        in_job: whether it is a job in SageMaker's folder, which says other things about how to continue.
    """

    hyperparameters: Mapping[str, object]
    output: str | None
    data: str | None = None
    channels: Mapping[str, str] = field(default_factory=dict)
    attribute_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    validation_split: float | None = None
    model_path: str | None = None
    checkpoints: str | None = None
    restart: bool = False
    fifos: str | None = None
    reports: str | None = None
    tensorboard: str | None = None
    verbose: bool = False
    quiet: bool = False
    in_job: bool = False


@dataclass(frozen=True)
class PreparedTraining:
    """A training that was checked and is ready to run.

    finished_epochs: epochs of the checkpoint that it continues from; None without one.
    warnings: what is doubtful with the data.
    """

    config: TrainingConfig
    hyperparameters: Hyperparameters
    channels: Datasets
    output: Path
    class_names: tuple[str, ...] = ()
    initial_weights: InitialWeights = RANDOM_INIT
    finished_epochs: int | None = None
    warnings: tuple[Finding, ...] = ()

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return Path(self.config.checkpoints) if self.config.checkpoints else self.output / "checkpoints"

    @property
    def files(self) -> TrainingFiles:
        """Where the training's files are."""
        config = self.config
        model = Path(config.model_path) if config.model_path else self.output / "model.tar.gz"
        return TrainingFiles(model, self.checkpoints, Path(config.reports) if config.reports else self.output)


def prepare_training(config: TrainingConfig, faults: Sequence[Fault] = ()) -> PreparedTraining:
    """Check everything that can be wrong with a training. Raises one UserError with all of it.

    faults: what the caller has found already.
    """
    errors: list[UserError] = []
    resolution = try_resolve(config.hyperparameters)
    if resolution.error:
        errors.append(resolution.error)
    hp, class_names = resolution.hyperparameters, resolution.values.get("class_names", ())
    num_classes = resolution.values.get("num_classes")
    if hp and (alone := single_value_faults(hp, replicas=1)):
        errors.append(HyperparameterError("this training can't be started", alone))
    folders = _locate(config, errors)
    faults = [*faults, *faults_of_output(config.output, folders)]
    if config.checkpoints:
        faults += faults_of_output(config.checkpoints, folders)
    if config.tensorboard:
        faults += _faults_of_tensorboard(config.tensorboard, folders)
    several = _hosts(errors) is not None
    if config.fifos and several:
        what, remedy = "comes in Pipe mode, which one host alone can read", "send the data in File mode"
        faults.append(Fault("the data", what, remedy))
    if faults:
        errors.append(UserError("The command can't be carried out:", faults))
    checkpoints = config.checkpoints or (config.output and os.path.join(config.output, "checkpoints"))
    last = checkpoint.paths(Path(checkpoints))[0] if checkpoints else None
    resumes = last is not None and last.is_file() and not config.restart and is_chief()  # others get the chief's
    if resumes:
        weights: InitialWeights | None = InitialWeights(description="its checkpoint")
    else:
        weights = _local_weights(resolution, folders, errors)
    if weights and not class_names and len(weights.class_names) == num_classes:
        class_names = weights.class_names
    channels = _read_data(config, folders, resolution, class_names, errors)
    findings = _check_data(channels, folders, resolution, class_names, errors) if channels else []
    if (
        hp
        and hp.quantize
        and channels
        and any(isinstance(s, PipeDataset) for s in (channels.train, channels.validation))
    ):
        errors.append(HyperparameterError("this training can't be started:", [no_files_to_quantize_with()]))
    if errors or hp is None or channels is None or config.output is None:
        raise errors[0] if len(errors) == 1 else UserError("\n".join(map(str, errors)))
    finished = None
    if resumes and checkpoints is not None:
        model = Path(config.model_path or os.path.join(config.output, "model.tar.gz"))
        finished = _finished_epochs(Path(checkpoints), hp, channels.train.count, model)
    weights = weights or initial_weights.download(hp, weight_locations())
    in_manifests = channels.train.class_names if isinstance(channels.train, FileDataset) else ()
    class_names = class_names or in_manifests or weights.class_names
    return PreparedTraining(config, hp, channels, Path(config.output), class_names, weights, finished, tuple(findings))


def _finished_epochs(checkpoints: Path, hp: Hyperparameters, samples: int | None, model: Path) -> int:
    """Epochs that are done. Raises DataError if the checkpoint is damaged or of another training.

    model: what the training in the folder has written, if it is finished.
    """
    path = checkpoint.paths(checkpoints)[0]
    state = checkpoint.read_state(path)
    done, hp = len(state.history), checkpoint.with_chosen_precision(hp, state)
    try:
        checkpoint.check_same_training(path, state, hp, samples or 0)
    except DataError as error:
        if not state.finished(resolve(state.hyperparameters)):
            raise
        further = f"--model {model}" if model.exists() else "its model.tar.gz in the channel model"
        remedy = f"train its model further with {further} and another --output; or start over with --restart"
        faults = [replace(fault, remedy=remedy) for fault in error.faults]
        what = f"the training in {checkpoints} is finished after {done} epochs, and had other settings"
        raise DataError(what, faults) from None
    return done


# ---- what can be wrong


def _hosts(errors: list[UserError]) -> Cluster | None:
    try:
        return cluster()
    except UserError as error:
        errors.append(error)
        return None


def _locate(config: TrainingConfig, errors: list[UserError]) -> dict[str, Path]:
    if config.fifos and config.data is None and not config.channels:
        return {}
    try:
        return locate_channels(config.data, config.channels, None if config.validation_split is None else "train")
    except UserError as error:
        errors.append(error)
        return {}


def _read_data(
    config: TrainingConfig,
    folders: Mapping[str, Path],
    resolution: Resolution,
    class_names: tuple[str, ...],
    errors: list[UserError],
) -> Datasets | None:
    """The data, checked as far as it can be before the training."""
    hp, attributes = resolution.hyperparameters, config.attribute_names
    try:
        if config.fifos:
            if hp is None:
                return None
            if hp.class_weights == "auto":
                errors.append(HyperparameterError("this training can't be started:", [no_counts()]))
            return _open_streams(Path(config.fifos), folders, attributes, hp)
        if folders:
            num_classes = resolution.values.get("num_classes", MAX_CLASSES)
            with progress_bar("checking the data") as update:
                return read_channels(
                    folders,
                    num_classes,
                    update,
                    attributes=attributes,
                    class_names=class_names,
                    validation_split=_validation_split(config.validation_split, resolution),
                )
    except DataError as error:
        more = "sagemaker-semseg check finds whatever else is wrong or doubtful with the data"
        errors.append(DataError(f"{error.message}; {more}", error.faults))
    except UserError as error:
        errors.append(error)
    return None


def _validation_split(share: float | None, resolution: Resolution) -> ValidationSplit | None:
    """Raises UserError for a share that leaves nothing."""
    if share is None:
        return None
    if not 0 < share < 1:
        fault = Fault("validation_split", f"is {share:g}", "give a number above 0 and below 1, such as 0.2")
        raise UserError("The data can't be divided:", [fault])
    return ValidationSplit(share, resolution.values.get("seed", 0))


def _check_data(
    channels: Datasets,
    folders: Mapping[str, Path],
    resolution: Resolution,
    class_names: tuple[str, ...],
    errors: list[UserError],
) -> list[Finding]:
    """What is doubtful with the data. Doubts about labels that aren't allowed are an error."""
    values = resolution.values
    num_classes, crop_size = values.get("num_classes"), values.get("crop_size", 0)
    if num_classes is None:
        return []
    found = check_before_training(channels, folders, num_classes, class_names, -(-crop_size // 8) * 8)
    doubt = doubt_error(found)
    if doubt and not values.get("allow_doubtful_labels"):
        errors.append(doubt)
    return found


def _open_streams(
    folder: Path, folders: Mapping[str, Path], attributes: AttributeNames, hp: Hyperparameters
) -> Datasets:
    """The splits that come through FIFOs in ``folder``, and those that have a channel in ``folders``."""
    piped = tuple(split for split in SPLITS if not {split, f"{split}_annotation"} & folders.keys())
    found: dict[str, Dataset] = {}
    found |= pipe_datasets(
        folder,
        hp.num_classes,
        hp.num_training_samples,
        channels=folders,
        splits=piped,
        check_counts=None if hp.allow_doubtful_labels else _check_stream,
    )
    for split in set(SPLITS) - set(piped):
        found[split] = read_split(folders, hp.num_classes, split, attributes=attributes)
    return Datasets(found["train"], found["validation"])


def _check_stream(stream: PipeDataset, value_counts: npt.NDArray[np.int64]) -> None:
    """Raises DataError if the first epoch of a stream held labels of one class alone."""
    counts = StreamCounts(stream.channel, stream.label_map, value_counts)
    places = {stream.channel: stream.fifo(0)}
    if doubt := doubt_error(find_label_doubts([counts], stream.label_map.num_classes, (), places)):
        raise doubt


def _local_weights(
    resolution: Resolution, folders: Mapping[str, Path], errors: list[UserError]
) -> InitialWeights | None:
    """What the training starts from; None if that has to be downloaded, or if something is wrong with it."""
    hp = resolution.hyperparameters
    if hp is None:  # with some hyperparameters at fault, pretrained weights can be looked for, an earlier model can't
        folders = {name: folder for name, folder in folders.items() if name == "pretrained"}
        known = {name: resolution.values.get(name) for name in ("backbone", "use_pretrained_model")}
        if None in known.values():
            return None
        hp = Hyperparameters(num_classes=2, **known)  # type: ignore[arg-type]
    try:
        return initial_weights.find_local(hp, folders, weight_locations())
    except UserError as error:
        errors.append(error)
        return None


def _faults_of_tensorboard(folder: str, folders: Mapping[str, Path]) -> list[Fault]:
    if is_s3(folder):
        remedy = "give a folder, and copy it there afterwards; on SageMaker, tensorboard_output_config does it"
        return [Fault(folder, "TensorBoard's files can't be written into S3", remedy)]
    return [
        Fault(fault.where, fault.what, fault.remedy.replace("--output", "--tensorboard"))
        for fault in faults_of_output(folder, folders)
    ]


def faults_of_output(output: str | None, folders: Mapping[str, Path]) -> list[Fault]:
    """Find what is wrong with the folder of the results. folders: of the channels, by name."""
    if output is None:
        return [Fault("--output", "is missing", "say where the model is to be written")]
    path = Path(output)
    above = next((folder for folder in (path, *path.absolute().parents) if folder.exists()), Path("/"))
    if not above.is_dir():
        return [Fault(output, f"{above} is a file", "give a folder for --output")]
    if not os.access(above, os.W_OK | os.X_OK):
        return [Fault(output, f"{above} can't be written to", "check the permissions, or give another --output")]
    target = path.resolve()
    for name, folder in folders.items():
        if folder.resolve() in (target, *target.parents):
            return [Fault(output, f"lies in the channel {name}", "keep the output apart from the data")]
    return []
