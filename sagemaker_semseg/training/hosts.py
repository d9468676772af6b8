"""The hosts of a training: sums over them, and bytes from the chief to all.

Every method that sends something is a collective: all hosts have to call it, in the same order, so never behind a
condition that differs between them. With one host nothing is sent.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from sagemaker_semseg.errors import Fault, HostLostError

_PIECE = 2**25  # bytes sent at once
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


class Hosts:
    """The hosts over which a strategy runs.

    Attributes:
        count: Their number.
        rank: Which one this is.
        local_replicas: The replicas of each.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.strategy = strategy
        resolver = strategy.cluster_resolver
        tasks = resolver.cluster_spec().num_tasks("worker") if resolver and resolver.cluster_spec().jobs else 1
        self.count = tasks
        self.rank = int(resolver.task_id) if tasks > 1 else 0
        self.local_replicas = strategy.num_replicas_in_sync // tasks

        def of_replica(own: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group % self.local_replicas == 0
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, own, tf.zeros_like(own)))

        self._sum = tf.function(lambda own: strategy.run(of_replica, args=(own,)), jit_compile=False)

    @property
    def is_chief(self) -> bool:
        """Whether this host writes files and prints."""
        return self.rank == 0

    def sum(self, array: np.ndarray) -> np.ndarray:
        """Return the sum of an array over all hosts. It is int32, int64, float32 or float64."""
        if self.count == 1:
            return array
        return np.asarray(self.strategy.experimental_local_results(self._sum(tf.constant(array)))[0])

    def any(self, flag: bool) -> bool:
        """Return whether ``flag`` is true on a host."""
        return bool(self.sum(np.array([flag], np.int32))[0])

    def from_chief(self, data: bytes) -> bytes:
        """Return the chief's ``data`` on all hosts."""
        if self.count == 1:
            return data
        length = int(self.sum(np.array([len(data) if self.is_chief else 0], np.int64))[0])
        pieces = []
        for start in range(0, length, _PIECE):
            size = min(_PIECE, length - start)
            words = np.zeros(-(-size // 4), np.int32)  # collectives take no bytes
            if self.is_chief:
                words.view(np.uint8)[:size] = np.frombuffer(data, np.uint8, size, start)
            pieces.append(self.sum(words).tobytes()[:size])
        return b"".join(pieces)

    @contextlib.contextmanager
    def file_of_chief(self, path: Path) -> Iterator[Path]:
        """Give a path under which the chief's file is on each host; there is none where the chief has none."""
        if self.count == 1:
            yield path
            return
        data = self.from_chief(path.read_bytes() if self.is_chief and path.is_file() else b"")
        if self.is_chief:
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, path.name)
            if data:
                copy.write_bytes(data)
            yield copy

    def wait(self) -> None:
        """Wait until all hosts have come here."""
        self.sum(np.zeros(1, np.int32))

    @contextlib.contextmanager
    def explain_loss(self, checkpoints: Path) -> Iterator[None]:
        """Raise ``UserError`` where TensorFlow says that another host doesn't answer."""
        try:
            yield
        except _LOST as error:
            if self.count == 1:
                raise
            remedy = f"start it again on all hosts: it continues from {checkpoints} of the chief"
            fault = Fault("another host", "doesn't answer any more; its own log may say why", remedy)
            raise HostLostError("This training has lost a host:", [fault]) from error
