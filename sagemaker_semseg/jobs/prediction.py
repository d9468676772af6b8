"""The work of ``predict``: a model and places come in, files for each image that is found there go out.

An image that can't be used is told and the others are done; what an earlier run has done is left. ``tasks`` finds the
images and names their files, ``journal`` knows what is done. ``demo`` calls it too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image

from sagemaker_semseg.artifact import InferenceArtifact
from sagemaker_semseg.data.channels import shown
from sagemaker_semseg.data.files import MAX_FILE_BYTES
from sagemaker_semseg.data.images import Pixels, decode_image, image_size
from sagemaker_semseg.data.overlay import overlay
from sagemaker_semseg.errors import DataError, Fault
from sagemaker_semseg.inference import CancellationToken, InferenceOptions, Segmenter
from sagemaker_semseg.jobs.prediction_inputs import Task, plan
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.jobs.progress_log import Journal
from sagemaker_semseg.serving.content_negotiation import ResponseFormat
from sagemaker_semseg.serving.http_errors import PayloadTooLarge
from sagemaker_semseg.serving.response_encoding import check_size, encode
from sagemaker_semseg.storage import FileSystem
from sagemaker_semseg.storage.filesystem import Bytes

ENDINGS = {
    "image/png": ".png",
    "application/x-recordio-protobuf": ".recordio",
    "application/x-protobuf": ".recordio",
    "application/x-npy": ".npy",
}
OVERLAY_ENDING = "_overlay.png"

LARGE_IMAGE = 2**24
"""Pixels from which on an image is decoded when the one before it is done, to bound memory."""

Contents = dict[str, tuple[Sequence[Bytes], str]]
"""The parts of an image's files by their endings, and their media types."""


@dataclass
class Tally:
    """Images: done now, done earlier, and those that can't be used."""

    written: int = 0
    kept: int = 0
    failed: int = 0


class Prediction:
    """A model and what is wanted of it. overlays: beside each reply, the image with its labels laid over it."""

    def __init__(
        self,
        runtime: InferenceArtifact,
        output: FileSystem,
        options: InferenceOptions | None = None,
        reply: ResponseFormat | None = None,
        *,
        overlays: bool = False,
    ):
        self.runtime, self.output = runtime, output
        self.options, self.reply = (
            options or InferenceOptions.resolve(runtime.hyperparameters),
            reply or ResponseFormat("image/png"),
        )
        self.endings = [ENDINGS[self.reply.media_type], *([OVERLAY_ENDING] if overlays else [])]
        self.tally = Tally()

    def run(self, places: Sequence[str], *, overwrite: bool = False) -> Tally:
        """Do the images at ``places``: files, folders, s3://. overwrite: those that are done, too.

        Returns ``self.tally``, which tells how far it came if it was interrupted. Raises ``DataError`` if there is no
        image or if one would be overwritten, and what the model and the output raise.
        """
        journal = Journal(self.output, self._settings())
        try:
            tasks, faults = plan(places, self.output, self.endings, journal.stamps)
            for fault in faults:
                _tell(str(fault))
            if not tasks:
                raise DataError("There is no image to predict.")
            left = [task for task in tasks if overwrite or not journal.done(task.image, task.existing)]
            self.tally.failed, self.tally.kept = len(faults), len(tasks) - len(left)
            if left:
                self._work(Segmenter(self.runtime, **vars(self.options)), left, journal)
        finally:
            journal.close()
        return self.tally

    def _settings(self) -> dict[str, Any]:
        """What decides about the bytes that are written. Of the model, the graph is all that counts."""
        options = {"accept": self.reply.content_type, **dataclasses.asdict(self.options)}
        del options["threads"]
        return {"model": hashlib.sha256(self.runtime.graph).hexdigest(), "options": options}

    def _work(self, segmenter: Segmenter, tasks: Sequence[Task], journal: Journal) -> None:
        """One image after the other; while one is worked on, the next one is read."""

        def read(task: Task) -> bytes | Pixels:
            return _read(task, segmenter.num_classes, self.reply)

        total = self.tally.kept + len(tasks)
        with (
            progress_bar("predicting", total) as move,
            ThreadPoolExecutor(1) as reader,
            ThreadPoolExecutor(1) as worker,
        ):
            for done, (task, coming) in enumerate(_ahead(reader, read, tasks), start=self.tally.kept + 1):
                try:
                    contents = _stoppable(worker, self._contents, segmenter, task, coming.result())
                except (DataError, PayloadTooLarge, MemoryError) as error:
                    _tell(_about(error, task))
                    self.tally.failed += 1
                else:
                    files = {task.files[ending]: content for ending, content in contents.items()}
                    stamps = {name: self.output.write(name, *content) for name, content in files.items()}
                    journal.add(task.image, stamps)
                    self.tally.written += 1
                move(done, total)

    def _contents(self, segmenter: Segmenter, task: Task, read: bytes | Pixels, token: CancellationToken) -> Contents:
        image = decode_image(read, shown(task.image.where)) if isinstance(read, bytes) else read
        if self.reply.is_mask:
            array = segmenter.labels(image, token)
        else:
            array = segmenter.probabilities(image, np.dtype(self.reply.dtype), token)
        contents: Contents = {self.endings[0]: (encode(self.reply, array), self.reply.content_type)}
        if OVERLAY_ENDING in self.endings:
            labels = array if self.reply.is_mask else array.argmax(0).astype(np.uint8)
            file = io.BytesIO()
            PIL.Image.fromarray(overlay(image, labels, segmenter.num_classes)).save(file, "PNG")
            contents[OVERLAY_ENDING] = ([file.getbuffer()], "image/png")
        return contents


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[Task], bytes | Pixels], tasks: Sequence[Task]
) -> Iterator[tuple[Task, Future[bytes | Pixels]]]:
    """Each task and what comes of reading it; the next one is read as soon as this has been."""
    coming = pool.submit(read, tasks[0])
    for task, following in zip(tasks, [*tasks[1:], None], strict=True):
        now = coming
        if following:
            coming = pool.submit(read, following)
        yield task, now


def _read(task: Task, num_classes: int, reply: ResponseFormat) -> bytes | Pixels:
    """The image's pixels, or its bytes if it is large. Raises ``DataError`` and ``PayloadTooLarge``."""
    image, where = task.image, shown(task.image.where)
    data = image.store.read(image.entry, MAX_FILE_BYTES)
    height, width = image_size(data, where)
    check_size(reply, num_classes, height, width)
    return data if height * width > LARGE_IMAGE else decode_image(data, where)


def _stoppable(pool: ThreadPoolExecutor, work: Callable[..., Contents], *arguments: Any) -> Contents:
    """What comes of ``work``, done in another thread, so that this one hears Ctrl-C and can stop it."""
    token = CancellationToken()
    try:
        doing = pool.submit(work, *arguments, token)
        while not wait([doing], timeout=0.5).done:
            pass  # a signal that comes just before the waiting begins is heard when it ends
        return doing.result()
    except BaseException:
        token.cancel()
        raise


def _about(error: Exception, task: Task) -> str:
    if isinstance(error, DataError):
        return "\n".join(map(str, error.faults))
    if isinstance(error, MemoryError):
        return str(Fault(task.image.where, "not enough memory", "lower --tile-pixels, or use smaller images"))
    return f"{task.image.where}: {error}"


def _tell(message: str) -> None:
    print(shown(message), file=sys.stderr, flush=True)
