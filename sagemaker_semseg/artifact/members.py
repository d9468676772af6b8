"""The bytes of an artifact's members: a ``model.tar.gz`` or a folder from anywhere comes in, ``{name: bytes}`` goes
out, or an ``ArtifactError``. Only the functions of ``sagemaker_semseg.artifact`` call it.

The reader trusts nothing. It walks the archive itself, block by block, because Python's ``tarfile`` follows whatever
extension a header names and reads as much as it claims; here a member has to be a plain file with a known name, and its
claimed size is held against a limit before a byte of it is unpacked.
"""

from __future__ import annotations

import gzip
import io
import itertools
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn

from sagemaker_semseg.errors import ArtifactError, Fault, SageMakerArtifactError

KIB, MIB, GIB = 2**10, 2**20, 2**30

# Bytes of each member at most. The largest network here (ResNet-152, PSP) has 0.4 GiB of weights; a confusion matrix of
# 254 classes and a history of 1000 epochs stay below 4 MiB.
MAX_BYTES: dict[str, int] = {
    "hyperparams.json": MIB,
    "labels.json": MIB,
    "metrics.json": 8 * MIB,
    "model.safetensors": GIB,
    "model.onnx": GIB,
}
REQUIRED = ("hyperparams.json", "labels.json", "metrics.json", "model.safetensors")
_MEND = "give an artifact that a training of this package has written"
_MENDS = {"model.onnx": "write it with: sagemaker-semseg export MODEL -o NEW"}

# What AWS's built-in algorithm leaves, whose weights ``weights.original`` reads.
ORIGINAL_MAX_BYTES: dict[str, int] = {"hyperparams.json": MIB, "model_best.params": GIB, "model_algo-1": GIB}
MAX_TOTAL_BYTES = 2 * GIB + 64 * MIB
MAX_MEMBERS = 100
MAX_EXTENSION_BYTES = 64 * KIB
MAX_PADDING_BYTES = MIB

_ORIGINAL = re.compile(r"model_algo-[0-9]+(\.params)?|model_best\.params")
_RUNS_CODE = frozenset(
    {".pkl", ".pickle", ".joblib", ".dill", ".keras", ".h5", ".hdf5", ".pb", ".pt", ".pth", ".bin", ".ckpt"}
    | {".npy", ".npz", ".py", ".pyc", ".so", ".sh", ".whl", ".zip", ".jar"}
)
_NOT_FILES = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
}
_NOT_FILE_MODES = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}
_ZEROS = bytes(tarfile.BLOCKSIZE)
_CHUNK = MIB


# ---- writing


def write_members(file: BinaryIO, members: Mapping[str, bytes]) -> None:
    """Write ``members`` as tar.gz; the same members give the same bytes (no times, owners or file names in it).

    In gzip's format, as SageMaker has it, but not compressed: weights are noise but for the exponents of their floats.
    Compression takes off 8 %; writing, and reading, with which an endpoint starts, would take four times as long.
    """
    gzipped = zlib.compressobj(0, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for piece in _tar(members):
        for start in range(0, len(piece), _CHUNK):
            file.write(gzipped.compress(memoryview(piece)[start : start + _CHUNK]))
    file.write(gzipped.flush())


def _tar(members: Mapping[str, bytes]) -> Iterator[bytes]:
    for name, data in members.items():
        info = tarfile.TarInfo(name)  # its defaults: a regular file, mode 644, time 0, owner 0 without a name
        info.size = len(data)
        yield info.tobuf(tarfile.USTAR_FORMAT)
        yield data
        yield bytes(-len(data) % tarfile.BLOCKSIZE)
    yield 2 * _ZEROS


# ---- reading


def read_members(
    path: Path, wanted: Collection[str], max_bytes: Mapping[str, int] = MAX_BYTES, required: Collection[str] = REQUIRED
) -> dict[str, bytes]:
    """Name and bytes of the ``wanted`` members of the archive or folder ``path``.

    All of it is walked and judged, and an archive's checksum with it; of the other members no bytes are kept.
    max_bytes: the members it may have, and how large they may be. required: those it must have beside ``wanted``.
    Raises ``ArtifactError`` with all faults; one that makes it unsafe or useless to read on is the last of them.
    ``SageMakerArtifactError`` is one that AWS's built-in algorithm has written, where another was expected.
    """
    reading = _Reading(path, wanted, max_bytes)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            _read_folder(path, reading)
        elif stat.S_ISREG(mode):
            with open(path, "rb") as file:
                _read_archive(file, reading)
        else:
            reading.stop(str(path), "is neither a file nor a folder")
    except OSError as error:
        reading.stop(str(path), f"can't be read: {error.strerror or error}", "check the path and its permissions")
    for name in max_bytes:
        if name not in reading.seen and (name in required or name in wanted):
            reading.fault(name, "is missing", _MENDS.get(name, _MEND))
    reading.raise_faults()
    return reading.members


class _Reading:
    """What has been read so far, and the one place where counts, names and sizes are judged."""

    def __init__(self, path: Path, wanted: Collection[str], max_bytes: Mapping[str, int]):
        self.path, self.wanted, self.max_bytes = path, wanted, max_bytes
        self.members: dict[str, bytes] = {}
        self.seen: set[str] = set()
        self.faults: list[Fault] = []
        self.count = 0
        self.bytes_left = MAX_TOTAL_BYTES

    def fault(self, where: str, what: str, remedy: str = "") -> None:
        self.faults.append(Fault(where, what, remedy))

    def stop(self, where: str, what: str, remedy: str = "") -> NoReturn:
        self.fault(where, what, remedy)
        raise ArtifactError(f"{self.path} can't be used as a model:", self.faults)

    def raise_faults(self) -> None:
        if self.faults:
            raise ArtifactError(f"{self.path} can't be used as a model:", self.faults)

    def begin_member(self) -> None:
        """Count a member or an extension of one."""
        self.count += 1
        if self.count > MAX_MEMBERS:
            most = len(self.max_bytes)
            self.stop(str(self.path), f"has more than {MAX_MEMBERS} members, an artifact has {most} at most")

    def admit(self, raw_name: str, kind: str = "") -> str:
        """The plain name of a member if it may be read; else an empty string, and a fault.

        kind: what the member is if it is no plain file.
        """
        path = raw_name.replace("\\", "/")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        name = "/".join(parts)
        shown = name if re.fullmatch(r"[ -~]{1,100}", name) else ascii(raw_name)
        if _ORIGINAL.fullmatch(name) and name not in self.max_bytes:
            what = "belongs to an original artifact of AWS's built-in algorithm (weights in MXNet's format)"
            remedy = "make one of this package's format of it: sagemaker-semseg import MODEL -o NEW"
            # what else is wrong with it would be noise beside that
            raise SageMakerArtifactError(f"{self.path} can't be used as a model:", [Fault(shown, what, remedy)])
        if kind == "a folder" and not parts:
            return ""  # the entry "./" that `tar -C folder .` writes
        if path.startswith("/") or re.match(r"[A-Za-z]:", path):
            self.fault(ascii(raw_name), "is an absolute path", "don't trust this file")
        elif ".." in parts:
            self.fault(ascii(raw_name), "leads outside of the artifact", "don't trust this file")
        elif kind:
            self.fault(shown, f"is {kind}, only plain files are read")
            self.seen.add(name)
        elif name in self.seen:
            self.fault(shown, "is there twice")
        elif name == "model.tar.gz":
            self.fault(shown, "is an archive of its own", "give the path of model.tar.gz, not of its folder")
        elif os.path.splitext(name)[1].lower() in _RUNS_CODE:
            self.fault(shown, "is of a kind that can hold code, an artifact holds none", "don't trust this file")
        elif name not in self.max_bytes:
            self.fault(shown, f"is not part of an artifact, which holds {', '.join(self.max_bytes)}")
        else:
            self.seen.add(name)
            return name
        return ""

    def claim(self, name: str, size: int) -> None:
        """Stop if a member of ``size`` bytes is more than ``name`` may have, or too much in total."""
        limit = self.max_bytes.get(name, MAX_TOTAL_BYTES)
        if size < 0 or size > limit:
            self.stop(name or str(self.path), f"claims {size} bytes, {limit} are the limit", "don't trust this file")
        self.bytes_left -= size
        if self.bytes_left < 0:
            self.stop(str(self.path), f"unpacks to more than {MAX_TOTAL_BYTES} bytes", "don't trust this file")


def _read_folder(path: Path, reading: _Reading) -> None:
    # never waits for the other end of a pipe, never follows a link that took a file's place meanwhile
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in itertools.islice(entries, MAX_MEMBERS + 1))
    for name in names:
        reading.begin_member()
        mode = os.lstat(path / name).st_mode
        if not reading.admit(name, "" if stat.S_ISREG(mode) else _NOT_FILE_MODES.get(stat.S_IFMT(mode), "no file")):
            continue
        with open(os.open(path / name, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                reading.stop(name, "changed while it was read")
            reading.claim(name, status.st_size)
            if name in reading.wanted:
                reading.members[name] = file.read(status.st_size)


def _read_archive(file: BinaryIO, reading: _Reading) -> None:
    where = str(reading.path)
    again = "copy or download the file again"
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            _walk(stream, reading)
    except EOFError:
        reading.stop(where, "ends too early", again)
    except gzip.BadGzipFile as error:
        reading.stop(where, f"is not a gzip file, or a damaged one: {error}", again)
    except (zlib.error, tarfile.TarError, ValueError) as error:
        reading.stop(where, f"is damaged: {error}", again)


def _walk(stream: gzip.GzipFile, reading: _Reading) -> None:
    """Read one header block after the other, and the data of those members that are admitted."""
    while (block := _exactly(stream, tarfile.BLOCKSIZE)) != _ZEROS:
        reading.begin_member()
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")  # checks the header's checksum
        padding = -info.size % tarfile.BLOCKSIZE
        if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
            reading.claim("", info.size)
            _check_extension(stream, info, reading)
            _exactly(stream, padding)
        elif info.type in _NOT_FILES:
            reading.admit(info.name, _NOT_FILES[info.type])  # these have no data, whatever their size says
        elif info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            sparse = info.type == tarfile.GNUTYPE_SPARSE
            kind = "a sparse file" if sparse else f"an extension of tar ({info.type!a})"
            reading.stop(ascii(info.name), f"is {kind}, only plain files with short names are read")
        else:
            name = reading.admit(info.name)
            reading.claim(name, info.size)
            wanted = name in reading.wanted
            data = _copy(stream, info.size, io.BytesIO() if wanted else None)
            if wanted:
                reading.members[name] = data
            _exactly(stream, padding)
    _check_end(stream)


def _check_extension(stream: gzip.GzipFile, info: tarfile.TarInfo, reading: _Reading) -> None:
    """Read a pax extension and refuse one that changes what a member is; times, owners and comments may pass."""
    if info.size > MAX_EXTENSION_BYTES:
        reading.stop(ascii(info.name), f"is an extension of {info.size} bytes, {MAX_EXTENSION_BYTES} are the limit")
    rest = _exactly(stream, info.size)
    while rest:
        length = re.match(rb"([0-9]{1,6}) ", rest)
        record = rest[: int(length[1])] if length else b""
        if not length or len(record) < len(length[0]) + 2 or not record.endswith(b"\n") or b"=" not in record:
            raise ValueError("an extension header can't be read")
        key = record[length.end() :].split(b"=", 1)[0]
        if key in (b"path", b"linkpath", b"size") or key.startswith(b"GNU.sparse"):
            kind = "makes a file sparse" if key.startswith(b"GNU.sparse") else f"changes a member's {key.decode()}"
            reading.stop(ascii(info.name), f"is an extension of tar that {kind}, only plain files are read")
        rest = rest[len(record) :]


def _check_end(stream: gzip.GzipFile) -> None:
    """The second of the two blocks of zeros that end a tar file, then zeros only; gzip checks its sum at its end."""
    if _exactly(stream, tarfile.BLOCKSIZE) != _ZEROS:
        raise ValueError("the end of the archive is not where it should be")
    padding = 0
    while chunk := stream.read(64 * KIB):
        padding += len(chunk)
        if any(chunk) or padding > MAX_PADDING_BYTES:
            raise ValueError("something follows the end of the archive")


def _copy(stream: gzip.GzipFile, size: int, into: io.BytesIO | None) -> bytes:
    """``size`` bytes of the stream, piece by piece: memory grows with what is there, not with what is claimed."""
    for start in range(0, size, _CHUNK):
        piece = _exactly(stream, min(_CHUNK, size - start))
        if into is not None:
            into.write(piece)
    return into.getvalue() if into is not None else b""


def _exactly(stream: gzip.GzipFile, size: int) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) < size:
        raise EOFError
    return data
