"""Pipe mode on this machine: a job's record comes in; while the block runs its manifests come through FIFOs, as
SageMaker sends them. ``supervisor`` puts it around the training, whose tree has the FIFOs in ``input/data``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from sagemaker_semseg.data.channels import FaultList, split_pairs
from sagemaker_semseg.data.pipe_simulator import ChannelConfig, PipeSimulator
from sagemaker_semseg.sdk.local.job_store import JobRecord
from sagemaker_semseg.sdk.local.specs import spec_of
from sagemaker_semseg.sdk.specs import TrainingSpec


@contextlib.contextmanager
def piped(base: Path, record: JobRecord) -> Iterator[Callable[[], None]]:
    """Play the channels that are in Pipe mode, if any. Raises ``DataError`` with what is wrong with the manifests.

    Yields a function that raises ``DataError`` if what they name can't be played.
    """
    spec = spec_of("training", record.spec)
    programmes = _programmes(spec, record.more.get("places", {})) if isinstance(spec, TrainingSpec) else []
    if not programmes:
        yield lambda: None
        return
    with PipeSimulator(base / "input" / "data", programmes) as player:
        yield player.check


def _programmes(spec: TrainingSpec, places: dict[str, str]) -> list[ChannelConfig]:
    faults, notes = FaultList(), list[str]()
    programmes = []
    for channel in spec.channels:
        if channel.is_piped(spec.input_mode):
            place = {channel.name: Path(places[channel.name])}
            pairs = split_pairs(place, channel.name, faults, notes, channel.attribute_names)
            programmes.append(ChannelConfig(channel.name, pairs, channel.shuffle_seed))
    faults.raise_any()
    for note in notes:
        print(f"note        {note}", flush=True)
    return programmes
