"""The command ``sagemaker-semseg train``: a training from flags."""

from __future__ import annotations

import argparse
from pathlib import Path

from sagemaker_semseg.cli.flags import (
    add_data_flags,
    add_hyperparameter_flags,
    data_arguments,
    hyperparameter_arguments,
    refuse,
)
from sagemaker_semseg.container.job_directory import is_job_directory
from sagemaker_semseg.container.launcher import launch
from sagemaker_semseg.environment import base_folder
from sagemaker_semseg.jobs.prepare_training import TrainingConfig
from sagemaker_semseg.jobs.run_training import exit_status, finish_training, run_training

USAGE = "%(prog)s --data DIR --output DIR --num-classes N [--HYPERPARAMETER VALUE ...]"
SUMMARY = "train a network on folders of images and masks"
DESCRIPTION = """\
Trains a network and leaves the weights of the epoch with the best validation mIOU in OUTPUT/model.tar.gz.
Flags and data are checked first; one message reports everything that is wrong."""
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
  without validation, --validation-split 0.2 keeps a fifth of train apart, at random by --seed
  or an augmented manifest for each split, Ground Truth's too: --data train.manifest takes validation.manifest beside it

starting: from ImageNet weights, which are fetched once; from those that --pretrained-weights or the channel pretrained
  names; from an earlier model, AWS's too, with --model or the channel model; from random weights with
  --use-pretrained-model False. docs/weights.md has the details.

stopping: Ctrl-C or SIGTERM ends the training after the current step. The model so far is in OUTPUT, and the same
  command continues from there; --restart starts over. A machine that fails loses --checkpoint-minutes at most.
  After a full disk, --finish writes the model from the checkpoints: train --finish --output out

several machines: MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE, or TF_CONFIG, say which one this is
  (docs/distributed.md); sagemaker-semseg launch tries it on one.

repeating: everything drawn at random follows from --seed, whatever the number of threads. On a CPU the same training
  gives the same model, bit for bit, on machines of one type; docs/training.md says what is promised.

"""
EXIT_STATUS = """\
exit status: 0 done (also after SIGTERM, as SageMaker stops jobs), 1 a fault of this program,
  2 something you can fix, 130 stopped with Ctrl-C
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_flags(parser, start=True, both_splits=True)
    group = parser.add_argument_group("output")
    group.add_argument("--output", type=Path, metavar="DIR", help="where the model and the checkpoints are written")
    text = "where the checkpoints are written and read (default OUTPUT/checkpoints)"
    group.add_argument("--checkpoints", type=Path, metavar="DIR", help=text)
    text = "write the figures of each epoch into this folder for TensorBoard: tensorboard --logdir DIR"
    group.add_argument("--tensorboard", metavar="DIR", help=text)
    text = "remove the checkpoints and start over, instead of continuing from them"
    group.add_argument("--restart", action="store_true", help=text)
    text = "write the model from the checkpoints and train no further; only --output and --checkpoints are used"
    group.add_argument("--finish", action="store_true", help=text)
    text = "print nothing but errors: neither what is trained on nor how it goes"
    parser.add_argument("--quiet", action="store_true", help=text)
    add_hyperparameter_flags(parser)


def run(options: argparse.Namespace) -> int:
    base = base_folder()
    if is_job_directory(base) and not _given(options):
        return launch(base, verbose=options.verbose)
    if options.finish:
        refuse(options.faults)
        return exit_status(finish_training(config_of(options)))
    return exit_status(run_training(config_of(options), faults=options.faults))


def _given(options: argparse.Namespace) -> bool:
    """Whether there is any flag but those of all commands; SageMaker gives none."""
    own = {"command", "run", "verbose", "quiet", "progress", "faults", "restart", "finish"}
    flags = any(value is not None for name, value in vars(options).items() if name not in own)
    return flags or bool(options.faults) or options.restart or options.finish


def config_of(options: argparse.Namespace) -> TrainingConfig:
    """Return the training that the flags describe."""
    return TrainingConfig(
        **data_arguments(options),
        hyperparameters=hyperparameter_arguments(options),
        validation_split=options.validation_split,
        output=_text(options.output),
        checkpoints=_text(options.checkpoints),
        restart=options.restart,
        tensorboard=options.tensorboard,
        verbose=options.verbose,
        quiet=options.quiet,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
