"""A prediction as a value: writes a mask, or probabilities, for each of many images.

An image that can't be used is reported and the others are done. A second run does what the first one hasn't:
``prediction_inputs`` finds the images and names their files, ``progress_log`` knows what is done.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import PIL.Image

from sagemaker_semseg.artifact import InferenceArtifact
from sagemaker_semseg.data.files import MAX_FILE_BYTES
from sagemaker_semseg.data.image_headers import EncodedImage
from sagemaker_semseg.data.images import Pixels, decode_image
from sagemaker_semseg.data.overlay import overlay
from sagemaker_semseg.errors import DataError, Fault, UserError, printable
from sagemaker_semseg.inference import CancellationToken, InferenceOptions, Segmenter
from sagemaker_semseg.inference.precision import choose_graph, prefers_int8
from sagemaker_semseg.jobs.model_location import load_inference_artifact
from sagemaker_semseg.jobs.prediction_inputs import PredictionTask, find_images
from sagemaker_semseg.jobs.progress_bar import progress_bar
from sagemaker_semseg.jobs.progress_log import ProgressLog
from sagemaker_semseg.serving.content_negotiation import ResponseFormat, choose_response_format
from sagemaker_semseg.serving.http_errors import PayloadTooLarge, RequestError
from sagemaker_semseg.serving.response_encoding import check_response_size, encode_response
from sagemaker_semseg.storage import FileSystem, filesystem_at
from sagemaker_semseg.storage.filesystem import Bytes

EXTENSIONS = {
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


@dataclass(frozen=True, kw_only=True)
class PredictionConfig:
    """One prediction, unchecked; its fields are plain values.

    Attributes:
        model: a ``model.tar.gz``, a folder of its files, the output folder of a training, or an s3:// URI.
        images: JPEG and PNG files, folders of them, or s3:// URIs.
        output: the folder for the results, or an s3:// URI.
        accept: what is written, as in the endpoint's Accept header: ``image/png`` for masks, ``application/x-npy`` or
            ``application/x-recordio-protobuf`` for the probabilities of all classes, with ``;dtype=float16`` in half
            the bytes.
        overlay: whether each image is also written with its labels drawn over it.
        overwrite: whether images that are done are done again.
        scales, flip, tile_pixels, runtime, precision, threads: as for ``inference.Segmenter``; None takes what the
            model was trained for.
    """

    model: str
    images: Sequence[str]
    output: str
    accept: str = "image/png"
    overlay: bool = False
    overwrite: bool = False
    scales: Sequence[float] | None = None
    flip: bool | None = None
    tile_pixels: int | None = None
    runtime: str | None = None
    precision: str | None = None
    threads: int | None = None


@dataclass(frozen=True)
class PredictionResult:
    """How many images were written now, had been done before, and couldn't be used.

    output: where the files are. kind: ``mask`` or ``array``.
    """

    output: str
    kind: str
    written: int = 0
    kept: int = 0
    failed: int = 0

    def __str__(self) -> str:
        text = f"{self.written} {self.kind if self.written == 1 else self.kind + 's'} written to {self.output}"
        text += f", {self.kept} there already" if self.kept else ""
        return text + (f", {self.failed} could not be done" if self.failed else "")


def run_prediction(config: PredictionConfig) -> PredictionResult:
    """Write the results for all images. An image that can't be used is reported on standard error and counted.

    Raises:
        UserError: an option is wrong, or S3 can't be used.
        ArtifactError: the model can't be used.
        DataError: there is no image, or one would be overwritten.
        OSError: the results can't be written.
    """
    output, reply = filesystem_at(config.output), _response_format(config.accept)
    artifact = load_inference_artifact(config.model, prefer_int8=prefers_int8(config.precision, config.runtime))
    given = {
        name: getattr(config, name) for name in ("scales", "flip", "tile_pixels", "runtime", "precision", "threads")
    }
    options = InferenceOptions.resolve(artifact.hyperparameters, **given)
    if faults := options.faults():
        faults = [replace(fault, where="--" + fault.where.replace("_", "-")) for fault in faults]
        raise UserError("The command can't be carried out:", faults)
    prediction = _Prediction(artifact, output, options, reply, config.overlay)
    try:
        prediction.run(config.images, config.overwrite)
    except BaseException:
        if prediction.result.written:
            print(f"{prediction.result}; the same command continues from there", file=sys.stderr)
        raise
    return prediction.result


def _response_format(accept: str) -> ResponseFormat:
    try:
        return choose_response_format(accept)
    except RequestError as error:
        raise UserError("The command can't be carried out:", [Fault("--accept", error.message)]) from None


class _Prediction:
    """A prediction in progress; ``result`` says how far it came."""

    def __init__(
        self,
        artifact: InferenceArtifact,
        output: FileSystem,
        options: InferenceOptions,
        reply: ResponseFormat,
        overlays: bool,
    ):
        self.artifact, self.output, self.options, self.reply = artifact, output, options, reply
        self.endings = [EXTENSIONS[reply.media_type], *([OVERLAY_ENDING] if overlays else [])]
        self.result = PredictionResult(output.where(), "mask" if reply.is_mask else "array")

    def run(self, locations: Sequence[str], overwrite: bool) -> None:
        log = ProgressLog(self.output, self._settings())
        try:
            tasks, faults = find_images(locations, self.output, self.endings, log.versions)
            for fault in faults:
                _report(str(fault))
            if not tasks:
                raise DataError("There is no image to predict.")
            remaining = [task for task in tasks if overwrite or not log.is_done(task.image, task.existing)]
            self.result = replace(self.result, failed=len(faults), kept=len(tasks) - len(remaining))
            if remaining:
                segmenter = Segmenter(self.artifact, **vars(self.options))
                if self.artifact.int8_graph:
                    _report(segmenter.choice)
                self._segment(segmenter, remaining, log)
        finally:
            log.close()

    def _settings(self) -> dict[str, Any]:
        """What decides about the bytes that are written. Of the model, the graph is all that counts."""
        choice = choose_graph(self.artifact, self.options.precision, self.options.runtime)
        options = {"accept": self.reply.content_type, **vars(self.options), "runtime": choice.runtime}
        del options["threads"], options["precision"]
        return {"model": hashlib.sha256(choice.graph).hexdigest(), "options": options}

    def _segment(self, segmenter: Segmenter, tasks: Sequence[PredictionTask], log: ProgressLog) -> None:
        """Do one image after the other; while one is segmented, the next one is read."""

        def read(task: PredictionTask) -> EncodedImage | Pixels:
            return _read(task, segmenter.num_classes, self.reply)

        total = self.result.kept + len(tasks)
        with (
            progress_bar("predicting", total) as update,
            ThreadPoolExecutor(1) as reader,
            ThreadPoolExecutor(1) as worker,
        ):
            for done, (task, pending) in enumerate(_read_ahead(reader, read, tasks), start=self.result.kept + 1):
                try:
                    contents = _cancellable(worker, self._contents, segmenter, task, pending.result())
                except (DataError, PayloadTooLarge, MemoryError) as error:
                    _report(_message(error, task))
                    self.result = replace(self.result, failed=self.result.failed + 1)
                else:
                    files = {task.files[ending]: content for ending, content in contents.items()}
                    log.add(task.image, {name: self.output.write(name, *content) for name, content in files.items()})
                    self.result = replace(self.result, written=self.result.written + 1)
                update(done, total)

    def _contents(
        self, segmenter: Segmenter, task: PredictionTask, data: EncodedImage | Pixels, token: CancellationToken
    ) -> Contents:
        image = decode_image(data) if isinstance(data, EncodedImage) else data
        if self.reply.is_mask:
            array = segmenter.labels(image, token)
        else:
            array = segmenter.probabilities(image, np.dtype(self.reply.dtype), token)
        contents: Contents = {self.endings[0]: (encode_response(self.reply, array), self.reply.content_type)}
        if OVERLAY_ENDING in self.endings:
            labels = array if self.reply.is_mask else array.argmax(0).astype(np.uint8)
            file = io.BytesIO()
            PIL.Image.fromarray(overlay(image, labels, segmenter.num_classes)).save(file, "PNG")
            contents[OVERLAY_ENDING] = ([file.getbuffer()], "image/png")
        return contents


def _read_ahead(
    pool: ThreadPoolExecutor, read: Callable[[PredictionTask], EncodedImage | Pixels], tasks: Sequence[PredictionTask]
) -> Iterator[tuple[PredictionTask, Future[EncodedImage | Pixels]]]:
    """Yield each task with the future of its image; the next image is read once this one has been."""
    pending = pool.submit(read, tasks[0])
    for task, following in zip(tasks, [*tasks[1:], None], strict=True):
        current = pending
        if following:
            pending = pool.submit(read, following)
        yield task, current


def _read(task: PredictionTask, num_classes: int, reply: ResponseFormat) -> EncodedImage | Pixels:
    """Read an image, and decode it unless it is large. Raises DataError and PayloadTooLarge."""
    data = task.image.store.read(task.image.entry, MAX_FILE_BYTES)
    image = EncodedImage.parse(data, printable(task.image.where))
    height, width = image.size
    check_response_size(reply, num_classes, height, width)
    return image if height * width > LARGE_IMAGE else decode_image(image)


def _cancellable(pool: ThreadPoolExecutor, function: Callable[..., Contents], *arguments: Any) -> Contents:
    """Call ``function`` in another thread, so that this one hears Ctrl-C and can cancel it."""
    token = CancellationToken()
    try:
        future = pool.submit(function, *arguments, token)
        while not wait([future], timeout=0.5).done:
            pass  # a signal that comes just before the waiting begins is heard when it ends
        return future.result()
    except BaseException:
        token.cancel()
        raise


def _message(error: Exception, task: PredictionTask) -> str:
    if isinstance(error, DataError):
        return "\n".join(map(str, error.faults))
    if isinstance(error, MemoryError):
        return str(Fault(task.image.where, "not enough memory", "lower --tile-pixels, or use smaller images"))
    return f"{task.image.where}: {error}"


def _report(message: str) -> None:
    print(printable(message), file=sys.stderr, flush=True)
