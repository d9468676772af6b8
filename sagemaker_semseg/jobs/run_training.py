"""Runs a training: alone, or as one of several hosts."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sagemaker_semseg import __version__
from sagemaker_semseg.checks.training_checks import describe
from sagemaker_semseg.data.datasets import (
    Datasets,
    FileDataset,
)
from sagemaker_semseg.environment import cluster, environment, is_chief, rendezvous_seconds
from sagemaker_semseg.errors import DataError, ExitStatus, Fault, UserError
from sagemaker_semseg.hyperparameters import (
    to_strings,
)
from sagemaker_semseg.jobs import summary
from sagemaker_semseg.jobs.prepare_training import PreparedTraining, TrainingConfig, faults_of_output, prepare_training
from sagemaker_semseg.jobs.progress_bar import progress_bar, progress_mode
from sagemaker_semseg.jobs.report_writer import ReportWriter
from sagemaker_semseg.jobs.tensorflow_setup import load_tensorflow
from sagemaker_semseg.training import checkpoint
from sagemaker_semseg.training.rendezvous import digest_of_arrays, digest_of_names, meet

if TYPE_CHECKING:
    from sagemaker_semseg.training.finish import TrainingResult

Callback: TypeAlias = Any
"""A ``keras.callbacks.Callback``; Keras is not imported here."""


def run_training(
    config: TrainingConfig, callbacks: Sequence[Callback] = (), *, faults: Sequence[Fault] = ()
) -> TrainingResult:
    """Check a training and run it.

    Args:
        config: the training.
        callbacks: Keras callbacks, in addition to the one that reports progress.
        faults: what the caller has found wrong with the job, reported together with everything else.

    Returns:
        The path of the model, the figures of each epoch and the scores of the best one.

    Raises:
        UserError: with everything that is wrong, before TensorFlow is loaded.
    """
    prepared = prepare_training(config, faults)
    result = run_prepared(prepared, callbacks)
    if not config.quiet and is_chief():
        epochs, page = prepared.hyperparameters.epochs, prepared.files.page
        report = page if page.is_file() else None
        print(summary.describe_result(result, epochs, report, in_job=config.in_job), flush=True)
    return result


def run_prepared(prepared: PreparedTraining, callbacks: Sequence[Callback] = ()) -> TrainingResult:
    """Run a training that was checked. Describes it on standard output first, unless it is ``quiet``."""
    config, hp = prepared.config, prepared.hyperparameters
    hosts = cluster()
    meet_all = functools.partial(meet, hosts, _facts(prepared), seconds=rendezvous_seconds()) if hosts else None
    strategy = load_tensorflow(verbose=config.verbose, meet=meet_all)
    from sagemaker_semseg.training.callbacks import AfterEpoch, LogLines, logging_callback
    from sagemaker_semseg.training.devices import describe_devices
    from sagemaker_semseg.training.precision_choice import resolve_precision
    from sagemaker_semseg.training.sample_predictions import SamplePredictions
    from sagemaker_semseg.training.tensorboard import TensorBoardScalars
    from sagemaker_semseg.training.trainer import train

    if config.restart and is_chief():
        checkpoint.remove_all(prepared.checkpoints)
    hp, choice = resolve_precision(hp, prepared.checkpoints, strategy)
    names, start, devices = prepared.class_names, prepared.initial_weights, describe_devices()
    if hosts:
        devices += f", on each of {hosts.size} hosts"
    facts = summary.training_facts(hp, prepared.channels, names, devices, start)
    notes = [*summary.training_notes(prepared.channels, start), *describe(prepared.warnings)]
    notes += [choice.note] if choice.note else []
    report = ReportWriter(prepared.files, names, facts, notes) if is_chief() else None
    if report:
        callbacks = [*callbacks, AfterEpoch(report.write)]
        if isinstance(prepared.channels.validation, FileDataset) and not hosts:  # one host can't predict alone
            folder = prepared.files.samples
            callbacks.insert(0, SamplePredictions(folder, prepared.channels.validation, hp.num_classes))
        if config.tensorboard:
            callbacks.append(TensorBoardScalars(Path(config.tensorboard)))
    if report and not config.quiet:
        make_log = logging_callback if progress_mode() == "auto" else LogLines  # no bar beside lines of JSON
        print(summary.describe_training(hp, prepared.channels, names, devices, start))
        print(summary.describe_warnings(prepared.warnings), end="")
        print(summary.describe_precision(choice.note, slow=choice.slow), end="")
        place = summary.describe_output(prepared.output, prepared.finished_epochs, hp.epochs, in_job=config.in_job)
        print(place, flush=True)
        callbacks = [make_log(environment().host), *callbacks]
    with _step_progress() as more:
        result = train(
            hp,
            prepared.channels,
            prepared.output,
            class_names=prepared.class_names,
            weights=prepared.initial_weights.weights,
            callbacks=[*callbacks, *more],
            strategy=strategy,
            checkpoints=prepared.checkpoints,
            model_path=Path(config.model_path) if config.model_path else None,
        )
    if report is None:
        return result
    if hp.quantize:
        line = _add_int8_graph(result, prepared.channels)
        if not config.quiet:
            print(summary.describe_quantization(line), flush=True)
    report.write()
    return result


@contextlib.contextmanager
def _step_progress() -> Iterator[list[Callback]]:
    """Yield what reports the steps to another program; on a terminal the bar of ``logging_callback`` shows them."""
    if progress_mode() != "json" or not is_chief():
        yield []
        return
    from sagemaker_semseg.training.callbacks import StepProgress

    with progress_bar("training") as update:
        yield [StepProgress(update)]


def _facts(prepared: PreparedTraining) -> dict[str, str]:
    """What has to be the same on all hosts. A host that continues from a checkpoint has no initial weights."""
    channels, weights = prepared.channels, prepared.initial_weights.weights
    files = [data for data in (channels.train, channels.validation) if isinstance(data, FileDataset)]
    facts = {"the version of sagemaker-semseg": __version__, **to_strings(prepared.hyperparameters)}
    facts["the list of samples"] = digest_of_names([pair.name for data in files for pair in data.pairs])
    return {**facts, "the initial weights": digest_of_arrays(weights)} if weights else facts


def _add_int8_graph(result: TrainingResult, channels: Datasets) -> str:
    """What came of it."""
    if result.stopped or result.scores is None:
        return "not made, since the training isn't finished"
    from sagemaker_semseg.jobs.run_quantization import quantize_trained  # and ONNX Runtime

    return quantize_trained(result.artifact, channels)


def finish_training(config: TrainingConfig) -> TrainingResult:
    """Write the model from the checkpoints of a training, and train no further.

    It needs neither the data nor hyperparameters: ``output``, ``checkpoints`` and ``model_path`` alone are used.

    Raises:
        UserError: there is no checkpoint, or it is damaged.
        OSError: the model can't be written.
    """
    if config.output is None:
        raise UserError("The command can't be carried out:", faults_of_output(None, {}))
    output = Path(config.output)
    checkpoints = Path(config.checkpoints) if config.checkpoints else output / "checkpoints"
    last, _ = checkpoint.paths(checkpoints)
    if not last.is_file():
        remedy = "give the folder of the checkpoints with --checkpoints, or the training's --output"
        raise DataError("There is nothing to finish:", [Fault(str(last), "there is no such checkpoint", remedy)])
    hyperparameters = checkpoint.read_state(last).hyperparameters
    epochs = int(hyperparameters.get("epochs", 0))
    load_tensorflow(verbose=config.verbose)
    from sagemaker_semseg.training.finish import finish

    result = finish(checkpoints, Path(config.model_path) if config.model_path else output / "model.tar.gz")
    if not config.quiet:
        if hyperparameters.get("quantize") == "True":
            line = "not made, since that needs the data: sagemaker-semseg quantize MODEL --data DIR -o NEW"
            print(summary.describe_quantization(line))
        print(summary.describe_result(result, epochs), flush=True)
    return result


def exit_status(result: TrainingResult) -> ExitStatus:
    """The exit status of a training: SIGTERM is how SageMaker stops jobs, Ctrl-C has a status of its own."""
    return ExitStatus.INTERRUPTED if result.signal == signal.SIGINT else ExitStatus.DONE
