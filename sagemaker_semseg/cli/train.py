"""``sagemaker-semseg train``: flags come in; a checked training runs and leaves a model in the output folder.

Everything that can be wrong is looked for before TensorFlow is loaded, and told in one message.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sagemaker_semseg import hyperparameters
from sagemaker_semseg.cli import channels as channel_flags
from sagemaker_semseg.cli import container, engine, guard, pipe, start, summary
from sagemaker_semseg.cli.failures import INTERRUPTED
from sagemaker_semseg.cli.parser import parse
from sagemaker_semseg.cli.start import RANDOM, Start
from sagemaker_semseg.cli.terminal import bar
from sagemaker_semseg.data.labels import MOST_CLASSES
from sagemaker_semseg.data.pipe_mode import Streams
from sagemaker_semseg.data.pipe_simulator import ChannelConfig
from sagemaker_semseg.data.samples import Channels, read_channels
from sagemaker_semseg.environment import base_folder, environment, weight_locations
from sagemaker_semseg.errors import DataError, Fault, HyperparameterError, UserError
from sagemaker_semseg.hyperparameters import Hyperparameters, resolve
from sagemaker_semseg.training import checkpoint
from sagemaker_semseg.training.plan import no_counts

if TYPE_CHECKING:
    from sagemaker_semseg.training.trainer import TrainingResult

USAGE = "%(prog)s --data DIR --output DIR --num-classes N [--HYPERPARAMETER VALUE ...]"
SUMMARY = "train a network on folders of images and masks"
DESCRIPTION = """\
Trains a network and leaves the weights of the epoch with the best validation mIOU in OUTPUT/model.tar.gz.
Flags and data are checked first, all of them; what is wrong comes in one message."""
EPILOG = """\
examples:
  sagemaker-semseg train --data mydata --output out --num-classes 3 --use-pretrained-model False
  sagemaker-semseg train --data mydata --output out --num-classes 3 --class-names road,car,tree \\
      --use-pretrained-model False --algorithm deeplab --backbone resnet-101 --crop-size 480 \\
      --mini-batch-size 8 --learning-rate 0.01 --epochs 60 --class-weights auto

data:
  mydata/train/a.jpg                   images: JPEG or PNG
  mydata/train_annotation/a.png        masks of the same names: PNG with one channel, a pixel's number is its
  mydata/validation/b.jpg              class, 0 to num_classes - 1, and 255 is ignored
  mydata/validation_annotation/b.png
  mydata/label_map/train_label_map.json, validation_label_map.json     optional
  or an augmented manifest for each split, Ground Truth's too: --data train.manifest takes validation.manifest beside it

Pipe mode: --pipe plays the same data through FIFOs, as SageMaker sends an augmented manifest. What is wrong with it is
  told when it comes; docs/pipe.md has the details.
    sagemaker-semseg train --data mydata --pipe --num-training-samples 367 --output out --num-classes 3

starting: from ImageNet weights, which are fetched once; from those that --pretrained-weights or the channel pretrained
  names; from an earlier model, AWS's too, with --model or the channel model; from random weights with
  --use-pretrained-model False. docs/weights.md has the details.

stopping: Ctrl-C or SIGTERM ends the training after the step in hand. The model so far is in OUTPUT, and the same
  command goes on where it was stopped; --restart begins anew.

repeating: everything drawn at random follows from --seed, whatever the number of threads. Two runs on one machine
  agree closely, but not in every bit: sums of floating-point numbers depend on the order in which threads finish.

exit status: 0 done (also after SIGTERM, as SageMaker stops jobs), 1 a fault of this program,
  2 something you can mend, 130 stopped with Ctrl-C
"""

_CHECKPOINTS = ("last.safetensors", "best.safetensors")


@dataclass(frozen=True)
class Job:
    """One training, checked.

    names: of the classes, or none. finished: epochs that the checkpoint has behind it; None without one. begin: what it
    starts from. programmes: what has to be played meanwhile, where data comes through FIFOs of our own. checkpoints:
    their folder, None is one in ``output``.
    """

    hp: Hyperparameters
    channels: Channels | Streams
    output: Path
    names: tuple[str, ...]
    finished: int | None = None
    begin: Start = RANDOM
    programmes: tuple[ChannelConfig, ...] = ()
    checkpoints: Path | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    channel_flags.add_flags(parser, start=True)
    pipe.add_flags(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--output", type=Path, metavar="DIR", help="where the model and the checkpoints are written")
    text = "where the checkpoints are written, and looked for (default OUTPUT/checkpoints)"
    group.add_argument("--checkpoints", type=Path, metavar="DIR", help=text)
    text = "remove the checkpoints and begin anew, instead of going on from them"
    group.add_argument("--restart", action="store_true", help=text)
    parser.add_argument("--job", type=Path, help=argparse.SUPPRESS)  # for ``guard``
    hyperparameters.add_flags(parser)


def run(options: argparse.Namespace) -> int:
    if options.job:
        options.output = container.reports(options.job)
        return container.run(options.job, parse, _run)
    base = base_folder()
    return guard.run(base, verbose=options.verbose) if container.is_job(options, base) else _run(options)


def _run(options: argparse.Namespace) -> int:
    job = prepare(options)
    strategy = engine.start(verbose=options.verbose)
    if options.restart:
        forget(job.checkpoints or job.output / "checkpoints")
    with pipe.played(job.channels, job.programmes) as channels:
        return conclude(job, execute(replace(job, channels=channels), strategy))


def prepare(options: argparse.Namespace) -> Job:
    """The job that the flags describe. Raises one UserError with everything that is wrong with flags and data."""
    errors: list[UserError] = []
    given = hyperparameters.from_flags(options)
    hp = _hyperparameters(given, errors)
    num_classes = _num_classes(given)
    names = _class_names(given)
    folders = _folders(options, errors)
    faults = [*options.faults, *_faults_of_output(options.output, folders)]
    if options.checkpoints:
        faults += _faults_of_output(options.checkpoints, folders)
    if faults:
        errors.append(UserError("The command can't be carried out:", faults))
    checkpoints = options.checkpoints or (options.output and options.output / "checkpoints")
    goes_on = not options.restart and checkpoints is not None and _last(checkpoints).is_file()
    begin = _begin(hp, given, folders, errors) if not goes_on else Start(words="its checkpoint")
    if begin and not names and len(begin.class_names) == num_classes:
        names = begin.class_names
    channels, programmes = _data(options, folders, hp, num_classes, names, errors)
    if errors or hp is None or channels is None:
        raise errors[0] if len(errors) == 1 else UserError("\n".join(map(str, errors)))
    finished, step = _standing(checkpoints, hp, channels.train.count) if goes_on else (None, 0)
    if step and programmes:  # the player begins with the pass in which the training goes on
        first_pass = step * hp.mini_batch_size // (channels.train.count or 1)
        programmes = [replace(programmes[0], first_pass=first_pass), *programmes[1:]]
    begin = begin or start.fetched(hp, weight_locations())
    known = channels.train.class_names if isinstance(channels, Channels) else ()
    names = names or known or begin.class_names
    return Job(hp, channels, options.output, names, finished, begin, tuple(programmes), options.checkpoints)


def execute(job: Job, strategy: object) -> TrainingResult:
    """Tell what will be done and do it, with a progress bar on a terminal and SageMaker's log lines elsewhere."""
    from sagemaker_semseg.training.devices import describe_devices
    from sagemaker_semseg.training.logging_callback import logging_callback
    from sagemaker_semseg.training.trainer import train

    print(summary.of(job.hp, job.channels, job.names, describe_devices(), job.begin))
    print(summary.of_output(job.output, job.finished, job.hp.epochs), flush=True)
    return train(
        job.hp,
        job.channels,
        job.output,
        class_names=job.names,
        weights=job.begin.weights,
        callbacks=[logging_callback(environment().host)],
        strategy=strategy,
        checkpoints=job.checkpoints,
    )


def conclude(job: Job, result: TrainingResult) -> int:
    """Tell what came of it; returns the exit status."""
    epochs = len(result.history)
    if result.stopped:
        print(f"stopped after {epochs} of {job.hp.epochs} epochs; train again without --restart to go on")
    if result.scores is None or result.best_epoch is None:
        print("no epoch was finished: the model has the weights of an unfinished one")
    else:
        print(f"best epoch {result.best_epoch + 1} of {epochs}")
        print(f"validation mIOU {result.scores.miou:.4f}")
    print(f"model {result.artifact}")
    return exit_status(result)


def exit_status(result: TrainingResult) -> int:
    """0 also after SIGTERM, with which SageMaker stops jobs; Ctrl-C has a status of its own."""
    return INTERRUPTED if result.signal == signal.SIGINT else 0


def _last(checkpoints: Path) -> Path:
    """The checkpoint from which a training goes on."""
    return checkpoints / "last.safetensors"


def _standing(checkpoints: Path, hp: Hyperparameters, samples: int | None) -> tuple[int, int]:
    """Epochs and steps done. Raises DataError if the checkpoint is damaged or of another training."""
    path = _last(checkpoints)
    state = checkpoint.read_state(path)
    checkpoint.check_same_training(path, state, hp, samples or 0)
    return len(state["history"]), int(state["step"])


def forget(folder: Path) -> None:
    """Remove the checkpoints of an earlier training, and nothing else."""
    for name in _CHECKPOINTS:
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it isn't there, or holds something else
        folder.rmdir()


# ---- what can be wrong


def _hyperparameters(given: Mapping[str, str], errors: list[UserError]) -> Hyperparameters | None:
    try:
        return resolve(given)
    except HyperparameterError as error:
        errors.append(error)
        return None


def _data(
    options: argparse.Namespace,
    folders: Mapping[str, Path],
    hp: Hyperparameters | None,
    num_classes: int | None,
    names: tuple[str, ...],
    errors: list[UserError],
) -> tuple[Channels | Streams | None, list[ChannelConfig]]:
    """The data, looked at as far as it can be before the training, and what has to be played for it."""
    attributes = channel_flags.attributes(options)
    try:
        if options.fifos or options.pipe:
            if hp is None:
                return None, []
            if hp.class_weights == "auto":
                errors.append(HyperparameterError("this training can't be started:", [no_counts()]))
            if options.fifos:
                return pipe.streams(options.fifos, folders, attributes, hp), []
            notes: list[str] = []
            programmes = pipe.programmes(folders, attributes, hp, notes) if folders else []
            found = pipe.streams(Path("FIFOs"), folders, attributes, hp, every=True)
            return replace(found, notes=tuple(notes)), programmes
        if folders:
            with bar("checking the data") as move:
                return read_channels(
                    folders, num_classes or MOST_CLASSES, move, attributes=attributes, class_names=names
                ), []
    except DataError as error:
        whole = "sagemaker-semseg check finds whatever else is wrong or doubtful with the data"
        errors.append(DataError(f"{error.message}; {whole}", error.faults))
    except UserError as error:
        errors.append(error)
    return None, []


def _begin(
    hp: Hyperparameters | None, given: Mapping[str, str], folders: Mapping[str, Path], errors: list[UserError]
) -> Start | None:
    """What the training starts from; None if that has to be fetched, or if something is wrong with it."""
    if hp is None:  # with some hyperparameters at fault, pretrained weights can be looked for, an earlier model can't
        folders = {name: folder for name, folder in folders.items() if name == "pretrained"}
        names = ("backbone", "use_pretrained_model")
        try:
            hp = resolve({"num_classes": 2, **{name: given[name] for name in names if name in given}})
        except HyperparameterError:
            return None
    try:
        return start.local(hp, folders, weight_locations())
    except UserError as error:
        errors.append(error)
        return None


def _class_names(given: Mapping[str, str]) -> tuple[str, ...]:
    """None where something is wrong with them."""
    text = given.get("class_names", "")
    try:
        return resolve({"num_classes": max(2, text.count(",") + 1), "class_names": text}).class_names
    except HyperparameterError:
        return ()


def _num_classes(given: Mapping[str, str]) -> int | None:
    try:
        return resolve({"num_classes": given.get("num_classes")}).num_classes
    except HyperparameterError:
        return None


def _folders(options: argparse.Namespace, errors: list[UserError]) -> dict[str, Path]:
    if options.fifos and channel_flags.none_given(options):
        return {}
    try:
        return channel_flags.from_flags(options)
    except UserError as error:
        errors.append(error)
        return {}


def _faults_of_output(output: Path | None, folders: Mapping[str, Path]) -> list[Fault]:
    if output is None:
        return [Fault("--output", "is missing", "say where the model is to be written")]
    above = next((path for path in (output, *output.absolute().parents) if path.exists()), Path("/"))
    if not above.is_dir():
        return [Fault(str(output), f"{above} is a file", "give a folder for --output")]
    if not os.access(above, os.W_OK | os.X_OK):
        return [Fault(str(output), f"{above} can't be written to", "check the permissions, or give another --output")]
    target = output.resolve()
    for name, folder in folders.items():
        if folder.resolve() in (target, *target.parents):
            return [Fault(str(output), f"lies in the channel {name}", "keep the output apart from the data")]
    return []
