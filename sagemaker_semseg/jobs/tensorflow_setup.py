"""Loads TensorFlow without the messages of its libraries.

Loading takes seconds, so flags and data are checked before. TensorFlow's C++ libraries write to standard error while
they load (that they have oneDNN, that there is no GPU), whatever ``TF_CPP_MIN_LOG_LEVEL`` says.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from sagemaker_semseg.environment import configure_tensorflow, has_gpu, onednn_is_set
from sagemaker_semseg.errors import UserError
from sagemaker_semseg.inference.precision import int8_instructions
from sagemaker_semseg.training.rendezvous import Meeting

_WITHOUT_ONEDNN = (
    "TensorFlow was imported before sagemaker_semseg, and on this CPU it uses no oneDNN then: training on the CPU "
    "takes 1.3 to 2.4 times as long. Import sagemaker_semseg first, or set TF_ENABLE_ONEDNN_OPTS=1 before the import."
)


def load_tensorflow(*, verbose: bool = False, meet: Callable[[], Meeting] | None = None) -> Any:
    """Load TensorFlow and return the ``tf.distribute.Strategy`` over this machine's devices, or over several hosts.

    verbose: show what the libraries say. meet: waits for the other hosts; a host that has come starts TensorFlow at
    once. Raises UserError if TensorFlow can't be loaded, after showing why.
    """
    quiet = configure_tensorflow() and not verbose
    if not (onednn_is_set() or has_gpu() or int8_instructions()):
        warnings.warn(_WITHOUT_ONEDNN, stacklevel=2)
    with _silent_unless_it_fails() if quiet else contextlib.nullcontext():
        try:
            from sagemaker_semseg.training.devices import default_strategy, multi_host_strategy
        except ImportError as error:
            raise UserError(f"TensorFlow can't be loaded: {error}\nInstall it with: pip install tensorflow") from error
        if meet is None:
            return default_strategy()
    meeting = meet()
    with _silent_unless_it_fails() if quiet else contextlib.nullcontext():
        return multi_host_strategy(meeting.addresses, meeting.rank)


@contextlib.contextmanager
def _silent_unless_it_fails() -> Iterator[None]:
    """Keep standard error in a file (its descriptor, since C++ writes there), and print it if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            file.seek(0)
            os.write(kept, file.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
